//! How the program behaves, whatever the command.
#![cfg(feature = "program")]
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod support;
use std::process::Stdio;
use support::{Folder, command, fixture, sconce};

#[test]
fn versions_help_and_typos() {
    assert_eq!(sconce(&["-V"]).ok(), format!("sconce {}\n", env!("CARGO_PKG_VERSION")));
    let help = sconce(&["--help"]).ok();
    assert!(
        ["attack", "detect", "dossier", "data", "fidelity", "augment", "generate", "completions", "man", "Exit codes"]
            .iter()
            .all(|w| help.contains(w))
    );
    assert!(sconce(&["atack"]).fails(2).contains("'attack'"));
    assert!(sconce(&["attack", "--modle", "x"]).fails(2).contains("--model"));
    assert!(sconce(&["data", "list", "-q", "-v"]).fails(2).contains("cannot be used with"));
}

#[test]
fn outputs_are_opened_before_the_work() {
    let f = Folder::new();
    fixture(f.0.path(), 4, 1.0);
    // The model does not exist either: the output is what is told.
    let run = |option: &str, path: &str| {
        sconce(&["attack", "--model", "/no/model", "--arch", "smallcnn", "--data", "/no/data", option, path]).fails(1)
    };
    let e = run("--json", &f.text("no/such/r.json"));
    assert!(e.contains("--json") && e.contains("does not exist; create it first"), "{e}");
    let e = run("--html", &f.text(""));
    assert!(e.contains("--html") && e.contains("this is a folder"), "{e}");
    let e = sconce(&["attack", "--model", "/m", "--arch", "smallcnn", "--data", "/d", "--json", "-", "--html", "-"])
        .fails(1);
    assert!(e.contains("--html -: another option writes to standard output already"), "{e}");
}

/// JSON on standard output is alone there; with --quiet nothing is on standard error.
#[test]
fn results_and_progress_are_apart() {
    let listed = sconce(&["data", "list", "--json", "-"]);
    assert!(listed.err.contains("cifar10"), "{}", listed.err);
    let read = listed.json();
    assert_eq!((read["schema"].as_u64(), read["command"].as_str()), (Some(1), Some("data list")));
    assert!(read["data"].as_array().unwrap().iter().any(|d| d["name"] == "shuttle:embedded"));
    let quiet = sconce(&["data", "list", "--json", "-", "-q"]);
    assert!(quiet.err.is_empty() && quiet.code == 0, "{}", quiet.err);
    let text = sconce(&["data", "list"]);
    assert!(text.out.contains("not on this machine") && text.err.is_empty());
}

#[test]
fn a_reader_that_has_read_enough_is_no_error() {
    for words in [&["data", "list"][..], &["completions", "bash"], &["man"], &["data", "list", "--json", "-"]] {
        let mut child = command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let done = child.wait_with_output().unwrap();
        assert_eq!(
            (done.status.code(), String::from_utf8_lossy(&done.stderr).contains("error")),
            (Some(0), false),
            "{words:?}"
        );
    }
}

/// The files and the exit code do not depend on who reads standard output.
#[test]
fn a_closed_pipe_loses_no_file_and_no_verdict() {
    let f = Folder::new();
    let closed = |words: &[&str]| {
        let mut child = command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        child.wait_with_output().unwrap().status.code()
    };
    assert_eq!(closed(&["data", "list", "--json", &f.text("list.json")]), Some(0));
    assert!(f.read("list.json").contains("cifar10"));
    fixture(f.0.path(), 8, 1.0);
    let (model, data, json) = (f.text("net.safetensors"), f.text("data.safetensors"), f.text("r.json"));
    let first = ["attack", "--model", &model, "--arch", "smallcnn", "--data", &data, "--suite", "quick", "--no-checks"];
    let rest = ["--threat", "linf:0.5", "--at-least", "0.99", "--json", &json];
    assert_eq!(closed(&[&first[..], &rest].concat()), Some(3));
    assert!(f.read("r.json").contains("\"robust\""));
}

#[test]
fn no_color_means_no_colour() {
    let help = |no: Option<&str>| {
        let mut c = command(&["--help"]);
        c.env("CLICOLOR_FORCE", "1");
        no.map(|v| c.env("NO_COLOR", v));
        c.output().unwrap().stdout
    };
    assert!(help(None).contains(&0x1b) && !help(Some("1")).contains(&0x1b));
}

#[test]
fn shells_and_manual_pages() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(sconce(&["completions", shell]).ok().contains("dossier"), "{shell}");
    }
    assert!(sconce(&["man"]).ok().contains(".TH sconce 1"));
    let f = Folder::new();
    let out = sconce(&["man", "--out", &f.text("pages")]).ok();
    assert!(out.starts_with("wrote ") && f.read("pages/sconce-attack.1").contains("robust accuracy"), "{out}");
}

#[test]
fn data_is_verified_or_the_reason_is_told() {
    assert!(sconce(&["data", "verify"]).fails(1).contains("nothing to verify"));
    let e = sconce(&["data", "verify", "imagenet"]).fails(1);
    assert!(e.contains("no data set `imagenet`") && e.contains("cifar10"), "{e}");
    assert!(sconce(&["data", "verify", "mnist"]).fails(1).contains("sconce data fetch mnist"));
    let f = Folder::new();
    std::fs::create_dir(f.path("mnist")).unwrap();
    for name in
        ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]
    {
        std::fs::write(f.path("mnist").join(name), "not MNIST").unwrap();
    }
    let run = sconce(&["data", "verify", "mnist", "--data-dir", &f.text("")]);
    assert_eq!(run.out.matches("DIFFERS").count(), 4, "{}", run.out);
    assert!(run.fails(3).contains("4 files differ"));
    assert!(sconce(&["data", "fetch", "imagenet"]).fails(1).contains("fashion-mnist, mnist"));
    assert!(sconce(&["data", "fetch", "shuttle:embedded"]).ok().contains("nothing to download"));
}

/// The variable names several folders, separated as in PATH.
#[test]
fn folders_of_sconce_data_are_searched() {
    let f = Folder::new();
    let mut c = command(&["data", "verify", "mnist"]);
    let joined = std::env::join_paths([f.path("one"), f.path("two")]).unwrap();
    let done = c.env("SCONCE_DATA", joined).output().unwrap();
    let e = String::from_utf8(done.stderr).unwrap();
    assert!(e.contains(&f.text("one/mnist")) && e.contains(&f.text("two/mnist")), "{e}");
}
