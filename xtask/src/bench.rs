//! Measures this workspace against a peer in the same call, taking turns.
//!
//! Each workload runs in two processes, ours and the peer's, which read the same first values and the same inputs.
//! They take turns, so that a busy machine slows both; medians and their ratio are told, and the losses are compared.

use crate::shell;
use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;
use xtask::cli::Bench;
use xtask::workloads;

/// Relative difference of losses that counts as the same arithmetic.
const SAME_LOSS: f64 = 1e-3;
/// Difference of robust accuracies on 100 images that other random starts explain.
const SAME_ACCURACY: f64 = 0.02;
/// Seconds that one turn should take, about.
const TURN: f64 = 0.25;
/// Pause between turns: threads of the other process go to sleep.
const PAUSE: Duration = Duration::from_millis(30);

/// One line of `target/bench/<peer>.json`.
#[derive(Debug, Serialize)]
struct Row {
    workload: String,
    ours_ms: f64,
    peer_ms: Option<f64>,
    ratio: Option<f64>,
    gflops: f64,
    share_of_peak: f64,
    ours_mib: f64,
    peer_mib: Option<f64>,
}

/// A process that runs one workload on demand.
struct Runner {
    name: String,
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Runner {
    fn start(name: &str, mut command: Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let (to, from) = (child.stdin.take(), child.stdout.take());
        let (Some(to), Some(from)) = (to, from) else { bail!("{name}: no pipes") };
        Ok(Self { name: name.to_owned(), child, to, from: BufReader::new(from) })
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        ensure!(!line.is_empty(), "{} ended early, see above", self.name);
        serde_json::from_str(&line).with_context(|| format!("{} said {line:?}", self.name))
    }

    fn ask(&mut self, what: &str) -> Result<Value> {
        writeln!(self.to, "{what}")?;
        self.to.flush()?;
        self.read()
    }

    /// Times of `n` steps in milliseconds after one that is not counted, and the losses of all.
    fn turn(&mut self, n: usize) -> Result<(Vec<f64>, Vec<f64>)> {
        std::thread::sleep(PAUSE);
        let said = self.ask(&format!("run {n}"))?;
        let list = |key: &str| -> Result<Vec<f64>> {
            let all = said[key].as_array().with_context(|| format!("{}: no {key}", self.name))?;
            // A loss that is no number is null in JSON.
            Ok(all.iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect())
        };
        Ok((list("ms")?, list("loss")?))
    }

    fn stop(mut self) -> Result<f64> {
        let peak = self.ask("stop")?["peak_mib"].as_f64().unwrap_or(f64::NAN);
        self.child.wait()?;
        Ok(peak)
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // Only after an error: `stop` waits for the child's own end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    if v.is_empty() { f64::NAN } else { (v[(v.len() - 1) / 2] + v[v.len() / 2]) / 2.0 }
}

/// The peer's process for a workload, or `None` where it does not have it.
fn peer(args: &Bench, worker: &Path, workload: &str, dir: &Path) -> Option<Command> {
    match args.peer.as_deref() {
        Some("torch") => {
            let mut c = Command::new(&args.python);
            c.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/src/workloads/peer_torch.py"));
            c.arg(workload).arg(dir).arg(&args.device).arg(args.threads().to_string());
            c.env("OMP_NUM_THREADS", args.threads().to_string());
            Some(c)
        }
        Some("candle") if workloads::CANDLE.contains(&workload) => {
            let mut c = Command::new(worker);
            c.args(["candle", workload]).arg(dir).arg(&args.device);
            c.env("RAYON_NUM_THREADS", args.threads().to_string()).envs([shell::KEEP_PAGES]);
            Some(c)
        }
        _ => None,
    }
}

/// Whether the peer is there; the message says what to do where it is not.
fn check_peer(args: &Bench) -> Result<Option<String>> {
    match args.peer.as_deref() {
        None | Some("candle") => Ok(None),
        Some("torch") => {
            let found = Command::new(&args.python).args(["-c", "import torch; print(torch.__version__)"]).output();
            match found {
                Ok(out) if out.status.success() => Ok(None),
                Ok(out) => {
                    let why = String::from_utf8_lossy(&out.stderr);
                    let why = why.lines().last().unwrap_or("no reason given").to_owned();
                    Ok(Some(format!("`{}` cannot import torch: {why}", args.python.display())))
                }
                Err(e) => Ok(Some(format!("cannot run `{}`: {e}", args.python.display()))),
            }
        }
        Some(other) => bail!("--peer is torch or candle, got `{other}`"),
    }
}

/// Runs the workloads whose names contain the filter; exit code 2 where the peer is not installed.
#[allow(clippy::print_stderr)]
pub fn main(args: &Bench) -> Result<u8> {
    if let Some(missing) = check_peer(args)? {
        eprintln!("error: the peer is not installed: {missing}\n       give a Python with PyTorch by --python PATH");
        return Ok(2);
    }
    let wanted: Vec<&str> = workloads::ALL
        .iter()
        .copied()
        .filter(|n| args.filter.is_empty() || args.filter.iter().any(|f| n.contains(f.as_str())))
        .collect();
    ensure!(!wanted.is_empty(), "no workload matches {:?}; there are {:?}", args.filter, workloads::ALL);
    let worker = shell::build("sconce-bench", "bench-worker", &args.device, false)?;
    let scratch = shell::target()?.join("bench");
    std::fs::create_dir_all(&scratch)?;
    let dir = scratch.join("exchange");

    say!("{} threads, {} rounds", args.threads(), args.rounds);
    let matmul = measure(args, &worker, &dir, "matmul-2048")?;
    // The machine's peak: the better of the two on a large product.
    let peak = matmul.gflops * matmul.ratio.map_or(1.0, |r| (1.0 / r).max(1.0));
    say!("peak of f32 matrix products: {peak:.0} GFLOP/s\n");
    say!(
        "{:<28} {:>10} {:>10} {:>7} {:>8} {:>6} {:>9} {:>9}",
        "workload",
        "ours ms",
        "peer ms",
        "ratio",
        "GFLOP/s",
        "peak",
        "ours MiB",
        "peer MiB"
    );
    let mut rows = Vec::new();
    let mut wrong = Vec::new();
    for name in wanted {
        let row = if name == "matmul-2048" { Ok(None) } else { measure(args, &worker, &dir, name).map(Some) };
        let mut row = match row {
            Ok(Some(row)) => row,
            Ok(None) => Row { workload: matmul.workload.clone(), ..matmul },
            Err(e) => {
                say!("{name:<28} failed: {e:#}");
                wrong.push(name);
                continue;
            }
        };
        row.share_of_peak = row.gflops / peak;
        let show = |v: Option<f64>, digits: usize| v.map_or("-".to_owned(), |v| format!("{v:.digits$}"));
        say!(
            "{:<28} {:>10.3} {:>10} {:>7} {:>8.0} {:>5.0}% {:>9.0} {:>9}",
            row.workload,
            row.ours_ms,
            show(row.peer_ms, 3),
            show(row.ratio, 2),
            row.gflops,
            100.0 * row.share_of_peak,
            row.ours_mib,
            show(row.peer_mib, 0)
        );
        rows.push(row);
    }
    let name = format!("{}.json", args.peer.as_deref().unwrap_or("alone"));
    let file = scratch.join(&name);
    let beside = scratch.join(format!("{name}.part"));
    std::fs::write(&beside, serde_json::to_vec_pretty(&rows)?)?;
    std::fs::rename(&beside, &file)?;
    say!("\n{}", file.display());
    Ok(u8::from(!wrong.is_empty()))
}

fn measure(args: &Bench, worker: &Path, dir: &PathBuf, name: &str) -> Result<Row> {
    if dir.exists() {
        std::fs::remove_dir_all(dir)?;
    }
    std::fs::create_dir_all(dir)?;
    let mut make = Command::new(worker);
    make.args(["make", name]).arg(dir).arg(&args.device);
    shell::run(make)?;
    let mut command = Command::new(worker);
    command.args(["ours", name]).arg(dir).arg(&args.device);
    command.env("RAYON_NUM_THREADS", args.threads().to_string()).envs([shell::KEEP_PAGES]);
    if name.starts_with("hessian") {
        command.envs([shell::KEEP_GRAPH]);
    }
    let mut ours = Runner::start("ours", command)?;
    let flops = ours.read()?["flops"].as_f64().context("ours: no flops")?;
    let mut theirs = match peer(args, worker, name, dir) {
        Some(c) => {
            let mut r = Runner::start(args.peer.as_deref().unwrap_or("peer"), c)?;
            r.read()?;
            Some(r)
        }
        None => None,
    };
    // First turns: the losses, and how long a step takes.
    let (ms, loss) = ours.turn(1)?;
    let mut slowest = median(ms);
    if let Some(r) = &mut theirs {
        let (ms, other) = r.turn(1)?;
        slowest = slowest.max(median(ms));
        for (i, (a, b)) in loss.iter().zip(&other).enumerate() {
            let relative = SAME_LOSS * a.abs().max(b.abs()).max(1e-3);
            let same = match name {
                _ if name.starts_with("autoattack") => (a - b).abs() <= SAME_ACCURACY,
                // Mean scores of forests of other random cuts.
                "detect-forest" => (a - b).abs() <= SAME_ACCURACY,
                // Power iteration stops where an eigenvalue changes by less than 1e-3.
                _ if name.starts_with("hessian") => (a - b).abs() <= 10.0 * relative,
                // Networks that were trained by other code.
                "detect-abc" => a.is_finite() && b.is_finite(),
                // Sigsoftmax beside the peer's softmax: another function.
                _ if name.starts_with("sigsoftmax-ce") => true,
                _ => (a - b).abs() <= relative,
            };
            ensure!(same, "losses differ at step {i}: ours {a}, {} {b}", r.name);
        }
    }
    let n = ((TURN * 1e3 / slowest) as usize).clamp(1, 50);
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        a.extend(ours.turn(n)?.0);
        if let Some(r) = &mut theirs {
            b.extend(r.turn(n)?.0);
        }
    }
    let ours_ms = median(a);
    let peer_ms = theirs.is_some().then(|| median(b));
    Ok(Row {
        workload: name.to_owned(),
        ours_ms,
        peer_ms,
        ratio: peer_ms.map(|p| p / ours_ms),
        gflops: flops / ours_ms / 1e6,
        share_of_peak: 0.0,
        ours_mib: ours.stop()?,
        peer_mib: theirs.map(Runner::stop).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(vec![]).is_nan());
    }
}
