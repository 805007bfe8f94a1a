//! Absum: the absolute sum of each convolution kernel.

use crate::form::{Form, check_lambda};
use candle_core::Tensor;
use sconce_tensor_core::{Error, Params, Regularizer, Result, Step};

/// Which elements are added before the absolute value is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SumOver {
    /// One sum for each (output, input) pair, over the kernel's taps: one circulant block each.
    #[default]
    Kernel,
    /// One sum for each output, over inputs and taps.
    Output,
}

/// Configuration of [`Absum`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `lambda` | 1e-2 | weight of the term; the paper's grid is unknown to us | finite, >= 0 |
/// | `sum_over` | kernel | what is summed | |
/// | `form` | proximal | how it enters training | |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AbsumConfig {
    /// Weight of the term.
    pub lambda: f64,
    /// What is summed.
    pub sum_over: SumOver,
    /// How it enters training.
    pub form: Form,
}

impl Default for AbsumConfig {
    fn default() -> Self {
        Self { lambda: 1e-2, sum_over: SumOver::Kernel, form: Form::Proximal }
    }
}

/// `lambda sum_{layers, o, i} | sum_{u,v} K[o,i,u,v] |` over all convolution kernels.
///
/// A convolution is a product with a circulant matrix whose singular values are the moduli of the
/// kernel's Fourier transform; the sum of a kernel is the one at frequency 0. Absum limits this one
/// number of each kernel and leaves the others free, where L1 and weight decay pull all of them down.
///
/// The proximal step has a closed form: with `m` summed elements, `s` their sum and `t = lr lambda`,
/// every element becomes `k - clip(s / m, -t, t)`. Sums below `m t` become exactly 0.
///
/// Source: arXiv 1909.08830 (its abstract and the caption of figure 3; the full text was not at hand).
/// That one sum is taken per (output, input) pair is our reading of it.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use sconce_regularizers::{Absum, AbsumConfig};
/// let absum = Absum::new(AbsumConfig { lambda: 0.1, ..AbsumConfig::default() })?;
/// let k = Tensor::new(&[[[[1f64, 2.0], [3.0, -2.0]]]], &Device::Cpu)?; // sum 4, mean 1
/// let z = absum.prox(&k, 1.0)?; // moved by t = 0.1 towards sum 0
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
    /// [`Error::Config`] where `lambda` is negative or not finite.
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

    /// `lambda` times the absolute sums of one weight, added up; differentiable (sub-gradient 0 at 0).
    ///
    /// # Shapes
    /// (O, I, KH, KW) -> scalar.
    ///
    /// # Errors
    /// Another rank.
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
    /// Another rank.
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
    fn penalty(&self, step: &Step<'_>) -> Result<Option<Tensor>> {
        self.cfg.form.penalty(self.cfg.lambda, step.params, |k| self.value(k))
    }

    fn after_update(&self, params: &Params, lr: f64) -> Result<()> {
        self.cfg.form.after_update(self.cfg.lambda, params, |k| self.prox(k, lr))
    }
}
