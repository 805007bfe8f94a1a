//! The theory's setting: logits that are free, one label, gradient descent.

use super::config::Optimum;
use crate::jobs::{Job, Work};
use anyhow::Result;
use candle_core::{Device, Tensor, Var};
use sconce_activations::{LogitForm, LogitFunction, LogitFunctionConfig};
use sconce_tensor_core::optim::{Sgd, SgdConfig};
use sconce_tensor_core::train::{Engine, LossTask, Observer, Progress};
use sconce_tensor_core::{Params, Rng, Role, ops};
use serde::{Deserialize, Serialize};

/// How one method's norms grow with the iterations, and where theory says that they end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Path {
    pub name: String,
    /// (iteration, norm of the free vector, norm of the logits).
    pub points: Vec<(usize, f64, f64)>,
    /// The free vector's norm at the optimum; none where it is at infinity.
    pub limit: Option<f64>,
}

/// Follows all methods. There is no seed: all start from the same vector.
#[derive(Clone, Copy, Serialize)]
pub struct Free<'a> {
    pub optimum: &'a Optimum,
}

impl Job for Free<'_> {
    type Output = Vec<Path>;

    fn key(&self) -> String {
        "optimum".to_owned()
    }

    fn cost(&self) -> f64 {
        self.optimum.iterations as f64
    }

    fn run(&self, _: &Work<'_>) -> Result<Vec<Path>> {
        paths(self.optimum)
    }
}

/// All methods from the same start.
fn paths(o: &Optimum) -> Result<Vec<Path>> {
    let m = o.classes as f64;
    let gap_to_norm = ((m - 1.0) / m).sqrt();
    let smooth = ((1.0 - o.alpha) * (m - 1.0) / o.alpha).ln() * gap_to_norm;
    let blf = LogitFunction::new(LogitFunctionConfig { form: LogitForm::Swish, gamma: o.gamma })?;
    let tanh = LogitFunction::new(LogitFunctionConfig { form: LogitForm::Tanh, gamma: o.gamma })?;
    let none = LogitFunction::new(LogitFunctionConfig { form: LogitForm::Identity, gamma: 1.0 })?;
    let peak = LogitForm::Swish.arg_max().map(|a| a * m.sqrt());
    Ok(vec![
        descend("plain", o, none, 0.0, 0.0, None)?,
        descend("tanh", o, tanh, 0.0, 0.0, None)?,
        descend("blf", o, blf, 0.0, 0.0, peak)?,
        descend("label-smoothing", o, none, o.alpha, 0.0, Some(smooth))?,
        descend("logit-squeezing", o, none, 0.0, o.lambda, Some(squeezed_gap(m, o.lambda) * gap_to_norm))?,
    ])
}

/// The gap at the optimum of `CE + lambda |z|^2 / 2`: `(M - 1) gap / M = (1 - f) / lambda`, `f = 1 / (1 + (M - 1) e^-gap)`,
/// by halving.
fn squeezed_gap(m: f64, lambda: f64) -> f64 {
    let excess = |gap: f64| (m - 1.0) * gap / m - (1.0 - 1.0 / (1.0 + (m - 1.0) * (-gap).exp())) / lambda;
    let (mut lo, mut hi) = (0.0, 100.0);
    for _ in 0..80 {
        let middle = 0.5 * (lo + hi);
        if excess(middle) < 0.0 { lo = middle } else { hi = middle }
    }
    0.5 * (lo + hi)
}

fn descend(name: &str, o: &Optimum, f: LogitFunction, alpha: f64, lambda: f64, limit: Option<f64>) -> Result<Path> {
    let m = o.classes;
    let start: Vec<f64> = Rng::new(0).normals(m).into_iter().map(|v| 0.01 * v).collect();
    let mut params = Params::new();
    let z = params.add("z", Role::Weight, &Tensor::from_vec(start, (1, m), &Device::Cpu)?)?;
    let mut target = vec![alpha / (m as f64 - 1.0); m];
    target[0] = 1.0 - alpha;
    let target = Tensor::from_vec(target, (1, m), &Device::Cpu)?;
    let descent = Sgd::new(SgdConfig { lr: o.step, momentum: 0.0, ..SgdConfig::default() })?;
    let mut task = LossTask::steps(&params, descent, o.iterations, |_| {
        let logits = f.forward(z.as_tensor())?;
        let penalty = (logits.sqr()?.sum_all()? * (0.5 * lambda))?;
        Ok((ops::soft_cross_entropy(&logits, &target)?.sum_all()? + penalty)?)
    })?;
    let mut norms = Norms { z: &z, f, next: 1.0, points: Vec::new() };
    Engine::new(1)?.observed_by(&mut norms).run(&mut task, &Rng::new(0))?;
    Ok(Path { name: name.to_owned(), points: norms.points, limit })
}

/// Takes the norms after some iterations, ever farther apart.
struct Norms<'a> {
    z: &'a Var,
    f: LogitFunction,
    next: f64,
    points: Vec<(usize, f64, f64)>,
}

impl Observer for Norms<'_> {
    fn step(&mut self, p: &Progress) -> sconce_tensor_core::Result<()> {
        if p.step as f64 >= self.next || p.step == p.total {
            let at = self.z.as_detached_tensor();
            let norm = |t: &Tensor| t.sqr()?.sum_all()?.sqrt()?.to_scalar::<f64>();
            self.points.push((p.step, norm(&at)?, norm(&self.f.forward(&at)?)?));
            self.next = p.step as f64 * 1.25;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the spec, 2.b: B2, B3 and B5 with ten classes.
    #[test]
    fn limits_are_those_of_the_theory_and_are_reached() {
        for (lambda, gap) in [(0.05, 3.782), (0.1, 3.132), (0.5, 1.489)] {
            assert!((squeezed_gap(10.0, lambda) - gap).abs() < 1e-3);
        }
        let o = Optimum { classes: 10, iterations: 8000, step: 0.5, alpha: 0.1, lambda: 0.1, gamma: 1.0 };
        let all = paths(&o).unwrap();
        let end = |name: &str| {
            let p = all.iter().find(|p| p.name == name).unwrap();
            (p.points.last().unwrap().1, p.limit)
        };
        for (name, norm) in [("label-smoothing", 4.169), ("logit-squeezing", 2.972), ("blf", 7.587)] {
            let (reached, limit) = end(name);
            assert!(
                (limit.unwrap() - norm).abs() < 1e-3 && (reached - norm).abs() < 0.01,
                "{name}: {reached} {limit:?}"
            );
        }
        assert!(end("plain").1.is_none() && end("tanh").1.is_none());
    }
}
