//! The properties that the docs claim, the optimum theory of the paper's setting, and gradients.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor, Var};
use sconce_activations::{LogitForm, LogitFunction, LogitFunctionConfig};
use sconce_tensor_core::gradcheck::GradCheck;
use sconce_tensor_core::{Rng, ops};

fn of(form: LogitForm, gamma: f64) -> LogitFunction {
    LogitFunction::new(LogitFunctionConfig { form, gamma }).unwrap()
}

fn values(f: &LogitFunction, z: &[f64]) -> Vec<f64> {
    f.forward(&Tensor::new(z, &Device::Cpu).unwrap()).unwrap().to_vec1().unwrap()
}

#[test]
fn every_form_is_odd_and_has_its_range_arg_max_and_slope() {
    let grid: Vec<f64> = (-40_000..=40_000).map(|i| f64::from(i) * 1e-3).collect();
    for form in LogitForm::ALL {
        let f = of(form, 1.7);
        let g = values(&f, &grid);
        let n = grid.len();
        assert!((0..n).all(|i| (g[i] + g[n - 1 - i]).abs() < 1e-12), "{form:?}: odd");
        let slope = g.windows(2).map(|w| (w[1] - w[0]).abs() / 1e-3).fold(0.0, f64::max);
        assert!(slope <= 1.7 * form.lipschitz() * (1.0 + 1e-9) && slope > 1.69 * form.lipschitz(), "{form:?}: {slope}");
        if form == LogitForm::Identity {
            continue;
        }
        let (at, max) = (0..n).fold((0, f64::MIN), |m, i| if g[i] > m.1 + 1e-15 { (i, g[i]) } else { m });
        assert!(
            max <= f.bound() * (1.0 + 1e-12) && max > f.bound() * (1.0 - 1e-6),
            "{form:?}: {max} and {}",
            f.bound()
        );
        match form.arg_max() {
            Some(a) => assert!((grid[at] - a).abs() < 1.1e-3, "{form:?}: {} and {a}", grid[at]),
            None => assert!(grid[at] > 15.0, "{form:?}: grows until it rounds"),
        }
        let far = values(&f, &[1e4, -1e4, 1e30, f64::MAX]);
        assert!(far.iter().all(|v| v.is_finite() && v.abs() <= f.bound()), "{form:?}: {far:?}");
    }
}

/// Two formulas of the default, to rounding; the numbers of the spec.
#[test]
fn the_default_is_twice_the_derivative_of_swish_centred() {
    let z: Vec<f64> = (-200..=200).map(|i| f64::from(i) * 0.11).collect();
    for (g, z) in values(&of(LogitForm::Swish, 1.0), &z).iter().zip(&z) {
        let s = 1.0 / (1.0 + (-z).exp());
        assert!((g - (2.0 * (z * s + s * (1.0 - z * s)) - 1.0)).abs() < 1e-12);
    }
    let peak = values(&of(LogitForm::Swish, 1.0), &[2.399_36])[0];
    assert!((peak - 1.199_679).abs() < 1e-6);
}

#[test]
fn gradients_are_right() {
    // Off the ends of the clipped form.
    let z = Tensor::new(&[[-7.3, -2.4, -0.99, 0.0, 0.4, 1.3, 2.399_36, 30.0]], &Device::Cpu).unwrap();
    let w = Rng::new(3).normal((1, 8), 0.0, 1.0, DType::F64, &Device::Cpu).unwrap();
    for form in LogitForm::ALL {
        let f = of(form, 1.3);
        GradCheck::default().check(std::slice::from_ref(&z), |a| Ok((f.forward(&a[0])? * &w)?.sum_all()?)).unwrap();
    }
    // In 32 bits, far out: no NaN through a square that overflows.
    let far = Var::new(&[1e25f32, -1e25, 3.0], &Device::Cpu).unwrap();
    for form in LogitForm::ALL {
        let g = of(form, 1.0).forward(far.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
        let g = g.get(&far).unwrap().to_vec1::<f32>().unwrap();
        assert!(g.iter().all(|v| v.is_finite()), "{form:?}: {g:?}");
    }
}

/// Gradient descent on free pre-logits with a one-hot label (spec 2.b, B4 and B5).
fn descend(f: LogitFunction, steps: usize) -> (f64, f64) {
    let z = Var::new(&[[0.01f64, -0.02, 0.0, 0.03, -0.01, 0.0, 0.02, 0.0, -0.03, 0.01]], &Device::Cpu).unwrap();
    let y = Tensor::new(&[0u32], &Device::Cpu).unwrap();
    for _ in 0..steps {
        let loss = ops::cross_entropy(&f.forward(z.as_tensor()).unwrap(), &y).unwrap().sum_all().unwrap();
        let g = loss.backward().unwrap();
        z.set(&(z.as_detached_tensor() - (g.get(&z).unwrap() * 0.5).unwrap()).unwrap()).unwrap();
    }
    let norm = |t: &Tensor| t.sqr().unwrap().sum_all().unwrap().sqrt().unwrap().to_scalar::<f64>().unwrap();
    (norm(&z.as_detached_tensor()), norm(&f.forward(&z.as_detached_tensor()).unwrap()))
}

#[test]
fn the_optimum_is_finite_for_the_bounded_function_and_not_for_tanh() {
    let (pre, post) = descend(of(LogitForm::Swish, 1.0), 8000);
    assert!((pre - 7.587).abs() < 0.01 && (post - 3.794).abs() < 0.005, "{pre} {post}");
    let (early, _) = descend(of(LogitForm::Tanh, 1.0), 1000);
    let (late, bound) = descend(of(LogitForm::Tanh, 1.0), 8000);
    assert!(late > early + 1.5 && bound < 10f64.sqrt(), "{early} {late} {bound}");
}

#[test]
fn what_is_refused_is_named() {
    for gamma in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let e = LogitFunction::new(LogitFunctionConfig { gamma, ..Default::default() }).unwrap_err().to_string();
        assert!(e.contains("LogitFunctionConfig.gamma"), "{e}");
    }
    assert_eq!("sigmoid-bump".parse::<LogitForm>().unwrap(), LogitForm::SigmoidBump);
    assert!("swash".parse::<LogitForm>().unwrap_err().to_string().contains("swish"));
}
