//! The bounded logit function (arXiv 2010.02558): small logits and pre-logits, and whether robustness comes of them.

mod attacks;
mod choose;
mod config;
mod optimum;
mod page;
mod training;

use crate::jobs::{Done, Plan, Site};
use crate::pages::html::Page;
use crate::paper::{Entry, Measured, Paper};
use crate::results::Results;
use anyhow::{Result, bail};
use attacks::{Test, Tested};
use choose::{Choose, Constant, Validated};
use config::{Arm, Config};
use optimum::Free;
use serde_json::{Value, json};
use training::{History, Norms, SOURCE_SEED, Setting, Source, Trained};

/// The reproduction.
pub const PAPER: Entry = Entry {
    slug: "blf",
    arxiv: "2010.02558",
    title: "The bounded logit function before softmax",
    lead: "Small logits are said to make a network harder to attack. A bounded function before the \
        softmax whose largest value is at a finite point keeps both the logits and what goes into it small, which tanh \
        does not (arXiv 2010.02558). This report has two columns: what a naive attack finds, and what an attacker finds \
        who knows the defence.",
    twice: false,
    open: |recipe| {
        let cfg: Config = recipe.open()?;
        cfg.validate()?;
        Ok(Box::new(cfg))
    },
};

impl Config {
    /// The arms with or without adversarial training.
    fn arms(&self, adversarial: bool) -> impl Iterator<Item = &Arm> {
        self.arms.iter().chain(self.trades.as_ref().filter(|_| adversarial))
    }

    fn free(&self) -> Free<'_> {
        Free { optimum: &self.optimum }
    }

    fn setting(&self, adversarial: bool) -> Setting<'_> {
        let Self { data, net, blf, standard, .. } = self;
        let train = if adversarial { &self.adversarial } else { standard };
        Setting { data, net, blf, train, attack: Some(&self.attack).filter(|_| adversarial) }
    }

    fn source(&self) -> Source<'_> {
        Source { setting: self.setting(false) }
    }

    fn constant<'a>(&'a self, arm: &'a Arm, adversarial: bool) -> Constant<'a> {
        let values = if adversarial { &arm.adversarial_values } else { &arm.values };
        if let [only] = values[..] {
            return Constant::Given(only);
        }
        let (setting, eps, steps) = (self.setting(adversarial), self.strong.eps, self.naive.steps);
        Constant::Chosen(Choose { setting, eps, steps, selection: &self.selection, arm: arm.name, values })
    }

    fn trained<'a>(&'a self, arm: &'a Arm, adversarial: bool, seed: u64) -> Trained<'a> {
        let constant = self.constant(arm, adversarial);
        let norm_examples = self.naive.norm_examples;
        Trained { setting: self.setting(adversarial), arm: arm.name, constant, norm_examples, seed }
    }

    fn test<'a>(&'a self, arm: &'a Arm, adversarial: bool, seed: u64) -> Test<'a> {
        let Self { naive, strong, .. } = self;
        Test { trained: self.trained(arm, adversarial, seed), source: self.source(), naive, strong }
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
        plan.add(self.free())?;
        plan.add(self.source())?;
        for adversarial in [false, true] {
            for arm in self.arms(adversarial) {
                if let Constant::Chosen(choose) = self.constant(arm, adversarial) {
                    choose.grid().into_iter().try_for_each(|s| plan.add(s))?;
                    plan.add(choose)?;
                }
                for &seed in seeds {
                    plan.add(self.trained(arm, adversarial, seed))?;
                    plan.add(self.test(arm, adversarial, seed))?;
                }
            }
        }
        Ok(())
    }

    fn measure(&self, seeds: &[u64], _: &Site, done: &Done<'_>) -> Result<Measured> {
        let mut m = Measured::default();
        theory(self, done, &mut m)?;
        for adversarial in [false, true] {
            for arm in self.arms(adversarial) {
                choice(self, arm, adversarial, done, &mut m)?;
                record(self, arm, adversarial, seeds, done, &mut m)?;
            }
        }
        m.flags.extend(self.data.flag());
        m.flags.push(
            "The paper's formula, constants, radii, networks and tables are unknown to us: the default form is recalled, \
             and directions are compared, not numbers."
                .into(),
        );
        Ok(m)
    }

    fn page(&self, results: &Results, _: &Done<'_>, page: &mut Page) -> Result<()> {
        page::write(self, results, page)
    }
}

/// How far free logits are from their optimum at the end, and how much their norm grew in the second half.
fn theory(cfg: &Config, done: &Done<'_>, m: &mut Measured) -> Result<()> {
    let paths = done.output(&cfg.free())?;
    for p in &paths {
        if let (Some(limit), Some(end)) = (p.limit, p.points.last()) {
            m.put(format!("optimum.off.{}", p.name), vec![(end.1 - limit).abs()])?;
        }
        let half = p.points.iter().rfind(|q| 2 * q.0 <= cfg.optimum.iterations);
        if let (Some(half), Some(end)) = (half, p.points.last()) {
            m.put(format!("optimum.still_growing.{}", p.name), vec![end.1 - half.1])?;
        }
    }
    m.series.insert("optimum".into(), serde_json::to_value(&paths)?);
    Ok(())
}

/// The constant of an arm, and all that were tried.
fn choice(cfg: &Config, arm: &Arm, adversarial: bool, done: &Done<'_>, m: &mut Measured) -> Result<()> {
    let (kind, name) = (cfg.setting(adversarial).kind(), arm.name.name());
    let (value, tried) = match cfg.constant(arm, adversarial) {
        Constant::Given(value) => (value, Vec::new()),
        Constant::Chosen(choose) => {
            let c = done.output(&choose)?;
            let (constant, title) = (arm.name.constant(), arm.name.title());
            m.remark(kind, name, c.remark(&format!("{constant} chosen for {title}")));
            let row = |(value, v): &(f64, Option<Validated>)| -> Value {
                json!([value, v.map(|v| v.clean), v.map(|v| v.robust)])
            };
            (c.value, c.tried.iter().map(row).collect())
        }
    };
    m.series.insert(format!("{kind}.{name}.choice"), json!({ "value": value, "tried_value_clean_robust": tried }));
    Ok(())
}

/// The metrics of an arm.
fn record(cfg: &Config, arm: &Arm, adversarial: bool, seeds: &[u64], done: &Done<'_>, m: &mut Measured) -> Result<()> {
    let (kind, name) = (cfg.setting(adversarial).kind(), arm.name.name());
    let tested: Vec<Tested> = done.outputs(seeds, |s| cfg.test(arm, adversarial, s))?;
    let histories: Vec<History> = done.outputs(seeds, |s| cfg.trained(arm, adversarial, s))?;
    let mut put = |measure: &str, f: &dyn Fn(&Tested) -> f64| -> Result<()> {
        m.put(format!("{kind}.{measure}.{name}"), tested.iter().map(f).collect())
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
            let mean = |f: &dyn Fn(&Norms) -> f64| {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::workspace;
    use crate::recipe::Recipe;
    use sconce::args::Places;
    use sconce::places::lookup;
    use sconce_tensor_core::Device;
    use sconce_tensor_core::store::Fingerprint;
    use xtask::cli::Preset;

    #[test]
    fn only_a_grid_of_several_values_is_chosen_from_and_reserved_seeds_are_refused() {
        let folder = workspace().join("xtask/recipes/blf");
        let keys = |preset, seeds: &[u64]| -> Result<Vec<String>> {
            let cfg: Config = Recipe::read(&folder, preset, &[]).unwrap().open().unwrap();
            let site = Site::new(Device::Cpu, lookup(&Places::default()).unwrap());
            let mut plan = Plan::new(Fingerprint::new());
            cfg.plan(seeds, &site, &mut plan)?;
            Ok(plan.jobs().iter().map(|j| j.id.key.clone()).collect())
        };
        let chosen = |k: &&String| k.starts_with("select/") || k.starts_with("choose/");
        assert_eq!(keys(Preset::Quick, &[0]).unwrap().iter().filter(chosen).count(), 0);
        let full = keys(Preset::Full, &[0]).unwrap();
        for want in
            ["select/std/plain/seed1000", "select/at/trades-3/seed1000", "choose/at/trades", "train/at/plain/seed0"]
        {
            assert!(full.iter().any(|k| k == want), "{want}: {full:?}");
        }
        assert!(!full.iter().any(|k| k == "choose/std/plain"));
        for reserved in [1000, SOURCE_SEED] {
            assert!(keys(Preset::Quick, &[0, reserved]).is_err());
        }
    }
}
