//! Autoencoding binary classifiers (arXiv 1903.10709): known anomalies found like a classifier's, unknown ones like an
//! autoencoder's.

mod areas;
mod config;
mod diverge;
mod page;
mod score;
mod sets;
mod toy;

use crate::jobs::{Done, Plan, Site};
use crate::pages::html::Page;
use crate::paper::{Entry, Measured, Paper};
use crate::results::Results;
use anyhow::Result;
use areas::{Areas, ByArm, summaries, turn_by_turn};
use config::{Config, TableSet};
use diverge::Diverge;
use sconce_tensor_core::stats::Summary;
use score::{ScoreTable, Scored};
use std::collections::BTreeMap;
use toy::{Decide, Decided, Map};

/// The reproduction.
pub const PAPER: Entry = Entry {
    slug: "abc",
    arxiv: "1903.10709",
    title: "Autoencoding binary classifiers",
    lead: "A classifier finds the anomalies that it was trained on and is blind to others; an autoencoder needs none and finds fewer. \
        An autoencoding binary classifier is an autoencoder whose reconstruction error serves as the classifier's logit: it minimises \
        the error of normal examples and raises that of known anomalies until the classifier separates them (arXiv 1903.10709).",
    twice: false,
    open: |recipe| {
        let cfg: Config = recipe.open()?;
        cfg.validate()?;
        Ok(Box::new(cfg))
    },
};

impl Config {
    fn decide(&self, seed: u64) -> Decide<'_> {
        Decide { toy: &self.toy, seed }
    }

    fn map(&self, seed: u64) -> Map<'_> {
        Map { toy: &self.toy, seed }
    }

    /// On the first image set's first turn.
    fn diverge(&self, seed: u64) -> Result<Diverge<'_>> {
        let set = &self.images[0];
        let (roles, amounts) = (set.turns()?.swap_remove(0), set.amounts());
        Ok(Diverge { divergence: &self.divergence, origin: set.origin(), roles, amounts, seed })
    }
}

impl TableSet {
    fn score(&self, seed: u64) -> ScoreTable<'_> {
        ScoreTable { table: self, seed }
    }
}

impl Paper for Config {
    fn seeds(&self) -> &[u64] {
        &self.seeds
    }

    fn plan<'a>(&'a self, seeds: &[u64], site: &Site, plan: &mut Plan<'a>) -> Result<()> {
        seeds.iter().try_for_each(|s| plan.add(self.decide(*s)))?;
        plan.add(self.map(seeds[0]))?;
        for set in &self.images {
            for setting in set.settings()? {
                seeds.iter().flat_map(|s| setting.jobs(*s)).try_for_each(|job| plan.add(job))?;
            }
        }
        seeds.iter().try_for_each(|s| plan.add(self.diverge(*s)?))?;
        for set in &self.tables {
            if set.found(site)? {
                seeds.iter().try_for_each(|s| plan.add(set.score(*s)))?;
            }
        }
        Ok(())
    }

    fn measure(&self, seeds: &[u64], site: &Site, done: &Done<'_>) -> Result<Measured> {
        let mut m = Measured::default();
        record_toy(self, seeds, done, &mut m)?;
        for set in &self.images {
            for setting in set.settings()? {
                let scored = |seed: &u64| -> Result<Vec<Scored>> {
                    let jobs = setting.jobs(*seed);
                    let each = jobs.iter().map(|j| done.output(j)).collect::<Result<Vec<_>>>()?;
                    Ok(each.concat())
                };
                let all = by_arm(&setting.place, seeds.iter().map(scored).collect::<Result<_>>()?, &mut m)?;
                summaries(&setting.place, &all, &mut m)?;
                if setting.place == set.name {
                    m.series.insert(format!("{}.turns", set.name), turn_by_turn(&all));
                }
            }
        }
        record_divergence(self, seeds, done, &mut m)?;
        for set in &self.tables {
            if set.found(site)? {
                let all = by_arm(&set.name, done.outputs(seeds, |s| set.score(s))?, &mut m)?;
                summaries(&set.name, &all, &mut m)?;
            } else {
                m.flags.push(format!("{} was left out: its files are not in the data folder.", set.name));
                m.left_out.push(set.name.clone());
            }
        }
        m.flags.push(
            "The paper's networks, data splits, tables and the definition of its residual are unknown to us: directions are \
             compared, not numbers."
                .into(),
        );
        Ok(m)
    }

    fn page(&self, results: &Results, _: &Done<'_>, page: &mut Page) -> Result<()> {
        page::write(self, results, page)
    }
}

/// Areas of each arm, from what each seed gave turn by turn; and the seconds of the fits for the first turn.
fn by_arm(place: &str, seeds: Vec<Vec<Scored>>, m: &mut Measured) -> Result<ByArm> {
    let (mut all, mut seconds) = (ByArm::new(), BTreeMap::<String, Vec<f64>>::new());
    for scored in seeds {
        let mut own = BTreeMap::<String, Vec<Areas>>::new();
        for Scored { arm, areas, fit_s } in scored {
            let turns = own.entry(arm.clone()).or_default();
            if turns.is_empty() {
                seconds.entry(arm).or_default().push(fit_s);
            }
            turns.extend(areas);
        }
        own.into_iter().for_each(|(arm, turns)| all.entry(arm).or_default().push(turns));
    }
    for (arm, values) in seconds {
        m.timing.insert(format!("{place}.fit_seconds.{arm}"), Summary::new(values)?);
    }
    Ok(all)
}

/// The metrics of the toy, and its maps.
fn record_toy(cfg: &Config, seeds: &[u64], done: &Done<'_>, m: &mut Measured) -> Result<()> {
    let decided: Vec<Vec<Decided>> = done.outputs(seeds, |s| cfg.decide(s))?;
    for (i, arm) in cfg.toy.arms.iter().enumerate() {
        let mut put = |measure: &str, f: &dyn Fn(&Decided) -> f64| {
            m.put(format!("toy.{measure}.{}", arm.name), decided.iter().map(|seed| f(&seed[i])).collect())
        };
        put("known", &|d| d.known)?;
        put("unknown", &|d| d.unknown)?;
        put("found", &|d| d.found)?;
    }
    m.series.insert("toy".into(), serde_json::to_value(done.output(&cfg.map(seeds[0]))?)?);
    Ok(())
}

/// The longest training's residual of the known anomalies, arm by arm; one that ended in infinity counts as 1e30.
fn record_divergence(cfg: &Config, seeds: &[u64], done: &Done<'_>, m: &mut Measured) -> Result<()> {
    let jobs = seeds.iter().map(|s| cfg.diverge(*s)).collect::<Result<Vec<_>>>()?;
    let all = jobs.iter().map(|job| done.output(job)).collect::<Result<Vec<_>>>()?;
    let longest = cfg.divergence.epochs.last().copied();
    let mut last = BTreeMap::<String, Vec<f64>>::new();
    for t in all.iter().flatten().filter(|t| Some(t.epochs) == longest) {
        last.entry(t.arm.clone()).or_default().push(t.known.unwrap_or(1e30));
    }
    for (arm, values) in last {
        m.put(format!("divergence.residual.{arm}"), values)?;
    }
    m.series.insert("divergence".into(), serde_json::to_value(&all)?);
    Ok(())
}
