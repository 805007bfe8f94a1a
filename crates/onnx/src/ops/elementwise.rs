//! Arithmetic, element by element, with the broadcasting of numpy.

use crate::array::{Array, Data, broadcast, broadcast_indices};
use crate::node::{Attributes, Node};
use crate::value::{Args, MOST_ELEMENTS, MOST_ON_HOST, Run, Value, one, within};
use candle_core::Tensor;
use sconce_tensor_core::{Error, Result, ops};

/// What two elements become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Min,
    Max,
    /// The remainder with the sign of the divisor, or of the dividend.
    Mod {
        dividend: bool,
    },
}

pub(super) fn maker(node: &Node, a: &Attributes<'_>) -> Result<Run> {
    let f = match node.op.as_str() {
        "Add" | "Sum" | "Mean" => Binary::Add,
        "Sub" => Binary::Sub,
        "Mul" => Binary::Mul,
        "Div" => Binary::Div,
        "Pow" => Binary::Pow,
        "Min" => Binary::Min,
        "Max" => Binary::Max,
        _ => Binary::Mod { dividend: a.flag("fmod", false)? },
    };
    let mean = node.op == "Mean";
    a.ints("consumed_inputs")?;
    // Before operator set 7 the second input lies along the first one's axes from this one on.
    let from =
        if node.opset < 7 && a.flag("broadcast", false)? && a.has("axis") { Some(a.int("axis", 0)?) } else { None };
    Ok(one(move |args| {
        if let (Some(from), [Some(x), Some(y)]) = (from, args.values) {
            let rank = x.shape().len();
            let after = rank.saturating_sub(crate::node::axis(from, rank)? + y.shape().len());
            let shape = [y.shape(), vec![1; after].as_slice()].concat();
            return binary(args, f, x, &super::reshape::shaped(y, shape)?);
        }
        let mut all = args.values.iter().flatten();
        let mut sum = all.next().cloned().ok_or_else(|| Error::value("inputs", "there are none"))?;
        for v in all {
            sum = binary(args, f, &sum, v)?;
        }
        if mean {
            let n = args.values.iter().flatten().count() as f64;
            return Ok((args.as_tensor(&sum)? / n)?.into());
        }
        Ok(sum)
    }))
}

/// `max(a + b, 0)` in one pass.
pub(crate) fn add_relu() -> Run {
    one(|args| {
        let (a, b) = (args.tensor(0)?, args.tensor(1)?);
        Ok(if a.dims() == b.dims() { ops::add_relu(&a, &b)? } else { ops::relu(&a.broadcast_add(&b)?)? }.into())
    })
}

fn binary(args: &Args<'_>, f: Binary, a: &Value, b: &Value) -> Result<Value> {
    if let (Value::Array(a), Value::Array(b)) = (a, b) {
        return host(f, a, b);
    }
    let shape = broadcast(a.shape(), b.shape())?;
    within(&shape, MOST_ELEMENTS)?;
    if let (Binary::Pow, Value::Array(b)) = (f, b) {
        return Ok(powers(&args.as_tensor(a)?, b, &shape)?.into());
    }
    if let Some(y) = by_number(args, f, a, b, &shape)? {
        return Ok(y.into());
    }
    let (a, b) = (args.as_tensor(a)?, args.as_tensor(b)?);
    let y = match f {
        Binary::Add if a.dims() == b.dims() => Ok(ops::add(&a, &b)?),
        Binary::Add => a.broadcast_add(&b),
        Binary::Sub => a.broadcast_sub(&b),
        Binary::Mul => a.broadcast_mul(&b),
        Binary::Div => a.broadcast_div(&b),
        Binary::Pow => a.broadcast_pow(&b),
        Binary::Min => a.broadcast_minimum(&b),
        Binary::Max => a.broadcast_maximum(&b),
        Binary::Mod { dividend } => {
            let ratio = a.detach().broadcast_div(&b.detach())?;
            let whole = if dividend { (ratio.abs()?.floor()? * ratio.sign()?)? } else { ratio.floor()? };
            a.broadcast_sub(&whole.broadcast_mul(&b)?)
        }
    };
    Ok(y?.into())
}

/// `x^e`, exact and differentiable where `x` is negative and `e` whole.
fn power(x: &Tensor, e: f64) -> Result<Tensor> {
    Ok(match e {
        0.0 => x.ones_like()?,
        1.0 => x.clone(),
        2.0 => x.sqr()?,
        3.0 => (x.sqr()? * x)?,
        0.5 => x.sqrt()?,
        -1.0 => x.recip()?,
        -0.5 => x.sqrt()?.recip()?,
        e => x.powf(e)?,
    })
}

/// Arithmetic with one number, in a single pass.
fn by_number(args: &Args<'_>, f: Binary, a: &Value, b: &Value, shape: &[usize]) -> Result<Option<Tensor>> {
    let number = |v: &Value| match v {
        Value::Array(v) if v.len() == 1 && v.is_float() => Some(v.to_f64()[0]),
        _ => None,
    };
    let (slope, offset, x) = match (f, number(a), number(b)) {
        (Binary::Add, None, Some(c)) => (1.0, c, a),
        (Binary::Add, Some(c), None) => (1.0, c, b),
        (Binary::Sub, None, Some(c)) => (1.0, -c, a),
        (Binary::Sub, Some(c), None) => (-1.0, c, b),
        (Binary::Mul, None, Some(c)) => (c, 0.0, a),
        (Binary::Mul, Some(c), None) => (c, 0.0, b),
        (Binary::Div, None, Some(c)) if c != 0.0 => (1.0 / c, 0.0, a),
        _ => return Ok(None),
    };
    // A number of more axes than the tensor changes its rank.
    if x.shape() != shape {
        return Ok(None);
    }
    Ok(Some(args.as_tensor(x)?.affine(slope, offset)?))
}

/// `x^e` for exponents that are known: one power for each of them, and the choice between these.
fn powers(x: &Tensor, exponents: &Array, shape: &[usize]) -> Result<Tensor> {
    let all = exponents.to_f64();
    let mut distinct = all.clone();
    distinct.sort_by(f64::total_cmp);
    distinct.dedup();
    let x = if x.dims() == shape { x.clone() } else { x.broadcast_as(shape)?.contiguous()? };
    if distinct.len() > MOST_EXPONENTS {
        let reason = format!("{} different exponents are not supported, at most {MOST_EXPONENTS}", distinct.len());
        return Err(Error::value("inputs", reason));
    }
    let mut y: Option<Tensor> = None;
    for e in distinct {
        let one = power(&x, e)?;
        y = Some(match y {
            None => one,
            Some(rest) => {
                let here: Vec<u8> = all.iter().map(|v| u8::from(*v == e)).collect();
                let here = Tensor::from_vec(here, exponents.shape(), x.device())?.broadcast_as(shape)?.contiguous()?;
                here.where_cond(&one, &rest)?
            }
        });
    }
    y.ok_or_else(|| Error::value("inputs", "there are no exponents"))
}

/// The most different exponents of one power.
const MOST_EXPONENTS: usize = 16;

/// A function of two arrays.
pub(super) fn zip<T>(a: &Array, b: &Array, f: impl Fn(usize, usize) -> T) -> Result<(Vec<usize>, Vec<T>)> {
    let shape = broadcast(a.shape(), b.shape())?;
    within(&shape, MOST_ON_HOST)?;
    let (ia, ib) = (broadcast_indices(a.shape(), &shape), broadcast_indices(b.shape(), &shape));
    Ok((shape, ia.into_iter().zip(ib).map(|(i, j)| f(i, j)).collect()))
}

fn host(f: Binary, a: &Array, b: &Array) -> Result<Value> {
    if let (Data::Int(x), Data::Int(y)) = (a.data(), b.data()) {
        let (shape, values) = zip(a, b, |i, j| whole(f, x[i], y[j]))?;
        let values = values.into_iter().collect::<Option<Vec<i64>>>();
        let values =
            values.ok_or_else(|| Error::value("integers", "a division by zero, or a result beyond 64 bits"))?;
        return Ok(Array::new(shape, Data::Int(values))?.into());
    }
    let power = f == Binary::Pow && !matches!(a.data(), Data::Bool(_));
    if !(a.is_float() && b.is_float() || power) {
        let reason =
            format!("they must be of one type of numbers, but are {} and {}", a.data().kind(), b.data().kind());
        return Err(Error::value("inputs", reason));
    }
    let (x, y) = (a.to_f64(), b.to_f64());
    let (shape, values) = zip(a, b, |i, j| real(f, x[i], y[j]))?;
    // A power has the type of its base.
    let data = match a.data() {
        Data::Int(_) => Data::Int(values.into_iter().map(|v| v as i64).collect()),
        data => rounded(values, matches!(data, Data::Double(_))),
    };
    Ok(Array::new(shape, data)?.into())
}

/// Numbers of 64 or 32 bits.
pub(super) fn rounded(values: Vec<f64>, double: bool) -> Data {
    if double { Data::Double(values) } else { Data::Single(values.into_iter().map(|v| f64::from(v as f32)).collect()) }
}

fn whole(f: Binary, x: i64, y: i64) -> Option<i64> {
    match f {
        Binary::Add => x.checked_add(y),
        Binary::Sub => x.checked_sub(y),
        Binary::Mul => x.checked_mul(y),
        Binary::Div => x.checked_div(y),
        Binary::Pow => x.checked_pow(u32::try_from(y).ok()?),
        Binary::Min => Some(x.min(y)),
        Binary::Max => Some(x.max(y)),
        Binary::Mod { dividend: true } => x.checked_rem(y),
        Binary::Mod { dividend: false } => {
            x.checked_rem(y).map(|r| if r != 0 && (r < 0) != (y < 0) { r + y } else { r })
        }
    }
}

fn real(f: Binary, x: f64, y: f64) -> f64 {
    match f {
        Binary::Add => x + y,
        Binary::Sub => x - y,
        Binary::Mul => x * y,
        Binary::Div => x / y,
        Binary::Pow => x.powf(y),
        Binary::Min => x.min(y),
        Binary::Max => x.max(y),
        Binary::Mod { dividend: true } => x % y,
        Binary::Mod { dividend: false } => x - (x / y).floor() * y,
    }
}

/// A function of one input.
pub(super) fn unary(node: &Node, _: &Attributes<'_>) -> Result<Run> {
    let op = node.op.clone();
    Ok(one(move |args| {
        let x = match args.need(0)? {
            Value::Array(a) => {
                return host_unary(
                    a,
                    |v| real_unary(&op, v),
                    |v| match op.as_str() {
                        "Neg" => v.checked_neg(),
                        "Abs" => v.checked_abs(),
                        "Sign" => Some(v.signum()),
                        _ => None,
                    },
                );
            }
            _ => args.tensor(0)?,
        };
        let flat = x.detach();
        Ok(match op.as_str() {
            "Sqrt" => x.sqrt()?,
            "Exp" => x.exp()?,
            "Log" => x.log()?,
            "Neg" => x.neg()?,
            "Abs" => x.abs()?,
            "Reciprocal" => x.recip()?,
            "Sin" => x.sin()?,
            "Cos" => x.cos()?,
            "Floor" => flat.floor()?,
            "Ceil" => flat.ceil()?,
            "Sign" => flat.sign()?,
            _ => round_even(&flat)?,
        }
        .into())
    }))
}

/// To the nearest whole number, halves to the even one.
pub(super) fn round_even(x: &Tensor) -> Result<Tensor> {
    let up = (x + 0.5)?.floor()?;
    let tie = (&up - x)?.eq(0.5)?.to_dtype(x.dtype())?;
    let odd = (&up - ((&up * 0.5)?.floor()? * 2.0)?)?;
    Ok((up - (tie * odd)?)?)
}

fn real_unary(op: &str, v: f64) -> f64 {
    match op {
        "Sqrt" => v.sqrt(),
        "Exp" => v.exp(),
        "Log" => v.ln(),
        "Neg" => -v,
        "Abs" => v.abs(),
        "Reciprocal" => 1.0 / v,
        "Sin" => v.sin(),
        "Cos" => v.cos(),
        "Floor" => v.floor(),
        "Ceil" => v.ceil(),
        "Sign" if v == 0.0 => 0.0,
        "Sign" => v.signum(),
        _ => v.round_ties_even(),
    }
}

/// A function of one array; none for integers that it is not defined for.
pub(super) fn host_unary(a: &Array, f: impl Fn(f64) -> f64, g: impl Fn(i64) -> Option<i64>) -> Result<Value> {
    let data = match a.data() {
        Data::Single(v) => rounded(v.iter().map(|v| f(*v)).collect(), false),
        Data::Double(v) => Data::Double(v.iter().map(|v| f(*v)).collect()),
        Data::Int(v) => {
            let all = v.iter().map(|v| g(*v)).collect::<Option<Vec<i64>>>();
            Data::Int(all.ok_or_else(|| Error::value("inputs", "the operator is not defined for these integers"))?)
        }
        Data::Bool(_) => return Err(Error::value("inputs", "the operator is not defined for truth values")),
    };
    Ok(Array::new(a.shape().to_vec(), data)?.into())
}
