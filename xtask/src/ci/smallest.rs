//! Every paper in its smallest form, in several ways that must give the same metrics.

use crate::shell::{as_built, run, start_lab, workspace};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// The paper that is killed ten times; the others are twice.
const KILLED_OFTEN: &str = "absum";

/// What two runs must agree on: the results but for seconds.
pub fn results(out: &Path) -> Result<String> {
    let path = out.join("results.json");
    let all: Value = serde_json::from_slice(&std::fs::read(&path).with_context(|| path.display().to_string())?)?;
    let parts = ["config", "code", "seeds", "metrics", "series", "caveats", "left_out", "flags"];
    Ok(serde_json::to_string_pretty(&parts.map(|p| &all[p]))?)
}

/// All papers that have a smallest form.
pub fn slugs() -> Result<Vec<String>> {
    let recipes = workspace().join("xtask/recipes");
    let mut slugs: Vec<String> = std::fs::read_dir(&recipes)
        .with_context(|| format!("{}", recipes.display()))?
        .flatten()
        .filter(|e| e.path().join("smallest.toml").is_file())
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    slugs.sort();
    Ok(slugs)
}

/// Each of them.
pub fn all(program: &Path) -> Result<()> {
    for slug in slugs()? {
        let started = Instant::now();
        paper(program, &slug).with_context(|| format!("{slug} in its smallest form"))?;
        say!("== {slug}: {:.0} s", started.elapsed().as_secs_f64());
    }
    Ok(())
}

/// What a lab with all papers finds, and what a lab with one of them finds.
pub fn alone(all: &Path, one: &Path, slug: &str) -> Result<()> {
    let found = [(all, "of-all"), (one, "alone")].map(|(program, name)| {
        let way = Way::new(program, slug, name, "2");
        run(way.command(&["--fresh"]))?;
        results(&way.out)
    });
    let [all, one] = found;
    ensure!(all? == one?, "the lab with `{slug}` alone finds other results than the lab with all papers");
    Ok(())
}

/// One run of a paper.
pub struct Way<'a> {
    program: &'a Path,
    slug: &'a str,
    /// Its folder.
    pub out: PathBuf,
    threads: &'a str,
}

impl<'a> Way<'a> {
    /// A run with a folder of this name, on so many threads.
    pub fn new(program: &'a Path, slug: &'a str, name: &str, threads: &'a str) -> Self {
        Self { program, slug, out: workspace().join("target/ci").join(format!("{slug}-{name}")), threads }
    }

    /// Its command.
    pub fn command(&self, more: &[&str]) -> Command {
        let mut c = start_lab(self.program);
        c.args(["reproduce", self.slug, "--preset", "smallest", "--out"])
            .arg(&self.out)
            .args(as_built())
            .args(more)
            .env("RAYON_NUM_THREADS", self.threads);
        c
    }

    fn metrics(&self) -> Result<String> {
        let path = self.out.join("results.json");
        let results: Value =
            serde_json::from_slice(&std::fs::read(&path).with_context(|| path.display().to_string())?)?;
        Ok(serde_json::to_string(&results["metrics"])?)
    }

    /// The lines of `--list`, but for the sum at the end.
    fn listed(&self, more: &[&str]) -> Result<Vec<String>> {
        let out = self.command(&[&["--list"], more].concat()).stderr(Stdio::inherit()).output()?;
        ensure!(out.status.success(), "--list: {}", out.status);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.pop().context("--list printed nothing")?;
        Ok(lines)
    }

    /// The keys of all jobs, in order.
    fn jobs(&self) -> Result<Vec<String>> {
        Ok(self.listed(&[])?.iter().filter_map(|l| l.split_whitespace().next().map(str::to_owned)).collect())
    }

    /// How many seeds the results are of: 0 and those that follow.
    fn seeds(&self) -> Result<usize> {
        let results: Value = serde_json::from_slice(&std::fs::read(self.out.join("results.json"))?)?;
        Ok(results["seeds"].as_array().context("no seeds")?.len())
    }

    /// Every output that is there, with the time at which it was written.
    pub fn outputs(&self) -> Result<Vec<(PathBuf, SystemTime)>> {
        let mut files = xtask::sources::every(&self.out.join("runs"))?;
        files.retain(|p| p.extension().is_some_and(|e| e == "json") && !p.starts_with(self.out.join("runs/data")));
        files.into_iter().map(|p| Ok((p.clone(), p.metadata()?.modified()?))).collect()
    }

    /// Starts it as a group of its own, and kills the whole group a while after so many outputs are there. One that ends before is an error.
    fn kill_after(&self, outputs: usize, then: Duration) -> Result<()> {
        let mut command = self.command(&[]);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn()?;
        let mut wait = |time| -> Result<()> {
            std::thread::sleep(time);
            match child.try_wait()? {
                Some(status) => bail!("it ended with {status} before it was killed"),
                None => Ok(()),
            }
        };
        while self.outputs()?.len() < outputs {
            wait(Duration::from_millis(5))?;
        }
        wait(then)?;
        if cfg!(unix) {
            let mut kill = Command::new("kill");
            kill.args(["-KILL", "--", &format!("-{}", child.id())]);
            run(kill)?;
        } else {
            child.kill()?;
        }
        child.wait()?;
        Ok(())
    }
}

/// From start to end on one thread; killed again and again on two; each half of the jobs by a process with another number of threads,
/// then collected; with one more seed.
fn paper(program: &Path, slug: &str) -> Result<()> {
    let whole = Way::new(program, slug, "whole", "1");
    let started = Instant::now();
    run(whole.command(&["--fresh"]))?;
    let seconds = started.elapsed().as_secs_f64();
    let want = whole.metrics()?;

    let killed = Way::new(program, slug, "killed", "2");
    clear(&killed.out)?;
    let keys = killed.jobs()?;
    let kills = if slug == KILLED_OFTEN { 10 } else { 2 };
    for i in 1..=kills {
        // After so many jobs, and then some part of the next one: little enough that it does not reach the end.
        let share = (0.618_034 * i as f64).fract();
        killed.kill_after(
            i * keys.len() / (kills + 1),
            Duration::from_secs_f64(share * 0.5 * seconds / keys.len() as f64),
        )?;
    }
    let before = killed.outputs()?;
    ensure!(!before.is_empty() && !killed.out.join("results.json").exists(), "the kills met no running job");
    run(killed.command(&[]))?;
    ensure!(killed.metrics()? == want, "killed {kills} times, the metrics are others than in one run");
    let after = killed.outputs()?;
    ensure!(before.iter().all(|o| after.contains(o)), "what was done before the last kill was done again");

    let (first, second) = (Way::new(program, slug, "jobs", "1"), Way::new(program, slug, "jobs", "2"));
    clear(&first.out)?;
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

    // One more seed: its jobs alone are to do.
    let seeds = second.seeds()?;
    let more = format!("0..{}", seeds + 1);
    let open: Vec<String> = second.listed(&["--seeds", &more])?.into_iter().filter(|l| l.contains(" to do ")).collect();
    let new = format!("seed{seeds} ");
    ensure!(
        !open.is_empty() && open.iter().all(|l| l.contains(&new)),
        "with one more seed there are to do\n{}",
        open.join("\n")
    );
    Ok(())
}

/// With half of the jobs done `--collect` names one that is not, and writes nothing.
fn refused(way: &Way<'_>, done: &str, open: &[String]) -> Result<()> {
    let out = way.command(&["--collect"]).output()?;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let names = |key: &str| said.lines().any(|l| l.trim() == key);
    let first = open.first().context("no jobs")?;
    ensure!(out.status.code() == Some(4) && names(first) && !names(done), "--collect with holes said\n{said}");
    ensure!(!way.out.join("results.json").exists(), "--collect with holes wrote results");
    Ok(())
}

/// Removes a folder that may not be there.
pub fn clear(folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    }
    Ok(())
}
