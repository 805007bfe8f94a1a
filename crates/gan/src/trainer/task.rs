//! The task of two networks.

use super::GanConfig;
use super::balance::{Balance, measure};
use super::domains::{Domains, some};
use crate::loss::Ada;
use crate::nets::standing::{inputs, keys};
use crate::nets::{Discriminator, Generator, Pass, spectral::sigmas, standing_statistics};
use crate::{Error, Result};
use sconce_tensor_core::candle_core::{D, DType, Tensor};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::optim::{AverageConfig, Optimizer, UpdateConfig, Updater};
use sconce_tensor_core::store::{Fingerprint, State};
use sconce_tensor_core::train::{EpochEnd, StepContext, Task};
use sconce_tensor_core::{Bounds, ExampleRng, Params, Rng, Role, error::require};

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
    pub(super) generator: &'a dyn Generator,
    pub(super) discriminator: &'a dyn Discriminator,
    /// Those of the discriminator that training changes.
    pub(super) trainable: Params,
    pub(super) domains: Domains<'a>,
    pub(super) weights: Option<Tensor>,
    pub(super) updaters: [Updater<O>; 2],
    pub(super) ada: Option<Ada>,
    pub(super) cfg: GanConfig,
    rng: Rng,
    pub(super) balance: Balance,
    measured: Vec<(&'static str, Tensor, Tensor)>,
    grid: Option<Grid<'a>>,
}

/// Samples at fixed noise.
struct Grid<'a> {
    every: usize,
    labels: Vec<u32>,
    show: Show<'a>,
}

/// Takes the epoch and the samples.
type Show<'a> = Box<dyn FnMut(usize, &Tensor) -> Result<()> + 'a>;

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
            domains.iter().try_for_each(|d| require_range(d.data.x(), range, cfg.upper_half))?;
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
    /// [`Error::Value`] for examples outside the generator's range; [`Error::Config`] for more classes than the discriminator has.
    pub fn held_out(mut self, data: &Labelled, first_class: usize) -> Result<Self> {
        if let Some(range) = self.generator.range() {
            // A few of them may well be light.
            require_range(data.x(), range, true)?;
        }
        let (have, need) = (self.discriminator.classes(), first_class + data.classes());
        require("Gan.held_out", need <= have, &format!("of at most the {have} classes of the discriminator"), need)?;
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
        // Standing statistics are buffers; those of the averaged weights are for the grid only.
        let buffers = params.subset(|p| p.role() == Role::Buffer);
        let before = buffers.snapshot()?.into_iter().collect();
        self.updaters[0].swap_average(params)?;
        let shown = self.take_statistics().and_then(|()| self.show_grid(epoch));
        // Also after an error.
        self.updaters[0].swap_average(params)?;
        buffers.restore(&before)?;
        shown
    }

    fn show_grid(&mut self, epoch: usize) -> Result<()> {
        let Some(grid) = &mut self.grid else { return Ok(()) };
        let noise = ExampleRng::new(self.rng.stream("grid"), keys(grid.labels.len()));
        let (z, y) = inputs(self.generator, &grid.labels, noise)?;
        (grid.show)(epoch, &self.generator.generate(&z, &y, Pass::Sample)?.detach())
    }
}

/// Checks that examples lie in the range of the generator, and unless `upper_half` not in its upper half alone: images in [0, 1] for a range
/// of [-1, 1].
fn require_range(x: &Tensor, range: Bounds, upper_half: bool) -> Result<()> {
    let flat = x.flatten_all()?;
    let (lo, hi) = (flat.min(D::Minus1)?, flat.max(D::Minus1)?);
    let [lo, hi] = [lo, hi].map(|v| v.to_dtype(DType::F64).and_then(|v| v.to_scalar::<f64>()));
    let (lo, hi) = (lo?, hi?);
    let (a, b) = (range.lo(), range.hi());
    let inside = lo >= a && hi <= b;
    if inside && (upper_half || lo < (a + b) / 2.0) {
        return Ok(());
    }
    let way_out = if inside { "; if they are light and need no conversion, set `GanConfig.upper_half`" } else { "" };
    let reason = format!(
        "are in [{lo}, {hi}], the generator's in [{a}, {b}]: convert images in [0, 1] with `nets::to_signed`{way_out}"
    );
    Err(Error::value("examples", reason))
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
            metrics.extend(measure(self.discriminator, (x, y), name, self.cfg.loss.boundary())?);
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
