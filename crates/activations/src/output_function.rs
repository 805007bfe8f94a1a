//! What turns logits into log-probabilities.

use crate::{Error, Result};
use candle_core::Tensor;
use sconce_tensor_core::ops::{self, Output};
use std::fmt::Debug;

/// An output function: logits to log-probabilities. [`Output`] holds softmax, sigsoftmax and the two that they are compared
/// with; another one needs [`OutputFunction::log_prob`] alone.
///
/// The bottleneck: with logits `W h (+ b)`, h in R^d, the rows `log softmax` lie in a space of d + 1 (with a bias d + 2)
/// dimensions, however many classes there are. Those of sigsoftmax do not, because `log g(z) = 2 z - log(1 + e^z)` is not
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
    /// The name in files and messages.
    fn name(&self) -> &str;

    /// `log f`, over the last axis.
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
    /// Shapes that do not fit, a label that is not below K.
    fn nll(&self, logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
        ops::nll(&self.log_prob(logits)?, labels)
    }

    /// [`OutputFunction::nll`] of the logits `h weight^T + bias`, where it can without holding all of them.
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

/// The output function of a name, ReLU with the recalled `eps` of 1e-8.
///
/// # Errors
/// [`Error::Config`] listing the names there are.
pub fn output_of(name: &str) -> Result<Output> {
    let all = [Output::Softmax, Output::Sigsoftmax, Output::Sigmoid, Output::Relu { eps: 1e-8 }];
    all.into_iter().find(|o| o.name() == name).ok_or_else(|| {
        let known: Vec<&str> = all.iter().map(|o| o.name()).collect();
        Error::config("output", format!("must be one of {}, got `{name}`", known.join(", ")))
    })
}
