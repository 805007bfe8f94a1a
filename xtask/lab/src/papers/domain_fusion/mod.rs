//! Domain Fusion (arXiv 1912.11597): a GAN of two labelled domains as data augmentation.

mod classify;
mod config;
mod evaluator;
mod gan;
mod measures;
mod outer;
mod page;
mod score;
mod sets;
mod show;
mod toy;

use crate::jobs::{Done, Plan, Site};
use crate::paper::{Entry, Measured, Paper};
use crate::results::Results;
use anyhow::Result;
use classify::{Beside, Classify};
use config::{Arm, Config};
use evaluator::Evaluator;
use gan::Train;
use outer::Suits;
use sconce_report::Page;
use score::{Context, Fidelity};
use show::Show;
use toy::Ring;

/// The reproduction.
pub const PAPER: Entry = Entry {
    slug: "domain-fusion",
    arxiv: "1912.11597",
    title: "Domain Fusion: a GAN of two domains as data augmentation",
    lead: "A classifier has few labelled images. Domain Fusion trains one conditional GAN on them and on a large labelled outer data set at the same time, and \
        adds generated images of the target's classes to the classifier's training (arXiv 1912.11597). Here the target is a few images of look-alike \
        garments, and every GAN stands beside controls that need none: more real images, a classifier that saw the outer data, the training images \
        themselves in the place of generated ones.",
    twice: false,
    open: |recipe| {
        let cfg: Config = recipe.open()?;
        cfg.validate()?;
        Ok(Box::new(cfg))
    },
};

impl Config {
    fn evaluator(&self) -> Evaluator<'_> {
        Evaluator { target: &self.target, net: &self.evaluator }
    }

    fn train<'a>(&'a self, arm: &'a Arm, n: usize, seed: u64) -> Result<Train<'a>> {
        let outer = self.outer(&arm.outer)?;
        Ok(Train { target: &self.target, outer, gan: &self.gan, arm, n, seed, evaluator: self.evaluator() })
    }

    fn classify<'a>(&'a self, beside: Beside<'a>, n: usize, seed: u64) -> Classify<'a> {
        Classify { target: &self.target, net: &self.classifier, beside, n, seed }
    }

    fn context(&self, n: usize, seed: u64) -> Context<'_> {
        Context { target: &self.target, samples: self.gan.samples, n, seed, evaluator: self.evaluator() }
    }

    fn suits<'a>(&'a self, outer: &'a config::Outer, n: usize, seed: u64) -> Suits<'a> {
        Suits { target: &self.target, outer, n, seed, evaluator: self.evaluator() }
    }

    fn ring(&self, seed: u64) -> Ring<'_> {
        Ring { toy: &self.toy, seed }
    }

    /// The controls without a GAN.
    fn controls(&self) -> Result<[Beside<'_>; 4]> {
        let outer = self.outer(&self.target.controls)?;
        Ok([Beside::Nothing, Beside::Pretrained(outer), Beside::JointLabels(outer), Beside::FourTimes])
    }

    /// The size whose GANs are looked at.
    fn looked_at(&self) -> usize {
        self.sizes[0]
    }
}

impl Paper for Config {
    fn seeds(&self) -> &[u64] {
        &self.seeds
    }

    fn plan<'a>(&'a self, seeds: &[u64], _: &Site, plan: &mut Plan<'a>) -> Result<()> {
        plan.add(self.evaluator())?;
        for &seed in seeds {
            plan.add(self.ring(seed))?;
            for &n in &self.sizes {
                for control in self.controls()? {
                    plan.add(self.classify(control, n, seed))?;
                }
                plan.add(self.context(n, seed))?;
                for outer in &self.outers {
                    plan.add(self.suits(outer, n, seed))?;
                }
                for arm in &self.arms {
                    let train = self.train(arm, n, seed)?;
                    plan.add(train)?;
                    plan.add(Fidelity { train })?;
                    plan.add(self.classify(Beside::Generated(train), n, seed))?;
                    plan.add(self.classify(Beside::GeneratedAlone(train), n, seed))?;
                }
            }
        }
        for arm in &self.arms {
            plan.add(Show { train: self.train(arm, self.looked_at(), seeds[0])? })?;
        }
        Ok(())
    }

    fn measure(&self, seeds: &[u64], _: &Site, done: &Done<'_>) -> Result<Measured> {
        measures::measure(self, seeds, done)
    }

    fn page(&self, results: &Results, done: &Done<'_>, page: &mut Page) -> Result<()> {
        page::write(self, results, done, page)
    }
}
