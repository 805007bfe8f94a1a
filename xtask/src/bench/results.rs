//! `target/bench/<peer>.json`: the rows, written whole each time that one has been measured.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Times of one round, in milliseconds a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    pub ours_ms: f64,
    pub peer_ms: Option<f64>,
    /// Our large product beside it.
    pub peak_ours_ms: f64,
    /// The reference's.
    pub peak_reference_ms: f64,
}

/// A workload's row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub workload: String,
    pub device: String,
    pub threads: usize,
    /// The processor.
    pub machine: String,
    /// Whose large product the peak was compared with.
    pub reference: String,
    pub peer: Option<String>,
    pub ours_ms: f64,
    pub peer_ms: Option<f64>,
    /// Of the peer's time to ours: the median over rounds.
    pub ratio: Option<f64>,
    /// The interval of that median, from 6 rounds on.
    pub ratio_95: Option<[f64; 2]>,
    pub gflops: f64,
    /// The peak beside this row.
    pub peak_gflops: f64,
    pub share_of_peak: f64,
    pub ours_mib: f64,
    pub peer_mib: Option<f64>,
    /// What there is to say, such as why there is no peer.
    pub note: Option<String>,
    pub rounds: Vec<Round>,
}

/// A workload without a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failed {
    pub workload: String,
    pub reason: String,
}

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    pub rows: Vec<Row>,
    pub failed: Vec<Failed>,
}

impl Results {
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is no results file of this version of the bench", path.display()))
    }

    /// Replaces the file at once: who is cut off, or reads it meanwhile, has the rows so far.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let beside = PathBuf::from(name);
        std::fs::write(&beside, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("cannot write {}", beside.display()))?;
        std::fs::rename(&beside, path).with_context(|| format!("cannot write {}", path.display()))
    }
}
