//! A reproduction on a real Slurm of one machine: as it should go, and with what goes wrong on clusters.

mod cluster;

use super::smallest::{Way, clear, results};
use crate::shell::run;
use anyhow::{Context, Result, ensure};
use cluster::Cluster;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The paper whose smallest form is run.
pub const SLUG: &str = "absum";
/// Seconds that one process needs for a run that is long enough for time limits, about.
const LONG: f64 = 75.0;
/// Epochs of the run that tells what an epoch costs.
const PROBE: usize = 11;
/// How long one scenario may take.
const MOST: Duration = Duration::from_secs(600);

/// All scenarios. Where there can be no Slurm, none, and a word about it.
pub fn all(program: &Path) -> Result<()> {
    if let Some(why) = cluster::missing() {
        say!("== skipped: {why}");
        return Ok(());
    }
    let single = Way::new(program, SLUG, "slurm-single", "1");
    let started = Instant::now();
    run(single.command(&["--fresh"]))?;
    let (want, short) = (results(&single.out)?, started.elapsed().as_secs_f64());
    // Three epochs took that long; with a few more, this is what one costs. Slurm looks at time limits and at dead nodes every half minute: one
    // process must need more than that.
    let probe = Way::new(program, SLUG, "slurm-single-probe", "1");
    let started = Instant::now();
    run(probe.command(&["--fresh", "--set", &format!("train.epochs={PROBE}")]))?;
    let each = (started.elapsed().as_secs_f64() - short).max(0.5) / (PROBE - 3) as f64;
    let epochs = (3.0 + (LONG - short) / each).clamp(4.0, 300.0) as usize;
    let mut cluster = Cluster::start().context("a Slurm of one machine")?;
    let epochs = format!("train.epochs={epochs}");
    let slow = ["--set", &epochs];
    let patient = Way::new(program, SLUG, "slurm-single-slow", "1");
    run(patient.command(&[&["--fresh"], &slow[..]].concat()))?;
    let later = results(&patient.out)?;

    scenario("an array, and the job that collects it", || array(&cluster, program, &want))?;
    scenario("a partition of higher priority takes the nodes", || preempted(&cluster, program, (&slow, &later)))?;
    scenario("tasks meet their time limit", || limited(&cluster, program, (&slow, &later)))?;
    scenario("the daemon of a node dies", || node_dies(&mut cluster, program, (&slow, &later)))
}

fn scenario(name: &str, f: impl FnOnce() -> Result<()>) -> Result<()> {
    let started = Instant::now();
    f().with_context(|| name.to_owned())?;
    say!("== {name}: {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// A run that is submitted.
struct Submitted<'p, 'c> {
    way: Way<'p>,
    cluster: &'c Cluster,
}

impl<'p, 'c> Submitted<'p, 'c> {
    fn new(cluster: &'c Cluster, program: &'p Path, name: &str, more: &[&str]) -> Result<Self> {
        let way = Way::new(program, SLUG, name, "1");
        clear(&way.out)?;
        run(cluster.command(way.command(&[&["--on", "slurm"], more].concat())))?;
        Ok(Self { way, cluster })
    }

    /// Waits until so many outputs are there.
    fn outputs(&self, n: usize) -> Result<()> {
        self.cluster.until(&format!("{n} outputs"), MOST, |_| Ok(self.way.outputs()?.len() >= n))
    }

    /// All logs of its tasks.
    fn logs(&self) -> Result<String> {
        let files = xtask::sources::every(&self.way.out.join("slurm/log"))?;
        files.iter().map(|f| Ok(std::fs::read_to_string(f)?)).collect()
    }

    /// Waits for its end; what was collected is what one process finds.
    fn ends_as(&self, want: &str) -> Result<()> {
        self.cluster.wait(MOST)?;
        let log = || self.logs().unwrap_or_default() + &self.cluster.log().unwrap_or_default();
        let found = results(&self.way.out);
        let found = found.with_context(|| format!("nothing was collected; the tasks and Slurm said\n{}", log()))?;
        ensure!(found == want, "the results are others than those of one process; the tasks said\n{}", log());
        Ok(())
    }
}

fn array(cluster: &Cluster, program: &Path, want: &str) -> Result<()> {
    let run = Submitted::new(cluster, program, "slurm-array", &["--tasks", "4", "--cpus", "1", "--throttle", "3"])?;
    run.ends_as(want)?;
    let said = run.way.command(&["--status"]).output()?;
    ensure!(String::from_utf8_lossy(&said.stdout).contains("Nothing is missing"), "{said:?}");
    // A result that is gone: the line that status prints does its task and the collecting again.
    let (lost, _) = run.way.outputs()?.pop().context("no outputs")?;
    std::fs::remove_file(&lost)?;
    std::fs::remove_file(run.way.out.join("results.json"))?;
    let said = String::from_utf8(run.way.command(&["--status"]).output()?.stdout)?;
    let lines: Vec<&str> = said.lines().skip_while(|l| !l.contains("Submit what is missing")).skip(1).collect();
    ensure!(lines.len() == 2 && lines[0].contains("--array="), "status said\n{said}");
    let mut shell = Command::new("bash");
    shell.arg("-ec").arg(lines.join("\n"));
    crate::shell::run(cluster.command(shell))?;
    run.ends_as(want)
}

fn preempted(cluster: &Cluster, program: &Path, (slow, want): (&[&str], &str)) -> Result<()> {
    let tasks = ["--tasks", "3", "--cpus", "2"];
    let run = Submitted::new(cluster, program, "slurm-preempted", &[&tasks, slow].concat())?;
    run.outputs(2)?;
    cluster.ask("sbatch", &["-p", "high", "-N", "3", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 3"])?;
    cluster.until("a task was preempted", Duration::from_secs(60), |c| Ok(c.log()?.contains("has been requeued")))?;
    ensure!(!run.way.out.join("results.json").exists(), "it ended before the nodes were taken");
    run.ends_as(want)
}

fn limited(cluster: &Cluster, program: &Path, (slow, want): (&[&str], &str)) -> Result<()> {
    let way = Way::new(program, SLUG, "slurm-limited", "1");
    clear(&way.out)?;
    // A minute is the shortest limit that there is, and Slurm asks up to half a minute before it is told to: it comes some seconds after the start.
    let more = ["--on", "slurm", "--dry-run", "--tasks", "1", "--cpus", "1", "--time", "1"];
    run(cluster.command(way.command(&[&more, slow].concat())))?;
    let script = |name: &str| way.out.join("slurm").join(name);
    let text = std::fs::read_to_string(script("array.sh"))?.replace("USR1@60", "USR1@52");
    std::fs::write(script("array.sh"), text)?;
    let path = |p: PathBuf| p.display().to_string();
    let id = cluster.ask("sbatch", &["--parsable", &path(script("array.sh"))])?;
    cluster.ask("sbatch", &[&format!("--dependency=afterany:{}", id.trim()), &path(script("collect.sh"))])?;
    let run = Submitted { way, cluster };
    run.ends_as(want)?;
    let stops = run.logs()?.matches("stopped with code 75; queued again").count();
    ensure!(stops >= 1, "no task met its limit:\n{}", run.logs()?);
    Ok(())
}

fn node_dies(cluster: &mut Cluster, program: &Path, (slow, want): (&[&str], &str)) -> Result<()> {
    // One task, which needs longer than Slurm to find out.
    let tasks = ["--tasks", "1", "--cpus", "1"];
    let way = {
        let run = Submitted::new(cluster, program, "slurm-node-dies", &[&tasks, slow].concat())?;
        run.outputs(1)?;
        run.way
    };
    let node = cluster.ask("squeue", &["-h", "-t", "R", "-o", "%N"])?.trim().to_owned();
    // Its process goes on and writes, while another node does the same.
    cluster.kill(&node)?;
    let down = |c: &Cluster| Ok(c.states()?.iter().any(|s| s.starts_with("down")));
    cluster.until("the node counts as dead", Duration::from_secs(120), down)?;
    let run = Submitted { way, cluster };
    run.ends_as(want)?;
    let starts = run.logs()?.lines().filter(|l| l.starts_with("share ")).count();
    ensure!(starts > 1, "the task was not started again");
    let cluster = &mut *cluster;
    cluster.node(&node)?;
    cluster.until("all nodes are back", Duration::from_secs(60), |c| Ok(c.states()?.iter().all(|s| s == "idle")))
}
