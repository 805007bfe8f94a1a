//! FGSM and PGD against torchattacks and Foolbox on one small network: perturbed images and accuracies.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use anyhow::Result;
use candle_core::{DType, Device};
use sconce_attacks::{Attack, Fgsm, FgsmConfig, Goal, Norm, Pgd, PgdConfig, RunConfig, StepSize, geometry, run};
use sconce_datasets::{Split, embedded};
use sconce_tensor_core::nets::{SmallCnn, SmallCnnConfig};
use sconce_tensor_core::{ExampleRng, Module, Network, Rng};
use sconce_tests::{Golden, golden};

/// The share of pixels that differ by more than rounding. Where a gradient is within rounding of 0, its
/// sign may differ between libraries, and such a pixel then moves by whole steps.
fn differing(a: &candle_core::Tensor, b: &candle_core::Tensor) -> Result<f64> {
    let d = (a - b)?.abs()?.flatten_all()?.to_vec1::<f32>()?;
    Ok(d.iter().filter(|d| **d > 1e-4).count() as f64 / d.len() as f64)
}

#[test]
fn images_and_accuracies_agree() -> Result<()> {
    let g = Golden::load("attacks.safetensors")?;
    let want: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(golden("attacks.json"))?)?;
    let cfg = SmallCnnConfig { channels: (4, 8), kernel: 3, hidden: 16, ..Default::default() };
    let net = SmallCnn::new(cfg, Rng::new(0), DType::F32, &Device::Cpu)?;
    net.params().restore(&g.under("net."))?;
    let data = embedded::fashion_mnist(Split::Test)?.to_labelled(&Device::Cpu)?.slice(0, 200)?;
    let goal = Goal::Untargeted(data.y().clone());

    let fgsm = |norm, eps| Fgsm::new(FgsmConfig { norm, eps, ..Default::default() });
    let pgd = |norm, eps, step| {
        let step = StepSize::Absolute(step);
        Pgd::new(PgdConfig { norm, eps, steps: 10, step_size: step, random_start: false, ..Default::default() })
    };
    let (f, f2) = (fgsm(Norm::Linf, 0.05)?, fgsm(Norm::L2, 1.0)?);
    let (p, p2) = (pgd(Norm::Linf, 0.05, 0.01)?, pgd(Norm::L2, 1.0, 0.2)?);
    let cases: [(&str, &dyn Attack); 7] = [
        ("torchattacks.fgsm_linf", &f),
        ("foolbox.fgsm_linf", &f),
        ("foolbox.fgsm_l2", &f2),
        ("torchattacks.pgd_linf", &p),
        ("foolbox.pgd_linf", &p),
        ("torchattacks.pgd_l2", &p2),
        ("foolbox.pgd_l2", &p2),
    ];
    for (name, attack) in cases {
        let rng = ExampleRng::new(Rng::new(0), (0..200).collect());
        let moved = attack.perturb(&net, data.x(), &goal, &rng)?.x;
        let moved = geometry::project(&moved, data.x(), attack.threat(), net.input_bounds())?;
        let off = differing(&moved.narrow(0, 0, 8)?, g.get(name)?)?;
        assert!(off < 0.005, "{name}: {off} of the pixels differ");
        // The same predictions but for at most one of 200 examples.
        let judged = run(attack, &net, data.x(), &goal, &RunConfig::default(), &Rng::new(0))?;
        let theirs = want["accuracy"][name].as_f64().unwrap();
        let ours = judged.robust_accuracy().rate();
        assert!((ours - theirs).abs() < 0.0051, "{name}: {ours} here, {theirs} there");
        assert_eq!(judged.clean_accuracy().hits, 158, "clean accuracy 0.79 there");
    }
    Ok(())
}
