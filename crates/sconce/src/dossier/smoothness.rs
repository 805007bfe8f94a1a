//! How much the gradient in the weights changes: lower bounds on Lipschitz constants, as the largest ratios that were found.

use super::measure::{PART, Setup};
use anyhow::Result;
use candle_core::Tensor;
use sconce_tensor_core::{Mode, Network, Rng, ops};
use sconce_theory::hessian::{Curvature, HvpMethod};
use sconce_theory::smoothness::lipschitz_in_ball;
use sconce_theory::{Result as Outcome, Weights};
use serde::Serialize;

/// Single examples whose gradients are compared inside the perturbation ball.
const SINGLES: usize = 50;

/// Ratios of gradient change to distance.
#[derive(Debug, Serialize)]
pub(crate) struct Smoothness {
    /// Radius of the ball of weights.
    pub(crate) radius: f64,
    /// In the weights: for the clean loss, with the attack frozen, and with the attack recomputed.
    pub(crate) clean: f64,
    pub(crate) frozen: f64,
    pub(crate) recomputed: f64,
    /// `norm(grad_w l(x + delta) - grad_w l(x)) / norm(delta)` over single examples: mean and largest.
    pub(crate) cross_mean: f64,
    pub(crate) cross_largest: f64,
    /// The largest increase of a single example's loss per distance of its adversarial copy.
    pub(crate) slope: f64,
}

/// The gradient of a loss in all weights.
fn gradient(net: &dyn Network, parts: usize, loss: impl Fn(usize) -> Outcome<Tensor>) -> Outcome<Vec<f64>> {
    let h = |i| loss(i);
    Curvature::new(net.params(), parts, &h, HvpMethod::DoubleBackward)?.gradient()
}

/// Measures the ratios.
///
/// # Errors
/// Those of the network and of the attack.
pub(super) fn smoothness(setup: &Setup<'_>, (x, y): &(Tensor, Tensor)) -> Result<Smoothness> {
    let (net, losses) = (setup.net, &setup.losses);
    let weights = Weights::new(net.params())?;
    let norm = weights.values()?.iter().map(|v| v * v).sum::<f64>().sqrt();
    let radius = 1e-2 * norm.max(1e-3);
    let rng = Rng::new(setup.seed).stream("ball");
    let parts = losses.parts();
    let turn = |loss: &dyn Fn(usize) -> Outcome<Tensor>| -> Result<f64> {
        Ok(lipschitz_in_ball(&weights, radius, 4, &rng, || gradient(net, parts, loss))?.largest)
    };
    let each = |at: &[Tensor]| -> Result<Vec<f64>> {
        let of = |(i, x): (usize, &Tensor)| {
            let n = x.dim(0)?;
            Ok(ops::cross_entropy(&net.forward(x, Mode::Frozen)?, &y.narrow(0, i * PART, n)?)?.to_vec1::<f64>()?)
        };
        Ok(at.iter().enumerate().map(of).collect::<Result<Vec<_>>>()?.concat())
    };
    let attacked = (0..parts).map(|i| losses.attacked(i)).collect::<Outcome<Vec<_>>>()?;
    let clean = (0..parts).map(|i| Ok(x.narrow(0, i * PART, attacked[i].dim(0)?)?)).collect::<Result<Vec<_>>>()?;
    let (before, after) = (each(&clean)?, each(&attacked)?);
    let moved = Tensor::cat(&attacked, 0)?;
    let (mut sum, mut largest, mut count, mut slope) = (0.0, 0.0f64, 0.0, 0.0f64);
    for i in 0..x.dim(0)?.min(SINGLES) {
        let one = |x: &Tensor| {
            gradient(net, 1, |_| {
                let logits = net.forward(&x.narrow(0, i, 1)?, Mode::Eval)?;
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
        recomputed: turn(&|i| losses.recomputed(i))?,
        cross_mean: if count > 0.0 { sum / count } else { 0.0 },
        cross_largest: largest,
        slope,
    })
}
