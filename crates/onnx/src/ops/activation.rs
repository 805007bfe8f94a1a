//! Elementwise functions of one input with their exact derivatives.

use super::elementwise::host_unary;
use crate::node::{Attributes, Node};
use crate::value::{Args, Run, Value, one};
use candle_core::Tensor;
use sconce_tensor_core::ops::{self, Gelu};
use sconce_tensor_core::{Error, Result};

type F = Box<dyn Fn(&Tensor) -> Result<Tensor> + Send + Sync>;

fn simple(f: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static) -> F {
    Box::new(f)
}

pub(super) fn maker(node: &Node, a: &Attributes<'_>) -> Result<Run> {
    let f = match node.op.as_str() {
        "Relu" => return Ok(one(relu)),
        "PRelu" => {
            let old = node.opset < 7;
            return Ok(one(move |args| prelu(args, old)));
        }
        "Clip" => return clip(node, a),
        "LeakyRelu" => {
            let slope = a.float("alpha", 0.01)?;
            // A negative slope is not monotone, and allowed.
            if slope >= 0.0 {
                simple(move |x| ops::leaky_relu(x, slope))
            } else {
                simple(move |x| Ok((ops::relu(x)? - (ops::relu(&x.neg()?)? * slope)?)?))
            }
        }
        "Elu" => {
            let alpha = a.float("alpha", 1.0)?;
            simple(move |x| ops::elu(x, alpha))
        }
        "Celu" => {
            let alpha = a.float("alpha", 1.0)?;
            if alpha <= 0.0 {
                return Err(node.error(format!("alpha must be positive, got {alpha}")));
            }
            simple(move |x| Ok((ops::elu(&(x / alpha)?, 1.0)? * alpha)?))
        }
        "Selu" => {
            let (alpha, gamma) = (a.float("alpha", 1.673_263_2)?, a.float("gamma", 1.050_701)?);
            simple(move |x| Ok((ops::elu(x, alpha)? * gamma)?))
        }
        "Sigmoid" => simple(ops::sigmoid),
        "HardSigmoid" => {
            let (alpha, beta) = (a.float("alpha", 0.2)?, a.float("beta", 0.5)?);
            simple(move |x| ops::hard_sigmoid(x, alpha, beta))
        }
        "HardSwish" => simple(ops::hard_swish),
        "Gelu" => match a.text("approximate", "none")?.as_str() {
            "none" => simple(|x| ops::gelu(x, Gelu::Erf)),
            "tanh" => simple(|x| ops::gelu(x, Gelu::Tanh)),
            other => return Err(node.error(format!("approximate {other:?} is neither none nor tanh"))),
        },
        "Erf" => simple(ops::erf),
        "Tanh" => simple(ops::tanh),
        "Softplus" => simple(ops::softplus),
        "Softsign" => simple(|x| Ok((x / (x.abs()? + 1.0)?)?)),
        "Mish" => simple(ops::mish),
        _ => {
            let alpha = a.float("alpha", 1.0)?;
            simple(move |x| Ok((x * x.detach().gt(alpha)?.to_dtype(x.dtype())?)?))
        }
    };
    Ok(one(move |args| Ok(f(&args.tensor(0)?)?.into())))
}

/// A function that a graph spells in several nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fused {
    Silu,
    HardSwish,
    Gelu,
    Mish,
}

/// The function in one pass.
pub(crate) fn fused(f: Fused) -> Run {
    one(move |args: &Args<'_>| {
        let x = args.tensor(0)?;
        Ok(match f {
            Fused::Silu => ops::silu(&x),
            Fused::HardSwish => ops::hard_swish(&x),
            Fused::Gelu => ops::gelu(&x, Gelu::Erf),
            Fused::Mish => ops::mish(&x),
        }?
        .into())
    })
}

fn relu(args: &Args<'_>) -> Result<Value> {
    match args.need(0)? {
        Value::Array(a) => host_unary(a, |v| v.max(0.0), |v| Some(v.max(0))),
        _ => Ok(ops::relu(&args.tensor(0)?)?.into()),
    }
}

fn prelu(args: &Args<'_>, old: bool) -> Result<Value> {
    let (x, mut slope) = (args.tensor(0)?, args.tensor(1)?);
    // Before operator set 7 there is one slope for each channel.
    if old && slope.rank() == 1 && x.rank() > 1 {
        slope = slope.reshape([&[slope.elem_count()], vec![1; x.rank() - 2].as_slice()].concat())?;
    }
    // One slope for all, or one for each channel.
    let channels = x.dims().get(1).copied().unwrap_or(0);
    let by_channel =
        slope.rank() + 1 == x.rank() && slope.dims().first() == Some(&channels) && slope.elem_count() == channels;
    if (slope.elem_count() == 1 && slope.rank() <= x.rank()) || by_channel {
        return Ok(ops::prelu(&x, &slope.flatten_all()?)?.into());
    }
    let below = ops::relu(&x.neg()?)?;
    Ok((ops::relu(&x)? - below.broadcast_mul(&slope)?)?.into())
}

fn clip(node: &Node, a: &Attributes<'_>) -> Result<Run> {
    let (lo, hi) = (a.float("min", f64::NEG_INFINITY)?, a.float("max", f64::INFINITY)?);
    if node.opset >= 11 && (a.has("min") || a.has("max")) {
        return Err(node.error("since operator set 11 its bounds are inputs, not attributes"));
    }
    Ok(one(move |args| {
        let bound = |i: usize, other: f64| -> Result<f64> {
            match args.host(i)?.map(|b| b.to_f64()).as_deref() {
                None | Some([]) => Ok(other),
                Some([b]) => Ok(*b),
                Some(b) => Err(Error::value("inputs", format!("a bound must be one number, but it has {}", b.len()))),
            }
        };
        let (lo, hi) = (bound(1, lo)?, bound(2, hi)?);
        match args.need(0)? {
            Value::Array(a) => {
                let whole = |v: f64| {
                    if v.is_finite() {
                        v as i64
                    } else if v < 0.0 {
                        i64::MIN
                    } else {
                        i64::MAX
                    }
                };
                host_unary(a, |v| v.max(lo).min(hi), |v| Some(v.max(whole(lo)).min(whole(hi))))
            }
            Value::Whole(t) => {
                Ok(Value::Whole(t.maximum(lo.max(f64::from(f32::MIN)))?.minimum(hi.min(f64::from(f32::MAX)))?))
            }
            _ if lo == f64::NEG_INFINITY && hi == f64::INFINITY => Ok(args.need(0)?.clone()),
            // A lower bound above the upper one gives the upper one everywhere.
            _ => Ok(ops::clamp(&args.tensor(0)?, lo.min(hi), hi)?.into()),
        }
    }))
}
