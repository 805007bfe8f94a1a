//! Metrics of the reproduction. The place of a metric is the size of the target (`n100`), or `toy`.

use super::classify::{Beside, Classified};
use super::config::{COPIES, Config, HALVES, How};
use super::gan::Log;
use super::score::{Fidelity, Scores};
use crate::jobs::Done;
use crate::paper::Measured;
use anyhow::Result;
use sconce_gan::domain_fusion::OuterScore;
use sconce_tensor_core::stats::spearman;
use serde_json::json;

pub fn measure(cfg: &Config, seeds: &[u64], done: &Done<'_>) -> Result<Measured> {
    let mut m = Measured::default();
    let accuracy = done.output(&cfg.evaluator())?;
    m.series.insert("evaluator.accuracy".to_owned(), json!(accuracy));
    toy(cfg, seeds, done, &mut m)?;
    for &n in &cfg.sizes {
        let real = controls(cfg, n, seeds, done, &mut m)?;
        let contexts = done.outputs(seeds, |s| cfg.context(n, s))?;
        put_scores(n, COPIES, &contexts.iter().map(|c| &c.copies).collect::<Vec<_>>(), &mut m)?;
        put_scores(n, HALVES, &contexts.iter().map(|c| &c.halves).collect::<Vec<_>>(), &mut m)?;
        for arm in &cfg.arms {
            let train = |s| cfg.train(arm, n, s);
            let each = |of: &dyn Fn(u64) -> Result<f64>| seeds.iter().map(|s| of(*s)).collect::<Result<Vec<f64>>>();
            let scores: Vec<Scores> =
                seeds.iter().map(|s| done.output(&Fidelity { train: train(*s)? })).collect::<Result<_>>()?;
            put_scores(n, &arm.name, &scores.iter().collect::<Vec<_>>(), &mut m)?;
            let classified: Vec<Classified> = seeds
                .iter()
                .zip(&real)
                .map(|(s, real)| {
                    let own = done.output(&cfg.classify(Beside::Generated(train(*s)?), n, *s))?;
                    Ok(real.and(&own))
                })
                .collect::<Result<_>>()?;
            let place = |what: &str| format!("n{n}.{what}.{}", arm.name);
            m.put(place("accuracy"), classified.iter().map(|c| c.chosen().1).collect())?;
            m.put(place("weight"), classified.iter().map(|c| c.chosen().0).collect())?;
            for (i, weight) in cfg.classifier.weights.iter().enumerate() {
                let values = classified.iter().map(|c| c.tried[i + 1].2).collect();
                m.put(place(&format!("accuracy_at_{weight}")), values)?;
            }
            let alone = |s| Ok(done.output(&cfg.classify(Beside::GeneratedAlone(train(s)?), n, s))?.chosen().1);
            m.put(place("accuracy_alone"), each(&alone)?)?;
            let logs: Vec<Log> = seeds.iter().map(|s| done.output(&train(*s)?)).collect::<Result<_>>()?;
            m.put(place("exposure"), logs.iter().map(|l| l.exposure as f64).collect())?;
            let last = |l: &Log, what: &str| {
                l.phases.last().and_then(|p| p.1.history(what).last().copied()).unwrap_or(f64::NAN)
            };
            let gap = |l: &Log| last(l, "score.train") - last(l, "score.held_out");
            let steps = |l: &Log| l.phases.iter().map(|p| p.1.epochs.len() * cfg.gan.steps).sum::<usize>() as f64;
            m.put(place("steps"), logs.iter().map(steps).collect())?;
            m.put(place("gap"), logs.iter().map(gap).collect())?;
            m.put(place("sigma_class"), logs.iter().map(|l| last(l, "sigma.class")).collect())?;
            m.series.insert(format!("n{n}.epochs.{}", arm.name), json!(logs[0].phases));
        }
        outers(cfg, n, seeds, done, &mut m)?;
    }
    m.flags.extend(cfg.target.flag());
    m.flags.push(format!(
        "Weights of generated images are chosen on {} labelled validation images that no classifier is trained on: more than a user with n images has.",
        cfg.target.validation * cfg.target.classes.len()
    ));
    m.flags.push(
        "Of the paper only the abstract and the beginning of the introduction were available to us: its networks, schedules, weights and tables are unknown. Every setting is chosen by \
         us; directions are compared, not numbers."
            .to_owned(),
    );
    Ok(m)
}

fn toy(cfg: &Config, seeds: &[u64], done: &Done<'_>, m: &mut Measured) -> Result<()> {
    let rings = done.outputs(seeds, |s| cfg.ring(s))?;
    for (i, arm) in rings[0].arms.iter().enumerate() {
        m.put(format!("toy.distance.{}", arm.name), rings.iter().map(|r| r.arms[i].distance).collect())?;
    }
    m.put("toy.distance.fitted", rings.iter().map(|r| r.fitted).collect())
}

/// The controls; returns the accuracies of real images alone, a seed each.
fn controls(cfg: &Config, n: usize, seeds: &[u64], done: &Done<'_>, m: &mut Measured) -> Result<Vec<Classified>> {
    let mut real = Vec::new();
    for control in cfg.controls()? {
        let mut all = done.outputs(seeds, |s| cfg.classify(control, n, s))?;
        if let Beside::JointLabels(_) = control {
            // As for generated images, a weight of 0 is among those that are tried.
            all = real.iter().zip(&all).map(|(real, own): (&Classified, &Classified)| real.and(own)).collect();
        }
        let name = cfg.classify(control, n, seeds[0]).name().to_owned();
        m.put(format!("n{n}.accuracy.{name}"), all.iter().map(|c| c.chosen().1).collect())?;
        if let Beside::Nothing = control {
            real = all;
        }
    }
    Ok(real)
}

fn put_scores(n: usize, name: &str, all: &[&Scores], m: &mut Measured) -> Result<()> {
    let mut put = |what: &str, of: &dyn Fn(&Scores) -> Option<f64>| -> Result<()> {
        let values: Option<Vec<f64>> = all.iter().map(|s| of(s)).collect();
        values.map_or(Ok(()), |v| m.put(format!("n{n}.{what}.{name}"), v))
    };
    put("images", &|s| Some(s.images as f64))?;
    put("fid", &|s| s.fid)?;
    put("validation_fid", &|s| s.validation_fid)?;
    put("kid", &|s| Some(s.kid))?;
    put("precision", &|s| Some(s.precision))?;
    put("recall", &|s| Some(s.recall))?;
    put("density", &|s| Some(s.density))?;
    put("coverage", &|s| Some(s.coverage))?;
    put("memorisation", &|s| s.memorisation)?;
    put("copied", &|s| s.copied)?;
    put("similarity", &|s| Some(s.similarity))?;
    put("inception", &|s| Some(s.inception))?;
    put("worst_class_kid", &|s| Some(s.class_kid.iter().copied().fold(f64::NEG_INFINITY, f64::max)))
}

type Score = fn(&OuterScore) -> f64;

/// What is known of an outer set before training.
const SCORES: [(&str, Score); 3] =
    [("distance", |s| s.distance), ("similarity", |s| s.similarity), ("product", |s| s.product)];

/// Scores of the outer sets, and how well they rank the gains.
fn outers(cfg: &Config, n: usize, seeds: &[u64], done: &Done<'_>, m: &mut Measured) -> Result<()> {
    let mut by_outer = Vec::new();
    for outer in &cfg.outers {
        let all = done.outputs(seeds, |s| cfg.suits(outer, n, s))?;
        for (what, score) in SCORES {
            m.put(format!("n{n}.outer_{what}.{}", outer.name), all.iter().map(score).collect())?;
        }
        let joint = cfg.arms.iter().find(|a| a.outer == outer.name && a.trained == How::Joint);
        if let Some(arm) = joint {
            let gains = m.metrics.get(&format!("n{n}.accuracy.{}", arm.name)).map(|s| s.values.clone());
            by_outer.push((all, gains.unwrap_or_default()));
        }
    }
    // Of two outer sets one is always first.
    if by_outer.len() < 3 {
        return Ok(());
    }
    for (what, score) in SCORES {
        let rank = |i: usize| {
            let scores: Vec<f64> = by_outer.iter().map(|o| score(&o.0[i])).collect();
            let gains: Vec<f64> = by_outer.iter().map(|o| o.1[i]).collect();
            spearman(&scores, &gains)
        };
        let ranks: Vec<Option<f64>> = (0..seeds.len()).map(rank).collect::<sconce_tensor_core::Result<_>>()?;
        let ranked: Vec<f64> = ranks.iter().flatten().copied().collect();
        if ranked.len() < seeds.len() {
            let of = seeds.len() - ranked.len();
            m.flags.push(format!(
                "n{n}: with {of} of {} seeds all outer sets gain the same; the rank correlation is over the others.",
                seeds.len()
            ));
        }
        if !ranked.is_empty() {
            m.put(format!("n{n}.rank_correlation.{what}"), ranked)?;
        }
    }
    Ok(())
}
