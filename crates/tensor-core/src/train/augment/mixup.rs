//! Mixup: convex combinations of pairs of examples and of their labels.

use super::beta::beta;
use super::draw;
use crate::{Error, ExampleRng, Result, error::require};
use candle_core::Tensor;

/// Configuration of [`Mixup`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `alpha` | 1 | shape of the Beta distribution of the weight | 0, or [1e-6, 1e6] |
///
/// With `alpha` 0 every weight is 1 and examples stay, as in the authors' code. The default is the paper's for CIFAR-10;
/// for ImageNet it uses values in [0.1, 0.4].
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct MixupConfig {
    /// Shape of the Beta distribution of the weight.
    pub alpha: f64,
}

impl Default for MixupConfig {
    fn default() -> Self {
        Self { alpha: 1.0 }
    }
}

/// Mixup: trains on `lambda x + (1 - lambda) x'` with the soft label `lambda y + (1 - lambda) y'`, where
/// `lambda ~ Beta(alpha, alpha)` and (x', y') is another training example.
///
/// It is not an [`Augment`](super::Augment) because it needs a second example and changes labels. A training loop calls
/// [`Mixup::draw`], gathers the partners from the data set, and calls [`Mixup::mix`].
///
/// Two choices are ours, so that what an example becomes does not depend on its batch: each example has its own
/// `lambda` (the paper's code draws one for the whole batch), and its partner is uniform over the whole data set (the
/// code permutes the batch). An example may be its own partner, with probability one over the number of examples.
///
/// Source: Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond empirical risk minimization" (ICLR 2018, arXiv 1710.09412),
/// equation 1 and section 2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixup {
    cfg: MixupConfig,
}

impl Mixup {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] where `alpha` is neither 0 nor in [1e-6, 1e6].
    pub fn new(cfg: MixupConfig) -> Result<Self> {
        let ok = cfg.alpha == 0.0 || (1e-6..=1e6).contains(&cfg.alpha);
        require("MixupConfig.alpha", ok, "0 or in [1e-6, 1e6]", cfg.alpha)?;
        Ok(Self { cfg })
    }

    /// The partner's index, below `n_examples`, and the weight `lambda` in [0, 1] of each example of `rng`.
    ///
    /// `n_examples` is the number of examples of the whole training set (not of the batch). Row `i` draws from
    /// `rng.row(i)` only, under the stream `mixup`. With `n_examples` 0 every partner is 0.
    pub fn draw(&self, n_examples: usize, rng: &ExampleRng) -> Vec<(u64, f64)> {
        let alpha = self.cfg.alpha;
        draw(rng, "mixup", |r| {
            let partner = r.stream("partner").below(1, n_examples as u64)[0];
            (partner, if alpha == 0.0 { 1.0 } else { beta(r.stream("lambda"), alpha, alpha) })
        })
    }

    /// The mixed inputs `lambda x + (1 - lambda) x'` and the soft targets, whose entry for class k is
    /// `lambda [y = k] + (1 - lambda) [y' = k]`.
    ///
    /// Gradients flow to `x` and `partner_x`. A NaN or an infinity of a partner makes NaN even where its weight is 0.
    ///
    /// # Shapes
    /// `x` and `partner_x` (N, ...) of one type and shape, N labels and partners' labels below `classes`, N weights
    /// -> ((N, ...), (N, `classes`)), both of the type of `x` and on its device.
    ///
    /// # Errors
    /// [`Error::Shape`] where shapes or counts differ; [`Error::Unsupported`] for inputs that are not floats or of two
    /// types; [`Error::Value`] for a label that is not below `classes` or a weight outside [0, 1], with its index.
    pub fn mix(
        &self,
        x: &Tensor,
        partner_x: &Tensor,
        y: &[u32],
        partner_y: &[u32],
        lambdas: &[f64],
        classes: usize,
    ) -> Result<(Tensor, Tensor)> {
        let n = lambdas.len();
        if x.rank() < 2 || x.dim(0)? != n {
            return Err(Error::shape("x of mixup", format!("({n}, ...) to go with the weights"), x.dims()));
        }
        if partner_x.dims() != x.dims() {
            return Err(Error::shape("partner_x of mixup", format!("{:?}, that of x", x.dims()), partner_x.dims()));
        }
        if !x.dtype().is_float() || partner_x.dtype() != x.dtype() {
            let reason =
                format!("x is {:?} and partner_x {:?}: both must be of one float type", x.dtype(), partner_x.dtype());
            return Err(Error::Unsupported { what: "mixup", reason });
        }
        for (what, labels) in [("y of mixup", y), ("partner_y of mixup", partner_y)] {
            if labels.len() != n {
                return Err(Error::shape(what, format!("({n},)"), &[labels.len()]));
            }
            if let Some((i, y)) = labels.iter().enumerate().find(|(_, y)| **y as usize >= classes) {
                return Err(Error::value(what, format!("label {y} at index {i} is not below the {classes} classes")));
            }
        }
        if let Some((i, l)) = lambdas.iter().enumerate().find(|(_, l)| !(0.0..=1.0).contains(*l)) {
            return Err(Error::value("lambdas of mixup", format!("must be in [0, 1], got {l} at index {i}")));
        }
        let column = |values: Vec<f64>| -> Result<Tensor> {
            let shape: Vec<usize> = x.dims().iter().enumerate().map(|(i, _)| if i == 0 { n } else { 1 }).collect();
            Ok(Tensor::from_vec(values, shape, x.device())?.to_dtype(x.dtype())?)
        };
        let (own, other) = (column(lambdas.to_vec())?, column(lambdas.iter().map(|l| 1.0 - l).collect())?);
        let mixed = (x.broadcast_mul(&own)? + partner_x.broadcast_mul(&other)?)?;
        let mut targets = vec![0f64; n * classes];
        for (i, l) in lambdas.iter().enumerate() {
            targets[i * classes + y[i] as usize] += l;
            targets[i * classes + partner_y[i] as usize] += 1.0 - l;
        }
        let targets = Tensor::from_vec(targets, (n, classes), x.device())?.to_dtype(x.dtype())?;
        Ok((mixed, targets))
    }
}
