//! Small networks from both of PyTorch's exporters: outputs and gradients against PyTorch and onnxruntime.
//!
//! The values are made by `golden/make_golden_onnx.py`, with the versions in `golden/golden_onnx.json`.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use sconce_onnx::{Layout, OnnxConfig, OnnxNet};
use sconce_tensor_core::candle_core::{DType, Device, Tensor, Var};
use sconce_tensor_core::{Mode, Network, ops};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn values() -> HashMap<String, Tensor> {
    sconce_tensor_core::candle_core::safetensors::load(golden("golden_onnx.safetensors"), &Device::Cpu).unwrap()
}

fn host(t: &Tensor) -> Vec<f64> {
    t.detach().flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// The largest difference over the largest value.
fn deviation(ours: &Tensor, theirs: &Tensor) -> f64 {
    assert_eq!(ours.dims(), theirs.dims());
    let (a, b) = (host(ours), host(theirs));
    let size = b.iter().fold(1e-3f64, |m, v| m.max(v.abs()));
    a.iter().zip(&b).fold(0f64, |m, (a, b)| m.max((a - b).abs())) / size
}

/// A file, and the network whose values it has.
const FILES: [(&str, &str); 17] = [
    ("cnn.script", "cnn"),
    ("cnn.dynamo", "cnn"),
    ("cnn.external", "cnn"),
    ("residual.script", "residual"),
    ("residual.dynamo", "residual"),
    ("residual.opset21", "residual"),
    ("mobile.script", "mobile"),
    ("mobile.dynamo", "mobile"),
    ("mobile.baked2", "mobile"),
    ("vit.script", "vit"),
    ("vit.dynamo", "vit"),
    ("signal.script", "signal"),
    ("signal.dynamo", "signal"),
    ("signal.opset9", "signal"),
    ("decoder.script", "decoder"),
    ("decoder.dynamo", "decoder"),
    ("nhwc", "nhwc"),
];

/// (N, C, H, W) of data for a network: `nhwc` has its values in the model's own order and range.
fn open(file: &str, x: &Tensor, fuse: bool, dtype: DType) -> OnnxNet {
    let range = (file == "nhwc").then_some((0.0, 255.0));
    let layout = (file == "nhwc").then_some(Layout::Nhwc);
    let cfg = OnnxConfig { example: x.dims()[1..].to_vec(), layout, range, fuse, dtype, ..OnnxConfig::default() };
    OnnxNet::open(&golden(&format!("{file}.onnx")), &cfg).unwrap()
}

/// Inputs, logits and gradient as a classifier of data in [0, 1] has them.
fn expected(values: &HashMap<String, Tensor>, name: &str, dtype: DType) -> (Tensor, Tensor, Tensor, Tensor) {
    let get = |what: &str| values[&format!("{name}.{what}")].to_dtype(dtype).unwrap();
    let (x, logits, v, grad) = (get("x"), get("logits"), get("v"), get("grad"));
    if name != "nhwc" {
        return (x, logits, v, grad);
    }
    let turned = |t: &Tensor| t.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
    (turned(&(x / 255.0).unwrap()), logits, v, (turned(&grad) * 255.0).unwrap())
}

/// Logits and the gradient of `sum(logits v)` at the input.
fn run(net: &OnnxNet, x: &Tensor, v: &Tensor) -> (Tensor, Tensor) {
    let x = Var::from_tensor(x).unwrap();
    let y = net.forward(x.as_tensor(), Mode::Frozen).unwrap();
    // One logit z is given as (0, z).
    let logits = if v.dim(1).unwrap() == 1 { y.narrow(1, 1, 1).unwrap() } else { y };
    let loss = (&logits * v).unwrap().sum_all().unwrap();
    let grads = ops::backward(&loss).unwrap();
    (logits, grads.get(&x).unwrap().clone())
}

#[test]
fn outputs_and_gradients_are_pytorchs() {
    let values = values();
    for dtype in [DType::F32, DType::F64] {
        for (file, name) in FILES {
            let (x, logits, v, grad) = expected(&values, name, dtype);
            let net = open(file, &x, true, dtype);
            let (y, g) = run(&net, &x, &v);
            assert!(deviation(&y, &logits) < 1e-5, "{file} {dtype:?}: logits by {}", deviation(&y, &logits));
            assert!(deviation(&g, &grad) < 1e-4, "{file} {dtype:?}: gradient by {}", deviation(&g, &grad));
        }
    }
}

#[test]
fn fusion_changes_rounding_alone() {
    let values = values();
    for (file, name) in FILES {
        let (x, _, v, _) = expected(&values, name, DType::F64);
        let (fused, plain) =
            (run(&open(file, &x, true, DType::F64), &x, &v), run(&open(file, &x, false, DType::F64), &x, &v));
        // Files have constants such as sqrt(2) in 32 bits.
        assert!(deviation(&fused.0, &plain.0) < 1e-8, "{file}: logits by {}", deviation(&fused.0, &plain.0));
        assert!(deviation(&fused.1, &plain.1) < 1e-7, "{file}: gradient by {}", deviation(&fused.1, &plain.1));
    }
}

/// The result of an example is the same in every batch.
#[test]
fn an_example_is_the_same_in_every_batch() {
    let values = values();
    for (file, name) in FILES {
        let (x, ..) = expected(&values, name, DType::F32);
        let net = open(file, &x, true, DType::F32);
        let all = host(&net.forward(&x, Mode::Frozen).unwrap());
        let k = net.outputs();
        for i in 0..x.dim(0).unwrap() {
            let one = host(&net.forward(&x.narrow(0, i, 1).unwrap(), Mode::Frozen).unwrap());
            assert_eq!(one[..], all[i * k..(i + 1) * k], "{file}, example {i}");
        }
    }
}

/// Every weight gets a gradient, and it is that of central differences.
#[test]
fn gradients_of_the_weights() {
    let values = values();
    for (file, name) in FILES {
        let (x, _, v, _) = expected(&values, name, DType::F64);
        let net = open(file, &x, true, DType::F64);
        let loss = || {
            let y = net.forward(&x, Mode::Train).unwrap();
            let y = if v.dim(1).unwrap() == 1 { y.narrow(1, 1, 1).unwrap() } else { y };
            (y * &v).unwrap().sum_all().unwrap()
        };
        let grads = ops::backward(&loss()).unwrap();
        for p in sconce_tensor_core::Module::params(&net).trainable() {
            let g = host(grads.get(p.var()).unwrap_or_else(|| panic!("{file}: no gradient to `{}`", p.name())));
            let at = g.len() / 2;
            let (old, h) = (p.var().as_detached_tensor().copy().unwrap(), 1e-7);
            let moved = |by: f64| {
                let mut w = host(&old);
                w[at] += by;
                p.var().set(&Tensor::from_vec(w, old.dims(), &Device::Cpu).unwrap()).unwrap();
                loss().to_scalar::<f64>().unwrap()
            };
            let slope = (moved(h) - moved(-h)) / (2.0 * h);
            p.var().set(&old).unwrap();
            let size = g.iter().fold(1e-3f64, |m, v| m.max(v.abs()));
            assert!(
                (slope - g[at]).abs() < 1e-4 * size,
                "{file} `{}`: {slope} by differences, {} by the graph",
                p.name(),
                g[at]
            );
        }
    }
}
