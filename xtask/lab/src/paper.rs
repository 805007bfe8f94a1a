//! What every reproduction is.

use crate::jobs::{Done, Plan, Site};
use crate::recipe::Recipe;
use crate::results::Results;
use anyhow::Result;
use sconce_report::Page;
use sconce_tensor_core::stats::Summary;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One line in the table of papers.
pub struct Entry {
    /// The slug.
    pub slug: &'static str,
    /// The number of the paper on arXiv.
    pub arxiv: &'static str,
    /// The title of its report.
    pub title: &'static str,
    /// What it is about, in a few sentences.
    pub lead: &'static str,
    /// Whether it differentiates gradients: candle must then keep their graph.
    pub twice: bool,
    /// Reads and checks a recipe.
    pub open: fn(&Recipe) -> Result<Box<dyn Paper>>,
}

/// A paper with a recipe.
pub trait Paper {
    /// The seeds of the recipe.
    fn seeds(&self) -> &[u64];

    /// Adds the jobs for these seeds. Data that is not found may leave some out, if [`Paper::measure`] says so.
    fn plan<'a>(&'a self, seeds: &[u64], site: &Site, plan: &mut Plan<'a>) -> Result<()>;

    /// Metrics and series from the outputs.
    fn measure(&self, seeds: &[u64], site: &Site, done: &Done<'_>) -> Result<Measured>;

    /// Adds the sections between the claims and the provenance.
    fn page(&self, results: &Results, done: &Done<'_>, page: &mut Page) -> Result<()>;
}

/// What was measured.
#[derive(Default)]
pub struct Measured {
    /// Values over the seeds, by name.
    pub metrics: BTreeMap<String, Summary>,
    /// Seconds and ratios of seconds.
    pub timing: BTreeMap<String, Summary>,
    /// Curves and maps.
    pub series: BTreeMap<String, serde_json::Value>,
    /// What a reader must know.
    pub flags: Vec<String>,
    /// Choices of which the claims about them must tell.
    pub caveats: Vec<Caveat>,
    /// First parts of the names of metrics that were left out, because their data was not found.
    pub left_out: Vec<String>,
}

impl Measured {
    /// A metric of one value a seed.
    pub fn put(&mut self, name: impl Into<String>, values: Vec<f64>) -> Result<()> {
        self.metrics.insert(name.into(), Summary::new(values)?);
        Ok(())
    }

    /// Something about one arm that its claims must tell, and the reader must know; nothing where there is none.
    pub fn remark(&mut self, place: &str, arm: &str, text: Option<String>) {
        if let Some(text) = text {
            self.flags.push(format!("{place}: {text}"));
            self.caveats.push(Caveat { place: place.to_owned(), arm: arm.to_owned(), text });
        }
    }
}

/// Something that every claim with a metric of this place and this arm (`<place>.<measure>.<arm>`) must tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Caveat {
    /// The first part of the names of metrics.
    pub place: String,
    /// The last part.
    pub arm: String,
    /// What to tell.
    pub text: String,
}

impl Caveat {
    /// Whether it is about a metric.
    pub fn concerns(&self, metric: &str) -> bool {
        metric.split('.').next() == Some(&self.place) && metric.ends_with(&format!(".{}", self.arm))
    }
}
