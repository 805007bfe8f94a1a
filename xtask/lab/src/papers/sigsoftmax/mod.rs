//! Sigsoftmax (arXiv 1805.10829): an output function that breaks the softmax bottleneck, and what of it shows in perplexity.

mod choose;
mod config;
mod control;
mod corpus;
mod language;
mod page;
mod synthetic;

use crate::jobs::{Done, Plan, Site};
use crate::pages::html::Page;
use crate::paper::{Entry, Measured, Paper};
use crate::results::Results;
use anyhow::{Result, bail};
use choose::{Choose, Rate};
use config::{Arm, Config, Synthetic, Teacher, Text};
use corpus::{Count, Cut};
use language::{Learner, Test, Tested, Trained};
use sconce_activations::OutputFunction;
use serde_json::json;
use synthetic::{OUTPUTS, Ranks, Student, Students};

/// The reproduction.
pub const PAPER: Entry = Entry {
    slug: "sigsoftmax",
    arxiv: "1805.10829",
    title: "Sigsoftmax and the softmax bottleneck",
    lead: "A softmax on top of d hidden units can only make matrices of log-probabilities of rank d + 2, \
        however many classes there are. Sigsoftmax, exp(z) sigmoid(z) normalised, has no such bound and no more \
        parameters (arXiv 1805.10829). That it has a higher rank is a theorem; whether its perplexity is lower is a question \
        for data.",
    twice: false,
    open: |recipe| {
        let cfg: Config = recipe.open()?;
        cfg.validate()?;
        Ok(Box::new(cfg))
    },
};

impl Config {
    fn students<'a>(&'a self, study: &'a Synthetic, teacher: Teacher, d: usize, seed: u64) -> Students<'a> {
        Students { study, teacher, d, arms: &self.arms, seed }
    }

    fn learner<'a>(&self, text: &'a Text, arm: &'a Arm) -> Result<Learner<'a>> {
        Ok(Learner { cut: Cut::from(text), arm, model: text.of(arm)? })
    }

    fn rate<'a>(&self, text: &'a Text, arm: &'a Arm) -> Result<Rate<'a>> {
        let learner = self.learner(text, arm)?;
        let rates = &learner.model.train.lr;
        Ok(match rates[..] {
            [only] => Rate::Given(only),
            _ => Rate::Chosen(Choose { learner, selection: &text.selection, rates }),
        })
    }

    fn trained<'a>(&self, text: &'a Text, arm: &'a Arm, seed: u64) -> Result<Trained<'a>> {
        Ok(Trained { learner: self.learner(text, arm)?, rate: self.rate(text, arm)?, seed })
    }

    fn test<'a>(&'a self, text: &'a Text, arm: &'a Arm, seed: u64) -> Result<Test<'a>> {
        let trained = self.trained(text, arm, seed)?;
        Ok(Test { trained, rank: &self.rank, dynamic: self.dynamic.as_ref() })
    }
}

impl Paper for Config {
    fn seeds(&self) -> &[u64] {
        &self.seeds
    }

    fn plan<'a>(&'a self, seeds: &[u64], _: &Site, plan: &mut Plan<'a>) -> Result<()> {
        if let Some(s) = seeds.iter().find(|s| self.corpora.iter().any(|c| c.selection.seeds.contains(s))) {
            bail!("seeds: {s} is a selection seed");
        }
        if let Some(s) = &self.synthetic {
            for &seed in seeds {
                plan.add(Ranks { random: &s.random, seed })?;
            }
            for teacher in &s.teachers {
                for d in &s.dims {
                    seeds.iter().try_for_each(|seed| plan.add(self.students(s, *teacher, *d, *seed)))?;
                }
            }
        }
        for text in &self.corpora {
            plan.add(Count { cut: Cut::from(text) })?;
            for arm in &self.arms {
                if let Rate::Chosen(choose) = self.rate(text, arm)? {
                    choose.grid().into_iter().try_for_each(|s| plan.add(s))?;
                    plan.add(choose)?;
                }
                for &seed in seeds {
                    plan.add(self.trained(text, arm, seed)?)?;
                    plan.add(self.test(text, arm, seed)?)?;
                }
            }
        }
        Ok(())
    }

    fn measure(&self, seeds: &[u64], _: &Site, done: &Done<'_>) -> Result<Measured> {
        let mut m = Measured::default();
        if let Some(s) = &self.synthetic {
            random(s, seeds, done, &mut m)?;
            study(self, s, seeds, done, &mut m)?;
        }
        for text in &self.corpora {
            let counts = done.output(&Count { cut: Cut::from(text) })?;
            m.series.insert(format!("{}.corpus", text.name), serde_json::to_value(counts)?);
            for arm in &self.arms {
                language(self, text, arm, seeds, done, &mut m)?;
            }
            if text.name == "austen" {
                m.flags.push(
                    "The text is six novels of Jane Austen, of Penn Treebank's size; the paper's texts are Penn Treebank and \
                     WikiText-2 (preset paper)."
                        .into(),
                );
            }
        }
        m.flags.push(
            "The paper's own settings and tables are not known to us beyond its abstract and public code: directions are \
             compared, not numbers."
                .into(),
        );
        Ok(m)
    }

    fn page(&self, results: &Results, _: &Done<'_>, page: &mut Page) -> Result<()> {
        page::write(self, results, page)
    }
}

/// Ranks with random logits, and the numbers that the theorem compares them with.
fn random(s: &Synthetic, seeds: &[u64], done: &Done<'_>, m: &mut Measured) -> Result<()> {
    let each = done.outputs(seeds, |seed| Ranks { random: &s.random, seed })?;
    for output in OUTPUTS {
        let of = |f: fn(&(usize, usize)) -> usize| each.iter().map(|r| f(&r[output.name()]) as f64).collect();
        m.put(format!("random.rank.{}", output.name()), of(|r| r.0))?;
        m.put(format!("random.rank_with_bias.{}", output.name()), of(|r| r.1))?;
    }
    let (d, classes) = (s.random.width as f64, s.random.classes as f64);
    for (name, value) in [("d_plus_1", d + 1.0), ("d_plus_2", d + 2.0), ("classes", classes)] {
        m.put(format!("random.{name}"), vec![value; seeds.len()])?;
    }
    Ok(())
}

/// The synthetic study.
fn study(cfg: &Config, s: &Synthetic, seeds: &[u64], done: &Done<'_>, m: &mut Measured) -> Result<()> {
    // For each seed: the largest distance of softmax from d + 2, the least excess of sigsoftmax over it.
    let (mut off, mut over) = (vec![0f64; seeds.len()], vec![f64::INFINITY; seeds.len()]);
    for teacher in &s.teachers {
        for &d in &s.dims {
            let all = done.outputs(seeds, |seed| cfg.students(s, *teacher, d, seed))?;
            for (a, arm) in cfg.arms.iter().enumerate() {
                // The students of a job are in the order of the arms.
                let own: Vec<&Student> = all.iter().map(|students| &students[a]).collect();
                let name = |what: &str| format!("synthetic.{what}.{}.d{d}.{}", teacher.name(), arm.name);
                m.put(name("kl"), own.iter().map(|s| s.kl).collect())?;
                m.put(name("rank"), own.iter().map(|s| s.rank as f64).collect())?;
                for (i, student) in own.iter().enumerate() {
                    match (arm.output.as_str(), arm.mixture) {
                        ("softmax", 0) => off[i] = off[i].max((student.rank as f64 - (d + 2) as f64).abs()),
                        ("sigsoftmax", 0) => over[i] = over[i].min(student.rank as f64 - (d + 2) as f64),
                        _ => {}
                    }
                }
                m.series.insert(name("spectrum"), serde_json::to_value(&own[0].spectrum)?);
            }
        }
    }
    m.put("synthetic.rank_off.softmax", off)?;
    if over.iter().all(|v| v.is_finite()) {
        m.put("synthetic.rank_over.sigsoftmax", over)?;
    }
    Ok(())
}

/// The rate and the metrics of an arm on a text.
fn language(cfg: &Config, text: &Text, arm: &Arm, seeds: &[u64], done: &Done<'_>, m: &mut Measured) -> Result<()> {
    let (place, name) = (&text.name, &arm.name);
    if let Rate::Chosen(choose) = cfg.rate(text, arm)? {
        let c = done.output(&choose)?;
        m.remark(place, name, c.remark(&format!("rate chosen for {}", arm.title())));
        m.series.insert(format!("{place}.{name}.rate"), json!({ "chosen": c.value, "tried_rate_nll": c.tried }));
    }
    let of = |seed: &u64| done.output(&cfg.test(text, arm, *seed)?);
    let tested: Vec<Tested> = seeds.iter().map(of).collect::<Result<_>>()?;
    let of = |seed: &u64| done.output(&cfg.trained(text, arm, *seed)?);
    let histories = seeds.iter().map(of).collect::<Result<Vec<_>>>()?;
    let mut one = |what: &str, f: &dyn Fn(&Tested) -> Option<f64>| -> Result<()> {
        match tested.iter().map(f).collect::<Option<Vec<f64>>>() {
            Some(values) => m.put(format!("{place}.{what}.{name}"), values),
            None => Ok(()),
        }
    };
    one("validation_ppl", &|t| Some(t.validation))?;
    one("test_ppl", &|t| Some(t.test))?;
    one("dynamic_ppl", &|t| t.dynamic)?;
    one("rank", &|t| Some(t.rank as f64))?;
    one("best_epoch", &|t| Some(t.best as f64))?;
    m.series.insert(format!("{place}.{name}.spectrum"), serde_json::to_value(&tested[0].spectrum)?);
    m.series.insert(format!("{place}.{name}.history"), serde_json::to_value(&histories)?);
    Ok(())
}
