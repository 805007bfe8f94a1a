//! Generated images to look at.

use super::evaluator::pixels;
use super::gan::Train;
use crate::jobs::{Job, Work};
use crate::pieces::bytes_text::to_text;
use anyhow::Result;
use sconce_gan::fidelity::nearest;
use sconce_gan::nets::{Pass, to_unit};
use sconce_tensor_core::Rng;
use sconce_tensor_core::candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

/// Samples of a class, and steps of an interpolation.
const SAMPLES: usize = 4;
const STEPS: usize = 8;

/// A look at one GAN.
#[derive(Clone, Copy, Serialize)]
pub struct Show<'a> {
    pub train: Train<'a>,
}

/// Images as bytes in hexadecimal, two digits a pixel.
#[derive(Debug, Serialize, Deserialize)]
pub struct Shown {
    pub shape: (usize, usize, usize),
    /// A training image of each class.
    pub real: Vec<String>,
    /// For each class some samples, each with its nearest training image.
    pub classes: Vec<Vec<(String, String)>>,
    /// For each class a great circle between two noise vectors.
    pub between: Vec<Vec<String>>,
}

fn text(image: &[f32]) -> String {
    to_text(image.iter().map(|v| f64::from(*v)))
}

/// Points on the great circle from `a` to `b`, both ends among them.
fn slerp(a: &[f64], b: &[f64], steps: usize) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let angle = (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()).clamp(-1.0, 1.0).acos();
    let at = |t: f64| ((angle * (1.0 - t)).sin() / angle.sin(), (angle * t).sin() / angle.sin());
    let point = |i: usize| {
        let (of_a, of_b) = at(i as f64 / (steps - 1) as f64);
        a.iter().zip(b).map(move |(a, b)| of_a * a + of_b * b).collect::<Vec<f64>>()
    };
    (0..steps).flat_map(point).collect()
}

impl Job for Show<'_> {
    type Output = Shown;

    fn key(&self) -> String {
        format!("show/{}/n{}/seed{}", self.train.arm.name, self.train.n, self.train.seed)
    }

    fn needs(&self) -> Vec<String> {
        vec![self.train.key()]
    }

    fn cost(&self) -> f64 {
        1.0
    }

    fn run(&self, work: &Work<'_>) -> Result<Shown> {
        let job = &self.train;
        let (g, parts) = (job.restored(work)?, job.target.load(job.n, job.seed, work.site)?);
        let images = job.sample(&*g, SAMPLES)?;
        let (_, channels, height, width) = images.x().dims4()?;
        let near = nearest(&pixels(images.x(), "samples")?, &pixels(parts.train.x(), "train")?)?;
        let rows = |x: &Tensor| Ok::<_, anyhow::Error>(x.flatten_from(1)?.to_dtype(DType::F32)?.to_vec2::<f32>()?);
        let (samples, train, k) = (rows(images.x())?, rows(parts.train.x())?, images.classes());
        // Sample i is of class i mod k.
        let pair = |i: usize| (text(&samples[i]), text(&train[near[i].index]));
        let classes = (0..k).map(|y| (0..SAMPLES).map(|s| pair(s * k + y)).collect()).collect();
        let rng = Rng::new(job.seed).stream("interpolation");
        let mut between = Vec::new();
        for y in 0..k {
            let (a, b) =
                (rng.stream("from").at(y as u64).normals(g.noise()), rng.stream("to").at(y as u64).normals(g.noise()));
            let device = images.x().device();
            let z = Tensor::from_vec(slerp(&a, &b, STEPS), (STEPS, g.noise()), device)?.to_dtype(DType::F32)?;
            let y = Tensor::from_vec(vec![y as u32; STEPS], STEPS, device)?;
            let images = to_unit(&g.generate(&z, &y, Pass::Sample)?.detach())?;
            between.push(rows(&images)?.iter().map(|v| text(v)).collect());
        }
        // So are the training images.
        let real = (0..k).map(|y| text(&train[y])).collect();
        Ok(Shown { real, shape: (channels, height, width), classes, between })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_great_circle_keeps_the_length() {
        let (a, b) = ([3.0, 0.0, 4.0], [0.0, 5.0, 0.0]);
        let path = slerp(&a, &b, 5);
        let length = |p: &[f64]| p.iter().map(|v| v * v).sum::<f64>().sqrt();
        assert!(path.chunks(3).all(|p| (length(p) - 5.0).abs() < 1e-12));
        assert!(path[..3].iter().zip(&a).chain(path[12..].iter().zip(&b)).all(|(x, y)| (x - y).abs() < 1e-12));
    }
}
