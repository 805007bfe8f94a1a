//! An ONNX file as a network like others: flags that are known without a run, and training.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use sconce_onnx::{OnnxConfig, OnnxNet, Peeled};
use sconce_tensor_core::candle_core::{DType, Device, Tensor};
use sconce_tensor_core::classifier::Effect;
use sconce_tensor_core::{Classifier, Mode, Module, Network, Rng, Role, ops};
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn open(path: &Path, example: &[usize]) -> OnnxNet {
    OnnxNet::open(path, &OnnxConfig { example: example.to_vec(), ..OnnxConfig::default() }).unwrap()
}

/// A copy of the convolutional network with the bytes of one operator (tag 4, its length, its name) replaced by others.
fn with(from: &[u8], to: &[u8]) -> OnnxNet {
    let mut bytes = std::fs::read(golden("cnn.script.onnx")).unwrap();
    let at = bytes.windows(from.len()).position(|w| w == from).unwrap();
    bytes[at..at + from.len()].copy_from_slice(to);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.onnx");
    std::fs::write(&path, bytes).unwrap();
    open(&path, &[3, 14, 14])
}

#[test]
fn a_rounding_on_the_way_is_known_without_a_run() {
    assert!(open(&golden("cnn.script.onnx"), &[3, 14, 14]).caveats().is_empty());
    let caveats = with(b"\x22\x04Relu", b"\x22\x04Ceil").caveats();
    assert_eq!(caveats.len(), 1);
    assert!(caveats[0].effect == Effect::Masked && caveats[0].place.starts_with("Ceil at node `"), "{caveats:?}");
}

#[test]
fn the_probabilities_at_the_end_are_left_out() {
    for (file, example, peeled) in [
        ("signal.script", vec![2, 40], Some(Peeled::Softmax)),
        ("decoder.script", vec![3, 12, 12], Some(Peeled::Sigmoid)),
        ("cnn.script", vec![3, 14, 14], None),
    ] {
        let net = open(&golden(&format!("{file}.onnx")), &example);
        assert_eq!(net.peeled(), peeled, "{file}");
        assert_eq!(net.notes().iter().any(|n| n.contains("is left out")), peeled.is_some(), "{:?}", net.notes());
    }
    assert_eq!(open(&golden("decoder.script.onnx"), &[3, 12, 12]).classes(), 2, "one logit is two classes");
}

#[test]
fn weights_have_roles_and_statistics_are_not_trained() {
    let net = open(&golden("cnn.script.onnx"), &[3, 14, 14]);
    let count = |role| net.params().iter().filter(|p| p.role() == role).count();
    assert!(count(Role::Kernel) >= 2 && count(Role::Weight) >= 1 && count(Role::Bias) >= 2, "{:?}", net.params());
    assert!(net.params().iter().all(|p| !p.name().contains("running") || p.role() == Role::Buffer));
}

/// Gradient descent on the weights of a file lowers the loss, and what was learnt is saved and read back.
#[test]
fn a_file_can_be_trained_on() {
    let net = open(&golden("mobile.script.onnx"), &[3, 12, 12]);
    let x = Rng::new(3).uniform((8, 3, 12, 12), 0.0..1.0, DType::F32, &Device::Cpu).unwrap();
    let y = Tensor::from_iter((0..8u32).map(|i| i % 7), &Device::Cpu).unwrap();
    let loss = || ops::cross_entropy(&net.forward(&x, Mode::Train).unwrap(), &y).unwrap().mean_all().unwrap();
    let value = |t: &Tensor| f64::from(t.to_scalar::<f32>().unwrap());
    let before = value(&loss());
    for _ in 0..20 {
        let grads = ops::backward(&loss()).unwrap();
        for p in net.params().trainable() {
            let g = grads.get(p.var()).unwrap();
            p.var().set(&(p.var().as_detached_tensor() - (g * 0.02).unwrap()).unwrap()).unwrap();
        }
    }
    let after = value(&loss());
    assert!(after < 0.95 * before, "{before} to {after}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    net.params().save(&path).unwrap();
    let again = open(&golden("mobile.script.onnx"), &[3, 12, 12]);
    again.params().load(&path).unwrap();
    let host = |t: Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(host(again.logits(&x).unwrap()), host(net.logits(&x).unwrap()));
}

#[test]
fn features_are_what_the_last_layer_sees() {
    let net = open(&golden("cnn.script.onnx"), &[3, 14, 14]);
    let x = Rng::new(3).uniform((2, 3, 14, 14), 0.0..1.0, DType::F32, &Device::Cpu).unwrap();
    let features = net.features(&x).unwrap();
    assert_eq!(features.rank(), 2);
    let last = net.params().with_role(Role::Weight).last().unwrap().var().as_detached_tensor();
    assert!(last.dims().contains(&features.dim(1).unwrap()), "{:?} and {:?}", last.dims(), features.dims());
}
