//! ONNX files: inspected, attacked, reported on, and searched for counterexamples of a property.
#![cfg(feature = "program")]
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod support;

use candle_core::{DType, Device, Tensor};
use sconce_onnx::{OnnxConfig, OnnxNet};
use sconce_tensor_core::{Classifier, Rng, classifier};
use std::path::{Path, PathBuf};
use support::{Folder, sconce};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../onnx/tests/golden").join(name)
}

/// Images with the labels that the network gives them, but for the last one, in `data.safetensors`.
fn data(f: &Folder, model: &Path, n: usize, (c, h, w): (usize, usize, usize)) -> String {
    let net = OnnxNet::open(model, &OnnxConfig { example: vec![c, h, w], ..OnnxConfig::default() }).unwrap();
    let x = Rng::new(5).uniform((n, c, h, w), 0.0..1.0, DType::F32, &Device::Cpu).unwrap();
    let mut y = classifier::predict(&net, &x, 4).unwrap();
    let last = y.last_mut().unwrap();
    *last = (*last + 1) % net.classes() as u32;
    let labels = Tensor::from_vec(y, n, &Device::Cpu).unwrap();
    let path = f.0.path().join("data.safetensors");
    candle_core::safetensors::save(&[("x", x), ("y", labels)].into_iter().collect(), &path).unwrap();
    path.display().to_string()
}

#[test]
fn a_file_is_inspected() {
    let (f, model) = (Folder::new(), golden("signal.script.onnx").display().to_string());
    let json = f.text("i.json");
    let out = sconce(&["model", "inspect", &model, "--json", &json]).ok();
    for part in [
        "ai.onnx 17",
        "pytorch",
        "input",
        "before the Softmax at the end",
        "InstanceNormalization",
        "every node is supported",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let read: serde_json::Value = serde_json::from_str(&f.read("i.json")).unwrap();
    assert_eq!((read["peeled"].as_str(), read["supported"].as_bool()), (Some("Softmax"), Some(true)));
    let e = sconce(&["model", "inspect", "nothing.onnx"]).fails(1);
    assert!(e.contains("nothing.onnx"), "{e}");
}

#[test]
fn a_file_is_attacked_and_the_numbers_do_not_depend_on_the_batch() {
    let (f, model) = (Folder::new(), golden("mobile.script.onnx"));
    let data = data(&f, &model, 12, (3, 12, 12));
    let model = model.display().to_string();
    let words = [
        "attack",
        "--model",
        &model,
        "--data",
        &data,
        "--threat",
        "linf:0.01,0.1",
        "--suite",
        "quick",
        "--device",
        "cpu",
    ];
    let first = sconce(&[&words[..], &["--json", "-", "--batch", "12"]].concat()).json();
    let again = sconce(&[&words[..], &["--json", "-", "--batch", "5"]].concat()).json();
    assert_eq!(first["robust"], again["robust"]);
    assert_eq!((first["arch"].as_str(), first["clean"]["correct"].as_u64()), (Some("ONNX"), Some(11)));
    let robust = |i: usize| first["robust"][i]["robust"].as_u64().unwrap();
    assert!(robust(0) <= 11 && robust(1) < robust(0), "{:?}", first["robust"]);
    let page = f.text("r.html");
    sconce(&[&words[..], &["--html", &page]].concat()).ok();
    let page = f.read("r.html");
    assert!(
        page.contains("Architecture ONNX") && page.contains("adversarial"),
        "the page shows what fooled the network"
    );
}

#[test]
fn options_of_the_other_kind_of_file_are_refused() {
    let (f, model) = (Folder::new(), golden("cnn.script.onnx"));
    let data = data(&f, &model, 4, (3, 14, 14));
    let model = model.display().to_string();
    let words = ["attack", "--model", &model, "--data", &data, "--suite", "quick"];
    for (more, part) in [
        (&["--arch", "resnet18"][..], "leave --arch out"),
        (&["--weights-key", "ema"], "one set of weights"),
        (&["--output", "nothing"], "nothing"),
        (&["--input-range", "5"], "0,255"),
        (&["--input-range", "3,1"], "OnnxConfig.range"),
    ] {
        let e = sconce(&[&words[..], more].concat()).fails(1);
        assert!(e.contains(part), "{e}");
    }
    let weights = f.text("data.safetensors");
    let e = sconce(&["attack", "--model", &weights, "--data", &data]).fails(1);
    assert!(e.contains("--arch is missing"), "{e}");
    let e =
        sconce(&["attack", "--model", &weights, "--arch", "resnet18", "--layout", "nhwc", "--data", &data]).fails(1);
    assert!(e.contains("--layout") && e.contains("ONNX"), "{e}");
    let e = sconce(&["attack", "--model", &model]).fails(2);
    assert!(e.contains("--data"), "{e}");
}

#[test]
fn a_model_with_a_rounding_is_flagged() {
    let f = Folder::new();
    let mut bytes = std::fs::read(golden("cnn.script.onnx")).unwrap();
    // The operator's field: tag 4, its length, its name.
    let at = bytes.windows(6).position(|w| w == b"\x22\x04Relu").unwrap();
    bytes[at + 2..at + 6].copy_from_slice(b"Ceil");
    let model = f.0.path().join("rounded.onnx");
    std::fs::write(&model, bytes).unwrap();
    let data = data(&f, &model, 12, (3, 14, 14));
    let model = model.display().to_string();
    let out = sconce(&[
        "attack",
        "--model",
        &model,
        "--data",
        &data,
        "--suite",
        "quick",
        "--threat",
        "linf:0.02",
        "--device",
        "cpu",
    ])
    .ok();
    assert!(out.contains("masked-gradient: the gradient is masked by Ceil at node `"), "{out}");
    let out = sconce(&["model", "inspect", &model]).ok();
    assert!(out.contains("flag: gradient masked by Ceil"), "{out}");
}

/// Curvature, landscape and the rest of the dossier work on a file as on any network.
#[test]
fn a_file_has_a_dossier() {
    let (f, model) = (Folder::new(), golden("cnn.script.onnx"));
    let data = data(&f, &model, 8, (3, 14, 14));
    let (model, out) = (model.display().to_string(), f.text("d"));
    let few = [
        "--suite",
        "quick",
        "--threat",
        "linf:0.02",
        "--plane",
        "2",
        "--eigenvalues",
        "1",
        "--products",
        "80",
        "--geometry-examples",
        "8",
    ];
    let first = ["dossier", "--model", &model, "--data", &data, "--out", &out, "--device", "cpu"];
    sconce(&[&first[..], &few[..]].concat()).ok();
    let read: serde_json::Value = serde_json::from_str(&f.read("d/dossier.json")).unwrap();
    assert_eq!(read["attack"]["arch"].as_str(), Some("ONNX"));
}

/// The outputs of a file are taken as they are: here probabilities, which are at most 1.
#[test]
fn a_property_is_searched_for_a_counterexample() {
    let (f, model) = (Folder::new(), golden("decoder.script.onnx").display().to_string());
    let property = |bound: &str| {
        let mut text: String = (0..432).map(|i| format!("(declare-const X_{i} Real)\n")).collect();
        text += "(declare-const Y_0 Real)\n";
        text.extend((0..432).map(|i| format!("(assert (>= X_{i} 0.0))\n(assert (<= X_{i} 1.0))\n")));
        text += &format!("(assert {bound})\n");
        std::fs::write(f.0.path().join("p.vnnlib"), text).unwrap();
        f.text("p.vnnlib")
    };
    let possible = property("(>= Y_0 0.3)");
    let json = f.text("p.json");
    let done = sconce(&["attack", "--model", &model, "--vnnlib", &possible, "--json", &json]).ok();
    assert!(done.starts_with("sat\n((X_0 ") && done.contains("(Y_0 "), "{}", &done[..80]);
    let read: serde_json::Value = serde_json::from_str(&f.read("p.json")).unwrap();
    let found: Vec<f32> = serde_json::from_value(read["counterexample"]["inputs"].clone()).unwrap();
    let net = OnnxNet::open(
        golden("decoder.script.onnx").as_path(),
        &OnnxConfig { example: vec![3, 12, 12], raw: true, ..OnnxConfig::default() },
    );
    let y = net.unwrap().logits(&Tensor::from_vec(found, (1, 3, 12, 12), &Device::Cpu).unwrap()).unwrap();
    assert!(y.flatten_all().unwrap().to_vec1::<f32>().unwrap()[0] >= 0.3);
    let impossible = property("(>= Y_0 1.5)");
    let out = sconce(&["attack", "--model", &model, "--vnnlib", &impossible, "--timeout", "1"]).ok();
    assert!(out.starts_with("timeout"), "{out}");
    let e = sconce(&["attack", "--model", &model, "--vnnlib", &impossible, "--data", "x"]).fails(2);
    assert!(e.contains("--vnnlib"), "{e}");
}
