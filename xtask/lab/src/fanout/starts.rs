//! The bound on restarts without progress: a job that is killed again and again at the same place would be started for ever.

use crate::exit;
use crate::jobs::{Folder, Id, STARTS};
use anyhow::{Context, Result};
use sconce::args::Share;
use sconce_tensor_core::store::{Digest, write_whole};
use serde::{Deserialize, Serialize};

/// How often a job was started since it last left something new.
#[derive(Serialize, Deserialize)]
struct Starts {
    /// The digest of what it had left.
    left: String,
    starts: usize,
}

/// Notes that a job starts.
///
/// # Errors
/// It was started `most` times already and left nothing new since the first of them: no checkpoint, no file.
pub fn note(folder: &Folder, id: &Id, most: usize) -> Result<()> {
    let mut left = Digest::new();
    for (what, path) in folder.left(id)? {
        // A file that is gone by now is one that another process has removed: that is progress.
        let bytes = std::fs::read(&path).unwrap_or_default();
        left = left.bytes(what.as_bytes()).bytes(&bytes);
    }
    let (left, path) = (left.hex(), folder.file(id, STARTS));
    // One that cannot be read counts from the beginning.
    let before = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Starts>(&text).ok());
    let starts = before.filter(|b| b.left == left).map_or(0, |b| b.starts);
    if starts >= most {
        return Err(exit::refused(format!(
            "job {} was started {starts} times and left nothing new: it was killed before its next checkpoint each time. Give it more time or \
             memory, then delete {} or raise --restarts",
            id.key,
            path.display()
        )));
    }
    let text = serde_json::to_vec(&Starts { left, starts: starts + 1 })?;
    write_whole(&path, &text).with_context(|| format!("job {}", id.key))
}

/// Notes that a process of a share was asked to stop before it could start a job: a time limit that is shorter than the warning before it ends every
/// process at once, for ever.
///
/// # Errors
/// That happened `most` times with the same results in the folder.
pub fn idle(folder: &Folder, share: Share, most: usize) -> Result<()> {
    let path = folder.path().join(format!(".idle-{}-of-{}", share.index + 1, share.of));
    let left = xtask::sources::every(folder.path())?.into_iter().filter(|p| p.extension().is_some_and(|e| e == "json"));
    let left = left.fold(Digest::new(), |d, p| d.bytes(p.to_string_lossy().as_bytes())).hex();
    let before = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Starts>(&text).ok());
    let starts = before.filter(|b| b.left == left).map_or(0, |b| b.starts) + 1;
    if starts >= most {
        return Err(exit::refused(format!(
            "share {share} was asked to stop {starts} times before it could start a job: the time limit must be minutes longer than the warning \
             before it. Give more time, then delete {}",
            path.display()
        )));
    }
    Ok(write_whole(&path, &serde_json::to_vec(&Starts { left, starts })?)?)
}
