//! Measurements of networks, on networks whose answer is known.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::nn::{Builder, Init};
use sconce_tensor_core::{Params, Rng, Role, ops};
use sconce_theory::hessian::{Curvature, HvpMethod, LanczosConfig, Operator, Rescaled, top_eigenpairs};
use sconce_theory::landscape::{Direction, Normalise};
use sconce_theory::smoothness::{lipschitz_along, lipschitz_in_ball};
use sconce_theory::{Result, Weights};

/// Two layers of 3 and 2 units with ReLU between, no biases.
fn network() -> Params {
    let mut p = Params::new();
    let mut b = Builder::new(&mut p, Rng::new(1), DType::F64, &Device::Cpu);
    b.param("a", Role::Weight, (3, 4), Init::fan_in(4)).unwrap();
    b.param("b", Role::Weight, (2, 3), Init::fan_in(3)).unwrap();
    p
}

fn loss(p: &Params) -> Result<Tensor> {
    let x = Rng::new(2).normal((20, 4), 0.0, 1.0, DType::F64, &Device::Cpu)?;
    let y = Tensor::from_iter((0..20u32).map(|i| i % 2), &Device::Cpu)?;
    let layer = |x: &Tensor, n: &str| ops::linear(x, p.get(n).unwrap().var().as_tensor(), None);
    Ok(ops::cross_entropy(&layer(&ops::relu(&layer(&x, "a")?)?, "b")?, &y)?.mean_all()?)
}

/// Multiplying the first layer's filters by 5 and dividing the second layer's columns by 5 does not change the network. Raw
/// sharpness changes; sharpness in units of the filters does not, because every column of a filter is divided by the same
/// factor.
#[test]
fn sharpness_in_units_of_filters_is_invariant_to_rescaling() {
    let p = network();
    let sharpest = |scaled: bool| {
        let one = |_| loss(&p);
        let h = Curvature::new(&p, 1, &one, HvpMethod::finite_differences(DType::F64)).unwrap();
        let cfg = LanczosConfig { count: 1, tolerance: 1e-8, max_products: 18 };
        let units = Rescaled::by_filters(&h, h.weights()).unwrap();
        let op: &dyn Operator = if scaled { &units } else { &h };
        top_eigenpairs(op, &cfg, &Rng::new(0)).unwrap()[0].value
    };
    let (raw, units) = (sharpest(false), sharpest(true));
    let before = loss(&p).unwrap().to_scalar::<f64>().unwrap();
    for (name, factor) in [("a", 5.0), ("b", 0.2)] {
        let var = p.get(name).unwrap().var();
        var.set(&(var.as_tensor() * factor).unwrap()).unwrap();
    }
    assert!((loss(&p).unwrap().to_scalar::<f64>().unwrap() - before).abs() < 1e-12);
    assert!((sharpest(true) / units - 1.0).abs() < 1e-5, "{} {units}", sharpest(true));
    assert!(sharpest(false) > 2.0 * raw, "{} {raw}", sharpest(false));
}

/// On `w.A w / 2` every ratio is at most A's largest eigenvalue, with equality along its eigenvector.
#[test]
fn lipschitz_ratios_of_a_quadratic() {
    let mut p = Params::new();
    let mut b = Builder::new(&mut p, Rng::new(1), DType::F64, &Device::Cpu);
    let w = b.param("w", Role::Weight, (1, 3), Init::fan_in(3)).unwrap();
    let a = [1.0, 2.0, 7.0];
    let weights = Weights::new(&p).unwrap();
    let before = weights.values().unwrap();
    let gradient = || Ok(w.flatten_all()?.to_vec1::<f64>()?.iter().zip(a).map(|(w, a)| w * a).collect::<Vec<f64>>());
    let axis = |v: Vec<f64>| Direction::new(&weights, v, Normalise::Unit, "axis").unwrap();
    for (v, ratio) in [(vec![0.0, 0.0, 3.0], 7.0), (vec![1.0, 0.0, 0.0], 1.0)] {
        let t = lipschitz_along(&weights, &axis(v), &[-1.0, 0.0, 0.5, 2.0], gradient).unwrap();
        assert!(t.pairs.iter().all(|p| (p.ratio - ratio).abs() < 1e-12) && t.pairs.len() == 3, "{t:?}");
        assert!((t.pairs[2].distance - 1.5).abs() < 1e-12);
    }
    let ball = lipschitz_in_ball(&weights, 0.5, 50, &Rng::new(0), gradient).unwrap();
    assert!(ball.largest < 7.0 && ball.largest > 5.0, "{}", ball.largest);
    assert!(ball.pairs.iter().all(|p| p.distance <= 1.0) && weights.values().unwrap() == before);
    let d = axis(vec![1.0, 0.0, 0.0]);
    assert!(lipschitz_along(&weights, &d, &[0.0, 0.0], gradient).unwrap_err().to_string().contains("twice in a row"));
    assert!(
        lipschitz_along(&weights, &d, &[0.0, 1.0], || Ok(vec![f64::NAN; 3]))
            .unwrap_err()
            .to_string()
            .contains("not finite")
    );
    assert!(
        lipschitz_in_ball(&weights, 0.0, 1, &Rng::new(0), gradient).is_err()
            && lipschitz_along(&weights, &d, &[0.0], gradient).is_err()
    );
}
