//! One constant: `TensorProto`.

use super::Beside;
use crate::array::{Array, Data, count};
use crate::proto;
use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::{Error, Result};

/// A constant of a file.
#[derive(Clone, Debug)]
pub(crate) enum Constant {
    /// Floating-point numbers, f32 or f64, on the CPU.
    Float(Tensor),
    /// Whole numbers and truth values.
    Host(Array),
}

/// The name of an element type.
pub(crate) fn element_name(kind: i32) -> String {
    let names = [
        "undefined",
        "float32",
        "uint8",
        "int8",
        "uint16",
        "int16",
        "int32",
        "int64",
        "string",
        "bool",
        "float16",
        "float64",
        "uint32",
        "uint64",
        "complex64",
        "complex128",
        "bfloat16",
    ];
    usize::try_from(kind).ok().and_then(|k| names.get(k)).map_or_else(|| format!("type {kind}"), |n| (*n).to_owned())
}

/// Bytes of one element, for the types that are read.
fn width(kind: i32) -> Result<usize> {
    match kind {
        2 | 3 | 9 => Ok(1),
        4 | 5 | 10 | 16 => Ok(2),
        1 | 6 | 12 => Ok(4),
        7 | 11 | 13 => Ok(8),
        _ => {
            let reason = format!(
                "elements of {} are not supported; float, double, half, integer and bool are",
                element_name(kind)
            );
            Err(Error::value("constant", reason))
        }
    }
}

/// Reads a constant.
///
/// # Errors
/// Another number of elements than its shape says, a type without numbers, data that cannot be found.
pub(crate) fn read(t: &proto::Tensor, beside: &Beside) -> Result<Constant> {
    let name = t.name.as_deref().unwrap_or_default();
    let named = |e: Error| Error::value(format!("constant `{name}`"), e.to_string());
    let read = inner(t, beside).map_err(named)?;
    Ok(match (read, t.data_type) {
        (Constant::Host(a), Some(2)) => Constant::Host(a.ranged((0, 255))),
        (Constant::Host(a), Some(3)) => Constant::Host(a.ranged((-128, 127))),
        (read, _) => read,
    })
}

fn inner(t: &proto::Tensor, beside: &Beside) -> Result<Constant> {
    let shape = t.dims.iter().map(|d| usize::try_from(*d)).collect::<Result<Vec<_>, _>>();
    let shape = shape.map_err(|_| Error::value("shape", format!("{:?} has a negative size", t.dims)))?;
    let (n, kind) = (count(&shape)?, t.data_type.unwrap_or(0));
    let bytes = n.checked_mul(width(kind)?).ok_or_else(|| Error::value("shape", "it has too many elements"))?;
    if t.data_location == Some(1) {
        return raw(&beside.read(&t.external_data, bytes)?, kind, shape);
    }
    if let Some(data) = &t.raw_data {
        if data.len() != bytes {
            let reason = format!("{} bytes for {shape:?} of {}, which needs {bytes}", data.len(), element_name(kind));
            return Err(Error::value("data", reason));
        }
        return raw(data, kind, shape);
    }
    let host = |data: Data| Array::new(shape.clone(), data).map(Constant::Host);
    let given = |got: usize| {
        let reason = format!("{got} elements for the shape {shape:?}");
        if got == n { Ok(()) } else { Err(Error::value("data", reason)) }
    };
    match kind {
        1 => {
            given(t.float_data.len())?;
            Ok(Constant::Float(Tensor::from_vec(t.float_data.clone(), shape.as_slice(), &Device::Cpu)?))
        }
        11 => {
            given(t.double_data.len())?;
            Ok(Constant::Float(Tensor::from_vec(t.double_data.clone(), shape.as_slice(), &Device::Cpu)?))
        }
        // Halves are stored as the integers of their bits.
        10 | 16 => {
            let bits: Vec<u8> = t.int32_data.iter().flat_map(|v| (*v as u16).to_le_bytes()).collect();
            given(bits.len() / 2)?;
            raw(&bits, kind, shape)
        }
        7 => host(Data::Int(t.int64_data.clone())),
        12 | 13 => host(Data::Int(t.uint64_data.iter().map(|v| whole(*v)).collect::<Result<_>>()?)),
        9 => host(Data::Bool(t.int32_data.iter().map(|v| *v != 0).collect())),
        _ => host(Data::Int(t.int32_data.iter().map(|v| i64::from(*v)).collect())),
    }
}

fn whole(v: u64) -> Result<i64> {
    i64::try_from(v)
        .map_err(|_| Error::value("data", format!("{v} is beyond the largest integer of 64 bits, 2^63 - 1")))
}

fn raw(bytes: &[u8], kind: i32, shape: Vec<usize>) -> Result<Constant> {
    fn each<const W: usize, T>(bytes: &[u8], f: impl Fn([u8; W]) -> T) -> Vec<T> {
        bytes.as_chunks::<W>().0.iter().map(|c| f(*c)).collect()
    }
    let float = |t: DType| -> Result<Constant> {
        if bytes.is_empty() {
            return Ok(Constant::Float(Tensor::zeros(shape.as_slice(), DType::F32, &Device::Cpu)?));
        }
        let t = Tensor::from_raw_buffer(bytes, t, &shape, &Device::Cpu)?;
        Ok(Constant::Float(if t.dtype() == DType::F64 { t } else { t.to_dtype(DType::F32)? }))
    };
    let ints = match kind {
        1 => return float(DType::F32),
        10 => return float(DType::F16),
        11 => return float(DType::F64),
        16 => return float(DType::BF16),
        9 => return Ok(Constant::Host(Array::new(shape, Data::Bool(bytes.iter().map(|b| *b != 0).collect()))?)),
        2 => bytes.iter().map(|b| i64::from(*b)).collect(),
        3 => each(bytes, |b| i64::from(i8::from_le_bytes(b))),
        4 => each(bytes, |b| i64::from(u16::from_le_bytes(b))),
        5 => each(bytes, |b| i64::from(i16::from_le_bytes(b))),
        6 => each(bytes, |b| i64::from(i32::from_le_bytes(b))),
        12 => each(bytes, |b| i64::from(u32::from_le_bytes(b))),
        13 => each(bytes, u64::from_le_bytes).into_iter().map(whole).collect::<Result<_>>()?,
        _ => each(bytes, i64::from_le_bytes),
    };
    Ok(Constant::Host(Array::new(shape, Data::Int(ints))?))
}
