//! Absum (arXiv 1909.08830): the absolute sum of each convolution kernel against the Single Fourier Attack.

mod choose;
mod config;
mod extras;
mod jobs;
mod matched;
mod measures;
mod page;

use crate::jobs::{Done, Plan, Site};
use crate::pages::html::Page;
use crate::paper::{Entry, Measured, Paper};
use crate::results::Results;
use anyhow::{Result, bail};
use choose::{Choose, Lambda, Validated};
use config::{Arm, Config, Setting};
use extras::{Pictures, StepCost};
use jobs::{Attacked, Fitted, SOURCE_SEED, Source, Test, Tested, Trained};
use sconce_attacks::fourier::HeatMap;
use sconce_tensor_core::stats::Summary;
use serde_json::json;
use std::collections::BTreeMap;

/// The reproduction.
pub const PAPER: Entry = Entry {
    slug: "absum",
    arxiv: "1909.08830",
    title: "Absum: penalising the absolute sum of each convolution kernel",
    lead: "A convolution is a product with a circulant matrix, whose singular vectors are Fourier \
        waves: adding a single wave to every image (the Single Fourier Attack) hurts convolutional networks. Absum limits \
        one number of each kernel, its sum, and leaves the others free (arXiv 1909.08830).",
    twice: false,
    open: |recipe| {
        let cfg: Config = recipe.open()?;
        cfg.validate()?;
        Ok(Box::new(cfg))
    },
};

impl Config {
    fn source<'a>(&'a self, setting: &'a Setting) -> Source<'a> {
        Source { setting, train: &self.train }
    }

    fn choose<'a>(&'a self, setting: &'a Setting, arm: &'a Arm) -> Choose<'a> {
        let Self { train, sfa, selection, arms, .. } = self;
        Choose { setting, train, sfa, selection, arm, none: &arms[0] }
    }

    fn lambda<'a>(&'a self, setting: &'a Setting, arm: &'a Arm) -> Lambda<'a> {
        match arm.lambdas[..] {
            [only] => Lambda::Given(only),
            _ => Lambda::Chosen(self.choose(setting, arm)),
        }
    }

    fn fitted<'a>(&'a self, setting: &'a Setting, arm: &'a Arm) -> Fitted<'a> {
        Fitted { setting, train: &self.train, arm: arm.name, lambda: self.lambda(setting, arm) }
    }

    fn trained<'a>(&'a self, setting: &'a Setting, arm: &'a Arm, seed: u64) -> Trained<'a> {
        Trained { fitted: self.fitted(setting, arm), sfa: &self.sfa, curve: &self.curve, seed }
    }

    fn test<'a>(&'a self, setting: &'a Setting, arm: &'a Arm, seed: u64) -> Test<'a> {
        let Self { sfa, transfer, noise, .. } = self;
        Test { trained: self.trained(setting, arm, seed), source: self.source(setting), sfa, transfer, noise }
    }

    fn step_cost<'a>(&'a self, setting: &'a Setting) -> StepCost<'a> {
        StepCost { arms: self.arms.iter().map(|a| self.fitted(setting, a)).collect(), cost: &self.cost }
    }

    fn attacked<'a>(&'a self, setting: &'a Setting, arm: &'a Arm, seed: u64) -> Option<Attacked<'a>> {
        let adversarial = self.adversarial.as_ref()?;
        Some(Attacked { fitted: self.fitted(setting, arm), adversarial, seed })
    }

    fn pictures<'a>(&'a self, setting: &'a Setting, seed: u64) -> Pictures<'a> {
        let test = self.test(setting, &self.arms[0], seed);
        Pictures { trained: test.trained, source: test.source, test, transfer: &self.transfer, noise: &self.noise }
    }
}

impl Paper for Config {
    fn seeds(&self) -> &[u64] {
        &self.seeds
    }

    fn plan<'a>(&'a self, seeds: &[u64], _: &Site, plan: &mut Plan<'a>) -> Result<()> {
        if let Some(s) = seeds.iter().find(|s| **s == SOURCE_SEED || self.selection.seeds.contains(s)) {
            bail!("seeds: {s} is a selection seed, or that of the network that transferred attacks are made on");
        }
        for setting in &self.settings {
            plan.add(self.source(setting))?;
            for arm in &self.arms {
                if let Lambda::Chosen(choose) = self.lambda(setting, arm) {
                    choose.grid().into_iter().try_for_each(|s| plan.add(s))?;
                    plan.add(choose)?;
                }
            }
            for arm in &self.arms {
                for &seed in seeds {
                    plan.add(self.trained(setting, arm, seed))?;
                    plan.add(self.test(setting, arm, seed))?;
                }
            }
            plan.add(self.step_cost(setting))?;
            plan.add(self.pictures(setting, seeds[0]))?;
            for arm in &self.arms {
                let attacked = seeds.iter().filter_map(|s| self.attacked(setting, arm, *s));
                attacked.into_iter().try_for_each(|job| plan.add(job))?;
            }
        }
        Ok(())
    }

    fn measure(&self, seeds: &[u64], _: &Site, done: &Done<'_>) -> Result<Measured> {
        let mut m = Measured::default();
        for setting in &self.settings {
            for arm in &self.arms {
                record(self, setting, arm, seeds, done, &mut m)?;
            }
            matched::record(self, setting, seeds, done, &mut m)?;
            let seconds = done.output(&self.step_cost(setting))?;
            for (arm, own) in self.arms.iter().zip(&seconds) {
                let ratio = own.iter().zip(&seconds[0]).map(|(a, none)| a / none).collect();
                m.timing.insert(format!("{}.step_cost.{}", setting.id, arm.name.name()), Summary::new(ratio)?);
            }
        }
        m.flags.extend(self.settings.iter().find_map(|s| s.data.flag()));
        m.flags.push(
            "The paper's radii, normalisation, weights and tables are unknown to us: directions are compared, not numbers."
                .into(),
        );
        Ok(m)
    }

    fn page(&self, results: &Results, done: &Done<'_>, page: &mut Page) -> Result<()> {
        page::write(self, results, done, page)
    }
}

/// The metrics of an arm.
fn record(cfg: &Config, setting: &Setting, arm: &Arm, seeds: &[u64], done: &Done<'_>, m: &mut Measured) -> Result<()> {
    let (id, name) = (&setting.id, arm.name.name());
    let (lambda, tried) = match cfg.lambda(setting, arm) {
        Lambda::Given(lambda) => (lambda, Vec::new()),
        Lambda::Chosen(choose) => {
            let c = done.output(&choose)?;
            m.remark(id, name, c.remark(&format!("weight chosen for {}", arm.name.title())));
            let row = |(l, v): &(f64, Option<Validated>)| v.map(|v| json!([l, v.clean, v.sfa_avg, v.sfa_worst]));
            (c.value, c.tried.iter().filter_map(row).collect())
        }
    };
    let tested: Vec<Tested> = done.outputs(seeds, |s| cfg.test(setting, arm, s))?;
    let mut put = |measure: &str, f: &dyn Fn(&Tested) -> Option<f64>| -> Result<()> {
        match tested.iter().map(f).collect::<Option<Vec<f64>>>() {
            Some(values) => m.put(format!("{id}.{measure}.{name}"), values),
            None => Ok(()),
        }
    };
    put("clean", &|t| Some(t.clean))?;
    put("sfa_avg", &|t| Some(t.waves.average()))?;
    put("sfa_worst", &|t| Some(t.waves.worst().0))?;
    put("retained_avg", &|t| t.waves.retained())?;
    put("retained_worst", &|t| t.waves.worst_retained())?;
    for (band, from, to) in measures::BANDS {
        put(&format!("sfa_{band}"), &|t| t.waves.band(from, to))?;
    }
    put("transfer", &|t| Some(t.transfer))?;
    put("noise", &|t| Some(t.noise))?;
    for (i, eps) in cfg.sfa.curve_eps_255.iter().enumerate() {
        put(&format!("sfa_avg_at_{eps}"), &|t| Some(t.curve[i].1))?;
        put(&format!("sfa_worst_at_{eps}"), &|t| Some(t.curve[i].2))?;
    }
    if let Some(attacked) = seeds.iter().map(|s| cfg.attacked(setting, arm, *s)).collect::<Option<Vec<_>>>() {
        let found = attacked.iter().map(|job| done.output(job)).collect::<Result<Vec<_>>>()?;
        m.put(format!("{id}.at_clean.{name}"), found.iter().map(|f| f.0).collect())?;
        m.put(format!("{id}.at_pgd.{name}"), found.iter().map(|f| f.1).collect())?;
    }
    let map = &tested[0].waves;
    let sum = |f: &dyn Fn(&HeatMap) -> usize| tested.iter().map(|t| f(&t.waves)).sum::<usize>();
    let places = || 0..map.correct.len();
    let worst: BTreeMap<String, (usize, usize)> =
        seeds.iter().zip(&tested).map(|(s, t)| (format!("seed {s}"), t.waves.worst().1)).collect();
    m.series.insert(
        format!("{id}.{name}"),
        json!({
            "lambda": lambda, "tried_lambda_clean_avg_worst": tried,
            "worst_direction": worst,
            "heat": HeatMap {
                correct: places().map(|i| sum(&|w| w.correct[i])).collect(),
                kept: places().map(|i| sum(&|w| w.kept[i])).collect(),
                clean: sum(&|w| w.clean),
                total: sum(&|w| w.total),
                ..map.clone()
            },
        }),
    );
    Ok(())
}
