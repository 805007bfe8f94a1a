//! Operations that move elements and compute none: they are written once, on tensors. On the host they run on the elements' places.

use crate::array::Array;
use crate::value::{Args, Value};
use candle_core::{Device, Tensor};
use sconce_tensor_core::Result;

/// Applies a movement to a value of any type. `f` gets a tensor and what stands where no element comes from.
pub(super) fn filled(v: &Value, fill: f64, f: impl Fn(&Tensor, f64) -> Result<Tensor>) -> Result<Value> {
    Ok(match v {
        Value::Tensor(t) => Value::Tensor(f(t, fill)?),
        Value::Mask(t) => Value::Mask(f(t, fill)?),
        Value::Whole(t) => Value::Whole(f(t, fill)?),
        Value::Array(a) => {
            let places: Vec<i64> = (1..=a.len() as i64).collect();
            let (shape, at) = taken(&f(&Tensor::from_vec(places, a.shape(), &Device::Cpu)?, 0.0)?)?;
            a.pick(shape, &at, fill)?.into()
        }
    })
}

/// Applies a movement that brings no new elements.
pub(super) fn moved(v: &Value, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Value> {
    filled(v, 0.0, |t, _| f(t))
}

/// Applies a movement of several values of one type.
pub(super) fn together(args: &Args<'_>, values: &[&Value], f: impl Fn(&[Tensor]) -> Result<Tensor>) -> Result<Value> {
    let arrays: Option<Vec<&Array>> =
        values.iter().map(|v| if let Value::Array(a) = v { Some(&**a) } else { None }).collect();
    if let Some(arrays) = arrays {
        let (mut places, mut from) = (Vec::new(), 1);
        for a in &arrays {
            let numbers: Vec<i64> = (from..from + a.len() as i64).collect();
            from += a.len() as i64;
            places.push(Tensor::from_vec(numbers, a.shape(), &Device::Cpu)?);
        }
        let (shape, at) = taken(&f(&places)?)?;
        return Ok(Array::chain(&arrays)?.pick(shape, &at, 0.0)?.into());
    }
    if values.iter().any(|v| matches!(v, Value::Mask(_))) {
        let all = values.iter().map(|v| args.as_mask(v)).collect::<Result<Vec<_>>>()?;
        return Ok(Value::Mask(f(&all)?));
    }
    let all = values.iter().map(|v| args.as_tensor(v)).collect::<Result<Vec<_>>>()?;
    Ok(Value::Tensor(f(&all)?))
}

/// The shape and the flat places, from 1, that a movement left; 0 stands for no place.
fn taken(places: &Tensor) -> Result<(Vec<usize>, Vec<Option<usize>>)> {
    let at = places.flatten_all()?.to_vec1::<i64>()?;
    Ok((places.dims().to_vec(), at.into_iter().map(|i| usize::try_from(i - 1).ok()).collect()))
}

/// Elements along an axis by number, from the end where it is negative; those that are not there are an error.
pub(super) fn select(t: &Tensor, axis: usize, at: &[i64]) -> Result<Tensor> {
    let len = t.dim(axis)?;
    let mut all = Vec::with_capacity(at.len());
    for i in at {
        let place = if *i < 0 { *i + len as i64 } else { *i };
        match u32::try_from(place) {
            Ok(p) if (p as usize) < len => all.push(p),
            _ => {
                let reason = format!("{i} is outside of axis {axis}, which has {len} elements");
                return Err(sconce_tensor_core::Error::value("index", reason));
            }
        }
    }
    let index = Tensor::from_vec(all, at.len(), t.device())?;
    Ok(t.contiguous()?.index_select(&index, axis)?)
}
