//! The processes of both sides.

use super::runner::{Runner, Started};
use crate::shell;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use xtask::cli::Bench;
use xtask::workloads::Workload;

/// The program that we compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Torch,
    Candle,
}

impl Peer {
    pub fn name(self) -> &'static str {
        match self {
            Self::Torch => "torch",
            Self::Candle => "candle",
        }
    }
}

/// What starts them.
pub struct Sides<'a> {
    pub args: &'a Bench,
    pub peer: Option<Peer>,
    /// Our worker.
    worker: PathBuf,
    /// Where first values and inputs are handed over.
    scratch: PathBuf,
}

impl<'a> Sides<'a> {
    pub fn new(args: &'a Bench, peer: Option<Peer>, scratch: &Path) -> Result<Self> {
        let worker = shell::build("sconce-bench", "bench-worker", &args.device)?;
        Ok(Self { args, peer, worker, scratch: scratch.to_path_buf() })
    }

    /// An empty folder with the first values and inputs of a workload.
    pub fn exchange(&self, workload: &Workload, folder: &str) -> Result<PathBuf> {
        let dir = self.scratch.join(folder);
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        std::fs::create_dir_all(&dir)?;
        shell::run(self.worker("make", workload, &dir))?;
        Ok(dir)
    }

    fn worker(&self, engine: &str, workload: &Workload, dir: &Path) -> Command {
        let mut c = Command::new(&self.worker);
        c.args([engine, workload.name]).arg(dir).arg(&self.args.device);
        c.env("RAYON_NUM_THREADS", self.args.threads().to_string()).envs([shell::KEEP_PAGES]);
        if workload.make.keeps_graph() {
            c.envs([shell::KEEP_GRAPH]);
        }
        c
    }

    /// Our process, and the operations of a step.
    pub fn ours(&self, workload: &Workload, dir: &Path) -> Result<(Runner, f64)> {
        match Runner::start("ours", self.worker("ours", workload, dir))? {
            Started::Ready(runner, flops) => Ok((runner, flops.context("ours: no flops")?)),
            Started::Missing(why) => bail!("{why}"),
        }
    }

    /// The process of plain candle.
    pub fn candle(&self, workload: &Workload, dir: &Path) -> Result<Started> {
        Runner::start("candle", self.worker("candle", workload, dir))
    }

    /// The peer's process for a workload, or `None` where there is no peer, or it does not have it.
    pub fn peer(&self, workload: &Workload, dir: &Path) -> Result<Option<Started>> {
        match self.peer {
            Some(Peer::Torch) => {
                let mut c = Command::new(&self.args.python);
                c.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/src/peer_torch"));
                c.arg(workload.torch).arg(dir).arg(&self.args.device).arg(self.args.threads().to_string());
                // Nothing is written beside the sources.
                c.env("OMP_NUM_THREADS", self.args.threads().to_string()).env("PYTHONDONTWRITEBYTECODE", "1");
                Runner::start("torch", c).map(Some)
            }
            Some(Peer::Candle) if workload.candle => self.candle(workload, dir).map(Some),
            _ => Ok(None),
        }
    }
}

/// The peer of the arguments; or what to do where it is not installed.
pub fn installed(args: &Bench) -> Result<Result<Option<Peer>, String>> {
    match args.peer.as_deref() {
        None => Ok(Ok(None)),
        Some("candle") => Ok(Ok(Some(Peer::Candle))),
        Some("torch") => {
            let found = Command::new(&args.python).args(["-c", "import torch; print(torch.__version__)"]).output();
            Ok(match found {
                Ok(out) if out.status.success() => Ok(Some(Peer::Torch)),
                Ok(out) => {
                    let why = String::from_utf8_lossy(&out.stderr);
                    let why = why.lines().last().unwrap_or("no reason given").to_owned();
                    Err(format!("`{}` cannot import torch: {why}", args.python.display()))
                }
                Err(e) => Err(format!("cannot run `{}`: {e}", args.python.display())),
            })
        }
        Some(other) => bail!("--peer is torch or candle, got `{other}`"),
    }
}
