//! The kernels against naive references over random shapes and hyper-parameters: they agree or return an error, they
//! never panic, and their bytes depend neither on the batch nor on the number of threads.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor, Var};
use proptest::prelude::*;
use sconce_tensor_core::ops::{self, Conv2dSpec, ConvTranspose2dSpec, LstmWeights, Pool2dSpec, Rectifier};
use sconce_tensor_core::{Result, Rng};

fn normal(seed: u64, shape: &[usize], dtype: DType) -> Tensor {
    Rng::new(seed).normal(shape, 0.0, 1.0, dtype, &Device::Cpu).unwrap()
}

fn numbers(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn close(a: &[f64], b: &[f64], tolerance: f64) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance * (1.0 + b.abs()))
}

#[derive(Clone, Debug)]
struct Case {
    n: usize,
    cg: usize,
    og: usize,
    image: (usize, usize),
    kernel: (usize, usize),
    spec: Conv2dSpec,
}

impl Case {
    fn x(&self) -> [usize; 4] {
        [self.n, self.cg * self.spec.groups, self.image.0, self.image.1]
    }

    fn w(&self) -> [usize; 4] {
        [self.og * self.spec.groups, self.cg, self.kernel.0, self.kernel.1]
    }

    /// Calls `f(index in y, index in x, index in w)` for every product; the sizes of y.
    fn products(&self, mut f: impl FnMut(usize, usize, usize)) -> Option<[usize; 4]> {
        let ([n, c, h, w], [o, cg, kh, kw]) = (self.x(), self.w());
        let Conv2dSpec { stride, padding, dilation, groups } = self.spec;
        let axis = |len: usize, k: usize, s: usize, p: usize, d: usize| {
            Some((len + 2 * p).checked_sub(d * (k - 1) + 1)? / s + 1)
        };
        let oh = axis(h, kh, stride.0, padding.0, dilation.0)?;
        let ow = axis(w, kw, stride.1, padding.1, dilation.1)?;
        let at = |i: usize, s: usize, k: usize, d: usize, p: usize, len: usize| {
            (i * s + k * d).checked_sub(p).filter(|v| *v < len)
        };
        for ((b, k), (i, j)) in (0..n)
            .flat_map(|b| (0..o).map(move |k| (b, k)))
            .flat_map(|bk| (0..oh).flat_map(move |i| (0..ow).map(move |j| (bk, (i, j)))))
        {
            for (q, (u, v)) in (0..cg).flat_map(|q| (0..kh).flat_map(move |u| (0..kw).map(move |v| (q, (u, v))))) {
                let y = at(i, stride.0, u, dilation.0, padding.0, h);
                let x = at(j, stride.1, v, dilation.1, padding.1, w);
                if let (Some(y), Some(x)) = (y, x) {
                    let channel = k / (o / groups) * cg + q;
                    let out = ((b * o + k) * oh + i) * ow + j;
                    f(out, ((b * c + channel) * h + y) * w + x, ((k * cg + q) * kh + u) * kw + v);
                }
            }
        }
        Some([n, o, oh, ow])
    }
}

prop_compose! {
    fn cases()(
        n in prop_oneof![1usize..4, 15usize..19, Just(33)],
        (cg, og) in prop_oneof![
            2 => (prop_oneof![1usize..5, 14usize..20], prop_oneof![1usize..5, 11usize..27]),
            1 => Just((1, 1)), // depthwise
        ],
        image in (1usize..8, prop_oneof![3 => 1usize..8, 3 => 14usize..20, 1 => 32usize..70]),
        kernel in (1usize..5, 1usize..6),
        stride in (1usize..4, 1usize..4),
        padding in (0usize..4, 0usize..4),
        dilation in (1usize..3, 1usize..3),
        groups in prop_oneof![3 => Just(1usize), 1 => Just(2usize), 1 => Just(3usize)],
    ) -> Case {
        Case { n, cg, og, image, kernel, spec: Conv2dSpec { stride, padding, dilation, groups } }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 240, ..ProptestConfig::default() })]

    /// The three maps and the transposed convolution against the sum of products in f64, in both types.
    #[test]
    fn convolutions_agree_with_the_definition(case in cases()) {
        let (x, w) = (normal(1, &case.x(), DType::F64), normal(2, &case.w(), DType::F64));
        let (xs, ws) = (numbers(&x), numbers(&w));
        let Some(shape) = case.products(|_, _, _| {}) else {
            prop_assert!(ops::conv2d(&x, &w, None, case.spec).is_err());
            return Ok(());
        };
        let g = normal(3, &shape, DType::F64);
        let gs = numbers(&g);
        let (mut y, mut gx, mut gw) = (vec![0.0; gs.len()], vec![0.0; xs.len()], vec![0.0; ws.len()]);
        case.products(|o, i, k| {
            y[o] += xs[i] * ws[k];
            gx[i] += gs[o] * ws[k];
            gw[k] += gs[o] * xs[i];
        });
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 3e-4)] {
            let [x, w, g] = [&x, &w, &g].map(|t| t.to_dtype(dtype).unwrap());
            let ours = ops::conv2d(&x, &w, None, case.spec).unwrap();
            prop_assert_eq!(ours.dims(), &shape[..]);
            prop_assert!(close(&numbers(&ours), &y, tolerance), "forward {:?}", dtype);
            let ours = ops::conv2d_relu(&x, &w, None, case.spec).unwrap();
            let cut: Vec<f64> = y.iter().map(|v| v.max(0.0)).collect();
            prop_assert!(close(&numbers(&ours), &cut, tolerance), "rectified {:?}", dtype);
            let ours = ops::conv2d_input_gradient(&g, &w, case.image, case.spec).unwrap();
            prop_assert!(close(&numbers(&ours), &gx, tolerance), "to input {:?}", dtype);
            let ours = ops::conv2d_weight_gradient(&x, &g, case.kernel, case.spec).unwrap();
            prop_assert!(close(&numbers(&ours), &gw, tolerance * 4.0), "to weight {:?}", dtype);
        }
    }

    /// `<conv(x), y> = <x, conv_transpose(y)>`, and linearity in each factor.
    #[test]
    fn convolution_and_its_transpose_are_adjoint(case in cases()) {
        let Some(shape) = case.products(|_, _, _| {}) else { return Ok(()) };
        let (x, w, y) =
            (normal(1, &case.x(), DType::F64), normal(2, &case.w(), DType::F64), normal(3, &shape, DType::F64));
        let Conv2dSpec { stride, padding, dilation, groups } = case.spec;
        let reach = |len: usize, k: usize, s: usize, p: usize, d: usize, out: usize| {
            (len + 2 * p) - ((out - 1) * s + d * (k - 1) + 1)
        };
        let output_padding = (
            reach(case.image.0, case.kernel.0, stride.0, padding.0, dilation.0, shape[2]),
            reach(case.image.1, case.kernel.1, stride.1, padding.1, dilation.1, shape[3]),
        );
        let spec = ConvTranspose2dSpec { stride, padding, output_padding, dilation, groups };
        let back = ops::conv_transpose2d(&y, &w, None, spec).unwrap();
        prop_assert_eq!(back.dims(), &case.x()[..]);
        let dot = |a: &Tensor, b: &Tensor| numbers(a).iter().zip(numbers(b)).map(|(a, b)| a * b).sum::<f64>();
        let (left, right) = (dot(&ops::conv2d(&x, &w, None, case.spec).unwrap(), &y), dot(&x, &back));
        prop_assert!((left - right).abs() < 1e-9 * (1.0 + left.abs()), "{} {}", left, right);
        let other = normal(4, &case.x(), DType::F64);
        let both = ops::conv2d(&((&x * 2.0).unwrap() + &other).unwrap(), &w, None, case.spec).unwrap();
        let parts = ((ops::conv2d(&x, &w, None, case.spec).unwrap() * 2.0).unwrap()
            + ops::conv2d(&other, &w, None, case.spec).unwrap()).unwrap();
        prop_assert!(close(&numbers(&both), &numbers(&parts), 1e-11));
    }

    /// An image's result has the same bytes in every batch, alone and interleaved with others.
    #[test]
    fn an_image_does_not_feel_its_batch(case in cases()) {
        let Some(shape) = case.products(|_, _, _| {}) else { return Ok(()) };
        let (x, w, g) =
            (normal(1, &case.x(), DType::F32), normal(2, &case.w(), DType::F32), normal(3, &shape, DType::F32));
        let all = ops::conv2d(&x, &w, None, case.spec).unwrap();
        let back = ops::conv2d_input_gradient(&g, &w, case.image, case.spec).unwrap();
        for i in [0, case.n / 2, case.n - 1] {
            let one = ops::conv2d(&x.narrow(0, i, 1).unwrap(), &w, None, case.spec).unwrap();
            prop_assert_eq!(numbers(&one), numbers(&all.get(i).unwrap()));
            let one = ops::conv2d_input_gradient(&g.narrow(0, i, 1).unwrap(), &w, case.image, case.spec).unwrap();
            prop_assert_eq!(numbers(&one), numbers(&back.get(i).unwrap()));
        }
    }

    /// Products against the definition, with and without a bias.
    #[test]
    fn products_agree_with_the_definition(
        m in prop_oneof![1usize..5, 11usize..14, 60usize..70],
        n in prop_oneof![1usize..5, 30usize..35, 64usize..70],
        k in prop_oneof![1usize..5, 250usize..260, 510usize..520],
    ) {
        let (x, w, b) = (normal(1, &[m, k], DType::F64), normal(2, &[n, k], DType::F64), normal(3, &[n], DType::F64));
        let (xs, ws, bs) = (numbers(&x), numbers(&w), numbers(&b));
        let want: Vec<f64> = (0..m * n)
            .map(|i| bs[i % n] + (0..k).map(|p| xs[i / n * k + p] * ws[i % n * k + p]).sum::<f64>())
            .collect();
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 2e-4)] {
            let [x, w, b] = [&x, &w, &b].map(|t| t.to_dtype(dtype).unwrap());
            prop_assert!(close(&numbers(&ops::linear(&x, &w, Some(&b)).unwrap()), &want, tolerance));
            let plain = ops::matmul(&x, &w.t().unwrap()).unwrap().broadcast_add(&b).unwrap();
            prop_assert!(close(&numbers(&plain), &want, tolerance));
        }
    }

    /// Both poolings against their definition, window by window; what has no window, or an empty one, is an error.
    #[test]
    fn poolings_agree_with_the_definition(
        (h, w) in (1usize..12, 1usize..20),
        kernel in (1usize..5, 1usize..5),
        stride in (1usize..4, 1usize..4),
        padding in (0usize..3, 0usize..3),
        padding_end in prop_oneof![Just(None), (0usize..3, 0usize..3).prop_map(Some)],
        dilation in (1usize..3, 1usize..3),
        (ceil_mode, count_include_pad) in (any::<bool>(), any::<bool>()),
    ) {
        let spec = Pool2dSpec { kernel, stride, padding, padding_end, dilation, ceil_mode, count_include_pad };
        let x = normal(5, &[2, 1, h, w], DType::F64);
        let xs = numbers(&x);
        let end = padding_end.unwrap_or(padding);
        let outputs = |len: usize, k: usize, s: usize, p: usize, e: usize, d: usize| -> usize {
            let reach = d * (k - 1) + 1;
            // Windows from the first start on, while they fit, or with ceil_mode while they start in time.
            let fits = |o: usize| o * s + reach <= len + p + e;
            let late = |o: usize| (o == 0 || o * s < len + p) && o * s + reach < len + p + e + s;
            (0..).take_while(|&o| fits(o) || (ceil_mode && late(o))).filter(|&o| !ceil_mode || o == 0 || o * s < len + p).count()
        };
        let oh = outputs(h, kernel.0, stride.0, padding.0, end.0, dilation.0);
        let ow = outputs(w, kernel.1, stride.1, padding.1, end.1, dilation.1);
        let fits = |k: usize, p: usize, e: usize, d: usize| p.max(e) < d * (k - 1) + 1;
        let valid = oh * ow > 0 && fits(kernel.0, padding.0, end.0, dilation.0) && fits(kernel.1, padding.1, end.1, dilation.1);
        let (mut maxima, mut means, mut hollow) = (Vec::new(), Vec::new(), false);
        for (n, i, j) in (0..2).flat_map(|n| (0..oh).flat_map(move |i| (0..ow).map(move |j| (n, i, j)))) {
            let (mut top, mut sum, mut inside, mut padded) = (f64::NEG_INFINITY, 0.0, 0, 0);
            for (u, v) in (0..kernel.0).flat_map(|u| (0..kernel.1).map(move |v| (u, v))) {
                let (y, x) = (i * stride.0 + u * dilation.0, j * stride.1 + v * dilation.1);
                padded += usize::from(y < h + padding.0 + end.0 && x < w + padding.1 + end.1);
                if (padding.0..padding.0 + h).contains(&y) && (padding.1..padding.1 + w).contains(&x) {
                    let value = xs[(n * h + y - padding.0) * w + x - padding.1];
                    (top, sum, inside) = (top.max(value), sum + value, inside + 1);
                }
            }
            hollow |= inside == 0;
            maxima.push(top);
            means.push(sum / if count_include_pad { padded } else { inside } as f64);
        }
        for (ours, want, whole) in [
            (ops::max_pool2d(&x, spec), &maxima, valid && !hollow),
            (ops::composed::max_pool2d(&x, spec), &maxima, valid && !hollow),
            (ops::avg_pool2d(&x, spec), &means, valid && (count_include_pad || !hollow)),
            (ops::composed::avg_pool2d(&x, spec), &means, valid && (count_include_pad || !hollow)),
        ] {
            prop_assert_eq!(ours.is_ok(), whole, "{:?}", ours);
            if let Ok(y) = ours {
                prop_assert_eq!(y.dims(), &[2, 1, oh, ow]);
                prop_assert!(close(&numbers(&y), want, 1e-14));
            }
        }
    }

    /// Pooling and resizing never panic, and stay within the values they are made of.
    #[test]
    fn poolings_are_errors_or_within_bounds(
        shape in (1usize..3, 1usize..3, 1usize..9, 1usize..9),
        kernel in (0usize..5, 0usize..5),
        stride in (0usize..4, 0usize..4),
        padding in (0usize..3, 0usize..3),
        (padding_end, dilation) in (prop_oneof![Just(None), Just(Some((0, 1)))], (0usize..3, 1usize..3)),
        (ceil_mode, count_include_pad) in (any::<bool>(), any::<bool>()),
        out in (0usize..6, 0usize..6),
    ) {
        let x = normal(5, &[shape.0, shape.1, shape.2, shape.3], DType::F32);
        let all = numbers(&x);
        let (low, high) = all.iter().fold((0f64, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
        let spec = Pool2dSpec { kernel, stride, padding, padding_end, dilation, ceil_mode, count_include_pad };
        let results = [
            ops::max_pool2d(&x, spec),
            ops::avg_pool2d(&x, spec),
            ops::adaptive_avg_pool2d(&x, out),
            ops::adaptive_max_pool2d(&x, out),
            ops::upsample_nearest2d(&x, out),
            ops::upsample_bilinear2d(&x, out, true),
            ops::upsample_bilinear2d(&x, out, false),
        ];
        for y in results.into_iter().flatten() {
            // Zeros of the padding enter averages.
            let inside = |v: &f64| *v >= low - 1e-6 && *v <= high.max(0.0) + 1e-6;
            prop_assert!(numbers(&y).iter().all(inside));
        }
    }
}

/// Everything that uses several threads, on enough data that it does.
fn everything() -> Result<Vec<Vec<f64>>> {
    let n = |seed: u64, shape: &[usize]| Var::from_tensor(&normal(seed, shape, DType::F32)).unwrap();
    let mut all = Vec::new();
    for (shape, o, spec) in [
        ([24, 16, 20, 20], 24, Conv2dSpec::same(3)),
        ([40, 48, 6, 6], 40, Conv2dSpec { stride: (2, 2), ..Conv2dSpec::same(3) }),
        ([40, 1, 28, 28], 16, Conv2dSpec::same(5)),
        ([8, 160, 4, 4], 300, Conv2dSpec::same(3)),
        ([12, 20, 33, 40], 20, Conv2dSpec { groups: 20, stride: (2, 2), ..Conv2dSpec::same(5) }),
        ([3, 40, 14, 14], 40, Conv2dSpec { groups: 40, ..Conv2dSpec::same(3) }),
    ] {
        let k = 2 * spec.padding.0 + 1;
        let (x, w, b) = (n(1, &shape), n(2, &[o, shape[1] / spec.groups, k, k]), n(3, &[o]));
        let (scale, shift) = (n(4, &[o]), n(5, &[o]));
        let y = ops::conv2d(&x, &w, Some(&b), spec)?;
        let y = ops::batch_norm(&y, &scale, &shift, 1e-5, Some(&y), Some(ops::Rectifier::RELU6))?.output;
        let y = ops::max_pool2d(&ops::leaky_relu(&y, 0.1)?, Pool2dSpec::default())?;
        let grads = ops::backward(&ops::mse_loss(&y, &y.zeros_like()?)?)?;
        all.push(numbers(&y));
        for v in [&x, &w, &b, &scale, &shift] {
            all.push(numbers(grads.get(v).unwrap()));
        }
    }
    let (x, a) = (n(1, &[12, 90, 96]), n(2, &[96]));
    let y = ops::layer_norm(&x, Some(&a), Some(&a), 1e-5)?;
    let y = ops::batched_matmul(&ops::softmax(&ops::batched_matmul(&y, &y.t()?)?)?, &ops::mish(&y)?)?;
    let grads = ops::backward(&ops::mse_loss(&y, &y.zeros_like()?)?)?;
    all.push(numbers(&y));
    all.extend([&x, &a].map(|v| numbers(grads.get(v).unwrap())));
    let (x, w, r, h) = (n(1, &[6, 20, 70]), n(2, &[4 * 50, 70]), n(3, &[4 * 50, 50]), n(4, &[20, 50]));
    let weights = LstmWeights { input: &w, recurrent: &r, bias: None };
    let out = ops::lstm(&x, &h, &h, weights, None)?.outputs.reshape((120, 50))?;
    let table = n(6, &[900, 50]);
    let labels = Tensor::from_iter((0..120u32).map(|i| i * 7), &Device::Cpu)?;
    let loss = ops::cross_entropy(&ops::linear(&out, &table, None)?, &labels)?.mean_all()?;
    let grads = ops::backward(&loss)?;
    all.push(numbers(&loss));
    all.extend([&x, &w, &r, &h, &table].map(|v| numbers(grads.get(v).unwrap())));
    Ok(all)
}

#[test]
fn a_fused_rectifier_is_the_rectifier_behind() {
    let x = normal(1, &[3, 4, 6, 5], DType::F32);
    let (w, scale, shift) =
        (normal(2, &[4, 4, 3, 3], DType::F32), normal(3, &[4], DType::F32), normal(4, &[4], DType::F32));
    let spec = Conv2dSpec { padding: (1, 1), ..Conv2dSpec::default() };
    let gradient = |f: &dyn Fn(&Tensor) -> Result<Tensor>| {
        let x = Var::from_tensor(&x).unwrap();
        let y = f(x.as_tensor()).unwrap();
        let g = normal(5, y.dims(), DType::F32);
        let grads = (&y * g).unwrap().sum_all().unwrap().backward().unwrap();
        (numbers(&y), numbers(grads.get(&x).unwrap()))
    };
    for by in [Rectifier::RELU, Rectifier::RELU6, Rectifier::leaky(0.3), Rectifier { slope: 0.1, cap: 0.5 }] {
        for residual in [None, Some(&x)] {
            let norm = |by| ops::batch_norm(&x, &scale, &shift, 1e-5, residual, by).map(|n| n.output);
            assert_eq!(numbers(&norm(Some(by)).unwrap()), numbers(&ops::rectify(&norm(None).unwrap(), by).unwrap()));
        }
        let norm = |x: &Tensor, by| ops::batch_norm(x, &scale, &shift, 1e-5, None, by).map(|n| n.output);
        let (y, g) = gradient(&|x| norm(x, Some(by)));
        let (apart, h) = gradient(&|x| ops::rectify(&norm(x, None)?, by));
        assert!(y == apart && close(&g, &h, 1e-5), "{by:?}");
        assert_eq!(
            gradient(&|x| ops::conv2d_rectified(x, &w, Some(&shift), spec, by)),
            gradient(&|x| ops::rectify(&ops::conv2d(x, &w, Some(&shift), spec)?, by)),
        );
    }
    let edges = Var::new(&[f32::NAN, -f32::INFINITY, -1.0, 0.0, 2.0, 6.0, 7.0, f32::INFINITY], &Device::Cpu).unwrap();
    let at = |by| {
        let y = ops::rectify(&edges, by).unwrap();
        let g = y.sum_all().unwrap().backward().unwrap();
        (numbers(&y), numbers(g.get(&edges).unwrap()))
    };
    let (y, g) = at(Rectifier::RELU6);
    assert!(y[0].is_nan());
    assert_eq!(y[1..], [0.0, 0.0, 0.0, 2.0, 6.0, 6.0, 6.0]);
    assert_eq!(g[1..], [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    let (y, g) = at(Rectifier::leaky(0.5));
    assert_eq!((&y[1..4], y[7]), (&[f64::NEG_INFINITY, -0.5, 0.0][..], f64::INFINITY));
    assert_eq!(g[1..], [0.5, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0]);
    for wrong in [
        Rectifier { slope: f64::NAN, cap: 1.0 },
        Rectifier { slope: 0.0, cap: 0.0 },
        Rectifier { slope: 0.0, cap: f64::NAN },
    ] {
        assert!(ops::rectify(&edges, wrong).is_err() && ops::conv2d_rectified(&x, &w, None, spec, wrong).is_err());
    }
}

#[test]
fn the_same_bytes_with_one_thread_and_with_several() {
    let run = |threads: usize| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| everything().unwrap())
    };
    let one = run(1);
    for threads in [2, 3] {
        assert!(run(threads) == one, "{threads} threads");
    }
    assert!(one.iter().all(|v| !v.is_empty() && v.iter().all(|x| x.is_finite())));
}

#[test]
fn empty_axes_and_shapes_that_do_not_fit_are_errors() {
    let t = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let ids = Tensor::new(&[3u32], &Device::Cpu).unwrap();
    let (spec, up, pool) = (Conv2dSpec::default(), ConvTranspose2dSpec::default(), Pool2dSpec::default());
    for (what, result) in [
        ("conv batch 0", ops::conv2d(&t(&[0, 1, 3, 3]), &t(&[1, 1, 1, 1]), None, spec)),
        ("conv channels", ops::conv2d(&t(&[1, 2, 3, 3]), &t(&[1, 1, 1, 1]), None, spec)),
        ("conv kernel 0", ops::conv2d(&t(&[1, 1, 3, 3]), &t(&[1, 1, 0, 1]), None, spec)),
        ("conv bias", ops::conv2d(&t(&[1, 1, 3, 3]), &t(&[2, 1, 1, 1]), Some(&t(&[1])), spec)),
        ("conv groups", ops::conv2d(&t(&[1, 3, 3, 3]), &t(&[2, 1, 1, 1]), None, Conv2dSpec { groups: 2, ..spec })),
        ("conv groups 0", ops::conv2d(&t(&[1, 3, 3, 3]), &t(&[2, 1, 1, 1]), None, Conv2dSpec { groups: 0, ..spec })),
        ("input gradient", ops::conv2d_input_gradient(&t(&[1, 1, 3, 3]), &t(&[1, 1, 2, 2]), (5, 5), spec)),
        ("weight gradient", ops::conv2d_weight_gradient(&t(&[1, 1, 3, 3]), &t(&[1, 1, 3, 3]), (2, 2), spec)),
        ("up channels", ops::conv_transpose2d(&t(&[1, 2, 3, 3]), &t(&[1, 1, 1, 1]), None, up)),
        (
            "up padding",
            ops::conv_transpose2d(
                &t(&[1, 1, 1, 1]),
                &t(&[1, 1, 2, 2]),
                None,
                ConvTranspose2dSpec { padding: (1, 1), ..up },
            ),
        ),
        (
            "up output padding",
            ops::conv_transpose2d(
                &t(&[1, 1, 1, 1]),
                &t(&[1, 1, 2, 2]),
                None,
                ConvTranspose2dSpec { output_padding: (1, 0), ..up },
            ),
        ),
        ("pool empty", ops::max_pool2d(&t(&[1, 0, 3, 3]), pool)),
        ("pool too large", ops::avg_pool2d(&t(&[1, 1, 1, 1]), pool)),
        ("adaptive 0", ops::adaptive_avg_pool2d(&t(&[1, 1, 3, 3]), (0, 1))),
        ("nearest 0", ops::upsample_nearest2d(&t(&[1, 1, 3, 3]), (2, 0))),
        ("linear", ops::linear(&t(&[2, 3]), &t(&[4, 2]), None)),
        ("matmul", ops::matmul(&t(&[2, 0]), &t(&[0, 2]))),
        ("batch norm of one value", ops::batch_norm_train(&t(&[1, 2, 1, 1]), &t(&[2]), &t(&[2]), 1e-5)),
        (
            "residual",
            ops::batch_norm(&t(&[2, 2, 1, 1]), &t(&[2]), &t(&[2]), 1e-5, Some(&t(&[2])), None).map(|n| n.output),
        ),
        ("log-softmax", ops::log_softmax(&t(&[2, 0]))),
        ("mse", ops::mse_loss(&t(&[2]), &t(&[3]))),
        ("add", ops::add_relu(&t(&[2]), &t(&[3]))),
        ("slope", ops::leaky_relu(&t(&[2]), -1.0)),
        ("embedding", ops::embedding(&t(&[3, 2]), &ids)),
    ] {
        assert!(result.is_err(), "{what}");
    }
    let weights = |w: &[usize], r: &[usize]| (t(w), t(r));
    for (w, r, h) in [(&[8, 3], &[8, 3], &[4, 2]), (&[8, 3], &[8, 2], &[4, 3]), (&[7, 3], &[8, 2], &[4, 2])] {
        let (input, recurrent) = weights(w, r);
        let weights = LstmWeights { input: &input, recurrent: &recurrent, bias: None };
        assert!(ops::lstm(&t(&[5, 4, 3]), &t(h), &t(h), weights, None).is_err(), "{w:?} {r:?} {h:?}");
    }
}
