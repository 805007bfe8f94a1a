//! A paper of two kinds of jobs, done whole, in parts, with more seeds, and by other code.

use super::{Folder, Id, Job, Machine, Plan, Rates, Runner, Site, Stored, Work};
use crate::exit;
use anyhow::{Result, bail};
use sconce::args::Places;
use sconce::places::lookup;
use sconce_tensor_core::Device;
use sconce_tensor_core::store::{Digest, Fingerprint};
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Draws a number, and says in a file that it did.
#[derive(Clone, Copy, Serialize)]
struct Draw<'a> {
    #[serde(skip)]
    log: &'a Path,
    scale: f64,
    seed: u64,
}

impl Job for Draw<'_> {
    type Output = f64;

    fn key(&self) -> String {
        format!("draw/seed{}", self.seed)
    }

    fn cost(&self) -> f64 {
        1.0
    }

    fn run(&self, work: &Work<'_>) -> Result<f64> {
        let name = self.key().replace('/', "-");
        std::fs::write(self.log.join(name), format!("{}", self.log.exists()))?;
        work.leave("weights", |path| Ok(std::fs::write(path, "w")?))?;
        Ok(self.scale * (self.seed as f64 + 0.1) / 3.0)
    }
}

/// Adds to a drawn number, and more that no plan foresaw.
#[derive(Clone, Copy, Serialize)]
struct Add<'a> {
    draw: Draw<'a>,
    also: bool,
}

impl Job for Add<'_> {
    type Output = f64;

    fn key(&self) -> String {
        format!("add/seed{}", self.draw.seed)
    }

    fn needs(&self) -> Vec<String> {
        vec![self.draw.key()]
    }

    fn cost(&self) -> f64 {
        2.0
    }

    fn run(&self, work: &Work<'_>) -> Result<f64> {
        work.file_of(&self.draw, "weights")?;
        let more = if self.also { work.also(&Draw { seed: 1000 + self.draw.seed, ..self.draw })? } else { 0.0 };
        Ok(work.output(&self.draw)? + more)
    }
}

/// A job that reads what it does not say that it needs.
#[derive(Serialize)]
struct Sly<'a>(Draw<'a>);

impl Job for Sly<'_> {
    type Output = f64;

    fn key(&self) -> String {
        "sly/seed0".to_owned()
    }

    fn cost(&self) -> f64 {
        0.0
    }

    fn run(&self, work: &Work<'_>) -> Result<f64> {
        work.output(&self.0)
    }
}

fn draw(log: &Path, seed: u64) -> Draw<'_> {
    Draw { log, scale: 1.0, seed }
}

fn plan<'a>(log: &'a Path, seeds: &[u64], code: &str, scale: f64) -> Plan<'a> {
    let mut plan = Plan::new(Fingerprint::new().with("code.paper", code));
    for &seed in seeds {
        let draw = Draw { log, scale, seed };
        plan.add(draw).unwrap();
        plan.add(Add { draw, also: false }).unwrap();
    }
    plan
}

/// The files of a job with an ending, whatever their digests.
fn files(out: &Path, key: &str, what: &str) -> Vec<PathBuf> {
    let (folder, name) = key.rsplit_once('/').unwrap();
    let Ok(all) = std::fs::read_dir(out.join("runs").join(folder)) else { return Vec::new() };
    let mut found: Vec<PathBuf> = all.map(|e| e.unwrap().path()).collect();
    found.retain(|p| {
        let file = p.file_name().unwrap().to_str().unwrap();
        file.strip_prefix(&format!("{name}.")).is_some_and(|rest| rest.ends_with(&format!(".{what}")))
    });
    found.sort();
    found
}

fn file(out: &Path, key: &str, what: &str) -> PathBuf {
    let found = files(out, key, what);
    assert_eq!(found.len(), 1, "{key} {what}: {found:?}");
    found[0].clone()
}

/// Which draws were done since the last time, in order.
fn drawn(log: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(log).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.iter().for_each(|n| std::fs::remove_file(log.join(n)).unwrap());
    names.sort();
    names
}

/// With a runner on a folder; what it says goes back.
fn with<T>(out: &Path, plan: &Plan<'_>, f: impl FnOnce(&Runner<'_>) -> Result<T>) -> Result<T> {
    let site = Site::new(Device::Cpu, lookup(&Places::default()).unwrap());
    let folder = Folder::open(out, false)?;
    f(&Runner::new(&site, &folder, plan, Rates::new())?)
}

fn keys(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|k| (*k).to_owned()).collect()
}

fn message<T>(r: Result<T>) -> String {
    format!("{:#}", r.err().expect("an error"))
}

struct Dirs(tempfile::TempDir, tempfile::TempDir);

impl Dirs {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap())
    }
}

#[test]
fn what_is_done_is_not_done_again_and_more_seeds_cost_themselves() {
    let Dirs(out, log) = Dirs::new();
    let (out, log) = (out.path(), log.path());
    let three = plan(log, &[0, 1, 2], "1", 1.0);
    let first = with(out, &three, |r| {
        r.all()?;
        r.collect()?.outputs(&[0, 1, 2], |s| Add { draw: draw(log, s), also: false })
    });
    assert_eq!(drawn(log), ["draw-seed0", "draw-seed1", "draw-seed2"]);
    let six = plan(log, &[0, 1, 2, 3, 4, 5], "1", 1.0);
    let more = with(out, &six, |r| {
        r.all()?;
        r.collect()?.outputs(&[0, 1, 2], |s| Add { draw: draw(log, s), also: false })
    });
    assert_eq!(drawn(log), ["draw-seed3", "draw-seed4", "draw-seed5"]);
    assert_eq!(first.unwrap(), more.unwrap());
}

#[test]
fn one_job_at_a_time_and_a_hole_is_named() {
    let Dirs(out, log) = Dirs::new();
    let (out, log) = (out.path(), log.path());
    let two = plan(log, &[0, 1], "1", 1.0);
    let e = message(with(out, &two, |r| r.some(&keys(&["add/seed0"]))));
    assert!(e.contains("--job add/seed0 needs what is not done: draw/seed0"), "{e}");
    let e = message(with(out, &two, |r| r.some(&keys(&["ad/seed0"]))));
    assert!(e.contains("no job `ad/seed0`; did you mean `add/seed0`?"), "{e}");
    for key in ["draw/seed0", "add/seed0", "draw/seed1"] {
        with(out, &two, |r| r.some(&keys(&[key]))).unwrap();
    }
    let e = message(with(out, &two, |r| r.collect().map(drop)));
    assert!(e.contains("1 of 4 jobs are not done:\n  add/seed1") && !e.contains("draw/seed1"), "{e}");
    with(out, &two, |r| r.some(&keys(&["add/seed1"]))).unwrap();
    with(out, &two, |r| r.collect().map(drop)).unwrap();
    drawn(log);
    with(out, &two, |r| r.some(&keys(&["draw/seed0"]))).unwrap();
    assert!(drawn(log).is_empty());
}

#[test]
fn a_result_of_other_code_or_of_another_recipe_is_refused_key_by_key() {
    let Dirs(out, log) = Dirs::new();
    let (out, log) = (out.path(), log.path());
    with(out, &plan(log, &[0], "1", 1.0), |r| r.all()).unwrap();
    drawn(log);
    let e = message(with(out, &plan(log, &[0], "2", 1.0), |r| r.collect().map(drop)));
    assert!(e.contains("2 of 2 jobs were done by other code") && e.contains("--redo") && e.contains("--fresh"), "{e}");
    assert!(e.contains("add/seed0 differs in\n  `code.paper`: found \"1\", expected \"2\""), "{e}");
    let e = message(with(out, &plan(log, &[0, 1], "1", 2.0), |r| r.refuse_stale()));
    assert!(e.contains("2 of 4 jobs") && e.contains("`reads.draw.scale`: found 1.0, expected 2.0"), "{e}");
    // What a job needs is in its fingerprint too.
    std::fs::remove_file(file(out, "draw/seed0", "json")).unwrap();
    let e = message(with(out, &plan(log, &[0], "1", 2.0), |r| r.refuse_stale()));
    assert!(e.contains("1 of 2 jobs") && e.contains("`needs.draw/seed0`"), "{e}");
}

#[test]
fn what_is_stale_alone_is_done_again() {
    let Dirs(out, log) = Dirs::new();
    let (out, log) = (out.path(), log.path());
    with(out, &plan(log, &[0, 1], "1", 1.0), |r| r.all()).unwrap();
    drawn(log);
    // Seed 1 of another recipe; its files go with it.
    let mut other = plan(log, &[0], "1", 1.0);
    let draw = Draw { log, scale: 3.0, seed: 1 };
    other.add(draw).unwrap();
    other.add(Add { draw, also: false }).unwrap();
    let site = Site::new(Device::Cpu, lookup(&Places::default()).unwrap());
    let folder = Folder::open(out, false).unwrap();
    let mut r = Runner::new(&site, &folder, &other, Rates::new()).unwrap();
    assert!(r.refuse_stale().is_err());
    r.forget_stale().unwrap();
    assert!(files(out, "draw/seed1", "weights").is_empty() && files(out, "draw/seed0", "weights").len() == 1);
    r.all().unwrap();
    assert_eq!(drawn(log), ["draw-seed1"]);
    assert_eq!(r.collect().unwrap().output(&draw).unwrap(), 3.0 * 1.1 / 3.0);
}

#[test]
fn what_another_process_did_since_is_seen() {
    let Dirs(out, log) = Dirs::new();
    let (out, log) = (out.path(), log.path());
    let one = plan(log, &[0], "1", 1.0);
    with(out, &one, |early| {
        with(out, &one, |other| other.some(&keys(&["draw/seed0"])))?;
        drawn(log);
        early.some(&keys(&["add/seed0"]))?;
        early.all()
    })
    .unwrap();
    assert!(drawn(log).is_empty());
}

#[test]
fn other_data_than_that_of_the_folder_is_refused() {
    let out = tempfile::tempdir().unwrap();
    let same = |content: &str| {
        let site = Site::new(Device::Cpu, lookup(&Places::default()).unwrap());
        site.keep_digests(Folder::open(out.path(), false).unwrap().data());
        site.same("cifar10-train", Digest::new().bytes(content.as_bytes()))
    };
    same("1").unwrap();
    same("1").unwrap();
    let e = message(same("2"));
    assert!(e.contains("`cifar10-train` is other data") && e.contains("--out"), "{e}");
}

/// A job that finds something that JSON cannot hold.
#[derive(Serialize)]
struct Endless;

impl Job for Endless {
    type Output = (f64, Option<f64>);

    fn key(&self) -> String {
        "endless/seed0".to_owned()
    }

    fn cost(&self) -> f64 {
        1.0
    }

    fn run(&self, work: &Work<'_>) -> Result<Self::Output> {
        std::fs::write(work.scratch("state"), "s")?;
        Ok((f64::INFINITY, None))
    }
}

#[test]
fn a_number_that_is_not_finite_is_never_kept() {
    let out = tempfile::tempdir().unwrap();
    let mut plan = Plan::new(Fingerprint::new());
    plan.add(Endless).unwrap();
    let e = message(with(out.path(), &plan, |r| r.all()));
    assert!(e.contains("job endless/seed0") && e.contains("not finite"), "{e}");
    assert!(files(out.path(), "endless/seed0", "json").is_empty());
    assert_eq!(files(out.path(), "endless/seed0", "scratch.state").len(), 1, "it can go on");
}

#[test]
fn a_damaged_output_and_a_lost_file_are_told() {
    let Dirs(out, log) = Dirs::new();
    let (out, log) = (out.path(), log.path());
    let one = plan(log, &[0], "1", 1.0);
    with(out, &one, |r| r.some(&keys(&["draw/seed0"]))).unwrap();
    std::fs::remove_file(file(out, "draw/seed0", "weights")).unwrap();
    let e = message(with(out, &one, |r| r.all()));
    assert!(e.contains(".weights is gone although job draw/seed0 is done: delete"), "{e}");
    std::fs::write(file(out, "draw/seed0", "json"), "{").unwrap();
    let e = message(with(out, &one, |r| r.all()));
    assert!(e.contains("draw/seed0") && e.contains("not a whole kept value"), "{e}");
}

#[test]
fn a_job_may_do_more_than_was_planned_once() {
    let Dirs(out, log) = Dirs::new();
    let (out, log) = (out.path(), log.path());
    let mut plan = Plan::new(Fingerprint::new());
    let draw = draw(log, 0);
    plan.add(draw).unwrap();
    plan.add(Add { draw, also: true }).unwrap();
    with(out, &plan, |r| r.all()).unwrap();
    assert_eq!(drawn(log), ["draw-seed0", "draw-seed1000"]);
    std::fs::remove_file(file(out, "add/seed0", "json")).unwrap();
    with(out, &plan, |r| r.all()).unwrap();
    assert!(drawn(log).is_empty(), "what was done beyond the plan is kept");
}

#[test]
fn a_plan_in_disorder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path();
    let mut plan = Plan::new(Fingerprint::new());
    let e = message(plan.add(Add { draw: draw(log, 0), also: false }));
    assert!(e.contains("job add/seed0") && e.contains("no job `draw/seed0`"), "{e}");
    plan.add(draw(log, 0)).unwrap();
    plan.add(draw(log, 0)).unwrap();
    assert_eq!(plan.jobs().len(), 1, "the same job twice is one");
    let e = message(plan.add(Draw { scale: 2.0, ..draw(log, 0) }));
    assert!(e.contains("two jobs have the key draw/seed0 and differ in\n  `reads.scale`"), "{e}");
    plan.add(Sly(draw(log, 0))).unwrap();
    let out = tempfile::tempdir().unwrap();
    let e = message(with(out.path(), &plan, |r| r.all()));
    assert!(e.contains("sly/seed0 reads draw/seed0, which it does not say that it needs"), "{e}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let e = message(Folder::open(&file.join("below"), false));
    assert!(e.contains("cannot write to the output folder") && e.contains("below"), "{e}");
}

#[test]
fn rates_of_what_is_done_estimate_the_rest() {
    let Dirs(out, log) = Dirs::new();
    let (out, log) = (out.path(), log.path());
    let two = plan(log, &[0, 1], "1", 1.0);
    with(out, &two, |r| {
        assert!(r.rates().is_empty());
        r.some(&keys(&["draw/seed0"]))?;
        r.some(&keys(&["add/seed0"]))?;
        let (rates, seconds) = (r.rates(), r.seconds());
        let again = rates["draw"] + 2.0 * rates["add"];
        if (again - seconds).abs() > 1e-12 {
            bail!("{again} is not {seconds}");
        }
        Ok(())
    })
    .unwrap();
}

/// An output as another host would have found it.
fn stored(host: &str, seconds: f64, value: Value) -> Stored<Value> {
    let machine = Machine { host: host.to_owned(), class: "one".to_owned() };
    Stored { wall_s: seconds, resumed: false, machine, value }
}

#[test]
fn a_second_result_that_agrees_is_fine_and_one_that_does_not_names_both_hosts() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path(), false).unwrap();
    let id = Id::new("fit/seed0", Fingerprint::new().with("x", 1)).unwrap();
    folder.prepare(&id).unwrap();
    let value = |auc: f64, seconds: f64| serde_json::json!([{ "auc": auc, "fit_s": seconds }]);
    // Seconds are no result.
    let agreed = |mut v: Value| {
        v[0].as_object_mut().unwrap().remove("fit_s");
        Ok(v)
    };
    folder.keep(&id, stored("a", 1.0, value(0.5, 1.0)), agreed).unwrap();
    folder.keep(&id, stored("b", 2.0, value(0.5, 2.0)), agreed).unwrap();
    assert_eq!(folder.output::<Value>(&id).unwrap().unwrap().machine.host, "a", "the first one stays");
    let e = folder.keep(&id, stored("c", 3.0, value(0.25, 1.0)), agreed).unwrap_err();
    assert_eq!(exit::code(&e), exit::REFUSED);
    let e = format!("{e:#}");
    assert!(
        e.contains("a (one)") && e.contains("c (one)") && e.contains("`output.0.auc`: found 0.5, expected 0.25"),
        "{e}"
    );
    // Nobody takes either of them from now on.
    let e = folder.output::<Value>(&id).map(drop).unwrap_err();
    assert!(format!("{e:#}").contains("c (one)"), "{e:#}");
    std::fs::remove_file(file(dir.path(), "fit/seed0", "contested")).unwrap();
    assert!(folder.output::<Value>(&id).unwrap().is_some());
}

#[test]
fn a_file_that_a_job_leaves_is_the_same_each_time() {
    #[derive(Serialize)]
    struct Leaves<'a> {
        #[serde(skip)]
        bytes: &'a str,
    }
    impl Job for Leaves<'_> {
        type Output = f64;
        fn key(&self) -> String {
            "leaves/seed0".to_owned()
        }
        fn cost(&self) -> f64 {
            1.0
        }
        fn run(&self, work: &Work<'_>) -> Result<f64> {
            work.leave("weights", |path| Ok(std::fs::write(path, self.bytes)?))?;
            Ok(1.0)
        }
    }
    let out = tempfile::tempdir().unwrap();
    let run = |bytes: &str| {
        let mut plan = Plan::new(Fingerprint::new());
        plan.add(Leaves { bytes }).unwrap();
        with(out.path(), &plan, |r| r.all())
    };
    run("w").unwrap();
    for bytes in ["w", "v"] {
        std::fs::remove_file(file(out.path(), "leaves/seed0", "json")).unwrap();
        let done = run(bytes);
        assert_eq!(done.is_ok(), bytes == "w");
        if let Err(e) = done {
            assert_eq!(exit::code(&e), exit::REFUSED);
            assert!(format!("{e:#}").contains("another writer left other content"), "{e:#}");
            break;
        }
    }
    assert_eq!(std::fs::read(file(out.path(), "leaves/seed0", "weights")).unwrap(), b"w");
}

#[test]
fn results_of_other_code_lie_beside_ours() {
    let Dirs(out, log) = Dirs::new();
    let (out, log) = (out.path(), log.path());
    let (old, new) = (plan(log, &[0], "1", 1.0), plan(log, &[0], "2", 1.0));
    with(out, &new, |r| r.all()).unwrap();
    drawn(log);
    // A process of the old code that nobody stopped ends after the new one.
    with(out, &old, |r| r.all()).unwrap();
    assert_eq!(files(out, "draw/seed0", "json").len(), 2);
    drawn(log);
    for p in [&old, &new] {
        with(out, p, |r| r.collect().map(drop)).unwrap();
    }
    with(out, &new, |r| r.all()).unwrap();
    assert!(drawn(log).is_empty());
}
