//! Upper bounds on the slope of the loss from the spectral norms of layers.

use crate::dense::eigenvalues;
use crate::weights::flat;
use crate::{Error, Result};
use candle_core::{DType, Device};
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Params, Role};

/// An upper bound on the operator norm of a linear layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerBound {
    /// The parameter's name.
    pub name: String,
    /// An upper bound on `norm(W x) / norm(x)`: the spectral norm of a linear map; `sqrt(KH KW)` times that of the (O, C KH KW)
    /// matrix of a convolution, for every stride and padding, because an input value occurs in at most KH KW patches.
    pub bound: f64,
}

/// Bounds of all kernels and linear maps, in order. Batch norm is not included: in evaluation mode it multiplies the channels
/// by constants, which the caller must take into account.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use sconce_tensor_core::nn::{Builder, Init};
/// use sconce_tensor_core::{Params, Rng, Role};
/// use sconce_theory::spectral::layer_bounds;
/// let mut params = Params::new();
/// let w = Builder::new(&mut params, Rng::new(0), DType::F64, &Device::Cpu).param("w", Role::Weight, (2, 2), Init::Constant(0.0))?;
/// w.set(&Tensor::new(&[[3.0, 0.0], [0.0, -5.0]], &Device::Cpu)?)?;
/// assert!((layer_bounds(&params)?[0].bound - 5.0).abs() < 1e-12);
/// # Ok::<(), sconce_theory::Error>(())
/// ```
///
/// # Errors
/// A weight that is not finite, with the parameter's name.
pub fn layer_bounds(params: &Params) -> Result<Vec<LayerBound>> {
    let linear = params.trainable().filter(|p| matches!(p.role(), Role::Kernel | Role::Weight) && p.var().rank() >= 2);
    linear
        .map(|p| {
            let t = p.var().as_detached_tensor().to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
            let dims = t.dims().to_vec();
            let m = t.reshape((dims[0], ()))?;
            // Use the smaller of the two Gram matrices.
            let gram = match m.dim(0)? <= m.dim(1)? {
                true => m.matmul(&m.t()?)?,
                false => m.t()?.matmul(&m)?,
            };
            let values = flat(&gram)?;
            if let Some(v) = values.iter().find(|v| !v.is_finite()) {
                return Err(Error::value(format!("parameter `{}`", p.name()), format!("its Gram matrix contains {v}")));
            }
            let largest = eigenvalues(&values, gram.dim(0)?)?.last().copied().unwrap_or(0.0).max(0.0).sqrt();
            let patches: usize = dims[2..].iter().product();
            Ok(LayerBound { name: p.name().to_owned(), bound: largest * (patches as f64).sqrt() })
        })
        .collect()
}

/// A Lipschitz bound of the loss for a chain of these layers with 1-Lipschitz functions in between (ReLU, tanh, max pooling
/// with non-overlapping windows) and softmax cross-entropy at the end:
/// `l(x + delta) - l(x) <= sqrt(2) product(bounds) norm(delta)`. Returns the factor of `norm(delta)`. For deep networks the
/// bound is far above the slopes that attacks reach: compare it with a measured slope.
///
/// # Errors
/// No layers.
pub fn chain_bound(layers: &[LayerBound]) -> Result<f64> {
    require("chain layers", !layers.is_empty(), "at least one", layers.len())?;
    Ok(std::f64::consts::SQRT_2 * layers.iter().map(|l| l.bound).product::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Tensor;
    use sconce_tensor_core::nn::{Builder, Init, Mode, Module, Network};
    use sconce_tensor_core::{
        Rng,
        nets::{SmallCnn, SmallCnnConfig},
        ops,
    };

    /// The bound of a convolution compared with its operator norm by power iteration.
    #[test]
    fn the_bound_of_a_convolution_holds_and_is_tight_within_a_factor_of_3() {
        let mut params = Params::new();
        let mut b = Builder::new(&mut params, Rng::new(0), DType::F64, &Device::Cpu);
        let w = b.param("w", Role::Kernel, (4, 3, 3, 3), Init::fan_in(27)).unwrap();
        let bound = layer_bounds(&params).unwrap()[0].bound;
        let spec = ops::Conv2dSpec::same(3);
        let mut x = Rng::new(1).normal((1, 3, 10, 10), 0.0, 1.0, DType::F64, &Device::Cpu).unwrap();
        let mut stretch = 0.0;
        for _ in 0..200 {
            let n = x.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt();
            x = (x / n).unwrap();
            let y = ops::conv2d(&x, w.as_tensor(), None, spec).unwrap();
            stretch = y.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt();
            x = ops::conv2d_input_gradient(&y, w.as_tensor(), (10, 10), spec).unwrap().detach();
        }
        assert!(stretch <= bound && stretch > bound / 3.0, "{stretch} {bound}");
    }

    /// No perturbation changes the loss of a network by more than the bound.
    #[test]
    fn the_chain_bound_holds_for_every_step() {
        let cfg = SmallCnnConfig { input: (1, 8, 8), channels: (2, 4), kernel: 3, hidden: 8, ..Default::default() };
        let net = SmallCnn::new(cfg, Rng::new(0), DType::F64, &Device::Cpu).unwrap();
        let slope = chain_bound(&layer_bounds(net.params()).unwrap()).unwrap();
        let rng = Rng::new(2);
        let x = rng.uniform((20, 1, 8, 8), 0.0..1.0, DType::F64, &Device::Cpu).unwrap();
        let y = Tensor::from_iter((0..20u32).map(|i| i % 10), &Device::Cpu).unwrap();
        let loss =
            |x: &Tensor| ops::cross_entropy(&net.forward(x, Mode::Frozen).unwrap(), &y).unwrap().to_vec1::<f64>();
        let delta = rng.stream("delta").normal((20, 1, 8, 8), 0.0, 0.1, DType::F64, &Device::Cpu).unwrap();
        let far =
            delta.sqr().unwrap().flatten_from(1).unwrap().sum(1).unwrap().sqrt().unwrap().to_vec1::<f64>().unwrap();
        let (a, b) = (loss(&x).unwrap(), loss(&(&x + delta).unwrap()).unwrap());
        for ((a, b), far) in a.iter().zip(&b).zip(far) {
            assert!((b - a).abs() <= slope * far, "{a} {b} {far} {slope}");
        }
        assert!(chain_bound(&[]).is_err());
    }
}
