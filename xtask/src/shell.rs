//! Running other programs.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the workspace.
pub fn workspace() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map_or(manifest.clone(), Path::to_path_buf)
}

/// The cargo that runs us.
pub fn cargo() -> Command {
    let mut c = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    c.current_dir(workspace());
    c
}

/// Runs a command; an exit other than 0 is an error.
pub fn run(mut command: Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed with {status}");
    }
    Ok(())
}

/// Tells mimalloc to keep freed pages: training allocates the same buffers at every step.
pub const KEEP_PAGES: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "-1");

/// Tells candle to leave its own thread pool alone: it spins beside rayon's, where our kernels run.
const ONE_POOL: (&str, &str) = ("CANDLE_NUM_THREADS", "1");

/// Tells candle to keep the graph of gradients, so that they can be differentiated again.
pub const KEEP_GRAPH: (&str, &str) = ("CANDLE_GRAD_DO_NOT_DETACH", "1");

/// Where cargo builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// Builds one of the heavy binaries in release mode, with the features that the device and `--hub` need.
pub fn build_heavy(binary: &str, feature: &'static str, device: &str, hub: bool) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--release", "--package", "xtask", "--bin", binary, "--features"]);
    let mut features = vec![feature];
    features.extend(["cuda", "metal"].iter().filter(|d| device.split(':').next() == Some(d)));
    features.extend(hub.then_some("hub"));
    build.arg(features.join(","));
    run(build)?;
    Ok(target().join("release").join(format!("{binary}{}", std::env::consts::EXE_SUFFIX)))
}

/// Builds the heavy binary and runs it with this process's own arguments; returns its exit code.
pub fn heavy(device: &str, hub: bool) -> Result<u8> {
    start(device, hub, &[])
}

/// The same for what takes second derivatives.
pub fn heavy_twice(device: &str, hub: bool) -> Result<u8> {
    start(device, hub, &[KEEP_GRAPH])
}

fn start(device: &str, hub: bool, more: &[(&str, &str)]) -> Result<u8> {
    let binary = build_heavy("reproduce", "reproduce", device, hub)?;
    let mut heavy = Command::new(&binary);
    heavy.args(std::env::args_os().skip(1)).envs([KEEP_PAGES, ONE_POOL]).envs(more.iter().copied());
    let status = heavy.status().with_context(|| format!("cannot start {}", binary.display()))?;
    Ok(status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1))
}
