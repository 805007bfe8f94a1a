//! Training a classifier.

use super::augment::{Augment, Mixup};
use super::fitting::Fitting;
use super::task::{EpochEnd, StepContext, Task, shuffled};
use super::{Checkpoint, Engine, Evaluate, HeldOut, KeepBest, LossOutput, Objective, Observer, Report};
use crate::classifier::require_logits;
use crate::data::{Batch, Labelled};
use crate::error::require;
use crate::nn::Network;
use crate::optim::{AverageConfig, Optimizer, Schedule, UpdateConfig};
use crate::regularizer::{PenaltyContext, Regularizer};
use crate::store::{Fingerprint, State};
use crate::{Error, Result, Rng, ops};
use candle_core::{Tensor, backprop::GradStore};

/// Configuration of a [`Trainer`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `epochs` | 6 | passes over the data | >= 1 |
/// | `batch_size` | 128 | examples per step; the last step of an epoch may have fewer | >= 1 |
/// | `schedule` | constant | factor on the optimizer's learning rate | |
/// | `clip` | none | largest common Euclidean norm of the gradients | > 0 |
/// | `average` | none | an average of the weights, which validation and the result use; with batch norm see [`super::refresh_statistics`] | |
#[derive(Clone, Debug, PartialEq)]
pub struct TrainConfig {
    /// Passes over the data.
    pub epochs: usize,
    /// Examples per step.
    pub batch_size: usize,
    /// Factor on the optimizer's learning rate.
    pub schedule: Schedule,
    /// Largest norm of the gradients.
    pub clip: Option<f64>,
    /// An average of the weights.
    pub average: Option<AverageConfig>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self { epochs: 6, batch_size: 128, schedule: Schedule::Constant, clip: None, average: None }
    }
}

/// What is measured after each epoch.
enum Evaluation<'a> {
    HeldOut(HeldOut<'a>),
    By(&'a dyn Evaluate),
}

/// Trains a classifier on an objective, with regularizers, augmentation and validation around it.
///
/// ```
/// # use sconce_tensor_core::{Rng, candle_core::{DType, Device}, data::Labelled, nets::{SmallCnn, SmallCnnConfig}};
/// use sconce_tensor_core::{optim::Adam, train::{CrossEntropy, KeepBest, TrainConfig, Trainer}};
/// # let x = Rng::new(0).uniform((40, 1, 8, 8), 0.0..1.0, DType::F32, &Device::Cpu)?;
/// # let data = Labelled::new(x, &[0, 1].repeat(20), 2)?;
/// # let (train, validation) = (data.slice(0, 30)?, data.slice(30, 10)?);
/// # let cfg = SmallCnnConfig { input: (1, 8, 8), classes: 2, channels: (2, 3), kernel: 3, hidden: 8, ..Default::default() };
/// # let net = SmallCnn::new(cfg, Rng::new(0), DType::F32, &Device::Cpu)?;
/// let report = Trainer::new(TrainConfig { epochs: 3, ..Default::default() }, &CrossEntropy)?
///     .validated_on(&validation)
///     .keeping(KeepBest::highest("accuracy").stop_after(2)?)
///     .fit(&net, &train, &mut Adam::with_lr(1e-3)?, &Rng::new(0))?;
/// assert!(report.best_epoch.is_some() && report.history("accuracy").len() == report.epochs.len());
/// # Ok::<(), sconce_tensor_core::Error>(())
/// ```
pub struct Trainer<'a> {
    cfg: TrainConfig,
    objective: &'a dyn Objective,
    regularizers: Vec<&'a dyn Regularizer>,
    augment: Option<&'a dyn Augment>,
    mixup: Option<Mixup>,
    evaluations: Vec<Evaluation<'a>>,
    best: Option<KeepBest>,
    checkpoint: Option<Checkpoint>,
    observer: Option<&'a mut dyn Observer>,
}

impl<'a> Trainer<'a> {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: TrainConfig, objective: &'a dyn Objective) -> Result<Self> {
        require("TrainConfig.epochs", cfg.epochs >= 1, "at least 1", cfg.epochs)?;
        require("TrainConfig.batch_size", cfg.batch_size >= 1, "at least 1", cfg.batch_size)?;
        cfg.schedule.validate()?;
        Ok(Self {
            cfg,
            objective,
            regularizers: Vec::new(),
            augment: None,
            mixup: None,
            evaluations: Vec::new(),
            best: None,
            checkpoint: None,
            observer: None,
        })
    }

    /// Adds a regularizer.
    #[must_use]
    pub fn regularized_by(mut self, r: &'a dyn Regularizer) -> Self {
        self.regularizers.push(r);
        self
    }

    /// Changes each batch's images at random, keyed by epoch and example.
    #[must_use]
    pub fn augmented_by(mut self, augment: &'a dyn Augment) -> Self {
        self.augment = Some(augment);
        self
    }

    /// Mixes each example with another one of the data, after the augmentation of both.
    #[must_use]
    pub fn mixed_by(mut self, mixup: Mixup) -> Self {
        self.mixup = Some(mixup);
        self
    }

    /// Measures `accuracy` and `loss` on held-out examples after each epoch.
    #[must_use]
    pub fn validated_on(mut self, data: &'a Labelled) -> Self {
        self.evaluations.push(Evaluation::HeldOut(HeldOut::new(data)));
        self
    }

    /// Measures metrics after each epoch.
    #[must_use]
    pub fn evaluated_by(mut self, evaluate: &'a dyn Evaluate) -> Self {
        self.evaluations.push(Evaluation::By(evaluate));
        self
    }

    /// Ends with the weights of the best epoch by a metric, and stops early where the rule says so.
    #[must_use]
    pub fn keeping(mut self, rule: KeepBest) -> Self {
        self.best = Some(rule);
        self
    }

    /// Keeps the state of the run after each epoch, and goes on from there where the file exists. The trainer adds its configuration, the
    /// optimizer's and the seed to the fingerprint; objective, regularizers and data are for the caller to name.
    #[must_use]
    pub fn resuming(mut self, checkpoint: impl Into<Option<Checkpoint>>) -> Self {
        self.checkpoint = checkpoint.into();
        self
    }

    /// Tells an observer of each step and epoch.
    #[must_use]
    pub fn observed_by(mut self, observer: &'a mut dyn Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Trains to the last epoch, or until a rule stops it.
    ///
    /// The result is a function of the network's first values, the data, the configuration and `rng`; where the run was
    /// interrupted, and how many threads it has, do not enter. The optimizer's learning rate is what the schedule scales; it has
    /// that rate again afterwards.
    ///
    /// # Errors
    /// [`Error::NoGradient`] naming a parameter outside the graph; [`Error::Value`] where the loss is not
    /// finite; the objective's, the observer's and the checkpoint's.
    pub fn fit(self, net: &dyn Network, data: &Labelled, optimizer: &mut dyn Optimizer, rng: &Rng) -> Result<Report> {
        if data.classes() != net.outputs() {
            let (got, want) = (data.classes(), net.outputs());
            return Err(Error::config("data.classes", format!("must be the network's {want}, got {got}")));
        }
        let TrainConfig { epochs, batch_size, schedule, clip, average } = self.cfg;
        let mut task = Classification {
            net,
            data,
            batch_size,
            objective: self.objective,
            regularizers: self.regularizers,
            augment: self.augment,
            mixup: self.mixup,
            evaluations: self.evaluations,
            fitting: Fitting::new(optimizer, UpdateConfig { schedule, clip, average }, self.best)?,
        };
        let mut engine = Engine::new(epochs)?.resuming(self.checkpoint);
        if let Some(observer) = self.observer {
            engine = engine.observed_by(observer);
        }
        engine.run(&mut task, rng)
    }
}

/// The task of a [`Trainer`].
struct Classification<'a, 'o> {
    net: &'a dyn Network,
    data: &'a Labelled,
    batch_size: usize,
    objective: &'a dyn Objective,
    regularizers: Vec<&'a dyn Regularizer>,
    augment: Option<&'a dyn Augment>,
    mixup: Option<Mixup>,
    evaluations: Vec<Evaluation<'a>>,
    fitting: Fitting<&'o mut dyn Optimizer>,
}

impl Classification<'_, '_> {
    /// The batch as the objective sees it.
    fn batch(&self, at: &StepContext<'_>) -> Result<Batch> {
        let mut batch = self.data.batch(at.examples)?;
        batch.step = at.step;
        let noise = at.example_rng();
        if let Some(augment) = self.augment {
            batch.x = augment.apply(&batch.x, &noise.stream("augment"))?;
        }
        if let Some(mixup) = &self.mixup {
            let draws = mixup.draw(self.data.len(), &noise);
            let partners: Vec<usize> = draws.iter().map(|d| d.0 as usize).collect();
            let lambdas: Vec<f64> = draws.iter().map(|d| d.1).collect();
            let mut other = self.data.batch(&partners)?;
            if let Some(augment) = self.augment {
                // A partner looks as it does in its own place of this epoch.
                other.x = augment.apply(&other.x, &noise.of_examples(other.indices.clone()).stream("augment"))?;
            }
            let (y, other_y) = (batch.y.to_vec1::<u32>()?, other.y.to_vec1::<u32>()?);
            let (x, targets) = mixup.mix(&batch.x, &other.x, &y, &other_y, &lambdas, self.data.classes())?;
            let likelier = y.iter().zip(&other_y).zip(&lambdas).map(|((a, b), l)| if *l >= 0.5 { *a } else { *b });
            batch.y = Tensor::from_iter(likelier, batch.y.device())?;
            (batch.x, batch.targets) = (x, Some(targets));
        }
        Ok(batch)
    }

    /// The loss with its penalties, and its gradients.
    fn gradients(&self, batch: &Batch, at: &StepContext<'_>) -> Result<(f64, GradStore)> {
        let params = self.net.params();
        let LossOutput { mut loss, logits, clean_logits } = self.objective.loss(self.net, batch, &at.example_rng())?;
        require_logits(&logits, batch.y.dim(0)?, self.net.outputs())?;
        let mut context = PenaltyContext::new(params).with_batch(&logits, &batch.y).with_clean(clean_logits.as_ref());
        if batch.targets.is_some() {
            // A mixed example has no label of its own: a regularizer that needs one says so.
            context.labels = None;
        }
        for r in &self.regularizers {
            if let Some(penalty) = r.penalty(&context)? {
                loss = (loss + penalty)?;
            }
        }
        Ok((at.finite("training loss", &loss)?, ops::last_backward(&loss)?))
    }
}

impl Task for Classification<'_, '_> {
    fn batches(&self, epoch: usize, rng: &Rng) -> Result<Vec<Vec<usize>>> {
        Ok(shuffled(self.data.len(), self.batch_size, epoch, rng))
    }

    fn step(&mut self, at: &StepContext<'_>) -> Result<f64> {
        let (net, batch) = (self.net, self.batch(at)?);
        let gradients = self.gradients(&batch, at);
        // Whatever happens, weights that the objective moved go back.
        self.objective.after_backward(net)?;
        let (value, mut gradients) = gradients?;
        let lr = self.fitting.updater.step(net.params(), &mut gradients, at.step, at.total)?;
        for r in &self.regularizers {
            r.after_update(net.params(), lr)?;
        }
        Ok(value)
    }

    fn end_epoch(&mut self, epoch: usize) -> Result<EpochEnd> {
        let (net, evaluations) = (self.net, &self.evaluations);
        self.fitting.end_epoch(net.params(), epoch, || {
            let mut metrics = Vec::new();
            for e in evaluations {
                metrics.extend(match e {
                    Evaluation::HeldOut(held_out) => held_out.evaluate(net)?,
                    Evaluation::By(evaluate) => evaluate.evaluate(net)?,
                });
            }
            Ok(metrics)
        })
    }

    fn finish(&mut self) -> Result<()> {
        self.fitting.finish(self.net.params())
    }

    fn best_epoch(&self) -> Option<usize> {
        self.fitting.best_epoch()
    }

    fn state(&self) -> Result<State> {
        self.fitting.state(self.net.params())
    }

    fn restore(&mut self, state: State) -> Result<()> {
        self.fitting.restore(self.net.params(), state)
    }

    fn fingerprint(&self) -> Fingerprint {
        self.fitting
            .fingerprint()
            .with("examples", self.data.len())
            .with("batch_size", self.batch_size)
            .with("regularizers", self.regularizers.len())
            .with("augment", format!("{:?}", self.augment))
            .with("mixup", format!("{:?}", self.mixup))
    }
}
