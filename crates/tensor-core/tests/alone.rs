//! An example's bytes are the same alone and among others, and a training's alone and beside others.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor, Var};
use rayon::prelude::*;
use sconce_tensor_core::Rng;
use sconce_tensor_core::ops::{self, LstmWeights};

fn normal(seed: u64, shape: &[usize], dtype: DType) -> Tensor {
    Rng::new(seed).normal(shape, 0.0, 1.0, dtype, &Device::Cpu).unwrap()
}

fn numbers(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Rows and matrices alone and among others.
#[test]
fn a_row_and_a_matrix_do_not_feel_their_batch() {
    let n = |seed: u64, shape: &[usize]| normal(seed, shape, DType::F32);
    let (x, a, b) = (n(1, &[200, 130]), n(2, &[130]), n(3, &[130]));
    let maps: [&dyn Fn(&Tensor) -> Tensor; 3] =
        [&|x| ops::softmax(x).unwrap(), &|x| ops::layer_norm(x, Some(&a), Some(&b), 1e-5).unwrap(), &|x| {
            ops::gelu(x, ops::Gelu::Erf).unwrap()
        }];
    for map in maps {
        let all = map(&x);
        for i in [0, 77, 199] {
            assert_eq!(numbers(&map(&x.narrow(0, i, 1).unwrap())), numbers(&all.narrow(0, i, 1).unwrap()));
        }
    }
    for (m, k, q) in [(3, 5, 4), (40, 33, 70), (130, 64, 130)] {
        let (a, b, one) = (n(4, &[50, m, k]), n(5, &[50, k, q]), n(6, &[k, q]));
        let (all, shared) = (ops::batched_matmul(&a, &b).unwrap(), ops::batched_matmul(&a, &one).unwrap());
        for i in [0, 31, 49] {
            let (a, b) = (a.get(i).unwrap(), b.get(i).unwrap());
            let alone = numbers(&ops::batched_matmul(&a, &b).unwrap());
            assert_eq!(alone, numbers(&all.get(i).unwrap()));
            assert_eq!(alone, numbers(&ops::matmul(&a, &b).unwrap()));
            assert_eq!(numbers(&ops::matmul(&a, &one).unwrap()), numbers(&shared.get(i).unwrap()));
        }
    }
}

#[test]
fn a_sequence_does_not_feel_its_batch() {
    let n = |seed: u64, shape: &[usize]| normal(seed, shape, DType::F32);
    let (x, h, c, mask) = (n(1, &[7, 20, 30]), n(2, &[20, 50]), n(3, &[20, 50]), n(4, &[20, 50]));
    let (input, recurrent, bias) = (n(5, &[200, 30]), n(6, &[200, 50]), n(7, &[200]));
    let weights = LstmWeights { input: &input, recurrent: &recurrent, bias: Some(&bias) };
    let all = ops::lstm(&x, &h, &c, weights, Some(&mask)).unwrap();
    for i in [0, 9, 10, 19] {
        let [h, c, mask] = [&h, &c, &mask].map(|t| t.narrow(0, i, 1).unwrap());
        let alone = ops::lstm(&x.narrow(1, i, 1).unwrap(), &h, &c, weights, Some(&mask)).unwrap();
        assert_eq!(numbers(&alone.outputs), numbers(&all.outputs.narrow(1, i, 1).unwrap()), "{i}");
        assert_eq!(numbers(&alone.hidden), numbers(&all.hidden.narrow(0, i, 1).unwrap()), "{i}");
        assert_eq!(numbers(&alone.cell), numbers(&all.cell.narrow(0, i, 1).unwrap()), "{i}");
    }
}

/// While a kernel waits for other threads, rayon may give its thread a whole other training, which has nothing to do with the
/// backward pass that the kernel is part of.
#[test]
fn trainings_side_by_side_do_not_feel_each_other() {
    let one = |seed: u64| {
        let n = |s: u64, shape: &[usize]| Var::from_tensor(&normal(seed + s, shape, DType::F32)).unwrap();
        let (x, w, v) = (n(0, &[160, 64]), n(1, &[64, 64]), n(2, &[64, 64]));
        let h = ops::relu(&ops::linear(&x, &w, None).unwrap()).unwrap();
        // The second weight twice, so that its gradients are added.
        let y = ops::linear(&ops::linear(&h, &v, None).unwrap(), &v, None).unwrap();
        let grads = ops::last_backward(&y.sqr().unwrap().mean_all().unwrap()).unwrap();
        [&x, &w, &v].map(|t| grads.get(t).map(numbers))
    };
    let alone: Vec<_> = (0..4).map(|i| one(10 * i)).collect();
    assert!(alone.iter().flatten().all(Option::is_some));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
    for round in 0..100 {
        let run = || (0..12).into_par_iter().map(|i: usize| one(10 * (i as u64 % 4))).collect();
        let together: Vec<_> = pool.install(run);
        for (i, grads) in together.iter().enumerate() {
            assert!(*grads == alone[i % 4], "round {round}, training {i}");
        }
    }
}

/// A linear map over axes is that over their rows, with the same gradients.
#[test]
fn a_linear_map_keeps_the_leading_axes() {
    let n = |seed: u64, shape: &[usize]| Var::from_tensor(&normal(seed, shape, DType::F32)).unwrap();
    let (w, b) = (n(2, &[9, 6]), n(3, &[9]));
    for lead in [&[][..], &[5], &[4, 3], &[2, 3, 4]] {
        let x = n(1, &[lead, &[6]].concat());
        let run = |rows: bool, bias: Option<&Tensor>| {
            let input = if rows { x.reshape(((), 6)).unwrap() } else { x.as_tensor().clone() };
            let y = ops::linear(&input, &w, bias).unwrap().reshape([lead, &[9]].concat()).unwrap();
            let grads = ops::backward(&y.sqr().unwrap().sum_all().unwrap()).unwrap();
            let mut all = numbers(&y);
            all.extend([&x, &w].into_iter().flat_map(|v| numbers(grads.get(v).unwrap())));
            all.extend(bias.into_iter().flat_map(|v| numbers(grads.get(v).unwrap())));
            (ops::linear(&input, &w, bias).unwrap().dims().to_vec(), all)
        };
        for bias in [None, Some(b.as_tensor())] {
            let ((dims, own), (_, flat)) = (run(false, bias), run(true, bias));
            assert_eq!(dims, [lead, &[9]].concat());
            assert_eq!(own, flat, "{lead:?}");
        }
    }
}
