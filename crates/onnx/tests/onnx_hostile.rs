//! Files that are easily misread, or that ask for too much. `differential/hostile.py` makes them and more.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use sconce_onnx::{Inspection, OnnxConfig, OnnxNet, Peeled};
use sconce_tensor_core::candle_core::{DType, Device};
use sconce_tensor_core::{Classifier, Mode, Network, Rng};
use std::path::{Path, PathBuf};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile").join(format!("{name}.onnx"))
}

fn open(name: &str) -> Result<OnnxNet, String> {
    let side = if name == "resize07" { 10 } else { 8 };
    let cfg = OnnxConfig { example: vec![3, side, side], ..OnnxConfig::default() };
    OnnxNet::open(&file(name), &cfg).map_err(|e| e.to_string())
}

/// An error or a network, but no panic, no abort and no hang; what is too large is refused with the limit.
#[test]
fn files_that_ask_for_too_much() {
    for name in
        ["noin_Sigmoid", "noin_HardSigmoid", "noin_Softplus", "noin_Erf", "convstride", "tile_empty", "tile_one"]
    {
        let _ = Inspection::read(&file(name));
        let _ = open(name);
    }
    for (name, part) in [
        ("batchhuge", "batch size of 1099511627776"),
        ("pad", "elements"),
        ("padedge", "elements"),
        ("convt", "too large"),
        ("MaxPoolk", "elements"),
        ("gatherbig", "elements"),
        ("outer", "elements"),
        ("concathost", "elements"),
        ("manyconst", "the constants of the graph have more than"),
    ] {
        let e = open(name).map(|_| ()).unwrap_err();
        assert!(e.contains(part), "{name}: {e}");
    }
}

/// A probability behind a change of shape is no logit.
#[test]
fn a_sigmoid_behind_a_squeeze_is_left_out() {
    assert_eq!(open("sem_sigmoid1_squeeze").unwrap().peeled(), Some(Peeled::Sigmoid));
}

/// A choice between two constants has no gradient, and a remainder is a staircase.
#[test]
fn thresholds_without_a_gradient_are_known() {
    for name in ["sem_binarize", "sem_binarizevec", "sem_mod"] {
        assert!(!open(name).unwrap().caveats().is_empty(), "{name}");
    }
}

/// The first example is added to all: only the others' outputs show it.
#[test]
fn a_dependence_on_the_first_example_is_found() {
    let net = open("sem_causal").unwrap();
    assert!(net.notes().iter().any(|n| n.contains("runs alone")), "{:?}", net.notes());
    let x = Rng::new(1).uniform((3, 3, 8, 8), 0.0..1.0, DType::F32, &Device::Cpu).unwrap();
    let rows = |x| net.forward(x, Mode::Frozen).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(rows(&x)[2], rows(&x.narrow(0, 2, 1).unwrap())[0]);
}

#[test]
fn the_layout_is_the_one_that_fits() {
    let net = open("sem_nhwc_dyn").unwrap();
    assert!(net.notes().iter().any(|n| n.contains("NHWC")), "{:?}", net.notes());
}

/// 10 times 0.7 in 32 bits is 7, and a square of a negative number is positive.
#[test]
fn sizes_and_powers_of_32_bits() {
    assert!(open("resize07").is_ok());
    let x = Rng::new(1).uniform((2, 3, 8, 8), 0.0..1.0, DType::F32, &Device::Cpu).unwrap();
    let y = open("powvec").unwrap().forward(&x, Mode::Frozen).unwrap();
    assert!(y.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().all(|v| v.is_finite()));
}
