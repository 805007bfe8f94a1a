//! Results of machines that have no folder in common.

use crate::exit;
use crate::jobs::{Folder, Runner, SCRATCH};
use crate::terminal::note;
use anyhow::{Context, Result};
use sconce_tensor_core::store::{Kept, Plain, write_once};
use serde_json::Value;
use std::path::PathBuf;

/// Takes the results of other runs into this one's folder, under the rules that hold for several writers of one folder.
///
/// # Errors
/// A folder without a run; results of other code or another recipe, of other data, damaged ones, and those that contradict what is
/// here: nothing is taken over that.
pub fn merge(runner: &Runner<'_>, from: &[PathBuf]) -> Result<()> {
    // All are looked at before anything is written.
    let sources: Vec<Folder> = from.iter().map(|dir| Folder::existing(dir)).collect::<Result<_>>()?;
    for (source, dir) in sources.iter().zip(from) {
        let place = || format!("{}", dir.display());
        let mut stale = Vec::new();
        for job in runner.plan.jobs() {
            let difference = source.difference(&job.id).with_context(place)?;
            if !difference.is_empty() {
                stale.push(format!("{} differs in\n    {}", job.key(), difference.join("\n    ")));
            }
        }
        if let Some(first) = stale.first() {
            let n = stale.len();
            return Err(exit::refused(format!("{}: {n} results of other code or another recipe: {first}", place())));
        }
    }
    for (source, dir) in sources.iter().zip(from) {
        let place = || format!("{}", dir.display());
        data(runner, source).with_context(place)?;
        let mut taken = 0;
        for job in runner.plan.jobs() {
            let Some(stored) = source.output::<Value>(&job.id).with_context(place)? else { continue };
            runner.folder.prepare(&job.id)?;
            let host = stored.machine.host.clone();
            // The files first: an output says that they are there.
            for (what, path) in source.left(&job.id)?.into_iter().filter(|f| !f.0.starts_with(SCRATCH)) {
                let bytes = std::fs::read(&path).with_context(|| format!("{}", path.display()))?;
                write_once(&runner.folder.file(&job.id, &what), &bytes).map_err(|e| match e {
                    e @ sconce_tensor_core::Error::Conflict { .. } => {
                        exit::refused(format!("job {}, by {host} in {}: {e}", job.key(), dir.display()))
                    }
                    e => e.into(),
                })?;
            }
            runner.folder.keep(&job.id, stored, |output| Ok(job.agreed(output))).with_context(place)?;
            taken += usize::from(!runner.is_done(job.key()));
            runner.look(job)?;
        }
        note(&format!("{}: {taken} results", dir.display()));
    }
    Ok(())
}

/// Refuses a run on other data: files are in no fingerprint.
fn data(runner: &Runner<'_>, source: &Folder) -> Result<()> {
    for path in xtask::sources::every(&source.data())? {
        let name = path.strip_prefix(source.data())?.with_extension("");
        let kept = Kept::<Plain<String>>::open(&path)?;
        let ours = runner.folder.data().join(path.strip_prefix(source.data())?);
        if let Some(parent) = ours.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("cannot write to {}", parent.display()))?;
        }
        kept.save_once(&ours).map_err(|e| match e {
            e @ sconce_tensor_core::Error::Conflict { .. } => {
                exit::refused(format!("the data `{}` is other data than that of the results here: {e}", name.display()))
            }
            e => e.into(),
        })?;
    }
    Ok(())
}
