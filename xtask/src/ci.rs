//! `cargo xtask ci`: everything that must pass, cheapest first.

use crate::shell::{cargo, run, workspace};
use crate::{reproductions, tidy};
use anyhow::{Context, Result, bail};
use std::process::Command;
use std::time::Instant;

#[allow(clippy::print_stdout)]
fn step(name: &str, f: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("\n== {name}");
    let started = Instant::now();
    f().with_context(|| format!("ci step `{name}`"))?;
    println!("== {name}: passed in {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn with(args: &[&str]) -> Command {
    let mut c = cargo();
    c.args(args);
    c
}

fn zero(code: u8) -> Result<()> {
    if code == 0 { Ok(()) } else { bail!("exit {code}") }
}

/// The test command of the README: the line in its block marked `test`.
pub fn readme_test_command(readme: &str) -> Option<&str> {
    let block = readme.split_once("```sh test\n")?.1;
    block.lines().next().filter(|l| l.starts_with("cargo "))
}

/// Runs all steps.
pub fn main() -> Result<u8> {
    step("fmt", || run(with(&["fmt", "--all", "--check"])))?;
    step("tidy", || zero(tidy::main()?))?;
    step("REPRODUCTIONS.md is what the results say", || zero(reproductions::main(true)?))?;
    step("clippy", || {
        run(with(&["clippy", "--workspace", "--all-targets", "--features", "xtask/reproduce", "--", "-D", "warnings"]))
    })?;
    step("the README's test command", || {
        let readme = std::fs::read_to_string(workspace().join("README.md"))?;
        let command = readme_test_command(&readme).context("README.md has no block marked `sh test`")?;
        run(with(&command.split_whitespace().skip(1).collect::<Vec<_>>()))
    })?;
    step("rustdoc", || {
        let mut doc = with(&["doc", "--workspace", "--no-deps", "--lib"]);
        doc.env("RUSTDOCFLAGS", "-D warnings");
        run(doc)
    })?;
    step("package", || {
        run(with(&[
            "package",
            "--workspace",
            "--exclude",
            "xtask",
            "--exclude",
            "sconce-tests",
            "--no-verify",
            "--allow-dirty",
        ]))
    })?;
    step("reproduce absum, its smallest form", || {
        let out = workspace().join("target/ci/absum");
        let out = out.to_string_lossy();
        let set = [
            "seeds=[0]",
            "train.epochs=1",
            "settings.0.data.train=640",
            "settings.0.data.validation=100",
            "settings.1.data.train=640",
            "settings.1.data.validation=100",
            "sfa.examples=50",
            "sfa.curve_every_direction=199",
            "selection.every_direction=99",
            "cost.rounds=1",
        ];
        let mut args = vec!["xtask", "reproduce", "absum", "--fresh", "--out", &*out];
        set.iter().for_each(|s| args.extend(["--set", *s]));
        run(with(&args))
    })?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_has_a_test_command() {
        let readme = std::fs::read_to_string(workspace().join("README.md")).unwrap();
        assert!(readme_test_command(&readme).unwrap().starts_with("cargo test"));
        assert_eq!(readme_test_command("```sh\nls\n```"), None);
    }
}
