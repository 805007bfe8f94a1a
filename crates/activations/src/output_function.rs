//! Output functions, which turn logits into log-probabilities.

use crate::{Error, Result};
use candle_core::Tensor;
use sconce_tensor_core::ops::{self, Output};
use std::fmt::Debug;

/// An output function maps logits to log-probabilities. [`Output`] has softmax, sigsoftmax and two baselines; your own function
/// only needs [`OutputFunction::log_prob`].
///
/// The softmax bottleneck: with logits `W h (+ b)`, h in R^d, the rows of `log softmax` lie in a subspace of dimension d + 1
/// (d + 2 with a bias), for any number of classes. Those of sigsoftmax do not, because `log g(z) = 2 z - log(1 + e^z)` is not
/// linear; see [`crate::Spectrum`].
///
/// ```
/// use candle_core::{Device, Tensor};
/// use sconce_activations::{Output, OutputFunction};
/// let z = Tensor::new(&[[1f64, 2.0, 3.0]], &Device::Cpu)?;
/// let f = Output::Sigsoftmax.log_prob(&z)?.exp()?.to_vec2::<f64>()?;
/// for (f, want) in f[0].iter().zip([0.0719267, 0.2355637, 0.6925095]) {
///     assert!((f - want).abs() < 1e-7);
/// }
/// # Ok::<(), sconce_activations::Error>(())
/// ```
///
/// Source: Kanai et al. (arXiv 1805.10829), Definition 1 and the general view of section 3.
pub trait OutputFunction: Debug + Send + Sync {
    /// The name, used in files and messages.
    fn name(&self) -> &str;

    /// `log f` over the last axis.
    ///
    /// # Shapes
    /// (..., K) -> (..., K).
    ///
    /// # Errors
    /// An empty last axis.
    fn log_prob(&self, logits: &Tensor) -> Result<Tensor>;

    /// `-log f[label]` of each row.
    ///
    /// # Shapes
    /// `logits` (N, K), `labels` (N,) of u32 -> (N,).
    ///
    /// # Errors
    /// Shapes that do not match, a label that is not below K.
    fn nll(&self, logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
        ops::nll(&self.log_prob(logits)?, labels)
    }

    /// [`OutputFunction::nll`] of the logits `h weight^T + bias`; an implementation may avoid holding all logits in memory.
    ///
    /// # Shapes
    /// `h` (N, D), `weight` (K, D), `bias` (K,), `labels` (N,) -> (N,).
    ///
    /// # Errors
    /// As [`OutputFunction::nll`].
    fn linear_nll(&self, h: &Tensor, weight: &Tensor, bias: Option<&Tensor>, labels: &Tensor) -> Result<Tensor> {
        self.nll(&ops::linear(h, weight, bias)?, labels)
    }
}

impl OutputFunction for Output {
    fn name(&self) -> &str {
        match self {
            Self::Softmax => "softmax",
            Self::Sigsoftmax => "sigsoftmax",
            Self::Sigmoid => "sigmoid",
            Self::Relu { .. } => "relu",
        }
    }

    fn log_prob(&self, logits: &Tensor) -> Result<Tensor> {
        ops::log_output(logits, *self)
    }

    fn nll(&self, logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
        ops::output_nll(logits, labels, *self)
    }

    fn linear_nll(&self, h: &Tensor, weight: &Tensor, bias: Option<&Tensor>, labels: &Tensor) -> Result<Tensor> {
        ops::linear_nll(h, weight, bias, labels, *self)
    }
}

/// The output function of a name. ReLU gets `eps` 1e-8, a value reconstructed from memory and not verified against the paper.
///
/// # Errors
/// [`Error::Config`] with all names.
pub fn output_of(name: &str) -> Result<Output> {
    let all = [Output::Softmax, Output::Sigsoftmax, Output::Sigmoid, Output::Relu { eps: 1e-8 }];
    all.into_iter().find(|o| o.name() == name).ok_or_else(|| {
        let known: Vec<&str> = all.iter().map(|o| o.name()).collect();
        Error::config("output", format!("must be one of {}, got `{name}`", known.join(", ")))
    })
}
