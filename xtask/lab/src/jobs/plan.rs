//! The list of jobs of a run, in an order in which each comes after those that it needs.

use super::{Id, Job, Work};
use anyhow::{Context, Result, bail};
use sconce_tensor_core::store::{Digest, Fingerprint};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// Seconds per unit of cost, by kind of job.
pub type Rates = BTreeMap<String, f64>;

/// A job without its type: its output is JSON.
trait Any {
    fn run(&self, work: &Work<'_>) -> Result<Value>;
    fn agreed(&self, output: Value) -> Value;
}

impl<J: Job> Any for J {
    fn run(&self, work: &Work<'_>) -> Result<Value> {
        let value = serde_json::to_value(Job::run(self, work)?)?;
        // JSON has no NaN and no infinity: one that was kept would be refused by every reader.
        let back: J::Output =
            serde_json::from_value(value.clone()).context("its output has a number that is not finite")?;
        anyhow::ensure!(serde_json::to_value(back)? == value, "its output does not survive being written");
        Ok(value)
    }

    fn agreed(&self, output: Value) -> Value {
        Job::agreed(self, output)
    }
}

/// A job in its place.
pub struct Planned<'a> {
    job: Box<dyn Any + 'a>,
    /// Its key and its fingerprint: the name of its files.
    pub id: Id,
    /// What it needs.
    pub needs: Vec<String>,
    /// Its work.
    pub cost: f64,
}

impl Planned<'_> {
    /// Does it.
    pub fn run(&self, work: &Work<'_>) -> Result<Value> {
        self.job.run(work)
    }

    /// What two runs must agree on of its output.
    pub fn agreed(&self, output: Value) -> Value {
        self.job.agreed(output)
    }

    /// Its key.
    pub fn key(&self) -> &str {
        &self.id.key
    }

    /// The kind of a key: its first part.
    pub fn kind(&self) -> &str {
        kind(&self.id.key)
    }
}

/// The first part of a key.
pub fn kind(key: &str) -> &str {
    key.split('/').next().unwrap_or(key)
}

/// All jobs.
pub struct Plan<'a> {
    base: Fingerprint,
    jobs: Vec<Planned<'a>>,
    by_key: HashMap<String, usize>,
}

impl<'a> Plan<'a> {
    /// An empty plan. `base` holds what all fingerprints share: paper, code, kind of device.
    pub fn new(base: Fingerprint) -> Self {
        Self { base, jobs: Vec::new(), by_key: HashMap::new() }
    }

    /// Adds a job after those that it needs. The same job twice is one.
    pub fn add<J: Job + 'a>(&mut self, job: J) -> Result<()> {
        let (key, needs, print) = (job.key(), job.needs(), self.print(&job)?);
        if let Some(at) = self.by_key.get(&key) {
            let difference = self.jobs[*at].id.print.difference(&print);
            if difference.is_empty() {
                return Ok(());
            }
            bail!("two jobs have the key {key} and differ in\n  {}", difference.join("\n  "));
        }
        self.by_key.insert(key.clone(), self.jobs.len());
        self.jobs.push(Planned { cost: job.cost(), job: Box::new(job), id: Id::new(key, print)?, needs });
        Ok(())
    }

    /// The fingerprint of a job: what it reads, and the fingerprints of what it needs.
    pub fn print<J: Job>(&self, job: &J) -> Result<Fingerprint> {
        let key = job.key();
        let reads = serde_json::to_value(job).with_context(|| format!("job {key}"))?;
        let mut print = self.base.clone().with("job", &key).with_tree("reads", &reads);
        for need in job.needs() {
            let of = self.get(&need).with_context(|| format!("job {key}"))?;
            let text = serde_json::to_vec(&of.id.print)?;
            print = print.with(format!("needs.{need}"), &Digest::new().bytes(&text).hex()[..16]);
        }
        Ok(print)
    }

    /// The name of a job's files.
    pub fn id<J: Job>(&self, job: &J) -> Result<Id> {
        Id::new(job.key(), self.print(job)?)
    }

    /// The digest of all jobs in order: the same plan in two processes has the same.
    pub fn digest(&self) -> String {
        let all = Digest::new();
        let all = self.jobs.iter().fold(all, |d, j| d.bytes(j.id.key.as_bytes()).bytes(j.id.tag().as_bytes()));
        all.hex()[..12].to_owned()
    }

    /// In order.
    pub fn jobs(&self) -> &[Planned<'a>] {
        &self.jobs
    }

    /// A job by its key; the error names the nearest key.
    pub fn get(&self, key: &str) -> Result<&Planned<'a>> {
        if let Some(at) = self.by_key.get(key) {
            return Ok(&self.jobs[*at]);
        }
        let like = |k: &&String| strsim::normalized_damerau_levenshtein(key, k);
        let nearest = self.by_key.keys().max_by(|a, b| like(a).total_cmp(&like(b)).then_with(|| b.cmp(a)));
        bail!("no job `{key}`{}", nearest.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())
    }
}
