//! Autoencoding binary classifiers (arXiv 1903.10709): known anomalies found like a classifier's, unknown ones like an
//! autoencoder's.

mod config;
mod page;
mod stages;
mod toy;

use crate::experiment::{Experiment, Measured};
use crate::pages::html::Page;
use crate::results::Results;
use crate::run::Run;
use anyhow::Result;
use config::{Arm, Config, ImageSet, TableSet};
use sconce_anomaly::Method;
use sconce_anomaly::protocol::{Amounts, Roles};
use sconce_tensor_core::stats::Summary;
use serde_json::json;
use stages::{Areas, Scored, Sets};
use std::collections::BTreeMap;

/// The reproduction.
pub struct AbcPaper;

/// Areas by arm, then one entry a seed, of those turns that were run.
type ByArm = BTreeMap<String, Vec<Vec<Areas>>>;

impl Experiment for AbcPaper {
    const SLUG: &'static str = "abc";
    const TITLE: &'static str = "Autoencoding binary classifiers";
    const LEAD: &'static str = "A classifier finds the anomalies that it was trained on and is blind to others; an \
        autoencoder needs none and finds fewer. An autoencoding binary classifier is an autoencoder whose reconstruction \
        error is the classifier's logit in disguise: it minimises the error of normal examples and raises that of known \
        anomalies until they are told apart (arXiv 1903.10709).";
    type Config = Config;

    fn seeds(cfg: &Config) -> Vec<u64> {
        cfg.seeds.clone()
    }

    fn run(cfg: &Config, run: &Run) -> Result<Measured> {
        cfg.validate()?;
        run.plan(plan(cfg, run));
        let mut m = Measured::default();
        toys(cfg, run, &mut m)?;
        for set in &cfg.images {
            images(cfg, set, run, &mut m)?;
        }
        for set in &cfg.tables {
            table(set, run, &mut m)?;
        }
        m.flags.push(
            "The paper's networks, data splits, tables and the definition of its residual are unknown to us: directions are \
             compared, not numbers."
                .into(),
        );
        Ok(m)
    }

    fn report(cfg: &Config, _run: &Run, results: &Results, page: &mut Page) -> Result<()> {
        page::write(cfg, results, page)
    }
}

/// Work in fits of an arm.
fn plan(cfg: &Config, run: &Run) -> f64 {
    let image = |s: &ImageSet| {
        let known = s.arms.iter().filter(|a| a.uses_known()).count();
        let sweep = s.sweep.arms.len() * s.sweep.turns * (s.sweep.labelled.len() + s.sweep.contamination.len());
        s.arms.len() - known + known * s.held_out.len() + sweep
    };
    let all: usize = cfg.images.iter().map(image).sum();
    all as f64 * run.seeds.len() as f64 + 1.0
}

fn toys(cfg: &Config, run: &Run, m: &mut Measured) -> Result<()> {
    let toy = run.stage("toy", 1.0, |_| {
        run.seeds.iter().map(|s| toy::decide(&cfg.toy, *s, *s == run.seeds[0])).collect::<Result<Vec<_>>>()
    })?;
    m.wall_s += toy.wall_s;
    for (i, arm) in cfg.toy.arms.iter().enumerate() {
        let mut put = |measure: &str, f: &dyn Fn(&toy::Decided) -> f64| -> Result<()> {
            let values = toy.value.iter().map(|seed| f(&seed[i])).collect();
            m.metrics.insert(format!("toy.{measure}.{}", arm.name), Summary::new(values)?);
            Ok(())
        };
        put("known", &|d| d.known)?;
        put("unknown", &|d| d.unknown)?;
        put("found", &|d| d.found)?;
    }
    let points = toy::Data::draw(&cfg.toy, run.seeds[0], "train").points();
    let points: Vec<String> = points.iter().map(|(x, y, kind)| format!("{x:.2} {y:.2} {kind}")).collect();
    let maps: Vec<Vec<String>> = toy.value[0].iter().map(|d| toy::to_text(&d.map, cfg.toy.pixels)).collect();
    m.series.insert("toy".into(), json!({ "points": points, "maps": maps }));
    Ok(())
}

/// All arms on each turn of one setting. What does not depend on known anomalies is fitted once.
#[allow(clippy::too_many_arguments)] // one setting's coordinates
fn setting(
    run: &Run,
    m: &mut Measured,
    name: &str,
    sets: &Sets,
    turns: &[Roles],
    amounts: &Amounts,
    arms: &[&Arm],
    method: &dyn Fn(&Arm) -> Result<Box<dyn Method>>,
) -> Result<ByArm> {
    let mut all = ByArm::new();
    let split = |known: bool| -> Result<Vec<(&Arm, Box<dyn Method>)>> {
        // Hidden anomalies among the normals differ from turn to turn.
        let depends = |a: &Arm| a.uses_known() || amounts.contamination > 0.0;
        arms.iter().filter(|a| depends(a) == known).map(|a| Ok((*a, method(a)?))).collect()
    };
    let (with, without) = (split(true)?, split(false)?);
    for &seed in &run.seeds {
        let mut shared = Vec::new();
        if !without.is_empty() {
            let units = without.len() as f64;
            let done =
                stages::score(run, (&format!("{name}-unlabelled"), units), sets, (&turns[0], amounts), &without, seed)?;
            m.wall_s += done.wall_s;
            shared = done.value;
        }
        for (t, roles) in turns.iter().enumerate() {
            let mut scored = shared.clone();
            if !with.is_empty() {
                let place = format!("{name}-turn{t}");
                let done = stages::score(run, (&place, with.len() as f64), sets, (roles, amounts), &with, seed)?;
                m.wall_s += done.wall_s;
                scored.extend(done.value);
            }
            let tested = roles.test_split(&sets.test.classes)?;
            for Scored { arm, scores, fit_s } in scored {
                let seeds = all.entry(arm.clone()).or_default();
                if t == 0 {
                    seeds.push(Vec::new());
                }
                if let Some(last) = seeds.last_mut() {
                    last.push(Areas::of(&scores, &tested)?);
                }
                let timing = m.timing.entry(format!("{name}.fit_seconds.{arm}"));
                timing.or_insert(Summary::new(vec![fit_s])?);
            }
        }
    }
    Ok(all)
}

/// Means over the turns, and how far the seeds are apart.
fn summaries(name: &str, all: &ByArm, m: &mut Measured) -> Result<()> {
    type Pick = fn(&Areas) -> Option<f64>;
    let measures: [(&str, Pick); 4] = [
        ("known", |a| a.known),
        ("unknown", |a| a.unknown),
        ("known_precision", |a| a.known_precision),
        ("unknown_precision", |a| a.unknown_precision),
    ];
    for (arm, seeds) in all {
        for (measure, pick) in measures {
            let values: Option<Vec<Vec<f64>>> = seeds.iter().map(|turns| turns.iter().map(pick).collect()).collect();
            let Some(values) = values else { continue };
            let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
            let means: Vec<f64> = values.iter().map(|turns| mean(turns)).collect();
            m.metrics.insert(format!("{name}.{measure}.{arm}"), Summary::new(means)?);
            let turns = values[0].len();
            if turns > 1 {
                let lowest = values.iter().map(|t| t.iter().copied().fold(f64::INFINITY, f64::min)).collect();
                m.metrics.insert(format!("{name}.lowest_{measure}.{arm}"), Summary::new(lowest)?);
            }
            if values.len() > 1 {
                let sd = |t: usize| {
                    let each: Vec<f64> = values.iter().map(|v| v[t]).collect();
                    let centre = mean(&each);
                    (each.iter().map(|v| (v - centre).powi(2)).sum::<f64>() / (each.len() - 1) as f64).sqrt()
                };
                let spread = mean(&(0..turns).map(sd).collect::<Vec<f64>>());
                m.metrics.insert(format!("{name}.spread_{measure}.{arm}"), Summary::new(vec![spread])?);
            }
        }
    }
    Ok(())
}

/// Means over seeds, turn by turn: (known, unknown).
fn turn_by_turn(all: &ByArm) -> serde_json::Value {
    let mean = |seeds: &[Vec<Areas>], t: usize, pick: fn(&Areas) -> Option<f64>| {
        let found: Vec<f64> = seeds.iter().filter_map(|s| s.get(t).and_then(pick)).collect();
        (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
    };
    let rows = |seeds: &Vec<Vec<Areas>>| -> Vec<(Option<f64>, Option<f64>)> {
        (0..seeds[0].len()).map(|t| (mean(seeds, t, |a| a.known), mean(seeds, t, |a| a.unknown))).collect()
    };
    json!(all.iter().map(|(arm, seeds)| (arm, rows(seeds))).collect::<BTreeMap<_, _>>())
}

fn images(cfg: &Config, set: &ImageSet, run: &Run, m: &mut Measured) -> Result<()> {
    let sets = set.load(&run.lookup)?;
    let turns = set.turns()?;
    let arms: Vec<&Arm> = set.arms.iter().collect();
    let plain = |a: &Arm| a.method();
    let all = setting(run, m, &set.name, &sets, &turns, &set.amounts(), &arms, &plain)?;
    summaries(&set.name, &all, m)?;
    m.series.insert(format!("{}.turns", set.name), turn_by_turn(&all));
    let few: Vec<&Arm> = arms.iter().copied().filter(|a| set.sweep.arms.contains(&a.name)).collect();
    let mut swept = |what: String, amounts: Amounts| -> Result<()> {
        let name = format!("{}-{what}", set.name);
        let turns = &turns[..set.sweep.turns.min(turns.len())];
        let all = setting(run, m, &name, &sets, turns, &amounts, &few, &plain)?;
        summaries(&name, &all, m)
    };
    for labelled in &set.sweep.labelled {
        swept(format!("labelled-{labelled}"), Amounts { labelled: *labelled, ..set.amounts() })?;
    }
    for contamination in &set.sweep.contamination {
        swept(format!("contamination-{contamination}"), Amounts { contamination: *contamination, ..set.amounts() })?;
    }
    if set.name == cfg.images[0].name {
        divergence(cfg, set, &sets, run, m)?;
    }
    Ok(())
}

/// The longest training's residual of the known anomalies, arm by arm; one that ended in infinity counts as 1e30.
fn divergence(cfg: &Config, set: &ImageSet, sets: &Sets, run: &Run, m: &mut Measured) -> Result<()> {
    let (mut last, mut all) = (BTreeMap::<String, Vec<f64>>::new(), Vec::new());
    for &seed in &run.seeds {
        let done = stages::diverge(run, &cfg.divergence, 0.0, set, sets, seed)?;
        m.wall_s += done.wall_s;
        let longest = cfg.divergence.epochs.last().copied();
        for t in done.value.iter().filter(|t| Some(t.epochs) == longest) {
            last.entry(t.arm.clone()).or_default().push(t.known.unwrap_or(1e30));
        }
        all.push(done.value);
    }
    for (arm, values) in last {
        m.metrics.insert(format!("divergence.residual.{arm}"), Summary::new(values)?);
    }
    m.series.insert("divergence".into(), serde_json::to_value(&all)?);
    Ok(())
}

fn table(set: &TableSet, run: &Run, m: &mut Measured) -> Result<()> {
    let Some(table) = set.load(&run.lookup)? else {
        m.flags.push(format!("{} was left out: its files are not in the data folder.", set.name));
        m.left_out.push(set.name.clone());
        return Ok(());
    };
    let roles = set.roles(&table.names)?;
    let arms: Vec<&Arm> = set.arms.iter().collect();
    let mut all = ByArm::new();
    // Every seed cuts the table anew.
    for &seed in &run.seeds {
        let sets = set.parts(&table.rows, seed)?;
        let tested = roles.test_split(&sets.test.classes)?;
        let methods = arms.iter().map(|a| Ok((*a, set.method(a, &table.schema)?))).collect::<Result<Vec<_>>>()?;
        let done = stages::score(run, (&set.name, 0.0), &sets, (&roles, &set.amounts()), &methods, seed)?;
        m.wall_s += done.wall_s;
        for Scored { arm, scores, fit_s } in done.value {
            all.entry(arm.clone()).or_default().push(vec![Areas::of(&scores, &tested)?]);
            m.timing.entry(format!("{}.fit_seconds.{arm}", set.name)).or_insert(Summary::new(vec![fit_s])?);
        }
    }
    summaries(&set.name, &all, m)
}
