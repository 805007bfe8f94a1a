//! MP-SSL (arXiv 1912.11603): representations by several pretext tasks at once.

mod config;
mod page;
mod pretrain;
mod probe;
mod sets;
mod show;

use crate::jobs::{Done, Plan, Site};
use crate::pages::html::Page;
use crate::paper::{Entry, Measured, Paper};
use crate::results::Results;
use anyhow::Result;
use config::{Arm, Config};
use pretrain::{Pretrain, Supervise};
use probe::{Origin, Probe};
use serde_json::json;
use show::Show;

/// The reproduction.
pub const PAPER: Entry = Entry {
    slug: "mp-ssl",
    arxiv: "1912.11603",
    title: "Self-supervision by several pretext tasks",
    lead: "A trunk that learns to predict rotations learns shapes, and neglects texture and colour. MP-SSL predicts at the same time with which \
        magnitude an image was enhanced, and weights the tasks by a multi-task method (arXiv 1912.11603; version 2 has one enhancement, IE-Rot). Here \
        the trunk is frozen and linear probes ask what it knows about three independent labels: shape, texture and hue.",
    twice: false,
    open: |recipe| {
        let cfg: Config = recipe.open()?;
        cfg.validate()?;
        Ok(Box::new(cfg))
    },
};

impl Config {
    fn pretrain<'a>(&'a self, arm: &'a Arm, seed: u64) -> Pretrain<'a> {
        Pretrain { data: &self.data, trunk: &self.trunk, pretext: &self.pretext, arm, train: &self.train, seed }
    }

    fn supervise(&self, seed: u64) -> Supervise<'_> {
        Supervise { data: &self.data, trunk: &self.trunk, train: &self.supervised, seed }
    }

    fn probe<'a>(&'a self, origin: Origin<'a>, seed: u64) -> Probe<'a> {
        Probe { data: &self.data, trunk: &self.trunk, origin, probe: &self.probe, seed }
    }

    fn show<'a>(&'a self, origin: Origin<'a>, seed: u64) -> Show<'a> {
        let block = self.probe.blocks[self.probe.blocks.len() - 1];
        Show { data: &self.data, trunk: &self.trunk, origin, block, seed }
    }

    /// Every trunk, and the images themselves.
    fn origins(&self, seed: u64) -> Vec<Origin<'_>> {
        let known = [Origin::Pixels, Origin::Random, Origin::Supervised(self.supervise(seed))];
        known.into_iter().chain(self.arms.iter().map(|a| Origin::Pretrained(self.pretrain(a, seed)))).collect()
    }

    /// The trunks that are looked at: as drawn, the first arm and the last.
    fn looked_at(&self, seed: u64) -> Vec<Origin<'_>> {
        let ends = [&self.arms[0], &self.arms[self.arms.len() - 1]];
        let mut all = vec![Origin::Random];
        all.extend(ends.iter().take(self.arms.len()).map(|a| Origin::Pretrained(self.pretrain(a, seed))));
        all
    }
}

impl Paper for Config {
    fn seeds(&self) -> &[u64] {
        &self.seeds
    }

    fn plan<'a>(&'a self, seeds: &[u64], _: &Site, plan: &mut Plan<'a>) -> Result<()> {
        for &seed in seeds {
            for arm in &self.arms {
                plan.add(self.pretrain(arm, seed))?;
            }
            plan.add(self.supervise(seed))?;
            for origin in self.origins(seed) {
                plan.add(self.probe(origin, seed))?;
            }
        }
        for origin in self.looked_at(seeds[0]) {
            plan.add(self.show(origin, seeds[0]))?;
        }
        Ok(())
    }

    fn measure(&self, seeds: &[u64], _: &Site, done: &Done<'_>) -> Result<Measured> {
        let mut m = Measured::default();
        let (mut ends, mut fits) = (0, 0);
        for i in 0..self.origins(seeds[0]).len() {
            let all = done.outputs(seeds, |s| self.probe(self.origins(s).swap_remove(i), s))?;
            let name = self.origins(seeds[0])[i].name().to_owned();
            for (k, row) in all[0].iter().enumerate() {
                let place = if row.block == 0 { "pixels".to_owned() } else { format!("block{}", row.block) };
                m.put(format!("{place}.{}.{name}", row.labels), all.iter().map(|p| p[k].linear).collect())?;
                m.put(format!("{place}.knn_{}.{name}", row.labels), all.iter().map(|p| p[k].neighbours).collect())?;
                ends += all.iter().filter(|p| p[k].at_end).count();
                fits += all.len();
            }
        }
        if ends > 0 {
            m.flags.push(format!(
                "The chosen penalty of {ends} of {fits} linear probes is the first or the last that was tried, of {:?}.",
                self.probe.strengths
            ));
        }
        for arm in &self.arms {
            let all = done.outputs(seeds, |s| self.pretrain(arm, s))?;
            for task in &arm.tasks {
                let last = |name: String| {
                    all.iter().map(move |r| r.history(&name).last().copied().unwrap_or(f64::NAN)).collect()
                };
                m.put(format!("pretext.accuracy_{task}.{}", arm.name), last(format!("validation.accuracy.{task}")))?;
                m.put(format!("pretext.weight_{task}.{}", arm.name), last(format!("weight.{task}")))?;
            }
            let largest = |r: &sconce_tensor_core::train::Report| {
                r.history("certificate").into_iter().fold(f64::NEG_INFINITY, f64::max)
            };
            if !all[0].history("certificate").is_empty() {
                m.put(format!("certificate.largest.{}", arm.name), all.iter().map(largest).collect())?;
            }
            m.series.insert(format!("epochs.{}", arm.name), json!(all[0].epochs));
        }
        m.flags.push(
            "The paper's text was not available to us beyond its abstract and introduction: its enhancements, magnitudes, networks and schedules are \
             unknown. Those of the recipe are chosen by us; directions are compared, not numbers."
                .to_owned(),
        );
        Ok(m)
    }

    fn page(&self, results: &Results, done: &Done<'_>, page: &mut Page) -> Result<()> {
        page::write(self, results, done, page)
    }
}
