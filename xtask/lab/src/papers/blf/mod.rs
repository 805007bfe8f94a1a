//! The bounded logit function (arXiv 2010.02558): small logits and pre-logits, and whether robustness comes of them.

mod config;
mod optimum;
mod page;
mod stages;

use crate::experiment::{Experiment, Measured};
use crate::pages::html::Page;
use crate::pieces::{Parts, Source};
use crate::results::Results;
use crate::run::Run;
use anyhow::{Result, bail};
use config::{Arm, ArmName, Config};
use sconce_tensor_core::stats::Summary;
use serde_json::json;
use stages::{History, Job, Net, Tested};

/// The reproduction.
pub struct BlfPaper;

/// The seed of the plain network that transferred attacks are made on: no arm has it.
const SOURCE_SEED: u64 = 1_000_003;

/// Work in units of one example's forward pass.
struct Units {
    standard: f64,
    adversarial: f64,
    test: f64,
}

impl Units {
    fn of(cfg: &Config) -> Self {
        let n = cfg.data.train as f64;
        let curve = cfg.data.test * cfg.naive.eps.len() * cfg.naive.steps * 3;
        // PGD in five forms, nine targets, then what AutoAttack takes on about half of the examples.
        let strong = cfg.strong.examples * (cfg.strong.steps * 3 * 14 + 2000 + 5000);
        Self {
            standard: 3.0 * n * cfg.standard.epochs as f64,
            adversarial: 3.0 * n * (cfg.adversarial.epochs * (cfg.attack.steps + 1)) as f64,
            test: (curve + strong) as f64,
        }
    }
}

impl Experiment for BlfPaper {
    const SLUG: &'static str = "blf";
    const TITLE: &'static str = "The bounded logit function before softmax";
    const LEAD: &'static str = "Small logits are said to make a network harder to attack. A bounded function before the \
        softmax whose largest value is at a finite point keeps both the logits and what goes into it small, which tanh \
        does not (arXiv 2010.02558). This report has two columns: what a naive attack finds, and what an attacker finds \
        who knows the defence.";
    type Config = Config;

    fn seeds(cfg: &Config) -> Vec<u64> {
        cfg.seeds.clone()
    }

    fn run(cfg: &Config, run: &Run) -> Result<Measured> {
        cfg.validate()?;
        if run.seeds.contains(&SOURCE_SEED) {
            bail!("--seeds: {SOURCE_SEED} is the seed of the network that transferred attacks are made on");
        }
        let parts = cfg.data.load(&run.lookup, &run.device)?;
        let units = Units::of(cfg);
        plan(cfg, run, &units);
        let mut m = Measured::default();
        let theory = run.stage("optimum of free logits", 0.0, |_| optimum::paths(&cfg.optimum))?;
        m.wall_s += theory.wall_s;
        for p in &theory.value {
            if let (Some(limit), Some(end)) = (p.limit, p.points.last()) {
                m.metrics.insert(format!("optimum.off.{}", p.name), Summary::new(vec![(end.1 - limit).abs()])?);
            }
            let half = p.points.iter().rfind(|q| 2 * q.0 <= cfg.optimum.iterations);
            if let (Some(half), Some(end)) = (half, p.points.last()) {
                m.metrics.insert(format!("optimum.still_growing.{}", p.name), Summary::new(vec![end.1 - half.1])?);
            }
        }
        m.series.insert("optimum".into(), serde_json::to_value(&theory.value)?);

        let job = |arm, value, seed, adversarial| Job { cfg, arm, value, seed, adversarial };
        let source = job(ArmName::Plain, 0.0, SOURCE_SEED, false).train(run, &parts, units.standard)?;
        m.wall_s += source.wall_s;
        for adversarial in [false, true] {
            let mut plain = None;
            for arm in arms(cfg, adversarial) {
                let value = choose(cfg, run, &parts, arm, adversarial, &units, &mut plain, &mut m)?;
                measure(cfg, run, &parts, (arm, value, adversarial), &source.value.0, &units, &mut m)?;
            }
        }
        if cfg.data.source == Source::Embedded {
            m.flags.push(
                "Trained and tested on the embedded part of Fashion-MNIST; the full preset uses all of it.".into(),
            );
        }
        m.flags.push(
            "The paper's formula, constants, radii, networks and tables are unknown to us: the default form is recalled, \
             and directions are compared, not numbers."
                .into(),
        );
        Ok(m)
    }

    fn report(cfg: &Config, _run: &Run, results: &Results, page: &mut Page) -> Result<()> {
        page::write(cfg, results, page)
    }
}

/// The arms with or without adversarial training.
fn arms(cfg: &Config, adversarial: bool) -> impl Iterator<Item = &Arm> {
    cfg.arms.iter().chain(cfg.trades.as_ref().filter(|_| adversarial))
}

fn values(arm: &Arm, adversarial: bool) -> &[f64] {
    if adversarial { &arm.adversarial_values } else { &arm.values }
}

fn plan(cfg: &Config, run: &Run, u: &Units) {
    let seeds = run.seeds.len() as f64;
    let part = |adversarial: bool, train: f64| -> f64 {
        arms(cfg, adversarial)
            .map(|a| train * (values(a, adversarial).len() as f64 + seeds - 1.0) + u.test * seeds)
            .sum()
    };
    run.plan(u.standard + part(false, u.standard) + part(true, u.adversarial));
}

/// Trains an arm at every value of its constant with the first seed and chooses on the validation split.
#[allow(clippy::too_many_arguments)] // one call, from the loop over arms
fn choose(
    cfg: &Config,
    run: &Run,
    parts: &Parts,
    arm: &Arm,
    adversarial: bool,
    units: &Units,
    plain: &mut Option<f64>,
    m: &mut Measured,
) -> Result<f64> {
    let all = values(arm, adversarial);
    let train = if adversarial { units.adversarial } else { units.standard };
    let mut tried: Vec<(f64, f64, f64)> = Vec::new();
    for &value in all {
        let job = Job { cfg, arm: arm.name, value, seed: run.seeds[0], adversarial };
        let net = job.train(run, parts, train)?;
        let v = job.validate(run, parts, &net.value.0)?;
        m.wall_s += net.wall_s + v.wall_s;
        tried.push((value, v.value.0, v.value.1));
    }
    let floor = plain.unwrap_or(tried[0].1) - cfg.selection.max_clean_drop;
    *plain = plain.or(Some(tried[0].1));
    let kept = tried.iter().filter(|t| t.1 >= floor).max_by(|a, b| a.2.total_cmp(&b.2));
    let Some(best) = kept.or_else(|| tried.iter().max_by(|a, b| a.1.total_cmp(&b.1))) else {
        bail!("arms.{}: no value to choose", arm.name.name())
    };
    let kind = if adversarial { "at" } else { "std" };
    if all.len() > 1 && [all.first(), all.last()].contains(&Some(&best.0)) {
        m.flags.push(format!(
            "{kind}: the {} chosen for {}, {}, is at the end of its grid.",
            arm.name.constant(),
            arm.name.title(),
            best.0
        ));
    }
    m.series.insert(
        format!("{kind}.{}.choice", arm.name.name()),
        json!({ "value": best.0, "tried_value_clean_robust": tried }),
    );
    Ok(best.0)
}

fn measure(
    cfg: &Config,
    run: &Run,
    parts: &Parts,
    (arm, value, adversarial): (&Arm, f64, bool),
    source: &Net,
    units: &Units,
    m: &mut Measured,
) -> Result<()> {
    let (mut tested, mut histories): (Vec<Tested>, Vec<History>) = Default::default();
    for &seed in &run.seeds {
        let job = Job { cfg, arm: arm.name, value, seed, adversarial };
        // The first seed's network was trained, and counted, for the choice.
        let first = seed == run.seeds[0];
        let share = if adversarial { units.adversarial } else { units.standard };
        let net = job.train(run, parts, if first { 0.0 } else { share })?;
        let t = job.test(run, &parts.test, &net.value.0, source, units.test)?;
        m.wall_s += t.wall_s + if first { 0.0 } else { net.wall_s };
        tested.push(t.value);
        histories.push(net.value.1);
    }
    let (kind, name) = (if adversarial { "at" } else { "std" }, arm.name.name());
    let mut put = |measure: &str, f: &dyn Fn(&Tested) -> f64| -> Result<()> {
        let summary = Summary::new(tested.iter().map(f).collect())?;
        m.metrics.insert(format!("{kind}.{measure}.{name}"), summary);
        Ok(())
    };
    put("clean", &|t| t.clean)?;
    put("auto_attack", &|t| t.auto_attack)?;
    put("worst", &|t| t.worst)?;
    put("gradient_norm", &|t| t.gradient)?;
    put("logit_norm", &|t| t.logits)?;
    put("pre_logit_norm", &|t| t.pre_logits)?;
    for (i, (eps, _)) in tested[0].naive.iter().enumerate() {
        put(&format!("naive_at_{eps}"), &|t| t.naive[i].1)?;
    }
    for attack in tested[0].alone.keys() {
        put(&format!("under_{attack}"), &|t| t.alone[attack])?;
    }
    let norms: Vec<(usize, f64, f64)> = (0..histories[0].norms.len())
        .map(|i| {
            let mean = |f: &dyn Fn(&stages::Norms) -> f64| {
                histories.iter().filter_map(|h| h.norms.get(i)).map(f).sum::<f64>() / histories.len() as f64
            };
            (histories[0].norms[i].epoch, mean(&|n| n.pre_logits), mean(&|n| n.logits))
        })
        .collect();
    let flags: Vec<&String> = tested.iter().flat_map(|t| &t.flags).collect();
    let validation: Vec<_> = histories.iter().map(|h| &h.validation).collect();
    m.series.insert(
        format!("{kind}.{name}"),
        json!({ "norms_epoch_pre_post": norms, "flags": flags, "validation_epoch_clean_robust": validation }),
    );
    Ok(())
}
