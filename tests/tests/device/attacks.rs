//! Attacks with the same seeds on both devices.

use crate::{Table, device, named, there, timed};
use anyhow::Result;
use candle_core::{DType, Device};
use sconce_attacks::{
    Apgd, ApgdConfig, Attack, AttackResult, CarliniWagner, CarliniWagnerConfig, Ddn, DdnConfig, DeepFool,
    DeepFoolConfig, Fab, FabConfig, Fgsm, FgsmConfig, Fmn, FmnConfig, Goal, Loss, Norm, Pgd, PgdConfig, RunConfig,
    Square, SquareConfig, run,
};
use sconce_datasets::{Split, embedded};
use sconce_tensor_core::nets::{SmallCnn, SmallCnnConfig};
use sconce_tensor_core::{Module, Rng};
use sconce_tests::Golden;

/// Images that are attacked; candle's convolutions on a CPU are slow.
fn images() -> usize {
    if named().is_some() { 64 } else { 16 }
}

/// Of the examples that both runs changed: the mean size of a change.
fn size(r: &AttackResult, other: &AttackResult) -> f64 {
    let both = r.distance.iter().zip(&other.distance).filter(|(a, b)| **a > 0.0 && **b > 0.0).map(|(a, _)| *a);
    let all: Vec<f64> = both.collect();
    all.iter().sum::<f64>() / all.len().max(1) as f64
}

#[test]
fn attacks_reach_the_same() -> Result<()> {
    let d = device();
    let g = Golden::load("attacks.safetensors")?;
    let cfg = SmallCnnConfig { channels: (4, 8), kernel: 3, hidden: 16, ..SmallCnnConfig::default() };
    let make = |d: &Device| -> Result<SmallCnn> {
        let net = SmallCnn::new(cfg.clone(), Rng::new(0), DType::F32, d)?;
        net.params().restore(&g.under("net."))?;
        Ok(net)
    };
    let (cpu, other) = (make(&Device::Cpu)?, make(&d)?);
    let pgd = |norm, eps| Pgd::new(PgdConfig { norm, eps, ..PgdConfig::default() });
    let apgd = |norm, eps, loss, targets| {
        Apgd::new(ApgdConfig { norm, eps, steps: 20, loss, targets, ..ApgdConfig::default() })
    };
    let square = |norm, eps| Square::new(SquareConfig { norm, eps, queries: 200, ..SquareConfig::default() });
    let fab = |norm| Fab::new(FabConfig { norm, steps: 15, ..FabConfig::default() });
    let fool = |norm| DeepFool::new(DeepFoolConfig { norm, ..DeepFoolConfig::default() });
    let all: Vec<(&str, Box<dyn Attack>)> = vec![
        ("FGSM Linf", Box::new(Fgsm::new(FgsmConfig { eps: 0.03, ..FgsmConfig::default() })?)),
        ("PGD Linf", Box::new(pgd(Norm::Linf, 0.03)?)),
        ("PGD L2", Box::new(pgd(Norm::L2, 0.5)?)),
        ("PGD L1", Box::new(pgd(Norm::L1, 4.0)?)),
        ("APGD Linf", Box::new(apgd(Norm::Linf, 0.03, Loss::CrossEntropy, None)?)),
        ("APGD L2, DLR", Box::new(apgd(Norm::L2, 0.5, Loss::Dlr, None)?)),
        ("APGD Linf, DLR, 3 targets", Box::new(apgd(Norm::Linf, 0.03, Loss::Dlr, Some(3))?)),
        ("Square Linf", Box::new(square(Norm::Linf, 0.03)?)),
        ("Square L2", Box::new(square(Norm::L2, 0.5)?)),
        ("FAB Linf", Box::new(fab(Norm::Linf)?)),
        ("FAB L2", Box::new(fab(Norm::L2)?)),
        ("DeepFool L2", Box::new(fool(Norm::L2)?)),
        ("DeepFool Linf", Box::new(fool(Norm::Linf)?)),
        ("DDN", Box::new(Ddn::new(DdnConfig { steps: 40, ..DdnConfig::default() })?)),
        ("FMN", Box::new(Fmn::new(FmnConfig { steps: 40, ..FmnConfig::default() })?)),
        (
            "Carlini-Wagner",
            Box::new(CarliniWagner::new(CarliniWagnerConfig {
                searches: 3,
                steps: 40,
                ..CarliniWagnerConfig::default()
            })?),
        ),
    ];
    let columns = ["accuracy", "apart", "size", "apart", "ms", "cpu ms"];
    let mut table = Table::new(&format!("attacks on {} images", images()), &columns);
    for (name, attack) in &all {
        let attacked = |net: &SmallCnn, d: &Device| -> Result<(AttackResult, f64)> {
            let data = embedded::fashion_mnist(Split::Test)?.to_labelled(d)?.slice(0, images())?;
            let goal = Goal::Untargeted(data.y().clone());
            timed(|| Ok(run(&**attack, net, data.x(), &goal, &RunConfig::default(), &Rng::new(0))?))
        };
        let row = || -> Result<Vec<(f64, Option<f64>)>> {
            let (want, cpu_ms) = attacked(&cpu, &Device::Cpu)?;
            let (got, ms) = there(|| attacked(&other, &d))?;
            assert_eq!(got.clean, want.clean, "the clean predictions");
            let (a, b) = (got.robust_accuracy().rate(), want.robust_accuracy().rate());
            let (s, t) = (size(&got, &want), size(&want, &got));
            // Rounding may turn the sign of a gradient, and a random search may then take another way: one image of 16, two of 64.
            let most = (images() as f64 / 32.0).max(1.0) / images() as f64 + 1e-9;
            let size_apart = (s - t).abs() / t.max(1e-9);
            Ok(vec![
                (a, None),
                ((a - b).abs(), Some(most)),
                (s, None),
                (size_apart, Some(0.02)),
                (ms, None),
                (cpu_ms, None),
            ])
        };
        table.row(name, row());
    }
    table.finish();
    Ok(())
}
