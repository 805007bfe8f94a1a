//! The stages of `blf`: training a network, and attacking it naively and strongly.

use super::config::{ArmName, Config};
use crate::pieces::{Parts, train_stage};
use crate::run::{Bar, Run, Stage};
use anyhow::{Context, Result};
use candle_core::{D, DType, Tensor};
use sconce_activations::BoundedLogits;
use sconce_attacks::training::{Madry, RobustAccuracy, Trades, TradesConfig};
use sconce_attacks::{
    Access, Apgd, ApgdConfig, AutoAttack, Bounds, Classifier, DiagnosisConfig, Evaluation, EvaluationConfig, Goal,
    Loss, Norm, Pgd, PgdConfig, RunConfig, Status, StepSize, Suite, SuiteEntry, Transfer, evaluate, margin,
};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::train::{CrossEntropy, Evaluate, KeepBest, Objective, Report, Trainer};
use sconce_tensor_core::{Network, Rng};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A network with its function: without one it is the identity, so that every arm has pre-logits.
pub type Net = BoundedLogits<Box<dyn Network>>;

/// One trained network's address.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    pub cfg: &'a Config,
    pub arm: ArmName,
    pub value: f64,
    pub seed: u64,
    pub adversarial: bool,
}

/// Mean norms over some training examples after an epoch.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Norms {
    pub epoch: usize,
    pub logits: f64,
    pub pre_logits: f64,
}

/// What training left behind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct History {
    pub norms: Vec<Norms>,
    /// (epoch, clean, robust) on the validation split; the best epoch's weights are used.
    pub validation: Vec<(usize, f64, f64)>,
}

impl History {
    fn of(report: &Report) -> Self {
        let epochs = || report.epochs.iter();
        let norms = epochs().filter_map(|e| {
            Some(Norms { epoch: e.epoch, logits: e.metric("logits")?, pre_logits: e.metric("pre_logits")? })
        });
        let validation = epochs().filter_map(|e| Some((e.epoch, e.metric("clean")?, e.metric("robust")?)));
        Self { norms: norms.collect(), validation: validation.collect() }
    }
}

/// Both columns.
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

fn mean_norm(t: &Tensor) -> sconce_tensor_core::Result<f64> {
    let each = t.detach().to_dtype(DType::F64)?.sqr()?.sum(D::Minus1)?.sqrt()?;
    Ok(each.mean_all()?.to_scalar()?)
}

/// The norms of logits and of what the function before them gets, on some training examples.
struct NormsOf<'a> {
    net: &'a Net,
    examples: Tensor,
}

impl Evaluate for NormsOf<'_> {
    fn evaluate(&self, _: &dyn Network) -> sconce_tensor_core::Result<Vec<(String, f64)>> {
        let pre = self.net.inner().logits(&self.examples)?;
        let logits = mean_norm(&self.net.function().forward(&pre)?)?;
        Ok(vec![("logits".to_owned(), logits), ("pre_logits".to_owned(), mean_norm(&pre)?)])
    }
}

impl Job<'_> {
    /// A name for files and the terminal.
    pub fn name(&self) -> String {
        let kind = if self.adversarial { "at" } else { "std" };
        let value = if self.arm == ArmName::Plain { String::new() } else { format!("-{}", self.value) };
        format!("{kind}-{}{value}-seed{}", self.arm.name(), self.seed)
    }

    fn objective_attack(&self) -> PgdConfig {
        let a = &self.cfg.attack;
        PgdConfig { eps: a.eps, steps: a.steps, step_size: StepSize::Relative(a.step), ..PgdConfig::default() }
    }

    /// Trains the network, or loads it where that was done.
    pub fn train(&self, run: &Run, parts: &Parts, units: f64) -> Result<Stage<(Net, History)>> {
        let cfg = self.cfg;
        let train = if self.adversarial { &cfg.adversarial } else { &cfg.standard };
        let net = Net::new(cfg.net.build(parts, self.seed, &run.device)?, self.arm.function(&cfg.blf, self.value)?);
        let validation = Pgd::new(PgdConfig { steps: cfg.attack.validation_steps, ..self.objective_attack() })?;
        let pgd = Pgd::new(self.objective_attack())?;
        let attack = PgdConfig { random_start: false, ..self.objective_attack() };
        let trades = Trades::new(TradesConfig { beta: self.value, attack })?;
        let madry = Madry::new(&pgd);
        let objective: &dyn Objective = match (self.adversarial, self.arm) {
            (false, _) => &CrossEntropy,
            (true, ArmName::Trades) => &trades,
            (true, _) => &madry,
        };
        let regularizer = self.arm.regularizer(self.value)?;
        let norms =
            NormsOf { net: &net, examples: parts.train.x().narrow(0, 0, cfg.naive.norm_examples)?.contiguous()? };
        let robust = RobustAccuracy::new(&validation, &parts.validation, self.seed);
        let done = train_stage(run, &self.name(), units, |checkpoint, observer| {
            let mut trainer = Trainer::new(train.config(train.epochs), objective)?
                .resuming(checkpoint)
                .observed_by(observer)
                .evaluated_by(&norms);
            if let Some(r) = &regularizer {
                trainer = trainer.regularized_by(&**r);
            }
            if self.adversarial {
                trainer = trainer.evaluated_by(&robust).keeping(KeepBest::highest("robust").then_highest("clean"));
            }
            Ok(trainer.fit(&net, &parts.train, &mut train.sgd()?, &Rng::new(self.seed))?)
        })?;
        Ok(Stage { value: (net, History::of(&done.value)), wall_s: done.wall_s, fresh: done.fresh })
    }

    /// Clean and naive robust accuracy on the validation split, to choose a constant.
    pub fn validate(&self, run: &Run, parts: &Parts, net: &Net) -> Result<Stage<(f64, f64)>> {
        run.stage(&format!("validate {}", self.name()), 0.0, |_| {
            let pgd = naive(self.cfg, self.cfg.strong.eps)?;
            let goal = Goal::Untargeted(parts.validation.y().clone());
            let rng = Rng::new(0).stream("selection");
            let judged = sconce_attacks::run(&pgd, net, parts.validation.x(), &goal, &RunConfig::default(), &rng)?;
            Ok((judged.clean_accuracy().rate(), judged.robust_accuracy().rate()))
        })
    }

    /// Everything on the test split. `source` is a plain network of another seed.
    pub fn test(&self, run: &Run, test: &Labelled, net: &Net, source: &Net, units: f64) -> Result<Stage<Tested>> {
        run.stage(&format!("attack {}", self.name()), units, |bar| {
            let (cfg, eps) = (self.cfg, self.cfg.strong.eps);
            let x = test.x();
            let pre = net.inner().logits(x)?;
            let goal = Goal::Untargeted(test.y().clone());
            let mut curve = Vec::new();
            for &eps in &cfg.naive.eps {
                let rng = Rng::new(0).stream("naive");
                let judged = sconce_attacks::run(&naive(cfg, eps)?, net, x, &goal, &RunConfig::default(), &rng)?;
                curve.push((eps, judged.robust_accuracy().rate()));
            }
            let few = test.slice(0, cfg.strong.examples)?;
            let scaled = Rescaled::new(net, &few)?;
            let suite = strong(cfg, net, &scaled, source);
            let all = self.evaluate(net, &few, &suite, true, bar)?;
            let auto = Suite::auto_attack(AutoAttack::Standard, Norm::Linf, few.classes());
            let auto = self.evaluate(net, &few, &auto, false, bar)?;
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
                clean: clean(net, test)?,
                naive: curve,
                alone,
                auto_attack: auto.ledger.accuracy(eps).rate(),
                worst: worst as f64 / few.len() as f64,
                gradient: mean_norm(&gradient.flatten_from(1)?)?,
                pre_logits: mean_norm(&pre)?,
                logits: mean_norm(&net.function().forward(&pre)?)?,
                flags,
            })
        })
    }

    fn evaluate(&self, net: &Net, few: &Labelled, suite: &Suite<'_>, columns: bool, bar: &Bar) -> Result<Evaluation> {
        let diagnosis = DiagnosisConfig { examples: self.cfg.strong.diagnosis_examples, ..DiagnosisConfig::default() };
        let cfg = EvaluationConfig {
            eps: vec![self.cfg.strong.eps],
            survivors_only: !columns,
            diagnosis: columns.then_some(diagnosis),
            ..EvaluationConfig::default()
        };
        Ok(evaluate(net, few.x(), few.y(), suite, &cfg, None, &mut |s| {
            bar.at(s.done.min(s.total.saturating_sub(1)), s.total);
            Ok(())
        })?)
    }
}

fn clean(net: &Net, test: &Labelled) -> Result<f64> {
    let predicted = sconce_tensor_core::classifier::predict(net, test.x(), 250)?;
    let right = predicted.iter().zip(test.labels()?).filter(|(p, y)| **p == *y).count();
    Ok(right as f64 / test.len() as f64)
}

/// PGD on the cross-entropy of the outputs.
fn naive(cfg: &Config, eps: f64) -> Result<Pgd> {
    let step = StepSize::Relative(2.5 / cfg.naive.steps as f64);
    Ok(Pgd::new(PgdConfig { eps, steps: cfg.naive.steps, step_size: step, ..PgdConfig::default() })?)
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
fn strong<'a>(cfg: &'a Config, net: &'a Net, scaled: &'a Rescaled<'a>, source: &'a Net) -> Suite<'a> {
    let steps = cfg.strong.steps;
    let pgd = move |eps: f64, loss| {
        let step = StepSize::Relative(2.5 / steps as f64);
        Pgd::new(PgdConfig { eps, steps, step_size: step, loss, ..PgdConfig::default() })
    };
    // The model is attacked as it looks from elsewhere, and judged as it is.
    let seen = move |name: &str, view: &'a dyn Classifier| {
        SuiteEntry::new(name, Access::WhiteBox, move |t| {
            Ok(Box::new(Transfer::new(view, Box::new(pgd(t.eps(), Loss::CrossEntropy)?))))
        })
    };
    let others = net.outputs() - 1;
    Suite::new("strong")
        .with_attack(SuiteEntry::new("naive", Access::WhiteBox, move |t| {
            let step = StepSize::Relative(2.5 / cfg.naive.steps as f64);
            let cfg = PgdConfig { eps: t.eps(), steps: cfg.naive.steps, step_size: step, ..PgdConfig::default() };
            Ok(Box::new(Pgd::new(cfg)?))
        }))
        .with_attack(SuiteEntry::new("margin", Access::WhiteBox, move |t| Ok(Box::new(pgd(t.eps(), Loss::Margin)?))))
        .with_attack(seen("pre-logits", net.inner()))
        .with_attack(seen("rescaled", scaled))
        .with_attack(SuiteEntry::new("targeted", Access::WhiteBox, move |t| {
            let cfg =
                ApgdConfig { eps: t.eps(), steps, loss: Loss::Margin, targets: Some(others), ..ApgdConfig::default() };
            Ok(Box::new(Apgd::new(cfg)?))
        }))
        .with_attack(Suite::transfer("transfer", source))
}
