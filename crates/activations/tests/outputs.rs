//! What is true of output functions: golden values, Jacobians, and the ranks of the claims T1 to T5.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor, Var};
use proptest::prelude::*;
use sconce_activations::{Decoder, Mixture, MixtureConfig, Output, OutputFunction, Spectrum, output_of};
use sconce_tensor_core::nn::Builder;
use sconce_tensor_core::{Mode, Params, Rng, ops};

const ALL: [Output; 4] = [Output::Softmax, Output::Sigsoftmax, Output::Sigmoid, Output::Relu { eps: 1e-8 }];

fn normal(name: &str, shape: (usize, usize)) -> Tensor {
    Rng::new(0).stream(name).normal(shape, 0.0, 1.0, DType::F64, &Device::Cpu).unwrap()
}

fn rows(t: &Tensor) -> Vec<Vec<f64>> {
    t.to_dtype(DType::F64).unwrap().to_vec2().unwrap()
}

#[test]
fn golden_values() {
    // dl_techniques, tests/test_layers/test_activations/test_sigsoftmax.py.
    for dtype in [DType::F32, DType::F64] {
        let z =
            Tensor::new(&[[1f64, 2.0, 3.0], [-300.0, -200.0, -150.0]], &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        let log = rows(&Output::Sigsoftmax.log_prob(&z).unwrap());
        for (l, want) in log[0].iter().zip([0.0719267f64, 0.2355637, 0.6925095]) {
            assert!((l.exp() - want).abs() < 1e-7, "{dtype:?} {l}");
        }
        assert_eq!(log[1], [-300.0, -100.0, 0.0]);
        let soft = rows(&Output::Softmax.log_prob(&z).unwrap());
        assert!((soft[0][0].exp() - 0.0900306).abs() < 1e-7);
    }
}

/// `d log f_i / d z_j = s_j (delta_ij - f_j)` with `s = 2 - sigma` for sigsoftmax, row by row of the Jacobian.
#[test]
fn jacobians() {
    let (n, k) = (7, 7);
    let z = (normal("z", (1, k)) * 3.0).unwrap();
    let values = rows(&z)[0].clone();
    for o in ALL {
        let slope = |v: f64| match o {
            Output::Softmax => 1.0,
            Output::Sigsoftmax => 2.0 - 1.0 / (1.0 + (-v).exp()),
            Output::Sigmoid => 1.0 - 1.0 / (1.0 + (-v).exp()),
            Output::Relu { eps } if v > 0.0 => 1.0 / (v + eps),
            _ => 0.0,
        };
        let f: Vec<f64> = rows(&o.log_prob(&z).unwrap())[0].iter().map(|l| l.exp()).collect();
        for i in 0..n {
            let at = Var::from_tensor(&z).unwrap();
            let picked = o.log_prob(&at).unwrap().get(0).unwrap().get(i).unwrap();
            let g = rows(ops::backward(&picked).unwrap().get(&at).unwrap())[0].clone();
            for j in 0..k {
                let want = slope(values[j]) * (f64::from(u8::from(i == j)) - f[j]);
                assert!((g[j] - want).abs() < 1e-7 * (1.0 + want.abs()), "{o:?} {i} {j}: {} {want}", g[j]);
            }
        }
    }
}

/// T1, T2: rank d + 1 for softmax, d + 2 with a bias; full for sigsoftmax and the normalised sigmoids.
#[test]
fn ranks() {
    let (d, m, n) = (8, 60, 400);
    let (h, w, b) = (normal("h", (n, d)), normal("w", (m, d)), normal("b", (1, m)));
    let rank = |o: Output, bias: Option<&Tensor>| {
        Spectrum::of(&o.log_prob(&ops::linear(&h, &w, bias).unwrap()).unwrap()).unwrap().rank()
    };
    let b = b.squeeze(0).unwrap();
    assert_eq!((rank(Output::Softmax, None), rank(Output::Softmax, Some(&b))), (d + 1, d + 2));
    assert_eq!((rank(Output::Sigsoftmax, None), rank(Output::Sigsoftmax, Some(&b))), (m, m));
    assert_eq!((rank(Output::Sigmoid, None), rank(Output::Sigmoid, Some(&b))), (m, m));
    let few = Spectrum::of(&h).unwrap();
    assert_eq!((few.rank(), few.rank_above(f64::INFINITY), few.values().len()), (d, 0, d));
    let nan = Tensor::new(&[[0.0, f64::NAN]], &Device::Cpu).unwrap();
    assert!(Spectrum::of(&nan).unwrap_err().to_string().contains("row 0, column 1"));
    assert!(Spectrum::of(&b).is_err());
}

/// T3: with a shift of all logits sigsoftmax comes as close to softmax as one wishes, from both sides.
#[test]
fn softmax_is_a_limit_of_sigsoftmax() {
    let z = normal("z", (20, 10));
    let far = |shift: f64, scale: f64| {
        let moved = Output::Sigsoftmax.log_prob(&((&z * scale).unwrap() + shift).unwrap()).unwrap().exp().unwrap();
        let soft = Output::Softmax.log_prob(&z).unwrap().exp().unwrap();
        (moved - soft).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap()
    };
    let gaps: Vec<f64> = [0.0, 2.0, 5.0, 10.0, 20.0].iter().map(|t| far(*t, 1.0)).collect();
    assert!(gaps.windows(2).all(|w| w[1] < w[0] / 4.0) && gaps[4] < 1e-8, "{gaps:?}");
    assert!(far(-25.0, 0.5) < 1e-8, "{}", far(-25.0, 0.5));
}

/// T4: a line of logits whose log-sigsoftmax spans three dimensions, where softmax's spans two.
#[test]
fn a_line_that_bends() {
    let line = |k: f64| [k, 2.0 * k, 0.0, 0.0, -k];
    let z = Tensor::new(&[line(-1.0), line(1.0), line(2.0)], &Device::Cpu).unwrap();
    let spectrum = |o: Output| Spectrum::of(&o.log_prob(&z).unwrap()).unwrap();
    let bent = spectrum(Output::Sigsoftmax);
    for (s, want) in bent.values().iter().zip([13.1, 6.0, 0.18]) {
        assert!((s - want).abs() < 0.05 * want, "{:?}", bent.values());
    }
    assert_eq!((bent.rank(), spectrum(Output::Softmax).rank()), (3, 2));
}

proptest! {
    /// T5: the order of the probabilities is that of the logits, they sum to one, and the fused loss is theirs.
    #[test]
    fn order_and_sums(values in proptest::collection::vec(-50.0f64..50.0, 2..40), label in 0usize..40) {
        let k = values.len();
        let z = Tensor::from_vec(values.clone(), (1, k), &Device::Cpu).unwrap();
        let y = Tensor::new(&[(label % k) as u32], &Device::Cpu).unwrap();
        for o in ALL {
            let log = rows(&o.log_prob(&z).unwrap())[0].clone();
            prop_assert!((log.iter().map(|l| l.exp()).sum::<f64>() - 1.0).abs() < 1e-12);
            let loss = o.nll(&z, &y).unwrap().to_vec1::<f64>().unwrap()[0];
            prop_assert!((loss + log[label % k]).abs() < 1e-11 * (1.0 + loss.abs()), "{o:?}");
            for (a, b) in values.iter().zip(&log) {
                for (c, d) in values.iter().zip(&log) {
                    prop_assert!(a <= c || b >= d, "{o:?}: {a} > {c} but {b} < {d}");
                }
            }
        }
    }
}

/// The likelihood of a mixture without its matrix of probabilities is that of the matrix; one component is the function.
#[test]
fn mixtures() {
    let (n, d, w, m) = (5, 6, 4, 9);
    let (h, table, bias) = (normal("h", (n, d)), normal("table", (m, w)), normal("bias", (1, m)).squeeze(0).unwrap());
    let labels = Tensor::new(&[0u32, 8, 3, 3, 1], &Device::Cpu).unwrap();
    for (o, components) in [(Output::Softmax, 3), (Output::Sigsoftmax, 3), (Output::Sigsoftmax, 1)] {
        let mut params = Params::new();
        let mut b = Builder::new(&mut params, Rng::new(1), DType::F64, &Device::Cpu);
        let mix = Mixture::new(&mut b, MixtureConfig { inputs: d, width: w, components }).unwrap();
        let decoder = Decoder { weight: &table, bias: Some(&bias) };
        let latent = mix.latent(&h, Mode::Eval).unwrap();
        let nll = mix.nll(&o, &h, &latent, decoder, &labels, Mode::Eval).unwrap();
        let log = mix.log_prob(&o, &h, decoder, Mode::Eval).unwrap();
        let sums = log.exp().unwrap().sum(1).unwrap().to_vec1::<f64>().unwrap();
        assert!(sums.iter().all(|s| (s - 1.0).abs() < 1e-12));
        let picked = ops::nll(&log, &labels).unwrap();
        let gap = (&nll - picked).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
        assert!(gap < 1e-12, "{gap}");
        if components == 1 {
            let alone = o.linear_nll(&latent, &table, Some(&bias), &labels).unwrap();
            let gap = (&nll - alone).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
            assert!(gap < 1e-12, "{gap}");
        }
        let grads = ops::backward(&nll.sum_all().unwrap()).unwrap();
        assert!(components == 1 || params.trainable().all(|p| grads.get(p.var()).is_some()));
    }
    let mut params = Params::new();
    let mut b = Builder::new(&mut params, Rng::new(1), DType::F64, &Device::Cpu);
    assert!(Mixture::new(&mut b, MixtureConfig { inputs: 1, width: 0, components: 2 }).is_err());
}

/// A function of one's own needs its log-probabilities alone.
#[test]
fn names_and_own_functions() {
    #[derive(Debug)]
    struct Sharper;
    impl OutputFunction for Sharper {
        fn name(&self) -> &str {
            "sharper"
        }
        fn log_prob(&self, logits: &Tensor) -> sconce_activations::Result<Tensor> {
            Output::Softmax.log_prob(&(logits * 2.0)?)
        }
    }
    let (h, w) = (normal("h", (3, 2)), normal("w", (4, 2)));
    let y = Tensor::new(&[0u32, 3, 1], &Device::Cpu).unwrap();
    let own = Sharper.linear_nll(&h, &w, None, &y).unwrap().to_vec1::<f64>().unwrap();
    let same = Output::Softmax.linear_nll(&(h * 2.0).unwrap(), &w, None, &y).unwrap().to_vec1::<f64>().unwrap();
    assert!(own.iter().zip(same).all(|(a, b)| (a - b).abs() < 1e-12));
    for o in ALL {
        assert_eq!(output_of(o.name()).unwrap(), o);
    }
    assert!(output_of("softmaxx").unwrap_err().to_string().contains("softmax, sigsoftmax, sigmoid, relu"));
    assert!(Output::Relu { eps: 0.0 }.log_prob(&w).unwrap_err().to_string().contains("eps"));
}
