//! Names and initial values of parameters.

use crate::params::{Param, Params, Role};
use crate::{Error, Result, Rng};
use candle_core::{DType, Device, Shape, Tensor, Var};
use std::cell::RefCell;
use std::collections::HashMap;

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

/// Weights that a network is built from instead of random ones. Their names and shapes are checked one by one while it is built, so no network
/// becomes larger than they are.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    pub(crate) tensors: HashMap<String, Tensor>,
    missing: RefCell<Vec<String>>,
}

impl Weights {
    pub(crate) fn new(tensors: HashMap<String, Tensor>) -> Self {
        Self { tensors, missing: RefCell::default() }
    }

    /// What is put in the place of a parameter; a single zero where it is missing, which [`Weights::finish`] reports.
    fn take(&self, name: &str, shape: &Shape, dtype: DType, device: &Device) -> Result<Tensor> {
        let Some(t) = self.tensors.get(name) else {
            self.missing.borrow_mut().push(name.to_owned());
            return Ok(Tensor::zeros(1, dtype, device)?);
        };
        if t.shape() != shape {
            return Err(Error::shape(format!("weight `{name}`"), format!("{:?}", shape.dims()), t.dims()));
        }
        Ok(t.to_device(device)?.to_dtype(dtype)?.contiguous()?)
    }

    /// Refuses a network that lacks some of the weights, or has none for some of them.
    ///
    /// # Errors
    /// [`Error::Value`] with their names.
    pub(crate) fn finish(&self, params: &Params) -> Result<()> {
        let missing = self.missing.borrow();
        let known: std::collections::HashSet<&str> = params.iter().map(Param::name).collect();
        let mut unexpected: Vec<&str> =
            self.tensors.keys().map(String::as_str).filter(|n| !known.contains(n)).collect();
        unexpected.sort_unstable();
        if missing.is_empty() && unexpected.is_empty() {
            return Ok(());
        }
        Err(Error::value("parameters", format!("missing {missing:?}, unexpected {unexpected:?}")))
    }
}

/// Where the values of parameters come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Values<'w> {
    /// Random ones.
    Drawn(Rng),
    /// These, by name.
    Given(&'w Weights),
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
    values: Values<'a>,
    dtype: DType,
    device: Device,
}

impl<'a> Builder<'a> {
    /// A builder at the root.
    pub fn new(params: &'a mut Params, rng: Rng, dtype: DType, device: &Device) -> Self {
        Self::with(params, Values::Drawn(rng), dtype, device)
    }

    /// A builder at the root that takes its values from `values`.
    pub(crate) fn with(params: &'a mut Params, values: Values<'a>, dtype: DType, device: &Device) -> Self {
        let values = match values {
            Values::Drawn(rng) => Values::Drawn(rng.stream("init")),
            given @ Values::Given(_) => given,
        };
        Self { params, prefix: String::new(), values, dtype, device: device.clone() }
    }

    /// A builder whose names start with `name.`.
    pub fn scope(&mut self, name: &str) -> Builder<'_> {
        Builder {
            prefix: format!("{}{name}.", self.prefix),
            params: &mut *self.params,
            values: self.values,
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
        let rng = match self.values {
            Values::Drawn(rng) => rng.stream(&name),
            Values::Given(weights) => {
                let value = weights.take(&name, &shape, self.dtype, &self.device)?;
                return self.params.add(name, role, &value);
            }
        };
        let value = match init {
            Init::Constant(c) => Tensor::full(c, shape, &self.device)?.to_dtype(self.dtype)?,
            Init::Uniform(b) => rng.uniform(shape, -b..b, self.dtype, &self.device)?,
            Init::Normal(std) => rng.normal(shape, 0.0, std, self.dtype, &self.device)?,
        };
        self.params.add(name, role, &value)
    }
}
