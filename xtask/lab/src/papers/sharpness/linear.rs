//! The linear model: eigenvalues at the minimiser over the radius, for both Hessians and for random noise of the same norm.

use super::config::{Linear, Pair};
use crate::jobs::{Job, Work};
use anyhow::Result;
use candle_core::{Device, Tensor};
use sconce_tensor_core::Rng;
use sconce_theory::eigenvalues;
use sconce_theory::logistic::{AdversarialLogistic, LinearAttack, LogisticConfig};
use serde::{Deserialize, Serialize};

/// One radius.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
    /// As a share of the critical radius.
    pub share: f64,
    pub eps: f64,
    /// Norm of the minimiser.
    pub norm: f64,
    /// Eigenvalues with the attack following, frozen, and with random noise of norm eps instead; from the smallest on.
    pub full: Vec<f64>,
    pub frozen: Vec<f64>,
    pub random: Vec<f64>,
    /// Loss over steps, mean of the directions: the adversarial loss at `w + s d`, each d as long as w, less that at w.
    pub line: Vec<f64>,
    /// The same along directions as long as the plain minimiser, whatever the radius.
    pub absolute_line: Vec<f64>,
}

/// Gaussian examples of a seed, at every radius.
#[derive(Clone, Copy, Serialize)]
pub struct Gaussian<'a> {
    pub linear: &'a Linear,
    /// Of the landscape, as for the images.
    pub steps: &'a [f64],
    pub directions: usize,
    pub seed: u64,
}

impl Job for Gaussian<'_> {
    type Output = Vec<Point>;

    fn key(&self) -> String {
        format!("linear/seed{}", self.seed)
    }

    fn cost(&self) -> f64 {
        (self.linear.examples * self.linear.radii.len()) as f64
    }

    fn run(&self, _: &Work<'_>) -> Result<Vec<Point>> {
        let (x, y) = draw(self.linear, self.seed)?;
        let rng = Rng::new(self.seed).stream("linear");
        radii((&x, &y), &self.linear.radii, 0.0, (self.steps, self.directions), &rng)
    }
}

/// Two classes of images at every radius: half of the images, a different half for each seed.
#[derive(Clone, Copy, Serialize)]
pub struct Halved<'a> {
    pub images: &'a Pair,
    pub seed: u64,
}

impl Job for Halved<'_> {
    type Output = Vec<Point>;

    fn key(&self) -> String {
        format!("images/seed{}", self.seed)
    }

    fn cost(&self) -> f64 {
        (self.images.data.train * self.images.radii.len()) as f64
    }

    fn run(&self, work: &Work<'_>) -> Result<Vec<Point>> {
        let Pair { data, radii: shares, l2, steps, directions, .. } = self.images;
        let train = &data.load(work.site)?.train;
        let half = &Rng::new(self.seed).stream("half").permutation(train.len())[..train.len() / 2];
        let rows: Vec<u32> = half.iter().map(|i| *i as u32).collect();
        let labels = train.labels()?;
        // The linear algebra is the CPU's.
        let x = train.x().to_device(&Device::Cpu)?.index_select(&Tensor::new(&rows[..], &Device::Cpu)?, 0)?;
        let labels: Vec<u32> = rows.iter().map(|i| labels[*i as usize]).collect();
        let (x, y) = project(self.images, &x, &labels)?;
        radii((&x, &y), shares, *l2, (steps, *directions), &Rng::new(self.seed).stream("images"))
    }
}

fn spectrum(m: &AdversarialLogistic, w: &[f64], attack: LinearAttack) -> Result<Vec<f64>> {
    Ok(eigenvalues(&m.hessian(w, attack)?, m.dim())?)
}

fn norm(w: &[f64]) -> f64 {
    w.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// Examples and labels of a seed.
fn draw(cfg: &Linear, seed: u64) -> Result<(Tensor, Vec<bool>)> {
    let rng = Rng::new(seed).stream("linear");
    let (n, d) = (cfg.examples, cfg.dims);
    let x = rng.stream("x").normals(n * d);
    let w = rng.stream("w").normals(d);
    let u = rng.stream("labels").uniforms(n);
    let chance = |x: &[f64]| 1.0 / (1.0 + (-cfg.slope * x.iter().zip(&w).map(|(x, w)| x * w).sum::<f64>()).exp());
    let y = x.chunks_exact(d).zip(u).map(|(x, u)| u < chance(x)).collect();
    Ok((Tensor::from_vec(x, (n, d), &Device::Cpu)?, y))
}

/// The two classes' images on the principal components of both.
fn project(cfg: &Pair, x: &Tensor, labels: &[u32]) -> Result<(Tensor, Vec<bool>)> {
    let (a, b) = cfg.classes;
    let rows: Vec<u32> = (0..labels.len() as u32).filter(|i| [a, b].contains(&labels[*i as usize])).collect();
    let y = rows.iter().map(|i| labels[*i as usize] == b).collect();
    let x = x.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)?.flatten_from(1)?.to_dtype(candle_core::DType::F64)?;
    let x = x.broadcast_sub(&x.mean_keepdim(0)?)?;
    let d = x.dim(1)?;
    let covariance = (x.t()?.matmul(&x)? / x.dim(0)? as f64)?.flatten_all()?.to_vec1::<f64>()?;
    let axes = sconce_theory::principal(&covariance, d, cfg.components)?;
    let axes = Tensor::from_vec(axes, (cfg.components, d), &Device::Cpu)?;
    Ok((x.matmul(&axes.t()?)?, y))
}

/// All radii of one data set; `steps` of the landscape along `directions` random directions.
fn radii(
    (x, y): (&Tensor, &[bool]),
    shares: &[f64],
    l2: f64,
    (steps, directions): (&[f64], usize),
    rng: &Rng,
) -> Result<Vec<Point>> {
    let base = AdversarialLogistic::new(x, y, LogisticConfig { l2, ..Default::default() })?;
    let critical = base.critical_eps();
    let d = base.dim();
    let plain = norm(&base.minimise()?.w);
    let one = |(i, share): (usize, &f64)| -> Result<Point> {
        let eps = share * critical;
        let model = base.with(LogisticConfig { eps, l2, ..Default::default() })?;
        let w = model.minimise()?.w;
        // Every example is moved by eps in a direction of its own.
        let z = rng.stream("noise").at(i as u64).normals(x.elem_count());
        let z: Vec<f64> =
            z.chunks_exact(d).flat_map(|z| z.iter().map(|v| eps * v / norm(z)).collect::<Vec<_>>()).collect();
        let moved = (x + Tensor::from_vec(z, x.dims(), &Device::Cpu)?)?;
        let random = AdversarialLogistic::new(&moved, y, LogisticConfig { l2, ..Default::default() })?;
        let at = random.minimise()?.w;
        let start = model.loss(&w)?;
        let (mut line, mut absolute_line) = (vec![0.0; steps.len()], vec![0.0; steps.len()]);
        for k in 0..directions {
            let z = rng.stream("direction").at(k as u64).normals(d);
            for (line, length) in [(&mut line, norm(&w)), (&mut absolute_line, plain)] {
                let factor = length / norm(&z);
                for (l, s) in line.iter_mut().zip(steps) {
                    let there: Vec<f64> = w.iter().zip(&z).map(|(w, z)| w + s * factor * z).collect();
                    *l += (model.loss(&there)? - start) / directions as f64;
                }
            }
        }
        Ok(Point {
            share: *share,
            eps,
            norm: norm(&w),
            full: spectrum(&model, &w, LinearAttack::Following)?,
            frozen: spectrum(&model, &w, LinearAttack::Frozen)?,
            random: spectrum(&random, &at, LinearAttack::Following)?,
            line,
            absolute_line,
        })
    };
    shares.iter().enumerate().map(one).collect()
}
