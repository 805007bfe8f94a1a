//! The arms of a comparison, as phases of training.

use super::LabelUnion;
use crate::nets::{Discriminator, Generator, NewRows, initialise_class_rows};
use crate::trainer::{Domain, Domains};
use crate::{Error, Result};
use sconce_tensor_core::Rng;
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::error::require;

/// What a GAN is trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arm {
    /// The target alone.
    TargetOnly,
    /// Target and outer data together: Domain Fusion.
    #[default]
    Joint,
    /// The outer data first, then the target, with all weights.
    FineTuned,
    /// As `FineTuned`, with the first `blocks` blocks of the discriminator frozen on the target (Mo et al. 2020, arXiv 2002.10964).
    FreezeD {
        /// How many.
        blocks: usize,
    },
}

/// What the target's classes start from when a GAN of the outer classes is fine-tuned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NewClasses {
    /// As in a new network.
    #[default]
    Fresh,
    /// The mean over the outer classes.
    MeanOuter,
}

/// Configuration of [`DomainFusion`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `arm` | joint | what the GAN is trained on | |
/// | `target_batch` | 64 | target examples in a batch, in every arm | >= 1 |
/// | `outer_batch` | 64 | outer examples in a batch | >= 1 |
/// | `target_weight` | 0.5 | share of the target in the losses of the joint arm; the outer data has the rest | (0, 1] |
/// | `epochs` | 100 | epochs with the target, in every arm | >= 1 |
/// | `outer_epochs` | 50 | epochs before them on the outer data alone, where the arm is fine-tuned | >= 1 |
/// | `new_classes` | fresh | what the target's classes start from when they are fine-tuned | |
///
/// A weight of 1 leaves the outer data out: the joint arm is then the target's alone. The default weight is neutral, both losses alike; 0.9 gave
/// the lowest FID with 20 target images of each class in our search (`sconce augment` has it as its default).
#[derive(Clone, Debug, PartialEq)]
pub struct DomainFusionConfig {
    /// What the GAN is trained on.
    pub arm: Arm,
    /// Target examples in a batch.
    pub target_batch: usize,
    /// Outer examples in a batch.
    pub outer_batch: usize,
    /// Share of the target in the losses.
    pub target_weight: f64,
    /// Epochs with the target.
    pub epochs: usize,
    /// Epochs on the outer data alone.
    pub outer_epochs: usize,
    /// What the target's classes start from when they are fine-tuned.
    pub new_classes: NewClasses,
}

impl Default for DomainFusionConfig {
    fn default() -> Self {
        Self {
            arm: Arm::Joint,
            target_batch: 64,
            outer_batch: 64,
            target_weight: 0.5,
            epochs: 100,
            outer_epochs: 50,
            new_classes: NewClasses::Fresh,
        }
    }
}

/// One arm on two labelled data sets: what its networks need, and its phases.
///
/// In every arm there are `epochs` epochs with `target_batch` target examples in each discriminator step, so all arms see the target
/// equally often; outer data comes on top.
#[derive(Clone, Debug)]
pub struct DomainFusion<'a> {
    cfg: DomainFusionConfig,
    target: &'a Labelled,
    outer: &'a Labelled,
    labels: LabelUnion,
}

/// A run of the engine: [`Phase::enter`], then a [`Gan`](crate::trainer::Gan) on [`Phase::domains`] for [`Phase::epochs`].
#[derive(Clone, Debug)]
pub struct Phase<'a> {
    /// `target`, `outer` or `joint`: a name for its checkpoint and its log.
    pub name: &'static str,
    /// Epochs of the engine.
    pub epochs: usize,
    /// What the batches are made of.
    pub domains: Domains<'a>,
    /// Blocks of the discriminator that are frozen.
    pub frozen_blocks: usize,
    /// Classes that start with new values, and from what.
    pub new_rows: Option<(std::ops::Range<usize>, NewRows)>,
}

impl<'a> DomainFusion<'a> {
    /// Validates the configuration. Both data sets are labelled from 0 and in the range of the generator.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field; [`Error::Shape`] where examples of both differ in shape.
    pub fn new(cfg: DomainFusionConfig, target: &'a Labelled, outer: &'a Labelled) -> Result<Self> {
        require("DomainFusionConfig.target_batch", cfg.target_batch >= 1, "at least 1", cfg.target_batch)?;
        require("DomainFusionConfig.outer_batch", cfg.outer_batch >= 1, "at least 1", cfg.outer_batch)?;
        let w = cfg.target_weight;
        require("DomainFusionConfig.target_weight", w > 0.0 && w <= 1.0, "in (0, 1]", w)?;
        require("DomainFusionConfig.epochs", cfg.epochs >= 1, "at least 1", cfg.epochs)?;
        require("DomainFusionConfig.outer_epochs", cfg.outer_epochs >= 1, "at least 1", cfg.outer_epochs)?;
        let (a, b) = (&target.x().dims()[1..], &outer.x().dims()[1..]);
        if a != b {
            return Err(Error::shape("outer examples", format!("(N, {a:?}), as the target's"), b));
        }
        let alone = cfg.arm == Arm::TargetOnly || (cfg.arm == Arm::Joint && w == 1.0);
        let outer_classes = if alone { 0 } else { outer.classes() };
        Ok(Self { labels: LabelUnion::new(target.classes(), outer_classes)?, cfg, target, outer })
    }

    /// The classes of the networks: those of both data sets, or the target's where the arm has no outer data. A table of classes that are
    /// never trained would still enter its spectral norm.
    pub fn labels(&self) -> LabelUnion {
        self.labels
    }

    /// The phases of the arm, in order.
    ///
    /// # Errors
    /// candle's only.
    pub fn phases(&self) -> Result<Vec<Phase<'a>>> {
        let cfg = &self.cfg;
        let target = |weight| Domain { data: self.target, first_class: 0, batch: cfg.target_batch, weight };
        let outer =
            |weight| Domain { data: self.outer, first_class: self.labels.target().end, batch: cfg.outer_batch, weight };
        let phase = |name, epochs, domains| {
            Ok::<_, Error>(Phase { name, epochs, domains: Domains::new(domains)?, frozen_blocks: 0, new_rows: None })
        };
        let alone = || phase("target", cfg.epochs, vec![target(1.0)]);
        Ok(match cfg.arm {
            Arm::TargetOnly => vec![alone()?],
            Arm::Joint if cfg.target_weight == 1.0 => vec![alone()?],
            Arm::Joint => {
                let both = vec![target(cfg.target_weight), outer(1.0 - cfg.target_weight)];
                vec![phase("joint", cfg.epochs, both)?]
            }
            Arm::FineTuned | Arm::FreezeD { .. } => {
                let before = phase("outer", cfg.outer_epochs, vec![outer(1.0)])?;
                let from = match cfg.new_classes {
                    NewClasses::Fresh => NewRows::Fresh,
                    NewClasses::MeanOuter => NewRows::MeanOf(self.labels.outer()),
                };
                let frozen_blocks = if let Arm::FreezeD { blocks } = cfg.arm { blocks } else { 0 };
                let new_rows = Some((self.labels.target(), from));
                vec![before, Phase { frozen_blocks, new_rows, ..alone()? }]
            }
        })
    }
}

impl Phase<'_> {
    /// Prepares the networks: new classes get their start values, blocks are frozen. It is a function of the weights and of `rng`, so a
    /// resumed run calls it again.
    ///
    /// # Errors
    /// [`Error::Config`] for more blocks or classes than the networks have.
    pub fn enter(&self, g: &dyn Generator, d: &mut dyn Discriminator, rng: &Rng) -> Result<()> {
        d.freeze(self.frozen_blocks)?;
        let Some((rows, new)) = &self.new_rows else { return Ok(()) };
        initialise_class_rows(g.params(), rows.clone(), new, &rng.stream("generator"))?;
        initialise_class_rows(d.params(), rows.clone(), new, &rng.stream("discriminator"))
    }
}
