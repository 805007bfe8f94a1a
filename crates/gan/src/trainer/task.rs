//! The task of two networks.

use super::GanConfig;
use super::balance::{Balance, mean_sign, measure, on_host};
use super::domains::{Domains, Real, some};
use crate::loss::{Ada, Penalty, r1, wasserstein_penalty};
use crate::nets::standing::{inputs, keys};
use crate::nets::{Discriminator, Generator, Pass, spectral::sigmas, standing_statistics};
use crate::{Error, Result};
use sconce_tensor_core::candle_core::{D, DType, Tensor};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::optim::{AverageConfig, Optimizer, UpdateConfig, Updater};
use sconce_tensor_core::store::{Fingerprint, State};
use sconce_tensor_core::train::{EpochEnd, StepContext, Task};
use sconce_tensor_core::{Bounds, ExampleRng, Mode, Params, Rng, error::require, ops};

/// Real examples whose scores without augmentation are measured after each epoch.
const MEASURED: usize = 500;

/// Trains a generator against a discriminator on one or more [`Domains`], a [`Task`] of
/// [`Engine`](sconce_tensor_core::train::Engine).
///
/// A step is `critic_steps` updates of the discriminator, each on new real and generated examples, and one update of the generator on the
/// last generated ones. The discriminator scores real and generated examples in one batch, so its spectral norms move once an
/// update; in the generator's step its weights are out of the graph. The loss of a step is the discriminator's mean loss.
///
/// The metrics of an epoch are means over its steps: `loss.discriminator`, `loss.generator`, `score.real`, `score.fake`, `accuracy.real` and
/// `accuracy.fake` (shares of scores on the right side of 0), all of augmented examples; and at its end, without augmentation, `score.train`
/// and `accuracy.train` on up to 500 examples of the first domain, `score.held_out` and `accuracy.held_out` after
/// [`Gan::held_out`]: train far above held-out is the sign of a discriminator that memorises. `augment.p` is ADA's probability, `sigma.class` the
/// spectral norm of the vectors of all classes.
///
/// A loss that is not finite ends training with [`Error::NotFinite`] before the update, naming the network, the step and the epoch.
/// [`Task::finish`] puts the averaged weights into the generator and takes its standing statistics. A run that is interrupted and
/// resumed ends with the same bytes. The fingerprint of a checkpoint has this configuration, the optimizers and the sizes of the
/// domains; networks and images are for the caller to name.
pub struct Gan<'a, O: Optimizer> {
    generator: &'a dyn Generator,
    discriminator: &'a dyn Discriminator,
    /// Those of the discriminator that training changes.
    trainable: Params,
    domains: Domains<'a>,
    weights: Option<Tensor>,
    updaters: [Updater<O>; 2],
    ada: Option<Ada>,
    cfg: GanConfig,
    rng: Rng,
    balance: Balance,
    measured: Vec<(&'static str, Tensor, Tensor)>,
    grid: Option<Grid<'a>>,
}

/// Samples at fixed noise.
struct Grid<'a> {
    every: usize,
    labels: Vec<u32>,
    show: Box<dyn FnMut(usize, &Tensor) -> Result<()> + 'a>,
}

/// Generated examples of one discriminator step.
struct Fake {
    x: Tensor,
    y: Tensor,
    keys: Vec<u64>,
}

impl<'a, O: Optimizer> Gan<'a, O> {
    /// Trains two networks with an optimizer each, the generator's first. `rng` is the run's, the one that the engine gets.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field; networks with fewer classes than the domains; [`Error::Value`] for examples outside the
    /// generator's range; [`Error::Unsupported`] for a penalty in a process without second derivatives.
    pub fn new(
        generator: &'a dyn Generator,
        discriminator: &'a dyn Discriminator,
        domains: Domains<'a>,
        optimizers: [O; 2],
        cfg: GanConfig,
        rng: &Rng,
    ) -> Result<Self> {
        cfg.validate()?;
        let classes = generator.classes().min(discriminator.classes());
        let need = format!("at least the {} of the domains", domains.classes());
        require("Gan.classes", classes >= domains.classes(), &need, classes)?;
        if let Some(range) = generator.range() {
            domains.iter().try_for_each(|d| require_range(d.data.x(), range))?;
        }
        let [of_g, of_d] = optimizers;
        let average = cfg.average.map(AverageConfig::ema);
        let update = UpdateConfig { schedule: cfg.schedule.clone(), average, ..UpdateConfig::default() };
        let updaters =
            [Updater::new(of_g, update.clone())?, Updater::new(of_d, UpdateConfig { average: None, ..update })?];
        let (x, y) = domains.some(0, MEASURED, &rng.stream("measured"))?;
        Ok(Self {
            trainable: discriminator.trainable(),
            weights: domains.weights()?,
            ada: cfg.ada.map(Ada::new).transpose()?,
            generator,
            discriminator,
            domains,
            updaters,
            cfg,
            rng: *rng,
            balance: Balance::default(),
            measured: vec![("train", x, y)],
            grid: None,
        })
    }

    /// Measures the discriminator after each epoch on up to 500 held-out examples, whose label 0 is class `first_class` of the networks.
    ///
    /// # Errors
    /// candle's only.
    pub fn held_out(mut self, data: &Labelled, first_class: usize) -> Result<Self> {
        let (x, y) = some(data, first_class, MEASURED, &self.rng.stream("held out"))?;
        self.measured.push(("held_out", x, y));
        Ok(self)
    }

    /// Gives samples of some labels at fixed noise to `show`, after each `every`-th epoch, with averaged weights and standing statistics; the
    /// first argument counts epochs. An epoch may be shown again in a run that is resumed.
    ///
    /// # Errors
    /// [`Error::Config`] for `every` 0 or no labels.
    pub fn sampled_every(
        mut self,
        every: usize,
        labels: Vec<u32>,
        show: impl FnMut(usize, &Tensor) -> Result<()> + 'a,
    ) -> Result<Self> {
        require("Gan.sampled_every", every >= 1 && !labels.is_empty(), "at least 1 epoch and 1 label", every)?;
        self.grid = Some(Grid { every, labels, show: Box::new(show) });
        Ok(self)
    }

    /// The discriminator's number of updates before a step of the run.
    fn draw(&self, at: &StepContext<'_>, critic: usize) -> u64 {
        (at.step * self.cfg.critic_steps + critic) as u64
    }

    fn fake(&self, draw: u64, rng: &Rng) -> Result<Fake> {
        let (labels, keys) = self.domains.fake(draw, rng);
        let (z, y) = inputs(self.generator, &labels, ExampleRng::new(rng.stream("noise"), keys.clone()))?;
        Ok(Fake { x: self.generator.generate(&z, &y, Pass::Train)?, y, keys })
    }

    fn augmented(&self, x: &Tensor, keys: &[u64], purpose: &str, rng: &Rng) -> Result<Tensor> {
        let Some(augment) = &self.cfg.augment else { return Ok(x.clone()) };
        let p = self.ada.as_ref().map_or(1.0, Ada::probability);
        augment.apply(x, &ExampleRng::new(rng.stream("augment").stream(purpose), keys.to_vec()), p)
    }

    fn class_loss(&self, logits: Option<&Tensor>, y: &Tensor) -> Result<Option<Tensor>> {
        let (Some(logits), true) = (logits, self.cfg.auxiliary > 0.0) else { return Ok(None) };
        let each = ops::cross_entropy(logits, y)?;
        Ok(Some((crate::loss::weighted_mean(&each, self.weights.as_ref())? * self.cfg.auxiliary)?))
    }

    fn penalty(&self, real: &Tensor, y: &Tensor, fake: &Tensor, keys: &[u64], rng: &Rng) -> Result<Option<Tensor>> {
        let score = |x: &Tensor| Ok(self.discriminator.score(x, y, Mode::Eval)?.realness);
        let weights = self.weights.as_ref();
        self.cfg
            .penalty
            .map(|p| match p {
                Penalty::R1(gamma) => r1(score, real, gamma, weights),
                Penalty::Wasserstein(lambda) => {
                    let keys = ExampleRng::new(rng.stream("penalty"), keys.to_vec());
                    wasserstein_penalty(score, (real, fake), lambda, weights, &keys)
                }
            })
            .transpose()
    }

    /// One update of the discriminator; returns its loss.
    fn criticise(&mut self, at: &StepContext<'_>, real: &Real, fake: &Fake) -> Result<f64> {
        let n = self.domains.batch();
        let x = self.augmented(&real.x, &real.keys, "real", &at.rng)?;
        let made = self.augmented(&fake.x.detach(), &fake.keys, "fake", &at.rng)?.detach();
        let (both, labels) = (Tensor::cat(&[&x, &made], 0)?, Tensor::cat(&[&real.y, &fake.y], 0)?);
        let scores = self.discriminator.score(&both, &labels, Mode::Train)?;
        let (r, f) = (scores.realness.narrow(0, 0, n)?, scores.realness.narrow(0, n, n)?);
        let mut loss = self.cfg.loss.discriminator(&r, &f, self.weights.as_ref())?;
        let of_real = scores.classes.map(|c| c.narrow(0, 0, n)).transpose()?;
        let more =
            [self.class_loss(of_real.as_ref(), &real.y)?, self.penalty(&x, &real.y, &made, &real.keys, &at.rng)?];
        for term in more.into_iter().flatten() {
            loss = (loss + term)?;
        }
        let value = at.finite("loss of the discriminator", &loss)?;
        let mut grads = ops::last_backward(&loss)?;
        self.updaters[1].step(&self.trainable, &mut grads, at.step, at.total)?;
        let (r, f) = (on_host(&r)?, on_host(&f)?);
        if let Some(ada) = &mut self.ada {
            ada.update(mean_sign(&r), n);
        }
        self.balance.critic(value, &r, &f);
        Ok(value)
    }

    /// One update of the generator on the fakes of the discriminator's last update.
    fn fool(&mut self, at: &StepContext<'_>, real: &Real, fake: &Fake) -> Result<()> {
        let x = self.augmented(&fake.x, &fake.keys, "generator", &at.rng)?;
        let scores = self.discriminator.score(&x, &fake.y, Mode::Frozen)?;
        let r = if self.cfg.loss.generator_needs_real() {
            let x = self.augmented(&real.x, &real.keys, "generator's real", &at.rng)?;
            Some(self.discriminator.score(&x, &real.y, Mode::Frozen)?.realness)
        } else {
            None
        };
        let mut loss = self.cfg.loss.generator(r.as_ref(), &scores.realness, self.weights.as_ref())?;
        if let Some(term) = self.class_loss(scores.classes.as_ref(), &fake.y)? {
            loss = (loss + term)?;
        }
        let value = at.finite("loss of the generator", &loss)?;
        let mut grads = ops::last_backward(&loss)?;
        self.updaters[0].step(self.generator.params(), &mut grads, at.step, at.total)?;
        self.balance.generator(value);
        Ok(())
    }

    /// Standing statistics of the weights as they are, with the labels of training.
    fn take_statistics(&self) -> Result<()> {
        let rng = self.rng.stream("statistics");
        let batches: Vec<_> = (0..self.cfg.standing_batches as u64).map(|k| self.domains.fake(k, &rng).0).collect();
        standing_statistics(self.generator, &batches, &rng)
    }

    fn show(&mut self, epoch: usize) -> Result<()> {
        if self.grid.as_ref().is_none_or(|g| !epoch.is_multiple_of(g.every)) {
            return Ok(());
        }
        let params = self.generator.params();
        self.updaters[0].swap_average(params)?;
        let shown = self.take_statistics().and_then(|()| self.show_grid(epoch));
        // Also after an error.
        self.updaters[0].swap_average(params)?;
        shown
    }

    fn show_grid(&mut self, epoch: usize) -> Result<()> {
        let Some(grid) = &mut self.grid else { return Ok(()) };
        let noise = ExampleRng::new(self.rng.stream("grid"), keys(grid.labels.len()));
        let (z, y) = inputs(self.generator, &grid.labels, noise)?;
        (grid.show)(epoch, &self.generator.generate(&z, &y, Pass::Sample)?.detach())
    }
}

/// Checks that examples lie in the range of the generator, and not in its upper half alone: images in [0, 1] for a range of [-1, 1].
fn require_range(x: &Tensor, range: Bounds) -> Result<()> {
    let flat = x.flatten_all()?;
    let (lo, hi) = (flat.min(D::Minus1)?, flat.max(D::Minus1)?);
    let [lo, hi] = [lo, hi].map(|v| v.to_dtype(DType::F64).and_then(|v| v.to_scalar::<f64>()));
    let (lo, hi) = (lo?, hi?);
    if lo >= range.lo() && hi <= range.hi() && lo < (range.lo() + range.hi()) / 2.0 {
        return Ok(());
    }
    let (a, b) = (range.lo(), range.hi());
    let reason =
        format!("are in [{lo}, {hi}], the generator's in [{a}, {b}]: convert images in [0, 1] with `nets::to_signed`");
    Err(Error::value("examples of a domain", reason))
}

impl<O: Optimizer> Task for Gan<'_, O> {
    fn batches(&self, _: usize, _: &Rng) -> Result<Vec<Vec<usize>>> {
        Ok(vec![Vec::new(); self.cfg.steps])
    }

    fn step(&mut self, at: &StepContext<'_>) -> Result<f64> {
        let mut sum = 0.0;
        for critic in 0..self.cfg.critic_steps {
            let draw = self.draw(at, critic);
            let real = self.domains.real(draw, &at.rng)?;
            let fake = self.fake(draw, &at.rng)?;
            sum += self.criticise(at, &real, &fake)?;
            if critic + 1 == self.cfg.critic_steps {
                self.fool(at, &real, &fake)?;
            }
        }
        Ok(sum / self.cfg.critic_steps as f64)
    }

    fn end_epoch(&mut self, epoch: usize) -> Result<EpochEnd> {
        self.generator.params().require_finite()?;
        self.discriminator.params().require_finite()?;
        let mut metrics = self.balance.take();
        for (name, x, y) in &self.measured {
            metrics.extend(measure(self.discriminator, (x, y), name)?);
        }
        if let Some(ada) = &self.ada {
            metrics.push(("augment.p".to_owned(), ada.probability()));
        }
        let is_class = |name: &str| name.split('.').any(|part| part == "class");
        let sigma = sigmas(self.discriminator.params())?.into_iter().find(|(name, _)| is_class(name));
        metrics.extend(sigma.map(|(_, sigma)| ("sigma.class".to_owned(), sigma)));
        self.show(epoch)?;
        Ok(EpochEnd { metrics, stop: false })
    }

    fn finish(&mut self) -> Result<()> {
        self.updaters[0].swap_average(self.generator.params())?;
        self.take_statistics()
    }

    fn state(&self) -> Result<State> {
        State::default()
            .with("generator", State::of(&(), self.generator.params())?)?
            .with("discriminator", State::of(&(), self.discriminator.params())?)?
            .with("generator_update", self.updaters[0].state()?)?
            .with("discriminator_update", self.updaters[1].state()?)?
            .with("augment", State::new(&self.ada.as_ref().map(Ada::probability), Vec::<(String, Tensor)>::new())?)?
            .with("balance", self.balance.state()?)
    }

    fn restore(&mut self, mut state: State) -> Result<()> {
        let (g, d) = (self.generator.params(), self.discriminator.params());
        g.restore(&state.take("generator")?.into_tensors())?;
        d.restore(&state.take("discriminator")?.into_tensors())?;
        self.updaters[0].restore(g, state.take("generator_update")?)?;
        self.updaters[1].restore(&self.trainable, state.take("discriminator_update")?)?;
        let p: Option<f64> = state.take("augment")?.values()?;
        if let (Some(ada), Some(p)) = (&mut self.ada, p) {
            ada.resume(p);
        }
        self.balance.restore(&state.take("balance")?)
    }

    fn fingerprint(&self) -> Fingerprint {
        let domains = self.domains.iter().enumerate().fold(Fingerprint::new(), |f, (i, d)| {
            f.with(format!("{i}"), (d.data.len(), d.data.classes(), d.first_class, d.batch, d.weight))
        });
        Fingerprint::new()
            .with("config", format!("{:?}", self.cfg))
            .with("generator_optimizer", self.updaters[0].describe())
            .with("discriminator_optimizer", self.updaters[1].describe())
            .with("trainable", (self.generator.params().count(), self.trainable.count()))
            .including("domain", &domains)
    }
}
