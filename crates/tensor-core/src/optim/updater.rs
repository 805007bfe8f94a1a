//! An optimizer with what stands around it: a schedule and clipping before an update, averages after it.

use super::{Average, Optimizer, Schedule, clip_norm};
use crate::store::State;
use crate::{Params, Result, error::require};
use candle_core::backprop::GradStore;

/// An average of the weights over training. Buffers are not averaged: with batch norm call
/// [`crate::train::refresh_statistics`] after training.
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `decay` | 0.999 | of the exponential moving average; none: the mean of all updates | [0, 1) |
/// | `from` | 0 | share of training after which averaging begins | [0, 1] |
/// | `every` | 1 | steps between two updates; the steps of an epoch make it SWA's | >= 1 |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AverageConfig {
    /// Of the exponential moving average; none: the mean.
    pub decay: Option<f64>,
    /// Share of training after which it begins.
    pub from: f64,
    /// Steps between two updates.
    pub every: usize,
}

impl Default for AverageConfig {
    fn default() -> Self {
        Self { decay: Some(0.999), from: 0.0, every: 1 }
    }
}

impl AverageConfig {
    /// The exponential moving average over all steps.
    pub fn ema(decay: f64) -> Self {
        Self { decay: Some(decay), ..Self::default() }
    }

    /// Stochastic weight averaging: the mean of the weights at every `every`-th step, from a share of training on.
    pub fn swa(from: f64, every: usize) -> Self {
        Self { decay: None, from, every }
    }

    fn build(self) -> Result<Average> {
        require("AverageConfig.from", (0.0..=1.0).contains(&self.from), "in [0, 1]", self.from)?;
        require("AverageConfig.every", self.every >= 1, "at least 1", self.every)?;
        self.decay.map_or_else(|| Ok(Average::mean()), Average::exponential)
    }
}

/// What stands around an optimizer.
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `schedule` | constant | factor on the learning rate that the optimizer came with | |
/// | `clip` | none | largest common Euclidean norm of the gradients | > 0 |
/// | `average` | none | an average of the weights over steps | |
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateConfig {
    /// Factor on the learning rate.
    pub schedule: Schedule,
    /// Largest norm of the gradients.
    pub clip: Option<f64>,
    /// An average of the weights.
    pub average: Option<AverageConfig>,
}

/// Updates parameters by an optimizer, its learning rate set by a schedule, gradients clipped, weights averaged.
///
/// The optimizer has its own learning rate again when this is dropped.
pub struct Updater<O: Optimizer> {
    optimizer: O,
    lr: f64,
    cfg: UpdateConfig,
    average: Option<Average>,
}

impl<O: Optimizer> Updater<O> {
    /// Validates the configuration. The optimizer's learning rate as it is now is what the schedule scales.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the field.
    pub fn new(optimizer: O, cfg: UpdateConfig) -> Result<Self> {
        let mut it = Self { lr: optimizer.lr(), optimizer, cfg: UpdateConfig::default(), average: None };
        it.configure(cfg)?;
        Ok(it)
    }

    /// Sets another configuration; an average begins with nothing.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the field.
    pub fn configure(&mut self, cfg: UpdateConfig) -> Result<()> {
        cfg.schedule.validate()?;
        if let Some(clip) = cfg.clip {
            require("UpdateConfig.clip", clip.is_finite() && clip > 0.0, "finite and > 0", clip)?;
        }
        self.average = cfg.average.map(AverageConfig::build).transpose()?;
        self.cfg = cfg;
        Ok(())
    }

    /// The update of step `step` of `total`, counted from 0. Clipping scales these parameters' gradients in place. Returns the learning
    /// rate it had.
    ///
    /// # Errors
    /// The optimizer's.
    pub fn step(&mut self, params: &Params, gradients: &mut GradStore, step: usize, total: usize) -> Result<f64> {
        let lr = self.lr * self.cfg.schedule.factor(step, total);
        self.step_at(lr, params, gradients, step, total)?;
        Ok(lr)
    }

    /// [`Updater::step`] at a learning rate that the caller chooses in the place of the schedule.
    ///
    /// # Errors
    /// The optimizer's.
    pub fn step_at(
        &mut self,
        lr: f64,
        params: &Params,
        gradients: &mut GradStore,
        step: usize,
        total: usize,
    ) -> Result<()> {
        self.optimizer.set_lr(lr)?;
        if let Some(clip) = self.cfg.clip {
            clip_norm(params, gradients, clip)?;
        }
        self.optimizer.step(params, gradients)?;
        if let (Some(average), Some(AverageConfig { from, every, .. })) = (&mut self.average, self.cfg.average)
            && (step + 1) as f64 > from * total as f64
            && (step + 1).is_multiple_of(every)
        {
            average.update(params)?;
        }
        Ok(())
    }

    /// Exchanges the weights with their average, where there is one; a second call puts them back.
    ///
    /// # Errors
    /// candle's only.
    pub fn swap_average(&mut self, params: &Params) -> Result<()> {
        self.average.as_mut().map_or(Ok(()), |a| a.swap(params))
    }

    /// Gives up the average: the weights stay as they are.
    pub fn drop_average(&mut self) {
        self.average = None;
        self.cfg.average = None;
    }

    /// The state of the optimizer and of the average.
    ///
    /// # Errors
    /// candle's only.
    pub fn state(&self) -> Result<State> {
        let state = State::default().with("optimizer", self.optimizer.state()?)?;
        match &self.average {
            Some(a) => state.with("average", a.state()?),
            None => Ok(state),
        }
    }

    /// Takes back what [`Updater::state`] gave.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] or [`crate::Error::Value`] where it is not a state of these parameters.
    pub fn restore(&mut self, params: &Params, mut state: State) -> Result<()> {
        self.optimizer.restore(params, state.take("optimizer")?)?;
        match &mut self.average {
            Some(a) => a.restore(params, state.take("average")?),
            None => Ok(()),
        }
    }

    /// The configuration, in a text that changes with it.
    pub fn describe(&self) -> String {
        format!("{} at {} {:?}", self.optimizer.describe(), self.lr, self.cfg)
    }
}

impl<O: Optimizer> Drop for Updater<O> {
    fn drop(&mut self) {
        // The rate was the optimizer's own, so it is valid.
        let _ = self.optimizer.set_lr(self.lr);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;
    use crate::optim::Sgd;
    use candle_core::{Device, Tensor};

    fn setup() -> Result<(Params, candle_core::Var)> {
        let mut params = Params::new();
        let w = params.add("w", Role::Weight, &Tensor::new(&[1f64], &Device::Cpu)?)?;
        Ok((params, w))
    }

    #[test]
    fn schedule_clip_and_average_by_hand() -> Result<()> {
        let (params, w) = setup()?;
        let mut sgd = Sgd::new(crate::optim::SgdConfig { lr: 0.5, momentum: 0.0, ..Default::default() })?;
        let average = Some(AverageConfig::swa(0.5, 1));
        let cfg = UpdateConfig { schedule: Schedule::linear(), clip: Some(1.0), average };
        let mut updater = Updater::new(&mut sgd, cfg)?;
        let mut rates = Vec::new();
        for step in 0..4 {
            // A gradient of 3 that is clipped to 1.
            rates.push(updater.step(&params, &mut (&*w * 3.0)?.sum_all()?.backward()?, step, 4)?);
        }
        assert_eq!(rates, [0.5, 0.375, 0.25, 0.125]);
        let value = || w.to_vec1::<f64>().map(|v| v[0]);
        assert_eq!(value()?, 1.0 - 1.25);
        updater.swap_average(&params)?;
        // The mean of the weights after the third and the fourth step.
        assert_eq!(value()?, (-0.125 - 0.25) / 2.0);
        drop(updater);
        assert_eq!(sgd.lr(), 0.5, "the optimizer has its rate again");
        Ok(())
    }

    #[test]
    fn refuses() -> Result<()> {
        let sgd = || Sgd::with_lr(0.1);
        for cfg in [
            UpdateConfig { clip: Some(0.0), ..Default::default() },
            UpdateConfig { average: Some(AverageConfig::ema(1.0)), ..Default::default() },
            UpdateConfig { average: Some(AverageConfig::swa(2.0, 1)), ..Default::default() },
            UpdateConfig { average: Some(AverageConfig::swa(0.0, 0)), ..Default::default() },
            UpdateConfig { schedule: Schedule::Linear { warmup: 7.0 }, ..Default::default() },
        ] {
            assert!(Updater::new(sgd()?, cfg.clone()).is_err(), "{cfg:?}");
        }
        Ok(())
    }
}
