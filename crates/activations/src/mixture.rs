//! Mixtures of output functions.

use crate::{OutputFunction, Result};
use candle_core::{D, Tensor, Var};
use sconce_tensor_core::error::require;
use sconce_tensor_core::nn::{Builder, Init};
use sconce_tensor_core::{Error, Mode, Role, ops};

/// Configuration of a [`Mixture`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `inputs` | 400 | dimension of the input | >= 1 |
/// | `width` | 400 | dimension of each component's vector, the input of the decoder | >= 1 |
/// | `components` | 15 | number of components | >= 1 |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MixtureConfig {
    /// Dimension of the input.
    pub inputs: usize,
    /// Dimension of each component's vector.
    pub width: usize,
    /// Number of components.
    pub components: usize,
}

impl Default for MixtureConfig {
    fn default() -> Self {
        Self { inputs: 400, width: 400, components: 15 }
    }
}

/// A mixture of K output functions with a shared decoder: `P = sum_k pi_k f(W h_k + b)`, `h_k = tanh(U_k h + c_k)`,
/// `pi = softmax(V h)`. With softmax as f it is the mixture of softmaxes (MoS), with sigsoftmax the mixture of sigsoftmaxes
/// (MoSS). Everything is computed in log space: `log P = log sum_k exp(log pi_k + log f_k)`.
///
/// The likelihood needs only the probability of the label under each component, so that no matrix of mixed probabilities is
/// formed.
///
/// Source: Yang et al. (arXiv 1711.03953), equation 2 for MoS; Kanai et al. (arXiv 1805.10829) for MoSS.
#[derive(Clone, Debug)]
pub struct Mixture {
    cfg: MixtureConfig,
    latent: Var,
    latent_bias: Var,
    prior: Var,
}

/// The linear decoder that the components share.
#[derive(Clone, Copy, Debug)]
pub struct Decoder<'a> {
    /// (M, w): M classes, w the `width` of the mixture.
    pub weight: &'a Tensor,
    /// (M,).
    pub bias: Option<&'a Tensor>,
}

impl Mixture {
    /// Parameters `latent.weight` (K w, D), `latent.bias`, `prior.weight` (K, D).
    ///
    /// # Errors
    /// Sizes of 0.
    pub fn new(b: &mut Builder<'_>, cfg: MixtureConfig) -> Result<Self> {
        let MixtureConfig { inputs, width, components } = cfg;
        let sizes = format!("{inputs} -> {components} x {width}");
        require("MixtureConfig.sizes", inputs * width * components > 0, "at least 1", sizes)?;
        let init = Init::fan_in(inputs);
        Ok(Self {
            cfg,
            latent: b.param("latent.weight", Role::Weight, (components * width, inputs), init)?,
            latent_bias: b.param("latent.bias", Role::Bias, components * width, init)?,
            prior: b.param("prior.weight", Role::Weight, (components, inputs), init)?,
        })
    }

    /// The configuration.
    pub fn config(&self) -> MixtureConfig {
        self.cfg
    }

    /// The vectors of all components, concatenated for each row.
    ///
    /// # Shapes
    /// (N, D) -> (N, K w).
    ///
    /// # Errors
    /// A shape that does not match.
    pub fn latent(&self, h: &Tensor, mode: Mode) -> Result<Tensor> {
        ops::tanh(&ops::linear(h, &mode.tensor(&self.latent), Some(&mode.tensor(&self.latent_bias)))?)
    }

    fn log_prior(&self, h: &Tensor, mode: Mode) -> Result<Tensor> {
        ops::log_softmax(&ops::linear(h, &mode.tensor(&self.prior), None)?)
    }

    /// `-log P[label]` of each row; `latent` is the result of [`Mixture::latent`], with dropout if wanted.
    ///
    /// # Shapes
    /// `h` (N, D), `latent` (N, K w), `labels` (N,) -> (N,).
    ///
    /// # Errors
    /// Shapes that do not match, a label that is not below M.
    pub fn nll(
        &self,
        f: &dyn OutputFunction,
        h: &Tensor,
        latent: &Tensor,
        decoder: Decoder<'_>,
        labels: &Tensor,
        mode: Mode,
    ) -> Result<Tensor> {
        let MixtureConfig { width, components, .. } = self.cfg;
        let n = h.dim(0)?;
        if labels.dims() != [n] {
            return Err(Error::shape("labels", format!("({n},)"), labels.dims()));
        }
        let each = labels.unsqueeze(1)?.broadcast_as((n, components))?.flatten_all()?.contiguous()?;
        let losses = f.linear_nll(&latent.reshape((n * components, width))?, decoder.weight, decoder.bias, &each)?;
        let joint = (self.log_prior(h, mode)? - losses.reshape((n, components))?)?;
        Ok(log_sum_exp(&joint, 1)?.neg()?)
    }

    /// `log P` of all classes. K matrices of the result's size are in memory: pass as many rows as fit.
    ///
    /// # Shapes
    /// `h` (N, D) -> (N, M).
    ///
    /// # Errors
    /// Shapes that do not match.
    pub fn log_prob(&self, f: &dyn OutputFunction, h: &Tensor, decoder: Decoder<'_>, mode: Mode) -> Result<Tensor> {
        let MixtureConfig { width, components, .. } = self.cfg;
        let n = h.dim(0)?;
        let rows = self.latent(h, mode)?.reshape((n * components, width))?;
        let all = f.log_prob(&ops::linear(&rows, decoder.weight, decoder.bias)?)?.reshape((n, components, ()))?;
        log_sum_exp(&all.broadcast_add(&self.log_prior(h, mode)?.unsqueeze(D::Minus1)?)?, 1)
    }
}

/// `log sum exp` over an axis, with the maximum subtracted for stability.
fn log_sum_exp(x: &Tensor, axis: usize) -> Result<Tensor> {
    let top = x.detach().max_keepdim(axis)?;
    Ok((x.broadcast_sub(&top)?.exp()?.sum(axis)?.log()? + top.squeeze(axis)?)?)
}
