//! Files that are damaged, unusual or hostile: an error with the place, and no panic.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use proptest::prelude::*;
use sconce_onnx::{Inspection, Model, ModelConfig, OnnxConfig, OnnxNet};
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn open(path: &Path, example: &[usize]) -> Result<OnnxNet, String> {
    OnnxNet::open(path, &OnnxConfig { example: example.to_vec(), ..OnnxConfig::default() }).map_err(|e| e.to_string())
}

#[test]
fn what_is_no_model_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for (bytes, part) in [
        (&b""[..], "it is empty"),
        (b"PK\x03\x04 a zip archive", "torch.onnx.export"),
        (b"\x80\x02 a pickle", "a pickle"),
        (b"\x20\0\0\0TFL3 lite", "TensorFlow Lite"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"hello, this is text", "not a whole ONNX model"),
        (b"\x08\x08", "no graph"),
    ] {
        let path = dir.path().join("m.onnx");
        std::fs::write(&path, bytes).unwrap();
        let e = open(&path, &[1]).unwrap_err();
        assert!(e.contains("m.onnx") && e.contains(part), "{e}");
    }
    let e = open(&dir.path().join("none.onnx"), &[1]).unwrap_err();
    assert!(e.contains("none.onnx"), "{e}");
}

#[test]
fn a_file_that_is_cut_off_is_refused() {
    let bytes = std::fs::read(golden("cnn.script.onnx")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.onnx");
    for part in [1, 3, 7, 9] {
        std::fs::write(&path, &bytes[..bytes.len() * part / 10]).unwrap();
        assert!(open(&path, &[3, 14, 14]).is_err(), "{part} tenths");
    }
}

#[test]
fn weights_that_are_not_there_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.onnx");
    std::fs::copy(golden("cnn.external.onnx"), &path).unwrap();
    let e = open(&path, &[3, 14, 14]).unwrap_err();
    assert!(e.contains("cnn.external.onnx.data") && e.contains("is missing"), "{e}");
    std::fs::write(dir.path().join("cnn.external.onnx.data"), [0; 7]).unwrap();
    let e = open(&path, &[3, 14, 14]).unwrap_err();
    assert!(e.contains("cut off"), "{e}");
}

#[test]
fn examples_of_another_size_are_refused_with_both_sizes() {
    let e = open(&golden("mobile.baked2.onnx"), &[3, 32, 32]).unwrap_err();
    assert!(e.contains("3, 12, 12") && e.contains("32"), "{e}");
    let e = open(&golden("cnn.script.onnx"), &[]).unwrap_err();
    assert!(e.contains("OnnxConfig.example"), "{e}");
}

#[test]
fn an_output_that_is_not_there_is_named() {
    let cfg = OnnxConfig { example: vec![3, 14, 14], output: Some("nonsense".into()), ..OnnxConfig::default() };
    let e = OnnxNet::open(&golden("cnn.script.onnx"), &cfg).map(|_| ()).unwrap_err().to_string();
    assert!(e.contains("nonsense"), "{e}");
}

#[test]
fn a_value_that_nobody_makes_is_named() {
    let bytes = std::fs::read(golden("cnn.script.onnx")).unwrap();
    let found = Inspection::read(&golden("cnn.script.onnx")).unwrap();
    let name = found.inputs[0].name.clone();
    assert_eq!(name, "x");
    // The field of a node's first input: tag 1, length 1, "x".
    let at = bytes.windows(3).position(|w| w == b"\x0a\x01x").unwrap();
    let mut changed = bytes;
    changed[at + 2] = b'q';
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.onnx");
    std::fs::write(&path, changed).unwrap();
    let e = open(&path, &[3, 14, 14]).unwrap_err();
    assert!(e.contains("`q`") && e.contains("node `"), "{e}");
}

/// An operator that has no code yet: refused by name, and listed by the inspection.
#[test]
fn an_unknown_operator_is_refused_by_node() {
    let bytes = std::fs::read(golden("cnn.script.onnx")).unwrap();
    // The same length, so that the lengths around it stay right.
    let mut changed = bytes.clone();
    for at in (0..bytes.len() - 4).filter(|at| &bytes[*at..at + 4] == b"Relu") {
        changed[at..at + 4].copy_from_slice(b"Rilu");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.onnx");
    std::fs::write(&path, changed).unwrap();
    let e = open(&path, &[3, 14, 14]).unwrap_err();
    assert!(e.contains("Rilu") && e.contains("node `"), "{e}");
    let found = Inspection::read(&path).unwrap();
    assert!(!found.is_supported() && !found.operators["Rilu"].1, "{:?}", found.operators);
}

/// Damages a file at several places and reads it; the result does not matter, as long as there is one.
fn damaged(name: &str, changes: &[(usize, u8)], cut: Option<usize>) {
    let mut bytes = std::fs::read(golden(name)).unwrap();
    for (at, value) in changes {
        let at = at % bytes.len();
        bytes[at] = *value;
    }
    if let Some(cut) = cut {
        bytes.truncate(cut % bytes.len());
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.onnx");
    std::fs::write(&path, bytes).unwrap();
    let example = if name.starts_with("signal") { vec![2, 40] } else { vec![3, 12, 12] };
    let _ = open(&path, &example);
    let _ = Inspection::read(&path);
    let _ = Model::open(&path, &ModelConfig::default());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_file_makes_the_reader_panic(
        file in prop::sample::select(vec!["mobile.script.onnx", "vit.script.onnx", "signal.opset9.onnx", "decoder.dynamo.onnx"]),
        changes in prop::collection::vec((any::<usize>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<usize>()),
    ) {
        damaged(file, &changes, cut);
    }
}
