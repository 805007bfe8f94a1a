//! Values on the host: shapes, indices, scalars, and what a graph computes from them.

use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::{Error, Result};
use std::sync::OnceLock;

/// Elements on the host, in row order.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Numbers of 32 bits; each result is rounded to them.
    Single(Vec<f64>),
    /// Numbers of 64 bits.
    Double(Vec<f64>),
    /// Whole numbers of every width.
    Int(Vec<i64>),
    /// Truth values.
    Bool(Vec<bool>),
}

/// A tensor on the host that does not depend on the network's input.
#[derive(Debug)]
pub struct Array {
    shape: Vec<usize>,
    data: Data,
    /// The smallest and largest number of the file's type, for integers of 8 bits.
    range: Option<(i64, i64)>,
    /// The same as a tensor, made when an operation first asks for it.
    tensor: OnceLock<Tensor>,
}

impl Clone for Array {
    fn clone(&self) -> Self {
        Self { shape: self.shape.clone(), data: self.data.clone(), range: self.range, tensor: OnceLock::new() }
    }
}

/// The number of elements of a shape.
///
/// # Errors
/// More than fit the memory of any machine.
pub(crate) fn count(shape: &[usize]) -> Result<usize> {
    let n = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
    n.filter(|n| *n <= isize::MAX as usize / 16)
        .ok_or_else(|| Error::value("shape", format!("{shape:?} has too many elements")))
}

impl Array {
    /// An array of a shape.
    ///
    /// # Errors
    /// [`Error::Value`] where the number of elements is another.
    pub fn new(shape: Vec<usize>, data: Data) -> Result<Self> {
        let (expected, got) = (count(&shape)?, data.len());
        if expected != got {
            return Err(Error::value("array", format!("{got} elements for the shape {shape:?}")));
        }
        Ok(Self { shape, data, range: None, tensor: OnceLock::new() })
    }

    /// Whole numbers along one axis.
    pub(crate) fn ints(values: Vec<i64>) -> Self {
        Self { shape: vec![values.len()], data: Data::Int(values), range: None, tensor: OnceLock::new() }
    }

    /// The same with the range of its type.
    pub(crate) fn ranged(self, range: (i64, i64)) -> Self {
        Self { range: Some(range), ..self }
    }

    /// The smallest and largest number of the file's type, for integers of 8 bits.
    pub(crate) fn range(&self) -> Option<(i64, i64)> {
        self.range
    }

    /// The elements of several arrays of one type, one after the other.
    pub(crate) fn chain(arrays: &[&Self]) -> Result<Self> {
        let n = arrays.iter().map(|a| a.len()).sum();
        let data = if arrays.iter().all(|a| matches!(a.data, Data::Int(_))) {
            Data::Int(arrays.iter().map(|a| a.to_ints()).collect::<Result<Vec<_>>>()?.concat())
        } else if arrays.iter().all(|a| matches!(a.data, Data::Bool(_))) {
            Data::Bool(arrays.iter().map(|a| a.to_bools()).collect::<Result<Vec<_>>>()?.concat())
        } else if arrays.iter().all(|a| a.is_float()) {
            let all = arrays.iter().flat_map(|a| a.to_f64()).collect();
            if arrays.iter().all(|a| matches!(a.data, Data::Single(_))) { Data::Single(all) } else { Data::Double(all) }
        } else {
            let kinds: Vec<&str> = arrays.iter().map(|a| a.data.kind()).collect();
            return Err(Error::value("inputs", format!("they must be of one type, but are {kinds:?}")));
        };
        Self::new(vec![n], data)
    }

    /// The sizes of the axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements as numbers; truth values are 0 and 1.
    pub fn to_f64(&self) -> Vec<f64> {
        match &self.data {
            Data::Single(v) | Data::Double(v) => v.clone(),
            Data::Int(v) => v.iter().map(|v| *v as f64).collect(),
            Data::Bool(v) => v.iter().map(|v| f64::from(u8::from(*v))).collect(),
        }
    }

    /// The elements, where they are whole numbers.
    ///
    /// # Errors
    /// [`Error::Value`] for other types.
    pub fn to_ints(&self) -> Result<Vec<i64>> {
        match &self.data {
            Data::Int(v) => Ok(v.clone()),
            Data::Bool(v) => Ok(v.iter().map(|v| i64::from(*v)).collect()),
            _ => Err(Error::value("array", "whole numbers were expected, but these are floating-point numbers")),
        }
    }

    /// The truth values.
    ///
    /// # Errors
    /// [`Error::Value`] for other types.
    pub fn to_bools(&self) -> Result<Vec<bool>> {
        match &self.data {
            Data::Bool(v) => Ok(v.clone()),
            _ => Err(Error::value("array", "truth values were expected")),
        }
    }

    /// Whether the elements are floating-point numbers.
    pub fn is_float(&self) -> bool {
        matches!(self.data, Data::Single(_) | Data::Double(_))
    }

    /// The same elements in another shape.
    pub(crate) fn reshaped(&self, shape: Vec<usize>) -> Result<Self> {
        Self::new(shape, self.data.clone())
    }

    /// The elements at flat indices, in a new shape; `None` is `fill`.
    pub(crate) fn pick(&self, shape: Vec<usize>, at: &[Option<usize>], fill: f64) -> Result<Self> {
        fn taken<T: Copy>(v: &[T], at: &[Option<usize>], fill: T) -> Vec<T> {
            at.iter().map(|i| i.and_then(|i| v.get(i)).copied().unwrap_or(fill)).collect()
        }
        let data = match &self.data {
            Data::Single(v) => Data::Single(taken(v, at, fill)),
            Data::Double(v) => Data::Double(taken(v, at, fill)),
            Data::Int(v) => Data::Int(taken(v, at, fill as i64)),
            Data::Bool(v) => Data::Bool(taken(v, at, fill != 0.0)),
        };
        Self::new(shape, data)
    }

    /// As a tensor of floating-point numbers.
    pub(crate) fn tensor(&self, dtype: DType, device: &Device) -> Result<Tensor> {
        if let Some(t) = self.tensor.get().filter(|t| t.dtype() == dtype && t.device().same_device(device)) {
            return Ok(t.clone());
        }
        let t = match dtype {
            DType::F64 => Tensor::from_vec(self.to_f64(), self.shape.as_slice(), device)?,
            _ => {
                let values: Vec<f32> = self.to_f64().into_iter().map(|v| v as f32).collect();
                Tensor::from_vec(values, self.shape.as_slice(), device)?.to_dtype(dtype)?
            }
        };
        Ok(self.tensor.get_or_init(|| t).clone())
    }

    /// Truth values as a tensor of 0 and 1.
    pub(crate) fn mask(&self, device: &Device) -> Result<Tensor> {
        let values: Vec<u8> = self.to_bools()?.into_iter().map(u8::from).collect();
        Ok(Tensor::from_vec(values, self.shape.as_slice(), device)?)
    }
}

impl Data {
    /// The number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::Single(v) | Self::Double(v) => v.len(),
            Self::Int(v) => v.len(),
            Self::Bool(v) => v.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the elements are, in a word.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Single(_) => "float32",
            Self::Double(_) => "float64",
            Self::Int(_) => "integer",
            Self::Bool(_) => "bool",
        }
    }
}

/// The shape that two shapes are repeated to, by the rule of numpy.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |i| s[i]);
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Ok(x),
            (1, x) | (x, 1) => Ok(x),
            _ => Err(Error::value("shapes", format!("{a:?} and {b:?} cannot be broadcast to each other"))),
        })
        .collect()
}

/// The flat index in `from` of each element of `to`, which `from` is repeated to.
pub(crate) fn broadcast_indices(from: &[usize], to: &[usize]) -> Vec<usize> {
    let mut strides = vec![0; to.len()];
    let mut stride = 1;
    for (i, d) in from.iter().enumerate().rev() {
        strides[i + to.len() - from.len()] = if *d == 1 { 0 } else { stride };
        stride *= d;
    }
    let total = to.iter().product();
    let mut at = vec![0; to.len()];
    let mut flat = 0;
    let mut all = Vec::with_capacity(total);
    for _ in 0..total {
        all.push(flat);
        for axis in (0..to.len()).rev() {
            at[axis] += 1;
            flat += strides[axis];
            if at[axis] < to[axis] {
                break;
            }
            flat -= strides[axis] * to[axis];
            at[axis] = 0;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_is_numpys() {
        assert_eq!(broadcast(&[3, 1], &[2, 1, 4]).unwrap(), [2, 3, 4]);
        assert_eq!(broadcast(&[], &[2]).unwrap(), [2]);
        assert!(broadcast(&[3], &[2]).is_err());
        assert_eq!(broadcast_indices(&[2, 1], &[2, 3]), [0, 0, 0, 1, 1, 1]);
        assert_eq!(broadcast_indices(&[3], &[2, 3]), [0, 1, 2, 0, 1, 2]);
        assert_eq!(broadcast_indices(&[], &[2]), [0, 0]);
    }

    #[test]
    fn a_shape_of_too_many_elements_is_refused() {
        assert!(count(&[usize::MAX, 2]).is_err());
        assert!(Array::new(vec![2, 2], Data::Int(vec![1])).is_err());
    }
}
