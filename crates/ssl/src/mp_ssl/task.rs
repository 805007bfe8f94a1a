//! The training task.

use super::PretextNet;
use super::tally::Tally;
use super::validation::hits;
use crate::pretext::{MixedBatch, Mixture};
use crate::transforms::Images;
use crate::weighting::{Balancer, Record, RepresentationGradients, TaskGradients, Weighting};
use crate::{Error, Result};
use sconce_tensor_core::candle_core::{Tensor, Var, backprop::GradStore};
use sconce_tensor_core::optim::{Optimizer, UpdateConfig, Updater};
use sconce_tensor_core::store::{Fingerprint, State};
use sconce_tensor_core::train::{EpochEnd, StepContext, Task, shuffled};
use sconce_tensor_core::{Mode, Module, Rng, Role, error::require, ops};

/// Configuration of [`MpSsl`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `batch_size` | 128 | examples of a batch; the trunk sees [`Mixture::copies`] times as many | >= 1 |
/// | `update` | nothing | schedule, clipping and averages of the optimizer | |
/// | `weight_sum` | none | scales the weights of each step to this sum; none: as the weighting gives them | > 0 |
/// | `weighted_heads` | false | whether heads follow their weighted losses; else each follows its own loss | |
///
/// The sum of the weights sets the size of the trunk's step at one learning rate: compare weightings at one sum, or tune the learning
/// rate for each. Unweighted heads are those of Sener and Koltun (2018), algorithm 2; their code weights them.
#[derive(Clone, Debug, PartialEq)]
pub struct MpSslConfig {
    /// Examples of a batch.
    pub batch_size: usize,
    /// What stands around the optimizer.
    pub update: UpdateConfig,
    /// The sum of the weights of each step.
    pub weight_sum: Option<f64>,
    /// Whether heads follow their weighted losses.
    pub weighted_heads: bool,
}

impl Default for MpSslConfig {
    fn default() -> Self {
        Self { batch_size: 128, update: UpdateConfig::default(), weight_sum: None, weighted_heads: false }
    }
}

/// Trains a [`PretextNet`] on all tasks of a [`Mixture`], a [`Task`] of [`sconce_tensor_core::train::Engine`].
///
/// The loss of a step is the mean of the tasks' losses, whatever the weights. The metrics of an epoch are means over its steps, of the
/// training batches: `loss.<task>`, `accuracy.<task>`, `weight.<task>`, `norm.<task>` (of `dL/dZ`), `descent.<task>` (the rate at which the
/// direction lowers the loss), `cosine.<task>.<task>`, `direction_norm`, `pareto_residual`
/// ([`Geometry`](crate::weighting::Geometry)); `certificate`, the largest [`residual`](crate::weighting::Weights::residual) of a step, for methods that
/// have one; and after [`MpSsl::validated_on`] `validation.loss.<task>` and `validation.accuracy.<task>`.
/// The log of every step goes to [`MpSsl::logged_by`].
///
/// The mixed images of an example are keyed by the run, the epoch and the example: they do not depend on the batch, and arms with
/// different heads see the same inputs. An interrupted run that is resumed ends with the same bytes. The fingerprint of a checkpoint has the
/// mixture, the weighting and the optimizer; the trunk's configuration and the images are for the caller to name.
pub struct MpSsl<'a, O: Optimizer> {
    net: &'a PretextNet<'a>,
    mixture: &'a Mixture,
    images: &'a Images,
    validation: Option<&'a Images>,
    balancer: Balancer<RepresentationGradients>,
    updater: Updater<O>,
    cfg: MpSslConfig,
    rng: Rng,
    tally: Tally,
    last: Option<Record>,
    log: Option<Box<Log<'a>>>,
}

type Log<'a> = dyn FnMut(&Record) + 'a;

/// What the heads say about one representation.
struct Heads {
    losses: Vec<f64>,
    accuracies: Vec<f64>,
    passes: Vec<GradStore>,
}

impl<'a, O: Optimizer> MpSsl<'a, O> {
    /// Trains `net` on `images`. `rng` is the run's, the one that the engine gets: the weighting's own draws and the validation images are
    /// keyed by it.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field, or where the mixture's tasks are not those of the network.
    pub fn new(
        net: &'a PretextNet<'a>,
        mixture: &'a Mixture,
        images: &'a Images,
        weighting: Box<dyn Weighting>,
        optimizer: O,
        cfg: MpSslConfig,
        rng: &Rng,
    ) -> Result<Self> {
        require("MpSslConfig.batch_size", cfg.batch_size >= 1, "at least 1", cfg.batch_size)?;
        if let Some(sum) = cfg.weight_sum {
            require("MpSslConfig.weight_sum", sum.is_finite() && sum > 0.0, "finite and > 0", sum)?;
        }
        net.require_tasks(mixture)?;
        let balancer = Balancer::new(weighting, net.tasks(), *rng)?;
        let updater = Updater::new(optimizer, cfg.update.clone())?;
        let (validation, tally, last, log) = (None, Tally::default(), None, None);
        Ok(Self { net, mixture, images, validation, balancer, updater, cfg, rng: *rng, tally, last, log })
    }

    /// Measures each task on held-out images after each epoch.
    #[must_use]
    pub fn validated_on(mut self, images: &'a Images) -> Self {
        self.validation = Some(images);
        self
    }

    /// Gives the log of every step to a function. Steps of a run that is resumed are given once, but those after its last
    /// checkpoint, which are done again.
    #[must_use]
    pub fn logged_by(mut self, log: impl FnMut(&Record) + 'a) -> Self {
        self.log = Some(Box::new(log));
        self
    }

    /// The log of the last step.
    pub fn last_step(&self) -> Option<&Record> {
        self.last.as_ref()
    }

    /// Losses, accuracies and one backward pass for each task, from one representation.
    fn heads(&self, at: &StepContext<'_>, z: &Tensor, batch: &MixedBatch) -> Result<Heads> {
        let mut heads = Heads { losses: Vec::new(), accuracies: Vec::new(), passes: Vec::new() };
        for (t, (name, labels)) in self.net.tasks().zip(&batch.labels).enumerate() {
            let logits = self.net.logits(t, z, Mode::Train)?;
            let loss = ops::cross_entropy(&logits, labels)?.mean_all()?;
            heads.losses.push(at.finite(&format!("loss of `{name}`"), &loss)?);
            heads.accuracies.push(hits(&logits, labels)? as f64 / labels.elem_count() as f64);
            heads.passes.push(ops::last_backward(&loss)?);
        }
        Ok(heads)
    }

    /// Scales the weights of a step to the sum of the configuration, and what its log says of them.
    fn scale(&self, record: &mut Record) -> Result<()> {
        let Some(want) = self.cfg.weight_sum else { return Ok(()) };
        let sum: f64 = record.weights.iter().sum();
        if sum <= 0.0 {
            let reason = format!("{:?} have the sum {sum}: it must be > 0 for `weight_sum`", record.weights);
            return Err(Error::value("weights", reason));
        }
        let factor = want / sum;
        record.weights.iter_mut().for_each(|w| *w *= factor);
        if let Some(g) = &mut record.geometry {
            g.direction_norm *= factor;
            g.descent.iter_mut().for_each(|d| *d *= factor);
        }
        Ok(())
    }

    /// The losses of the same batch as they are now; running statistics stay as they are.
    fn losses_again(&self, batch: &MixedBatch) -> Result<Vec<f64>> {
        let buffers = self.net.params().subset(|p| p.role() == Role::Buffer);
        let before = buffers.snapshot()?.into_iter().collect();
        let z = self.net.representation(&batch.x, Mode::Train)?.detach();
        buffers.restore(&before)?;
        let loss = |(t, labels)| {
            let losses = ops::cross_entropy(&self.net.logits(t, &z, Mode::Frozen)?, labels)?;
            Ok(losses.to_dtype(sconce_tensor_core::candle_core::DType::F64)?.mean_all()?.to_scalar::<f64>()?)
        };
        batch.labels.iter().enumerate().map(loss).collect()
    }
}

impl<O: Optimizer> Task for MpSsl<'_, O> {
    fn batches(&self, epoch: usize, rng: &Rng) -> Result<Vec<Vec<usize>>> {
        Ok(shuffled(self.images.len(), self.cfg.batch_size, epoch, rng))
    }

    fn step(&mut self, at: &StepContext<'_>) -> Result<f64> {
        let (net, (dtype, device)) = (self.net, self.net.place());
        let keys = at.example_rng().stream("pretext");
        let batch = self.mixture.batch(self.images, at.examples, &keys, dtype, device)?;
        let z = net.representation(&batch.x, Mode::Train)?;
        // A variable of its own: a head's backward pass ends there.
        let cut = Var::from_tensor(&z.detach())?;
        let mut heads = self.heads(at, &cut, &batch)?;
        let gradients = RepresentationGradients::of(&cut, &heads.passes)?;
        let mut record = self.balancer.step(&heads.losses, Some(&gradients))?;
        self.scale(&mut record)?;

        let through = (z * gradients.combine(&record.weights)?)?.sum_all()?;
        let mut all = ops::last_backward(&through)?;
        for ((head, pass), weight) in net.heads().iter().zip(&mut heads.passes).zip(&record.weights) {
            for p in head.params.trainable() {
                let own = pass.remove(p.var()).ok_or_else(|| Error::NoGradient { name: p.name().to_owned() })?;
                all.insert(p.var(), if self.cfg.weighted_heads { (own * *weight)? } else { own });
            }
        }
        self.updater.step(net.params(), &mut all, at.step, at.total)?;
        if self.balancer.method().needs_losses_after_update() {
            self.balancer.after_update(&self.losses_again(&batch)?)?;
        }
        self.tally.add(&record, &heads.accuracies, at.examples.len());
        if let Some(log) = &mut self.log {
            log(&record);
        }
        self.last = Some(record);
        Ok(heads.losses.iter().sum::<f64>() / heads.losses.len() as f64)
    }

    fn end_epoch(&mut self, _: usize) -> Result<EpochEnd> {
        let params = self.net.params();
        params.require_finite()?;
        self.balancer.end_epoch()?;
        let mut metrics = self.tally.take(self.last.as_ref());
        if let Some(images) = self.validation {
            self.updater.swap_average(params)?;
            let measured = self.net.evaluate(self.mixture, images, &self.rng.stream("validation"));
            // Also after an error.
            self.updater.swap_average(params)?;
            metrics.extend(measured?.into_iter().map(|(n, v)| (format!("validation.{n}"), v)));
        }
        Ok(EpochEnd { metrics, stop: false })
    }

    fn finish(&mut self) -> Result<()> {
        self.updater.swap_average(self.net.params())
    }

    fn state(&self) -> Result<State> {
        State::default()
            .with("params", State::of(&(), self.net.params())?)?
            .with("update", self.updater.state()?)?
            .with("weighting", self.balancer.state()?)?
            .with("epoch", self.tally.state(self.last.as_ref())?)
    }

    fn restore(&mut self, mut state: State) -> Result<()> {
        let params = self.net.params();
        params.restore(&state.take("params")?.into_tensors())?;
        self.updater.restore(params, state.take("update")?)?;
        self.balancer.restore(state.take("weighting")?)?;
        self.last = self.tally.restore(&state.take("epoch")?)?;
        Ok(())
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new()
            .with("optimizer", self.updater.describe())
            .with("examples", self.images.len())
            .with("batch_size", self.cfg.batch_size)
            .with("weight_sum", format!("{:?}", self.cfg.weight_sum))
            .with("weighted_heads", self.cfg.weighted_heads)
            .with("mixture", format!("{:?}", self.mixture))
            .with("weighting_rng", format!("{:?}", self.rng))
            .including("weighting", &self.balancer.fingerprint())
    }
}
