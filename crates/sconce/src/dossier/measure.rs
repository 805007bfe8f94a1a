//! What is measured beside the accuracy, all in f64 on the CPU.

use super::Args;
use crate::pieces::losses::Losses;
use anyhow::{Context, Result};
use candle_core::Tensor;
use sconce_attacks::fourier::{HeatMap, Sweep, SweepConfig};
use sconce_attacks::{Attack, Norm, Pgd, PgdConfig, StepSize};
use sconce_tensor_core::{Network, Rng, ops};
use sconce_theory::hessian::{
    Curvature, HvpMethod, LanczosConfig, Rescaled, SpectralDensity, TraceEstimate, hutch_plus_plus, spectral_density,
    top_eigenpairs,
};
use sconce_theory::landscape::{Axis, Direction, Grid, Normalise};
use sconce_theory::smoothness::lipschitz_in_ball;
use sconce_theory::{Result as Outcome, Weights};
use serde::Serialize;
use std::path::Path;

/// Everything.
#[derive(Debug, Serialize)]
pub struct Geometry {
    pub examples: usize,
    pub weights: usize,
    pub norm: f64,
    pub eps: f64,
    pub attack: String,
    pub clean: Spectrum,
    pub adversarial: Spectrum,
    /// The largest eigenvalue of each parameter's block of the adversarial loss's Hessian.
    pub layers: Vec<(String, f64)>,
    pub smoothness: Smoothness,
    /// Upper bounds on how much each layer stretches, and for a chain of layers on the loss's slope in the input.
    pub stretch: Vec<(String, f64)>,
    pub chain: Option<f64>,
    /// Steps a side, from -1 to 1 in filter-normalised directions, and clean and adversarial loss (attack frozen), row after row.
    pub steps: Vec<f64>,
    pub planes: [Vec<f64>; 2],
    pub heat: HeatMap,
    pub wave: f64,
}

/// Of one loss.
#[derive(Debug, Serialize)]
pub struct Spectrum {
    pub loss: f64,
    /// Norm of the gradient: how far this is from a minimum.
    pub gradient: f64,
    /// Eigenvalue and residual.
    pub top: Vec<(f64, f64)>,
    pub top_in_filters: f64,
    pub trace: f64,
    pub trace_error: f64,
    /// (eigenvalue, weight).
    pub density: Vec<(f64, f64)>,
    /// The two routes' difference on one vector.
    pub disagreement: f64,
}

/// Lower bounds on Lipschitz constants: the largest ratios that were found.
#[derive(Debug, Serialize)]
pub struct Smoothness {
    /// Radius of the ball of weights.
    pub radius: f64,
    /// The gradient's turn per distance in the weights: clean loss, attack frozen, attack made anew.
    pub clean: f64,
    pub frozen: f64,
    pub anew: f64,
    /// `norm(grad_w l(x + delta) - grad_w l(x)) / norm(delta)` over single examples on the attacked ball: mean and largest.
    pub cross_mean: f64,
    pub cross_largest: f64,
    /// The largest rise of a single example's loss per distance of its attacked copy.
    pub slope: f64,
}

const PART: usize = 50;
/// Single examples whose gradients are compared on the attacked ball.
const SINGLES: usize = 50;

fn spectrum(
    args: &Args,
    losses: &Losses<'_>,
    net: &dyn Network,
    loss: &dyn Fn(usize) -> Outcome<Tensor>,
) -> Result<Spectrum> {
    let rng = Rng::new(args.attack.seed).stream("dossier");
    let h = Curvature::new(net.params(), losses.parts(), loss, HvpMethod::DoubleBackward)?;
    let cfg = LanczosConfig { count: args.eigenvalues, tolerance: 1e-2, max_products: args.products };
    let disagreement = h.disagreement(&rng.stream("check").normals(h.weights().dim()))?;
    let units = Rescaled::by_filters(&h, h.weights())?;
    let TraceEstimate { value, standard_error: error, .. } = hutch_plus_plus(&h, 20, &rng)?;
    let SpectralDensity { nodes } = spectral_density(&h, 2, 50, &rng)?;
    let gradient = h.gradient()?.iter().map(|v| v * v).sum::<f64>().sqrt();
    Ok(Spectrum {
        loss: h.loss()?,
        gradient,
        top: top_eigenpairs(&h, &cfg, &rng)
            .context("largest eigenvalues")?
            .iter()
            .map(|p| (p.value, p.residual))
            .collect(),
        top_in_filters: top_eigenpairs(&units, &LanczosConfig { count: 1, ..cfg }, &rng)?[0].value,
        trace: value,
        trace_error: error,
        density: nodes,
        disagreement,
    })
}

fn layers(args: &Args, losses: &Losses<'_>, net: &dyn Network) -> Result<Vec<(String, f64)>> {
    let loss = |i| losses.frozen(i);
    let cfg = LanczosConfig { count: 1, tolerance: 5e-2, max_products: args.products };
    let kernels = net.params().trainable().filter(|p| p.var().rank() > 1);
    let one = |name: &str| -> Result<(String, f64)> {
        let block = Weights::layer(net.params(), name)?;
        let h = Curvature::of(block, losses.parts(), &loss, HvpMethod::DoubleBackward)?;
        let found =
            top_eigenpairs(&h, &cfg, &Rng::new(args.attack.seed)).with_context(|| format!("block of {name}"))?;
        Ok((name.to_owned(), found[0].value))
    };
    kernels.map(|p| one(p.name())).collect()
}

/// The gradient of a loss in all weights.
fn gradient(net: &dyn Network, parts: usize, loss: impl Fn(usize) -> Outcome<Tensor>) -> Outcome<Vec<f64>> {
    let h = |i| loss(i);
    Curvature::new(net.params(), parts, &h, HvpMethod::DoubleBackward)?.gradient()
}

fn smoothness(args: &Args, losses: &Losses<'_>, net: &dyn Network, (x, y): &(Tensor, Tensor)) -> Result<Smoothness> {
    let weights = Weights::new(net.params())?;
    let norm = weights.values()?.iter().map(|v| v * v).sum::<f64>().sqrt();
    let radius = 1e-2 * norm.max(1e-3);
    let rng = Rng::new(args.attack.seed).stream("ball");
    let parts = losses.parts();
    let turn = |loss: &dyn Fn(usize) -> Outcome<Tensor>| -> Result<f64> {
        Ok(lipschitz_in_ball(&weights, radius, 4, &rng, || gradient(net, parts, loss))?.largest)
    };
    let (mut sum, mut largest, mut count, mut slope) = (0.0, 0.0f64, 0.0, 0.0f64);
    let losses_at = |x: &Tensor| -> Result<Vec<f64>> {
        Ok(ops::cross_entropy(&net.forward(x, sconce_tensor_core::Mode::Frozen)?, y)?.to_vec1()?)
    };
    let moved = Tensor::cat(&(0..parts).map(|i| losses.attacked(i)).collect::<Outcome<Vec<_>>>()?, 0)?;
    let (before, after) = (losses_at(x)?, losses_at(&moved)?);
    for i in 0..x.dim(0)?.min(SINGLES) {
        let one = |x: &Tensor| {
            gradient(net, 1, |_| {
                let logits = net.forward(&x.narrow(0, i, 1)?, sconce_tensor_core::Mode::Eval)?;
                Ok(ops::cross_entropy(&logits, &y.narrow(0, i, 1)?)?.mean_all()?)
            })
        };
        let far = (moved.narrow(0, i, 1)? - x.narrow(0, i, 1)?)?.sqr()?.sum_all()?.to_scalar::<f64>()?.sqrt();
        if far > 0.0 {
            let (a, b) = (one(x)?, one(&moved)?);
            let ratio = a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt() / far;
            (sum, largest, count) = (sum + ratio, largest.max(ratio), count + 1.0);
            slope = slope.max((after[i] - before[i]) / far);
        }
    }
    Ok(Smoothness {
        radius,
        clean: turn(&|i| losses.clean(i))?,
        frozen: turn(&|i| losses.frozen(i))?,
        anew: turn(&|i| losses.anew(i))?,
        cross_mean: if count > 0.0 { sum / count } else { 0.0 },
        cross_largest: largest,
        slope,
    })
}

/// Whether the network is a chain of the layers that have bounds: without shortcuts and batch norm.
fn is_chain(args: &Args, net: &dyn Network) -> bool {
    let small = args.attack.arch.to_lowercase().replace(['-', '_'], "") == "smallcnn";
    small && args.attack.mean.is_none() && !net.params().iter().any(|p| p.name().contains("running"))
}

/// Measures all of it, a line for each part that is done.
pub fn all(
    args: &Args,
    net: &dyn Network,
    few: &(Tensor, Tensor),
    out: &Path,
    tell: &dyn Fn(&str),
) -> Result<Geometry> {
    let (norm, eps) = args.attack.threat()?;
    let eps = eps[0];
    let steps = 10;
    let cfg =
        PgdConfig { norm, eps: eps.max(1e-12), steps, step_size: StepSize::Relative(0.25), ..PgdConfig::default() };
    let pgd = Pgd::new(cfg)?;
    let attack = (eps > 0.0).then_some(&pgd as &dyn Attack);
    let losses = Losses::new(net, (&few.0, &few.1), attack, PART)?;
    let weights = Weights::new(net.params())?;
    let clean = spectrum(args, &losses, net, &|i| losses.clean(i)).context("curvature of the clean loss")?;
    tell("curvature of the clean loss");
    let adversarial = spectrum(args, &losses, net, &|i| losses.frozen(i)).context("curvature under attack")?;
    tell("curvature of the adversarial loss");
    let layers = layers(args, &losses, net)?;
    tell("curvature by layer");
    let smoothness = smoothness(args, &losses, net, few)?;
    tell("smoothness");
    let side: Vec<f64> = (0..args.plane).map(|i| 2.0 * i as f64 / (args.plane - 1) as f64 - 1.0).collect();
    let axis = |k| -> Result<Axis> {
        let direction = Direction::random(&weights, Normalise::Filter, &Rng::new(args.attack.seed).at(k))?;
        Ok(Axis { direction, steps: side.clone() })
    };
    let grid = Grid::plane(axis(0)?, axis(1)?)?;
    let note =
        format!("{} examples, PGD of {steps} steps in {norm:?} {eps}, frozen; running statistics kept", few.0.dim(0)?);
    let found = grid.measure(&weights, &["clean", "adversarial"], &note, Some(&out.join("surface.json")), || {
        Ok(vec![losses.total(|i| losses.clean(i))?, losses.total(|i| losses.frozen(i))?])
    })?;
    tell("landscape");
    let sweep = SweepConfig {
        eps: if norm == Norm::Linf && eps > 0.0 { eps } else { SweepConfig::default().eps },
        ..SweepConfig::default()
    };
    let heat = Sweep::new(sweep)?.run(net, &few.0, &few.1, |_, _| Ok(()))?;
    tell("Fourier heat map");
    let values = weights.values()?;
    let norms = sconce_theory::spectral::layer_bounds(net.params())?;
    Ok(Geometry {
        examples: few.0.dim(0)?,
        weights: weights.dim(),
        norm: values.iter().map(|v| v * v).sum::<f64>().sqrt(),
        eps,
        attack: format!("PGD of {steps} steps in {norm:?}"),
        clean,
        adversarial,
        layers,
        smoothness,
        chain: is_chain(args, net).then(|| sconce_theory::spectral::chain_bound(&norms)).transpose()?,
        stretch: norms.into_iter().map(|l| (l.name, l.bound)).collect(),
        planes: [found.measure("clean")?, found.measure("adversarial")?],
        steps: side,
        heat,
        wave: sweep.eps,
    })
}
