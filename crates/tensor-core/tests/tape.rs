//! Gradients through this crate's operations, candle's, and mixtures of both that share tensors.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor, Var};
use sconce_tensor_core::gradcheck::GradCheck;
use sconce_tensor_core::ops::{self, Conv2dSpec};
use sconce_tensor_core::{Result, Rng};

fn normal(seed: u64, shape: &[usize]) -> Tensor {
    Rng::new(seed).normal(shape, 0.0, 1.0, DType::F64, &Device::Cpu).unwrap()
}

/// An operation's result that goes into another of ours, into two of candle's, and into the loss itself.
fn mixture(t: &[Tensor]) -> Result<Tensor> {
    let a = ops::conv2d(&t[0], &t[1], None, Conv2dSpec::same(3))?;
    let b = ops::sigmoid(&a)?;
    let c = (a.tanh()? + &b)?;
    let d = ops::conv2d_relu(&c, &t[1], None, Conv2dSpec::same(3))?;
    let e = ops::add_relu(&d, &b)?;
    // The same leaf again, through candle alone and through ours alone.
    let f = (e.sum((2, 3))? + t[0].sum((2, 3))?)?;
    let g = ops::linear(&f, &t[2], None)?;
    Ok((ops::mse_loss(&g, &g.zeros_like()?)? + (b.sqr()?.mean_all()? + t[2].sqr()?.sum_all()?)?)?)
}

#[test]
fn mixtures_are_right() {
    let inputs = [normal(1, &[2, 2, 4, 3]), normal(2, &[2, 2, 3, 3]), normal(3, &[3, 2])];
    GradCheck::default().check(&inputs, mixture).unwrap();
}

#[test]
fn both_ways_of_asking_agree_and_can_be_asked_again() {
    let vars: Vec<Var> = [normal(1, &[2, 2, 4, 3]), normal(2, &[2, 2, 3, 3]), normal(3, &[3, 2])]
        .iter()
        .map(|t| Var::from_tensor(t).unwrap())
        .collect();
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let loss = mixture(&tensors).unwrap();
    let flat = |g: &Tensor| g.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let first = loss.backward().unwrap();
    let again = loss.backward().unwrap();
    let ours = ops::backward(&loss).unwrap();
    for v in &vars {
        let want = flat(first.get(v).unwrap());
        assert_eq!(flat(again.get(v).unwrap()), want);
        let got = flat(ours.get(v).unwrap());
        assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-12 * (1.0 + b.abs())));
    }
}

#[test]
fn two_losses_of_one_graph_do_not_mix() {
    let x = Var::from_tensor(&normal(1, &[4, 3])).unwrap();
    let w = Var::from_tensor(&normal(2, &[2, 3])).unwrap();
    let h = ops::sigmoid(&ops::linear(&x, &w, None).unwrap()).unwrap();
    let one = h.sum_all().unwrap();
    let two = (&h * 3.0).unwrap().sum_all().unwrap();
    let (a, b) = (ops::backward(&one).unwrap(), ops::backward(&two).unwrap());
    let both = ops::backward(&(one + two).unwrap()).unwrap();
    for v in [&x, &w] {
        let sum = (a.get(v).unwrap() + b.get(v).unwrap()).unwrap();
        let d = (sum - both.get(v).unwrap()).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
        assert!(d < 1e-12, "{d}");
    }
}

#[test]
fn nothing_is_computed_for_what_is_not_tracked() {
    let x = Var::from_tensor(&normal(1, &[2, 2, 4, 4])).unwrap();
    let w = normal(2, &[3, 2, 3, 3]);
    let y = ops::conv2d(&x, &w, None, Conv2dSpec::same(3)).unwrap();
    let grads = ops::backward(&y.sum_all().unwrap()).unwrap();
    assert!(grads.get(&x).is_some() && grads.get(&w).is_none());
    assert!(!ops::conv2d(&x.detach(), &w, None, Conv2dSpec::same(3)).unwrap().track_op());
}

#[test]
fn a_chain_frees_its_memory() {
    // Each step's graph hangs on its loss alone: a thousand of 8 MB would not fit otherwise.
    let w = Var::from_tensor(&normal(2, &[8, 8, 1, 1])).unwrap();
    let x = normal(1, &[4, 8, 128, 256]);
    for _ in 0..40 {
        let y = ops::conv2d_relu(&x, &w, None, Conv2dSpec::default()).unwrap();
        let y = ops::conv2d_relu(&y, &w, None, Conv2dSpec::default()).unwrap();
        ops::backward(&y.sum_all().unwrap()).unwrap();
    }
    let resident = std::fs::read_to_string("/proc/self/statm").ok();
    if let Some(pages) = resident.and_then(|s| s.split(' ').nth(1)?.parse::<usize>().ok()) {
        assert!(pages * 4096 < 1 << 30, "{} MiB resident", (pages * 4096) >> 20);
    }
}
