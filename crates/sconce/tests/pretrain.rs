//! `pretrain` and `probe`: from images without labels to what a trunk knows.
#![cfg(feature = "program")]
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod support;
use std::path::Path;
use support::{Folder, Run, command, sconce};

const DATA: [&str; 8] = ["--data", "garments-in-cloth:hue", "--examples", "150", "--widths", "4,8", "--batch", "32"];

fn pretrain(f: &Folder, out: &str, more: &[&str]) -> Run {
    let out = f.text(out);
    sconce(&[&["pretrain"][..], &DATA, &["--out", &out, "--device", "cpu"], more].concat())
}

#[test]
fn a_trunk_is_trained_saved_and_probed() {
    let f = Folder::new();
    let run = pretrain(&f, "trunk.safetensors", &["--epochs", "2", "--json", &f.text("p.json")]);
    let out = run.ok();
    for want in ["rotation", "color", "sharpness", "weight", "trunk.safetensors"] {
        assert!(out.contains(want), "{want}: {out}");
    }
    let read: serde_json::Value = serde_json::from_str(&f.read("p.json")).unwrap();
    assert_eq!((read["schema"].as_u64(), read["epochs"].as_array().unwrap().len()), (Some(1), 2));
    assert!(!f.path("trunk.safetensors.checkpoint").exists());
    let trunk = f.text("trunk.safetensors");
    let probe =
        ["probe", "--trunk", &trunk, "--data", "garments-in-cloth:hue", "--examples", "120", "--features", "40"];
    let told = sconce(&[&probe[..], &["--neighbours", "3", "--json", "-"]].concat());
    let rows = told.json()["rows"].as_array().unwrap().clone();
    let names: Vec<&str> = rows.iter().map(|r| r["features"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "the trunk, block 1",
            "the trunk, block 2",
            "a random trunk, block 1",
            "a random trunk, block 2",
            "the images themselves"
        ]
    );
    // Eight hues: colours are there to be read from any features.
    assert!(rows.iter().all(|r| r["linear"].as_f64().unwrap() > 0.2), "{rows:?}");
    let e = sconce(&["probe", "--trunk", &trunk, "--data", "fashion-mnist:embedded"]).failed();
    assert!(e.contains("images of 1 channels, but the trunk was trained on 3"), "{e}");
    let e = sconce(&["probe", "--trunk", &f.text("p.json"), "--data", "garments-in-cloth:hue"]).failed();
    assert!(e.contains("p.json"), "{e}");
}

/// Killed in the middle and started again, the run ends with the same bytes.
#[test]
fn an_interrupted_run_continues() {
    let f = Folder::new();
    pretrain(&f, "whole.safetensors", &["--epochs", "6"]).well();
    let out = f.text("parts.safetensors");
    let words = [&["pretrain"][..], &DATA, &["--out", &out, "--device", "cpu", "--epochs", "6"]].concat();
    let mut child = command(&words).spawn().unwrap();
    let kept = f.path("parts.safetensors.checkpoint");
    while !kept.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    sconce(&words).well();
    assert_eq!(std::fs::read(f.path("whole.safetensors")).unwrap(), std::fs::read(&out).unwrap());
    assert!(!kept.exists());
}

#[test]
fn mistakes_are_named() {
    let f = Folder::new();
    let e = pretrain(&f, "t", &["--pretext", "rotation,colour"]).failed();
    assert!(e.contains("colour") && e.contains("color"), "{e}");
    let e = pretrain(&f, "t", &["--weighting", "mdga"]).failed();
    assert!(e.contains("did you mean `mgda`"), "{e}");
    let e = pretrain(&f, "t", &["--pretext", "rotation", "--augment", "rotation"]).failed();
    assert!(e.contains("occurs twice"), "{e}");
    assert!(pretrain(&f, "no/such/t", &[]).failed().contains("--out"));
    assert!(!Path::new(&f.text("t")).exists());
    let e = sconce(&["pretrain", "--data", &f.text(""), "--out", &f.text("t")]).failed();
    assert!(e.contains("no .png, .jpg or .jpeg files"), "{e}");
}
