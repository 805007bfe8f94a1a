//! `cargo xtask ci`: everything that must pass, cheapest first.

mod shares;
mod slurm;
mod smallest;

use crate::shell::{build_lab, cargo, run, workspace};
use crate::{reproductions, tidy};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

fn step(only: &str, name: &str, f: impl FnOnce() -> Result<()>) -> Result<()> {
    if !name.contains(only) {
        return Ok(());
    }
    say!("\n== {name}");
    let started = Instant::now();
    f().with_context(|| format!("ci step `{name}`"))?;
    say!("== {name}: passed in {:.0} s", started.elapsed().as_secs_f64());
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

/// Runs all steps whose names contain a text.
pub fn main(only: &str) -> Result<u8> {
    step(only, "fmt", || run(with(&["fmt", "--all", "--check"])))?;
    step(only, "tidy", || zero(tidy::main()?))?;
    step(only, "REPRODUCTIONS.md and README.md say what the results say", || zero(reproductions::main(true, false)?))?;
    step(only, "clippy", || run(with(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])))?;
    step(only, "the lab with each paper alone compiles without warnings", || {
        // As it is built, and not in the workspace, where another crate may turn on what it needs.
        smallest::slugs()?.iter().try_for_each(|slug| {
            let lab = ["clippy", "--package", "sconce-lab", "--no-default-features", "--features", slug];
            run(with(&[&lab[..], &["--", "-D", "warnings"]].concat()))
        })
    })?;
    step(only, "the README's test command", || {
        let readme = std::fs::read_to_string(workspace().join("README.md"))?;
        let command = readme_test_command(&readme).context("README.md has no block marked `sh test`")?;
        run(with(&command.split_whitespace().skip(1).collect::<Vec<_>>()))
    })?;
    step(only, "the examples run", || {
        // The tests built them.
        run(with(&["build", "--workspace", "--examples"]))?;
        let folder = workspace().join("target/debug/examples");
        EXAMPLES.iter().try_for_each(|name| run(Command::new(folder.join(name))))
    })?;
    step(only, "rustdoc", || {
        let mut doc = with(&["doc", "--workspace", "--no-deps", "--lib"]);
        doc.env("RUSTDOCFLAGS", "-D warnings");
        run(doc)
    })?;
    step(only, "package", || {
        run(with(&[
            "package",
            "--workspace",
            "--exclude",
            "xtask",
            "--exclude",
            "sconce-lab",
            "--exclude",
            "sconce-bench",
            "--exclude",
            "sconce-tests",
            "--no-verify",
            "--allow-dirty",
        ]))
    })?;
    step(only, "every paper in its smallest form: killed, on another number of threads, and as jobs", || {
        smallest::all(&build_lab(&[], "cpu", false)?)
    })?;
    step(only, "a lab of one paper finds what the lab of all papers finds", || {
        let one = build_lab(&[slurm::SLUG.to_owned()], "cpu", false)?;
        smallest::alone(&build_lab(&[], "cpu", false)?, &one, slurm::SLUG)
    })?;
    step(only, "shares of a paper: killed, interrupted, damaged, on a full disk", || {
        shares::all(&build_lab(&[], "cpu", false)?)
    })?;
    step(only, "a paper on a real Slurm", || slurm::all(&build_lab(&[], "cpu", false)?))?;
    step(only, "dossier: of a model that is good enough, and one that is not", || {
        let model = ["--model", "tests/golden/attack_oracle.safetensors", "--arch", "smallcnn", "--examples", "20"];
        let rest = ["--data", "fashion-mnist:embedded", "--threat", "linf:0.1", "--suite", "quick", "--plane", "5"];
        let less = ["--geometry-examples", "20", "--eigenvalues", "1", "--out", "target/ci/dossier", "--at-least"];
        let code = |least: &str| -> Result<Option<i32>> {
            let words = ["xtask", "dossier"].into_iter().chain(model).chain(rest).chain(less).chain([least]);
            Ok(with(&words.collect::<Vec<_>>()).status()?.code())
        };
        match (code("0.05")?, code("0.99")?) {
            (Some(0), Some(3)) => Ok(()),
            other => bail!("exit codes {other:?}, not 0 and 3"),
        }
    })?;
    step(only, "detect: fitted, and scored from standard input", || {
        let model = workspace().join("target/ci/shuttle.safetensors");
        let mut fit = with(&["xtask", "detect", "fit", "--data", "shuttle:embedded", "--label", "anomaly", "--out"]);
        fit.arg(&model).args(["--set", "network.epochs=2", "--set", "network.hidden=[16,4]"]);
        run(fit)?;
        let score = |rows: &'static str| -> Result<(Option<i32>, String)> {
            let mut c = with(&["xtask", "detect", "score", "--model"]);
            let (reader, mut writer) = std::io::pipe()?;
            std::io::Write::write_all(&mut writer, rows.as_bytes())?;
            drop(writer);
            let out = c.arg(&model).stdin(reader).stderr(std::process::Stdio::inherit()).output()?;
            Ok((out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned()))
        };
        let (code, lines) = score("f1,f2,f3,f4,f5,f6,f7,f8,f9\n50,21,77,0,28,0,27,48,22\n37,0,76,0,28,18,40,48,8\n")?;
        let last = |i: usize| lines.lines().nth(i).map(|l| l.ends_with(",1"));
        if (code, last(1), last(2)) != (Some(0), Some(true), Some(false)) {
            bail!("an anomaly and a normal row gave exit code {code:?} and\n{lines}");
        }
        match score("f1,f2\n1,2\n")? {
            (Some(1), _) => Ok(()),
            other => bail!("a table of other columns gave {other:?}, not exit code 1"),
        }
    })?;
    step(only, "generate: text from a model of that run, and one whose words are another's", || {
        let folder = workspace().join("target/ci/sigsoftmax-whole/runs");
        let left = |ending: &str| -> Result<PathBuf> {
            let trained = xtask::sources::every(&folder.join("train/austen/moss"))?;
            let name = |p: &PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("seed0."));
            let found = trained.into_iter().find(|p| name(p) && p.to_string_lossy().ends_with(ending));
            found.with_context(|| format!("the run left no {ending}"))
        };
        let (model, words) = (left(".model.safetensors")?, left(".vocabulary.txt")?);
        let generate = |words: &Path| -> Result<Option<i32>> {
            let mut c = with(&["xtask", "generate", "--words", "20", "--model"]);
            c.arg(&model).arg("--vocabulary").arg(words);
            Ok(c.status()?.code())
        };
        let other = folder.join("other.txt");
        std::fs::write(&other, "the 5\n<eos> 3\n<unk> 0\n")?;
        match (generate(&words)?, generate(&other)?) {
            (Some(0), Some(1)) => Ok(()),
            other => bail!("exit codes {other:?}, not 0 and 1"),
        }
    })?;
    step(only, "attacks against the field's libraries (the rows that take seconds)", || {
        let rows = ["foolbox", "fgsm", "autoattack apgd"].iter().flat_map(|f| ["--filter", f]);
        run(with(&["xtask", "oracle", "--at-most", "200"].into_iter().chain(rows).collect::<Vec<_>>()))
    })?;
    step(only, "attack: a model that is good enough, and one that is not", || {
        let model = ["--model", "tests/golden/attack_oracle.safetensors", "--arch", "smallcnn", "--examples", "40"];
        let rest = ["--data", "fashion-mnist:embedded", "--threat", "linf:0.1", "--suite", "quick", "--at-least"];
        let code = |least: &str| -> Result<Option<i32>> {
            let words: Vec<&str> = ["xtask", "attack"].into_iter().chain(model).chain(rest).chain([least]).collect();
            Ok(with(&words).status()?.code())
        };
        match (code("0.1")?, code("0.99")?) {
            (Some(0), Some(3)) => Ok(()),
            other => bail!("exit codes {other:?}, not 0 and 3"),
        }
    })?;
    step(only, "bench: one workload alone, and a peer that is not installed", || {
        run(with(&["xtask", "bench", "--rounds", "1", "--filter", "autoencoder"]))?;
        let missing = with(&["xtask", "bench", "--peer", "torch", "--python", "no-such-python"]).status()?;
        if missing.code() == Some(2) { Ok(()) } else { bail!("a missing peer gave {missing}, not exit code 2") }
    })?;
    Ok(0)
}

/// The examples of all crates.
const EXAMPLES: [&str; 11] = [
    "attack_onnx",
    "compare_onnx",
    "custom_task",
    "detect_anomalies",
    "evaluate_candle_model",
    "language_model",
    "output_functions",
    "penalties",
    "report",
    "sharpness",
    "train_fashion_mnist",
];

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
