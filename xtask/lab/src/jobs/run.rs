//! Doing jobs: all of them, one, or none; what is done; and how long the rest takes.

use super::folder::Stored;
use super::plan::Planned;
use super::{Folder, Job, Plan, Rates, Site, Work};
use crate::terminal::{Bar, Place, clock, say};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Instant;

/// Holes that an error names; the rest it counts.
const NAMED: usize = 20;

/// A plan at its site, in its folder.
pub struct Runner<'a> {
    /// Device and data.
    pub site: &'a Site,
    /// Outputs.
    pub folder: &'a Folder,
    /// The jobs.
    pub plan: &'a Plan<'a>,
    /// Seconds per unit on another machine, for kinds of which nothing is done here.
    pub recorded: Rates,
    times: RefCell<Times>,
}

/// Seconds of the jobs that are done, by key, and by kind with their cost.
#[derive(Default)]
struct Times {
    wall: BTreeMap<String, f64>,
    kinds: BTreeMap<String, (f64, f64)>,
}

/// The outputs of a run that is complete.
pub struct Done<'a> {
    folder: &'a Folder,
    plan: &'a Plan<'a>,
}

impl Done<'_> {
    /// The output of a job.
    pub fn output<J: Job>(&self, job: &J) -> Result<J::Output> {
        let key = job.key();
        self.plan.get(&key)?;
        let stored = self.folder.output(&key, &self.plan.print(job)?)?;
        Ok(stored.with_context(|| format!("job {key} is not done"))?.value)
    }

    /// The outputs of one job for each seed.
    pub fn outputs<J: Job>(&self, seeds: &[u64], job: impl Fn(u64) -> J) -> Result<Vec<J::Output>> {
        seeds.iter().map(|s| self.output(&job(*s))).collect()
    }
}

impl<'a> Runner<'a> {
    /// A runner that knows which jobs are done. One of another fingerprint is an error.
    pub fn new(site: &'a Site, folder: &'a Folder, plan: &'a Plan<'a>, recorded: Rates) -> Result<Self> {
        let runner = Self { site, folder, plan, recorded, times: RefCell::default() };
        for job in plan.jobs() {
            if let Some(stored) = folder.output::<Value>(&job.key, &job.print)? {
                runner.note(job, stored.wall_s);
            }
        }
        Ok(runner)
    }

    fn note(&self, job: &Planned<'_>, wall_s: f64) {
        let mut times = self.times.borrow_mut();
        times.wall.insert(job.key.clone(), wall_s);
        let kind = times.kinds.entry(job.kind().to_owned()).or_default();
        *kind = (kind.0 + wall_s, kind.1 + job.cost);
    }

    fn is_done(&self, key: &str) -> bool {
        self.times.borrow().wall.contains_key(key)
    }

    /// Seconds of all jobs that are done.
    pub fn seconds(&self) -> f64 {
        self.times.borrow().wall.values().sum()
    }

    /// Seconds per unit, by kind, as measured here.
    pub fn rates(&self) -> Rates {
        let times = self.times.borrow();
        times.kinds.iter().filter(|k| k.1.1 > 0.0).map(|(k, (wall, cost))| (k.clone(), wall / cost)).collect()
    }

    /// Seconds that a job takes, as far as its kind was timed.
    fn estimate(&self, job: &Planned<'_>, rates: &Rates) -> Option<f64> {
        let rate = rates.get(job.kind()).or_else(|| self.recorded.get(job.kind()));
        if job.cost == 0.0 { Some(0.0) } else { rate.map(|r| r * job.cost) }
    }

    fn place(&self) -> Place {
        let rates = self.rates();
        // A kind that was never timed counts as the mean of the others.
        let known: Vec<f64> = self.plan.jobs().iter().filter_map(|j| self.estimate(j, &rates)).collect();
        let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
        let (mut done, mut left) = (0.0, 0.0);
        for job in self.plan.jobs() {
            let s = self.estimate(job, &rates).unwrap_or(if mean > 0.0 { mean } else { 1.0 });
            if self.is_done(&job.key) { done += s } else { left += s }
        }
        Place { share: if done + left > 0.0 { done / (done + left) } else { 1.0 }, left: (mean > 0.0).then_some(left) }
    }

    /// Does what is not done, in order.
    pub fn all(&self) -> Result<()> {
        self.plan.jobs().iter().filter(|j| !self.is_done(&j.key)).try_for_each(|j| self.one(j))
    }

    /// Does one job by its key, if it is not done. What it needs must be.
    pub fn by_key(&self, key: &str) -> Result<()> {
        let job = self.plan.get(key).context("--job")?;
        if self.is_done(key) {
            say(&format!("{key} is done"));
            return Ok(());
        }
        let holes: Vec<&str> = job.needs.iter().map(String::as_str).filter(|n| !self.is_done(n)).collect();
        if !holes.is_empty() {
            bail!("--job {key} needs what is not done: {}", holes.join(", "));
        }
        self.one(job)
    }

    fn one(&self, job: &Planned<'_>) -> Result<()> {
        self.folder.prepare(&job.key)?;
        let bar = Bar::new(&job.key, self.place());
        let started = Instant::now();
        let work = Work {
            site: self.site,
            folder: self.folder,
            plan: self.plan,
            bar: &bar,
            key: job.key.clone(),
            needs: job.needs.clone(),
            print: job.print.clone(),
        };
        let value = job.run(&work).with_context(|| format!("job {}", job.key))?;
        let wall_s = started.elapsed().as_secs_f64();
        self.folder.keep(&job.key, &job.print, Stored { wall_s, value })?;
        self.note(job, wall_s);
        bar.finish(&job.key, wall_s, self.place());
        Ok(())
    }

    /// The outputs, if all jobs are done; the error names those that are not.
    pub fn collect(&self) -> Result<Done<'a>> {
        let holes: Vec<&str> = self.plan.jobs().iter().map(|j| j.key.as_str()).filter(|k| !self.is_done(k)).collect();
        if holes.is_empty() {
            return Ok(Done { folder: self.folder, plan: self.plan });
        }
        let more = holes.len().saturating_sub(NAMED);
        let more = if more > 0 { format!("\n  and {more} more (--list shows all)") } else { String::new() };
        bail!(
            "{} of {} jobs are not done:\n  {}{more}",
            holes.len(),
            self.plan.jobs().len(),
            holes[..holes.len().min(NAMED)].join("\n  ")
        )
    }

    /// Prints every job: its key, whether it is done, and its seconds, taken or estimated.
    pub fn list(&self) {
        let rates = self.rates();
        let width = self.plan.jobs().iter().map(|j| j.key.len()).max().unwrap_or(0);
        let (mut left, mut unknown) = (0.0, 0);
        for job in self.plan.jobs() {
            let taken = self.times.borrow().wall.get(&job.key).copied();
            let (state, time) = match (taken, self.estimate(job, &rates)) {
                (Some(s), _) => ("done", format!("{s:.1} s")),
                (None, Some(s)) => {
                    left += s;
                    ("to do", format!("about {s:.1} s"))
                }
                (None, None) => {
                    unknown += 1;
                    ("to do", "not timed yet".to_owned())
                }
            };
            say(&format!("{:<width$}  {state:<5}  {time}", job.key));
        }
        let jobs = self.plan.jobs();
        let open = jobs.iter().filter(|j| !self.is_done(&j.key)).count();
        let more = if unknown > 0 { format!(", and {unknown} that were not timed yet") } else { String::new() };
        say(&format!("{} jobs, {open} to do: about {}{more}", jobs.len(), clock(left)));
    }
}
