//! What a reproduction leaves behind for machines: results.json.

use crate::verdicts::ClaimResult;
use sconce_tensor_core::stats::Summary;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything that a run found, and what it was made by.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// The slug.
    pub experiment: String,
    /// The preset.
    pub preset: String,
    /// The recipe with its overrides.
    pub config: serde_json::Value,
    /// The commit of the code, `-dirty` where the tree had changes.
    pub commit: String,
    /// The day of that commit, `YYYY-MM-DD`; none outside of git.
    pub commit_date: Option<String>,
    /// Versions of what the numbers depend on.
    pub versions: BTreeMap<String, String>,
    /// Where it ran, and on how many threads.
    pub device: String,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// Seconds of work, over all interruptions.
    pub wall_s: f64,
    /// Values over the seeds; the same on every run of the same code, configuration and device.
    pub metrics: BTreeMap<String, Summary>,
    /// Seconds and ratios of seconds: different on every run.
    pub timing: BTreeMap<String, Summary>,
    /// Curves and maps, by name.
    pub series: BTreeMap<String, serde_json::Value>,
    /// The paper's claims with their verdicts.
    pub claims: Vec<ClaimResult>,
    /// What a reader must know before using the numbers.
    pub flags: Vec<String>,
}
