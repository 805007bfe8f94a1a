//! Running other programs.

use anyhow::{Context, Result, bail};
use cargo_metadata::Message;
use std::fs::{File, TryLockError};
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

/// The feature that a device needs.
fn of_device(device: &str) -> Option<&str> {
    device.split(':').next().filter(|d| ["cuda", "metal"].contains(d))
}

/// The name of a program's file.
fn file(program: &str) -> String {
    format!("{program}{}", std::env::consts::EXE_SUFFIX)
}

/// Builds a program in release mode, with the feature that the device needs; returns its path, as cargo says it.
#[allow(clippy::print_stderr)]
pub fn build(package: &str, program: &str, device: &str) -> Result<PathBuf> {
    if !target()?.join("release").join(file(program)).exists() {
        eprintln!("building `{program}` (the first time, about five minutes on two cores)");
    }
    compile(package, program, &of_device(device).into_iter().map(str::to_owned).collect::<Vec<_>>(), true)
}

/// The same with any features, with or without those that it has by default.
fn compile(package: &str, program: &str, features: &[String], default: bool) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--release", "--package", package, "--bin", program]);
    build.args(["--message-format", "json-render-diagnostics"]).stdout(Stdio::piped());
    if !default {
        build.arg("--no-default-features");
    }
    if !features.is_empty() {
        build.arg("--features").arg(features.join(","));
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

/// Builds `lab` with the features of one paper (`papers::needed`), or with all papers where there are none; returns its path.
///
/// cargo puts all of these at one path. Each has a name of its own beside it, so that none is replaced by another while it runs, copies itself for a
/// queue, or is started again and again.
#[allow(clippy::print_stderr)]
pub fn build_lab(paper: &[String], device: &str, hub: bool) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(LAB) {
        return Ok(path.into());
    }
    let more = of_device(device).into_iter().chain(hub.then_some("hub")).map(str::to_owned);
    let features: Vec<String> = paper.iter().cloned().chain(more).collect();
    let all = paper.is_empty().then_some("all").into_iter();
    let name = file(&format!("lab-{}", all.chain(features.iter().map(String::as_str)).collect::<Vec<_>>().join("+")));
    let folder = target()?.join("release");
    if !folder.join(&name).exists() {
        match paper.first() {
            Some(slug) => eprintln!("building `{slug}` (the first time, about three minutes on two cores)"),
            None => eprintln!("building all papers (the first time, about five minutes on two cores)"),
        }
    }
    // One build at a time from cargo's path to its own name.
    std::fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
    let path = folder.join(".lab.lock");
    let turn = File::create(&path).with_context(|| format!("{}", path.display()))?;
    if let Err(TryLockError::WouldBlock) = turn.try_lock() {
        eprintln!("waiting for another build of the lab");
        // A file system without locks has no other build to wait for, as far as can be known.
        let _ = turn.lock();
    }
    let built = compile("sconce-lab", "lab", &features, paper.is_empty())?;
    let own = built.with_file_name(name);
    name_as(&built, &own).with_context(|| format!("cannot name {} {}", built.display(), own.display()))?;
    Ok(own)
}

/// Gives a file another name, which at every moment is that of a whole file: the old one or the new one.
fn name_as(built: &Path, own: &Path) -> std::io::Result<()> {
    let state = |p: &Path| p.metadata().and_then(|m| Ok((m.len(), m.modified()?)));
    let wanted = state(built)?;
    if state(own).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    let new = own.with_extension(format!("new-{}", std::process::id()));
    if std::fs::hard_link(built, &new).is_err() {
        std::fs::copy(built, &new)?;
        File::options().append(true).open(&new)?.set_modified(wanted.1)?;
    }
    std::fs::rename(&new, own)
}

/// The command that starts `lab`.
pub fn start_lab(program: &Path) -> Command {
    let mut lab = Command::new(program);
    lab.envs([KEEP_PAGES, ONE_POOL]);
    lab
}

/// Builds `lab` as [`build_lab`] does and starts it with this process's own arguments; returns its exit code.
pub fn lab(paper: &[String], device: &str, hub: bool) -> Result<u8> {
    let program = build_lab(paper, device, hub)?;
    forward(start_lab(&program))
}

/// Builds `sconce` and starts it with this process's own arguments; returns its exit code.
pub fn sconce(device: &str) -> Result<u8> {
    forward(Command::new(build("sconce", "sconce", device)?))
}

fn forward(mut program: Command) -> Result<u8> {
    program.args(std::env::args_os().skip(1));
    let status = program.status().with_context(|| format!("cannot start {program:?}"))?;
    Ok(status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_labs_of_two_papers_do_not_replace_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let [built, a, b] = ["lab", "lab-a", "lab-b"].map(|n| dir.path().join(n));
        // As cargo does: the file at its path is another one after each build.
        let build = |text: &str| {
            let _ = std::fs::remove_file(&built);
            std::fs::write(&built, text).unwrap();
        };
        build("a");
        name_as(&built, &a).unwrap();
        build("of b");
        name_as(&built, &b).unwrap();
        name_as(&built, &b).unwrap();
        let read = |p: &Path| std::fs::read_to_string(p).unwrap();
        assert_eq!((read(&a), read(&b)), ("a".to_owned(), "of b".to_owned()));
        build("a, changed");
        name_as(&built, &a).unwrap();
        assert_eq!((read(&a), read(&b)), ("a, changed".to_owned(), "of b".to_owned()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
        assert!(name_as(&dir.path().join("none"), &a).is_err() && read(&a) == "a, changed");
    }

    #[test]
    fn a_device_needs_its_feature() {
        assert_eq!(["auto", "cpu", "cuda:1", "metal"].map(of_device), [None, None, Some("cuda"), Some("metal")]);
    }
}
