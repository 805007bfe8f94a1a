//! Logistic regression under attack against scipy's minimisers and PyTorch's Hessians (the table of the spec, 3.b, and more);
//! the Hessian of a small CNN against PyTorch's whole one and PyHessian.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::nets::{SmallCnn, SmallCnnConfig};
use sconce_tensor_core::{Mode, Module, Network, Rng, ops};
use sconce_tests::{Golden, golden};
use sconce_theory::hessian::{
    Curvature, GaussNewton, HvpMethod, LanczosConfig, Operator, hutch_plus_plus, hutchinson, spectral_density,
    top_eigenpairs,
};
use sconce_theory::logistic::{AdversarialLogistic, LinearAttack, LogisticConfig};
use sconce_theory::{Weights, eigenvalues};
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
    AdversarialLogistic::new(g.get("x").unwrap(), &labels(g), cfg).unwrap()
}

fn norm(w: &[f64]) -> f64 {
    w.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// eps, norm of w, three spectra.
type Row = (f64, f64, [f64; 5], [f64; 5], [f64; 5]);

/// The table as the spec prints it: eps, norm of w, eigenvalues of the Hessian with the attack following, frozen, and of random
/// noise instead.
const PRINTED: [Row; 7] = [
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
        let full = spectrum(&model, &best.w, LinearAttack::Following);
        let frozen = spectrum(&model, &best.w, LinearAttack::Frozen);
        // The same examples with noise of the same norm, in a direction that does not know the loss.
        let shift = noise.get(i).unwrap();
        let signs = Tensor::from_slice(&y, (300, 1), &Device::Cpu).unwrap();
        let moved = (shift.broadcast_mul(&signs).unwrap() * eps).unwrap();
        let moved = (g.get("x").unwrap() + moved).unwrap();
        let random = AdversarialLogistic::new(&moved, &labels(&g), LogisticConfig::default()).unwrap();
        let at = random.minimise().unwrap().w;
        let random = spectrum(&random, &at, LinearAttack::Following);
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
        for (attack, key) in [(LinearAttack::Following, "full"), (LinearAttack::Frozen, "frozen")] {
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

/// The CNN of the golden values in f64, and its mean cross-entropy in two batches.
fn network(g: &Golden) -> (SmallCnn, Tensor, Tensor) {
    let cfg = SmallCnnConfig { input: (1, 8, 8), channels: (4, 8), kernel: 3, hidden: 40, ..Default::default() };
    let net = SmallCnn::new(cfg, Rng::new(0), DType::F64, &Device::Cpu).unwrap();
    let named =
        |p: &sconce_tensor_core::Param| (p.name().to_owned(), g.get(&format!("net.{}", p.name())).unwrap().clone());
    net.params().restore(&net.params().iter().map(named).collect()).unwrap();
    let labels = g.get("labels").unwrap().to_dtype(DType::U32).unwrap();
    (net, g.get("images").unwrap().clone(), labels)
}

#[test]
fn a_network_of_2066_weights() {
    let (g, values) = (Golden::load("theory.safetensors").unwrap(), values());
    let want = &values["network"];
    let (net, x, y) = network(&g);
    let logits = |i: usize| net.forward(&x.narrow(0, 30 * i, 30)?, Mode::Eval);
    let loss = |i: usize| Ok((ops::cross_entropy(&logits(i)?, &y.narrow(0, 30 * i, 30)?)?.mean_all()? / 2.0)?);
    let route = HvpMethod::finite_differences(DType::F64);
    let h = Curvature::new(net.params(), 2, &loss, route).unwrap();
    assert_eq!(h.dim(), 2066);
    let number = |v: &Value| v.as_f64().unwrap();
    assert!((h.loss().unwrap() - number(&want["loss"])).abs() < 1e-12);
    let relative = |a: &[f64], b: &[f64]| far(a, b) / b.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let vector: Vec<f64> = g.get("vector").unwrap().to_vec1().unwrap();
    let before = h.weights().values().unwrap();
    let product = h.apply(&vector).unwrap();
    assert_eq!(h.weights().values().unwrap(), before, "the weights are put back");
    let exact: Vec<f64> = g.get("hessian_vector").unwrap().to_vec1().unwrap();
    assert!(relative(&product, &exact) < 1e-6, "{}", relative(&product, &exact));

    let cfg = LanczosConfig { count: 5, tolerance: 1e-7, max_products: 200 };
    let pairs = top_eigenpairs(&h, &cfg, &Rng::new(0)).unwrap();
    let found: Vec<f64> = pairs.iter().map(|p| p.value).collect();
    assert!(relative(&found, &numbers(&want["top"])) < 1e-5, "{found:?}");
    // PyHessian's power iteration, on the same weights and data.
    let theirs = numbers(&want["pyhessian"]["top"]);
    assert!((found[0] / theirs[0] - 1.0).abs() < 1e-4, "{found:?} {theirs:?}");
    let trace = hutch_plus_plus(&h, 600, &Rng::new(1)).unwrap();
    assert!((trace.value / number(&want["trace"]) - 1.0).abs() < 1e-2, "{trace:?}");
    let plain = hutchinson(&h, 200, &Rng::new(2)).unwrap();
    assert!((plain.value - number(&want["trace"])).abs() < 4.0 * plain.standard_error, "{plain:?}");
    let spectrum = spectral_density(&h, 10, 60, &Rng::new(3)).unwrap();
    for (name, share) in want["shares"].as_object().unwrap() {
        let ours = spectrum.mean(|l| f64::from(u8::from(if name.starts_with("above") { l > 0.1 } else { l < -0.05 })));
        let theirs = number(&want["pyhessian"]["shares"][name]);
        assert!((ours - number(share)).abs() < 4e-3, "{name}: {ours}, exactly {share}, PyHessian {theirs}");
    }
    let fc1 = Curvature::of(Weights::layer(net.params(), "fc1").unwrap(), 2, &loss, route).unwrap();
    let one = top_eigenpairs(&fc1, &LanczosConfig { count: 1, tolerance: 1e-7, max_products: 100 }, &Rng::new(0))
        .unwrap()[0]
        .value;
    assert!((one / number(&want["layer_top"]) - 1.0).abs() < 1e-5, "{one}");
    let none = Weights::layer(net.params(), "fc9").unwrap_err().to_string();
    assert!(none.contains("`fc9`") && none.contains("fc1.weight"), "{none}");

    let newton = GaussNewton::new(&h, &logits, 1e-8);
    let exact: Vec<f64> = g.get("newton_vector").unwrap().to_vec1().unwrap();
    let product = newton.apply(&vector).unwrap();
    assert!(relative(&product, &exact) < 1e-6, "{}", relative(&product, &exact));
    let pairs =
        top_eigenpairs(&newton, &LanczosConfig { count: 3, tolerance: 1e-6, max_products: 200 }, &Rng::new(0)).unwrap();
    let found: Vec<f64> = pairs.iter().map(|p| p.value).collect();
    assert!(relative(&found, &numbers(&want["newton_top"])) < 1e-4, "{found:?}");

    // A weight that is no number is named.
    let name = "fc2.bias";
    let nan = Tensor::full(f64::NAN, 10, &Device::Cpu).unwrap();
    net.params().get(name).unwrap().var().set(&nan).unwrap();
    let bad = Curvature::new(net.params(), 2, &loss, route).unwrap_err().to_string();
    assert!(bad.contains("`fc2.bias`") && bad.contains("NaN at 0"), "{bad}");
}

/// candle reads the variable once a thread, so the test runs itself in a process that has it: the product by a double backward
/// pass is PyTorch's, and the routes agree.
#[test]
fn both_routes_agree() {
    const KEEP: &str = "CANDLE_GRAD_DO_NOT_DETACH";
    let g = Golden::load("theory.safetensors").unwrap();
    let (net, x, y) = network(&g);
    let loss = |_: usize| Ok(ops::cross_entropy(&net.forward(&x, Mode::Eval)?, &y)?.mean_all()?);
    let h = Curvature::new(net.params(), 1, &loss, HvpMethod::DoubleBackward).unwrap();
    let vector: Vec<f64> = g.get("vector").unwrap().to_vec1().unwrap();
    if std::env::var_os(KEEP).is_none() {
        assert!(h.apply(&vector).unwrap_err().to_string().contains(KEEP));
        let me = std::env::current_exe().unwrap();
        let done =
            std::process::Command::new(me).args(["--exact", "both_routes_agree"]).env(KEEP, "1").output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
        return;
    }
    let exact: Vec<f64> = g.get("hessian_vector").unwrap().to_vec1().unwrap();
    let product = h.apply(&vector).unwrap();
    assert!(far(&product, &exact) < 1e-10, "{}", far(&product, &exact));
    let apart = h.disagreement(&vector).unwrap();
    // One gradient whose graph is kept, two products, and the differences' two.
    assert!(apart < 1e-6 && h.gradients() == 5, "{apart} {}", h.gradients());
}
