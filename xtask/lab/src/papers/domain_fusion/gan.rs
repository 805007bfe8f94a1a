//! Training of a GAN.

use super::config::{Arm, GanPart, NetworkName, Outer, Target};
use super::evaluator::{Evaluator, Measure};
use super::sets::Parts;
use crate::jobs::{Job, Work};
use crate::pieces::train::{self, advise};
use anyhow::Result;
use sconce_gan::domain_fusion::{DomainFusion, LabelUnion, SampleConfig, sample};
use sconce_gan::fidelity::{FidConfig, Generated, Real, fid};
use sconce_gan::nets::{
    DcganDiscriminator, DcganGenerator, Discriminator, DiscriminatorConfig, Generator, GeneratorConfig,
    ResNetDiscriminator, ResNetGenerator, Widths, to_signed, to_unit,
};
use sconce_gan::trainer::Gan;
use sconce_tensor_core::candle_core::DType;
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::optim::{Adam, AdamConfig};
use sconce_tensor_core::store::{Fingerprint, Kept, State};
use sconce_tensor_core::train::{Engine, EpochEnd, Report, StepContext, Task};
use sconce_tensor_core::{Device, Module, Rng};
use serde::{Deserialize, Serialize};
use std::cell::Cell;

/// A GAN of one arm, size and seed.
#[derive(Clone, Copy, Serialize)]
pub struct Train<'a> {
    pub target: &'a Target,
    pub outer: &'a Outer,
    pub gan: &'a GanPart,
    pub arm: &'a Arm,
    pub n: usize,
    pub seed: u64,
    /// By which FID is measured during training.
    pub evaluator: Evaluator<'a>,
}

/// The log of each phase.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Log {
    pub phases: Vec<(String, Report)>,
    /// Target images that the discriminator saw, with repetitions.
    pub exposure: usize,
}

const WEIGHTS: &str = "generator.safetensors";

/// In the networks' range.
fn signed(data: &Labelled) -> Result<Labelled> {
    Ok(Labelled::new(to_signed(data.x())?, &data.labels()?, data.classes())?)
}

impl Train<'_> {
    fn generator(&self, shape: (usize, usize), labels: LabelUnion, device: &Device) -> Result<Box<dyn Generator>> {
        let (channels, side) = shape;
        let GanPart { width, noise, .. } = *self.gan;
        let cfg =
            GeneratorConfig { channels, side, classes: labels.classes(), noise, width, ..GeneratorConfig::default() };
        let rng = Rng::new(self.seed).stream("generator");
        Ok(match self.gan.network {
            NetworkName::Dcgan => Box::new(DcganGenerator::new(cfg, rng, DType::F32, device)?),
            NetworkName::SnResnet => {
                let cfg = GeneratorConfig { widths: Widths::Constant, ..cfg };
                Box::new(ResNetGenerator::new(cfg, rng, DType::F32, device)?)
            }
        })
    }

    fn discriminator(
        &self,
        shape: (usize, usize),
        labels: LabelUnion,
        device: &Device,
    ) -> Result<Box<dyn Discriminator>> {
        let (channels, side) = shape;
        let classes = labels.classes();
        let cfg =
            DiscriminatorConfig { channels, side, classes, width: self.gan.width, ..DiscriminatorConfig::default() };
        let rng = Rng::new(self.seed).stream("discriminator");
        Ok(match self.gan.network {
            NetworkName::Dcgan => Box::new(DcganDiscriminator::new(cfg, rng, DType::F32, device)?),
            NetworkName::SnResnet => {
                let cfg = DiscriminatorConfig { widths: Widths::Constant, halvings: Some(2), plain_blocks: 2, ..cfg };
                Box::new(ResNetDiscriminator::new(cfg, rng, DType::F32, device)?)
            }
        })
    }

    /// The trained generator, for a job that needs this one.
    pub fn restored(&self, work: &Work<'_>) -> Result<Box<dyn Generator>> {
        let parts = self.target.load(self.n, self.seed, work.site)?;
        let (target, outer) = (signed(&parts.train)?, signed(&*self.outer.load(self.target.pool, work.site)?)?);
        let fusion = DomainFusion::new(self.gan.fusion(self.arm), &target, &outer)?;
        let g = self.generator(shape(&target)?, fusion.labels(), &work.site.device)?;
        train::restore_from(work, self, WEIGHTS, g.params())?;
        Ok(g)
    }

    /// Generated images of the target's classes, `per_class` of each.
    pub fn sample(&self, g: &dyn Generator, per_class: usize) -> Result<Labelled> {
        let cfg = SampleConfig { classes: self.target.classes.len(), per_class, batch: 250 };
        Ok(sample(g, cfg, &Rng::new(self.seed).stream("samples"))?)
    }

    /// One phase, with the FID of samples at the end of each epoch among its metrics.
    fn phase(&self, work: &Work<'_>, task: &mut dyn Task, name: &str, epochs: usize, rng: &Rng) -> Result<Report> {
        let checkpoint = work.checkpoint(name).every_steps(self.gan.steps.div_ceil(2).max(1))?;
        let mut watch = work.watch();
        Engine::new(epochs)?
            .resuming(checkpoint)
            .observed_by(&mut watch)
            .run(task, rng)
            .map_err(anyhow::Error::from)
            .map_err(advise)
    }
}

/// Channels and side.
fn shape(data: &Labelled) -> Result<(usize, usize)> {
    let (_, c, h, w) = data.x().dims4()?;
    anyhow::ensure!(h == w, "images must be square, these are {h} x {w}");
    Ok((c, h))
}

impl Job for Train<'_> {
    type Output = Log;

    fn key(&self) -> String {
        format!("gan/{}/n{}/seed{}", self.arm.name, self.n, self.seed)
    }

    fn needs(&self) -> Vec<String> {
        vec![self.evaluator.key()]
    }

    fn cost(&self) -> f64 {
        self.gan.cost(self.arm)
    }

    fn run(&self, work: &Work<'_>) -> Result<Log> {
        let parts = self.target.load(self.n, self.seed, work.site)?;
        let (target, outer) = (signed(&parts.train)?, signed(&*self.outer.load(self.target.pool, work.site)?)?);
        let held_out = signed(&parts.validation)?;
        let fusion = DomainFusion::new(self.gan.fusion(self.arm), &target, &outer)?;
        let (device, shape) = (&work.site.device, shape(&target)?);
        let g = self.generator(shape, fusion.labels(), device)?;
        let mut d = self.discriminator(shape, fusion.labels(), device)?;
        let watch = Watch::new(self, &parts, work)?;
        let (mut phases, mut exposure) = (Vec::new(), 0);
        for phase in fusion.phases()? {
            let rng = Rng::new(self.seed).stream(phase.name);
            phase.enter(&*g, &mut *d, &rng)?;
            let adam = |lr| Adam::new(AdamConfig { lr, beta1: 0.0, beta2: 0.9, ..AdamConfig::default() });
            let optimizers = [adam(self.arm.lr)?, adam(self.arm.lr)?];
            let mut gan = Gan::new(&*g, &*d, phase.domains.clone(), optimizers, self.gan.config()?, &rng)?;
            // The outer classes alone know nothing of the target.
            let of_target = phase.name != "outer";
            if of_target {
                gan = gan.held_out(&held_out, 0)?.sampled_every(1, watch.labels(), |_, x| watch.see(x))?;
                exposure += phase.domains.exposure(0, phase.epochs * self.gan.steps * self.gan.critic_steps);
            }
            let mut task = Watched { task: gan, watch: of_target.then_some(&watch) };
            phases.push((phase.name.to_owned(), self.phase(work, &mut task, phase.name, phase.epochs, &rng)?));
        }
        let kept = Kept::new(work.print().clone(), State::of(&(), g.params())?);
        work.leave(WEIGHTS, |path| Ok(kept.save(path)?))?;
        Ok(Log { phases, exposure })
    }
}

/// Measures samples while a GAN is trained.
struct Watch {
    measure: Measure,
    reference: sconce_gan::fidelity::Features,
    labels: Vec<u32>,
    fid: Cell<f64>,
}

impl Watch {
    fn new(job: &Train<'_>, parts: &Parts, work: &Work<'_>) -> Result<Self> {
        let measure = Measure::restored(&job.evaluator, work)?;
        let reference = measure.features(parts.reference.x(), "reference")?;
        let classes = job.target.classes.len();
        let labels = (0..classes * job.gan.watched).map(|i| (i % classes) as u32).collect();
        Ok(Self { measure, reference, labels, fid: Cell::new(f64::NAN) })
    }

    fn labels(&self) -> Vec<u32> {
        self.labels.clone()
    }

    fn see(&self, x: &sconce_tensor_core::candle_core::Tensor) -> sconce_tensor_core::Result<()> {
        let of = || -> Result<f64> {
            let features = self.measure.features(&to_unit(x)?, "samples at fixed noise")?;
            Ok(fid(Real(&self.reference), Generated(&features), &FidConfig::default())?.value)
        };
        self.fid.set(of().map_err(|e| sconce_tensor_core::Error::value("samples of an epoch", format!("{e:#}")))?);
        Ok(())
    }
}

/// A task whose epochs also have the FID of their samples, so that a resumed run has it too.
struct Watched<'w, T> {
    task: T,
    watch: Option<&'w Watch>,
}

type Said<T> = sconce_tensor_core::Result<T>;

impl<T: Task> Task for Watched<'_, T> {
    fn batches(&self, epoch: usize, rng: &Rng) -> Said<Vec<Vec<usize>>> {
        self.task.batches(epoch, rng)
    }

    fn step(&mut self, at: &StepContext<'_>) -> Said<f64> {
        self.task.step(at)
    }

    fn end_epoch(&mut self, epoch: usize) -> Said<EpochEnd> {
        let mut end = self.task.end_epoch(epoch)?;
        end.metrics.extend(self.watch.map(|w| ("fid".to_owned(), w.fid.get())));
        Ok(end)
    }

    fn finish(&mut self) -> Said<()> {
        self.task.finish()
    }

    fn state(&self) -> Said<State> {
        self.task.state()
    }

    fn restore(&mut self, state: State) -> Said<()> {
        self.task.restore(state)
    }

    fn fingerprint(&self) -> Fingerprint {
        self.task.fingerprint().with("watched", self.watch.map_or(0, |w| w.labels.len()))
    }
}
