//! What is measured beside the accuracy, all in f64 on the CPU.

use super::curvature::{Spectrum, layers, spectrum};
use super::smoothness::{Smoothness, smoothness};
use crate::args::Dossier;
use crate::attack::{Threats, radius};
use crate::terminal::Terminal;
use anyhow::{Context, Result};
use candle_core::Tensor;
use sconce_attacks::fourier::{HeatMap, Sweep, SweepConfig};
use sconce_attacks::{Attack, Norm, Pgd, PgdConfig, StepSize};
use sconce_tensor_core::nets::load::Choice;
use sconce_tensor_core::store::Digest;
use sconce_tensor_core::{Network, Rng};
use sconce_theory::Weights;
use sconce_theory::landscape::{Axis, Direction, Grid, Normalise};
use sconce_theory::losses::Losses;
use sconce_theory::spectral::{chain_bound, layer_bounds};
use serde::Serialize;
use std::path::Path;

/// Examples in one part of a loss.
pub(super) const PART: usize = 50;
/// Steps of the attack behind the adversarial loss.
const STEPS: usize = 10;

/// What the measurements share.
pub(super) struct Setup<'a> {
    pub(super) net: &'a dyn Network,
    pub(super) losses: Losses<'a>,
    pub(super) seed: u64,
    pub(super) eigenvalues: usize,
    pub(super) products: usize,
}

/// Everything.
#[derive(Debug, Serialize)]
pub(crate) struct Geometry {
    pub(crate) examples: usize,
    pub(crate) weights: usize,
    pub(crate) norm: f64,
    pub(crate) eps: f64,
    pub(crate) attack: String,
    pub(crate) clean: Spectrum,
    pub(crate) adversarial: Spectrum,
    /// The largest eigenvalue of each kernel's block of the adversarial loss's Hessian.
    pub(crate) layers: Vec<(String, f64)>,
    pub(crate) smoothness: Smoothness,
    /// Upper bounds on the Lipschitz constant of each layer, and for a chain of layers on that of the loss in the input.
    pub(crate) lipschitz: Vec<(String, f64)>,
    pub(crate) chain: Option<f64>,
    /// Steps along each side, from -1 to 1 in filter-normalised directions, and clean and adversarial loss (attack frozen), row by row.
    pub(crate) steps: Vec<f64>,
    pub(crate) planes: [Vec<f64>; 2],
    pub(crate) heat: HeatMap,
    /// The peak of the waves.
    pub(crate) wave: f64,
}

/// Whether the network is a chain of layers that have bounds: without shortcuts and batch norm.
fn is_chain(args: &Dossier, net: &dyn Network, choice: &Choice) -> bool {
    let plain = args.attack.mean.is_none() && choice.normalize.is_none();
    let small = args.attack.arch.to_lowercase().replace(['-', '_'], "") == "smallcnn";
    small && plain && !net.params().iter().any(|p| p.name().contains("running"))
}

/// Measures all of it. The landscape is kept in the folder, so that an interrupted run continues there.
///
/// # Errors
/// Those of the parts, with the part's name.
pub(super) fn all(
    args: &Dossier,
    (threats, choice): (&Threats, &Choice),
    net: &dyn Network,
    few: &(Tensor, Tensor),
    out: &Path,
    terminal: &Terminal,
) -> Result<Geometry> {
    let (norm, eps) = (threats.norm, threats.eps[0]);
    let cfg = PgdConfig {
        norm,
        eps: eps.max(1e-12),
        steps: STEPS,
        step_size: StepSize::Relative(0.25),
        ..PgdConfig::default()
    };
    let pgd = Pgd::new(cfg)?;
    let attack = (eps > 0.0).then_some(&pgd as &dyn Attack);
    let setup = Setup {
        net,
        losses: Losses::new(net, (&few.0, &few.1), attack, PART)?,
        seed: args.attack.seed,
        eigenvalues: usize::try_from(args.eigenvalues)?,
        products: usize::try_from(args.products)?,
    };
    let step = |name: &str, done: usize| terminal.progress(name, done, 1);
    let weights = Weights::new(net.params())?;
    step("curvature of the clean loss", 0);
    let clean = spectrum(&setup, &|i| setup.losses.clean(i)).context("curvature of the clean loss")?;
    step("curvature of the clean loss", 1);
    step("curvature of the adversarial loss", 0);
    let adversarial = spectrum(&setup, &|i| setup.losses.frozen(i)).context("curvature of the adversarial loss")?;
    step("curvature of the adversarial loss", 1);
    step("curvature by layer", 0);
    let layers = layers(&setup)?;
    step("curvature by layer", 1);
    step("smoothness", 0);
    let smoothness = smoothness(&setup, few).context("smoothness")?;
    step("smoothness", 1);
    let side = usize::try_from(args.plane)?;
    let side: Vec<f64> = (0..side).map(|i| 2.0 * i as f64 / (side - 1) as f64 - 1.0).collect();
    let axis = |k| -> Result<Axis> {
        let direction = Direction::random(&weights, Normalise::Filter, &Rng::new(setup.seed).at(k))?;
        Ok(Axis { direction, steps: side.clone() })
    };
    let grid = Grid::plane(axis(0)?, axis(1)?)?;
    let data = Digest::new().tensor(&few.0)?.tensor(&few.1)?.hex();
    let (arch, mean, std) = (args.attack.network(), &args.attack.mean, &args.attack.std);
    let note = format!(
        "{} examples with the digest {data}, {arch}, mean {mean:?}, deviation {std:?}, PGD of {STEPS} steps in {norm:?} {eps}, frozen; running \
         statistics kept",
        few.0.dim(0)?
    );
    let (total, mut points) = (side.len() * side.len(), 0);
    let found = grid.measure(&weights, &["clean", "adversarial"], &note, Some(&out.join("surface.json")), || {
        points += 1;
        terminal.progress("loss landscape", points, total);
        Ok(vec![setup.losses.total(|i| setup.losses.clean(i))?, setup.losses.total(|i| setup.losses.frozen(i))?])
    })?;
    let sweep = SweepConfig {
        eps: if norm == Norm::Linf && eps > 0.0 { eps } else { SweepConfig::default().eps },
        ..SweepConfig::default()
    };
    let heat = Sweep::new(sweep)?.run(net, &few.0, &few.1, |done, total| {
        terminal.progress("Fourier heat map", done, total);
        Ok(())
    })?;
    let values = weights.values()?;
    let bounds = layer_bounds(net.params())?;
    Ok(Geometry {
        examples: few.0.dim(0)?,
        weights: weights.dim(),
        norm: values.iter().map(|v| v * v).sum::<f64>().sqrt(),
        eps,
        attack: format!("PGD with {STEPS} steps at {}", radius(norm, eps)),
        clean,
        adversarial,
        layers,
        smoothness,
        chain: is_chain(args, net, choice).then(|| chain_bound(&bounds)).transpose()?,
        lipschitz: bounds.into_iter().map(|l| (l.name, l.bound)).collect(),
        planes: [found.measure("clean")?, found.measure("adversarial")?],
        steps: side,
        heat,
        wave: sweep.eps,
    })
}
