//! Upper bounds from the spectral norms of layers.

use crate::dense::eigenvalues;
use crate::weights::flat;
use crate::{Error, Result};
use candle_core::{DType, Device};
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Params, Role};

/// A layer that is linear in its input: how much longer it can make a vector.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNorm {
    /// The parameter's name.
    pub name: String,
    /// An upper bound on `norm(W x) / norm(x)`: the spectral norm of a linear map; `sqrt(KH KW)` times that of the (O, C KH KW) matrix of
    /// a convolution, whatever its stride and padding, because a value of the input stands in at most KH KW patches.
    pub bound: f64,
}

/// Bounds of all kernels and linear maps, in order. Batch norm is not among them: what evaluates with running statistics multiplies
/// channels, and is the caller's to count.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use sconce_tensor_core::nn::{Builder, Init};
/// use sconce_tensor_core::{Params, Rng, Role};
/// use sconce_theory::spectral::layers;
/// let mut params = Params::new();
/// let w = Builder::new(&mut params, Rng::new(0), DType::F64, &Device::Cpu).param("w", Role::Weight, (2, 2), Init::Constant(0.0))?;
/// w.set(&Tensor::new(&[[3.0, 0.0], [0.0, -5.0]], &Device::Cpu)?)?;
/// assert!((layers(&params)?[0].bound - 5.0).abs() < 1e-12);
/// # Ok::<(), sconce_theory::Error>(())
/// ```
///
/// # Errors
/// A weight that is not finite, by name.
pub fn layers(params: &Params) -> Result<Vec<LayerNorm>> {
    let linear = params.trainable().filter(|p| matches!(p.role(), Role::Kernel | Role::Weight) && p.var().rank() >= 2);
    linear
        .map(|p| {
            let t = p.var().as_detached_tensor().to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
            let dims = t.dims().to_vec();
            let m = t.reshape((dims[0], ()))?;
            // The smaller of the two Gram matrices.
            let gram = match m.dim(0)? <= m.dim(1)? {
                true => m.matmul(&m.t()?)?,
                false => m.t()?.matmul(&m)?,
            };
            let values = flat(&gram)?;
            if let Some(v) = values.iter().find(|v| !v.is_finite()) {
                return Err(Error::value(format!("parameter `{}`", p.name()), format!("its products hold {v}")));
            }
            let largest = eigenvalues(&values, gram.dim(0)?)?.last().copied().unwrap_or(0.0).max(0.0).sqrt();
            let patches: usize = dims[2..].iter().product();
            Ok(LayerNorm { name: p.name().to_owned(), bound: largest * (patches as f64).sqrt() })
        })
        .collect()
}

/// For a chain of these layers with what does not lengthen differences between (ReLU, tanh, max pooling of windows that do not overlap)
/// and softmax cross-entropy on top: `l(x + delta) - l(x) <= sqrt(2) product(bounds) norm(delta)`. The factor of `norm(delta)`; for
/// deep networks it is far above what attacks reach, and says so beside a measured slope.
///
/// # Errors
/// No layers.
pub fn chain(layers: &[LayerNorm]) -> Result<f64> {
    require("chain layers", !layers.is_empty(), "at least one", layers.len())?;
    Ok(std::f64::consts::SQRT_2 * layers.iter().map(|l| l.bound).product::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Tensor;
    use sconce_tensor_core::nn::{Builder, Init, Mode, Network};
    use sconce_tensor_core::{
        Rng,
        nets::{SmallCnn, SmallCnnConfig},
        ops,
    };

    /// The bound of a convolution against its largest stretch by power iteration with its own adjoint.
    #[test]
    fn a_convolution_stretches_less_and_not_much_less() {
        let mut params = Params::new();
        let mut b = Builder::new(&mut params, Rng::new(0), DType::F64, &Device::Cpu);
        let w = b.param("w", Role::Kernel, (4, 3, 3, 3), Init::fan_in(27)).unwrap();
        let bound = layers(&params).unwrap()[0].bound;
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

    /// No perturbation raises the loss of a network by more.
    #[test]
    fn the_chain_bounds_every_step() {
        let cfg = SmallCnnConfig { input: (1, 8, 8), channels: (2, 4), kernel: 3, hidden: 8, ..Default::default() };
        let net = SmallCnn::new(cfg, Rng::new(0), DType::F64, &Device::Cpu).unwrap();
        let slope = chain(&layers(net.params()).unwrap()).unwrap();
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
        assert!(chain(&[]).is_err());
    }
}
