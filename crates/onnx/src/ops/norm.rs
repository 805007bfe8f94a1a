//! Normalisation, in evaluation: each example by itself, or by statistics that the file has.

use crate::node::{Attributes, Node, axis};
use crate::value::{Args, Run, one};
use candle_core::Tensor;
use sconce_tensor_core::{Error, Result, ops};

/// (N, C, ...) as (N, C, 1, rest).
fn channels(x: &Tensor) -> Result<Tensor> {
    match x.dims() {
        [n, c, rest @ ..] => Ok(x.reshape((*n, *c, 1, rest.iter().product::<usize>()))?),
        got => Err(Error::shape("input", "(N, C, ...)", got)),
    }
}

fn affine(x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    Ok(ops::channel_affine(&channels(x)?, scale, shift)?.reshape(x.dims())?)
}

/// Reads a batch normalisation: its epsilon.
fn statistics(node: &Node, a: &Attributes<'_>) -> Result<f64> {
    let eps = a.float("epsilon", 1e-5)?;
    a.float("momentum", 0.9)?;
    a.ints("consumed_inputs")?;
    if !a.flag("is_test", node.opset >= 7)? {
        return Err(node.error(
            "it computes the batch's statistics: the model was exported in training mode; call model.eval() before",
        ));
    }
    if a.flag("training_mode", false)? || (node.opset < 14 && node.outputs.iter().skip(1).any(|o| !o.is_empty())) {
        return Err(node.error(
            "it computes the batch's statistics: the model was exported in training mode; call model.eval() before",
        ));
    }
    if !a.flag("spatial", true)? {
        return Err(node.error("spatial 0 is not supported"));
    }
    node.only(1)?;
    Ok(eps)
}

/// The epsilon of a batch normalisation that is folded into a convolution.
pub(super) fn folded(node: &Node) -> Result<f64> {
    let a = node.attributes();
    let eps = statistics(node, &a)?;
    a.finish()?;
    Ok(eps)
}

/// Slope and offset of each channel, from scale, shift, mean and variance at `first` and after.
pub(super) fn line(args: &Args<'_>, first: usize, eps: f64) -> Result<(Tensor, Tensor)> {
    let at = |i: usize| args.tensor(first + i);
    let (scale, shift, mean, var) = (at(0)?, at(1)?, at(2)?, at(3)?);
    let slope = scale.div(&(var + eps)?.sqrt()?)?;
    let offset = (shift - (mean * &slope)?)?;
    Ok((slope, offset))
}

/// `BatchNormalization`.
pub(super) fn batch(node: &Node, a: &Attributes<'_>) -> Result<Run> {
    let eps = statistics(node, a)?;
    Ok(one(move |args| {
        let (slope, offset) = line(args, 1, eps)?;
        Ok(affine(&args.tensor(0)?, &slope, &offset)?.into())
    }))
}

/// `LayerNormalization`, with the mean and the inverse deviation where they are outputs.
pub(super) fn layer(node: &Node, a: &Attributes<'_>) -> Result<Run> {
    let (eps, first) = (a.float("epsilon", 1e-5)?, a.int("axis", -1)?);
    a.int("stash_type", 1)?;
    let moments = node.wants(1) || node.wants(2);
    Ok(Box::new(move |args| {
        let x = args.tensor(0)?;
        let first = axis(first, x.rank())?;
        let rest = x.dims()[first..].to_vec();
        let size = rest.iter().product::<usize>();
        let flat = |t: Tensor| -> Result<Tensor> { Ok(t.broadcast_as(rest.as_slice())?.contiguous()?.reshape(size)?) };
        let (scale, shift) = (args.optional(1)?.map(flat).transpose()?, args.optional(2)?.map(flat).transpose()?);
        let rows = x.contiguous()?.reshape(((), size))?;
        let y = ops::layer_norm(&rows, scale.as_ref(), shift.as_ref(), eps)?;
        let mut all = vec![y.reshape(x.dims())?.into()];
        if moments {
            let mean = rows.mean_keepdim(1)?;
            let var = rows.broadcast_sub(&mean)?.sqr()?.mean_keepdim(1)?;
            let shape = [&x.dims()[..first], vec![1; rest.len()].as_slice()].concat();
            all.push(mean.reshape(shape.as_slice())?.into());
            all.push((var + eps)?.sqrt()?.recip()?.reshape(shape)?.into());
        }
        Ok(all)
    }))
}

/// `InstanceNormalization`.
pub(super) fn instance(_: &Node, a: &Attributes<'_>) -> Result<Run> {
    let eps = a.float("epsilon", 1e-5)?;
    Ok(one(move |args| {
        let x = args.tensor(0)?;
        let c = channels(&x)?.dim(1)?;
        Ok(affine(&standard(&x, c, eps)?, &args.tensor(1)?, &args.tensor(2)?)?.into())
    }))
}

/// Each group of channels of each example with mean 0 and variance 1.
fn standard(x: &Tensor, groups: usize, eps: f64) -> Result<Tensor> {
    let flat = channels(x)?;
    let (n, c, _, m) = flat.dims4()?;
    if groups == 0 || c % groups != 0 {
        return Err(Error::value("num_groups", format!("must divide {c} channels, got {groups}")));
    }
    let y = ops::layer_norm(&flat.contiguous()?.reshape((n * groups, c / groups * m))?, None, None, eps)?;
    Ok(y.reshape(x.dims())?)
}

/// `GroupNormalization`.
pub(super) fn group(node: &Node, a: &Attributes<'_>) -> Result<Run> {
    let (eps, groups) = (a.float("epsilon", 1e-5)?, a.int("num_groups", 0)?.max(0) as usize);
    a.int("stash_type", 1)?;
    let by_channel = node.opset >= 21;
    Ok(one(move |args: &Args<'_>| {
        let x = args.tensor(0)?;
        let y = standard(&x, groups, eps)?;
        let c = channels(&x)?.dim(1)?;
        let spread = |t: Tensor| -> Result<Tensor> {
            if by_channel || t.dims() == [c] {
                return Ok(t);
            }
            // Before operator set 21 there is one for each group.
            Ok(t.reshape((groups, 1))?.broadcast_as((groups, c / groups))?.contiguous()?.reshape(c)?)
        };
        Ok(affine(&y, &spread(args.tensor(1)?)?, &spread(args.tensor(2)?)?)?.into())
    }))
}

/// `LRN`: `x / (bias + alpha / size sum x^2)^beta` over neighbouring channels.
pub(super) fn local_response(node: &Node, a: &Attributes<'_>) -> Result<Run> {
    let (alpha, beta, bias) = (a.float("alpha", 1e-4)?, a.float("beta", 0.75)?, a.float("bias", 1.0)?);
    let size = a.int("size", 0)?;
    let size = usize::try_from(size).ok().filter(|s| (1..=1 << 16).contains(s));
    let size = size.ok_or_else(|| node.error("its attribute `size` must be at least 1"))?;
    Ok(one(move |args| {
        let x = args.tensor(0)?;
        let flat = channels(&x)?;
        let c = flat.dim(1)?;
        let squares = flat.sqr()?.pad_with_zeros(1, (size - 1) / 2, size / 2)?;
        let mut sum = squares.narrow(1, 0, c)?;
        for i in 1..size {
            sum = (sum + squares.narrow(1, i, c)?)?;
        }
        let power = ((sum * (alpha / size as f64))? + bias)?.powf(-beta)?;
        Ok((flat * power)?.reshape(x.dims())?.into())
    }))
}
