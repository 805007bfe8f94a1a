//! Batch normalisation with a scale and a shift of each class.

use super::Pass;
use crate::Result;
use sconce_tensor_core::candle_core::{DType, Tensor, Var};
use sconce_tensor_core::nn::{Builder, Init};
use sconce_tensor_core::{Error, Role, error::require, ops};

const EPS: f64 = 1e-5;

/// `y = scale[class] (x - mean) / sqrt(var + 1e-5) + shift[class]` for each channel: class-conditional batch normalisation (de Vries et
/// al. 2017; in GANs Miyato and Koyama 2018, arXiv 1802.05637). Scales start at 1, shifts at 0. With one class it is batch
/// normalisation.
///
/// In [`Pass::Train`] mean and biased variance are the batch's, over all classes in it. In [`Pass::Sample`] they are the standing
/// statistics: means over the batches of [`Pass::Collect`]. There are no running statistics, and sampling without standing ones is an
/// error: samples never depend on the batch that they are drawn in.
///
/// Its parameters are `class.scale` and `class.shift`, (K, C), and the buffers `mean`, `var`, (C,), and `batches`.
#[derive(Clone, Debug)]
pub struct ConditionalBatchNorm2d {
    scale: Var,
    shift: Var,
    mean: Var,
    var: Var,
    batches: Var,
    one: Tensor,
    zero: Tensor,
}

impl ConditionalBatchNorm2d {
    /// A layer for `channels` channels and `classes` classes.
    ///
    /// # Errors
    /// Sizes of 0, or a name that is taken.
    pub fn new(b: &mut Builder<'_>, channels: usize, classes: usize) -> Result<Self> {
        let sizes = format!("{channels} channels, {classes} classes");
        require("ConditionalBatchNorm2d.sizes", channels >= 1 && classes >= 1, "at least 1", sizes)?;
        let shape = (classes, channels);
        let mean = b.param("mean", Role::Buffer, channels, Init::Constant(0.0))?;
        Ok(Self {
            scale: b.param("class.scale", Role::Scale, shape, Init::Constant(1.0))?,
            shift: b.param("class.shift", Role::Shift, shape, Init::Constant(0.0))?,
            var: b.param("var", Role::Buffer, channels, Init::Constant(1.0))?,
            batches: b.param("batches", Role::Buffer, 1, Init::Constant(0.0))?,
            one: mean.as_detached_tensor().ones_like()?,
            zero: mean.as_detached_tensor().zeros_like()?,
            mean,
        })
    }

    /// # Shapes
    /// `x` (N, C, H, W) and `y` (N,) of u32 -> (N, C, H, W).
    ///
    /// # Errors
    /// Shapes that do not fit, a label out of range; a batch of one value per channel; [`Error::Value`] where standing statistics were
    /// not taken since the weights changed.
    pub fn forward(&self, x: &Tensor, y: &Tensor, pass: Pass) -> Result<Tensor> {
        let normalised = match pass {
            Pass::Train => {
                self.drop_statistics()?;
                ops::batch_norm_train(x, &self.one, &self.zero, EPS)?
            }
            Pass::Collect(batch) => {
                let (mean, var) = ops::channel_moments(x)?;
                self.collect(batch, &mean, &var)?;
                normalise(x, &mean, &var)?
            }
            Pass::Sample => {
                if self.collected()? == 0.0 {
                    let reason =
                        "has no standing statistics: call `standing_statistics` after training, before sampling";
                    return Err(Error::value("batch norm of the generator", reason));
                }
                normalise(x, &self.mean.as_detached_tensor(), &self.var.as_detached_tensor())?
            }
        };
        let (n, c, h, w) = normalised.dims4()?;
        if y.dims() != [n] {
            return Err(Error::shape("labels", format!("({n},)"), y.dims()));
        }
        let mode = pass.mode();
        let of = |table: &Var| Ok::<_, Error>(ops::embedding(&mode.tensor(table), y)?.reshape(n * c)?);
        // Each channel of each image is a channel of its own.
        let planes = normalised.reshape((1, n * c, h, w))?;
        Ok(ops::channel_affine(&planes, &of(&self.scale)?, &of(&self.shift)?)?.reshape((n, c, h, w))?)
    }

    fn collected(&self) -> Result<f64> {
        Ok(self.batches.as_detached_tensor().to_dtype(DType::F64)?.to_vec1::<f64>()?[0])
    }

    fn drop_statistics(&self) -> Result<()> {
        if self.collected()? > 0.0 {
            self.batches.set(&self.batches.as_detached_tensor().zeros_like()?)?;
        }
        Ok(())
    }

    fn collect(&self, batch: usize, mean: &Tensor, var: &Tensor) -> Result<()> {
        let batch = batch.max(1) as f64;
        for (standing, new) in [(&self.mean, mean), (&self.var, var)] {
            // The first batch does not depend on what was there before.
            let old = if batch == 1.0 { new.detach() } else { standing.as_detached_tensor() };
            standing.set(&(&old + ((new - &old)? / batch)?)?)?;
        }
        Ok(self.batches.set(&(self.batches.as_detached_tensor().zeros_like()? + batch)?)?)
    }
}

fn normalise(x: &Tensor, mean: &Tensor, var: &Tensor) -> Result<Tensor> {
    let slope = (var + EPS)?.sqrt()?.recip()?;
    let offset = (mean * &slope)?.neg()?;
    ops::channel_affine(x, &slope, &offset)
}
