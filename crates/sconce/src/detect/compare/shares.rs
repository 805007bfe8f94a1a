//! Shares of a comparison, and the folder of all of them.

use crate::args::Share;
use crate::program::Outcome;
use crate::terminal::Terminal;
use anyhow::{Context, Result, bail};
use sconce_anomaly::testbed::Cell;
use sconce_tensor_core::store::{Kept, Plain, write_whole};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What a share says when it is complete.
#[derive(Serialize, Deserialize)]
struct Complete {
    share: usize,
    of: usize,
    /// The files of its cells.
    cells: Vec<String>,
}

fn name(share: Share) -> String {
    format!("share-{}-of-{}.json", share.index + 1, share.of)
}

/// Says that a share is complete.
///
/// # Errors
/// The file cannot be written.
pub(super) fn write(folder: &Path, share: Share, cells: &[String]) -> Result<()> {
    let complete = Complete { share: share.index + 1, of: share.of, cells: cells.to_vec() };
    Ok(write_whole(&folder.join(name(share)), &serde_json::to_vec_pretty(&complete)?)?)
}

/// The files of a folder whose names start so and end with `.json`, in order.
pub(super) fn files(folder: &Path, start: &str) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for e in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = e?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(start) && name.ends_with(".json") {
            all.push(path.clone());
        }
    }
    all.sort();
    Ok(all)
}

/// Puts the cells of shares into one folder.
///
/// # Errors
/// A folder without shares, shares of different numbers, damaged cells, and cells that contradict each other or what is there: nothing is written
/// over.
pub(crate) fn merge(folders: &[PathBuf], out: &Path, terminal: &mut Terminal) -> Result<Outcome> {
    let mut shares: BTreeMap<(usize, usize), Vec<String>> = BTreeMap::new();
    for folder in folders {
        let found = files(folder, "share-")?;
        if found.is_empty() {
            bail!(
                "{}: no complete share: `detect compare --shard I/N --out` leaves share-I-of-N.json there",
                folder.display()
            );
        }
        for path in found {
            let place = || path.display().to_string();
            let text = std::fs::read(&path).with_context(place)?;
            let one: Complete = serde_json::from_slice(&text).with_context(place)?;
            if shares.insert((one.of, one.share), one.cells.clone()).is_some_and(|other| other != one.cells) {
                bail!("{}: share {} of {} is there twice, with different cells", place(), one.share, one.of);
            }
        }
    }
    let numbers: BTreeSet<usize> = shares.keys().map(|k| k.0).collect();
    let of = match (numbers.first(), numbers.len()) {
        (Some(of), 1) => *of,
        _ => bail!("shares of different numbers: {numbers:?}"),
    };
    let holes: Vec<String> =
        (1..=of).filter(|i| !shares.contains_key(&(of, *i))).map(|i| format!("{i}/{of}")).collect();
    if !holes.is_empty() {
        return Ok(Outcome::Holes(format!("shares are missing: {}", holes.join(", "))));
    }
    // Every cell is read before anything is written.
    let mut cells: BTreeMap<&String, Kept<Plain<Cell>>> = BTreeMap::new();
    let wanted: BTreeSet<&String> = shares.values().flatten().collect();
    for file in &wanted {
        for path in folders.iter().chain([&out.to_owned()]).map(|f| f.join(file)).filter(|p| p.exists()) {
            let cell = Kept::<Plain<Cell>>::open(&path)?;
            if let Some(there) = cells.get(*file) {
                let difference = cell.fingerprint.difference(&there.fingerprint);
                if !difference.is_empty() {
                    bail!(
                        "{}: a cell of another comparison; it differs in\n  {}",
                        path.display(),
                        difference.join("\n  ")
                    );
                }
                if there.value != cell.value {
                    bail!(
                        "{}: another share found another result: {:?} and {:?}",
                        path.display(),
                        cell.value.0.outcome,
                        there.value.0.outcome
                    );
                }
            }
            cells.insert(file, cell);
        }
    }
    let holes: Vec<&str> = wanted.iter().filter(|f| !cells.contains_key(**f)).map(|f| f.as_str()).collect();
    if !holes.is_empty() {
        return Ok(Outcome::Holes(format!("cells are missing: {}", holes.join(", "))));
    }
    Terminal::folder("--out", out)?;
    for (file, cell) in &cells {
        cell.save_once(&out.join(file))?;
    }
    for (i, path) in folders.iter().map(|f| files(f, "times")).collect::<Result<Vec<_>>>()?.concat().iter().enumerate()
    {
        // Seconds: those of several folders may have one name.
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        write_whole(&out.join(format!("times-merged-{i}.json")), &bytes)?;
    }
    terminal.result(&format!(
        "{} cells of {of} shares; `detect compare --out {}` judges them",
        cells.len(),
        out.display()
    ))?;
    Ok(Outcome::Done)
}
