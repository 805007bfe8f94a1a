//! How long methods take to fit.

use super::shares::files;
use crate::args::Share;
use anyhow::Result;
use rayon::ThreadPoolBuilder;
use sconce_anomaly::{Detector, Method, TrainingRows};
use sconce_tensor_core::store::write_whole;
use sconce_tensor_core::{Error, Rng};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Table, detector and seed.
type Key = (String, String, u64);

/// Seconds of fitting by cell, kept in a file so that a comparison that continues has those of its finished cells.
#[derive(Debug)]
pub(super) struct Times {
    path: PathBuf,
    seconds: Mutex<BTreeMap<Key, f64>>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    table: String,
    detector: String,
    seed: u64,
    seconds: f64,
}

impl Times {
    /// The times that are kept in a folder, by all shares. A file that cannot be read has none: times do not change the result. A share writes a file
    /// of its own.
    pub(super) fn open(folder: &Path, share: Option<Share>) -> Self {
        let own = share.map_or_else(String::new, |s| format!("-{}-of-{}", s.index + 1, s.of));
        let files = files(folder, "times").unwrap_or_default();
        let read = |path: &PathBuf| serde_json::from_slice::<Vec<Entry>>(&std::fs::read(path).ok()?).ok();
        let entries = files.iter().filter_map(read).flatten().map(|e| ((e.table, e.detector, e.seed), e.seconds));
        Self { path: folder.join(format!("times{own}.json")), seconds: Mutex::new(entries.collect()) }
    }

    /// Seconds of a cell.
    pub(super) fn of(&self, table: &str, detector: &str, seed: u64) -> Option<f64> {
        let key = (table.to_owned(), detector.to_owned(), seed);
        self.seconds.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied()
    }

    /// Writes the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn save(&self) -> Result<()> {
        let all = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = |((table, detector, seed), seconds): (&Key, &f64)| Entry {
            table: table.clone(),
            detector: detector.clone(),
            seed: *seed,
            seconds: *seconds,
        };
        let entries: Vec<Entry> = all.iter().map(entry).collect();
        Ok(write_whole(&self.path, &serde_json::to_vec_pretty(&entries)?)?)
    }

    fn keep(&self, key: Key, seconds: f64) {
        self.seconds.lock().unwrap_or_else(PoisonError::into_inner).insert(key, seconds);
        // For a comparison that is interrupted; at its end an error is told.
        let _ = self.save();
    }
}

/// A method that measures how long it takes to fit. Its `Debug` is the inner method's, so that it has the same fingerprint.
pub(super) struct Timed {
    method: Box<dyn Method>,
    table: String,
    detector: String,
    seeds: u64,
    times: Arc<Times>,
}

impl Timed {
    /// `method` is the detector of this name, and is fitted on this table with the seeds below a number.
    pub(super) fn new(method: Box<dyn Method>, (table, detector, seeds): (&str, &str, u64), times: Arc<Times>) -> Self {
        Self { method, table: table.to_owned(), detector: detector.to_owned(), seeds, times }
    }
}

impl fmt::Debug for Timed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.method.fmt(f)
    }
}

impl Method for Timed {
    /// Fits on one thread of its own: in a pool with others, a thread that waits would do the work of other cells, and their time would count here.
    fn fit(&self, train: &TrainingRows<'_>, rng: &Rng) -> Result<Box<dyn Detector>, Error> {
        let failed = |e: &dyn fmt::Display| Error::value("thread", e.to_string());
        let pool = ThreadPoolBuilder::new().num_threads(1).build().map_err(|e| failed(&e))?;
        let fit = || {
            let start = Instant::now();
            let fitted = self.method.fit(train, rng);
            (fitted, start.elapsed().as_secs_f64())
        };
        let done = std::thread::scope(|s| s.spawn(|| pool.install(fit)).join());
        let (fitted, seconds) = done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let fitted = fitted?;
        if let Some(seed) = (0..self.seeds).find(|seed| Rng::new(*seed) == *rng) {
            self.times.keep((self.table.clone(), self.detector.clone(), seed), seconds);
        }
        Ok(fitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use sconce_anomaly::{IsolationForest, IsolationForestConfig};

    #[test]
    fn the_same_detector_with_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let times = Arc::new(Times::open(dir.path(), None));
        let forest = || Box::new(IsolationForest::new(IsolationForestConfig::default()).unwrap());
        let timed = Timed::new(forest(), ("a.csv", "forest", 3), times.clone());
        assert_eq!(format!("{timed:?}"), format!("{:?}", forest()));
        let x = Rng::new(0).normal((50, 2), 0.0, 1.0, DType::F64, &Device::Cpu).unwrap();
        let scores = |m: &dyn Method| {
            m.fit(&TrainingRows::normal(&x), &Rng::new(2)).unwrap().score(&x).unwrap().to_vec1::<f64>().unwrap()
        };
        assert_eq!(scores(&timed), scores(&*forest()));
        let seconds = times.of("a.csv", "forest", 2).unwrap();
        assert!(seconds > 0.0 && times.of("a.csv", "forest", 1).is_none());
        assert_eq!(Times::open(dir.path(), None).of("a.csv", "forest", 2), Some(seconds));
        std::fs::write(dir.path().join("times.json"), "{").unwrap();
        assert!(Times::open(dir.path(), None).of("a.csv", "forest", 2).is_none());
    }
}
