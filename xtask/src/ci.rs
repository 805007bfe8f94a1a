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
    step("REPRODUCTIONS.md and README.md say what the results say", || zero(reproductions::main(true, false)?))?;
    step("clippy", || {
        run(with(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--features",
            "xtask/reproduce,xtask/bench,sconce-attacks/cli,sconce-attacks/candle-nn,sconce-anomaly/cli",
            "--",
            "-D",
            "warnings",
        ]))
    })?;
    step("the README's test command", || {
        let readme = std::fs::read_to_string(workspace().join("README.md"))?;
        let command = readme_test_command(&readme).context("README.md has no block marked `sh test`")?;
        run(with(&command.split_whitespace().skip(1).collect::<Vec<_>>()))
    })?;
    step("the hub, against a local server", || {
        // With the features of the step before, so that little is built anew.
        let features = "xtask/reproduce,sconce-attacks/candle-nn,sconce-datasets/hub";
        run(with(&["test", "--workspace", "--features", features, "--test", "hub"]))
    })?;
    step("the examples run", || {
        // The tests built them.
        let features = "xtask/reproduce,sconce-attacks/candle-nn";
        run(with(&["build", "--workspace", "--examples", "--features", features]))?;
        let folder = workspace().join("target/debug/examples");
        EXAMPLES.iter().try_for_each(|name| run(Command::new(folder.join(name))))
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
    step("reproduce absum in its smallest form, killed and on another number of threads", || {
        smallest("absum", &ABSUM, &[3, 2])
    })?;
    step("reproduce blf in its smallest form, killed and on another number of threads", || {
        smallest("blf", &BLF, &[4, 6])
    })?;
    step("reproduce sigsoftmax in its smallest form, killed and on another number of threads", || {
        smallest("sigsoftmax", &SIGSOFTMAX, &[2, 3])
    })?;
    step("reproduce abc in its smallest form, killed and on another number of threads", || {
        smallest("abc", &ABC, &[2, 5])
    })?;
    step("reproduce sharpness in its smallest form, killed and on another number of threads", || {
        smallest("sharpness", &SHARPNESS, &[2, 4])
    })?;
    step("reproduce smoothness in its smallest form, killed and on another number of threads", || {
        smallest("smoothness", &SMOOTHNESS, &[1, 2])
    })?;
    step("dossier: of a model that is good enough, and one that is not", || {
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
    step("detect: fitted, and scored from standard input", || {
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
    step("generate: text from a model of that run, and one whose words are another's", || {
        let folder = workspace().join("target/ci/sigsoftmax-whole/runs");
        // Whichever rate was chosen.
        let name = |p: &std::path::Path| p.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let files = std::fs::read_dir(&folder)?.flatten().map(|e| e.path());
        let model = files
            .filter(|p| name(p).starts_with("austen-moss-") && name(p).ends_with("seed-0.model.safetensors"))
            .find(|p| !name(p).contains("words"))
            .context("the run left no model of the arm moss")?;
        let generate = |words: &str| -> Result<Option<i32>> {
            let mut c = with(&["xtask", "generate", "--words", "20", "--model"]);
            c.arg(&model).arg("--vocabulary").arg(folder.join(words));
            Ok(c.status()?.code())
        };
        std::fs::write(folder.join("other.txt"), "the 5\n<eos> 3\n<unk> 0\n")?;
        match (generate("austen.vocabulary.txt")?, generate("other.txt")?) {
            (Some(0), Some(1)) => Ok(()),
            other => bail!("exit codes {other:?}, not 0 and 1"),
        }
    })?;
    step("attacks against the field's libraries (the rows that take seconds)", || {
        let rows = ["foolbox", "fgsm", "autoattack apgd"].iter().flat_map(|f| ["--filter", f]);
        run(with(&["xtask", "oracle", "--at-most", "200"].into_iter().chain(rows).collect::<Vec<_>>()))
    })?;
    step("attack: a model that is good enough, and one that is not", || {
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
    step("bench: one workload alone, and a peer that is not installed", || {
        run(with(&["xtask", "bench", "--rounds", "1", "--filter", "autoencoder"]))?;
        let missing = with(&["xtask", "bench", "--peer", "torch", "--python", "no-such-python"]).status()?;
        if missing.code() == Some(2) { Ok(()) } else { bail!("a missing peer gave {missing}, not exit code 2") }
    })?;
    Ok(0)
}

/// The examples of all crates.
const EXAMPLES: [&str; 8] = [
    "custom_task",
    "detect_anomalies",
    "evaluate_candle_model",
    "language_model",
    "output_functions",
    "penalties",
    "sharpness",
    "train_fashion_mnist",
];

/// The overrides that make the quick preset take seconds.
const ABSUM: [&str; 13] = [
    "seeds=[0,1]",
    "train.epochs=2",
    "settings.0.data.train=640",
    "settings.0.data.validation=100",
    "settings.0.data.test=100",
    "settings.1.data.train=640",
    "settings.1.data.validation=100",
    "settings.1.data.test=100",
    "sfa.examples=50",
    "sfa.curve_every_direction=199",
    "selection.every_direction=99",
    "cost.rounds=1",
    "cost.steps=2",
];
const SIGSOFTMAX: [&str; 15] = [
    "seeds=[0]",
    "synthetic.dims=[2]",
    "synthetic.steps=300",
    "synthetic.contexts=40",
    "synthetic.classes=20",
    "corpora.0.train=30000",
    "corpora.0.validation=2000",
    "corpora.0.test=2000",
    "corpora.0.vocabulary=300",
    "corpora.0.single.hidden=32",
    "corpora.0.mixture.hidden=32",
    "corpora.0.single.train.epochs=2",
    "corpora.0.mixture.train.epochs=2",
    "rank.contexts=50",
    "corpora.0.selection.words=10000",
];
const ABC: [&str; 7] = [
    "seeds=[0]",
    "images.0.normals=300",
    "images.0.held_out=[3,5]",
    "images.0.labelled=20",
    "tables.0.normals=500",
    "divergence.epochs=[1,2]",
    "toy.pixels=20",
];
const SHARPNESS: [&str; 11] = [
    "seeds=[0]",
    "images.data.train=1500",
    "network.data.train=300",
    "network.data.test=100",
    "network.radii=[0.0,0.5]",
    "network.train.epochs=3",
    "network.examples=40",
    "network.probes=3",
    "network.directions=1",
    "network.plane=3",
    "network.tolerance=0.1",
];
const SMOOTHNESS: [&str; 6] = [
    "seeds=[0]",
    "network.data.train=300",
    "network.data.test=100",
    "network.epochs=4",
    "network.inner_steps=2",
    "network.examples=40",
];
const BLF: [&str; 12] = [
    "seeds=[0]",
    "data.train=300",
    "data.validation=50",
    "data.test=50",
    "standard.epochs=2",
    "adversarial.epochs=2",
    "naive.steps=2",
    "naive.norm_examples=100",
    "strong.steps=2",
    "strong.examples=6",
    "strong.diagnosis_examples=8",
    "optimum.iterations=50",
];

/// One run from start to end on one thread; one that is killed twice on two: their metrics are the same.
fn smallest(slug: &str, overrides: &[&str], kills: &[u64]) -> Result<()> {
    let start = |name: &str, threads: &str, fresh: bool| -> (Command, std::path::PathBuf) {
        let out = workspace().join("target/ci").join(name);
        let mut c = with(&["xtask", "reproduce", slug, "--out"]);
        c.arg(&out).env("RAYON_NUM_THREADS", threads);
        overrides.iter().for_each(|s| {
            c.args(["--set", s]);
        });
        if fresh {
            c.arg("--fresh");
        }
        (c, out.join("results.json"))
    };
    let metrics = |path: &std::path::Path| -> Result<serde_json::Value> {
        let results: serde_json::Value = serde_json::from_slice(&std::fs::read(path)?)?;
        Ok(results["metrics"].clone())
    };
    let (whole, whole_json) = start(&format!("{slug}-whole"), "1", true);
    run(whole)?;
    let killed = format!("{slug}-killed");
    for (i, seconds) in kills.iter().enumerate() {
        let (mut command, _) = start(&killed, "2", i == 0);
        kill_after(&mut command, std::time::Duration::from_secs(*seconds))?;
    }
    let (again, again_json) = start(&killed, "2", false);
    run(again)?;
    if metrics(&whole_json)? != metrics(&again_json)? {
        bail!("{} and {} have different metrics", whole_json.display(), again_json.display());
    }
    Ok(())
}

/// Starts a command as a group of its own and kills the whole group after a while.
fn kill_after(command: &mut Command, after: std::time::Duration) -> Result<()> {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    let mut child = command.spawn()?;
    std::thread::sleep(after);
    if cfg!(unix) {
        run({
            let mut kill = Command::new("kill");
            kill.args(["-KILL", "--", &format!("-{}", child.id())]);
            kill
        })?;
    } else {
        child.kill()?;
    }
    child.wait()?;
    Ok(())
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
