//! Averages of the weights over steps.

use crate::ops::cpu::element::Element;
use crate::ops::in_place::{Elementwise, apply};
use crate::store::State;
use crate::{Error, Params, Result, error::require};
use candle_core::Tensor;

/// Which average of the weights over steps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Kind {
    /// `mean <- mean + (w - mean) / k` at the k-th update.
    #[default]
    Mean,
    /// `mean <- decay mean + (1 - decay) w`, from the first weights on.
    Exponential(f64),
}

/// A running average of all trainable weights; buffers are not averaged.
///
/// [`Average::mean`] is `mean <- mean + (w - mean) / k` at the k-th update: at the end of each epoch it is SWA (Izmailov et al.
/// 2018, arXiv 1803.05407), after each step averaged SGD (Polyak and Juditsky 1992; PyTorch's `ASGD` with `lambd` 0 and `t0` 0).
/// [`Average::exponential`] is `mean <- decay mean + (1 - decay) w` (PyTorch's `AveragedModel` with `get_ema_multi_avg_fn`).
#[derive(Clone, Debug, Default)]
pub struct Average {
    kind: Kind,
    updates: u64,
    mean: Vec<(String, Tensor)>,
}

impl Average {
    /// The mean of nothing yet.
    pub fn mean() -> Self {
        Self::default()
    }

    /// The exponential moving average of nothing yet.
    ///
    /// # Errors
    /// [`Error::Config`] for a `decay` outside [0, 1).
    pub fn exponential(decay: f64) -> Result<Self> {
        require("Average.decay", (0.0..1.0).contains(&decay), "in [0, 1)", decay)?;
        Ok(Self { kind: Kind::Exponential(decay), ..Self::default() })
    }

    /// Updates so far.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Takes the weights as they are now into the average.
    ///
    /// # Errors
    /// candle's only.
    pub fn update(&mut self, params: &Params) -> Result<()> {
        self.updates += 1;
        if self.mean.is_empty() {
            let copy = |p: &crate::Param| Ok((p.name().to_owned(), p.var().as_detached_tensor().copy()?));
            self.mean = params.trainable().map(copy).collect::<Result<_>>()?;
            return Ok(());
        }
        let share = match self.kind {
            Kind::Mean => 1.0 / self.updates as f64,
            Kind::Exponential(decay) => 1.0 - decay,
        };
        for (p, (_, mean)) in params.trainable().zip(&self.mean) {
            let w = p.var().as_detached_tensor();
            apply([mean], [&w], &Toward(share))?;
        }
        Ok(())
    }

    /// Exchanges the weights with their average; a second call puts them back. Nothing happens before the first update.
    ///
    /// # Errors
    /// candle's only.
    pub fn swap(&mut self, params: &Params) -> Result<()> {
        for (p, (_, mean)) in params.trainable().zip(&mut self.mean) {
            let now = p.var().as_detached_tensor().copy()?;
            p.var().set(mean)?;
            *mean = now;
        }
        Ok(())
    }

    /// The averages by name. They share memory with this.
    ///
    /// # Errors
    /// candle's only.
    pub fn state(&self) -> Result<State> {
        State::new(&self.updates, self.mean.iter().map(|(n, t)| (n.as_str(), t.clone())))
    }

    /// Takes back what [`Average::state`] gave.
    ///
    /// # Errors
    /// [`Error::Value`] where a parameter has no average of its shape.
    pub fn restore(&mut self, params: &Params, state: State) -> Result<()> {
        let updates: u64 = state.values()?;
        let mut tensors = state.into_tensors();
        let mut mean = Vec::new();
        for p in params.trainable().filter(|_| updates > 0) {
            match tensors.remove(p.name()).filter(|m| m.shape() == p.var().shape()) {
                Some(m) => mean.push((p.name().to_owned(), m.to_device(p.var().device())?.copy()?)),
                None => return Err(Error::value("average", format!("no average of `{}` in its shape", p.name()))),
            }
        }
        (self.updates, self.mean) = (updates, mean);
        Ok(())
    }
}

/// `mean <- mean + share (w - mean)`.
struct Toward(f64);

impl Elementwise<1> for Toward {
    #[inline(always)]
    fn apply<T: Element>(&self, [mean]: [&mut [T]; 1], [w]: [&[T]; 1]) {
        let share = T::of_f64(self.0);
        for (m, w) in mean.iter_mut().zip(w) {
            *m += share * (*w - *m);
        }
    }

    fn of_tensors(&self, [mean]: [&Tensor; 1], [w]: [&Tensor; 1]) -> candle_core::Result<[Tensor; 1]> {
        Ok([(mean + ((w - mean)? * self.0)?)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;
    use crate::ops::in_place::assert_one_formula;
    use candle_core::Device;

    #[test]
    fn the_mean_and_back() -> Result<()> {
        let mut params = Params::new();
        let w = params.add("w", Role::Weight, &Tensor::new(&[1f64], &Device::Cpu)?)?;
        let value = || w.to_vec1::<f64>().map(|v| v[0]);
        let mut average = Average::mean();
        average.swap(&params)?;
        for v in [1.0, 4.0, 7.0] {
            w.set(&Tensor::new(&[v], &Device::Cpu)?)?;
            average.update(&params)?;
        }
        average.swap(&params)?;
        assert_eq!(value()?, 4.0);
        average.swap(&params)?;
        assert_eq!(value()?, 7.0);
        let mut other = Average::mean();
        other.restore(&params, average.state()?)?;
        other.swap(&params)?;
        assert_eq!(value()?, 4.0);
        let none = State::new(&1u64, Vec::<(String, Tensor)>::new())?;
        assert!(other.restore(&params, none).is_err_and(|e| e.to_string().contains("`w`")));
        let mut ema = Average::exponential(0.75)?;
        for v in [1.0, 5.0, 9.0] {
            w.set(&Tensor::new(&[v], &Device::Cpu)?)?;
            ema.update(&params)?;
        }
        ema.swap(&params)?;
        // 1, then 0.75 + 1.25 = 2, then 1.5 + 2.25.
        assert_eq!(value()?, 3.75);
        assert!(Average::exponential(1.0).is_err());
        Ok(())
    }

    #[test]
    fn updates_of_tensors() {
        assert_one_formula(&Toward(0.3));
    }
}
