//! Shares of a plan by several processes, in one folder and in several, with everything that goes wrong.

use super::claims::{Claim, Held, Others};
use super::share::shares;
use super::{merge, starts, work};
use crate::exit;
use crate::jobs::{CLAIM, FAILED, Folder, Id, Job, Plan, Rates, Runner, STARTS, Site, Work};
use anyhow::{Result, bail};
use sconce::args::{Places, Share};
use sconce::places::lookup;
use sconce_tensor_core::Device;
use sconce_tensor_core::store::Fingerprint;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Draws a number of a seed: one job a seed, then one over all of them, then one a seed again.
#[derive(Clone, Serialize)]
struct Step<'a> {
    #[serde(skip)]
    log: &'a Path,
    /// A seed that fails.
    #[serde(skip)]
    fails: Option<u64>,
    stage: &'static str,
    seeds: Vec<u64>,
    seed: u64,
}

impl Step<'_> {
    fn at(&self, stage: &'static str, seed: u64) -> Self {
        Self { stage, seed, ..self.clone() }
    }

    fn before(&self) -> Vec<Self> {
        match self.stage {
            "draw" => Vec::new(),
            "choice" => self.seeds.iter().map(|s| self.at("draw", *s)).collect(),
            _ => vec![self.at("choice", 0), self.at("draw", self.seed)],
        }
    }
}

impl Job for Step<'_> {
    type Output = f64;

    fn key(&self) -> String {
        format!("{}/seed{}", self.stage, self.seed)
    }

    fn needs(&self) -> Vec<String> {
        self.before().iter().map(Job::key).collect()
    }

    fn cost(&self) -> f64 {
        if self.stage == "choice" { 0.0 } else { 1.0 }
    }

    fn run(&self, work: &Work<'_>) -> Result<f64> {
        if self.fails == Some(self.seed) && self.stage == "draw" {
            bail!("seed {} does not like it", self.seed);
        }
        let line = self.key().replace('/', "-");
        let n = std::fs::read_dir(self.log)?.count();
        std::fs::write(self.log.join(format!("{n:05}-{line}")), "")?;
        work.leave("weights", |path| Ok(std::fs::write(path, self.key())?))?;
        let sum: f64 = self.before().iter().map(|b| work.output(b)).sum::<Result<f64>>()?;
        Ok(sum + (self.seed as f64 + 0.1) / 3.0)
    }
}

fn plan<'a>(log: &'a Path, n: u64, code: &str, fails: Option<u64>) -> Plan<'a> {
    let mut plan = Plan::new(Fingerprint::new().with("code.paper", code));
    let seeds: Vec<u64> = (0..n).collect();
    let any = Step { log, fails, stage: "draw", seeds: seeds.clone(), seed: 0 };
    seeds.iter().for_each(|s| plan.add(any.at("draw", *s)).unwrap());
    plan.add(any.at("choice", 0)).unwrap();
    seeds.iter().for_each(|s| plan.add(any.at("fit", *s)).unwrap());
    plan
}

fn with<T>(out: &Path, plan: &Plan<'_>, f: impl FnOnce(&Runner<'_>) -> Result<T>) -> Result<T> {
    let site = Site::new(Device::Cpu, lookup(&Places::default()).unwrap());
    let folder = Folder::open(out, false)?;
    f(&Runner::new(&site, &folder, plan, Rates::new())?)
}

fn share(out: &Path, plan: &Plan<'_>, index: usize, of: usize) -> Result<()> {
    with(out, plan, |r| work(r, Share { index, of }, 3))
}

/// What all jobs found, in order.
fn found(out: &Path, plan: &Plan<'_>) -> Result<Vec<String>> {
    with(out, plan, |r| {
        r.collect()?;
        let value = |j: &crate::jobs::Planned<'_>| {
            Ok(r.folder.output::<serde_json::Value>(&j.id)?.map(|s| s.value.to_string()).unwrap_or_default())
        };
        plan.jobs().iter().map(value).collect()
    })
}

/// The names of the jobs that were done.
fn done(log: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(log).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names.iter().map(|n| n[6..].to_owned()).collect()
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn message<T>(r: Result<T>) -> String {
    format!("{:#}", r.err().expect("an error"))
}

#[test]
fn every_job_has_one_share_and_shares_are_alike() {
    let log = dir();
    let plan = plan(log.path(), 40, "1", None);
    for of in [1, 2, 7, 64, 200] {
        let all = shares(&plan, &Rates::new(), of);
        assert_eq!(all, shares(&plan, &Rates::new(), of));
        let mut loads = vec![0.0; of];
        plan.jobs().iter().zip(&all).for_each(|(j, s)| loads[*s] += j.cost);
        let (least, most) = (loads.iter().copied().fold(f64::MAX, f64::min), loads.iter().copied().fold(0.0, f64::max));
        assert!(most - least <= 2.0, "{of} shares: {least} to {most}");
        let used: BTreeSet<usize> = all.into_iter().collect();
        // A chain of two jobs stays together, so that 40 chains fill 40 shares.
        assert!(used.len() >= of.min(40), "{of}: {}", used.len());
    }
}

#[test]
fn shares_one_after_the_other_equal_the_single_run() {
    let (single, parts, log) = (dir(), dir(), dir());
    let plan = plan(log.path(), 6, "1", None);
    with(single.path(), &plan, |r| r.all()).unwrap();
    let n = done(log.path()).len();
    // The last share first: it does what it needs itself, and the others find that done.
    for index in (0..4).rev() {
        share(parts.path(), &plan, index, 4).unwrap();
    }
    assert_eq!(done(log.path()).len(), 2 * n, "no job twice");
    assert_eq!(found(parts.path(), &plan).unwrap(), found(single.path(), &plan).unwrap());
}

#[test]
fn shares_at_once_equal_the_single_run() {
    let (single, parts, log) = (dir(), dir(), dir());
    let whole = plan(log.path(), 12, "1", None);
    with(single.path(), &whole, |r| r.all()).unwrap();
    std::thread::scope(|s| {
        for index in 0..5 {
            let (parts, log) = (parts.path(), log.path());
            s.spawn(move || share(parts, &plan(log, 12, "1", None), index, 5).unwrap());
        }
    });
    assert_eq!(found(parts.path(), &whole).unwrap(), found(single.path(), &whole).unwrap());
    let left = |what: &str| {
        let all = xtask::sources::every(parts.path()).unwrap();
        all.into_iter().filter(|p| p.to_string_lossy().ends_with(what)).collect::<Vec<PathBuf>>()
    };
    for what in [CLAIM, STARTS, FAILED, "partial", "contested"] {
        assert_eq!(left(what), Vec::<PathBuf>::new());
    }
}

#[test]
fn the_number_of_shares_may_change_and_a_hole_is_named() {
    let (single, parts, log) = (dir(), dir(), dir());
    let plan = plan(log.path(), 5, "1", None);
    with(single.path(), &plan, |r| r.all()).unwrap();
    let n = done(log.path()).len();
    share(parts.path(), &plan, 2, 3).unwrap();
    let e = with(parts.path(), &plan, |r| r.collect().map(drop)).unwrap_err();
    assert_eq!(exit::code(&e), exit::HOLES);
    assert!(format!("{e:#}").contains("\n  fit/seed0"), "{e:#}");
    (0..7).for_each(|index| share(parts.path(), &plan, index, 7).unwrap());
    assert_eq!(done(log.path()).len(), 2 * n, "no job twice");
    assert_eq!(found(parts.path(), &plan).unwrap(), found(single.path(), &plan).unwrap());
}

#[test]
fn machines_without_a_common_folder_are_merged() {
    let (single, log) = (dir(), dir());
    let plan = plan(log.path(), 6, "1", None);
    with(single.path(), &plan, |r| r.all()).unwrap();
    let machines: Vec<_> = (0..3).map(|_| dir()).collect();
    let paths: Vec<PathBuf> = machines.iter().map(|m| m.path().to_owned()).collect();
    paths.iter().enumerate().for_each(|(i, out)| share(out, &plan, i, 3).unwrap());
    let merged = dir();
    // One after the other, and one of them twice.
    for from in [&paths[..1], &paths[..2]] {
        let e = with(merged.path(), &plan, |r| {
            merge(r, from)?;
            r.collect().map(drop)
        });
        assert_eq!(exit::code(&e.unwrap_err()), exit::HOLES);
    }
    with(merged.path(), &plan, |r| merge(r, &paths)).unwrap();
    assert_eq!(found(merged.path(), &plan).unwrap(), found(single.path(), &plan).unwrap());
    assert!(xtask::sources::every(merged.path()).unwrap().iter().any(|p| p.to_string_lossy().ends_with(".weights")));
}

#[test]
fn merging_refuses_other_code_damage_other_data_and_contradictions() {
    let log = dir();
    let now = plan(log.path(), 2, "1", None);
    let run = |code: &str| {
        let out = dir();
        with(out.path(), &plan(log.path(), 2, code, None), |r| r.all()).unwrap();
        out
    };
    let refused = |from: &Path, word: &str| {
        let out = dir();
        let e = with(out.path(), &now, |r| merge(r, &[from.to_owned()])).unwrap_err();
        assert_eq!(exit::code(&e), exit::REFUSED, "{e:#}");
        assert!(format!("{e:#}").contains(word), "{e:#}");
        out
    };
    // Of another code version: nothing is taken.
    let other = run("2");
    let out = refused(other.path(), "5 results of other code");
    assert!(xtask::sources::every(out.path()).unwrap().is_empty());
    // Cut short, and changed.
    let json = |out: &Path| {
        let all = xtask::sources::every(&out.join("runs/fit")).unwrap();
        all.into_iter().find(|p| p.to_string_lossy().ends_with(".json")).unwrap()
    };
    let cut = run("1");
    let path = json(cut.path());
    let text = std::fs::read_to_string(&path).unwrap();
    for damaged in [&text[..text.len() / 2], "", &text.replace("\"value\": ", "\"value\": 1")] {
        std::fs::write(&path, damaged).unwrap();
        refused(cut.path(), "job fit/seed0: delete that file");
    }
    // A file that a job left is not the same.
    let odd = run("1");
    let weights = std::fs::read_dir(odd.path().join("runs/draw")).unwrap().map(|e| e.unwrap().path());
    let weights = weights.into_iter().find(|p| p.to_string_lossy().ends_with(".weights")).unwrap();
    std::fs::write(weights, "other").unwrap();
    let out = run("1");
    let e = with(out.path(), &now, |r| merge(r, &[odd.path().to_owned()])).unwrap_err();
    assert!(exit::code(&e) == exit::REFUSED && format!("{e:#}").contains("another writer left other content"), "{e:#}");
    // Other data.
    let (a, b) = (run("1"), run("1"));
    for (out, digest) in [(&a, "1"), (&b, "2")] {
        let data = Folder::open(out.path(), false).unwrap().data();
        std::fs::create_dir_all(&data).unwrap();
        let print = Fingerprint::new().with("data", "set");
        let kept = sconce_tensor_core::store::Kept::new(print, sconce_tensor_core::store::Plain(digest.to_owned()));
        kept.save(&data.join("set.json")).unwrap();
    }
    let e = message(with(a.path(), &now, |r| merge(r, &[b.path().to_owned()])));
    assert!(e.contains("the data `set` is other data"), "{e}");
    refused(&log.path().join("nowhere"), "no folder of a run");
}

#[test]
fn a_job_that_fails_holds_up_its_own_only() {
    let (out, log) = (dir(), dir());
    let bad = plan(log.path(), 4, "1", Some(2));
    let e = share(out.path(), &bad, 0, 1).unwrap_err();
    assert_eq!(exit::code(&e), 1);
    let e = format!("{e:#}");
    assert!(e.contains("6 jobs of share 1/1 failed") && e.contains("draw/seed2: job draw/seed2: seed 2 does"), "{e}");
    assert!(e.contains("fit/seed1: needs choice/seed0") && e.contains("choice/seed0: needs draw/seed2"), "{e}");
    assert_eq!(done(log.path()).len(), 3, "the other draws");
    let folder = Folder::open(out.path(), false).unwrap();
    let told = std::fs::read_to_string(folder.file(&bad.jobs()[2].id, FAILED)).unwrap();
    assert!(told.contains("seed 2 does not like it"), "{told}");
    // Mended, the same command does what is left.
    let mended = plan(log.path(), 4, "1", None);
    share(out.path(), &mended, 0, 1).unwrap();
    assert!(!folder.file(&bad.jobs()[2].id, FAILED).exists());
    assert_eq!(found(out.path(), &mended).unwrap().len(), 9);
}

#[test]
fn restarts_without_progress_are_bounded() {
    let out = dir();
    let folder = Folder::open(out.path(), false).unwrap();
    let id = Id::new("a/seed0", Fingerprint::new()).unwrap();
    folder.prepare(&id).unwrap();
    for round in 0..3 {
        for _ in 0..3 {
            starts::note(&folder, &id, 3).unwrap();
        }
        let e = starts::note(&folder, &id, 3).unwrap_err();
        assert_eq!(exit::code(&e), exit::REFUSED);
        assert!(format!("{e:#}").contains("started 3 times and left nothing new"), "{e:#}");
        // A checkpoint that is another one is progress.
        std::fs::write(folder.file(&id, "scratch.train.checkpoint"), format!("step {round}")).unwrap();
    }
    std::fs::write(folder.file(&id, STARTS), "{").unwrap();
    starts::note(&folder, &id, 3).unwrap();
    // A share that is always asked to stop before it can start.
    let share = Share { index: 1, of: 4 };
    for result in ["a", "b"] {
        std::fs::write(folder.path().join(format!("{result}.json")), "").unwrap();
        starts::idle(&folder, share, 3).unwrap();
        starts::idle(&folder, share, 3).unwrap();
    }
    let e = starts::idle(&folder, share, 3).unwrap_err();
    assert!(
        exit::code(&e) == exit::REFUSED && format!("{e:#}").contains("share 2/4 was asked to stop 3 times"),
        "{e:#}"
    );
}

#[test]
fn a_claim_is_alive_as_long_as_it_changes() {
    let out = dir();
    let folder = Folder::open(out.path(), false).unwrap();
    let id = Id::new("a/seed0", Fingerprint::new()).unwrap();
    folder.prepare(&id).unwrap();
    let (others, silence) = (Others::default(), Duration::from_millis(50));
    assert!(!others.work_on(&folder, &id, silence));
    let claim = |host: &str, process, beat| {
        let text =
            serde_json::to_vec(&Claim { host: host.to_owned(), process, share: "1/2".to_owned(), beat }).unwrap();
        std::fs::write(folder.file(&id, CLAIM), text).unwrap();
    };
    claim("elsewhere", 1, 0);
    assert!(others.work_on(&folder, &id, silence));
    std::thread::sleep(2 * silence);
    assert!(!others.work_on(&folder, &id, silence), "silent for too long");
    claim("elsewhere", 1, 1);
    assert!(others.work_on(&folder, &id, silence));
    // A process of this host that has ended: no process has this number.
    let here = crate::jobs::Machine::here().host;
    claim(&here, 4_194_305, 0);
    assert_eq!(others.work_on(&folder, &id, silence), !Path::new("/proc/self").exists());
    std::fs::write(folder.file(&id, CLAIM), "half").unwrap();
    assert!(!others.work_on(&folder, &id, silence), "one that cannot be read");
    let held = Held::new(&folder, &id, "1/2");
    assert_eq!(Claim::read(&folder, &id).unwrap().process, std::process::id());
    drop(held);
    assert!(!folder.file(&id, CLAIM).exists());
}

#[test]
fn ten_thousand_results_in_one_folder() {
    // In memory where that can be: each result is written through to the disk.
    let memory = Path::new("/dev/shm");
    let out = if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { dir() };
    let log = dir();
    let mut plan = Plan::new(Fingerprint::new());
    let any = Step { log: log.path(), fails: None, stage: "draw", seeds: Vec::new(), seed: 0 };
    (0..10_000).for_each(|s| plan.add(any.at("draw", s)).unwrap());
    let folder = Folder::open(out.path(), false).unwrap();
    let machine = crate::jobs::Machine::here();
    let started = std::time::Instant::now();
    for job in plan.jobs() {
        folder.prepare(&job.id).unwrap();
        let stored = crate::jobs::Stored { wall_s: 1.0, resumed: false, machine: machine.clone(), value: 0.5 };
        folder.keep(&job.id, stored, Ok).unwrap();
    }
    let written = started.elapsed();
    with(out.path(), &plan, |r| r.collect().map(drop)).unwrap();
    let all = started.elapsed();
    // Each file once: neither is a square of their number. Two minutes are forty times what it takes.
    assert!(all < Duration::from_secs(120), "written in {written:?}, all in {all:?}");
    std::fs::remove_file(folder.file(&plan.jobs()[9_999].id, "json")).unwrap();
    let e = message(with(out.path(), &plan, |r| r.collect().map(drop)));
    assert!(e.contains("1 of 10000 jobs are not done:\n  draw/seed9999"), "{e}");
}
