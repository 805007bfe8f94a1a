//! What a run tells while it goes on, and at its end.

use crate::Result;
use serde::{Deserialize, Serialize};

/// Where training stands after a step.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The epoch, from 0.
    pub epoch: usize,
    /// Steps done.
    pub step: usize,
    /// Steps in all, as far as is known.
    pub total: usize,
    /// The step's loss with its penalties.
    pub loss: f64,
}

/// The result of an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// Epochs done.
    pub epoch: usize,
    /// Mean loss over the epoch's examples, with penalties.
    pub loss: f64,
    /// Metrics of the task: those of the validation data, for one.
    pub metrics: Vec<(String, f64)>,
}

impl EpochReport {
    /// A metric by name.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.iter().find(|m| m.0 == name).map(|m| m.1)
    }
}

/// The result of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// All epochs in order.
    pub epochs: Vec<EpochReport>,
    /// Whether the task ended the run before its last epoch.
    pub stopped_early: bool,
    /// The epoch (from 1) whose weights were kept, where the task chooses by a metric; else those of the last.
    pub best_epoch: Option<usize>,
}

impl Report {
    /// The mean loss of each epoch.
    pub fn losses(&self) -> Vec<f64> {
        self.epochs.iter().map(|e| e.loss).collect()
    }

    /// A metric of each epoch that has it.
    pub fn history(&self, metric: &str) -> Vec<f64> {
        self.epochs.iter().filter_map(|e| e.metric(metric)).collect()
    }
}

/// Watches training; it may end it by an error.
pub trait Observer {
    /// After each step.
    ///
    /// # Errors
    /// Any error ends training.
    fn step(&mut self, progress: &Progress) -> Result<()> {
        let _ = progress;
        Ok(())
    }

    /// After each epoch, before its checkpoint: a run that is killed in here does the end of the epoch again.
    ///
    /// # Errors
    /// Any error ends training.
    fn epoch(&mut self, report: &EpochReport) -> Result<()> {
        let _ = report;
        Ok(())
    }
}

/// A closure that is called after each step.
impl<F: FnMut(&Progress)> Observer for F {
    fn step(&mut self, progress: &Progress) -> Result<()> {
        self(progress);
        Ok(())
    }
}
