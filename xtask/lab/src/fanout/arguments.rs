//! Arguments as words, for scripts and for lines that a user copies.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use xtask::cli::{Engine, Fan, Reproduce};

/// Refuses arguments that go with `--on slurm` alone, and those that do not go with it.
pub fn check(fan: &Fan) -> Result<()> {
    let slurm = fan.on == Engine::Slurm;
    let given = [
        ("--partition", fan.partition.is_some()),
        ("--time", fan.time.is_some()),
        ("--throttle", fan.throttle.is_some()),
        ("--tasks", fan.tasks.is_some()),
        ("--cpus", fan.cpus.is_some()),
        ("--dry-run", fan.dry_run),
    ];
    if let Some((name, _)) = given.iter().find(|g| g.1 && !slurm) {
        bail!("{name} goes with --on slurm");
    }
    if slurm && (fan.shard.is_some() || !fan.merge.is_empty()) {
        bail!("--on slurm submits all shares and a job that collects: leave out --shard and --merge");
    }
    for (name, n) in
        [("--throttle", fan.throttle), ("--tasks", fan.tasks), ("--cpus", fan.cpus), ("--restarts", Some(fan.restarts))]
    {
        if n == Some(0) {
            bail!("{name} must be at least 1");
        }
    }
    Ok(())
}

/// The words of the same reproduction, from `reproduce` on, with whole paths.
pub fn words(args: &Reproduce, out: &Path) -> Result<Vec<String>> {
    let mut all: Vec<String> = ["reproduce", &args.slug, "--preset", args.preset.name()].map(str::to_owned).into();
    all.extend(["--device".to_owned(), args.device.clone()]);
    if let Some(seeds) = &args.seeds {
        all.extend(["--seeds".to_owned(), seeds.clone()]);
    }
    for set in &args.set {
        all.extend(["--set".to_owned(), set.clone()]);
    }
    if let Some(folder) = &args.places.data_dir {
        all.extend(["--data-dir".to_owned(), text(&whole(folder)?)?]);
    }
    if args.places.hub {
        all.push("--hub".to_owned());
    }
    all.extend(["--out".to_owned(), text(&whole(out)?)?]);
    Ok(all)
}

/// A path from the root, so that it holds in another folder.
pub fn whole(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("{}", path.display()))
}

/// A path as text: a script is text.
pub fn text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{}: not UTF-8", path.display()))
}

/// Words as a line for a shell.
pub fn line(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=+@%".contains(c);
    let quoted = |w: &String| {
        if !w.is_empty() && w.chars().all(plain) { w.clone() } else { format!("'{}'", w.replace('\'', r"'\''")) }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        let words = ["a", "x=[1, 2]", "it's", ""].map(str::to_owned);
        assert_eq!(line(&words), r"a 'x=[1, 2]' 'it'\''s' ''");
        let out = std::process::Command::new("sh").arg("-c").arg(format!("printf '%s\\n' {}", line(&words))).output();
        assert_eq!(String::from_utf8(out.unwrap().stdout).unwrap(), "a\nx=[1, 2]\nit's\n\n");
    }
}
