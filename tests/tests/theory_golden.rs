//! Logistic regression under attack against scipy's minimisers and PyTorch's Hessians: the table of the spec, 3.b, and more.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{Device, Tensor};
use sconce_tests::{Golden, golden};
use sconce_theory::eigenvalues;
use sconce_theory::logistic::{AdversarialLogistic, Attack, LogisticConfig};
use serde_json::Value;

fn numbers(v: &Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn far(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn values() -> Value {
    serde_json::from_slice(&std::fs::read(golden("theory.json")).unwrap()).unwrap()
}

fn labels(g: &Golden) -> Vec<bool> {
    g.get("y").unwrap().to_vec1::<f64>().unwrap().into_iter().map(|y| y > 0.0).collect()
}

fn model(g: &Golden, cfg: LogisticConfig) -> AdversarialLogistic {
    AdversarialLogistic::new(&g.get("x").unwrap(), &labels(g), cfg).unwrap()
}

fn norm(w: &[f64]) -> f64 {
    w.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// The table as the spec prints it: eps, norm of w, eigenvalues of the Hessian with the attack following, frozen, and of random
/// noise instead.
const PRINTED: [(f64, f64, [f64; 5], [f64; 5], [f64; 5]); 7] = [
    (
        0.0,
        2.759,
        [0.033, 0.090, 0.106, 0.115, 0.134],
        [0.033, 0.090, 0.106, 0.115, 0.134],
        [0.033, 0.090, 0.106, 0.115, 0.134],
    ),
    (
        0.1,
        2.298,
        [0.046, 0.126, 0.140, 0.150, 0.177],
        [0.046, 0.113, 0.127, 0.137, 0.164],
        [0.034, 0.092, 0.108, 0.117, 0.138],
    ),
    (
        0.2,
        1.876,
        [0.063, 0.172, 0.184, 0.195, 0.231],
        [0.063, 0.136, 0.148, 0.159, 0.195],
        [0.036, 0.098, 0.111, 0.120, 0.140],
    ),
    (
        0.3,
        1.481,
        [0.082, 0.233, 0.248, 0.259, 0.302],
        [0.082, 0.156, 0.170, 0.182, 0.224],
        [0.039, 0.095, 0.114, 0.119, 0.143],
    ),
    (
        0.4,
        1.108,
        [0.103, 0.326, 0.344, 0.357, 0.404],
        [0.102, 0.172, 0.190, 0.203, 0.250],
        [0.031, 0.095, 0.115, 0.121, 0.145],
    ),
    (
        0.5,
        0.750,
        [0.123, 0.494, 0.515, 0.529, 0.579],
        [0.121, 0.185, 0.206, 0.222, 0.270],
        [0.047, 0.111, 0.120, 0.132, 0.155],
    ),
    (
        0.6,
        0.403,
        [0.139, 0.922, 0.945, 0.961, 1.011],
        [0.135, 0.194, 0.218, 0.236, 0.284],
        [0.053, 0.123, 0.132, 0.143, 0.161],
    ),
];

#[test]
fn the_table_of_the_spec() {
    let (g, values) = (Golden::load("theory.safetensors").unwrap(), values());
    let noise = g.get("noise").unwrap();
    let y: Vec<f64> = g.get("y").unwrap().to_vec1().unwrap();
    for (i, (row, printed)) in values["table"].as_array().unwrap().iter().zip(PRINTED).enumerate() {
        let eps = row["eps"].as_f64().unwrap();
        assert_eq!(eps, printed.0);
        let model = model(&g, LogisticConfig { eps, ..Default::default() });
        let best = model.minimise().unwrap();
        assert!(best.gradient_norm < 1e-11 && best.smallest_eigenvalue.unwrap() > 0.0 && best.steps < 20, "{best:?}");
        assert!(far(&best.w, &numbers(&row["w"])) < 1e-9, "eps {eps}");
        let spectrum = |m: &AdversarialLogistic, w: &[f64], a| eigenvalues(&m.hessian(w, a).unwrap(), 5).unwrap();
        let full = spectrum(&model, &best.w, Attack::Following);
        let frozen = spectrum(&model, &best.w, Attack::Frozen);
        // The same examples with noise of the same norm, in a direction that does not know the loss.
        let shift = noise.get(i).unwrap();
        let signs = Tensor::from_slice(&y, (300, 1), &Device::Cpu).unwrap();
        let moved = (shift.broadcast_mul(&signs).unwrap() * eps).unwrap();
        let moved = (g.get("x").unwrap() + moved).unwrap();
        let random = AdversarialLogistic::new(&moved, &labels(&g), LogisticConfig::default()).unwrap();
        let at = random.minimise().unwrap().w;
        let random = spectrum(&random, &at, Attack::Following);
        for (ours, key, printed) in
            [(&full, "full", printed.2), (&frozen, "frozen", printed.3), (&random, "random", printed.4)]
        {
            assert!(far(ours, &numbers(&row[key])) < 1e-9, "eps {eps} {key}: {ours:?}");
            assert!(far(ours, &printed) < 1e-3, "eps {eps} {key}: {ours:?}");
        }
        assert!((norm(&best.w) - printed.1).abs() < 1e-3);
    }
    let critical = model(&g, LogisticConfig::default()).critical_eps();
    assert!((critical - 0.718).abs() < 1e-3, "{critical}");
    let past = model(&g, LogisticConfig { eps: critical + 1e-6, ..Default::default() }).minimise().unwrap();
    assert_eq!((past.w, past.smallest_eigenvalue), (vec![0.0; 5], None));
    let before = model(&g, LogisticConfig { eps: critical - 1e-3, ..Default::default() }).minimise().unwrap();
    assert!(norm(&before.w) > 0.0 && norm(&before.w) < 0.05 && before.gradient_norm < 1e-11, "{before:?}");
}

#[test]
fn other_norms_and_a_penalty() {
    let (g, values) = (Golden::load("theory.safetensors").unwrap(), values());
    let at = numbers(&values["at"]);
    for row in values["others"].as_array().unwrap() {
        let number = |k: &str| row[k].as_f64();
        let p = number("p").unwrap_or(f64::INFINITY);
        let model = model(&g, LogisticConfig { eps: number("eps").unwrap(), p, l2: number("l2").unwrap() });
        assert!((model.loss(&at).unwrap() - number("loss").unwrap()).abs() < 1e-13, "p {p}");
        assert!(far(&model.gradient(&at).unwrap(), &numbers(&row["gradient"])) < 1e-13, "p {p}");
        for (attack, key) in [(Attack::Following, "full"), (Attack::Frozen, "frozen")] {
            assert!(far(&model.hessian(&at, attack).unwrap(), &numbers(&row[key])) < 1e-12, "p {p} {key}");
        }
    }
    for row in values["kinks"].as_array().unwrap() {
        let number = |k: &str| row[k].as_f64().unwrap();
        let cfg = LogisticConfig { eps: number("eps"), p: f64::INFINITY, l2: number("l2") };
        let best = model(&g, cfg).minimise().unwrap();
        assert!(best.loss <= number("loss") + 1e-12 && far(&best.w, &numbers(&row["w"])) < 1e-4, "{best:?}");
        assert!(best.gradient_norm < 1e-11, "{best:?}");
        let zeros = |w: &[f64]| w.iter().map(|v| v.abs() < 1e-9).collect::<Vec<_>>();
        assert_eq!(zeros(&best.w), zeros(&numbers(&row["w"])));
    }
}
