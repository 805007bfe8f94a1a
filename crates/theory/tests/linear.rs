//! The linear model: derivatives compared with finite differences, smoothness with and without kinks, and data without a
//! minimiser.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{Device, Tensor};
use sconce_tensor_core::Rng;
use sconce_theory::entropy::LocalEntropy;
use sconce_theory::logistic::{AdversarialLogistic, LinearAttack, LogisticConfig};
use sconce_theory::smoothness::interior_attack_jacobian;

/// Overlapping classes in `d` dimensions.
fn model(d: usize, cfg: LogisticConfig) -> AdversarialLogistic {
    let n = 60;
    let x = Rng::new(3).normals(n * d);
    let noise = Rng::new(4).normals(n);
    let y: Vec<bool> = x.chunks(d).zip(noise).map(|(x, e)| x[0] - 0.5 * x[1] + e > 0.0).collect();
    AdversarialLogistic::new(&Tensor::from_vec(x, (n, d), &Device::Cpu).unwrap(), &y, cfg).unwrap()
}

fn p_2(eps: f64) -> LogisticConfig {
    LogisticConfig { eps, ..Default::default() }
}

fn max(eps: f64) -> LogisticConfig {
    LogisticConfig { eps, p: f64::INFINITY, ..Default::default() }
}

#[test]
fn derivatives_are_those_of_differences() {
    let w = [0.7, -0.4, 1.3];
    let h = 1e-5;
    let moved = |i: usize, by: f64| {
        let mut w = w;
        w[i] += by;
        w
    };
    for (p, l2) in [(2.0, 0.0), (1.3, 0.1), (4.0, 0.0), (f64::INFINITY, 0.2), (1.0, 0.0)] {
        let m = model(3, LogisticConfig { eps: 0.4, p, l2 });
        let (g, hessian) = (m.gradient(&w).unwrap(), m.hessian(&w, LinearAttack::Following).unwrap());
        for i in 0..3 {
            let slope = (m.loss(&moved(i, h)).unwrap() - m.loss(&moved(i, -h)).unwrap()) / (2.0 * h);
            assert!((slope - g[i]).abs() < 1e-9, "p {p}: {slope} {}", g[i]);
            let (a, b) = (m.gradient(&moved(i, h)).unwrap(), m.gradient(&moved(i, -h)).unwrap());
            for j in 0..3 {
                let second = (a[j] - b[j]) / (2.0 * h);
                assert!((second - hessian[j * 3 + i]).abs() < 1e-6 * second.abs().max(1.0), "p {p}");
            }
        }
        // The attack is the best of its norm: no other of that norm lowers the margin further.
        let delta = m.attack(&w).unwrap();
        let gain = |d: &[f64]| -d.iter().zip(&w).map(|(d, w)| d * w).sum::<f64>();
        let size = |d: &[f64]| match p {
            p if p.is_infinite() => d.iter().fold(0.0, |a: f64, v| a.max(v.abs())),
            p => d.iter().map(|v| v.abs().powf(p)).sum::<f64>().powf(1.0 / p),
        };
        assert!((size(&delta) - 0.4).abs() < 1e-12, "p {p}: {delta:?}");
        for r in Rng::new(9).normals(300).chunks(3) {
            let other: Vec<f64> = r.iter().map(|v| 0.4 * v / size(r)).collect();
            assert!(gain(&other) <= gain(&delta) + 1e-12, "p {p}");
        }
    }
}

/// Hessians with the attack following and frozen differ by the turning of the attack alone.
#[test]
fn at_no_eps_both_hessians_are_one() {
    let m = model(3, p_2(0.0));
    let w = [0.3, -0.2, 0.5];
    assert_eq!(m.hessian(&w, LinearAttack::Following).unwrap(), m.hessian(&w, LinearAttack::Frozen).unwrap());
    let rows = m.with(p_2(0.3)).unwrap();
    let (a, b) = (rows.hessian(&w, LinearAttack::Following).unwrap(), rows.hessian(&w, LinearAttack::Frozen).unwrap());
    // Along w itself the attack does not turn.
    let along = |h: &[f64]| (0..9).map(|e| w[e / 3] * h[e] * w[e % 3]).sum::<f64>();
    assert!((along(&a) - along(&b)).abs() < 1e-14 && a != b);
}

/// S1: for p = 2 both ratios stay below their bounds, however close the points are.
#[test]
fn smooth_away_from_zero_for_p_2() {
    let m = model(2, p_2(0.3));
    let mut largest: f64 = 0.0;
    for (i, z) in Rng::new(5).normals(4000).chunks(4).enumerate() {
        let a: Vec<f64> = z[..2].iter().map(|v| v + 0.01).collect();
        let h = 10f64.powi(-((i % 5) as i32));
        let b: Vec<f64> = a.iter().zip(&z[2..]).map(|(a, v)| a + h * v).collect();
        let size = |w: &[f64]| w.iter().map(|v| v * v).sum::<f64>().sqrt();
        let (least, most) = (size(&a).min(size(&b)), size(&a).max(size(&b)));
        let r = m.ratios(&a, &b).unwrap();
        let bounds = m.bounds(least, most).unwrap();
        assert!(
            r.attack <= bounds.attack * (1.0 + 1e-6) && r.gradient <= bounds.gradient * (1.0 + 1e-6),
            "{r:?} {bounds:?}"
        );
        largest = largest.max(r.attack / bounds.attack);
    }
    assert!(largest > 0.9, "the bound is tight: {largest}");
}

/// S2: for p = infinity the attack jumps by 2 eps where a weight changes its sign, and the gradient by 2 eps mean(s): the
/// ratios grow like 1 / h. Inside an orthant they do not.
#[test]
fn jumps_at_signs_for_p_infinity() {
    let m = model(2, max(0.3));
    for h in [1e-1, 1e-2, 1e-3, 1e-4] {
        let r = m.ratios(&[0.5 * h, 1.0], &[-0.5 * h, 1.0]).unwrap();
        assert!((r.attack * h / 0.6 - 1.0).abs() < 1e-9, "{r:?}");
        assert!(r.gradient * h > 0.1, "{r:?}");
        let inside = m.ratios(&[0.5 + 0.5 * h, 1.0], &[0.5 - 0.5 * h, 1.0]).unwrap();
        assert!(inside.attack == 0.0 && inside.gradient < 1.0, "{inside:?}");
    }
    assert!(m.bounds(0.1, 1.0).unwrap_err().to_string().contains("p = inf"));
    assert!(m.ratios(&[1.0, 1.0], &[1.0, 1.0]).unwrap_err().to_string().contains("the same"));
}

#[test]
fn no_minimiser_and_no_hessian() {
    let x = Tensor::new(&[[1.0, 0.0], [2.0, 1.0], [-1.0, 0.5], [-2.0, 0.0]], &Device::Cpu).unwrap();
    let y = [true, true, false, false];
    let told = AdversarialLogistic::new(&x, &y, p_2(0.0)).unwrap();
    for m in [told.clone(), told.with(p_2(0.1)).unwrap(), told.with(max(0.1)).unwrap()] {
        let e = m.minimise().unwrap_err().to_string();
        assert!(e.contains("decreases without end") && e.contains("l2 > 0"), "{e}");
    }
    assert!(told.with(LogisticConfig { l2: 0.01, ..p_2(0.1) }).unwrap().minimise().unwrap().gradient_norm < 1e-11);
    let zero = told.with(p_2(9.0)).unwrap();
    assert_eq!(zero.minimise().unwrap().w, [0.0, 0.0]);
    assert!(zero.hessian(&[0.0, 0.0], LinearAttack::Following).unwrap_err().to_string().contains("w = 0"));
    assert!(zero.hessian(&[0.0, 0.0], LinearAttack::Frozen).is_ok());
    let kink = told.with(LogisticConfig { p: 4.0, ..p_2(0.1) }).unwrap();
    assert!(kink.hessian(&[1.0, 0.0], LinearAttack::Following).unwrap_err().to_string().contains("weight 1 is 0"));
    assert!(kink.loss(&[1.0]).is_err() && kink.gradient(&[f64::NAN, 0.0]).is_err());
    assert!(told.with(LogisticConfig { p: 1.0, ..p_2(0.1) }).unwrap().minimise().is_err());
    for cfg in [p_2(-1.0), LogisticConfig { p: 0.5, ..p_2(0.0) }, LogisticConfig { l2: f64::NAN, ..p_2(0.0) }] {
        assert!(told.with(cfg).unwrap_err().to_string().contains("LogisticConfig."));
    }
    let bad = Tensor::new(&[[1.0, f64::NAN]], &Device::Cpu).unwrap();
    assert!(AdversarialLogistic::new(&bad, &[true], p_2(0.0)).unwrap_err().to_string().contains("row 0, column 1"));
    assert!(AdversarialLogistic::new(&x, &[true], p_2(0.0)).is_err());
}

/// S3 and S4 on `l = -k norm(x - A theta)^2 / 2 + b theta x`: the attack's slope by differences, and K = O(1 / k).
#[test]
fn an_interior_attack_turns_faster_the_flatter_the_loss() {
    let a = [1.0, 0.5, -0.3, 2.0];
    let mut last = 0.0;
    for k in [10.0, 1.0, 0.1, 0.01] {
        // grad_x = -k (x - A t) + t: H = -k I, M = k A + I.
        let m: Vec<f64> = (0..4).map(|e| k * a[e] + if e % 3 == 0 { 1.0 } else { 0.0 }).collect();
        let s = interior_attack_jacobian(&[-k, 0.0, 0.0, -k], &m, 2).unwrap();
        // x*(t) = A t + t / k.
        for (e, (found, a)) in s.jacobian.iter().zip(a).enumerate() {
            let exact = a + if e % 3 == 0 { 1.0 / k } else { 0.0 };
            assert!((found - exact).abs() < 1e-12 * exact.abs().max(1.0), "{s:?}");
        }
        assert!(s.bound > last, "{} {last}", s.bound);
        last = s.bound;
    }
    assert!(last > 100.0);
    assert!(interior_attack_jacobian(&[1.0], &[1.0], 1).unwrap_err().to_string().contains("not strictly concave"));
    assert!(interior_attack_jacobian(&[1.0], &[1.0], 2).is_err());
}

/// S6: the spec's numbers for `3 |t|`, and the formula for the second derivative.
#[test]
fn local_entropy_has_no_kink() {
    for (gamma, steepest) in [(1.0, 0.849), (10.0, 5.08), (100.0, 20.9)] {
        let f = LocalEntropy::line(|s| 3.0 * s.abs(), gamma, 40_001, -20.0..20.0).unwrap();
        let mut most: f64 = 0.0;
        for i in -200..=200 {
            let (t, h) = (f64::from(i) * 0.01, 1e-4);
            let here = f.at(&[t]).unwrap();
            let (a, b) = (f.at(&[t + h]).unwrap(), f.at(&[t - h]).unwrap());
            let second = (a.gradient[0] - b.gradient[0]) / (2.0 * h);
            assert!((second - here.hessian[0]).abs() < 1e-4 * gamma, "{second} {}", here.hessian[0]);
            let slope = (a.value - b.value) / (2.0 * h);
            assert!((slope - here.gradient[0]).abs() < 1e-5 * gamma.max(1.0), "{slope} {}", here.gradient[0]);
            let v = here.covariance[0];
            assert!((here.hessian[0] - (gamma - gamma * gamma * v)).abs() < 1e-9);
            most = most.max(here.hessian[0].abs());
        }
        assert!((most / steepest - 1.0).abs() < 0.01, "gamma {gamma}: {most}");
    }
    let square = LocalEntropy::square(|s| s[0].abs() + 2.0 * s[1].abs(), 4.0, 401, -8.0..8.0).unwrap();
    let lines = [1.0, 2.0].map(|k| LocalEntropy::line(move |s| k * s.abs(), 4.0, 401, -8.0..8.0).unwrap());
    let both = square.at(&[0.3, -0.2]).unwrap();
    for (i, (line, t)) in lines.iter().zip([0.3, -0.2]).enumerate() {
        let one = line.at(&[t]).unwrap();
        assert!(
            (one.gradient[0] - both.gradient[i]).abs() < 1e-12 && (one.hessian[0] - both.hessian[3 * i]).abs() < 1e-12
        );
    }
    assert!(square.at(&[7.9, 0.0]).unwrap_err().to_string().contains("at the edge"));
    assert!(LocalEntropy::line(|_| f64::NAN, 1.0, 5, 0.0..1.0).unwrap_err().to_string().contains("NaN at [0.0]"));
    assert!(LocalEntropy::line(|_| 0.0, 0.0, 5, 0.0..1.0).is_err());
}
