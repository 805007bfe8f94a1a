//! Values and first gradients of every operation.

use crate::cases::{Case, below, case, half, joined, of_first};
use crate::{Table, apart, device, large, named, there, timed};
use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor, Var};
use sconce_tensor_core::ops::{self, Conv2dSpec, ConvTranspose2dSpec, LstmWeights, Output, Pool2dSpec};
use sconce_tensor_core::{ExampleRng, Rng};

/// Values, gradients, and the milliseconds of both together.
type Found = (Tensor, Vec<Tensor>, f64);

fn run(case: &Case, dtype: DType, device: &Device) -> Result<Found> {
    let place = |t: &Tensor| {
        let t = if t.dtype().is_float() { t.to_dtype(dtype)? } else { t.clone() };
        t.to_device(device)
    };
    let mut args = case.args.iter().map(place).collect::<candle_core::Result<Vec<_>>>()?;
    let vars = args[..case.differentiable].iter().map(Var::from_tensor).collect::<candle_core::Result<Vec<_>>>()?;
    for (a, v) in args.iter_mut().zip(&vars) {
        *a = v.as_tensor().clone();
    }
    let once = || -> Result<(Tensor, Vec<Tensor>)> {
        let y = (case.op)(&args)?;
        if vars.is_empty() {
            return Ok((y, Vec::new()));
        }
        // The loss weights each element of the result.
        let weight = place(&half(y.dims()))?;
        let grads = ops::last_backward(&(&y * weight)?.sum_all()?)?;
        let grads =
            vars.iter().enumerate().map(|(i, v)| grads.get(v).cloned().with_context(|| format!("no gradient {i}")));
        Ok((y.detach(), grads.collect::<Result<Vec<_>>>()?))
    };
    once()?;
    let ((y, grads), ms) = timed(|| {
        let all = once()?;
        // Waits for the device.
        for t in std::iter::once(&all.0).chain(&all.1) {
            t.flatten_all()?.get(0)?.to_device(&Device::Cpu)?;
        }
        Ok(all)
    })?;
    Ok((y, grads, ms))
}

#[test]
fn values_and_gradients() {
    let mut all = cases();
    if named().is_some() {
        all.extend(large::cases());
    }
    compare(all, DType::F32, (2e-5, 1e-4));
}

/// f16 has 11 bits, and candle sums in it.
#[test]
fn values_and_gradients_in_16_bits() {
    compare(cases(), DType::F16, (1e-2, 3e-2));
}

fn compare(all: Vec<Case>, dtype: DType, (most, most_grad): (f64, f64)) {
    let device = device();
    let title = format!("operations, {dtype:?} on {}", named().unwrap_or("the CPU, composed".to_owned()));
    let mut table = Table::new(&title, &["value", "gradient", "ms", "cpu ms"]);
    for c in all {
        let row = || -> Result<Vec<(f64, Option<f64>)>> {
            let (want, want_grads, cpu) = run(&c, DType::F32, &Device::Cpu).context("on the CPU")?;
            let (got, grads, ms) = there(|| run(&c, dtype, &device))?;
            let mut worst = 0f64;
            for (g, w) in grads.iter().zip(&want_grads) {
                worst = worst.max(apart(g, w).context("a gradient")?);
            }
            Ok(vec![(apart(&got, &want)?, Some(most)), (worst, Some(most_grad)), (ms, None), (cpu, None)])
        };
        table.row(&c.name, row());
    }
    table.finish();
}

fn cases() -> Vec<Case> {
    [convolutions(), maps(), elementwise(), classification(), sequences()].into_iter().flatten().collect()
}

fn spec(stride: (usize, usize), padding: (usize, usize), dilation: (usize, usize), groups: usize) -> Conv2dSpec {
    Conv2dSpec { stride, padding, dilation, groups }
}

fn convolutions() -> Vec<Case> {
    let mut all = Vec::new();
    let shapes: [([usize; 4], [usize; 4], Conv2dSpec); 13] = [
        ([2, 3, 8, 8], [4, 3, 3, 3], Conv2dSpec::same(3)),
        ([2, 3, 7, 5], [4, 3, 5, 5], Conv2dSpec::same(5)),
        ([3, 4, 6, 6], [5, 4, 1, 1], Conv2dSpec::default()),
        ([2, 3, 8, 8], [4, 3, 3, 3], spec((2, 2), (1, 1), (1, 1), 1)),
        ([2, 3, 7, 7], [4, 3, 3, 3], spec((2, 2), (1, 1), (1, 1), 1)),
        ([2, 3, 8, 8], [4, 3, 1, 1], spec((2, 2), (0, 0), (1, 1), 1)),
        ([2, 3, 9, 6], [4, 3, 4, 4], spec((2, 2), (1, 1), (1, 1), 1)),
        ([2, 3, 9, 9], [4, 3, 3, 3], spec((1, 1), (2, 2), (2, 2), 1)),
        ([2, 4, 7, 7], [6, 2, 3, 3], spec((1, 1), (1, 1), (1, 1), 2)),
        ([2, 4, 8, 8], [4, 1, 3, 3], spec((2, 2), (1, 1), (1, 1), 4)),
        ([2, 3, 8, 7], [4, 3, 3, 2], spec((2, 1), (1, 0), (1, 1), 1)),
        ([2, 3, 8, 8], [4, 3, 3, 3], spec((1, 1), (2, 1), (1, 1), 1)),
        ([1, 2, 9, 9], [2, 2, 2, 3], spec((3, 2), (1, 2), (2, 1), 1)),
    ];
    for (x, w, s) in shapes {
        let name = format!("{x:?} {w:?} s{:?} p{:?} d{:?} g{}", s.stride, s.padding, s.dilation, s.groups);
        let name = name.replace(", ", ",");
        let (input, kernel) = ((x[2], x[3]), (w[2], w[3]));
        all.push(case(format!("conv2d {name}"), vec![half(&x), half(&w), half(&w[..1])], move |t| {
            Ok(ops::conv2d(&t[0], &t[1], Some(&t[2]), s)?)
        }));
        let y = ops::conv2d(&half(&x), &half(&w), None, s).unwrap();
        all.push(case(format!("conv2d_input_gradient {name}"), vec![half(y.dims()), half(&w)], move |t| {
            Ok(ops::conv2d_input_gradient(&t[0], &t[1], input, s)?)
        }));
        all.push(case(format!("conv2d_weight_gradient {name}"), vec![half(&x), half(y.dims())], move |t| {
            Ok(ops::conv2d_weight_gradient(&t[0], &t[1], kernel, s)?)
        }));
    }
    let (x, w) = (half(&[2, 3, 8, 8]), half(&[4, 3, 3, 3]));
    all.push(case("conv2d without bias", vec![x.clone(), w.clone()], |t| {
        Ok(ops::conv2d(&t[0], &t[1], None, Conv2dSpec::same(3))?)
    }));
    let b = half(&[4]);
    all.push(case("conv2d_relu", vec![x.clone(), w.clone(), b.clone()], |t| {
        Ok(ops::conv2d_relu(&t[0], &t[1], Some(&t[2]), Conv2dSpec::same(3))?)
    }));
    all.push(case("conv2d_rectified", vec![x, w, b], |t| {
        Ok(ops::conv2d_rectified(
            &t[0],
            &t[1],
            Some(&t[2]),
            Conv2dSpec::same(3),
            ops::Rectifier { slope: 0.2, cap: 0.5 },
        )?)
    }));
    let up = |stride, padding, output_padding, dilation, groups| ConvTranspose2dSpec {
        stride: (stride, stride),
        padding: (padding, padding),
        output_padding: (output_padding, output_padding),
        dilation: (dilation, dilation),
        groups,
    };
    let shapes: [([usize; 4], [usize; 4], ConvTranspose2dSpec); 8] = [
        ([2, 4, 4, 4], [4, 3, 4, 4], up(2, 1, 0, 1, 1)),
        ([2, 4, 1, 1], [4, 3, 4, 4], up(1, 0, 0, 1, 1)),
        ([2, 4, 5, 3], [4, 3, 3, 3], up(2, 1, 1, 1, 1)),
        ([2, 4, 4, 4], [4, 2, 3, 3], up(2, 1, 1, 1, 2)),
        ([1, 2, 3, 3], [2, 3, 2, 2], up(3, 0, 2, 1, 1)),
        ([1, 2, 4, 4], [2, 3, 3, 3], up(1, 2, 0, 2, 1)),
        ([1, 2, 5, 5], [2, 3, 1, 1], up(1, 1, 0, 1, 1)),
        ([1, 2, 4, 4], [2, 3, 3, 3], up(1, 2, 1, 2, 1)),
    ];
    for (x, w, s) in shapes {
        let (stride, padding, extra) = (s.stride.0, s.padding.0, s.output_padding.0);
        let name =
            format!("conv_transpose2d {x:?} {w:?} s{stride} p{padding} +{extra} d{} g{}", s.dilation.0, s.groups);
        let bias = half(&[w[1] * s.groups]);
        all.push(case(name.replace(", ", ","), vec![half(&x), half(&w), bias], move |t| {
            Ok(ops::conv_transpose2d(&t[0], &t[1], Some(&t[2]), s)?)
        }));
    }
    all
}

fn maps() -> Vec<Case> {
    let x = || half(&[3, 4, 6, 5]);
    let bn = |residual: bool, slope: Option<f64>| {
        let args = vec![x(), half(&[4]), half(&[4, 1]).squeeze(1).unwrap(), half(&[3, 4, 6, 5])];
        let case = case(format!("batch_norm residual {residual} slope {slope:?}"), args, move |t| {
            let y = ops::batch_norm(
                &t[0],
                &t[1],
                &t[2],
                1e-5,
                residual.then_some(&t[3]),
                slope.map(ops::Rectifier::leaky),
            )?;
            joined(&[&y.output, &y.mean, &y.var])
        });
        of_first(if residual { 4 } else { 3 }, case)
    };
    let mut all = vec![
        bn(false, None),
        bn(false, Some(0.0)),
        bn(true, Some(0.0)),
        bn(true, Some(0.1)),
        case("channel_affine", vec![x(), half(&[4]), half(&[4])], |t| Ok(ops::channel_affine(&t[0], &t[1], &t[2])?)),
        of_first(
            0,
            case("channel_moments", vec![x()], |t| {
                let (mean, var) = ops::channel_moments(&t[0])?;
                joined(&[&mean, &var])
            }),
        ),
        case("global_avg_pool2d", vec![x()], |t| Ok(ops::global_avg_pool2d(&t[0])?)),
    ];
    let windows = |kernel, stride, padding| Pool2dSpec { kernel, stride, padding, ..Pool2dSpec::default() };
    for s in [
        Pool2dSpec::tiles(2),
        windows((2, 3), (2, 3), (0, 0)),
        windows((3, 3), (2, 2), (1, 1)),
        windows((3, 2), (1, 1), (0, 0)),
        windows((2, 2), (3, 3), (1, 0)),
    ] {
        let name = format!("k{:?} s{:?} p{:?}", s.kernel, s.stride, s.padding);
        all.push(case(format!("max_pool2d {name}"), vec![x()], move |t| Ok(ops::max_pool2d(&t[0], s)?)));
        all.push(case(format!("avg_pool2d {name}"), vec![x()], move |t| Ok(ops::avg_pool2d(&t[0], s)?)));
        // Rounded to few values: many windows have several maxima.
        all.push(case(format!("max_pool2d with ties {name}"), vec![x().round().unwrap()], move |t| {
            Ok(ops::max_pool2d(&t[0], s)?)
        }));
    }
    for out in [(1, 1), (3, 2), (4, 4), (7, 6)] {
        all.push(case(format!("adaptive_avg_pool2d {out:?}"), vec![x()], move |t| {
            Ok(ops::adaptive_avg_pool2d(&t[0], out)?)
        }));
        all.push(case(format!("adaptive_max_pool2d {out:?}"), vec![x()], move |t| {
            Ok(ops::adaptive_max_pool2d(&t[0], out)?)
        }));
        all.push(case(format!("upsample_nearest2d {out:?}"), vec![x()], move |t| {
            Ok(ops::upsample_nearest2d(&t[0], out)?)
        }));
        for corners in [false, true] {
            all.push(case(format!("upsample_bilinear2d {out:?} corners {corners}"), vec![x()], move |t| {
                Ok(ops::upsample_bilinear2d(&t[0], out, corners)?)
            }));
        }
    }
    all
}

fn elementwise() -> Vec<Case> {
    // With zeros, where the derivative of a ReLU jumps.
    let x = || half(&[5, 7]).maximum(-0.5).unwrap().relu().unwrap();
    let y = || half(&[5, 7]);
    let rng = ExampleRng::new(Rng::new(5), (0..5).collect());
    vec![
        case("relu", vec![y()], |t| Ok(ops::relu(&t[0])?)),
        case("relu at 0", vec![x()], |t| Ok(ops::relu(&t[0])?)),
        case("leaky_relu", vec![y()], |t| Ok(ops::leaky_relu(&t[0], 0.1)?)),
        case("leaky_relu at 0", vec![x()], |t| Ok(ops::leaky_relu(&t[0], 0.1)?)),
        case("add_relu", vec![y(), half(&[5, 7, 1]).squeeze(2).unwrap()], |t| Ok(ops::add_relu(&t[0], &t[1])?)),
        case("sigmoid", vec![(y() * 4.0).unwrap()], |t| Ok(ops::sigmoid(&t[0])?)),
        case("dropout", vec![y()], move |t| Ok(ops::dropout(&t[0], 0.5, &rng)?)),
        of_first(1, case("masked", vec![half(&[3, 5, 7]), half(&[5, 7])], |t| Ok(ops::masked(&t[0], &t[1])?))),
        case("reshape", vec![y()], |t| Ok(ops::reshape(&t[0], (7, ()))?)),
        of_first(
            0,
            case("addcmul_in_place", vec![y(), y(), y()], |t| {
                let to = t[0].copy()?;
                ops::addcmul_in_place(&to, &t[1], &t[2], -0.5)?;
                Ok(to)
            }),
        ),
        of_first(
            0,
            case("lerp_in_place", vec![y(), y(), y()], |t| {
                let to = t[0].copy()?;
                ops::lerp_in_place(&to, &t[1], &t[2])?;
                Ok(to)
            }),
        ),
        of_first(0, case("weighted_sum", vec![y(), y()], |t| Ok(ops::weighted_sum(&[&t[0], &t[1]], &[0.5, -2.0])?))),
        of_first(
            0,
            case("dropout_mask", vec![y()], |t| {
                Ok(ops::dropout_mask(&[5, 7], 0.25, &Rng::new(4), t[0].dtype(), t[0].device())?)
            }),
        ),
        of_first(
            1,
            case("mse_loss", vec![y(), half(&[7, 5]).t().unwrap().contiguous().unwrap()], |t| {
                Ok(ops::mse_loss(&t[0], &t[1])?)
            }),
        ),
        case("linear", vec![half(&[6, 5]), half(&[4, 5]), half(&[4])], |t| Ok(ops::linear(&t[0], &t[1], Some(&t[2]))?)),
        case("linear of rank 3, no bias", vec![half(&[3, 6, 5]), half(&[4, 5])], |t| {
            Ok(ops::linear(&t[0], &t[1], None)?)
        }),
        case("matmul", vec![half(&[6, 5]), half(&[5, 3])], |t| Ok(ops::matmul(&t[0], &t[1])?)),
    ]
}

fn classification() -> Vec<Case> {
    let outputs = [Output::Softmax, Output::Sigsoftmax, Output::Sigmoid, Output::Relu { eps: 1e-2 }];
    let mut all = Vec::new();
    for (name, z) in [("", half(&[6, 11])), (" of large logits", (half(&[6, 11]) * 50.0).unwrap())] {
        for o in outputs {
            all.push(case(format!("log_output {o:?}{name}"), vec![z.clone()], move |t| Ok(ops::log_output(&t[0], o)?)));
            all.push(case(format!("output_nll {o:?}{name}"), vec![z.clone(), below(6, 11)], move |t| {
                Ok(ops::output_nll(&t[0], &t[1], o)?)
            }));
        }
        all.push(case(format!("cross_entropy{name}"), vec![z.clone(), below(6, 11)], |t| {
            Ok(ops::cross_entropy(&t[0], &t[1])?)
        }));
    }
    let probabilities = (half(&[6, 11]).abs().unwrap() * 0.125).unwrap();
    all.push(case("log_softmax of rank 3", vec![half(&[2, 3, 11])], |t| Ok(ops::log_softmax(&t[0])?)));
    all.push(case("soft_cross_entropy", vec![half(&[6, 11]), probabilities], |t| {
        Ok(ops::soft_cross_entropy(&t[0], &t[1])?)
    }));
    all.push(case("nll", vec![half(&[6, 11]), below(6, 11)], |t| Ok(ops::nll(&t[0], &t[1])?)));
    let args = vec![half(&[6, 5]), half(&[11, 5]), half(&[11]), below(6, 11)];
    all.push(case("linear_nll", args, |t| Ok(ops::linear_nll(&t[0], &t[1], Some(&t[2]), &t[3], Output::Sigsoftmax)?)));
    all
}

fn sequences() -> Vec<Case> {
    let (steps, batch, wide, h) = (4, 3, 5, 6);
    let args = |mask: bool| {
        let small = |shape: &[usize]| (half(shape) * 0.5).unwrap();
        let mut all = vec![half(&[steps, batch, wide]), small(&[4 * h, wide]), small(&[4 * h, h]), small(&[4 * h])];
        all.extend([half(&[batch, h]), half(&[h, batch]).t().unwrap().contiguous().unwrap()]);
        all.extend(mask.then(|| half(&[batch, h]).ge(0.0).unwrap().to_dtype(DType::F32).unwrap()));
        all
    };
    let lstm = |mask: bool| {
        of_first(
            6,
            case(format!("lstm mask {mask}"), args(mask), |t| {
                let weights = LstmWeights { input: &t[1], recurrent: &t[2], bias: Some(&t[3]) };
                let y = ops::lstm(&t[0], &t[4], &t[5], weights, t.get(6))?;
                joined(&[&y.outputs, &y.hidden, &y.cell])
            }),
        )
    };
    let ids = below(12, 9).reshape((3, 4)).unwrap();
    let embedding = case("embedding", vec![half(&[9, 4]), ids], |t| Ok(ops::embedding(&t[0], &t[1])?));
    vec![embedding, lstm(false), lstm(true)]
}
