//! Names and initial values of parameters.

use crate::params::{Params, Role};
use crate::{Result, Rng};
use candle_core::{DType, Device, Shape, Tensor, Var};

/// The initial values of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Every element has this value.
    Constant(f64),
    /// Uniform in `[-bound, bound)`.
    Uniform(f64),
    /// Normal with mean 0 and the given standard deviation.
    Normal(f64),
}

impl Init {
    /// PyTorch's default for convolutions, linear maps and their biases: uniform with bound `1 / sqrt(fan_in)`.
    pub fn fan_in(fan_in: usize) -> Self {
        Self::Uniform(1.0 / (fan_in.max(1) as f64).sqrt())
    }

    /// He et al. (2015), equation 10, for ReLU, over the fan-out: normal with variance `2 / fan_out`.
    pub fn he_fan_out(fan_out: usize) -> Self {
        Self::Normal((2.0 / fan_out.max(1) as f64).sqrt())
    }
}

/// Makes the parameters of a network. Each parameter draws its initial values from the random stream of its own name, so
/// adding a layer does not change the others.
///
/// ```
/// use candle_core::{DType, Device};
/// use sconce_tensor_core::{Params, Rng, nn::{Builder, Linear}};
/// let mut params = Params::new();
/// let mut b = Builder::new(&mut params, Rng::new(0), DType::F32, &Device::Cpu);
/// let fc = Linear::new(&mut b.scope("fc"), 784, 10)?;
/// assert_eq!(params.iter().map(|p| p.name()).collect::<Vec<_>>(), ["fc.weight", "fc.bias"]);
/// # Ok::<(), sconce_tensor_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Builder<'a> {
    params: &'a mut Params,
    prefix: String,
    rng: Rng,
    dtype: DType,
    device: Device,
}

impl<'a> Builder<'a> {
    /// A builder at the root.
    pub fn new(params: &'a mut Params, rng: Rng, dtype: DType, device: &Device) -> Self {
        Self { params, prefix: String::new(), rng: rng.stream("init"), dtype, device: device.clone() }
    }

    /// A builder whose names start with `name.`.
    pub fn scope(&mut self, name: &str) -> Builder<'_> {
        Builder {
            prefix: format!("{}{name}.", self.prefix),
            params: &mut *self.params,
            rng: self.rng,
            dtype: self.dtype,
            device: self.device.clone(),
        }
    }

    /// Adds a parameter.
    ///
    /// # Errors
    /// A name that is taken, or candle's.
    pub fn param(&mut self, name: &str, role: Role, shape: impl Into<Shape>, init: Init) -> Result<Var> {
        let (name, shape) = (format!("{}{name}", self.prefix), shape.into());
        let rng = self.rng.stream(&name);
        let value = match init {
            Init::Constant(c) => Tensor::full(c, shape, &self.device)?.to_dtype(self.dtype)?,
            Init::Uniform(b) => rng.uniform(shape, -b..b, self.dtype, &self.device)?,
            Init::Normal(std) => rng.normal(shape, 0.0, std, self.dtype, &self.device)?,
        };
        self.params.add(name, role, &value)
    }
}
