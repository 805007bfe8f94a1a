//! The training, phase by phase.

use super::input::Input;
use super::networks::Networks;
use super::write::Place;
use crate::args::{Arm as ArmName, Augment};
use crate::sets::Set;
use crate::terminal::Terminal;
use anyhow::{Context, Result};
use sconce_gan::domain_fusion::{Arm, DomainFusion, DomainFusionConfig};
use sconce_gan::loss::{DiffAugment, DiffAugmentConfig};
use sconce_gan::nets::to_signed;
use sconce_gan::trainer::{Gan, GanConfig, ema_decay};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::optim::{Adam, AdamConfig};
use sconce_tensor_core::store::{Digest, Fingerprint};
use sconce_tensor_core::train::{Checkpoint, Engine, EpochReport, Observer, Progress, Report};
use sconce_tensor_core::{Device, Rng};
use serde::Serialize;

/// Reports of a phase, at most.
const REPORTS: u64 = 20;

/// Steps of an epoch, and epochs, of at least so many steps: no more than a twentieth more.
fn epochs(steps: u64) -> Result<(usize, usize)> {
    let each = steps.div_ceil(REPORTS);
    Ok((usize::try_from(each)?, usize::try_from(steps.div_ceil(each))?))
}

/// With so many target images or more the discriminator sees them as they are.
const MANY: usize = 5000;

/// Steps after which the state is kept, beside the end of each epoch.
const KEPT: usize = 500;

/// The course of one phase.
#[derive(Serialize)]
pub(super) struct Course {
    /// `outer`, `target` or `joint`.
    pub(super) phase: &'static str,
    /// Steps of the generator.
    pub(super) steps: usize,
    pub(super) report: Report,
}

impl Course {
    /// The last value of a metric.
    pub(super) fn last(&self, metric: &str) -> Option<f64> {
        self.report.epochs.last().and_then(|e| e.metric(metric))
    }
}

/// Tells how both networks stand.
struct Watch<'a> {
    phase: &'static str,
    each: usize,
    total: usize,
    terminal: &'a Terminal,
}

impl Observer for Watch<'_> {
    fn step(&mut self, p: &Progress) -> sconce_tensor_core::Result<()> {
        self.terminal.progress(&format!("training ({})", self.phase), p.step, p.total);
        Ok(())
    }

    fn epoch(&mut self, report: &EpochReport) -> sconce_tensor_core::Result<()> {
        let of = |name: &str| report.metric(name).unwrap_or(f64::NAN);
        let percent = |name: &str| 100.0 * of(name);
        let held = report
            .metric("accuracy.held_out")
            .map_or_else(String::new, |v| format!(", {:.0} % of held-out", 100.0 * v));
        self.terminal.note(&format!(
            "{:>7.1} s  {}: step {} of {}; losses D {:.3}, G {:.3}; D is right on {:.0} % of real and {:.0} % of generated images; not augmented, on \
             {:.0} % of training{held} images",
            self.terminal.seconds(),
            self.phase,
            report.epoch * self.each,
            self.total,
            of("loss.discriminator"),
            of("loss.generator"),
            percent("accuracy.real"),
            percent("accuracy.fake"),
            percent("accuracy.train"),
        ));
        Ok(())
    }
}

/// The learning rate: by default that of the arm.
pub(super) fn rate(args: &Augment) -> f64 {
    args.lr.unwrap_or(if args.arm == ArmName::Joint { 1e-3 } else { 4e-4 })
}

/// Images in [-1, 1].
fn signed(set: &Set, device: &Device) -> Result<Labelled> {
    let unit = set.images.to_labelled(device)?;
    Ok(Labelled::new(to_signed(unit.x())?, &unit.labels()?, unit.classes())?)
}

/// The median of the pixels at the border, in [-1, 1]: what shifted images are padded with.
fn border(set: &Set) -> f64 {
    let (_, h, w) = set.images.shape;
    let mut counts = [0usize; 256];
    for plane in set.images.pixels.chunks(h * w) {
        let outside = (0..h * w).filter(|p| [0, h - 1].contains(&(p / w)) || [0, w - 1].contains(&(p % w)));
        outside.for_each(|p| counts[usize::from(plane[p])] += 1);
    }
    let (total, mut sum) = (counts.iter().sum::<usize>(), 0);
    let at = counts.iter().position(|n| {
        sum += n;
        2 * sum >= total
    });
    at.unwrap_or(0) as f64 / 127.5 - 1.0
}

/// Trains the arm.
///
/// # Errors
/// Those of the trainer; a checkpoint of another run.
pub(super) fn run(
    args: &Augment,
    input: &Input,
    networks: &mut Networks,
    place: &Place,
    rng: &Rng,
    device: &Device,
    terminal: &Terminal,
) -> Result<Vec<Course>> {
    let target = signed(&input.trained, device)?;
    let outer = input.outer.as_ref().map(|o| signed(o, device)).transpose()?;
    let held_out = input.held_out.as_ref().map(|h| signed(h, device)).transpose()?;
    let (each, epochs_of_target) = epochs(args.steps)?;
    let (outer_each, outer_epochs) = epochs(args.outer_steps.unwrap_or(args.steps.div_ceil(2)))?;
    let batch = usize::try_from(args.batch)?;
    let cfg = DomainFusionConfig {
        arm: match args.arm {
            ArmName::Joint => Arm::Joint,
            ArmName::TargetOnly => Arm::TargetOnly,
            ArmName::FineTuned => Arm::FineTuned,
            ArmName::FreezeD => Arm::FreezeD { blocks: usize::try_from(args.frozen_blocks)? },
        },
        target_batch: batch,
        outer_batch: batch,
        // Of the other arms it is nothing.
        target_weight: if args.arm == ArmName::Joint { args.target_weight } else { 1.0 },
        epochs: epochs_of_target,
        outer_epochs,
        ..DomainFusionConfig::default()
    };
    let fusion = DomainFusion::new(cfg, &target, outer.as_ref().unwrap_or(&target))?;
    let augment = if target.len() < MANY {
        Some(DiffAugment::new(DiffAugmentConfig { padding: border(&input.trained), ..DiffAugmentConfig::default() })?)
    } else {
        None
    };
    // The average forgets half of the weights in a twentieth of the run, in 700 steps at most.
    let average = ema_decay((args.steps as f64 / 20.0).clamp(1.0, 700.0) * batch as f64, batch)?;
    // Bytes are converted here, so light images are what they seem.
    let gan = GanConfig { average: Some(average), augment, upper_half: true, ..GanConfig::default() };
    let lr = rate(args);
    let adam = || Adam::new(AdamConfig { lr, beta1: 0.0, beta2: 0.9, ..AdamConfig::default() });
    let digest = |set: &Set| Digest::new().bytes(&set.images.pixels).bytes(&set.images.labels).hex();
    let print = Fingerprint::new()
        .with("target", digest(&input.trained))
        .with("held out", input.held_out.as_ref().map_or_else(String::new, digest))
        .with("outer", input.outer.as_ref().map_or_else(String::new, digest))
        .with("arm", format!("{:?}, frozen {}", args.arm, args.frozen_blocks))
        .with_tree("networks", &networks.shape);
    let mut all = Vec::new();
    for phase in fusion.phases()? {
        phase.enter(&*networks.generator, &mut *networks.discriminator, rng)?;
        let (g, d) = (&*networks.generator, &*networks.discriminator);
        let each = if phase.name == "outer" { outer_each } else { each };
        let gan = GanConfig { steps: each, ..gan.clone() };
        let mut task = Gan::new(g, d, phase.domains.clone(), [adam()?, adam()?], gan, rng)?;
        if let (Some(held_out), true) = (&held_out, phase.name != "outer") {
            task = task.held_out(held_out, 0)?;
        }
        let total = phase.epochs * each;
        let mut watch = Watch { phase: phase.name, each, total, terminal };
        let kept = Checkpoint::new(place.checkpoint(phase.name), print.clone()).every_steps(KEPT)?;
        let report = Engine::new(phase.epochs)?.resuming(kept).observed_by(&mut watch).run(&mut task, rng);
        let report = report.with_context(|| {
            let folder = place.work().display();
            format!(
                "training on `{}` (to start again, for example after a change of the arguments, delete {folder})",
                phase.name
            )
        })?;
        all.push(Course { phase: phase.name, steps: total, report });
    }
    Ok(all)
}
