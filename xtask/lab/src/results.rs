//! What a reproduction leaves behind for machines: results.json.

use crate::jobs::Rates;
use crate::paper::Caveat;
use sconce_tensor_core::stats::Summary;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use xtask::sources::Code;
use xtask::verdicts::ClaimResult;

/// Everything that a run found, and what it was made by.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// The slug.
    pub experiment: String,
    /// The title of its report; none in older results.
    #[serde(default)]
    pub title: String,
    /// The number of the paper on arXiv; none in older results.
    #[serde(default)]
    pub arxiv: String,
    /// The preset.
    pub preset: String,
    /// The recipe with its overrides.
    pub config: serde_json::Value,
    /// The commit that was checked out, `unknown` outside of git. What the code was is told by `code`.
    pub commit: String,
    /// The day of that commit, `YYYY-MM-DD`; none outside of git.
    pub commit_date: Option<String>,
    /// The digest of the code that the numbers depend on, part by part.
    pub code: Code,
    /// Versions of what the numbers depend on.
    pub versions: BTreeMap<String, String>,
    /// Where it ran, and on how many threads.
    pub device: String,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// Seconds of work, over all interruptions.
    pub wall_s: f64,
    /// Seconds per unit of cost, by kind of job: what `--list` estimates by.
    pub rates: Rates,
    /// Values over the seeds; the same on every run of the same code, configuration and kind of device.
    pub metrics: BTreeMap<String, Summary>,
    /// Seconds and ratios of seconds: different on every run.
    pub timing: BTreeMap<String, Summary>,
    /// Curves and maps, by name.
    pub series: BTreeMap<String, serde_json::Value>,
    /// The paper's claims with their verdicts.
    pub claims: Vec<ClaimResult>,
    /// Choices of which claims must tell.
    pub caveats: Vec<Caveat>,
    /// First parts of the names of metrics that were left out, because their data was not found.
    pub left_out: Vec<String>,
    /// What a reader must know before using the numbers.
    pub flags: Vec<String>,
}
