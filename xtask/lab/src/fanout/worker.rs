//! A process that does its share.

use super::claims::{Held, Others, SILENCE};
use super::share::shares;
use super::starts;
use crate::exit;
use crate::jobs::{FAILED, Planned, Runner, STARTS, remove};
use crate::terminal::note;
use anyhow::{Result, anyhow};
use sconce::args::Share;
use sconce_tensor_core::Error;
use sconce_tensor_core::error::describe;
use sconce_tensor_core::store::write_whole;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long it waits before it looks again for what others do.
const WAIT: Duration = Duration::from_secs(1);

/// A share at work.
struct Worker<'a> {
    runner: &'a Runner<'a>,
    share: Share,
    restarts: usize,
    others: Others,
    /// Jobs that failed here, or that need one that did, with the first line of why.
    failed: BTreeMap<String, String>,
    /// The exit code of the first failure.
    code: u8,
    /// Whether a job was started.
    began: bool,
}

/// Does a share of the plan: its jobs, and whatever they need that nobody else does. A job that fails holds up those that need it, and no other. The
/// number of shares may be another than that of an earlier run.
///
/// # Errors
/// Those of jobs, named; [`sconce_tensor_core::Error::Stopped`] where a signal asked for it.
pub fn work(runner: &Runner<'_>, share: Share, restarts: usize) -> Result<()> {
    let all = shares(runner.plan, &runner.recorded, share.of);
    let own: Vec<&Planned<'_>> =
        runner.plan.jobs().iter().zip(&all).filter(|(_, s)| **s == share.index).map(|(j, _)| j).collect();
    note(&format!("share {share}: {} of {} jobs", own.len(), runner.plan.jobs().len()));
    let mut worker =
        Worker { runner, share, restarts, others: Others::default(), failed: BTreeMap::new(), code: 0, began: false };
    let done = worker.all(&own);
    if done.as_ref().is_err_and(exit::stopped) && !worker.began {
        starts::idle(runner.folder, share, restarts)?;
    }
    done
}

impl<'a> Worker<'a> {
    fn all(&mut self, own: &[&Planned<'a>]) -> Result<()> {
        loop {
            let mut open = Vec::new();
            let mut done = false;
            for job in own {
                if self.settled(job)? {
                    continue;
                }
                if self.ready(job)? {
                    self.one(job)?;
                    done = true;
                } else {
                    open.push(*job);
                }
            }
            if open.is_empty() {
                return self.end();
            }
            // All that is left waits for jobs of other shares.
            if !done && !self.help(&open)? {
                self.unless_asked()?;
                std::thread::sleep(WAIT);
            }
        }
    }

    fn unless_asked(&self) -> Result<()> {
        if sconce::stop::asked() {
            return Err(Error::Stopped { path: self.runner.folder.path().to_owned() }.into());
        }
        Ok(())
    }

    /// Whether nothing is left to do of a job here: it is done, or it cannot be.
    fn settled(&mut self, job: &Planned<'_>) -> Result<bool> {
        if self.failed.contains_key(job.key()) || self.runner.look(job)? {
            return Ok(true);
        }
        let Some(need) = job.needs.iter().find(|n| self.failed.contains_key(*n)) else { return Ok(false) };
        self.failed.insert(job.key().to_owned(), format!("needs {need}"));
        Ok(true)
    }

    fn ready(&self, job: &Planned<'_>) -> Result<bool> {
        for need in &job.needs {
            if !self.runner.look(self.runner.plan.get(need)?)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Does one job that others wait for here and that nobody seems to do; whether there was one.
    fn help(&mut self, open: &[&Planned<'a>]) -> Result<bool> {
        let plan = self.runner.plan;
        let mut wanted: Vec<&str> = open.iter().flat_map(|j| &j.needs).map(String::as_str).collect();
        let mut next = 0;
        while next < wanted.len() {
            for need in &plan.get(wanted[next])?.needs {
                if !wanted.contains(&need.as_str()) {
                    wanted.push(need);
                }
            }
            next += 1;
        }
        for job in plan.jobs().iter().filter(|j| wanted.contains(&j.key())) {
            if self.settled(job)? || !self.ready(job)? {
                continue;
            }
            if !self.others.work_on(self.runner.folder, &job.id, SILENCE) {
                self.one(job)?;
                return Ok(true);
            }
        }
        // What failed elsewhere in this loop may have settled what waited.
        Ok(open.iter().any(|j| self.failed.contains_key(j.key())))
    }

    /// Does a job, and remembers its failure. Only what concerns every job is an error: a signal, a disk.
    fn one(&mut self, job: &Planned<'_>) -> Result<()> {
        self.unless_asked()?;
        self.began = true;
        let (folder, id) = (self.runner.folder, &job.id);
        folder.prepare(id)?;
        remove(&folder.file(id, FAILED))?;
        let held = Held::new(folder, id, &self.share.to_string());
        let done = starts::note(folder, id, self.restarts).and_then(|()| self.runner.one(job));
        drop(held);
        let e = match done {
            Ok(()) => return remove(&folder.file(id, STARTS)),
            Err(e) if exit::stopped(&e) => return Err(e),
            Err(e) => e,
        };
        let why = describe(e.as_ref());
        // The error itself is what counts.
        let _ =
            write_whole(&folder.file(id, FAILED), format!("{}\n{why}\n", crate::jobs::Machine::here().host).as_bytes());
        if exit::of_disk(&e) {
            return Err(e);
        }
        note(&format!("failed: {why}"));
        self.code = if self.code == 0 { exit::code(&e) } else { self.code };
        self.failed.insert(id.key.clone(), why);
        Ok(())
    }

    fn end(&self) -> Result<()> {
        if self.failed.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = self.failed.iter().map(|(k, why)| format!("{k}: {why}")).collect();
        let text = format!("{} jobs of share {} failed:\n  {}", lines.len(), self.share, lines.join("\n  "));
        Err(if self.code == exit::REFUSED { exit::refused(text) } else { anyhow!(text) })
    }
}
