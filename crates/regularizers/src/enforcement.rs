//! How a convex penalty on convolution kernels is enforced in training.

use candle_core::Tensor;
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Params, Result, Role};

/// How a penalty `lambda G(w)` is enforced in training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enforcement {
    /// The proximal operator `argmin_z 1/2 |z - w|^2 + lr lambda G(z)` is applied after each update.
    #[default]
    Proximal,
    /// The penalty is added to the loss and differentiated with it (by a subgradient where it has a kink).
    Penalty,
}

impl Enforcement {
    /// The sum of `value` over the convolution kernels; `None` for a proximal penalty or a weight of 0.
    pub(crate) fn penalty(
        self,
        lambda: f64,
        params: &Params,
        value: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<Option<Tensor>> {
        if self == Self::Proximal || lambda == 0.0 {
            return Ok(None);
        }
        let mut sum: Option<Tensor> = None;
        for p in params.with_role(Role::Kernel) {
            let term = value(p.var().as_tensor())?;
            sum = Some(match sum {
                Some(s) => (s + term)?,
                None => term,
            });
        }
        Ok(sum)
    }

    /// Applies `prox` to each convolution kernel, for a proximal penalty with a positive weight.
    pub(crate) fn after_update(
        self,
        lambda: f64,
        params: &Params,
        prox: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<()> {
        if self == Self::Proximal && lambda > 0.0 { map_kernels(params, prox) } else { Ok(()) }
    }
}

pub(crate) fn check_lambda(field: &'static str, lambda: f64) -> Result<()> {
    require(field, lambda.is_finite() && lambda >= 0.0, "finite and >= 0", lambda)
}

/// Replaces each convolution kernel `k` by `f(k)`.
pub(crate) fn map_kernels(params: &Params, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<()> {
    for p in params.with_role(Role::Kernel) {
        let new = f(&p.var().as_detached_tensor())?;
        p.var().set(&new.contiguous()?)?;
    }
    Ok(())
}
