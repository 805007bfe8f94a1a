//! Doing jobs: all of them, one, or none; what is done; and how long the rest takes.

use super::plan::Planned;
use super::work::Traces;
use super::{Folder, Job, Machine, Plan, Rates, Site, Work};
use crate::exit;
use crate::terminal::{Bar, Place, clock, say};
use anyhow::{Context, Result, bail};
use sconce_tensor_core::Error;
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
    stale: BTreeMap<String, Vec<String>>,
}

/// Seconds of the jobs that are done, by key, and by kind with their cost.
#[derive(Default)]
struct Times {
    wall: BTreeMap<String, f64>,
    kinds: BTreeMap<String, (f64, f64)>,
    /// The hosts of each class of machine, with the jobs of each.
    machines: BTreeMap<String, BTreeMap<String, usize>>,
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
        let stored = self.folder.output(&self.plan.id(job)?)?;
        Ok(stored.with_context(|| format!("job {key} is not done"))?.value)
    }

    /// The outputs of one job for each seed.
    pub fn outputs<J: Job>(&self, seeds: &[u64], job: impl Fn(u64) -> J) -> Result<Vec<J::Output>> {
        seeds.iter().map(|s| self.output(&job(*s))).collect()
    }
}

impl<'a> Runner<'a> {
    /// A runner that knows which jobs are done, and which were done by other code or another recipe.
    pub fn new(site: &'a Site, folder: &'a Folder, plan: &'a Plan<'a>, recorded: Rates) -> Result<Self> {
        site.keep_digests(folder.data());
        let mut runner = Self { site, folder, plan, recorded, times: RefCell::default(), stale: BTreeMap::new() };
        for job in plan.jobs() {
            let difference = folder.difference(&job.id)?;
            if difference.is_empty() {
                runner.look(job)?;
            } else {
                runner.stale.insert(job.id.key.clone(), difference);
            }
        }
        Ok(runner)
    }

    /// Whether a job is done, perhaps by another process since.
    pub fn look(&self, job: &Planned<'_>) -> Result<bool> {
        if !self.is_done(job.key()) {
            match self.folder.output::<Value>(&job.id)? {
                Some(stored) => self.note(job, stored.wall_s, stored.resumed, stored.machine),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn note(&self, job: &Planned<'_>, wall_s: f64, resumed: bool, machine: Machine) {
        let mut times = self.times.borrow_mut();
        times.wall.insert(job.id.key.clone(), wall_s);
        *times.machines.entry(machine.class).or_default().entry(machine.host).or_default() += 1;
        // A part of a job tells nothing of how long one takes.
        if !resumed {
            let kind = times.kinds.entry(job.kind().to_owned()).or_default();
            *kind = (kind.0 + wall_s, kind.1 + job.cost);
        }
    }

    /// Whether a job was done when it was last looked for.
    pub fn is_done(&self, key: &str) -> bool {
        self.times.borrow().wall.contains_key(key)
    }

    /// Refuses outputs of other code or another recipe.
    pub fn refuse_stale(&self) -> Result<()> {
        let Some((key, difference)) = self.stale.first_key_value() else { return Ok(()) };
        Err(exit::refused(format!(
            "{} of {} jobs were done by other code or with another recipe (--list shows which).\nDo them again with --redo, throw all away with \
             --fresh, or write elsewhere with --out DIR. {key} differs in\n  {}",
            self.stale.len(),
            self.plan.jobs().len(),
            difference.join("\n  ")
        )))
    }

    /// Jobs of which there is an output of other code or another recipe, with how it differs.
    pub fn stale(&self) -> &BTreeMap<String, Vec<String>> {
        &self.stale
    }

    /// Throws outputs of other code or another recipe away.
    pub fn forget_stale(&mut self) -> Result<()> {
        std::mem::take(&mut self.stale).keys().try_for_each(|key| self.folder.forget_others(&self.plan.get(key)?.id))
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
    pub fn estimate(&self, job: &Planned<'_>, rates: &Rates) -> Option<f64> {
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
            if self.is_done(job.key()) { done += s } else { left += s }
        }
        Place { share: if done + left > 0.0 { done / (done + left) } else { 1.0 }, left: (mean > 0.0).then_some(left) }
    }

    /// Does what is not done, in order.
    pub fn all(&self) -> Result<()> {
        for job in self.plan.jobs() {
            if !self.look(job)? {
                self.one(job)?;
            }
        }
        Ok(())
    }

    /// Does some jobs by their keys, in the order of the plan, if they are not done. What they need must be.
    pub fn some(&self, keys: &[String]) -> Result<()> {
        keys.iter().try_for_each(|key| self.plan.get(key).map(drop)).context("--job")?;
        for job in self.plan.jobs().iter().filter(|j| keys.contains(&j.id.key)) {
            if self.look(job)? {
                say(&format!("{} is done", job.key()));
                continue;
            }
            let mut holes = Vec::new();
            for need in &job.needs {
                if !self.look(self.plan.get(need)?)? {
                    holes.push(need.as_str());
                }
            }
            if !holes.is_empty() {
                bail!("--job {} needs what is not done: {}", job.key(), holes.join(", "));
            }
            self.one(job)?;
        }
        Ok(())
    }

    /// Does a job, and keeps its output.
    pub fn one(&self, job: &Planned<'_>) -> Result<()> {
        if sconce::stop::asked() {
            return Err(Error::Stopped { path: self.folder.path().to_owned() }.into());
        }
        self.folder.prepare(&job.id)?;
        let bar = Bar::new(job.key(), self.place());
        let started = Instant::now();
        let work = Work {
            site: self.site,
            folder: self.folder,
            plan: self.plan,
            bar: &bar,
            id: job.id.clone(),
            needs: job.needs.clone(),
            traces: Traces::default(),
        };
        let value = job.run(&work).with_context(|| format!("job {}", job.key()))?;
        let stored = work.traces.stored(started, value);
        let (wall_s, resumed, machine) = (stored.wall_s, stored.resumed, stored.machine.clone());
        self.folder.keep(&job.id, stored, |output| Ok(job.agreed(output)))?;
        work.traces.clear()?;
        self.note(job, wall_s, resumed, machine);
        bar.finish(job.key(), wall_s, self.place());
        Ok(())
    }

    /// What a reader must know where the jobs were done on machines of several classes; none where all are alike.
    pub fn mixed(&self) -> Option<String> {
        let times = self.times.borrow();
        let class = |(class, hosts): (&String, &BTreeMap<String, usize>)| {
            let names: Vec<&str> = hosts.keys().map(String::as_str).collect();
            format!("{} jobs on {} ({class})", hosts.values().sum::<usize>(), names.join(", "))
        };
        let all: Vec<String> = times.machines.iter().map(class).collect();
        (all.len() > 1).then(|| {
            let n = all.len();
            format!(
                "The jobs ran on machines of {n} classes, so that last digits can be other than on one of them: {}.",
                all.join("; ")
            )
        })
    }

    /// The outputs, if all jobs are done; the error names those that are not.
    pub fn collect(&self) -> Result<Done<'a>> {
        self.refuse_stale()?;
        let holes: Vec<&str> = self.plan.jobs().iter().map(Planned::key).filter(|k| !self.is_done(k)).collect();
        if holes.is_empty() {
            return Ok(Done { folder: self.folder, plan: self.plan });
        }
        let more = holes.len().saturating_sub(NAMED);
        let more = if more > 0 { format!("\n  and {more} more (--list shows all)") } else { String::new() };
        Err(exit::holes(format!(
            "{} of {} jobs are not done:\n  {}{more}",
            holes.len(),
            self.plan.jobs().len(),
            holes[..holes.len().min(NAMED)].join("\n  ")
        )))
    }

    /// Prints every job: its key, whether it is done, and its seconds, taken or estimated. The last line sums up; `more` is its end.
    pub fn list(&self, more: Option<&str>) {
        let rates = self.rates();
        let width = self.plan.jobs().iter().map(|j| j.key().len()).max().unwrap_or(0);
        let (mut left, mut unknown) = (0.0, 0);
        for job in self.plan.jobs() {
            let taken = self.times.borrow().wall.get(job.key()).copied();
            let (state, time) = match (taken, self.estimate(job, &rates)) {
                (None, _) if self.stale.contains_key(job.key()) => ("stale", self.stale[job.key()].join(", ")),
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
            say(&format!("{:<width$}  {state:<5}  {time}", job.key()));
        }
        let jobs = self.plan.jobs();
        let open = jobs.iter().filter(|j| !self.is_done(j.key())).count();
        let untimed = if unknown > 0 { format!(", and {unknown} that were not timed yet") } else { String::new() };
        let elsewhere = jobs.iter().any(|j| !rates.contains_key(j.kind()) && self.recorded.contains_key(j.kind()));
        let by = if elsewhere && left > 0.0 { ", as timed on the machine of the recorded run" } else { "" };
        let stale = if self.stale.is_empty() { String::new() } else { format!(", {} of them stale", self.stale.len()) };
        say(&format!(
            "{} jobs, {open} to do{stale}: about {}{untimed}{by}{}",
            jobs.len(),
            clock(left),
            more.map_or_else(String::new, |m| format!("; {m}"))
        ));
    }
}
