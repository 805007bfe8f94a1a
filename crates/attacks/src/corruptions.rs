//! Common corruptions at five severities: robustness to a distribution shift that no attacker chooses.

use crate::RunConfig;
use crate::geometry::{from_rows, host_rows, require_images};
use candle_core::Tensor;
use rayon::prelude::*;
use sconce_tensor_core::error::require;
use sconce_tensor_core::stats::Proportion;
use sconce_tensor_core::{Attack, Classifier, ExampleRng, Goal, Norm, Perturbed, Result, Rng, Threat};

/// The kinds of corruption. Images are in [0, 1].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Corruption {
    /// Gaussian noise.
    GaussianNoise,
    /// Poisson noise with a given number of photons (exact up to a mean of 50, normal approximation above).
    ShotNoise,
    /// Random pixels become black or white.
    ImpulseNoise,
    /// Gaussian noise in proportion to the pixel's value.
    SpeckleNoise,
    /// A Gaussian blur.
    GaussianBlur,
    /// A mean along a line, with a random angle for each example.
    MotionBlur,
    /// A constant is added to every pixel.
    Brightness,
    /// Every pixel moves towards the mean of its channel.
    Contrast,
    /// The resolution is reduced.
    Pixelate,
}

impl Corruption {
    /// All corruptions.
    pub const ALL: [Self; 9] = [
        Self::GaussianNoise,
        Self::ShotNoise,
        Self::ImpulseNoise,
        Self::SpeckleNoise,
        Self::GaussianBlur,
        Self::MotionBlur,
        Self::Brightness,
        Self::Contrast,
        Self::Pixelate,
    ];

    /// The name of the corruption in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::GaussianNoise => "gaussian-noise",
            Self::ShotNoise => "shot-noise",
            Self::ImpulseNoise => "impulse-noise",
            Self::SpeckleNoise => "speckle-noise",
            Self::GaussianBlur => "gaussian-blur",
            Self::MotionBlur => "motion-blur",
            Self::Brightness => "brightness",
            Self::Contrast => "contrast",
            Self::Pixelate => "pixelate",
        }
    }

    /// The strengths of severities 1 to 5: standard deviation, photons, share of pixels, standard deviation, standard
    /// deviation in pixels, length in pixels, shift, factor, factor of the side. The values are those of the CIFAR-10-C
    /// script of Hendrycks and Dietterich (2019), reconstructed from memory and not verified against it; the lengths of
    /// the motion blur are chosen by us.
    pub fn strengths(self) -> [f64; 5] {
        match self {
            Self::GaussianNoise => [0.04, 0.06, 0.08, 0.09, 0.10],
            Self::ShotNoise => [500.0, 250.0, 100.0, 75.0, 50.0],
            Self::ImpulseNoise => [0.01, 0.02, 0.03, 0.05, 0.07],
            Self::SpeckleNoise => [0.06, 0.10, 0.12, 0.16, 0.20],
            Self::GaussianBlur => [0.4, 0.6, 0.7, 0.8, 1.0],
            Self::MotionBlur => [2.0, 3.0, 4.0, 5.0, 6.0],
            Self::Brightness => [0.05, 0.10, 0.15, 0.20, 0.30],
            Self::Contrast => [0.75, 0.50, 0.40, 0.30, 0.15],
            Self::Pixelate => [0.95, 0.90, 0.85, 0.75, 0.65],
        }
    }
}

/// A corruption at a severity, as an attack that does not use the model. Accuracy under corruption is thus measured like
/// accuracy under attack, and each example has its own random noise.
#[derive(Clone, Copy, Debug)]
pub struct Corrupted {
    kind: Corruption,
    strength: f64,
}

impl Corrupted {
    /// The corruption at a severity from 1 to 5.
    ///
    /// # Errors
    /// The severity is not in 1 to 5.
    pub fn new(kind: Corruption, severity: usize) -> Result<Self> {
        require("Corrupted.severity", (1..=5).contains(&severity), "1 to 5", severity)?;
        Ok(Self { kind, strength: kind.strengths()[severity - 1] })
    }

    fn apply(&self, x: &mut [f64], [c, h, w]: [usize; 3], rng: &Rng) {
        let s = self.strength;
        match self.kind {
            Corruption::GaussianNoise => {
                x.iter_mut().zip(rng.normals(c * h * w)).for_each(|(v, z)| *v += s * z);
            }
            Corruption::SpeckleNoise => {
                x.iter_mut().zip(rng.normals(c * h * w)).for_each(|(v, z)| *v += *v * s * z);
            }
            Corruption::ShotNoise => {
                for (i, v) in x.iter_mut().enumerate() {
                    *v = poisson(*v * s, &rng.stream("pixel").at(i as u64)) / s;
                }
            }
            Corruption::ImpulseNoise => {
                for (v, u) in x.iter_mut().zip(rng.uniforms(c * h * w)) {
                    if u < s {
                        *v = if u < 0.5 * s { 0.0 } else { 1.0 };
                    }
                }
            }
            Corruption::GaussianBlur => {
                let reach = (4.0 * s).ceil() as isize;
                let taps: Vec<(isize, f64)> =
                    (-reach..=reach).map(|t| (t, (-0.5 * (t as f64 / s).powi(2)).exp())).collect();
                let across = |k: &(isize, f64)| (0, k.0, k.1);
                let down = |k: &(isize, f64)| (k.0, 0, k.1);
                mean_over(x, [c, h, w], &taps.iter().map(across).collect::<Vec<_>>());
                mean_over(x, [c, h, w], &taps.iter().map(down).collect::<Vec<_>>());
            }
            Corruption::MotionBlur => {
                let angle = std::f64::consts::PI * rng.uniforms(1)[0];
                // Points along the line, a quarter of a pixel apart; each counts at its nearest pixel.
                let steps = (4.0 * s) as isize;
                let taps: Vec<(isize, isize, f64)> = (0..=steps)
                    .map(|t| {
                        let along = s * (t as f64 / steps as f64 - 0.5);
                        ((along * angle.sin()).round() as isize, (along * angle.cos()).round() as isize, 1.0)
                    })
                    .collect();
                mean_over(x, [c, h, w], &taps);
            }
            Corruption::Brightness => x.iter_mut().for_each(|v| *v += s),
            Corruption::Contrast => {
                for channel in x.chunks_exact_mut(h * w) {
                    let mean = channel.iter().sum::<f64>() / (h * w) as f64;
                    channel.iter_mut().for_each(|v| *v = (*v - mean) * s + mean);
                }
            }
            Corruption::Pixelate => {
                // The mean over each cell of the smaller image, copied to all pixels of the cell.
                let side = |n: usize| ((n as f64 * s) as usize).max(1);
                let (sh, sw) = (side(h), side(w));
                for channel in x.chunks_exact_mut(h * w) {
                    let (mut sum, mut count) = (vec![0.0; sh * sw], vec![0.0; sh * sw]);
                    let cell = |i: usize| (i / w * sh / h) * sw + i % w * sw / w;
                    for (i, v) in channel.iter().enumerate() {
                        sum[cell(i)] += v;
                        count[cell(i)] += 1.0;
                    }
                    channel.iter_mut().enumerate().for_each(|(i, v)| *v = sum[cell(i)] / f64::max(count[cell(i)], 1.0));
                }
            }
        }
        x.iter_mut().for_each(|v| *v = v.clamp(0.0, 1.0));
    }
}

/// Accuracy under every corruption at severities 1 to 5, over all examples, including those that the model misclassifies
/// when they are clean.
///
/// # Shapes
/// `x` (N, C, H, W), `labels` (N,) of u32.
///
/// # Errors
/// Inputs, labels and model as in [`crate::run`].
pub fn corruption_table(
    model: &dyn Classifier,
    x: &Tensor,
    labels: &Tensor,
    cfg: &RunConfig,
    rng: &Rng,
) -> Result<Vec<(Corruption, [Proportion; 5])>> {
    let goal = Goal::Untargeted(labels.clone());
    crate::run::check(model, x, &goal)?;
    let (n, batch, y) = (x.dim(0)?, cfg.batch(x)?, labels.to_vec1::<u32>()?);
    let mut table = Vec::new();
    for kind in Corruption::ALL {
        let mut row = [Proportion { hits: 0, total: n }; 5];
        for (severity, cell) in (1..).zip(&mut row) {
            let corrupted = Corrupted::new(kind, severity)?;
            for at in (0..n).step_by(batch) {
                let part = x.narrow(0, at, batch.min(n - at))?.contiguous()?;
                let examples = (at..at + part.dim(0)?).map(|i| cfg.first_example + i as u64).collect();
                let moved = corrupted.perturb(model, &part, &goal, &ExampleRng::new(*rng, examples))?.x;
                let predicted = sconce_tensor_core::classifier::predict(model, &moved, batch)?;
                cell.hits += predicted.iter().zip(&y[at..]).filter(|(p, y)| p == y).count();
            }
        }
        table.push((kind, row));
    }
    Ok(table)
}

/// Knuth's product method for small means, the rounded normal limit for large ones.
fn poisson(mean: f64, rng: &Rng) -> f64 {
    if mean <= 0.0 {
        return 0.0;
    }
    if mean > 50.0 {
        return (mean + mean.sqrt() * rng.normals(1)[0]).round().max(0.0);
    }
    let (limit, mut product, mut k) = ((-mean).exp(), 1.0, 0);
    for u in rng.uniforms(200) {
        product *= u;
        if product <= limit {
            break;
        }
        k += 1;
    }
    f64::from(k)
}

/// A weighted mean over shifted images; positions outside the image use the nearest edge pixel.
fn mean_over(x: &mut [f64], [c, h, w]: [usize; 3], taps: &[(isize, isize, f64)]) {
    let total: f64 = taps.iter().map(|t| t.2).sum();
    let near = |i: usize, by: isize, n: usize| (i as isize + by).clamp(0, n as isize - 1) as usize;
    for channel in x.chunks_exact_mut(h * w).take(c) {
        let from = channel.to_vec();
        for (i, v) in channel.iter_mut().enumerate() {
            let (r, k) = (i / w, i % w);
            *v = taps.iter().map(|t| t.2 * from[near(r, t.0, h) * w + near(k, t.1, w)]).sum::<f64>() / total;
        }
    }
}

impl Attack for Corrupted {
    fn threat(&self) -> Threat {
        Threat::unbounded(Norm::L2)
    }

    fn supports(&self, input: &[usize], _classes: usize) -> Result<()> {
        require_images("corruptions", input, 1)
    }

    fn perturb(&self, model: &dyn Classifier, x: &Tensor, _goal: &Goal, rng: &ExampleRng) -> Result<Perturbed> {
        require_images("corruptions", x.dims(), 1)?;
        let (_, c, h, w) = x.dims4()?;
        let b = model.bounds();
        let width = b.hi() - b.lo();
        let mut rows = host_rows(x)?;
        rows.par_iter_mut().enumerate().for_each(|(i, row)| {
            row.iter_mut().for_each(|v| *v = (*v - b.lo()) / width);
            self.apply(row, [c, h, w], &rng.stream(self.kind.name()).row(i));
            row.iter_mut().for_each(|v| *v = *v * width + b.lo());
        });
        Perturbed::evenly(from_rows(rows, x)?, 0, 0)
    }
}
