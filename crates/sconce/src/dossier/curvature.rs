//! The Hessian of a loss: its largest eigenvalues, its trace, its spectral density.

use super::measure::Setup;
use anyhow::{Context, Result};
use candle_core::Tensor;
use sconce_tensor_core::Rng;
use sconce_theory::hessian::{
    Curvature, HvpMethod, LanczosConfig, Rescaled, SpectralDensity, hutch_plus_plus, spectral_density, top_eigenpairs,
};
use sconce_theory::{Result as Outcome, Weights};
use serde::Serialize;

/// The spectrum of one loss.
#[derive(Debug, Serialize)]
pub(crate) struct Spectrum {
    pub(crate) loss: f64,
    /// The norm of the gradient: how far this is from a minimum.
    pub(crate) gradient: f64,
    /// The largest eigenvalues, each with its residual.
    pub(crate) top: Vec<(f64, f64)>,
    /// The largest eigenvalue in units of the filters' norms.
    pub(crate) top_in_filters: f64,
    pub(crate) trace: f64,
    /// The 95 % t-interval of the trace over its probes.
    pub(crate) trace_ci95: (f64, f64),
    /// (eigenvalue, weight).
    pub(crate) density: Vec<(f64, f64)>,
    /// The relative difference of two ways to compute a Hessian-vector product, on one vector.
    pub(crate) disagreement: f64,
}

/// Measures one loss.
///
/// # Errors
/// A loss without second derivatives; eigenvalues that do not converge within the products.
pub(super) fn spectrum(setup: &Setup<'_>, loss: &dyn Fn(usize) -> Outcome<Tensor>) -> Result<Spectrum> {
    let rng = Rng::new(setup.seed).stream("dossier");
    let h = Curvature::new(setup.net.params(), setup.losses.parts(), loss, HvpMethod::DoubleBackward)?;
    let cfg = LanczosConfig { count: setup.eigenvalues, tolerance: 1e-2, max_products: setup.products };
    let disagreement = h.disagreement(&rng.stream("check").normals(h.weights().dim()))?;
    let units = Rescaled::by_filters(&h, h.weights())?;
    let trace = hutch_plus_plus(&h, 20, &rng)?;
    let SpectralDensity { nodes } = spectral_density(&h, 2, 50, &rng)?;
    let top = top_eigenpairs(&h, &cfg, &rng).context("the largest eigenvalues; more --products may help")?;
    let largest = LanczosConfig { count: 1, ..cfg };
    Ok(Spectrum {
        loss: h.loss()?,
        gradient: h.gradient()?.iter().map(|v| v * v).sum::<f64>().sqrt(),
        top: top.iter().map(|p| (p.value, p.residual)).collect(),
        top_in_filters: top_eigenpairs(&units, &largest, &rng)?[0].value,
        trace: trace.value,
        trace_ci95: (trace.ci95.lo, trace.ci95.hi),
        density: nodes,
        disagreement,
    })
}

/// The largest eigenvalue of each kernel's block of the adversarial loss's Hessian.
///
/// # Errors
/// As [`spectrum`].
pub(super) fn layers(setup: &Setup<'_>) -> Result<Vec<(String, f64)>> {
    let loss = |i| setup.losses.frozen(i);
    let cfg = LanczosConfig { count: 1, tolerance: 5e-2, max_products: setup.products };
    let params = setup.net.params();
    let one = |name: &str| -> Result<(String, f64)> {
        let block = Weights::layer(params, name)?;
        let h = Curvature::of(block, setup.losses.parts(), &loss, HvpMethod::DoubleBackward)?;
        let found = top_eigenpairs(&h, &cfg, &Rng::new(setup.seed)).with_context(|| format!("the block of {name}"))?;
        Ok((name.to_owned(), found[0].value))
    };
    params.trainable().filter(|p| p.var().rank() > 1).map(|p| one(p.name())).collect()
}
