//! What a job sees while it runs.

use super::folder::{SCRATCH, Stored, remove};
use super::{Folder, Id, Job, Machine, Plan, Site};
use crate::exit;
use crate::terminal::Bar;
use anyhow::{Context, Result, bail};
use sconce_tensor_core::Error;
use sconce_tensor_core::store::{Fingerprint, write_once};
use sconce_tensor_core::train::{Checkpoint, Progress};
use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

/// The site, the outputs of the jobs that this one needs, and a place for its own files.
pub struct Work<'a> {
    /// Device and data.
    pub site: &'a Site,
    pub(super) folder: &'a Folder,
    pub(super) plan: &'a Plan<'a>,
    pub(super) bar: &'a Bar,
    pub(super) id: Id,
    pub(super) needs: Vec<String>,
    pub(super) traces: Traces,
}

/// What a job leaves besides its output.
#[derive(Default)]
pub(super) struct Traces {
    /// Files that it goes on from after a kill.
    scratch: RefCell<Vec<PathBuf>>,
    /// Whether one was there when it started.
    resumed: Cell<bool>,
    /// Seconds of unforeseen jobs that were read back.
    also_s: Cell<f64>,
}

impl Traces {
    /// The output of a job that ends now.
    pub(super) fn stored<T>(&self, started: Instant, value: T) -> Stored<T> {
        let wall_s = started.elapsed().as_secs_f64() + self.also_s.get();
        Stored { wall_s, resumed: self.resumed.get(), machine: Machine::here(), value }
    }

    /// Removes what the job went on from, once its output is kept.
    pub(super) fn clear(&self) -> Result<()> {
        self.scratch.borrow().iter().try_for_each(|path| remove(path))
    }
}

impl Work<'_> {
    /// The output of a job that this one needs.
    pub fn output<J: Job>(&self, job: &J) -> Result<J::Output> {
        let id = self.need(job)?;
        let stored = self.folder.output(&id)?;
        Ok(stored.with_context(|| format!("job {}, which is needed, is not done", id.key))?.value)
    }

    /// A file that a needed job left, and the fingerprint in it. The error says what to do where it is gone.
    pub fn file_of<J: Job>(&self, job: &J, what: &str) -> Result<(PathBuf, Fingerprint)> {
        let id = self.need(job)?;
        let path = self.folder.file(&id, what);
        if !path.exists() {
            let output = self.folder.file(&id, "json");
            let (gone, key) = (path.display(), &id.key);
            bail!("{gone} is gone although job {key} is done: delete {} to do it again", output.display());
        }
        Ok((path, id.print))
    }

    fn need<J: Job>(&self, job: &J) -> Result<Id> {
        let key = job.key();
        if !self.needs.contains(&key) {
            bail!("job {} reads {key}, which it does not say that it needs", self.id.key);
        }
        self.plan.id(job)
    }

    /// A file of this job's own; `what` is its ending.
    fn file(&self, what: &str) -> PathBuf {
        self.folder.file(&self.id, what)
    }

    /// Leaves a file for the jobs that need this one; `what` is its ending. `write` writes it. Like an output it is written once: where it is
    /// there, by an earlier start or by another host, both must be the same bytes.
    pub fn leave(&self, what: &str, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        // Threads of one process may do one job at once, as hosts may.
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let (path, host) = (self.file(what), Machine::here().host);
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Relaxed));
        let own = self.file(&format!("{SCRATCH}{what}.{}-{process}-{count}", host.replace('.', "-")));
        let bytes = write(&own).and_then(|()| std::fs::read(&own).with_context(|| format!("{}", own.display())));
        remove(&own)?;
        write_once(&path, &bytes?).map_err(|e| match e {
            e @ Error::Conflict { .. } => exit::refused(format!("job {}, on {host}: {e}", self.id.key)),
            e => e.into(),
        })
    }

    /// The fingerprint of this job.
    pub fn print(&self) -> &Fingerprint {
        &self.id.print
    }

    /// Where training of this job keeps its state, and comes back to it after a kill.
    pub fn checkpoint(&self, what: &str) -> Checkpoint {
        let print = self.id.print.clone().with("phase", what);
        Checkpoint::new(self.scratch(&format!("{what}.checkpoint")), print).stopping_at(sconce::stop::stop())
    }

    /// A file that this job goes on from after a kill. It is removed once the output is kept.
    pub fn scratch(&self, what: &str) -> PathBuf {
        let path = self.file(&format!("{SCRATCH}{what}"));
        self.traces.resumed.set(self.traces.resumed.get() || path.exists());
        self.traces.scratch.borrow_mut().push(path.clone());
        path
    }

    /// Moves the bar.
    pub fn at(&self, done: usize, total: usize) {
        self.bar.at(done, total);
    }

    /// The bar by itself, for the threads of a job: they cannot have the rest.
    pub fn bar(&self) -> &Bar {
        self.bar
    }

    /// An observer of training that moves the bar.
    pub fn watch(&self) -> impl FnMut(&Progress) + '_ {
        |p: &Progress| self.bar.at(p.step, p.total)
    }

    /// The output of a job of a grid: of one that this job needs, or of one past the grid's end ([`Work::also`]).
    pub fn of_grid<J: Job>(&self, job: &J) -> Result<J::Output> {
        if self.needs.contains(&job.key()) { self.output(job) } else { self.also(job) }
    }

    /// Does a job that no plan could foresee, such as a value past the end of a grid, or reads back its output. It may need what
    /// this one needs.
    pub fn also<J: Job>(&self, job: &J) -> Result<J::Output> {
        let id = self.plan.id(job)?;
        let key = &id.key;
        if let Some(stored) = self.folder.output(&id)? {
            self.traces.also_s.set(self.traces.also_s.get() + stored.wall_s);
            return Ok(stored.value);
        }
        self.folder.prepare(&id)?;
        let started = Instant::now();
        let inner = Work { id: id.clone(), needs: job.needs(), traces: Traces::default(), ..*self };
        let value = job.run(&inner).with_context(|| format!("job {key}"))?;
        self.folder.keep(&id, inner.traces.stored(started, value), |output| Ok(job.agreed(output)))?;
        inner.traces.clear()?;
        let stored = self.folder.output(&id)?.with_context(|| format!("job {key}"))?;
        Ok(stored.value)
    }
}
