//! Two dimensions, where the modes can be seen: few points of four target modes and many of twelve outer ones, on one ring.

use super::config::How;
use crate::jobs::{Job, Work};
use anyhow::{Result, bail};
use sconce_gan::domain_fusion::{Arm, DomainFusion, DomainFusionConfig, SampleConfig, sample};
use sconce_gan::nets::{ConditionalBatchNorm2d, Discriminator, Generator, Pass, Scores, SpectralWeight};
use sconce_gan::trainer::{Gan, GanConfig};
use sconce_tensor_core::candle_core::{D, DType, Device, Tensor, Var};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::nn::{Builder, Init, Linear};
use sconce_tensor_core::optim::{Adam, AdamConfig};
use sconce_tensor_core::train::Engine;
use sconce_tensor_core::{Mode, Module, Params, Rng, Role, ops};
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// Modes of the ring: every fourth is the target's.
const MODES: usize = 16;
const TARGET: usize = 4;

/// Sizes of the toy. All values are chosen by us.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Toy {
    /// Points of each target mode and of each outer one.
    pub points: (usize, usize),
    /// Standard deviation of a mode; the ring's radius is 1.
    pub spread: f64,
    /// Units of the hidden layers.
    pub width: usize,
    /// Steps with the target; half as many before them where the outer data comes first.
    pub steps: usize,
    /// Points of each domain in a batch.
    pub batch: usize,
    pub lr: f64,
    /// Generated points of each mode that are measured.
    pub samples: usize,
}

impl Toy {
    pub fn validate(&self) -> Result<()> {
        let (a, b) = self.points;
        if a < 3 || b < 3 || self.width == 0 || self.steps < 2 || self.batch < 2 || self.samples < 3 {
            bail!("toy: at least 3 points of a mode, 3 samples, 2 steps and batches of 2");
        }
        if !(self.spread > 0.0 && self.spread < 1.0) {
            bail!("toy.spread: in (0, 1), got {}", self.spread);
        }
        Ok(())
    }
}

/// The place of a mode: those of the target first.
fn centre(mode: usize) -> [f64; 2] {
    let place = if mode < TARGET { 4 * mode } else { (mode - TARGET) / 3 * 4 + (mode - TARGET) % 3 + 1 };
    let angle = TAU * place as f64 / MODES as f64;
    [angle.cos(), angle.sin()]
}

/// Points of the modes from `first` on, in turn.
fn points(toy: &Toy, first: usize, modes: usize, each: usize, rng: &Rng) -> Result<Labelled> {
    let z = rng.normals(2 * each * modes);
    let at = |i: usize| {
        let c = centre(first + i % modes);
        [c[0] + toy.spread * z[2 * i], c[1] + toy.spread * z[2 * i + 1]]
    };
    let values: Vec<f64> = (0..each * modes).flat_map(at).collect();
    let x = Tensor::from_vec(values, (each * modes, 2), &Device::Cpu)?.to_dtype(DType::F32)?;
    Ok(Labelled::new(x, &(0..each * modes).map(|i| (i % modes) as u32).collect::<Vec<_>>(), modes)?)
}

/// Three linear maps with conditional batch norm between them: the classes share all that makes a mode's shape.
struct Planar {
    params: Params,
    linear: [Linear; 3],
    norm: [ConditionalBatchNorm2d; 2],
    classes: usize,
}

const NOISE: usize = 4;

impl Planar {
    fn new(width: usize, classes: usize, rng: Rng) -> Result<Self> {
        let mut params = Params::new();
        let mut b = Builder::new(&mut params, rng, DType::F32, &Device::Cpu);
        let linear = [
            Linear::new(&mut b.scope("fc1"), NOISE, width)?,
            Linear::new(&mut b.scope("fc2"), width, width)?,
            Linear::new(&mut b.scope("fc3"), width, 2)?,
        ];
        let mut norm = |name: &str| ConditionalBatchNorm2d::new(&mut b.scope(name), width, classes);
        let norm = [norm("norm1")?, norm("norm2")?];
        Ok(Self { params, linear, norm, classes })
    }
}

impl Module for Planar {
    fn params(&self) -> &Params {
        &self.params
    }
}

impl Generator for Planar {
    fn noise(&self) -> usize {
        NOISE
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn generate(&self, z: &Tensor, y: &Tensor, pass: Pass) -> sconce_gan::Result<Tensor> {
        let mut h = z.clone();
        for (linear, norm) in self.linear.iter().zip(&self.norm) {
            let maps = linear.forward(&h, pass.mode())?.unsqueeze(2)?.unsqueeze(3)?;
            h = ops::relu(&norm.forward(&maps, y, pass)?)?.flatten_from(1)?;
        }
        self.linear[2].forward(&h, pass.mode())
    }
}

/// Two hidden layers, and a projection on the classes.
struct Critic {
    params: Params,
    weights: [SpectralWeight; 4],
    biases: [Var; 3],
    classes: usize,
}

impl Critic {
    fn new(width: usize, classes: usize, rng: Rng) -> Result<Self> {
        let mut params = Params::new();
        let mut b = Builder::new(&mut params, rng, DType::F32, &Device::Cpu);
        let mut weight = |name: &str, rows: usize, columns: usize| {
            SpectralWeight::new(&mut b.scope(name), Role::Weight, (rows, columns), Init::fan_in(columns), true)
        };
        let weights = [
            weight("fc1", width, 2)?,
            weight("fc2", width, width)?,
            weight("score", 1, width)?,
            weight("class", classes, width)?,
        ];
        let mut bias = |name: &str, n: usize| b.param(name, Role::Bias, n, Init::Constant(0.0));
        let biases = [bias("fc1.bias", width)?, bias("fc2.bias", width)?, bias("score.bias", 1)?];
        Ok(Self { params, weights, biases, classes })
    }
}

impl Module for Critic {
    fn params(&self) -> &Params {
        &self.params
    }
}

impl Discriminator for Critic {
    fn classes(&self) -> usize {
        self.classes
    }

    fn score(&self, x: &Tensor, y: &Tensor, mode: Mode) -> sconce_gan::Result<Scores> {
        let layer =
            |h: &Tensor, i: usize| ops::linear(h, &self.weights[i].tensor(mode)?, Some(&mode.tensor(&self.biases[i])));
        let phi = ops::relu(&layer(&ops::relu(&layer(x, 0)?)?, 1)?)?;
        let of_class = (ops::embedding(&self.weights[3].tensor(mode)?, y)? * &phi)?.sum(D::Minus1)?;
        Ok(Scores { realness: (layer(&phi, 2)?.squeeze(1)? + of_class)?, classes: None })
    }
}

/// Squared Fréchet distance of points to `N(centre, spread^2 I)`, in closed form: with covariance C of the points,
/// `|m - c|^2 + tr C + 2 s^2 - 2 s tr sqrt(C)`, and `tr sqrt(C) = sqrt(tr C + 2 sqrt(det C))` in two dimensions.
fn distance(points: &[[f64; 2]], centre: [f64; 2], spread: f64) -> f64 {
    let n = points.len() as f64;
    let mean = [0, 1].map(|i| points.iter().map(|p| p[i]).sum::<f64>() / n);
    let covariance =
        |i: usize, j: usize| points.iter().map(|p| (p[i] - mean[i]) * (p[j] - mean[j])).sum::<f64>() / (n - 1.0);
    let (a, b, c) = (covariance(0, 0), covariance(0, 1), covariance(1, 1));
    let root = (a + c + 2.0 * (a * c - b * b).max(0.0).sqrt()).sqrt();
    let shift: f64 = mean.iter().zip(centre).map(|(m, c)| (m - c).powi(2)).sum();
    shift + a + c + 2.0 * spread * spread - 2.0 * spread * root
}

/// The toy of one seed.
#[derive(Clone, Copy, Serialize)]
pub struct Ring<'a> {
    pub toy: &'a Toy,
    pub seed: u64,
}

/// What came of one arm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Drawn {
    pub name: String,
    /// Mean over the target's modes of the Fréchet distance (not squared) to the true mode.
    pub distance: f64,
    /// Some generated points.
    pub points: Vec<[f64; 2]>,
}

/// All arms, and the points that they learned from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rings {
    pub target: Vec<[f64; 2]>,
    pub outer: Vec<[f64; 2]>,
    pub arms: Vec<Drawn>,
    /// The same distance of the Gaussians fitted to the training points.
    pub fitted: f64,
}

/// The arms of the toy, by the names of their metrics.
pub const ARMS: [(&str, How); 3] =
    [("target-only", How::TargetOnly), ("fine-tuned", How::FineTuned), ("df", How::Joint)];

fn pairs(x: &Tensor) -> Result<Vec<[f64; 2]>> {
    let rounded = |v: f32| (f64::from(v) * 1e4).round() / 1e4;
    Ok(x.to_vec2::<f32>()?.into_iter().map(|p| [rounded(p[0]), rounded(p[1])]).collect())
}

/// The mean over the modes; row i is of mode `i mod TARGET`.
fn mean_distance(all: &[[f64; 2]], spread: f64) -> f64 {
    let of = |mode: usize| {
        let own: Vec<[f64; 2]> = all.iter().skip(mode).step_by(TARGET).copied().collect();
        distance(&own, centre(mode), spread).max(0.0).sqrt()
    };
    (0..TARGET).map(of).sum::<f64>() / TARGET as f64
}

impl Ring<'_> {
    fn arm(&self, name: &str, how: How, target: &Labelled, outer: &Labelled) -> Result<Drawn> {
        let (toy, rng) = (self.toy, Rng::new(self.seed).stream("toy"));
        let arm = match how {
            How::TargetOnly => Arm::TargetOnly,
            How::Joint => Arm::Joint,
            How::FineTuned | How::FreezeD(_) => Arm::FineTuned,
        };
        let cfg = DomainFusionConfig {
            arm,
            target_batch: toy.batch,
            outer_batch: toy.batch,
            epochs: 2,
            outer_epochs: 1,
            ..DomainFusionConfig::default()
        };
        let fusion = DomainFusion::new(cfg, target, outer)?;
        let classes = fusion.labels().classes();
        let g = Planar::new(toy.width, classes, rng.stream("generator"))?;
        let mut d = Critic::new(toy.width, classes, rng.stream("discriminator"))?;
        for phase in fusion.phases()? {
            let rng = rng.stream(phase.name);
            phase.enter(&g, &mut d, &rng)?;
            let adam = || Adam::new(AdamConfig { lr: toy.lr, beta1: 0.0, beta2: 0.9, ..AdamConfig::default() });
            let cfg = GanConfig { steps: toy.steps.div_ceil(2), average: Some(0.99), ..GanConfig::default() };
            let mut gan = Gan::new(&g, &d, phase.domains.clone(), [adam()?, adam()?], cfg, &rng)?;
            Engine::new(phase.epochs)?.run(&mut gan, &rng)?;
        }
        let cfg = SampleConfig { classes: TARGET, per_class: toy.samples, batch: 250 };
        let all = pairs(sample(&g, cfg, &rng)?.x())?;
        let distance = mean_distance(&all, toy.spread);
        Ok(Drawn { name: name.to_owned(), distance, points: all.into_iter().take(TARGET * 60).collect() })
    }
}

impl Job for Ring<'_> {
    type Output = Rings;

    fn key(&self) -> String {
        format!("toy/seed{}", self.seed)
    }

    fn cost(&self) -> f64 {
        self.toy.steps as f64
    }

    fn run(&self, work: &Work<'_>) -> Result<Rings> {
        let (toy, rng) = (self.toy, Rng::new(self.seed).stream("toy points"));
        let target = points(toy, 0, TARGET, toy.points.0, &rng.stream("target"))?;
        let outer = points(toy, TARGET, MODES - TARGET, toy.points.1, &rng.stream("outer"))?;
        let mut arms = Vec::new();
        for (i, (name, how)) in ARMS.into_iter().enumerate() {
            arms.push(self.arm(name, how, &target, &outer)?);
            work.at(i + 1, ARMS.len());
        }
        let (target, outer) = (pairs(target.x())?, pairs(outer.x())?);
        let fitted = mean_distance(&target, toy.spread);
        Ok(Rings { target, outer: outer.into_iter().take(40 * (MODES - TARGET)).collect(), arms, fitted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modes_are_sixteen_places_of_the_ring() {
        let mut places: Vec<i64> = (0..MODES)
            .map(|m| {
                let [x, y] = centre(m);
                (y.atan2(x).rem_euclid(TAU) / TAU * MODES as f64).round() as i64 % MODES as i64
            })
            .collect();
        assert_eq!(&places[..TARGET], [0, 4, 8, 12]);
        places.sort_unstable();
        assert_eq!(places, (0..MODES as i64).collect::<Vec<_>>());
    }

    #[test]
    fn the_distance_has_known_values() {
        // Mean (0, 0), covariance diag(8/3, 8/3): tr sqrt(C) = 2 sqrt(8/3).
        let square = [[2.0, 2.0], [2.0, -2.0], [-2.0, 2.0], [-2.0, -2.0]];
        let v: f64 = 16.0 / 3.0;
        assert!((distance(&square, [3.0, 0.0], 1.0) - (9.0 + 2.0 * (v.sqrt() - 1.0).powi(2))).abs() < 1e-12);
        assert!(distance(&square, [0.0, 0.0], v.sqrt()).abs() < 1e-12);
    }
}
