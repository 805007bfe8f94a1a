//! Keeping the weights of the best epoch, by robust accuracy on held-out examples.

use crate::{RunConfig, run};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::train::{EpochReport, Observer, Progress};
use sconce_tensor_core::{Attack, Error, Goal, Network, Result, Rng, store};
use std::path::{Path, PathBuf};

/// The metrics of one epoch on the held-out examples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    /// Epochs done.
    pub epoch: usize,
    /// Mean training loss.
    pub loss: f64,
    /// Clean accuracy.
    pub clean: f64,
    /// Accuracy under the attack.
    pub robust: f64,
}

/// Watches training: after each epoch it measures clean and robust accuracy on a validation split, and keeps the weights
/// of the epoch that is best by robust, then by clean accuracy. The file holds weights and all records, so a resumed run
/// goes on with them.
///
/// The last epoch of adversarial training is often not the best (robust overfitting; Rice, Wong, Kolter 2020). Do not
/// select on the test split.
pub struct KeepBest<'a> {
    attack: &'a dyn Attack,
    held_out: &'a Labelled,
    file: PathBuf,
    seed: u64,
    records: Vec<Record>,
    next: Option<&'a mut dyn Observer>,
}

impl<'a> KeepBest<'a> {
    /// Measures with `attack` on `held_out` and writes to `file`. What a run that was stopped left there is taken over; an
    /// epoch that is done again replaces its record.
    ///
    /// # Errors
    /// A file that is there and no whole record.
    pub fn new(attack: &'a dyn Attack, held_out: &'a Labelled, file: impl Into<PathBuf>, seed: u64) -> Result<Self> {
        let file = file.into();
        let records = if file.exists() { read(&file)? } else { Vec::new() };
        Ok(Self { attack, held_out, file, seed, records, next: None })
    }

    /// Passes what happens on to another observer.
    #[must_use]
    pub fn then(mut self, next: &'a mut dyn Observer) -> Self {
        self.next = Some(next);
        self
    }

    /// All epochs so far.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The best epoch by robust, then clean accuracy; the earliest of equals.
    pub fn best(&self) -> Option<Record> {
        best(&self.records)
    }

    /// Puts the best epoch's weights into the network.
    ///
    /// # Errors
    /// No epoch yet, or weights that do not fit.
    pub fn restore(&self, net: &dyn Network) -> Result<Record> {
        let found = self.best().ok_or_else(|| Error::value("best weights", "no epoch was measured yet"))?;
        net.params().load(&self.file)?;
        Ok(found)
    }
}

fn best(records: &[Record]) -> Option<Record> {
    let mut found: Option<Record> = None;
    for r in records {
        if found.is_none_or(|b| (r.robust, r.clean) > (b.robust, b.clean)) {
            found = Some(*r);
        }
    }
    found
}

fn read(file: &Path) -> Result<Vec<Record>> {
    let (_, text) = store::load(file, &candle_core::Device::Cpu)?;
    let bad = |line: &str| Error::Checkpoint { path: file.to_owned(), reason: format!("no record: `{line}`") };
    text.lines()
        .map(|line| {
            let v: Vec<f64> = line.split(' ').map(str::parse).collect::<Result<_, _>>().map_err(|_| bad(line))?;
            let [epoch, loss, clean, robust] = v[..] else { return Err(bad(line)) };
            Ok(Record { epoch: epoch as usize, loss, clean, robust })
        })
        .collect()
}

impl Observer for KeepBest<'_> {
    fn step(&mut self, progress: Progress) -> Result<()> {
        self.next.as_mut().map_or(Ok(()), |n| n.step(progress))
    }

    fn epoch(&mut self, report: EpochReport, net: &dyn Network) -> Result<()> {
        // A run that was killed between this and its checkpoint does the epoch again.
        self.records.retain(|r| r.epoch < report.epoch);
        let goal = Goal::Untargeted(self.held_out.y().clone());
        let rng = Rng::new(self.seed).stream("validation");
        let judged = run(self.attack, net, self.held_out.x(), &goal, &RunConfig::default(), &rng)?;
        let (clean, robust) = (judged.clean_accuracy().rate(), judged.robust_accuracy().rate());
        let record = Record { epoch: report.epoch, loss: report.loss, clean, robust };
        let before = best(&self.records);
        self.records.push(record);
        let text: Vec<String> =
            self.records.iter().map(|r| format!("{} {} {} {}", r.epoch, r.loss, r.clean, r.robust)).collect();
        let better = before.is_none_or(|b| (record.robust, record.clean) > (b.robust, b.clean));
        let weights = if better {
            net.params().snapshot()?
        } else {
            let (old, _) = store::load(&self.file, &candle_core::Device::Cpu)?;
            let mut old: Vec<_> = old.into_iter().collect();
            old.sort_by(|a, b| a.0.cmp(&b.0));
            old
        };
        store::save(&self.file, weights.iter().map(|(n, t)| (n.as_str(), t.clone())), &text.join("\n"))?;
        self.next.as_mut().map_or(Ok(()), |n| n.epoch(report, net))
    }
}
