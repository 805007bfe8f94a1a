//! Other sizes of images: every rule is a list of weighted places for each place of the result, axis by axis.

use super::constant::sizes;
use super::moved::select;
use crate::node::{Attributes, Node, axis};
use crate::value::{Args, MOST_ELEMENTS, Run, Value, one, within};
use candle_core::{Device, Tensor};
use sconce_tensor_core::{Error, Result, ops};

/// Where a place of the result lies in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
}

/// What is taken there.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Take {
    Floor,
    Ceil,
    /// The nearest, of two the lower one.
    PreferFloor,
    PreferCeil,
    Linear,
    Cubic {
        a: f64,
    },
}

/// How one axis is resized.
#[derive(Clone, Copy, Debug)]
struct Rule {
    place: Place,
    take: Take,
    antialias: bool,
    exclude_outside: bool,
}

/// What happens to the ratio of the axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ratio {
    Free,
    NotLarger,
    NotSmaller,
}

pub(super) fn maker(node: &Node, a: &Attributes<'_>) -> Result<Run> {
    let old = node.op == "Upsample" || node.opset < 11;
    let place = match a.text("coordinate_transformation_mode", if old { "asymmetric" } else { "half_pixel" })?.as_str()
    {
        "half_pixel" => Place::HalfPixel,
        "half_pixel_symmetric" => Place::HalfPixelSymmetric,
        "pytorch_half_pixel" => Place::PytorchHalfPixel,
        "align_corners" => Place::AlignCorners,
        "asymmetric" => Place::Asymmetric,
        other => return Err(node.error(format!("coordinate_transformation_mode {other:?} is not supported"))),
    };
    let nearest = match a.text("nearest_mode", if old { "floor" } else { "round_prefer_floor" })?.as_str() {
        "floor" => Take::Floor,
        "ceil" => Take::Ceil,
        "round_prefer_floor" => Take::PreferFloor,
        "round_prefer_ceil" => Take::PreferCeil,
        other => return Err(node.error(format!("nearest_mode {other:?} is not known"))),
    };
    let coefficient = a.float("cubic_coeff_a", -0.75)?;
    let take = match a.text("mode", "nearest")?.as_str() {
        "nearest" => nearest,
        "linear" | "bilinear" => Take::Linear,
        "cubic" => Take::Cubic { a: coefficient },
        other => return Err(node.error(format!("mode {other:?} is not one of nearest, linear, cubic"))),
    };
    let ratio = match a.text("keep_aspect_ratio_policy", "stretch")?.as_str() {
        "stretch" => Ratio::Free,
        "not_larger" => Ratio::NotLarger,
        "not_smaller" => Ratio::NotSmaller,
        other => return Err(node.error(format!("keep_aspect_ratio_policy {other:?} is not known"))),
    };
    let (antialias, exclude_outside) = (a.flag("antialias", false)?, a.flag("exclude_outside", false)?);
    let rule = Rule { place, take, antialias, exclude_outside };
    a.float("extrapolation_value", 0.0)?;
    let (axes, fixed) = (a.ints("axes")?, a.floats("scales")?);
    Ok(one(move |args| {
        let x = args.tensor(0)?;
        let rank = x.rank();
        let axes = match &axes {
            Some(axes) => axes.iter().map(|v| axis(*v, rank)).collect::<Result<Vec<_>>>()?,
            None => (0..rank).collect(),
        };
        let (scales, targets) = asked(args, old, fixed.as_deref())?;
        let lengths: Vec<usize> = axes.iter().map(|i| x.dims()[*i]).collect();
        let plan = plan(&lengths, scales, targets, ratio)?;
        let mut shape = x.dims().to_vec();
        let mut y = x;
        for (along, (out, scale)) in axes.into_iter().zip(plan) {
            shape[along] = out;
            within(&shape, MOST_ELEMENTS)?;
            y = resized(&y, along, out, scale, rule)?;
        }
        Ok(Value::Tensor(y))
    }))
}

/// Scales, or sizes.
type Asked = (Option<Vec<f64>>, Option<Vec<usize>>);

/// Scales or sizes, as the inputs give them.
fn asked(args: &Args<'_>, old: bool, fixed: Option<&[f64]>) -> Result<Asked> {
    let floats =
        |i: usize| -> Result<Option<Vec<f64>>> { Ok(args.host(i)?.map(|a| a.to_f64()).filter(|v| !v.is_empty())) };
    if let Some(s) = fixed {
        return Ok((Some(s.to_vec()), None));
    }
    if old {
        return Ok((floats(1)?, None));
    }
    Ok((floats(2)?, args.ints(3)?.filter(|v| !v.is_empty()).map(|v| sizes(&v)).transpose()?))
}

/// The size and the scale of each axis.
fn plan(
    lengths: &[usize],
    scales: Option<Vec<f64>>,
    targets: Option<Vec<usize>>,
    ratio: Ratio,
) -> Result<Vec<(usize, f64)>> {
    let fits = |n: usize, what: &str| {
        let reason = format!("there are {n} for {} axes", lengths.len());
        if n == lengths.len() { Ok(()) } else { Err(Error::value(what, reason)) }
    };
    match (scales, targets) {
        (Some(s), None) => {
            fits(s.len(), "scales")?;
            if let Some(bad) = s.iter().find(|v| !(v.is_finite() && **v > 0.0)) {
                return Err(Error::value("scales", format!("{bad} is not positive")));
            }
            Ok(lengths.iter().zip(s).map(|(l, s)| ((*l as f32 * s as f32).floor() as usize, s)).collect())
        }
        (None, Some(t)) => {
            fits(t.len(), "sizes")?;
            let own: Vec<f64> = lengths.iter().zip(&t).map(|(l, t)| *t as f64 / *l as f64).collect();
            let one = match ratio {
                Ratio::Free => return Ok(t.into_iter().zip(own).collect()),
                Ratio::NotLarger => own.into_iter().fold(f64::INFINITY, f64::min),
                Ratio::NotSmaller => own.into_iter().fold(0.0, f64::max),
            };
            Ok(lengths.iter().map(|l| ((*l as f64 * one).round() as usize, one)).collect())
        }
        _ => Err(Error::value("inputs", "either scales or sizes must be given")),
    }
}

/// The longest axis of a result.
const LONGEST: usize = 1 << 20;

fn resized(x: &Tensor, along: usize, out: usize, scale: f64, rule: Rule) -> Result<Tensor> {
    let len = x.dim(along)?;
    if out == len && (scale - 1.0).abs() < 1e-12 {
        return Ok(x.clone());
    }
    if len == 0 || out == 0 || out > LONGEST {
        return Err(Error::value("sizes", format!("axis {along} is resized from {len} to {out}")));
    }
    let taps: Vec<Vec<(usize, f64)>> = (0..out).map(|i| taps(i, len, out, scale, rule)).collect();
    if taps.iter().all(|t| matches!(t[..], [(_, 1.0)])) {
        let at: Vec<i64> = taps.iter().map(|t| t[0].0 as i64).collect();
        return select(x, along, &at);
    }
    // Two places at most, along one axis of an image: the kernel that has it.
    if x.rank() == 4 && along >= 2 && taps.iter().all(|t| t.len() <= 2) {
        let pair = |t: &Vec<(usize, f64)>| match t[..] {
            [(a, _), (b, w)] => (a, b, w),
            _ => (t[0].0, t[0].0, 0.0),
        };
        let moved: Vec<ops::Taps> = taps.iter().map(pair).collect();
        let still: Vec<ops::Taps> = (0..x.dim(5 - along)?).map(|i| (i, i, 0.0)).collect();
        let (rows, cols) = if along == 2 { (&moved, &still) } else { (&still, &moved) };
        return ops::resize2d(x, rows, cols);
    }
    let mut matrix = vec![0f64; within(&[out, len], MOST_ELEMENTS)?];
    for (row, taps) in matrix.chunks_exact_mut(len).zip(&taps) {
        taps.iter().for_each(|(i, w)| row[*i] += w);
    }
    let matrix = Tensor::from_vec(matrix, (out, len), &Device::Cpu)?.to_dtype(x.dtype())?.to_device(x.device())?;
    let last = x.rank() - 1;
    let y = ops::linear(&x.transpose(along, last)?.contiguous()?, &matrix, None)?;
    Ok(y.transpose(along, last)?.contiguous()?)
}

/// The places that one place of the result is made of, with their weights, which sum to 1.
fn taps(i: usize, len: usize, out: usize, scale: f64, rule: Rule) -> Vec<(usize, f64)> {
    let (i, last) = (i as f64, len as f64 - 1.0);
    let at = match rule.place {
        Place::HalfPixel => (i + 0.5) / scale - 0.5,
        Place::HalfPixelSymmetric => {
            let adjusted = out as f64 / (scale * len as f64);
            len as f64 / 2.0 * (1.0 - adjusted) + (i + 0.5) / scale - 0.5
        }
        Place::PytorchHalfPixel if out == 1 => 0.0,
        Place::PytorchHalfPixel => (i + 0.5) / scale - 0.5,
        Place::AlignCorners if out == 1 => 0.0,
        // Of the rounded length, as PyTorch and onnxruntime have it; ONNX's reference takes the fraction.
        Place::AlignCorners => i * last / (out as f64 - 1.0),
        Place::Asymmetric => i / scale,
    };
    // The nearest place is decided in 32 bits, as other runtimes do it: at a tie, rounding decides.
    let at = if matches!(rule.take, Take::Linear | Take::Cubic { .. }) {
        at
    } else {
        f64::from(match rule.place {
            Place::HalfPixel => (i as f32 + 0.5) / scale as f32 - 0.5,
            Place::PytorchHalfPixel if out > 1 => (i as f32 + 0.5) / scale as f32 - 0.5,
            Place::Asymmetric => i as f32 / scale as f32,
            _ => at as f32,
        })
    };
    let inside = |v: f64| v.clamp(0.0, last) as usize;
    let whole = |v: f64| vec![(inside(v), 1.0)];
    // With antialiasing the kernel is as wide as a place of the result.
    let width = if rule.antialias { scale.min(1.0) } else { 1.0 };
    let (reach, kernel): (f64, Box<dyn Fn(f64) -> f64>) = match rule.take {
        Take::Floor => return whole(at.floor()),
        Take::Ceil => return whole(at.ceil()),
        Take::PreferFloor => return whole((at - 0.5).ceil()),
        Take::PreferCeil => return whole((at + 0.5).floor()),
        Take::Linear => (1.0, Box::new(|d: f64| (1.0 - d.abs()).max(0.0))),
        Take::Cubic { a } => (2.0, Box::new(move |d: f64| cubic(d.abs(), a))),
    };
    let (from, to) = ((at - reach / width).floor() as i64, (at + reach / width).ceil() as i64);
    let mut all: Vec<(i64, f64)> =
        (from..=to).map(|j| (j, kernel((j as f64 - at) * width))).filter(|t| t.1 != 0.0).collect();
    if rule.exclude_outside {
        all.retain(|(j, _)| (0..len as i64).contains(j));
    }
    let sum: f64 = all.iter().map(|t| t.1).sum();
    let mut taps: Vec<(usize, f64)> = Vec::new();
    for (j, w) in all {
        let place = inside(j as f64);
        match taps.iter_mut().find(|t| t.0 == place) {
            Some(t) => t.1 += w / sum,
            None => taps.push((place, w / sum)),
        }
    }
    taps
}

/// Keys (1981), equation 15, with a free coefficient.
fn cubic(d: f64, a: f64) -> f64 {
    if d <= 1.0 {
        ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    } else if d < 2.0 {
        ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
    } else {
        0.0
    }
}
