//! The folder of a run: an output file for each job that is done, and the files that jobs leave beside it.
//!
//! Their names hold the job's key and the digest of its fingerprint, so that results of other code or of another recipe are other files. An output
//! is written once, under a name of its own first: several processes on several hosts may do one job, and what they find must agree.

use super::Machine;
use crate::exit;
use anyhow::{Context, Result};
use sconce_tensor_core::Error;
use sconce_tensor_core::store::{Digest, Fingerprint, Kept, Plain};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What names the files of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Id {
    /// Its key.
    pub key: String,
    /// Its fingerprint.
    pub print: Fingerprint,
    tag: String,
}

/// Digits of a fingerprint's digest in the names of files.
const DIGITS: usize = 12;

impl Id {
    /// The name of a job of this fingerprint.
    pub fn new(key: impl Into<String>, print: Fingerprint) -> Result<Self> {
        let digest = Digest::new().bytes(&serde_json::to_vec(&print)?).hex();
        Ok(Self { key: key.into(), print, tag: digest[..DIGITS].to_owned() })
    }

    /// The first digits of the digest of its fingerprint.
    pub fn tag(&self) -> &str {
        &self.tag
    }
}

/// Where outputs are kept.
pub struct Folder {
    runs: PathBuf,
    /// The digests of the outputs that are there, by key, when they were first asked for.
    index: OnceCell<HashMap<String, Vec<String>>>,
}

/// What a job left.
#[derive(Serialize, Deserialize)]
pub struct Stored<T> {
    /// Seconds that it took; of one that went on from a checkpoint, those of its last part.
    pub wall_s: f64,
    /// Whether it went on from a checkpoint.
    pub resumed: bool,
    /// Where it was done.
    pub machine: Machine,
    /// Its output.
    pub value: T,
}

/// The ending of an output, and of one that contradicts it.
const OUTPUT: &str = "json";
const CONTESTED: &str = "contested";

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
        Ok(Self { runs, index: OnceCell::new() })
    }

    /// Opens `out/runs` of another run, to read it.
    pub fn existing(out: &Path) -> Result<Self> {
        let runs = out.join("runs");
        if !runs.is_dir() {
            return Err(exit::refused(format!("{}: no folder of a run: it has no `runs`", out.display())));
        }
        Ok(Self { runs, index: OnceCell::new() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.runs
    }

    /// A file of a job: `what` is its ending.
    pub fn file(&self, id: &Id, what: &str) -> PathBuf {
        self.runs.join(format!("{}.{}.{what}", id.key, id.tag))
    }

    /// Where the digests of data are kept.
    pub fn data(&self) -> PathBuf {
        self.runs.join("data")
    }

    /// Keeps the output of a job. Where another process kept one before, both must agree, seconds apart: `agreed` is what they must agree on.
    pub fn keep<T: Serialize + DeserializeOwned>(
        &self,
        id: &Id,
        stored: Stored<T>,
        agreed: impl Fn(Value) -> Result<Value>,
    ) -> Result<()> {
        let kept = Kept::new(id.print.clone(), Plain(stored));
        match kept.save_once(&self.file(id, OUTPUT)) {
            Err(Error::Conflict { .. }) => {}
            done => return Ok(done?),
        }
        let there = self.read::<Value>(id)?.with_context(|| format!("job {} is gone again", id.key))?;
        let ours = serde_json::to_value(&kept.value.0.value)?;
        if agreed(there.value)? == agreed(ours)? {
            return Ok(());
        }
        // What comes later must not take either of them.
        kept.save(&self.file(id, CONTESTED))?;
        self.refuse_contested(id)
    }

    fn read<T: Serialize + DeserializeOwned>(&self, id: &Id) -> Result<Option<Stored<T>>> {
        let path = self.file(id, OUTPUT);
        let kept = Kept::<Plain<Stored<T>>>::load(&path, &id.print)
            .map_err(|e| damaged(e.into()))
            .with_context(|| format!("job {}: delete that file to do its job again, or use another --out", id.key))?;
        Ok(kept.map(|k| k.value.0))
    }

    /// The output of a job; none where it is not done. One that is damaged, and one that another host contradicts, are errors.
    pub fn output<T: Serialize + DeserializeOwned>(&self, id: &Id) -> Result<Option<Stored<T>>> {
        if self.file(id, CONTESTED).exists() {
            self.refuse_contested(id)?;
        }
        self.read(id)
    }

    /// The error of two outputs of one job that differ.
    fn refuse_contested(&self, id: &Id) -> Result<()> {
        let (one, other) = (self.file(id, OUTPUT), self.file(id, CONTESTED));
        let open = |path: &Path| -> Result<Stored<Value>> { Ok(Kept::<Plain<Stored<Value>>>::open(path)?.value.0) };
        let told = |(path, s): (&Path, &Stored<Value>)| {
            format!("{} ({}): {}", s.machine.host, s.machine.class, path.display())
        };
        let (a, b) = (open(&one)?, open(&other)?);
        let print = |s: &Stored<Value>| Fingerprint::new().with_tree("output", &s.value);
        let difference = print(&a).difference(&print(&b));
        Err(exit::refused(format!(
            "job {}: two hosts found different results from the same code, recipe and data.\n  {}\n  {}\nThey differ in {} places, first {}\nFind \
             out which is wrong, and delete both files to do the job again, or the second one to keep the first.",
            id.key,
            told((&one, &a)),
            told((&other, &b)),
            difference.len(),
            difference.first().map_or("(seconds alone)", |d| d),
        )))
    }

    /// How an output of other code or another recipe differs from what is expected; empty without one, and where the job is done.
    pub fn difference(&self, id: &Id) -> Result<Vec<String>> {
        if self.file(id, OUTPUT).exists() {
            return Ok(Vec::new());
        }
        let index = self.index.get_or_init(|| index(&self.runs));
        let Some(tag) = index.get(&id.key).and_then(|tags| tags.iter().find(|t| **t != id.tag)) else {
            return Ok(Vec::new());
        };
        let path = self.runs.join(format!("{}.{tag}.{OUTPUT}", id.key));
        let kept = Kept::<Plain<Stored<Value>>>::open(&path)
            .with_context(|| format!("job {}: delete that file to do its job again", id.key))?;
        Ok(kept.fingerprint.difference(&id.print))
    }

    /// Throws away what other code or another recipe left of a job.
    pub fn forget_others(&self, id: &Id) -> Result<()> {
        for path in self.files(id, |tag| tag != id.tag)? {
            remove(&path)?;
        }
        Ok(())
    }

    /// The files of a job that are there, with their endings: what it left, and what it goes on from ([`SCRATCH`]).
    pub fn left(&self, id: &Id) -> Result<Vec<(String, PathBuf)>> {
        let ending = |path: &PathBuf| {
            let name = path.file_name()?.to_string_lossy().into_owned();
            let what = name.split_once(&format!(".{}.", id.tag))?.1.to_owned();
            (what != OUTPUT && !ABOUT.contains(&&*what)).then_some(what)
        };
        let files = self.files(id, |tag| tag == id.tag)?;
        Ok(files.into_iter().filter_map(|p| Some((ending(&p)?, p))).collect())
    }

    /// The files of a job by their digest.
    fn files(&self, id: &Id, take: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
        let output = self.runs.join(format!("{}.", id.key));
        let (Some(folder), Some(start)) = (output.parent(), output.file_name()) else { return Ok(Vec::new()) };
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let start = start.to_string_lossy();
        let mut all = Vec::new();
        for e in std::fs::read_dir(folder).with_context(|| format!("{}", folder.display()))? {
            let path = e?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let tag = name.strip_prefix(&*start).and_then(|rest| rest.split_once('.')).map(|r| r.0);
            if tag.is_some_and(|t| is_tag(t) && take(t)) {
                all.push(path.clone());
            }
        }
        all.sort();
        Ok(all)
    }

    /// The folder that a job's files go to, made where it is missing.
    pub fn prepare(&self, id: &Id) -> Result<()> {
        let path = self.file(id, OUTPUT);
        let parent = path.parent().unwrap_or(&self.runs);
        std::fs::create_dir_all(parent).with_context(|| format!("cannot write to {}", parent.display()))
    }
}

/// The endings of files that are about the work, and no part of it.
pub const CLAIM: &str = "claim";
/// The error of a job that failed.
pub const FAILED: &str = "failed";
/// How often a job was started without progress.
pub const STARTS: &str = "starts";
/// What the endings of files of work in progress start with.
pub const SCRATCH: &str = "scratch.";
const ABOUT: [&str; 4] = [CLAIM, FAILED, STARTS, CONTESTED];

/// A damaged file does not mend itself.
fn damaged(e: anyhow::Error) -> anyhow::Error {
    match e.downcast_ref() {
        Some(Error::Checkpoint { .. }) => exit::refuse(e),
        _ => e,
    }
}

fn is_tag(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The digests of all outputs below a folder, by key.
fn index(runs: &Path) -> HashMap<String, Vec<String>> {
    let mut found: HashMap<String, Vec<String>> = HashMap::new();
    for path in xtask::sources::every(runs).unwrap_or_default() {
        let Ok(name) = path.strip_prefix(runs) else { continue };
        let name = name.to_string_lossy().replace('\\', "/");
        let parts = name.strip_suffix(&format!(".{OUTPUT}")).and_then(|n| n.rsplit_once('.'));
        if let Some((key, tag)) = parts.filter(|p| is_tag(p.1)) {
            found.entry(key.to_owned()).or_default().push(tag.to_owned());
        }
    }
    found
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
