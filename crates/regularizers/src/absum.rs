//! Absum: a penalty on the absolute value of the sum of each convolution kernel.

use crate::enforcement::{Enforcement, check_lambda};
use candle_core::Tensor;
use sconce_tensor_core::{Error, Params, PenaltyContext, Regularizer, Result};

/// The elements that are summed before the absolute value is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SumOver {
    /// One sum for each (output, input) channel pair, over the kernel's taps; each pair is one circulant block.
    #[default]
    Kernel,
    /// One sum for each output channel, over input channels and taps.
    Output,
}

/// Configuration of [`Absum`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `lambda` | 1e-2 | weight of the penalty (chosen by us; we do not know the paper's grid) | finite, >= 0 |
/// | `sum_over` | kernel | the elements of each sum | |
/// | `enforcement` | proximal | proximal step or penalty in the loss | |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AbsumConfig {
    /// Weight of the penalty.
    pub lambda: f64,
    /// The elements of each sum.
    pub sum_over: SumOver,
    /// Proximal step or penalty in the loss.
    pub enforcement: Enforcement,
}

impl Default for AbsumConfig {
    fn default() -> Self {
        Self { lambda: 1e-2, sum_over: SumOver::Kernel, enforcement: Enforcement::Proximal }
    }
}

/// `lambda sum_{layers, o, i} | sum_{u,v} K[o,i,u,v] |` over all convolution kernels.
///
/// A convolution is a product with a circulant matrix whose singular values are the moduli of the
/// kernel's Fourier transform; the sum of a kernel is its transform at frequency 0. Absum penalises only
/// this value of each kernel, whereas L1 and weight decay shrink all frequencies.
///
/// The proximal step has a closed form: with `m` summed elements, `s` their sum and `t = lr lambda`,
/// every element becomes `k - clip(s / m, -t, t)`. Sums below `m t` become exactly 0.
///
/// Source: arXiv 1909.08830 (its abstract and the caption of figure 3; we did not have the full text).
/// One sum per (output, input) pair is our interpretation.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use sconce_regularizers::{Absum, AbsumConfig};
/// let absum = Absum::new(AbsumConfig { lambda: 0.1, ..AbsumConfig::default() })?;
/// let k = Tensor::new(&[[[[1f64, 2.0], [3.0, -2.0]]]], &Device::Cpu)?; // sum 4, mean 1
/// let z = absum.prox(&k, 1.0)?; // every element moves by t = 0.1 towards sum 0
/// let moved = (k - z)?.flatten_all()?.to_vec1::<f64>()?;
/// assert!(moved.iter().all(|d| (d - 0.1).abs() < 1e-12));
/// # Ok::<(), sconce_regularizers::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Absum {
    cfg: AbsumConfig,
}

impl Absum {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] if `lambda` is negative or not finite.
    pub fn new(cfg: AbsumConfig) -> Result<Self> {
        check_lambda("AbsumConfig.lambda", cfg.lambda)?;
        Ok(Self { cfg })
    }

    fn axes(&self) -> &'static [usize] {
        match self.cfg.sum_over {
            SumOver::Kernel => &[2, 3],
            SumOver::Output => &[1, 2, 3],
        }
    }

    /// The penalty of one weight: `lambda` times the sum of its absolute sums. It is differentiable (with subgradient 0
    /// at 0).
    ///
    /// # Shapes
    /// (O, I, KH, KW) -> scalar.
    ///
    /// # Errors
    /// The rank is not 4.
    pub fn value(&self, kernel: &Tensor) -> Result<Tensor> {
        kernel_rank(kernel)?;
        Ok((kernel.sum_keepdim(self.axes())?.abs()?.sum_all()? * self.cfg.lambda)?)
    }

    /// The proximal operator of `lr lambda |sum|` on one weight.
    ///
    /// # Shapes
    /// (O, I, KH, KW) -> the same.
    ///
    /// # Errors
    /// The rank is not 4.
    pub fn prox(&self, kernel: &Tensor, lr: f64) -> Result<Tensor> {
        kernel_rank(kernel)?;
        let t = lr * self.cfg.lambda;
        let mean = kernel.mean_keepdim(self.axes())?;
        Ok(kernel.broadcast_sub(&mean.clamp(-t, t)?)?)
    }
}

pub(crate) fn kernel_rank(kernel: &Tensor) -> Result<()> {
    match kernel.rank() {
        4 => Ok(()),
        _ => Err(Error::shape("kernel", "(O, I, KH, KW)", kernel.dims())),
    }
}

impl Regularizer for Absum {
    fn penalty(&self, step: &PenaltyContext<'_>) -> Result<Option<Tensor>> {
        self.cfg.enforcement.penalty(self.cfg.lambda, step.params, |k| self.value(k))
    }

    fn after_update(&self, params: &Params, lr: f64) -> Result<()> {
        self.cfg.enforcement.after_update(self.cfg.lambda, params, |k| self.prox(k, lr))
    }
}
