//! Running other programs.

use anyhow::{Context, Result, bail};
use cargo_metadata::Message;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
pub const KEEP_GRAPH: (&str, &str) = xtask::cli::KEEP_GRAPH;

/// Where cargo builds, as its settings say.
pub fn target() -> Result<PathBuf> {
    let meta = cargo_metadata::MetadataCommand::new().manifest_path(workspace().join("Cargo.toml")).no_deps().exec()?;
    Ok(meta.target_directory.into_std_path_buf())
}

/// Builds a program in release mode, with the features that the device and `--hub` need; returns its path, as cargo says it.
#[allow(clippy::print_stderr)]
pub fn build(package: &str, program: &str, device: &str, hub: bool) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--release", "--package", package, "--bin", program]);
    build.args(["--message-format", "json-render-diagnostics"]).stdout(Stdio::piped());
    let mut features: Vec<&str> =
        ["cuda", "metal"].into_iter().filter(|d| device.split(':').next() == Some(d)).collect();
    features.extend(hub.then_some("hub"));
    if !features.is_empty() {
        build.arg("--features").arg(features.join(","));
    }
    if !target()?.join("release").join(format!("{program}{}", std::env::consts::EXE_SUFFIX)).exists() {
        eprintln!("building `{program}` (the first time, about six minutes on two cores)");
    }
    let mut child = build.spawn().with_context(|| format!("cannot start {build:?}"))?;
    let output = child.stdout.take().context("cargo has no output")?;
    let mut path = None;
    for message in Message::parse_stream(BufReader::new(output)) {
        if let Message::CompilerArtifact(artifact) = message? {
            path = artifact.executable.filter(|_| artifact.target.name == program).or(path);
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{build:?} failed with {status}");
    }
    Ok(path.with_context(|| format!("cargo built no `{program}`"))?.into_std_path_buf())
}

/// Names a `lab` that is there already, for whoever works on the checks: nothing is built then.
const LAB: &str = "XTASK_LAB";

/// What such a program is told: the sources may be newer.
pub fn as_built() -> Option<&'static str> {
    std::env::var_os(LAB).map(|_| "--as-built")
}

/// Builds `lab`; returns its path.
pub fn build_lab(device: &str, hub: bool) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(LAB) {
        return Ok(path.into());
    }
    build("sconce-lab", "lab", device, hub)
}

/// The command that starts `lab`.
pub fn start_lab(program: &Path) -> Command {
    let mut lab = Command::new(program);
    lab.envs([KEEP_PAGES, ONE_POOL]);
    lab
}

/// Builds `lab` and starts it with this process's own arguments; returns its exit code.
pub fn lab(device: &str, hub: bool) -> Result<u8> {
    let program = build_lab(device, hub)?;
    forward(start_lab(&program))
}

/// Builds `sconce` and starts it with this process's own arguments; returns its exit code.
pub fn sconce(device: &str) -> Result<u8> {
    forward(Command::new(build("sconce", "sconce", device, false)?))
}

fn forward(mut program: Command) -> Result<u8> {
    program.args(std::env::args_os().skip(1));
    let status = program.status().with_context(|| format!("cannot start {program:?}"))?;
    Ok(status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1))
}
