//! Every paper in its smallest form, in several ways that must give the same metrics.

use super::with;
use crate::shell::{run, workspace};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The paper that is killed ten times; the others are twice.
const KILLED_OFTEN: &str = "absum";

/// All papers that have a smallest form.
#[allow(clippy::print_stdout)]
pub fn all() -> Result<()> {
    let recipes = workspace().join("xtask/recipes");
    let mut slugs: Vec<String> = std::fs::read_dir(&recipes)
        .with_context(|| format!("{}", recipes.display()))?
        .flatten()
        .filter(|e| e.path().join("smallest.toml").is_file())
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    slugs.sort();
    for slug in slugs {
        let started = Instant::now();
        paper(&slug).with_context(|| format!("{slug} in its smallest form"))?;
        println!("== {slug}: {:.0} s", started.elapsed().as_secs_f64());
    }
    Ok(())
}

/// One run of a paper.
struct Way<'a> {
    slug: &'a str,
    out: PathBuf,
    threads: &'a str,
}

impl<'a> Way<'a> {
    fn new(slug: &'a str, name: &str, threads: &'a str) -> Self {
        Self { slug, out: workspace().join("target/ci").join(format!("{slug}-{name}")), threads }
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut c = with(&["xtask", "reproduce", self.slug, "--preset", "smallest", "--out"]);
        c.arg(&self.out).args(more).env("RAYON_NUM_THREADS", self.threads);
        c
    }

    fn metrics(&self) -> Result<String> {
        let path = self.out.join("results.json");
        let results: Value =
            serde_json::from_slice(&std::fs::read(&path).with_context(|| path.display().to_string())?)?;
        Ok(serde_json::to_string(&results["metrics"])?)
    }

    /// The keys of all jobs, in order.
    fn jobs(&self) -> Result<Vec<String>> {
        let out = self.command(&["--list"]).stderr(Stdio::inherit()).output()?;
        ensure!(out.status.success(), "--list: {}", out.status);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        // The last line is the sum.
        let lines: Vec<&str> = text.lines().collect();
        let (_, jobs) = lines.split_last().context("--list printed nothing")?;
        Ok(jobs.iter().filter_map(|l| l.split_whitespace().next().map(str::to_owned)).collect())
    }
}

/// From start to end on one thread; killed again and again on two; each half of the jobs by a process with another number of threads,
/// then collected.
fn paper(slug: &str) -> Result<()> {
    let whole = Way::new(slug, "whole", "1");
    let started = Instant::now();
    run(whole.command(&["--fresh"]))?;
    let seconds = started.elapsed().as_secs_f64();
    let want = whole.metrics()?;

    let killed = Way::new(slug, "killed", "2");
    clear(&killed.out)?;
    let kills = if slug == KILLED_OFTEN { 10 } else { 2 };
    for i in 0..kills {
        // Moments that are spread over the run, as the golden ratio spreads them.
        let share = (0.618_034 * f64::from(i + 1)).fract();
        kill_after(&mut killed.command(&[]), Duration::from_secs_f64(0.3 + share * seconds * 1.2 / f64::from(kills)))?;
    }
    run(killed.command(&[]))?;
    ensure!(killed.metrics()? == want, "killed {kills} times, the metrics are others than in one run");

    let (first, second) = (Way::new(slug, "jobs", "1"), Way::new(slug, "jobs", "2"));
    clear(&first.out)?;
    let keys = first.jobs()?;
    let (a, b) = keys.split_at(keys.len() / 2);
    let of = |keys: &[String]| keys.iter().flat_map(|k| ["--job".to_owned(), k.clone()]).collect::<Vec<_>>();
    let start = |way: &Way<'_>, keys: &[String]| {
        let words = of(keys);
        run(way.command(&words.iter().map(String::as_str).collect::<Vec<_>>()))
    };
    start(&first, a)?;
    refused(&first, a.last().context("no jobs")?, b)?;
    start(&second, b)?;
    run(second.command(&["--collect"]))?;
    ensure!(second.metrics()? == want, "done as jobs by two processes, the metrics are others than in one run");
    Ok(())
}

/// With half of the jobs done `--collect` names one that is not, and writes nothing.
fn refused(way: &Way<'_>, done: &str, open: &[String]) -> Result<()> {
    let out = way.command(&["--collect"]).output()?;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let names = |key: &str| said.lines().any(|l| l.trim() == key);
    let first = open.first().context("no jobs")?;
    ensure!(out.status.code() == Some(1) && names(first) && !names(done), "--collect with holes said\n{said}");
    ensure!(!way.out.join("results.json").exists(), "--collect with holes wrote results");
    Ok(())
}

fn clear(folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    }
    Ok(())
}

/// Starts a command as a group of its own and kills the whole group after a while.
fn kill_after(command: &mut Command, after: Duration) -> Result<()> {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    let mut child = command.spawn()?;
    std::thread::sleep(after);
    if child.try_wait()?.is_some() {
        return Ok(());
    }
    if cfg!(unix) {
        let mut kill = Command::new("kill");
        kill.args(["-KILL", "--", &format!("-{}", child.id())]);
        // It may have ended by itself since.
        if !kill.status()?.success() && child.try_wait()?.is_none() {
            bail!("cannot end process group {}", child.id());
        }
    } else {
        child.kill()?;
    }
    child.wait()?;
    Ok(())
}
