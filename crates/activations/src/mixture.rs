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
/// | `inputs` | 400 | length of the vector that it gets | >= 1 |
/// | `width` | 400 | length of each component's vector: the decoder's inputs | >= 1 |
/// | `components` | 15 | how many | >= 1 |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MixtureConfig {
    /// Length of the vector that it gets.
    pub inputs: usize,
    /// Length of each component's vector.
    pub width: usize,
    /// How many components.
    pub components: usize,
}

impl Default for MixtureConfig {
    fn default() -> Self {
        Self { inputs: 400, width: 400, components: 15 }
    }
}

/// A mixture of K output functions on one decoder: `P = sum_k pi_k f(W h_k + b)`, `h_k = tanh(U_k h + c_k)`,
/// `pi = softmax(V h)`. With softmax as f it is the mixture of softmaxes (MoS), with sigsoftmax the mixture of sigsoftmaxes
/// (MoSS). All in log space: `log P = log sum_k exp(log pi_k + log f_k)`.
///
/// A likelihood needs each component's probability of the label alone, so that no matrix of mixed probabilities is made.
///
/// Source: Yang et al. (arXiv 1711.03953), equation 2 for MoS; Kanai et al. (arXiv 1805.10829) for MoSS.
#[derive(Clone, Debug)]
pub struct Mixture {
    cfg: MixtureConfig,
    latent: Var,
    latent_bias: Var,
    prior: Var,
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

    /// The components' vectors, all of one row side by side.
    ///
    /// # Shapes
    /// (N, D) -> (N, K w).
    ///
    /// # Errors
    /// A shape that does not fit.
    pub fn latent(&self, h: &Tensor, mode: Mode) -> Result<Tensor> {
        Ok(ops::linear(h, &mode.tensor(&self.latent), Some(&mode.tensor(&self.latent_bias)))?.tanh()?)
    }

    fn log_prior(&self, h: &Tensor, mode: Mode) -> Result<Tensor> {
        ops::log_softmax(&ops::linear(h, &mode.tensor(&self.prior), None)?)
    }

    /// `-log P[label]` of each row; `latent` is what [`Mixture::latent`] gave, with dropout where it is wanted.
    ///
    /// # Shapes
    /// `h` (N, D), `latent` (N, K w), `decoder` (M, w) and (M,), `labels` (N,) -> (N,).
    ///
    /// # Errors
    /// Shapes that do not fit, a label that is not below M.
    pub fn nll(
        &self,
        f: &dyn OutputFunction,
        (h, latent): (&Tensor, &Tensor),
        (weight, bias): (&Tensor, Option<&Tensor>),
        labels: &Tensor,
        mode: Mode,
    ) -> Result<Tensor> {
        let MixtureConfig { width, components, .. } = self.cfg;
        let n = h.dim(0)?;
        if labels.dims() != [n] {
            return Err(Error::shape("labels", format!("({n},)"), labels.dims()));
        }
        let each = labels.unsqueeze(1)?.broadcast_as((n, components))?.flatten_all()?.contiguous()?;
        let losses = f.linear_nll(&latent.reshape((n * components, width))?, weight, bias, &each)?;
        let joint = (self.log_prior(h, mode)? - losses.reshape((n, components))?)?;
        Ok(log_sum_exp(&joint, 1)?.neg()?)
    }

    /// `log P`. Holds K matrices of the result's size: give it as many rows as memory allows.
    ///
    /// # Shapes
    /// `h` (N, D), `decoder` (M, w) and (M,) -> (N, M).
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn log_prob(
        &self,
        f: &dyn OutputFunction,
        h: &Tensor,
        (weight, bias): (&Tensor, Option<&Tensor>),
        mode: Mode,
    ) -> Result<Tensor> {
        let MixtureConfig { width, components, .. } = self.cfg;
        let n = h.dim(0)?;
        let rows = self.latent(h, mode)?.reshape((n * components, width))?;
        let all = f.log_prob(&ops::linear(&rows, weight, bias)?)?.reshape((n, components, ()))?;
        log_sum_exp(&all.broadcast_add(&self.log_prior(h, mode)?.unsqueeze(D::Minus1)?)?, 1)
    }
}

/// `log sum exp` over an axis, shifted by its maximum.
fn log_sum_exp(x: &Tensor, axis: usize) -> Result<Tensor> {
    let top = x.detach().max_keepdim(axis)?;
    Ok((x.broadcast_sub(&top)?.exp()?.sum(axis)?.log()? + top.squeeze(axis)?)?)
}
