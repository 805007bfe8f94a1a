//! The laws of every regularizer as one function, and the statements of the Absum paper as tests.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor};
use faer::{Mat, c64};
use proptest::prelude::*;
use sconce_regularizers::spectral::singular_values;
use sconce_regularizers::{
    Absum, AbsumConfig, Enforcement, L1, L1Config, PenaltyContext, Regularizer, SpectralBound, SpectralBoundConfig,
    SumOver, WeightDecay, WeightDecayConfig, ZeroMean,
};
use sconce_tensor_core::gradcheck::GradCheck;
use sconce_tensor_core::{Params, Rng, Role, ops};

fn normal(seed: u64, shape: &[usize]) -> Tensor {
    Rng::new(seed).normal(shape, 0.0, 1.0, DType::F64, &Device::Cpu).unwrap()
}

fn flat(t: &Tensor) -> Vec<f64> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

fn scalar(t: Tensor) -> f64 {
    t.to_scalar().unwrap()
}

/// A network's parameters: one kernel, and one of every other role.
fn params(kernel: &Tensor) -> Params {
    let mut p = Params::new();
    p.add("conv.weight", Role::Kernel, kernel).unwrap();
    for (i, role) in [Role::Weight, Role::Bias, Role::Scale, Role::Shift, Role::Buffer].into_iter().enumerate() {
        p.add(format!("other{i}"), role, &normal(50 + i as u64, &[3, 4])).unwrap();
    }
    p
}

/// What every regularizer must keep.
fn laws(name: &str, r: &dyn Regularizer) {
    let p = params(&normal(1, &[4, 3, 3, 3]));
    let others = |p: &Params| p.iter().filter(|q| q.role() != Role::Kernel).map(|q| flat(q.var())).collect::<Vec<_>>();
    let before = others(&p);
    r.after_update(&p, 0.1).unwrap();
    assert_eq!(others(&p), before, "{name}: acts on kernels alone");
    let kernel = flat(p.get("conv.weight").unwrap().var());
    assert!(kernel.iter().all(|v| v.is_finite()), "{name}: stays finite");
    if let Some(penalty) = r.penalty(&PenaltyContext::new(&p)).unwrap() {
        assert!(penalty.dims().is_empty() && scalar(penalty.clone()) >= 0.0, "{name}: a penalty is a scalar >= 0");
        let grads = penalty.backward().unwrap();
        assert!(grads.get(p.get("conv.weight").unwrap().var()).is_some(), "{name}: it reaches the kernel");
    }
    // The same input gives the same bytes.
    let q = params(&normal(1, &[4, 3, 3, 3]));
    r.after_update(&q, 0.1).unwrap();
    assert_eq!(flat(q.get("conv.weight").unwrap().var()), kernel, "{name}: deterministic");
    // All-zero kernels stay zero: no term of this crate pulls away from 0.
    let z = params(&Tensor::zeros((4, 3, 3, 3), DType::F64, &Device::Cpu).unwrap());
    r.after_update(&z, 0.1).unwrap();
    assert!(flat(z.get("conv.weight").unwrap().var()).iter().all(|v| *v == 0.0), "{name}: 0 stays 0");
}

fn absum(lambda: f64, enforcement: Enforcement, sum_over: SumOver) -> Absum {
    Absum::new(AbsumConfig { lambda, sum_over, enforcement }).unwrap()
}

fn prox(lambda: f64) -> Absum {
    absum(lambda, Enforcement::Proximal, SumOver::Kernel)
}

#[test]
fn all_keep_the_laws() {
    for enforcement in [Enforcement::Proximal, Enforcement::Penalty] {
        laws("absum", &absum(0.3, enforcement, SumOver::Kernel));
        laws("absum per output", &absum(0.3, enforcement, SumOver::Output));
        laws("l1", &L1::new(L1Config { lambda: 0.3, enforcement }).unwrap());
        laws("weight decay", &WeightDecay::new(WeightDecayConfig { lambda: 0.3, enforcement }).unwrap());
    }
    laws("zero mean", &ZeroMean);
    laws("spectral", &SpectralBound::new(SpectralBoundConfig { bound: 1.0, grid: 6 }).unwrap());
}

#[test]
fn negative_or_nan_weights_are_refused_by_name() {
    for lambda in [-1e-3, f64::NAN, f64::INFINITY] {
        let e = Absum::new(AbsumConfig { lambda, ..Default::default() }).unwrap_err().to_string();
        assert!(e.contains("AbsumConfig.lambda") && e.contains(&lambda.to_string()), "{e}");
        assert!(L1::new(L1Config { lambda, ..Default::default() }).is_err());
        assert!(WeightDecay::new(WeightDecayConfig { lambda, ..Default::default() }).is_err());
        assert!(SpectralBound::new(SpectralBoundConfig { bound: lambda, grid: 8 }).is_err());
    }
    let e = SpectralBound::new(SpectralBoundConfig { bound: 1.0, grid: 2 }).unwrap().clip(&normal(1, &[2, 2, 3, 3]));
    assert!(e.unwrap_err().to_string().contains("SpectralBoundConfig.grid"));
}

#[test]
fn penalties_have_their_gradients() {
    let k = normal(3, &[2, 3, 3, 2]);
    for sum_over in [SumOver::Kernel, SumOver::Output] {
        GradCheck::default()
            .check(std::slice::from_ref(&k), |t| absum(0.7, Enforcement::Penalty, sum_over).value(&t[0]))
            .unwrap();
    }
    GradCheck::default().check(std::slice::from_ref(&k), |t| L1::new(L1Config::default())?.value(&t[0])).unwrap();
    GradCheck::default().check(&[k], |t| WeightDecay::new(WeightDecayConfig::default())?.value(&t[0])).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// T4, T5: the proximal step solves its problem, moves the sum to max(|s| - m t, 0) and nothing else.
    #[test]
    fn the_proximal_step_of_absum(seed in 0u64..10_000, t in 0.0f64..1.0, kh in 1usize..5, kw in 1usize..5) {
        let m = (kh * kw) as f64;
        let k = normal(seed, &[2, 3, kh, kw]);
        let z = prox(t).prox(&k, 1.0).unwrap();
        let sums = |t: &Tensor| flat(&t.sum((2, 3)).unwrap());
        for (s, new) in sums(&k).iter().zip(sums(&z)) {
            prop_assert!((new.abs() - (s.abs() - m * t).max(0.0)).abs() < 1e-12);
            prop_assert!(new * s >= -1e-12);
        }
        let centred = |t: &Tensor| flat(&t.broadcast_sub(&t.mean_keepdim((2, 3)).unwrap()).unwrap());
        for (a, b) in centred(&k).iter().zip(centred(&z)) {
            prop_assert!((a - b).abs() < 1e-12);
        }
        // 1/2 |z - k|^2 + t |sum z| is no larger than at any point nearby.
        let objective = |z: &Tensor| 0.5 * scalar((z - &k).unwrap().sqr().unwrap().sum_all().unwrap()) + scalar(prox(t).value(z).unwrap());
        let best = objective(&z);
        for i in 0..8 {
            let near = (&z + (normal(seed * 8 + i, &[2, 3, kh, kw]) * 0.01).unwrap()).unwrap();
            prop_assert!(best <= objective(&near) + 1e-12);
        }
        // Firmly nonexpansive: |p(a) - p(b)|^2 <= <p(a) - p(b), a - b>.
        let other = normal(seed + 77, &[2, 3, kh, kw]);
        let d = (&z - prox(t).prox(&other, 1.0).unwrap()).unwrap();
        let inner = scalar((&d * (&k - &other).unwrap()).unwrap().sum_all().unwrap());
        prop_assert!(scalar(d.sqr().unwrap().sum_all().unwrap()) <= inner + 1e-12);
        // t = 0 is the identity.
        prop_assert_eq!(flat(&prox(0.0).prox(&k, 1.0).unwrap()), flat(&k));
    }

    /// The soft threshold and the shrinkage solve theirs.
    #[test]
    fn the_other_proximal_steps(seed in 0u64..10_000, t in 0.0f64..1.0) {
        let k = normal(seed, &[2, 2, 3, 3]);
        let l1 = L1::new(L1Config { lambda: t, enforcement: Enforcement::Proximal }).unwrap();
        for (k, z) in flat(&k).iter().zip(flat(&l1.prox(&k, 1.0).unwrap())) {
            prop_assert!((z - k.signum() * (k.abs() - t).max(0.0)).abs() < 1e-15);
        }
        let decay = WeightDecay::new(WeightDecayConfig { lambda: t, enforcement: Enforcement::Proximal }).unwrap();
        for (k, z) in flat(&k).iter().zip(flat(&decay.prox(&k, 1.0).unwrap())) {
            prop_assert!((z - k + 2.0 * t * z).abs() < 1e-14);
        }
    }

    /// T3: the L1 ball lies inside the Absum ball.
    #[test]
    fn absum_is_the_looser_constraint(seed in 0u64..10_000) {
        let k = normal(seed, &[3, 2, 3, 3]);
        let l1 = L1::new(L1Config { lambda: 1.0, enforcement: Enforcement::Penalty }).unwrap();
        prop_assert!(scalar(prox(1.0).value(&k).unwrap()) <= scalar(l1.value(&k).unwrap()));
    }

    /// T6, T8: the largest singular value is at most sum |K|, and low frequencies are bounded by the sum.
    #[test]
    fn gains_of_a_kernel(seed in 0u64..10_000, n in 4usize..12) {
        let k = normal(seed, &[1, 1, 3, 3]);
        let values = flat(&k);
        let l1: f64 = values.iter().map(|v| v.abs()).sum();
        let top = singular_values(&k, n).unwrap().into_iter().fold(0.0, f64::max);
        prop_assert!(top <= l1 + 1e-12);
        let sum: f64 = values.iter().sum();
        for (l, m) in (0..n).flat_map(|l| (0..n).map(move |m| (l, m))) {
            let signed = |i: usize| if 2 * i <= n { i as f64 } else { i as f64 - n as f64 };
            let reach: f64 = (0..9).map(|i| {
                let (u, v) = ((i / 3) as f64 - 1.0, (i % 3) as f64 - 1.0);
                values[i].abs() * (signed(l) * u + signed(m) * v).abs()
            }).sum();
            let angle = |i: usize| std::f64::consts::TAU * ((l * (i / 3) + m * (i % 3)) as f64) / n as f64;
            let (re, im) = (0..9).fold((0.0, 0.0), |(a, b), i| (a + values[i] * angle(i).cos(), b - values[i] * angle(i).sin()));
            let gain = f64::hypot(re, im);
            prop_assert!(gain <= sum.abs() + std::f64::consts::TAU / n as f64 * reach + 1e-12);
        }
    }
}

#[test]
fn a_kernel_of_sum_zero_costs_absum_nothing() {
    let k = Tensor::new(&[[[[1f64, -1.0]]]], &Device::Cpu).unwrap();
    assert_eq!(scalar(prox(1.0).value(&k).unwrap()), 0.0);
    assert_eq!(
        scalar(L1::new(L1Config { lambda: 1.0, enforcement: Enforcement::Penalty }).unwrap().value(&k).unwrap()),
        2.0
    );
}

/// The matrix of a circular convolution, column by column, from convolutions of unit images.
fn dense(k: &Tensor, n: usize) -> Mat<c64> {
    let (o, c, kh, kw) = k.dims4().unwrap();
    let mut matrix = Mat::zeros(o * n * n, c * n * n);
    for column in 0..c * n * n {
        let mut unit = vec![0f64; c * n * n];
        unit[column] = 1.0;
        let x = Tensor::from_vec(unit, (1, c, n, n), &Device::Cpu).unwrap();
        // Wrapped round by the kernel's reach, then convolved without padding.
        let wrap = |x: &Tensor, axis: usize, by: usize| {
            if by == 0 { x.clone() } else { Tensor::cat(&[x, &x.narrow(axis, 0, by).unwrap()], axis).unwrap() }
        };
        let x = wrap(&wrap(&x, 2, kh - 1), 3, kw - 1);
        let y = flat(&ops::conv2d(&x, k, None, ops::Conv2dSpec::default()).unwrap());
        y.into_iter().enumerate().for_each(|(row, v)| matrix[(row, column)] = c64::new(v, 0.0));
    }
    matrix
}

/// T1, T2: the singular values of a circular convolution are those of its Fourier blocks.
#[test]
fn singular_values_are_those_of_the_dense_matrix() {
    for shape in [[1, 1, 3, 3], [4, 3, 3, 2], [2, 3, 1, 1]] {
        let k = normal(9, &shape);
        let mut blocks = singular_values(&k, 6).unwrap();
        blocks.sort_by(|a, b| b.total_cmp(a));
        let matrix = dense(&k, 6).singular_values().unwrap();
        for (a, b) in blocks.iter().zip(&matrix) {
            assert!((a - b).abs() < 1e-10, "{shape:?}: {a} and {b}");
        }
    }
}

#[test]
fn the_spectral_bound_clips() {
    let k = normal(11, &[3, 2, 3, 3]);
    let top = |k: &Tensor| singular_values(k, 8).unwrap().into_iter().fold(0.0, f64::max);
    let loose = SpectralBound::new(SpectralBoundConfig { bound: 100.0, grid: 8 }).unwrap();
    assert_eq!(flat(&loose.clip(&k).unwrap()), flat(&k), "nothing to clip");
    let clip = |k: &Tensor| SpectralBound::new(SpectralBoundConfig { bound: 2.0, grid: 8 }).unwrap().clip(k).unwrap();
    let (mut clipped, before) = (k.clone(), top(&k));
    for _ in 0..200 {
        clipped = clip(&clipped);
    }
    // Applied again and again, as in training, the cut to the support stops mattering.
    assert!(before > 4.0 && top(&clipped) < 2.0 + 1e-3, "{before} -> {}", top(&clipped));
    // A kernel as large as the grid has no cut: one clip is exact.
    let whole = normal(12, &[2, 2, 8, 8]);
    assert!((top(&clip(&whole)) - 2.0).abs() < 1e-10);
}

/// T10: proximal gradient descent on least squares finds the minimiser of `f + lambda G`: the optimality
/// condition of Absum holds, and a large weight makes sums exactly zero.
#[test]
fn proximal_descent_reaches_the_optimum() {
    let target = normal(21, &[2, 2, 3, 3]);
    for lambda in [0.05, 0.3, 10.0] {
        let (a, mut k) = (prox(lambda), Tensor::zeros((2, 2, 3, 3), DType::F64, &Device::Cpu).unwrap());
        // f = sum c_i / 2 (k_i - target_i)^2 with different curvatures.
        let c = Rng::new(22).uniform((2, 2, 3, 3), 0.5..2.0, DType::F64, &Device::Cpu).unwrap();
        for _ in 0..2000 {
            let g = ((&k - &target).unwrap() * &c).unwrap();
            k = a.prox(&(&k - (g * 0.4).unwrap()).unwrap(), 0.4).unwrap();
        }
        let g = ((&k - &target).unwrap() * &c).unwrap();
        let (sums, gradients) = (
            flat(&k.sum((2, 3)).unwrap()),
            g.flatten(0, 1).unwrap().flatten_from(1).unwrap().to_vec2::<f64>().unwrap(),
        );
        for (s, g) in sums.iter().zip(gradients) {
            // -g = lambda xi on every element alike, xi = sign(s), or in [-1, 1] where s = 0.
            assert!(g.iter().all(|v| (v - g[0]).abs() < 1e-9));
            if s.abs() > 1e-9 {
                assert!((g[0] + lambda * s.signum()).abs() < 1e-9);
            } else {
                assert!(s.abs() < 1e-12 && g[0].abs() <= lambda + 1e-9);
            }
        }
        if lambda == 10.0 {
            assert!(sums.iter().all(|s| s.abs() < 1e-12));
        }
    }
}

#[test]
fn the_hard_constraint_is_the_limit() {
    let k = normal(31, &[3, 2, 3, 3]);
    let hard = ZeroMean.project(&k).unwrap();
    let soft = prox(1e9).prox(&k, 1.0).unwrap();
    assert_eq!(flat(&hard), flat(&soft));
    let one = normal(32, &[3, 2, 1, 1]);
    assert_eq!(flat(&ZeroMean.project(&one).unwrap()), flat(&one), "a 1x1 kernel is left alone");
}
