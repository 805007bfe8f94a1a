//! The folder of a run: an output file for each job that is done, and the files that jobs leave beside it.

use anyhow::{Context, Result};
use sconce_tensor_core::store::{Fingerprint, Kept, Plain};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Where outputs are kept.
pub struct Folder {
    runs: PathBuf,
}

/// What a job left.
#[derive(Serialize, Deserialize)]
pub struct Stored<T> {
    /// Seconds that it took; of one that went on from a checkpoint, those of its last part.
    pub wall_s: f64,
    /// Whether it went on from a checkpoint.
    pub resumed: bool,
    /// Its output.
    pub value: T,
}

impl Folder {
    /// Opens `out/runs`; where `fresh`, what an earlier run left is thrown away first.
    pub fn open(out: &Path, fresh: bool) -> Result<Self> {
        let runs = out.join("runs");
        if fresh {
            for file in ["results.json", "report.html"] {
                remove(&out.join(file))?;
            }
            if runs.exists() {
                std::fs::remove_dir_all(&runs).with_context(|| format!("cannot empty {}", runs.display()))?;
            }
        }
        std::fs::create_dir_all(&runs)
            .with_context(|| format!("cannot write to the output folder {}", out.display()))?;
        Ok(Self { runs })
    }

    /// A file of a job: `what` is its ending.
    pub fn file(&self, key: &str, what: &str) -> PathBuf {
        self.runs.join(format!("{key}.{what}"))
    }

    /// Where the digests of data are kept.
    pub fn data(&self) -> PathBuf {
        self.runs.join("data")
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
        let kept = Kept::<Plain<Stored<T>>>::load(&self.file(key, "json"), print)
            .with_context(|| format!("job {key}: delete that file to do its job again, or use another --out"))?;
        Ok(kept.map(|k| k.value.0))
    }

    /// How an output that is there differs from what is expected; empty where it does not, or where there is none.
    pub fn difference(&self, key: &str, print: &Fingerprint) -> Result<Vec<String>> {
        let path = self.file(key, "json");
        if !path.exists() {
            return Ok(Vec::new());
        }
        let kept = Kept::<Plain<Stored<Value>>>::open(&path)
            .with_context(|| format!("job {key}: delete that file to do its job again"))?;
        Ok(kept.fingerprint.difference(print))
    }

    /// Throws the output of a job away, and every other file that it left.
    pub fn forget(&self, key: &str) -> Result<()> {
        let output = self.file(key, "json");
        let (Some(folder), Some(name)) = (output.parent(), output.file_stem()) else { return Ok(()) };
        let name = format!("{}.", name.to_string_lossy());
        for e in std::fs::read_dir(folder).with_context(|| format!("{}", folder.display()))? {
            let path = e?.path();
            if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&name)) {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// The folder that a job's files go to, made where it is missing.
    pub fn prepare(&self, key: &str) -> Result<()> {
        let path = self.file(key, "json");
        let parent = path.parent().unwrap_or(&self.runs);
        std::fs::create_dir_all(parent).with_context(|| format!("cannot write to {}", parent.display()))
    }
}

/// Removes a file that may be gone already.
pub fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
