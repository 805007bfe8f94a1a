//! Our attacks against the values of other libraries (the rows that are cheap; `cargo xtask oracle` runs them all), and the
//! trust flags on models that are masked on purpose and on sound ones.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use anyhow::Result;
use candle_core::{DType, Tensor};
use sconce_attacks::{
    Bounds, Classifier, DiagnosisConfig, EvaluationConfig, FlagKind, Loss, Norm, Status, Suite, Threat, evaluate, flags,
};
use sconce_tensor_core::Rng;
use sconce_tests::oracle::Oracle;
use std::sync::atomic::{AtomicU64, Ordering};

#[test]
fn cheap_rows_agree() -> Result<()> {
    let oracle = Oracle::load()?;
    let cheap = ["fgsm", "pgd", "mi-fgsm", "ni-fgsm", "di-fgsm", "ti-fgsm", "deepfool", "fmn", "ddn", "apgd-ce"];
    let mut seen = 0;
    for theirs in oracle.rows.iter().filter(|r| cheap.contains(&r.attack.as_str()) && r.norm != "l1") {
        let row = oracle.measure(theirs)?.unwrap();
        assert!(row.agrees(), "{row:?}");
        seen += 1;
    }
    assert!(seen >= 12, "{seen} rows");
    Ok(())
}

/// A model with its gradients scaled to nothing, a rounding layer in front of it, or noise.
enum Masked<'a> {
    Scaled(&'a dyn Classifier),
    Rounded(&'a dyn Classifier),
    Noisy(&'a dyn Classifier, AtomicU64),
    Softmax(&'a dyn Classifier),
    Loud(&'a dyn Classifier),
    Wide(&'a dyn Classifier),
}

impl Masked<'_> {
    fn inner(&self) -> &dyn Classifier {
        match self {
            Self::Scaled(m)
            | Self::Rounded(m)
            | Self::Noisy(m, _)
            | Self::Softmax(m)
            | Self::Loud(m)
            | Self::Wide(m) => *m,
        }
    }
}

impl Classifier for Masked<'_> {
    fn logits(&self, x: &Tensor) -> sconce_attacks::Result<Tensor> {
        let m = self.inner();
        Ok(match self {
            Self::Scaled(_) => {
                let z = m.logits(x)?;
                (z.detach() + ((&z - z.detach())? * 1e-12)?)?
            }
            Self::Rounded(_) => m.logits(&((x.detach() * 6.0)?.round()? * (1.0 / 6.0))?)?,
            Self::Noisy(_, calls) => {
                let noise = Rng::new(calls.fetch_add(1, Ordering::Relaxed));
                m.logits(&(x + noise.normal(x.shape(), 0.0, 0.05, DType::F32, x.device())?)?)?
            }
            Self::Softmax(_) => sconce_tensor_core::ops::log_softmax(&m.logits(x)?)?.exp()?,
            Self::Loud(_) => (m.logits(x)? * 1e4)?,
            Self::Wide(_) => m.logits(&(x * (1.0 / 255.0))?)?,
        })
    }

    fn classes(&self) -> usize {
        self.inner().classes()
    }

    fn bounds(&self) -> Bounds {
        if matches!(self, Self::Wide(_)) { Bounds::new(0.0, 255.0).unwrap() } else { Bounds::UNIT }
    }
}

fn found(model: &dyn Classifier, x: &Tensor, y: &Tensor, eps: f64) -> Vec<FlagKind> {
    let threat = Threat::new(Norm::Linf, eps).unwrap();
    let cfg = DiagnosisConfig { examples: 40, queries: 200, ..DiagnosisConfig::default() };
    let found = flags::diagnose(model, x, y, threat, &cfg).unwrap();
    found.iter().map(|f| f.kind).collect()
}

#[test]
fn masked_models_get_their_flags_and_a_sound_one_none() -> Result<()> {
    let o = Oracle::load()?;
    let (x, y) = (o.x.narrow(0, 0, 80)?, o.y.narrow(0, 0, 80)?);
    for norm in [Norm::Linf, Norm::L2] {
        let eps = if norm == Norm::Linf { 0.1 } else { 1.0 };
        let cfg = DiagnosisConfig { examples: 40, queries: 200, ..DiagnosisConfig::default() };
        let sound = flags::diagnose(&o.net, &x, &y, Threat::new(norm, eps)?, &cfg)?;
        assert!(sound.is_empty(), "{norm:?}: {sound:?}");
    }
    let scaled = found(&Masked::Scaled(&o.net), &x, &y, 0.1);
    assert!(scaled.contains(&FlagKind::VanishingGradients), "{scaled:?}");
    let rounded = found(&Masked::Rounded(&o.net), &x, &y, 0.1);
    let wanted = [FlagKind::VanishingGradients, FlagKind::SurvivesUnbounded, FlagKind::BlackBoxWins];
    assert!(wanted.iter().all(|w| rounded.contains(w)), "{rounded:?}");
    let noisy = found(&Masked::Noisy(&o.net, AtomicU64::new(0)), &x, &y, 0.1);
    assert!(noisy.contains(&FlagKind::RandomizedOutput), "{noisy:?}");
    assert!(found(&Masked::Softmax(&o.net), &x, &y, 0.1).contains(&FlagKind::ProbabilityOutputs));
    assert!(found(&Masked::Loud(&o.net), &x, &y, 0.1).contains(&FlagKind::SaturatedLogits));
    let wide = found(&Masked::Wide(&o.net), &(&x * 255.0)?, &y, 25.5);
    assert_eq!(wide, [FlagKind::NonUnitBounds]);
    Ok(())
}

/// A number never comes without its status; a transferred attack that wins is flagged.
#[test]
fn accuracies_carry_their_status() -> Result<()> {
    let o = Oracle::load()?;
    let (x, y) = (o.x.narrow(0, 0, 60)?, o.y.narrow(0, 0, 60)?);
    let suite = || {
        Suite::new("two")
            .with_attack(Suite::pgd("pgd", Loss::Margin, 10, 1))
            .with_attack(Suite::transfer("transfer", &o.net))
    };
    let cfg = EvaluationConfig {
        eps: vec![0.1],
        diagnosis: Some(DiagnosisConfig { examples: 20, queries: 50, ..DiagnosisConfig::default() }),
        ..EvaluationConfig::default()
    };
    let sound = evaluate(&o.net, &x, &y, &suite(), &cfg, None, &mut |_| Ok(()))?;
    assert_eq!(sound.status, Status::Sound);
    assert!(sound.robust_accuracies()?[0].to_string().ends_with("no flags"));
    let masked = evaluate(&Masked::Scaled(&o.net), &x, &y, &suite(), &cfg, None, &mut |_| Ok(()))?;
    let Status::Flagged(found) = &masked.status else { panic!("{:?}", masked.status) };
    assert!(found.iter().any(|f| f.kind == FlagKind::VanishingGradients));
    assert!(masked.robust_accuracies()?[0].to_string().contains("FLAGGED"));
    // Every flag has its page.
    assert!(
        FlagKind::ALL.iter().all(|k| k.page().contains("**What it means.**") && k.page().contains("**What to do.**"))
    );
    Ok(())
}
