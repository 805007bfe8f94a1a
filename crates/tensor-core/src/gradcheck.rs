//! Comparison of gradients with central differences.

use crate::{Error, Result};
use candle_core::{DType, Tensor, Var};

/// The step of the differences, and how far a gradient may deviate from them.
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `step` | 1e-5 | half the distance of the two points, in f64 | > 0 |
/// | `tolerance` | 1e-7 | allowed `abs(g - d) / (1 + abs(d))` for each element | > 0 |
#[derive(Clone, Copy, Debug)]
pub struct GradCheck {
    /// Half the distance of the two points.
    pub step: f64,
    /// Allowed difference: relative for derivatives above 1, absolute below.
    pub tolerance: f64,
}

impl Default for GradCheck {
    fn default() -> Self {
        // Central differences in f64 err by step^2 / 6 times the third derivative, about 1e-11, and
        // by rounding, about 1e-16 / step = 1e-11 times the function's value.
        Self { step: 1e-5, tolerance: 1e-7 }
    }
}

impl GradCheck {
    /// Checks the gradient of the scalar function `f` at `inputs` (converted to f64), element by element.
    /// Returns the largest deviation.
    ///
    /// # Errors
    /// [`Error::Value`] with the input, the element and both numbers; [`Error::NoGradient`] for an input that gets no gradient;
    /// errors of `f`.
    pub fn check(&self, inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) -> Result<f64> {
        let vars: Vec<Var> =
            inputs.iter().map(|t| Ok(Var::from_tensor(&t.to_dtype(DType::F64)?.copy()?)?)).collect::<Result<_>>()?;
        let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
        let grads = f(&tensors)?.backward()?;
        let mut worst = 0f64;
        for (i, var) in vars.iter().enumerate() {
            let grad = grads.get(var).ok_or_else(|| Error::NoGradient { name: format!("input {i}") })?;
            if grad.shape() != var.shape() {
                return Err(Error::shape(format!("gradient of input {i}"), format!("{:?}", var.dims()), grad.dims()));
            }
            let grad = grad.flatten_all()?.to_vec1::<f64>()?;
            let base = var.flatten_all()?.to_vec1::<f64>()?;
            for (j, &g) in grad.iter().enumerate() {
                let at = |delta: f64| {
                    let mut moved = base.clone();
                    moved[j] += delta;
                    let mut args: Vec<Tensor> = vars.iter().map(|v| v.as_detached_tensor()).collect();
                    args[i] = Tensor::from_vec(moved, var.shape(), var.device())?;
                    Ok::<f64, Error>(f(&args)?.to_scalar::<f64>()?)
                };
                let difference = (at(self.step)? - at(-self.step)?) / (2.0 * self.step);
                let off = (g - difference).abs() / (1.0 + difference.abs());
                if off > self.tolerance || off.is_nan() {
                    let reason = format!("element {j}: backward gives {g}, central differences {difference}");
                    return Err(Error::value(format!("gradient of input {i}"), reason));
                }
                worst = worst.max(off);
            }
        }
        Ok(worst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn it_accepts_a_right_gradient_and_refuses_a_wrong_one() {
        let x = Tensor::new(&[0.3f64, -1.2, 2.0], &Device::Cpu).unwrap();
        GradCheck::default().check(std::slice::from_ref(&x), |x| Ok(x[0].sqr()?.sum_all()?)).unwrap();
        // candle's own max-pool gives a unique maximum a quarter of its gradient.
        let image = Tensor::arange(0f64, 16f64, &Device::Cpu).unwrap().reshape((1, 1, 4, 4)).unwrap();
        let wrong = GradCheck::default().check(&[image], |x| Ok(x[0].max_pool2d(2)?.sum_all()?));
        assert!(wrong.unwrap_err().to_string().contains("backward gives 0.25"));
        let cut = GradCheck::default().check(&[x], |x| Ok((x[0].detach().sqr()?.sum_all()? + 0.0)?));
        assert!(cut.is_err());
    }
}
