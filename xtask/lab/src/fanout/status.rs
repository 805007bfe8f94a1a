//! Where a reproduction stands.

use super::arguments::{line, words};
use super::claims::{Claim, SILENCE};
use super::share::shares;
use super::slurm::Submitted;
use crate::jobs::{CLAIM, FAILED, Planned, Runner};
use crate::terminal::{clock, say};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};
use xtask::cli::Reproduce;

/// Lines of each kind that are printed; the rest is counted.
const NAMED: usize = 20;

/// What is known of a job that is not done.
enum State {
    Running(String),
    Failed(String),
    Stale,
    Missing(String),
}

fn state(runner: &Runner<'_>, job: &Planned<'_>) -> State {
    let folder = runner.folder;
    let claim = Claim::read(folder, &job.id);
    let age = || {
        let changed = std::fs::metadata(folder.file(&job.id, CLAIM)).and_then(|m| m.modified()).ok()?;
        Some(SystemTime::now().duration_since(changed).unwrap_or(Duration::ZERO))
    };
    let since = claim.and_then(|c| Some((c, age()?)));
    if let Some((c, _)) = since.as_ref().filter(|s| s.1 < SILENCE) {
        return State::Running(format!("on {} (process {}, share {})", c.host, c.process, c.share));
    }
    if let Ok(text) = std::fs::read_to_string(folder.file(&job.id, FAILED)) {
        let (host, why) = text.split_once('\n').unwrap_or(("", &text));
        return State::Failed(format!("on {host}: {}", why.trim_end()));
    }
    if runner.stale().contains_key(job.key()) {
        return State::Stale;
    }
    State::Missing(since.map_or_else(String::new, |(c, age)| {
        format!("{} has said nothing for {}: it is probably dead", c.host, clock(age.as_secs_f64()))
    }))
}

/// Prints what is done, running, failed and missing, and what to type next.
pub fn status(args: &Reproduce, runner: &Runner<'_>, out: &Path) {
    let jobs = runner.plan.jobs();
    let (mut running, mut failed, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    let (mut stale, mut open) = (0, BTreeSet::new());
    for job in jobs.iter().filter(|j| !runner.is_done(j.key())) {
        let state = state(runner, job);
        if !matches!(state, State::Running(_)) {
            open.insert(job.key());
        }
        let (list, more) = match state {
            State::Running(more) => (&mut running, more),
            State::Failed(more) => (&mut failed, more),
            State::Missing(more) => (&mut missing, more),
            State::Stale => {
                stale += 1;
                (&mut missing, "there is a result of other code or another recipe".to_owned())
            }
        };
        list.push(format!("{}  {more}", job.key()).trim_end().to_owned());
    }
    let done = jobs.iter().filter(|j| runner.is_done(j.key())).count();
    let (r, f, m) = (running.len(), failed.len(), missing.len());
    say(&format!("{} jobs: {done} done, {r} running, {f} failed, {m} missing", jobs.len()));
    for (word, list) in [("running", &running), ("failed", &failed), ("missing", &missing)] {
        list.iter().take(NAMED).for_each(|l| say(&format!("{word:<8} {l}")));
        if list.len() > NAMED {
            say(&format!("{word:<8} and {} more (--list shows all)", list.len() - NAMED));
        }
    }
    if stale > 0 {
        say(&format!("{stale} results are of other code or another recipe: --redo runs those jobs again"));
    }
    if let Some(next) = next(args, runner, out, &open) {
        say(&format!("\n{next}"));
    }
}

/// What to type: the line that does what is missing, or the one that collects.
fn next(args: &Reproduce, runner: &Runner<'_>, out: &Path, open: &BTreeSet<&str>) -> Option<String> {
    let words = words(args, out).ok()?;
    let own = |more: &str| format!("  cargo xtask {} {more}", line(&words));
    if runner.plan.jobs().iter().all(|j| runner.is_done(j.key())) {
        return Some(format!("Nothing is missing. Collect the results:\n{}", own("--collect")));
    }
    if open.is_empty() {
        return None;
    }
    let Some(submitted) = Submitted::read(out) else {
        return Some(format!(
            "Run what is missing here, or a share of it on each of N machines:\n{}",
            own("[--shard I/N]")
        ));
    };
    if submitted.plan != runner.plan.digest() {
        let why = "The code, the recipe or the seeds have changed since the array was submitted. Submit again:";
        return Some(format!("{why}\n{}", own("--on slurm")));
    }
    let of = shares(runner.plan, &runner.recorded, submitted.shares);
    let tasks: BTreeSet<usize> =
        runner.plan.jobs().iter().zip(of).filter(|(j, _)| open.contains(j.key())).map(|(_, s)| s).collect();
    Some(format!("Submit what is missing again, and the job that collects:\n{}", submitted.lines(out, &tasks)))
}
