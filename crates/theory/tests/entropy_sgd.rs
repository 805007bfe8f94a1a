//! The optimiser against plain SGD, against a walk by hand, and against quadrature.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::backprop::GradStore;
use candle_core::{DType, Device};
use sconce_tensor_core::nn::{Builder, Init};
use sconce_tensor_core::optim::{Optimizer, Sgd, SgdConfig};
use sconce_tensor_core::{Params, Rng, Role, ops};
use sconce_theory::entropy::{EntropySgd, EntropySgdConfig, LocalEntropy};
use sconce_theory::{Error, Result, Weights};

fn params(n: usize) -> Params {
    let mut p = Params::new();
    let mut b = Builder::new(&mut p, Rng::new(3), DType::F64, &Device::Cpu);
    b.param("w", Role::Weight, (1, n), Init::fan_in(1)).unwrap();
    p
}

fn values(p: &Params) -> Vec<f64> {
    Weights::new(p).unwrap().values().unwrap()
}

/// The gradient of `a w^2 / 2`.
fn bowl(p: &Params, a: f64) -> Result<GradStore> {
    let w = p.get("w").unwrap().var().as_tensor();
    ops::backward(&(w.sqr()?.sum_all()? * (0.5 * a))?)
}

#[test]
fn without_a_walk_it_is_sgd() {
    let outer = SgdConfig { lr: 0.1, momentum: 0.9, weight_decay: 0.01, ..Default::default() };
    let (a, b) = (params(4), params(4));
    let mut entropy = EntropySgd::new(EntropySgdConfig { outer, inner_steps: 0, ..Default::default() }).unwrap();
    let mut sgd = Sgd::new(outer).unwrap();
    for _ in 0..5 {
        entropy.set_lr(0.05).unwrap();
        entropy.step(&a, &Rng::new(0), &mut |_| bowl(&a, 2.0)).unwrap();
        sgd.set_lr(0.05).unwrap();
        sgd.step(&b, &bowl(&b, 2.0).unwrap()).unwrap();
    }
    assert_eq!(values(&a), values(&b));
}

#[test]
fn a_walk_by_hand() {
    let p = params(1);
    let c = values(&p)[0];
    let outer = SgdConfig { lr: 0.5, momentum: 0.0, ..Default::default() };
    let cfg = EntropySgdConfig {
        outer,
        inner_steps: 3,
        inner_lr: 0.1,
        inner_momentum: 0.0,
        average: 0.75,
        noise: 0.0,
        gamma: 0.4,
        scoping: 1.0,
    };
    let mut entropy = EntropySgd::new(cfg).unwrap();
    let by_hand = |c: f64, gamma: f64| {
        let (mut w, mut m) = (c, c);
        for _ in 0..3 {
            w -= 0.1 * (2.0 * w + gamma * (w - c));
            m = 0.75 * m + 0.25 * w;
        }
        c - 0.5 * (c - m)
    };
    let mut asked = Vec::new();
    let mut step = || {
        entropy
            .step(&p, &Rng::new(0), &mut |l| {
                asked.push(l);
                bowl(&p, 2.0)
            })
            .unwrap();
        values(&p)[0]
    };
    let first = step();
    assert!((first - by_hand(c, 0.4)).abs() < 1e-14);
    assert!((step() - by_hand(first, 0.8)).abs() < 1e-14, "gamma has grown");
    assert_eq!(asked, [0, 1, 2, 0, 1, 2]);
}

/// S6: at temperature 1 the mean of a long walk on a kink is that of quadrature, `c - grad F / gamma`.
#[test]
fn a_long_walk_finds_the_smoothed_gradient() {
    // Many walkers in one vector: each coordinate is a walk of its own.
    let n = 2000;
    let p = params(n);
    let (gamma, c) = (4.0, 0.5);
    let var = p.get("w").unwrap().var();
    var.set(&var.ones_like().unwrap().affine(c, 0.0).unwrap()).unwrap();
    let outer = SgdConfig { lr: 1.0, momentum: 0.0, ..Default::default() };
    let cfg = EntropySgdConfig {
        outer,
        inner_steps: 1500,
        inner_lr: 2e-3,
        inner_momentum: 0.0,
        average: 0.995,
        noise: 1.0,
        gamma,
        scoping: 0.0,
    };
    let gradient = || {
        let w = var.as_tensor();
        ops::backward(&(w.abs()?.sum_all()? * 3.0)?)
    };
    EntropySgd::new(cfg).unwrap().step(&p, &Rng::new(1), &mut |_| gradient()).unwrap();
    // With an outer rate of 1 the step ends at the mean of the walk.
    let after = values(&p);
    let mean = after.iter().sum::<f64>() / n as f64;
    let deviation = (after.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64).sqrt() / (n as f64).sqrt();
    let exact = LocalEntropy::line(|s| 3.0 * s.abs(), gamma, 20_001, -10.0..10.0).unwrap().at(&[c]).unwrap();
    let want = c - exact.gradient[0] / gamma;
    assert!((mean - want).abs() < 4.0 * deviation + 0.01, "{mean} {want} +- {deviation}");
    assert!((want - c).abs() > 0.2, "the walk leaves its start");
}

#[test]
fn what_fails_leaves_the_weights() {
    let p = params(3);
    let before = values(&p);
    let mut entropy = EntropySgd::new(EntropySgdConfig::default()).unwrap();
    assert_eq!(entropy.gradients_per_step(), 20);
    let e = entropy.step(&p, &Rng::new(0), &mut |l| match l {
        4 => Err(Error::value("loss", "NaN")),
        _ => bowl(&p, 1.0),
    });
    assert!(e.unwrap_err().to_string().contains("NaN") && values(&p) == before);
    for cfg in [
        EntropySgdConfig { inner_lr: 0.0, ..Default::default() },
        EntropySgdConfig { average: 1.0, ..Default::default() },
        EntropySgdConfig { noise: f64::NAN, ..Default::default() },
        EntropySgdConfig { gamma: -1.0, ..Default::default() },
    ] {
        assert!(EntropySgd::new(cfg).unwrap_err().to_string().contains("EntropySgdConfig."));
    }
}
