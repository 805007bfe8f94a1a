//! Hints about jobs that some process does just now. They keep others from doing the same, and nothing more: a claim may be of a process that is dead,
//! or be seen late, and then a job is done twice.

use crate::jobs::{CLAIM, Folder, Id, Machine, remove};
use sconce_tensor_core::store::write_whole;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often a claim is renewed.
pub const BEAT: Duration = Duration::from_secs(10);
/// How long a claim may stay the same before its process counts as dead. NFS shows a change up to a minute late.
pub const SILENCE: Duration = Duration::from_secs(90);

/// What a claim says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// The host that works.
    pub host: String,
    /// Its process.
    pub process: u32,
    /// The share that it works on.
    pub share: String,
    /// How often it was renewed.
    pub beat: u64,
}

impl Claim {
    /// The claim on a job, where there is one that can be read.
    pub fn read(folder: &Folder, id: &Id) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(folder.file(id, CLAIM)).ok()?).ok()
    }

    fn write(&self, path: &Path) {
        // Best effort, as all of this.
        if let Ok(text) = serde_json::to_vec(self) {
            let _ = write_whole(path, &text);
        }
    }

    /// Whether its process is one of this host that has ended.
    fn ended(&self) -> bool {
        let here = self.host == Machine::here().host && Path::new("/proc/self").exists();
        here && !Path::new("/proc").join(self.process.to_string()).exists()
    }
}

/// A claim that this process holds, and renews until it is dropped.
pub struct Held {
    path: PathBuf,
    end: Option<Sender<()>>,
    beats: Option<JoinHandle<()>>,
}

impl Held {
    /// Claims a job.
    pub fn new(folder: &Folder, id: &Id, share: &str) -> Self {
        let path = folder.file(id, CLAIM);
        let (host, process) = (Machine::here().host, std::process::id());
        let mut claim = Claim { host, process, share: share.to_owned(), beat: 0 };
        claim.write(&path);
        let (end, ended) = channel();
        let file = path.clone();
        let beat = move || {
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(BEAT) {
                claim.beat += 1;
                claim.write(&file);
            }
        };
        let beats = std::thread::Builder::new().name("claim".to_owned()).spawn(beat).ok();
        Self { path, end: Some(end), beats }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(beats) = self.beats.take() {
            let _ = beats.join();
        }
        let _ = remove(&self.path);
    }
}

/// The claims of others, watched: alive is one that changes. No two clocks are compared.
#[derive(Default)]
pub struct Others {
    seen: RefCell<HashMap<String, (Claim, Instant)>>,
}

impl Others {
    /// Whether some process seems to do a job, as far as was seen since this was first asked.
    pub fn work_on(&self, folder: &Folder, id: &Id, silence: Duration) -> bool {
        let Some(claim) = Claim::read(folder, id).filter(|c| !c.ended()) else { return false };
        let mut seen = self.seen.borrow_mut();
        match seen.get(&id.key) {
            Some((before, since)) if *before == claim => since.elapsed() < silence,
            _ => {
                seen.insert(id.key.clone(), (claim, Instant::now()));
                true
            }
        }
    }
}
