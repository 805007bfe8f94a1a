//! The job of `blf` that attacks a network: naively, and as one who knows the defence.

use super::config::{Naive, Strong};
use super::training::{Net, Source, Trained};
use crate::jobs::{Job, Work};
use anyhow::{Context, Result};
use candle_core::{D, DType, Tensor};
use sconce_attacks::{
    Access, Apgd, ApgdConfig, AutoAttack, Bounds, Classifier, DiagnosisConfig, Evaluation, EvaluationConfig, Goal,
    Loss, Norm, Pgd, PgdConfig, RunConfig, Status, StepSize, Suite, SuiteEntry, Transfer, evaluate, margin,
};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::{Network, Rng, train};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Examples in one forward pass.
const BATCH: usize = 250;

/// Everything on the test split.
#[derive(Clone, Copy, Serialize)]
pub struct Test<'a> {
    pub trained: Trained<'a>,
    pub source: Source<'a>,
    pub naive: &'a Naive,
    pub strong: &'a Strong,
}

/// What it finds: both columns.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tested {
    pub clean: f64,
    /// (eps, accuracy) under the naive attack.
    pub naive: Vec<(f64, f64)>,
    /// Accuracy under each strong attack by itself, at the main radius on the strong examples; `naive` among them.
    pub alone: BTreeMap<String, f64>,
    pub auto_attack: f64,
    pub worst: f64,
    /// Mean norm of the input gradient of the cross-entropy.
    pub gradient: f64,
    pub pre_logits: f64,
    pub logits: f64,
    /// Trust flags, as sentences.
    pub flags: Vec<String>,
}

/// The mean over the rows of their norms.
pub fn mean_norm(t: &Tensor) -> sconce_tensor_core::Result<f64> {
    let each = t.detach().to_dtype(DType::F64)?.sqr()?.sum(D::Minus1)?.sqrt()?;
    Ok(each.mean_all()?.to_scalar()?)
}

impl Job for Test<'_> {
    type Output = Tested;

    fn key(&self) -> String {
        self.trained.key().replacen("train", "test", 1)
    }

    fn needs(&self) -> Vec<String> {
        [self.trained.key(), self.source.key()].into_iter().chain(self.trained.constant.need()).collect()
    }

    fn cost(&self) -> f64 {
        let curve = self.trained.setting.data.test * self.naive.eps.len() * self.naive.steps * 3;
        // PGD in five forms, nine targets, then what AutoAttack takes on about half of the examples.
        let strong = self.strong.examples * (self.strong.steps * 3 * 14 + 2000 + 5000);
        (curve + strong) as f64
    }

    fn run(&self, work: &Work<'_>) -> Result<Tested> {
        let (net, source) = (&self.trained.restored(work)?, &self.source.restored(work)?);
        let parts = self.trained.setting.data.load(work.site)?;
        let (test, eps) = (&parts.test, self.strong.eps);
        let x = test.x();
        let pre = net.inner().logits(x)?;
        let goal = Goal::Untargeted(test.y().clone());
        let mut curve = Vec::new();
        for &eps in &self.naive.eps {
            let (pgd, rng) = (naive(self.naive.steps, eps)?, Rng::new(0).stream("naive"));
            let judged = sconce_attacks::run(&pgd, net, x, &goal, &RunConfig::default(), &rng)?;
            curve.push((eps, judged.robust_accuracy().rate()));
        }
        let few = test.slice(0, self.strong.examples)?;
        let scaled = Rescaled::new(net, &few)?;
        let suite = strong(self.naive.steps, self.strong.steps, net, &scaled, source);
        let all = self.evaluate(net, &few, &suite, true, work)?;
        let auto = Suite::auto_attack(AutoAttack::Standard, Norm::Linf, few.classes());
        let auto = self.evaluate(net, &few, &auto, false, work)?;
        let worst = auto.ledger.robust(eps).iter().zip(all.ledger.robust(eps)).filter(|(a, b)| **a && *b).count();
        let flags = match &all.status {
            Status::Flagged(found) => found.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        };
        let alone = suite
            .attacks
            .iter()
            .map(|a| Ok((a.name.clone(), all.ledger.by_attack(&a.name, eps).context("not run on all")?.rate())))
            .collect::<Result<_>>()?;
        let gradient = Loss::CrossEntropy.gradient(net, few.x(), &Goal::Untargeted(few.y().clone()))?;
        Ok(Tested {
            clean: train::accuracy(net, test, BATCH)?,
            naive: curve,
            alone,
            auto_attack: auto.ledger.accuracy(eps).rate(),
            worst: worst as f64 / few.len() as f64,
            gradient: mean_norm(&gradient.flatten_from(1)?)?,
            pre_logits: mean_norm(&pre)?,
            logits: mean_norm(&net.function().forward(&pre)?)?,
            flags,
        })
    }
}

impl Test<'_> {
    fn evaluate(
        &self,
        net: &Net,
        few: &Labelled,
        suite: &Suite<'_>,
        columns: bool,
        work: &Work<'_>,
    ) -> Result<Evaluation> {
        let diagnosis = DiagnosisConfig { examples: self.strong.diagnosis_examples, ..DiagnosisConfig::default() };
        let cfg = EvaluationConfig {
            eps: vec![self.strong.eps],
            survivors_only: !columns,
            diagnosis: columns.then_some(diagnosis),
            ..EvaluationConfig::default()
        };
        Ok(evaluate(net, few.x(), few.y(), suite, &cfg, None, &mut |s| {
            work.at(s.done.min(s.total.saturating_sub(1)), s.total);
            Ok(())
        })?)
    }
}

/// PGD on the cross-entropy of the outputs.
pub fn naive(steps: usize, eps: f64) -> sconce_attacks::Result<Pgd> {
    pgd(steps, eps, Loss::CrossEntropy)
}

fn pgd(steps: usize, eps: f64, loss: Loss) -> sconce_attacks::Result<Pgd> {
    let step_size = StepSize::Relative(2.5 / steps as f64);
    Pgd::new(PgdConfig { eps, steps, step_size, loss, ..PgdConfig::default() })
}

/// A model with its logits times a constant: the same decisions, other gradients of the cross-entropy.
pub struct Rescaled<'a> {
    net: &'a Net,
    factor: f64,
}

impl<'a> Rescaled<'a> {
    /// Brings the mean clean margin, over some examples, to 1.
    fn new(net: &'a Net, few: &Labelled) -> Result<Self> {
        let logits = net.logits(few.x())?.to_dtype(DType::F64)?.to_vec2::<f64>()?;
        let margins = logits.iter().zip(few.labels()?).map(|(z, y)| margin(z, y as usize).abs());
        let mean = margins.sum::<f64>() / few.len() as f64;
        Ok(Self { net, factor: 1.0 / mean.max(1e-12) })
    }
}

impl Classifier for Rescaled<'_> {
    fn logits(&self, x: &Tensor) -> sconce_tensor_core::Result<Tensor> {
        Ok((self.net.logits(x)? * self.factor)?)
    }

    fn classes(&self) -> usize {
        self.net.outputs()
    }

    fn bounds(&self) -> Bounds {
        self.net.input_bounds()
    }
}

/// The naive attack and those that know the defence, each by itself.
fn strong<'a>(naive_steps: usize, steps: usize, net: &'a Net, scaled: &'a Rescaled<'a>, source: &'a Net) -> Suite<'a> {
    // The model is attacked as it looks from elsewhere, and judged as it is.
    let seen = move |name: &str, view: &'a dyn Classifier| {
        SuiteEntry::new(name, Access::WhiteBox, move |t| {
            Ok(Box::new(Transfer::new(view, Box::new(naive(steps, t.eps())?))))
        })
    };
    let others = net.outputs() - 1;
    Suite::new("strong")
        .with_attack(SuiteEntry::new("naive", Access::WhiteBox, move |t| Ok(Box::new(naive(naive_steps, t.eps())?))))
        .with_attack(SuiteEntry::new("margin", Access::WhiteBox, move |t| {
            Ok(Box::new(pgd(steps, t.eps(), Loss::Margin)?))
        }))
        .with_attack(seen("pre-logits", net.inner()))
        .with_attack(seen("rescaled", scaled))
        .with_attack(SuiteEntry::new("targeted", Access::WhiteBox, move |t| {
            let cfg =
                ApgdConfig { eps: t.eps(), steps, loss: Loss::Margin, targets: Some(others), ..ApgdConfig::default() };
            Ok(Box::new(Apgd::new(cfg)?))
        }))
        .with_attack(Suite::transfer("transfer", source))
}
