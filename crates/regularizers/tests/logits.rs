//! Terms on logits: values by hand, gradients, optima over free logits, what is refused.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor, Var};
use sconce_regularizers::{
    AdversarialLogitPairing, CleanLogitPairing, LabelSmoothing, LabelSmoothingConfig, LogitPairingConfig,
    LogitSqueezing, LogitSqueezingConfig, PenaltyContext, Regularizer, Squeeze,
};
use sconce_tensor_core::gradcheck::GradCheck;
use sconce_tensor_core::{Params, Rng, ops};

fn smoothing(alpha: f64) -> LabelSmoothing {
    LabelSmoothing::new(LabelSmoothingConfig { alpha }).unwrap()
}

fn squeezing(lambda: f64, squeeze: Squeeze) -> LogitSqueezing {
    LogitSqueezing::new(LogitSqueezingConfig { lambda, squeeze }).unwrap()
}

fn value(r: &dyn Regularizer, z: &Tensor, y: &Tensor) -> Tensor {
    r.penalty(&PenaltyContext::new(&Params::new()).with_batch(z, y)).unwrap().unwrap()
}

fn scalar(t: &Tensor) -> f64 {
    t.to_scalar().unwrap()
}

fn fixture() -> (Tensor, Tensor) {
    let z = Rng::new(1).normal((6, 5), 0.0, 2.0, DType::F64, &Device::Cpu).unwrap();
    (z, Tensor::new(&[0u32, 4, 2, 2, 1, 3], &Device::Cpu).unwrap())
}

/// Added to the cross-entropy it is the cross-entropy with smoothed targets.
#[test]
fn label_smoothing_is_the_cross_entropy_of_smoothed_targets() {
    let (z, y) = fixture();
    for alpha in [0.0, 0.1, 0.5] {
        let labels = y.to_vec1::<u32>().unwrap();
        let target: Vec<f64> = labels
            .iter()
            .flat_map(|y| (0..5).map(|k| if k == *y { 1.0 - alpha } else { alpha / 4.0 }).collect::<Vec<_>>())
            .collect();
        let target = Tensor::from_vec(target, (6, 5), &Device::Cpu).unwrap();
        let want = scalar(&ops::soft_cross_entropy(&z, &target).unwrap().mean_all().unwrap());
        let plain = scalar(&ops::cross_entropy(&z, &y).unwrap().mean_all().unwrap());
        let got = plain + scalar(&value(&smoothing(alpha), &z, &y));
        assert!((got - want).abs() < 1e-12, "{alpha}: {got} and {want}");
    }
}

#[test]
fn values_by_hand() {
    let z = Tensor::new(&[[3.0, 4.0], [0.0, -2.0]], &Device::Cpu).unwrap();
    let y = Tensor::new(&[0u32, 1], &Device::Cpu).unwrap();
    assert!((scalar(&value(&squeezing(0.1, Squeeze::Norm), &z, &y)) - 0.35).abs() < 1e-9);
    assert!((scalar(&value(&squeezing(0.1, Squeeze::HalfSquare), &z, &y)) - 0.1 * (12.5 + 2.0) / 2.0).abs() < 1e-12);
    let clp = CleanLogitPairing::new(LogitPairingConfig { lambda: 0.5 }).unwrap();
    assert!((scalar(&value(&clp, &z, &y)) - 0.5 * (9.0 + 36.0) / 2.0).abs() < 1e-12);
    // A batch of one has no pair.
    let (params, one) = (Params::new(), z.narrow(0, 0, 1).unwrap());
    assert!(clp.penalty(&PenaltyContext::new(&params).with_batch(&one, &y)).unwrap().is_none());
    let alp = AdversarialLogitPairing::new(LogitPairingConfig { lambda: 2.0 }).unwrap();
    let other = (&z + 1.0).unwrap();
    let step = PenaltyContext::new(&params).with_batch(&z, &y).with_clean(Some(&other));
    assert!((scalar(&alp.penalty(&step).unwrap().unwrap()) - 2.0).abs() < 1e-12);
    assert!(
        alp.penalty(&PenaltyContext::new(&params).with_batch(&z, &y))
            .unwrap_err()
            .to_string()
            .contains("provides no clean logits")
    );
    assert!(
        smoothing(0.1).penalty(&PenaltyContext::new(&params)).unwrap_err().to_string().contains("provides no logits")
    );
}

#[test]
fn gradients_are_right() {
    let (z, y) = fixture();
    let clp = CleanLogitPairing::new(LogitPairingConfig::default()).unwrap();
    let all: [&dyn Regularizer; 4] =
        [&smoothing(0.2), &squeezing(0.3, Squeeze::Norm), &squeezing(0.3, Squeeze::HalfSquare), &clp];
    for r in all {
        GradCheck::default().check(std::slice::from_ref(&z), |a| Ok(value(r, &a[0], &y))).unwrap();
    }
}

/// Spec 2.b, B2 and B3: the gap at the optimum over free logits of ten classes.
#[test]
fn optima_over_free_logits() {
    let y = Tensor::new(&[0u32], &Device::Cpu).unwrap();
    let gap = |r: &dyn Regularizer| {
        let z = Var::zeros((1, 10), DType::F64, &Device::Cpu).unwrap();
        for _ in 0..4000 {
            let loss = (ops::cross_entropy(z.as_tensor(), &y).unwrap().mean_all().unwrap()
                + value(r, z.as_tensor(), &y))
            .unwrap();
            let g = loss.backward().unwrap();
            z.set(&(z.as_detached_tensor() - (g.get(&z).unwrap() * 0.8).unwrap()).unwrap()).unwrap();
        }
        let z = z.to_vec2::<f64>().unwrap();
        z[0][0] - z[0][1]
    };
    for (alpha, want) in [(0.1, 4.394), (0.3, 3.045), (0.5, 2.197)] {
        assert!((gap(&smoothing(alpha)) - want).abs() < 1e-3, "alpha {alpha}");
    }
    for (lambda, want) in [(0.05, 3.782), (0.1, 3.132), (0.5, 1.489)] {
        assert!((gap(&squeezing(lambda, Squeeze::HalfSquare)) - want).abs() < 1e-3, "lambda {lambda}");
    }
}

#[test]
fn what_is_refused_is_named() {
    for bad in [-0.1, f64::NAN, f64::INFINITY] {
        let e = |r: sconce_regularizers::Result<()>| r.unwrap_err().to_string();
        assert!(
            e(LabelSmoothing::new(LabelSmoothingConfig { alpha: bad }).map(drop))
                .contains("LabelSmoothingConfig.alpha")
        );
        let cfg = LogitSqueezingConfig { lambda: bad, squeeze: Squeeze::Norm };
        assert!(e(LogitSqueezing::new(cfg).map(drop)).contains("LogitSqueezingConfig.lambda"));
        let pairing = LogitPairingConfig { lambda: bad };
        assert!(e(CleanLogitPairing::new(pairing).map(drop)).contains("LogitPairingConfig.lambda"));
        assert!(AdversarialLogitPairing::new(pairing).is_err());
    }
    let (z, _) = fixture();
    let far = Tensor::new(&[0u32, 9, 0, 0, 0, 0], &Device::Cpu).unwrap();
    let params = Params::new();
    let e = smoothing(0.1).penalty(&PenaltyContext::new(&params).with_batch(&z, &far)).unwrap_err().to_string();
    assert!(e.contains("label 9 at row 1"), "{e}");
}
