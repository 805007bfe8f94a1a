//! The composed forms of operations against the kernels, in f64: values, gradients and second derivatives.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor, Var};
use sconce_tensor_core::ops::{self, Conv2dSpec, ConvTranspose2dSpec, Pool2dSpec, Rectifier, composed};
use sconce_tensor_core::{Result, Rng};
use std::process::Command;

const KEEP: &str = "CANDLE_GRAD_DO_NOT_DETACH";

fn normal(seed: u64, shape: &[usize]) -> Tensor {
    Rng::new(seed).normal(shape, 0.0, 1.0, DType::F64, &Device::Cpu).unwrap()
}

/// The result and the gradients to all arguments, of a loss that weights each element.
fn evaluated(args: &[Tensor], f: &dyn Fn(&[Tensor]) -> Result<Tensor>) -> Vec<Tensor> {
    let vars: Vec<Var> = args.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let y = f(&tensors).unwrap();
    let grads = ops::last_backward(&(&y * normal(99, y.dims())).unwrap().sum_all().unwrap()).unwrap();
    let mut all = vec![y.detach()];
    all.extend(vars.iter().map(|v| grads.get(v).unwrap().clone()));
    all
}

type F<'a> = &'a dyn Fn(&[Tensor]) -> Result<Tensor>;

fn agree(name: &str, args: &[Tensor], own: F<'_>, form: F<'_>) {
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    for (i, (a, b)) in evaluated(args, own).iter().zip(evaluated(args, form)).enumerate() {
        assert_eq!(a.dims(), b.dims(), "{name}, {i}");
        let (a, b) = (flat(a), flat(&b));
        let scale = a.iter().fold(1f64, |m, v| m.max(v.abs()));
        let far = a.iter().zip(&b).fold(0f64, |m, (a, b)| m.max((a - b).abs()));
        assert!(far < 1e-11 * scale, "{name}: {} off by {far}", if i == 0 { "values" } else { "a gradient" });
    }
}

/// Sizes of the input and the kernel, and how it slides.
fn convolutions() -> Vec<([usize; 4], [usize; 4], Conv2dSpec)> {
    let spec = |stride, padding, dilation, groups| Conv2dSpec { stride, padding, dilation, groups };
    vec![
        ([2, 3, 8, 8], [4, 3, 3, 3], Conv2dSpec::same(3)),
        ([2, 3, 7, 5], [4, 3, 5, 5], Conv2dSpec::same(5)),
        ([2, 3, 6, 6], [4, 3, 1, 1], spec((2, 2), (0, 0), (1, 1), 1)),
        ([2, 3, 6, 6], [4, 3, 1, 1], spec((1, 1), (1, 2), (1, 1), 1)),
        ([2, 3, 9, 6], [4, 3, 4, 4], spec((2, 2), (1, 1), (1, 1), 1)),
        ([2, 3, 8, 7], [4, 3, 3, 2], spec((2, 1), (1, 0), (1, 1), 1)),
        ([2, 4, 9, 9], [6, 2, 3, 3], spec((2, 2), (2, 1), (2, 2), 2)),
        ([1, 2, 9, 9], [2, 2, 2, 3], spec((3, 2), (1, 2), (2, 1), 1)),
        ([2, 4, 8, 7], [4, 1, 3, 3], spec((2, 2), (1, 1), (1, 1), 4)),
        ([2, 3, 8, 7], [3, 1, 3, 2], spec((1, 2), (2, 0), (2, 1), 3)),
        ([2, 3, 8, 7], [6, 1, 3, 3], spec((1, 1), (1, 1), (1, 1), 3)),
    ]
}

#[test]
fn convolutions_agree() {
    for (x, w, s) in convolutions() {
        let name = format!("{x:?} {w:?} {s:?}");
        let (input, kernel) = ((x[2], x[3]), (w[2], w[3]));
        let (x, w, b) = (normal(1, &x), normal(2, &w), normal(3, &w[..1]));
        agree(&name, &[x.clone(), w.clone(), b], &|t| ops::conv2d(&t[0], &t[1], Some(&t[2]), s), &|t| {
            composed::conv2d(&t[0], &t[1], Some(&t[2]), s)
        });
        agree(&name, &[x.clone(), w.clone()], &|t| ops::conv2d(&t[0], &t[1], None, s), &|t| {
            composed::conv2d(&t[0], &t[1], None, s)
        });
        let g = normal(4, ops::conv2d(&x, &w, None, s).unwrap().dims());
        agree(&name, &[g.clone(), w], &|t| ops::conv2d_input_gradient(&t[0], &t[1], input, s), &|t| {
            composed::conv2d_input_gradient(&t[0], &t[1], input, s)
        });
        agree(&name, &[x, g], &|t| ops::conv2d_weight_gradient(&t[0], &t[1], kernel, s), &|t| {
            composed::conv2d_weight_gradient(&t[0], &t[1], kernel, s)
        });
    }
    let up = |stride, padding, output_padding, dilation, groups| ConvTranspose2dSpec {
        stride,
        padding,
        output_padding,
        dilation,
        groups,
    };
    for (x, w, s) in [
        ([2, 4, 4, 4], [4, 3, 4, 4], up((2, 2), (1, 1), (0, 0), (1, 1), 1)),
        ([2, 4, 5, 3], [4, 2, 3, 2], up((2, 3), (1, 0), (1, 2), (1, 1), 2)),
        ([1, 2, 4, 4], [2, 3, 3, 3], up((1, 1), (2, 3), (0, 1), (2, 3), 1)),
        ([1, 2, 5, 5], [2, 3, 1, 1], up((1, 2), (1, 2), (0, 1), (1, 1), 1)),
        ([1, 3, 4, 4], [3, 1, 3, 3], up((2, 2), (1, 1), (1, 1), (1, 1), 3)),
        // One tap whose result is larger than its input.
        ([1, 2, 4, 4], [2, 3, 1, 1], up((1, 1), (0, 0), (1, 1), (2, 2), 1)),
        ([1, 3, 4, 4], [3, 1, 1, 1], up((1, 1), (0, 0), (1, 1), (2, 2), 3)),
    ] {
        let args = [normal(1, &x), normal(2, &w), normal(3, &[w[1] * s.groups])];
        agree(&format!("{s:?}"), &args, &|t| ops::conv_transpose2d(&t[0], &t[1], Some(&t[2]), s), &|t| {
            composed::conv_transpose2d(&t[0], &t[1], Some(&t[2]), s)
        });
    }
}

#[test]
fn maps_agree() {
    let x = || normal(1, &[3, 4, 6, 5]);
    let channel = |seed: u64| normal(seed, &[4]);
    agree("batch norm", &[x(), channel(2), channel(3)], &|t| ops::batch_norm_train(&t[0], &t[1], &t[2], 1e-5), &|t| {
        composed::batch_norm_train(&t[0], &t[1], &t[2], 1e-5)
    });
    agree("affine", &[x(), channel(2), channel(3)], &|t| ops::channel_affine(&t[0], &t[1], &t[2]), &|t| {
        composed::channel_affine(&t[0], &t[1], &t[2])
    });
    // With zeros, where the derivative jumps.
    let kinked = x().round().unwrap();
    for slope in [0.0, 0.2, 1.5] {
        agree("rectifier", std::slice::from_ref(&kinked), &|t| ops::leaky_relu(&t[0], slope), &|t| {
            composed::leaky_relu(&t[0], slope)
        });
        // Some lie on the cap.
        agree(
            "rectifier with a cap",
            std::slice::from_ref(&kinked),
            &|t| ops::rectify(&t[0], Rectifier { slope, cap: 1.0 }),
            &|t| composed::clamp(&composed::leaky_relu(&t[0], slope)?, f64::NEG_INFINITY, 1.0),
        );
    }
    let windows = |kernel, stride, padding| Pool2dSpec { kernel, stride, padding, ..Pool2dSpec::default() };
    for s in [
        Pool2dSpec::tiles(2),
        windows((2, 3), (2, 3), (0, 0)),
        windows((4, 3), (9, 4), (0, 0)),
        windows((3, 3), (2, 2), (1, 1)),
        windows((3, 2), (1, 1), (0, 0)),
        windows((2, 2), (3, 3), (1, 0)),
    ] {
        // Rounded: many windows have several maxima, and the first takes the gradient.
        for x in [x(), kinked.clone()] {
            agree(&format!("{s:?}"), std::slice::from_ref(&x), &|t| ops::max_pool2d(&t[0], s), &|t| {
                composed::max_pool2d(&t[0], s)
            });
            agree(&format!("{s:?}"), std::slice::from_ref(&x), &|t| ops::avg_pool2d(&t[0], s), &|t| {
                composed::avg_pool2d(&t[0], s)
            });
        }
    }
    for out in [(1, 1), (3, 5), (4, 2), (7, 6)] {
        agree("adaptive", &[x()], &|t| ops::adaptive_max_pool2d(&t[0], out), &|t| {
            composed::adaptive_pool2d(&t[0], out, true)
        });
        agree("adaptive", &[x()], &|t| ops::adaptive_avg_pool2d(&t[0], out), &|t| {
            composed::adaptive_pool2d(&t[0], out, false)
        });
    }
}

/// A NaN comes out of a rectifier and of a window that it is in, so that training stops at it.
#[test]
fn not_a_number_is_not_lost() {
    let mut values = vec![-1.0, 2.0, 0.5, 3.0, 1.0, -2.0, 4.0, 0.0];
    values[2] = f64::NAN;
    let x = Tensor::from_vec(values, (1, 1, 2, 4), &Device::Cpu).unwrap();
    let flat = |t: Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let y = flat(composed::leaky_relu(&x, 0.0).unwrap());
    assert!(y[2].is_nan() && y[0] == 0.0 && y[1] == 2.0, "{y:?}");
    let y = flat(composed::max_pool2d(&x, Pool2dSpec::tiles(2)).unwrap());
    assert!(y[0] == 2.0 && y[1].is_nan(), "{y:?}");
}

/// Curved in all of its arguments, through every composed form that has a derivative of its own.
fn loss(v: &[Tensor]) -> Result<Tensor> {
    let spec = Conv2dSpec { stride: (1, 2), padding: (1, 1), ..Conv2dSpec::default() };
    let h = composed::conv2d(&v[0], &v[1], Some(&v[2]), spec)?.tanh()?;
    let h = composed::batch_norm_train(&h, &v[3], &v[2], 1e-3)?;
    let h = composed::channel_affine(&h, &v[3], &v[2])?.tanh()?;
    let each = Conv2dSpec { groups: 3, ..Conv2dSpec::same(3) };
    let h = composed::leaky_relu(&composed::conv2d(&h, &v[4], None, each)?, 0.1)?;
    let h = composed::max_pool2d(&h, Pool2dSpec::tiles(2))?;
    let up = ConvTranspose2dSpec { stride: (2, 1), padding: (0, 1), ..ConvTranspose2dSpec::default() };
    let h = composed::conv_transpose2d(&h, &v[5], Some(&v[6]), up)?.tanh()?;
    Ok(composed::avg_pool2d(&h, Pool2dSpec::tiles(2))?.sqr()?.sum_all()?)
}

fn gradients(values: &[Tensor]) -> (Vec<Var>, Vec<Tensor>) {
    let vars: Vec<Var> = values.iter().map(|v| Var::from_tensor(&v.copy().unwrap()).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let grads = ops::backward(&loss(&tensors).unwrap()).unwrap();
    let all = vars.iter().map(|v| grads.get(v).unwrap().clone()).collect();
    (vars, all)
}

/// candle reads the variable once per thread, so the test runs itself in a process that has it.
#[test]
fn second_derivatives() {
    if std::env::var_os(KEEP).is_none() {
        let mut again = Command::new(std::env::current_exe().unwrap());
        let done = again.args(["--exact", "second_derivatives"]).env(KEEP, "1").output().unwrap();
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let shapes: [&[usize]; 7] = [&[2, 2, 6, 8], &[3, 2, 3, 3], &[3], &[3], &[3, 1, 3, 3], &[3, 2, 2, 3], &[2]];
    let at: Vec<Tensor> = shapes.iter().zip(1..).map(|(s, i)| (normal(i, s) * 0.5).unwrap()).collect();
    let along: Vec<Tensor> = shapes.iter().zip(20..).map(|(s, i)| normal(i, s)).collect();
    let (vars, g) = gradients(&at);
    let terms: Vec<Tensor> = g.iter().zip(&along).map(|(g, d)| (g * d).unwrap().sum_all().unwrap()).collect();
    let second = ops::backward(&Tensor::stack(&terms, 0).unwrap().sum_all().unwrap()).unwrap();
    let e = 1e-6;
    let moved =
        |s: f64| -> Vec<Tensor> { at.iter().zip(&along).map(|(a, d)| (a + (d * (s * e)).unwrap()).unwrap()).collect() };
    let (plus, minus) = (gradients(&moved(1.0)).1, gradients(&moved(-1.0)).1);
    for (i, var) in vars.iter().enumerate() {
        let want = ((&plus[i] - &minus[i]).unwrap() / (2.0 * e)).unwrap();
        let norm = |t: &Tensor| t.sqr().unwrap().sum_all().unwrap().sqrt().unwrap().to_scalar::<f64>().unwrap();
        let off = norm(&(second.get(var).unwrap() - &want).unwrap()) / norm(&want);
        assert!(norm(&want) > 1e-3 && off < 1e-6, "argument {i}: off by {off}");
    }
}
