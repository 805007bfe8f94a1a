//! The command's parts: arguments, data, the result in its three formats, errors.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor};
use clap::Parser;
use sconce_attacks::{Norm, cli};
use sconce_tensor_core::{Module, store};
use std::path::Path;

mod support;
use support::trained;

fn parse(dir: &Path, more: &[&str]) -> cli::Args {
    let path = |n: &str| dir.join(n).display().to_string();
    let (model, data) = (path("net.safetensors"), path("data.safetensors"));
    let first = ["sconce-attack", "--model", &model, "--arch", "smallcnn", "--data", &data, "--device", "cpu"];
    cli::Args::try_parse_from(first.iter().chain(more)).unwrap()
}

fn fixture(dir: &Path) {
    let (net, x, y) = trained(16);
    net.params().save(&dir.join("net.safetensors")).unwrap();
    let y = y.to_dtype(DType::I64).unwrap();
    store::save(&dir.join("data.safetensors"), [("x", x), ("y", y)], "").unwrap();
}

#[test]
fn from_files_to_a_verdict() {
    let dir = tempfile::tempdir().unwrap();
    fixture(dir.path());
    let (json, html) = (dir.path().join("r.json"), dir.path().join("r.html"));
    let words = ["--threat", "linf:0.02,0.1", "--suite", "quick", "--at-least", "0.9"];
    let files = ["--json", json.to_str().unwrap(), "--html", html.to_str().unwrap()];
    let args = parse(dir.path(), &[&words[..], &files[..]].concat());
    let (x, y) = cli::read_data(args.data.as_ref()).unwrap();
    let done = cli::run(&args, &x, &y, &Device::Cpu, &mut |_| Ok(())).unwrap();
    let all = done.robust_accuracies().unwrap();
    assert_eq!((all.len(), done.ledger.norm), (2, Norm::Linf));
    assert_eq!(cli::meets_threshold(&args, &done).unwrap(), all[0].robust.rate() >= 0.9);
    let read: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(read["robust"][1]["accuracy"].as_f64().unwrap(), all[1].robust.rate());
    // Each number has its status, in all three formats.
    assert!(read["robust"].as_array().unwrap().iter().all(|r| r["status"].is_string()));
    let page = std::fs::read_to_string(&html).unwrap();
    assert!(page.contains("<svg") && page.matches(&all[0].status.to_string()).count() >= 2 && !page.contains("http"));
    assert_eq!(cli::text(&done).unwrap().lines().filter(|l| l.starts_with("robust") && l.contains(';')).count(), 2);
    let bare = parse(dir.path(), &["--suite", "quick", "--no-checks", "--examples", "4"]);
    let done = cli::run(&bare, &x, &y, &Device::Cpu, &mut |_| Ok(())).unwrap();
    assert!(cli::text(&done).unwrap().contains("not checked") && done.ledger.len() == 4);
    let waves = parse(dir.path(), &["--suite", "fourier", "--threat", "linf:0.3", "--no-checks"]);
    let done = cli::run(&waves, &x, &y, &Device::Cpu, &mut |_| Ok(())).unwrap();
    assert!(done.robust_accuracies().unwrap()[0].robust.hits < 16);
}

#[test]
fn threats_are_read_and_mistakes_named() {
    let dir = tempfile::tempdir().unwrap();
    let threat = |t: &str| parse(dir.path(), &["--threat", t]).threat();
    assert_eq!(threat("linf:8/255,4/255").unwrap(), (Norm::Linf, vec![4.0 / 255.0, 8.0 / 255.0]));
    assert_eq!(threat("L2:0.5").unwrap(), (Norm::L2, vec![0.5]));
    for (bad, why) in [
        ("linf", "linf:8/255"),
        ("l3:1", "linf, l2 or l1"),
        ("l2:x", "not a radius"),
        ("linf:8", "larger than the box"),
        ("l2:-1", "not a radius"),
        ("l2:1/0", "not a radius"),
    ] {
        let e = threat(bad).unwrap_err().to_string();
        assert!(e.contains(why) && e.contains(bad), "{e}");
    }
}

#[test]
fn data_that_does_not_go_together_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.safetensors");
    let d = &Device::Cpu;
    let error = |all: Vec<(&str, Tensor)>| {
        store::save(&path, all, "").unwrap();
        cli::read_data(&path).unwrap_err().to_string()
    };
    let x = Tensor::zeros((2, 1, 4, 4), DType::F32, d).unwrap();
    let y = |v: &[f64]| Tensor::new(v, d).unwrap();
    assert!(error(vec![("x", x.clone())]).contains("no `y`"));
    assert!(error(vec![("x", x.clone()), ("y", y(&[0.0]))]).contains("(N,)"));
    assert!(error(vec![("x", x.clone()), ("y", y(&[0.0, -1.0]))]).contains("label -1 at row 1"));
    let bytes = Tensor::full(255u8, (1, 1, 2, 2), d).unwrap();
    store::save(&path, vec![("x", bytes), ("y", y(&[3.0]))], "").unwrap();
    let (x, labels) = cli::read_data(&path).unwrap();
    assert_eq!((x.max_all().unwrap().to_scalar::<f32>().unwrap(), labels.to_vec1::<u32>().unwrap()), (1.0, vec![3]));
    let npz = dir.path().join("d.npz");
    Tensor::write_npz(&[("x", x), ("y", y(&[3.0]))], &npz).unwrap();
    assert_eq!(cli::read_data(&npz).unwrap().1.to_vec1::<u32>().unwrap(), [3]);
    let whole = std::fs::read(&npz).unwrap();
    std::fs::write(&npz, &whole[..whole.len() / 2]).unwrap();
    assert!(cli::read_data(&npz).unwrap_err().to_string().contains("d.npz"));
}
