//! Gradients of every op and layer against central differences in f64, and the laws of convolution.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use sconce_tensor_core::gradcheck::GradCheck;
use sconce_tensor_core::nets::{ResNet, ResNetConfig, SmallCnn, SmallCnnConfig};
use sconce_tensor_core::ops::{self, Conv2dSpec, ConvTranspose2dSpec, Gelu, LstmWeights, Pool2dSpec, Rectifier};
use sconce_tensor_core::{Error, ExampleRng, Mode, Network, Result, Rng};

fn normal(seed: u64, shape: &[usize]) -> Tensor {
    Rng::new(seed).normal(shape, 0.0, 1.0, DType::F64, &Device::Cpu).unwrap()
}

/// A scalar with a different weight on each element, so that no error cancels.
fn weighted(y: Tensor) -> Result<Tensor> {
    let u = normal(99, y.dims());
    Ok((y * u)?.sum_all()?)
}

fn check(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    GradCheck::default().check(inputs, |t| weighted(f(t)?)).unwrap();
}

/// Windows with every option.
fn uneven(count_include_pad: bool) -> Pool2dSpec {
    Pool2dSpec {
        kernel: (2, 3),
        stride: (2, 2),
        padding: (0, 1),
        padding_end: Some((1, 2)),
        dilation: (2, 1),
        ceil_mode: true,
        count_include_pad,
    }
}

#[test]
fn linear_maps() {
    let spec = Conv2dSpec { stride: (2, 1), padding: (1, 2), dilation: (1, 2), groups: 2 };
    check(&[normal(1, &[2, 4, 5, 6]), normal(2, &[6, 2, 3, 2]), normal(3, &[6])], |t| {
        ops::conv2d(&t[0], &t[1], Some(&t[2]), spec)
    });
    check(&[normal(1, &[3, 4]), normal(2, &[5, 4]), normal(3, &[5])], |t| ops::linear(&t[0], &t[1], Some(&t[2])));
    check(&[normal(1, &[2, 3, 4]), normal(2, &[5, 4])], |t| ops::linear(&t[0], &t[1], None));
    check(&[normal(1, &[3, 4]), normal(2, &[4, 2])], |t| ops::matmul(&t[0], &t[1]));
    check(&[normal(1, &[2, 3, 5, 4])], |t| {
        ops::avg_pool2d(&t[0], Pool2dSpec { kernel: (3, 2), stride: (2, 1), padding: (1, 1), ..Pool2dSpec::default() })
    });
    check(&[normal(1, &[2, 3, 5, 4])], |t| ops::global_avg_pool2d(&t[0]));
    for count_include_pad in [false, true] {
        check(&[normal(1, &[2, 1, 6, 7])], |t| ops::avg_pool2d(&t[0], uneven(count_include_pad)));
    }
}

#[test]
fn curved_maps() {
    check(&[normal(1, &[2, 2, 7, 5])], |t| {
        ops::max_pool2d(&t[0], Pool2dSpec { kernel: (3, 2), stride: (2, 2), padding: (1, 1), ..Pool2dSpec::default() })
    });
    check(&[normal(1, &[2, 2, 6, 6])], |t| ops::max_pool2d(&t[0], Pool2dSpec::default()));
    check(&[normal(1, &[2, 1, 6, 7])], |t| ops::max_pool2d(&t[0], uneven(true)));
    check(&[normal(1, &[40])], |t| ops::relu(&t[0]));
    check(&[normal(1, &[3, 2, 4, 3]), normal(2, &[2]), normal(3, &[2])], |t| {
        ops::batch_norm_train(&t[0], &t[1], &t[2], 1e-5)
    });
    check(&[normal(1, &[3, 2, 4, 3]), normal(2, &[2]), normal(3, &[2])], |t| ops::channel_affine(&t[0], &t[1], &t[2]));
    check(&[normal(1, &[4, 6])], |t| ops::log_softmax(&t[0]));
    let labels = Tensor::new(&[0u32, 5, 2, 2], &Device::Cpu).unwrap();
    check(&[normal(1, &[4, 6])], |t| ops::cross_entropy(&t[0], &labels));
    check(&[normal(1, &[4, 6]), normal(2, &[4, 6])], |t| ops::soft_cross_entropy(&t[0], &t[1]));
}

type Unary = fn(&Tensor) -> Result<Tensor>;

/// Functions of one number.
const UNARY: [(&str, Unary); 13] = [
    ("gelu", |x| ops::gelu(x, Gelu::Erf)),
    ("gelu by tanh", |x| ops::gelu(x, Gelu::Tanh)),
    ("silu", ops::silu),
    ("hard swish", ops::hard_swish),
    ("hard sigmoid", |x| ops::hard_sigmoid(x, 0.3, 0.4)),
    ("mish", ops::mish),
    ("softplus", ops::softplus),
    ("elu", |x| ops::elu(x, 0.7)),
    ("selu", ops::selu),
    ("tanh", ops::tanh),
    ("erf", ops::erf),
    ("clamp", |x| ops::clamp(x, -0.6, f64::INFINITY)),
    ("sigmoid", ops::sigmoid),
];

#[test]
fn functions_of_one_number() {
    for (name, f) in UNARY {
        let x = (normal(1, &[60]) * 2.5).unwrap();
        let worst = GradCheck::default().check(&[x], |t| weighted(f(&t[0])?));
        assert!(worst.is_ok(), "{name}: {worst:?}");
        // The ends, and the two types against each other.
        let ends = Tensor::new(&[-700f64, -30.0, -1e-9, 0.0, 1e-9, 30.0, 700.0, f64::NAN], &Device::Cpu).unwrap();
        let wide: Vec<f64> = f(&ends).unwrap().to_vec1().unwrap();
        let narrow: Vec<f32> = f(&ends.to_dtype(DType::F32).unwrap()).unwrap().to_vec1().unwrap();
        assert!(wide[7].is_nan() && narrow[7].is_nan(), "{name} of NaN");
        for (a, b) in wide[..7].iter().zip(&narrow) {
            assert!((a - f64::from(*b)).abs() <= 1e-6 * a.abs().max(1e-3), "{name}: {a} and {b}");
        }
    }
    check(&[normal(1, &[3, 2, 4, 3]), normal(2, &[2])], |t| ops::prelu(&t[0], &t[1]));
    check(&[normal(1, &[5, 2]), normal(2, &[1])], |t| ops::prelu(&t[0], &t[1]));
    for bad in [
        ops::clamp(&normal(1, &[2]), 1.0, 0.0),
        ops::clamp(&normal(1, &[2]), f64::NAN, 0.0),
        ops::elu(&normal(1, &[2]), f64::NAN),
        ops::hard_sigmoid(&normal(1, &[2]), f64::INFINITY, 0.0),
        ops::prelu(&normal(1, &[2, 3]), &normal(1, &[2])),
        ops::prelu(&normal(1, &[2]), &normal(1, &[2])),
    ] {
        assert!(bad.is_err());
    }
}

#[test]
fn maps_of_transformers() {
    check(&[normal(1, &[3, 2, 5])], |t| ops::softmax(&t[0]));
    check(&[normal(1, &[3, 2, 5]), normal(2, &[5]), normal(3, &[5])], |t| {
        ops::layer_norm(&t[0], Some(&t[1]), Some(&t[2]), 1e-5)
    });
    check(&[normal(1, &[4, 6])], |t| ops::layer_norm(&t[0], None, None, 0.1));
    check(&[normal(1, &[2, 1, 3, 4]), normal(2, &[3, 4, 2])], |t| ops::batched_matmul(&t[0], &t[1]));
    check(&[normal(1, &[2, 3, 4]), normal(2, &[2, 5, 4])], |t| ops::batched_matmul(&t[0], &t[1].t()?));
    check(&[normal(1, &[2, 3, 4]), normal(2, &[4, 5])], |t| ops::batched_matmul(&t[0], &t[1]));
    check(&[normal(1, &[2, 2, 3, 4])], |t| ops::resize2d(&t[0], &[(0, 2, 0.3), (1, 1, 0.0)], &[(3, 0, -0.2)]));
    let x = normal(1, &[2, 3, 4]);
    for bad in [
        ops::softmax(&Tensor::zeros((2, 0), DType::F64, &Device::Cpu).unwrap()),
        ops::layer_norm(&x, Some(&normal(2, &[3])), None, 1e-5),
        ops::layer_norm(&x, None, None, 0.0),
        ops::batched_matmul(&x, &normal(2, &[3, 4, 5])),
        ops::batched_matmul(&x, &normal(2, &[2, 3, 5])),
        ops::batched_matmul(&x, &normal(2, &[4])),
        ops::resize2d(&normal(1, &[1, 1, 2, 2]), &[(0, 2, 0.0)], &[(0, 0, 0.0)]),
        ops::resize2d(&normal(1, &[1, 1, 2, 2]), &[(0, 1, f64::NAN)], &[(0, 0, 0.0)]),
        ops::resize2d(&normal(1, &[1, 1, 2, 2]), &[], &[(0, 0, 0.0)]),
    ] {
        assert!(bad.is_err());
    }
}

#[test]
fn transposed_resized_and_gathered() {
    let spec =
        ConvTranspose2dSpec { stride: (2, 1), padding: (1, 0), output_padding: (1, 0), dilation: (1, 2), groups: 2 };
    check(&[normal(1, &[2, 4, 3, 4]), normal(2, &[4, 3, 3, 2]), normal(3, &[6])], |t| {
        ops::conv_transpose2d(&t[0], &t[1], Some(&t[2]), spec)
    });
    check(&[normal(1, &[2, 2, 5, 3])], |t| ops::adaptive_avg_pool2d(&t[0], (3, 2)));
    check(&[normal(1, &[2, 2, 5, 3])], |t| ops::adaptive_max_pool2d(&t[0], (2, 2)));
    check(&[normal(1, &[2, 2, 3, 2])], |t| ops::upsample_nearest2d(&t[0], (5, 4)));
    check(&[normal(1, &[2, 2, 3, 4])], |t| ops::upsample_bilinear2d(&t[0], (5, 2), false));
    check(&[normal(1, &[2, 2, 3, 4])], |t| ops::upsample_bilinear2d(&t[0], (5, 2), true));
    let ids = Tensor::new(&[[2u32, 0], [2, 2]], &Device::Cpu).unwrap();
    check(&[normal(1, &[3, 4])], |t| ops::embedding(&t[0], &ids));
}

#[test]
fn fused_maps() {
    let spec = Conv2dSpec::same(3);
    check(&[normal(1, &[2, 2, 4, 3]), normal(2, &[3, 2, 3, 3]), normal(3, &[3])], |t| {
        ops::conv2d_relu(&t[0], &t[1], Some(&t[2]), spec)
    });
    check(&[normal(1, &[3, 2, 4, 3]), normal(2, &[2]), normal(3, &[2])], |t| {
        Ok(ops::batch_norm(&t[0], &t[1], &t[2], 1e-5, None, Some(Rectifier { slope: 0.1, cap: 0.7 }))?.output)
    });
    check(&[normal(1, &[3, 2, 4, 3]), normal(2, &[2]), normal(3, &[2]), normal(4, &[3, 2, 4, 3])], |t| {
        Ok(ops::batch_norm(&t[0], &t[1], &t[2], 1e-5, Some(&t[3]), Some(Rectifier::RELU6))?.output)
    });
    check(&[normal(1, &[12]), normal(2, &[12])], |t| ops::add_relu(&t[0], &t[1]));
    check(&[normal(1, &[12])], |t| ops::leaky_relu(&t[0], 0.2));
    check(&[normal(1, &[12])], |t| ops::rectify(&t[0], Rectifier { slope: 0.2, cap: 0.5 }));
    check(&[normal(1, &[12])], |t| ops::sigmoid(&t[0]));
    let mask = ops::dropout_mask(&[2, 3], 0.4, &Rng::new(5), DType::F64, &Device::Cpu).unwrap();
    check(&[normal(1, &[4, 2, 3])], |t| ops::masked(&t[0], &mask));
    assert!(ops::masked(&normal(1, &[3, 2]), &mask).is_err());
    check(&[normal(1, &[12])], |t| ops::mse_loss(&t[0], &normal(3, &[12])));
}

#[test]
fn lstm_with_a_mask() {
    let (n, h) = (3, 2);
    let mask = ops::dropout_mask(&[n, h], 0.4, &Rng::new(5), DType::F64, &Device::Cpu).unwrap();
    let inputs = [
        normal(1, &[4, n, 3]),
        normal(2, &[4 * h, 3]),
        normal(3, &[4 * h, h]),
        normal(4, &[4 * h]),
        normal(5, &[n, h]),
        normal(6, &[n, h]),
    ];
    for mask in [None, Some(&mask)] {
        let run = |t: &[Tensor], own: bool| {
            let weights = LstmWeights { input: &t[1], recurrent: &t[2], bias: Some(&t[3]) };
            if own {
                let out = ops::lstm(&t[0], &t[4], &t[5], weights, mask)?;
                return Ok(Tensor::cat(&[out.outputs, out.hidden.unsqueeze(0)?, out.cell.unsqueeze(0)?], 0)?);
            }
            let gates = ops::linear(&t[0], &t[1], Some(&t[3]))?;
            let (y, h, c) = ops::composed::lstm(&gates, &t[2], &t[4], &t[5], mask)?;
            Ok(Tensor::cat(&[y, h.unsqueeze(0)?, c.unsqueeze(0)?], 0)?)
        };
        check(&inputs, |t| run(t, true));
        check(&inputs, |t| run(t, false));
        let (a, b): (Result<Tensor>, Result<Tensor>) = (run(&inputs, true), run(&inputs, false));
        let d = (a.unwrap() - b.unwrap()).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
        assert!(d < 1e-14, "{d}");
    }
}

#[test]
fn dropout_keeps_the_mean_and_follows_the_example() {
    let x = Tensor::ones((64, 500), DType::F64, &Device::Cpu).unwrap();
    let rng = |ids: Vec<u64>| ExampleRng::new(Rng::new(1), ids);
    let y = ops::dropout(&x, 0.3, &rng((0..64).collect())).unwrap();
    let v = y.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    assert!(v.iter().all(|v| *v == 0.0 || (*v - 1.0 / 0.7).abs() < 1e-15));
    // 32,000 draws of variance 0.3 / 0.7: five standard errors.
    let mean = v.iter().sum::<f64>() / v.len() as f64;
    assert!((mean - 1.0).abs() < 5.0 * (0.3f64 / 0.7 / 32_000.0).sqrt(), "{mean}");
    let one = ops::dropout(&x.narrow(0, 9, 1).unwrap(), 0.3, &rng(vec![9])).unwrap();
    assert_eq!(one.to_vec2::<f64>().unwrap()[0], y.to_vec2::<f64>().unwrap()[9]);
    assert!(ops::dropout(&x, 1.0, &rng((0..64).collect())).is_err());
    assert!(ops::dropout(&x, 0.5, &rng(vec![1])).is_err());
}

#[test]
fn whole_networks_in_their_input() {
    let cfg =
        SmallCnnConfig { input: (2, 8, 8), classes: 3, channels: (2, 3), kernel: 3, hidden: 5, ..Default::default() };
    let net = SmallCnn::new(cfg, Rng::new(0), DType::F64, &Device::Cpu).unwrap();
    check(&[normal(1, &[2, 2, 8, 8])], |t| net.forward(&t[0], Mode::Eval));
    let cfg = ResNetConfig { channels: 1, classes: 3, width: 2, blocks: vec![1, 1], ..ResNetConfig::default() };
    let net = ResNet::new(cfg, Rng::new(0), DType::F64, &Device::Cpu).unwrap();
    check(&[normal(1, &[3, 1, 8, 8])], |t| net.forward(&t[0], Mode::Eval));
}

#[test]
fn log_softmax_and_loss_survive_extreme_logits() {
    let z = Tensor::new(&[[1e4f32, -1e4, 0.0], [-300.0, -300.0, -300.0]], &Device::Cpu).unwrap();
    let y = Tensor::new(&[1u32, 2], &Device::Cpu).unwrap();
    let loss = ops::cross_entropy(&z, &y).unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(loss[0], 2e4);
    assert!((loss[1] - 3f32.ln()).abs() < 1e-6);
}

#[test]
fn relu_and_max_pool_treat_nan_and_ties_as_pytorch_does() {
    let x = Tensor::new(&[[[[f32::NAN, 1.0], [2.0, 2.0]]]], &Device::Cpu).unwrap();
    assert!(
        ops::max_pool2d(&x, Pool2dSpec::default()).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()[0]
            .is_nan()
    );
    assert!(ops::relu(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()[0].is_nan());
    let zero = candle_core::Var::new(&[0f32, -1.0, 1.0], &Device::Cpu).unwrap();
    let g = ops::relu(&zero).unwrap().sum_all().unwrap().backward().unwrap();
    assert_eq!(g.get(&zero).unwrap().to_vec1::<f32>().unwrap(), [0.0, 0.0, 1.0]);
}

#[test]
fn bad_shapes_are_errors_that_name_the_tensor() {
    let x = normal(1, &[2, 3, 8, 8]);
    let spec = Conv2dSpec::default();
    for (w, want) in [
        (normal(2, &[4, 2, 3, 3]), "conv2d weight"),
        (normal(2, &[4, 3, 9, 3]), "height"),
        (normal(2, &[4, 3, 3]), "conv2d weight"),
    ] {
        let e = ops::conv2d(&x, &w, None, spec).unwrap_err().to_string();
        assert!(e.contains(want), "{e}");
    }
    let w = normal(2, &[4, 3, 3, 3]);
    assert!(
        ops::conv2d(&x, &w, None, Conv2dSpec { stride: (0, 1), ..spec }).unwrap_err().to_string().contains("stride 0")
    );
    assert!(ops::conv2d(&x, &w, None, Conv2dSpec { groups: 2, ..spec }).unwrap_err().to_string().contains("groups"));
    assert!(ops::conv2d(&x, &w, Some(&normal(3, &[5])), spec).unwrap_err().to_string().contains("bias"));
    let empty = Tensor::zeros((0, 3, 8, 8), DType::F64, &Device::Cpu).unwrap();
    assert!(matches!(ops::conv2d(&empty, &w, None, spec), Err(Error::Shape { .. })));
    assert!(
        ops::linear(&normal(1, &[2, 3]), &normal(1, &[2, 4]), None).unwrap_err().to_string().contains("linear input")
    );
    let z = normal(1, &[2, 3]);
    let y = Tensor::new(&[0u32, 3], &Device::Cpu).unwrap();
    assert!(ops::cross_entropy(&z, &y).unwrap_err().to_string().contains("label 3 at row 1"));
    assert!(ops::batch_norm_train(&normal(1, &[1, 3, 1, 1]), &normal(1, &[3]), &normal(1, &[3]), 1e-5).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// `<conv(x, w), u> = <x, conv_to_input(u, w)> = <w, conv_to_weight(x, u)>`, for any sizes that fit.
    #[test]
    fn the_three_maps_of_a_convolution_are_adjoint(
        (n, g, cg, og) in (1usize..4, 1usize..3, 1usize..4, 1usize..4),
        (h, w, kh, kw) in (1usize..9, 1usize..9, 1usize..5, 1usize..5),
        (sh, sw, ph, pw, dh, dw) in (1usize..4, 1usize..4, 0usize..4, 0usize..4, 1usize..3, 1usize..3),
        seed in 0u64..1000,
    ) {
        let spec = Conv2dSpec { stride: (sh, sw), padding: (ph, pw), dilation: (dh, dw), groups: g };
        let x = candle_core::Var::from_tensor(&normal(seed, &[n, g * cg, h, w])).unwrap();
        let k = candle_core::Var::from_tensor(&normal(seed + 1, &[g * og, cg, kh, kw])).unwrap();
        let Ok(y) = ops::conv2d(&x, &k, None, spec) else {
            // Only where the kernel does not fit into the padded image.
            prop_assert!(h + 2 * ph < dh * (kh - 1) + 1 || w + 2 * pw < dw * (kw - 1) + 1);
            return Ok(());
        };
        let u = normal(seed + 2, y.dims());
        let dot = |a: &Tensor, b: &Tensor| (a * b).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
        let grads = (&y * &u).unwrap().sum_all().unwrap().backward().unwrap();
        let whole = dot(&y, &u);
        let scale = 1.0 + dot(&y.abs().unwrap(), &u.abs().unwrap());
        prop_assert!((dot(&x, grads.get(&x).unwrap()) - whole).abs() < 1e-12 * scale);
        prop_assert!((dot(&k, grads.get(&k).unwrap()) - whole).abs() < 1e-12 * scale);
        // One image alone gives the same bytes as in its batch.
        let alone = ops::conv2d(&x.narrow(0, n - 1, 1).unwrap(), &k, None, spec).unwrap();
        let bits = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        prop_assert_eq!(bits(&alone), bits(&y.narrow(0, n - 1, 1).unwrap()));
    }

    /// Every pixel's gradient of a pooling's sum counts the windows that it wins.
    #[test]
    fn pooling_passes_the_whole_gradient_on(
        (h, w, k, s) in (2usize..9, 2usize..9, 1usize..4, 1usize..4), seed in 0u64..1000,
    ) {
        let spec =
            Pool2dSpec { kernel: (k, k), stride: (s, s), padding: (k / 2, k / 2), ..Pool2dSpec::default() };
        let x = candle_core::Var::from_tensor(&normal(seed, &[2, 3, h, w]).round().unwrap()).unwrap();
        let y = ops::max_pool2d(&x, spec).unwrap();
        let g = y.sum_all().unwrap().backward().unwrap();
        let total = g.get(&x).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
        prop_assert_eq!(total, y.elem_count() as f64);
        let composed = ops::composed::max_pool2d(&x, spec).unwrap();
        let bits = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        prop_assert_eq!(bits(&y), bits(&composed));
    }
}
