//! The folder of a run: an output file for each job that is done, and the files that jobs leave beside it.

use anyhow::{Context, Result};
use sconce_tensor_core::store::{Fingerprint, Kept, Plain};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::path::PathBuf;

/// Where outputs are kept.
pub struct Folder {
    runs: PathBuf,
}

/// What a job left.
#[derive(Serialize, Deserialize)]
pub struct Stored<T> {
    /// Seconds that it took.
    pub wall_s: f64,
    /// Its output.
    pub value: T,
}

impl Folder {
    /// Opens `out/runs`, emptied first where `fresh`.
    pub fn open(out: &std::path::Path, fresh: bool) -> Result<Self> {
        let runs = out.join("runs");
        if fresh && runs.exists() {
            std::fs::remove_dir_all(&runs).with_context(|| format!("cannot empty {}", runs.display()))?;
        }
        std::fs::create_dir_all(&runs)
            .with_context(|| format!("cannot write to the output folder {}", out.display()))?;
        Ok(Self { runs })
    }

    /// A file of a job: `what` is its ending.
    pub fn file(&self, key: &str, what: &str) -> PathBuf {
        self.runs.join(format!("{key}.{what}"))
    }

    /// Keeps the output of a job.
    pub fn keep<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        print: &Fingerprint,
        stored: Stored<T>,
    ) -> Result<()> {
        Ok(Kept::new(print.clone(), Plain(stored)).save(&self.file(key, "json"))?)
    }

    /// The output of a job; none where it is not done. One of another fingerprint is an error that names what differs.
    pub fn output<T: Serialize + DeserializeOwned>(&self, key: &str, print: &Fingerprint) -> Result<Option<Stored<T>>> {
        let kept = Kept::<Plain<Stored<T>>>::load(&self.file(key, "json"), print).with_context(|| {
            format!(
                "job {key}: throw all away with --fresh, delete that file to do its job again, or use another --out"
            )
        })?;
        Ok(kept.map(|k| k.value.0))
    }

    /// The folder that a job's files go to, made where it is missing.
    pub fn prepare(&self, key: &str) -> Result<()> {
        let path = self.file(key, "json");
        let parent = path.parent().unwrap_or(&self.runs);
        std::fs::create_dir_all(parent).with_context(|| format!("cannot write to {}", parent.display()))
    }
}
