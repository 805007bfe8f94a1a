//! A reproduction in shares without any engine: killed, interrupted, on a full disk, with holes and damage.

use super::slurm::SLUG;
use super::smallest::{Way, clear, results};
use crate::shell::run;
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How often one of two workers is killed.
const KILLS: usize = 20;

/// All scenarios; a merge of shares equals one process each time.
pub fn all(program: &Path) -> Result<()> {
    let single = Way::new(program, SLUG, "shares-single", "1");
    let started = Instant::now();
    run(single.command(&["--fresh"]))?;
    let (want, seconds) = (results(&single.out)?, started.elapsed().as_secs_f64());
    killed(program, &want, seconds).context("a worker killed at 20 moments")?;
    interrupted(program, &want).context("workers that are asked to stop")?;
    damaged(program, &want).context("a hole and a damaged result")?;
    full_disk(program, &want).context("a full disk")
}

fn quiet(mut command: Command) -> Result<Output> {
    command.output().with_context(|| format!("cannot start {command:?}"))
}

fn collected(way: &Way<'_>, want: &str) -> Result<()> {
    let out = quiet(way.command(&["--collect"]))?;
    ensure!(out.status.success(), "--collect: {}", String::from_utf8_lossy(&out.stderr));
    ensure!(results(&way.out)? == want, "the results are others than those of one process");
    Ok(())
}

fn start(way: &Way<'_>, share: &str) -> Result<Child> {
    let mut command = way.command(&["--quiet", "--shard", share, "--restarts", "40"]);
    Ok(command.stderr(Stdio::null()).spawn()?)
}

/// One worker is killed again and again, as kernels and engines kill, while another one goes on.
fn killed(program: &Path, want: &str, seconds: f64) -> Result<()> {
    let way = Way::new(program, SLUG, "shares-killed", "1");
    clear(&way.out)?;
    let mut other = start(&way, "2/2")?;
    let mut kills = 0;
    for i in 1..=KILLS {
        let mut worker = start(&way, "1/2")?;
        // From the first moment to a job or two: all kills together in less than half of the time that one process needs.
        std::thread::sleep(Duration::from_secs_f64((0.618_034 * i as f64).fract() * seconds / 24.0));
        if worker.try_wait()?.is_none() {
            worker.kill()?;
            kills += 1;
        }
        worker.wait()?;
    }
    ensure!(other.wait()?.success(), "the worker that nobody killed failed");
    ensure!(kills >= KILLS / 2, "{kills} kills met a worker");
    let last = start(&way, "1/2")?.wait()?;
    ensure!(last.success(), "the worker that was killed before: {last}");
    collected(&way, want)
}

/// SIGTERM, SIGINT and SIGUSR1: each ends a worker with code 75, and the next one goes on.
fn interrupted(program: &Path, want: &str) -> Result<()> {
    let way = Way::new(program, SLUG, "shares-stopped", "1");
    clear(&way.out)?;
    let mut stops = 0;
    for (i, signal) in ["TERM", "INT", "USR1", "TERM", "USR1"].into_iter().enumerate() {
        let before = way.outputs()?.len();
        let mut worker = start(&way, "1/1")?;
        let patience = Instant::now();
        // At work: it listens by then.
        while way.outputs()?.len() == before && worker.try_wait()?.is_none() && patience.elapsed().as_secs() < 120 {
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(97 * i as u64));
        run(signalled(signal, &worker))?;
        match worker.wait()?.code() {
            Some(75) => stops += 1,
            Some(0) => {}
            code => bail!("SIG{signal} ended it with {code:?}, not with 75"),
        }
    }
    ensure!(stops >= 3, "{stops} of 5 signals met a worker");
    ensure!(start(&way, "1/1")?.wait()?.success(), "the last worker failed");
    collected(&way, want)
}

fn signalled(signal: &str, child: &Child) -> Command {
    let mut kill = Command::new("kill");
    kill.args([&format!("-{signal}"), &child.id().to_string()]);
    kill
}

/// `--collect` names a hole and ends with code 4; it refuses a result that was cut short; another number of shares does what is left.
fn damaged(program: &Path, want: &str) -> Result<()> {
    let way = Way::new(program, SLUG, "shares-damaged", "1");
    clear(&way.out)?;
    ensure!(start(&way, "1/2")?.wait()?.success(), "share 1/2 failed");
    ensure!(start(&way, "2/2")?.wait()?.success(), "share 2/2 failed");
    let (path, _) = way.outputs()?.pop().context("no outputs")?;
    let text = std::fs::read(&path)?;
    std::fs::write(&path, &text[..text.len() / 2])?;
    let expect = |code: i32, word: &str| -> Result<()> {
        let out = quiet(way.command(&["--collect"]))?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        ensure!(
            out.status.code() == Some(code) && said.contains(word),
            "not {code} and `{word}`: {}\n{said}",
            out.status
        );
        ensure!(!way.out.join("results.json").exists(), "results were written");
        Ok(())
    };
    expect(2, "delete that file to do its job again")?;
    std::fs::remove_file(&path)?;
    expect(4, "1 of ")?;
    for share in ["1/3", "2/3", "3/3"] {
        ensure!(start(&way, share)?.wait()?.success(), "share {share} failed");
    }
    collected(&way, want)
}

/// A small file system in memory that is full after a few results, and then is made larger.
fn full_disk(program: &Path, want: &str) -> Result<()> {
    let way = Way::new(program, SLUG, "shares-full", "1");
    clear(&way.out)?;
    std::fs::create_dir_all(&way.out)?;
    let mount = |options: &str| -> Result<bool> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&way.out).stderr(Stdio::null());
        Ok(mount.status().is_ok_and(|s| s.success()))
    };
    if !mount("size=200k")? {
        say!("== a full disk: skipped, because this user cannot mount a tmpfs");
        return Ok(());
    }
    let done = (|| {
        let out = quiet(way.command(&["--shard", "1/1"]))?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        ensure!(out.status.code() == Some(1) && said.contains("No space left"), "a full disk: {}\n{said}", out.status);
        ensure!(mount("remount,size=200m")?, "the file system cannot be made larger");
        ensure!(start(&way, "1/1")?.wait()?.success(), "with room it failed");
        collected(&way, want)
    })();
    run({
        let mut unmount = Command::new("umount");
        unmount.arg(&way.out);
        unmount
    })?;
    done
}
