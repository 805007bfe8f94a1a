//! Runs one workload on demand, for `cargo xtask bench`: `bench-worker ours|candle NAME DIR DEVICE`; `make` instead of
//! an engine only writes the first values and inputs.
//!
//! Speaks lines of JSON: first `{flops}`, then for `run W N` (W steps that are not timed, N that are) `{ms, loss}`, for `stop` `{peak_mib}`.
#![allow(unreachable_pub, clippy::print_stdout, clippy::print_stderr)] // a binary that talks by its output

mod workloads;

use anyhow::{Context, Result, bail};
use std::io::{BufRead, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;
use xtask::workloads::Workload;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A field of /proc/self/status in MiB; 0 where there is no such file.
fn memory(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

fn say(value: &serde_json::Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}")?;
    Ok(out.flush()?)
}

fn serve() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [engine, name, dir, device] = &args[..] else { bail!("bench-worker make|ours|candle NAME DIR DEVICE") };
    let before = memory("VmRSS");
    let (dir, device) = (Path::new(dir), device.parse::<sconce_tensor_core::DeviceSpec>()?.open()?);
    let make = Workload::named(name).with_context(|| format!("no workload `{name}`"))?.make;
    let mut work = match engine.as_str() {
        "make" => return workloads::make(make, dir, &device),
        "ours" => workloads::ours(make, dir, &device)?,
        "candle" => workloads::candle(make, dir, &device)?,
        other => bail!("no engine `{other}`"),
    };
    say(&serde_json::json!({ "flops": work.flops }))?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match line.split_once(' ') {
            Some(("run", steps)) => {
                let (warm, n) = steps.split_once(' ').context("run W N")?;
                let (warm, n): (usize, usize) = (warm.parse().context("run W N")?, n.parse().context("run W N")?);
                let mut losses = (0..warm).map(|_| (work.step)()).collect::<Result<Vec<_>>>()?;
                let mut ms = Vec::with_capacity(n);
                for _ in 0..n {
                    let start = Instant::now();
                    losses.push((work.step)()?);
                    ms.push(start.elapsed().as_secs_f64() * 1e3);
                }
                say(&serde_json::json!({ "ms": ms, "loss": losses }))?;
            }
            _ if line == "stop" => {
                return say(&serde_json::json!({ "peak_mib": memory("VmHWM") - before }));
            }
            _ => bail!("no command `{line}`"),
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    // Inside the pool: an op's tasks then start on this very thread.
    match rayon::scope(|_| serve()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {}", sconce_tensor_core::error::describe(e.as_ref()));
            ExitCode::FAILURE
        }
    }
}
