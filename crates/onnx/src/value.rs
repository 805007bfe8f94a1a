//! What flows along the edges of a graph.

use crate::array::{Array, Data};
use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::{Error, Result};
use std::sync::Arc;

/// A value of a graph.
#[derive(Clone, Debug)]
pub enum Value {
    /// Floating-point numbers on the device, with gradients.
    Tensor(Tensor),
    /// Truth values that depend on the input, as 0 and 1 of type u8.
    Mask(Tensor),
    /// Whole numbers that depend on the input, as floating-point numbers; no gradient passes.
    Whole(Tensor),
    /// Values on the host that do not depend on the input.
    Array(Arc<Array>),
}

impl From<Tensor> for Value {
    fn from(t: Tensor) -> Self {
        Self::Tensor(t)
    }
}

impl From<Array> for Value {
    fn from(a: Array) -> Self {
        Self::Array(Arc::new(a))
    }
}

impl Value {
    /// The sizes of the axes.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Tensor(t) | Self::Mask(t) | Self::Whole(t) => t.dims(),
            Self::Array(a) => a.shape(),
        }
    }

    /// What the elements are, in a word.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Tensor(_) => "float",
            Self::Mask(_) => "bool",
            Self::Whole(_) => "integer",
            Self::Array(a) => a.data().kind(),
        }
    }

    /// On the host, without a graph.
    ///
    /// # Errors
    /// candle's only.
    pub fn to_array(&self) -> Result<Array> {
        let host = |t: &Tensor| -> Result<Vec<f64>> {
            Ok(t.detach().to_dtype(DType::F64)?.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f64>()?)
        };
        match self {
            Self::Array(a) => Ok((**a).clone()),
            Self::Tensor(t) => {
                let values = host(t)?;
                let data = if t.dtype() == DType::F64 { Data::Double(values) } else { Data::Single(values) };
                Array::new(t.dims().to_vec(), data)
            }
            Self::Mask(t) => {
                Array::new(t.dims().to_vec(), Data::Bool(host(t)?.into_iter().map(|v| v != 0.0).collect()))
            }
            Self::Whole(t) => {
                Array::new(t.dims().to_vec(), Data::Int(host(t)?.into_iter().map(|v| v as i64).collect()))
            }
        }
    }
}

/// The types and limits that all operations of a model share.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) dtype: DType,
    pub(crate) device: Device,
    pub(crate) draws: Arc<crate::ops::random::Draws>,
}

/// The most elements of one value that a constant of the file may ask for.
pub(crate) const MOST_ELEMENTS: usize = 1 << 28;
/// The same on the host, where only shapes and indices are.
pub(crate) const MOST_ON_HOST: usize = 1 << 24;

/// Refuses a shape that a damaged or malicious file asks for.
pub(crate) fn within(shape: &[usize], most: usize) -> Result<usize> {
    match crate::array::count(shape)? {
        n if n <= most => Ok(n),
        n => Err(Error::value("shape", format!("{shape:?} has {n} elements, more than the limit of {most}"))),
    }
}

/// The inputs of one node.
pub(crate) struct Args<'a> {
    pub(crate) values: &'a [Option<Value>],
    pub(crate) context: &'a Context,
}

impl Args<'_> {
    /// An optional input.
    pub(crate) fn get(&self, i: usize) -> Option<&Value> {
        self.values.get(i)?.as_ref()
    }

    /// An input that must be there.
    pub(crate) fn need(&self, i: usize) -> Result<&Value> {
        self.get(i).ok_or_else(|| Error::value("inputs", format!("input {i} is missing")))
    }

    /// An input as floating-point numbers on the device.
    pub(crate) fn tensor(&self, i: usize) -> Result<Tensor> {
        self.as_tensor(self.need(i)?)
    }

    /// An optional input as floating-point numbers on the device.
    pub(crate) fn optional(&self, i: usize) -> Result<Option<Tensor>> {
        self.get(i).map(|v| self.as_tensor(v)).transpose()
    }

    /// A value as floating-point numbers on the device.
    pub(crate) fn as_tensor(&self, v: &Value) -> Result<Tensor> {
        match v {
            Value::Tensor(t) => Ok(t.clone()),
            Value::Array(a) if a.is_float() => a.tensor(self.context.dtype, &self.context.device),
            v => Err(Error::value(
                "inputs",
                format!("elements of {} are not supported here, only floating-point numbers", v.kind()),
            )),
        }
    }

    /// A value as truth values on the device.
    pub(crate) fn as_mask(&self, v: &Value) -> Result<Tensor> {
        match v {
            Value::Mask(t) => Ok(t.clone()),
            Value::Array(a) => a.mask(&self.context.device),
            v => Err(Error::value(
                "inputs",
                format!("elements of {} are not supported here, only truth values", v.kind()),
            )),
        }
    }

    /// An optional input that must not depend on the network's input.
    pub(crate) fn host(&self, i: usize) -> Result<Option<Arc<Array>>> {
        match self.get(i) {
            None => Ok(None),
            Some(Value::Array(a)) => Ok(Some(a.clone())),
            Some(_) => {
                Err(Error::value("inputs", format!("input {i} depends on the network's input, which is not supported")))
            }
        }
    }

    /// Whole numbers that must not depend on the network's input.
    pub(crate) fn ints(&self, i: usize) -> Result<Option<Vec<i64>>> {
        self.host(i)?.map(|a| a.to_ints()).transpose()
    }
}

/// What a node does.
pub(crate) type Run = Box<dyn Fn(&Args<'_>) -> Result<Vec<Value>> + Send + Sync>;

/// A node with one result.
pub(crate) fn one(f: impl Fn(&Args<'_>) -> Result<Value> + Send + Sync + 'static) -> Run {
    Box::new(move |a| Ok(vec![f(a)?]))
}
