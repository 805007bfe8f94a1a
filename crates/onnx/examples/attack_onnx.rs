//! Reads an ONNX file and follows the gradient at its input: one step of the fast gradient sign method by hand.
//!
//! ```sh
//! cargo run --release --example attack_onnx
//! ```

use anyhow::{Context, Result};
use sconce_onnx::{OnnxConfig, OnnxNet};
use sconce_tensor_core::candle_core::{DType, Device, Tensor, Var};
use sconce_tensor_core::{Classifier, Network, Rng, ops};
use std::path::Path;

#[allow(clippy::print_stdout)] // a program
fn main() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/mobile.script.onnx");
    let net = OnnxNet::open(&path, &OnnxConfig { example: vec![3, 12, 12], ..OnnxConfig::default() })?;
    let x = Rng::new(0).uniform((4, 3, 12, 12), 0.0..1.0, DType::F32, &Device::Cpu)?;
    let labels = net.logits(&x)?.argmax(1)?;
    let loss = |x: &Tensor| -> Result<Tensor> {
        Ok(ops::cross_entropy(&net.forward(x, sconce_tensor_core::Mode::Frozen)?, &labels)?.mean_all()?)
    };
    let var = Var::from_tensor(&x)?;
    let before = loss(var.as_tensor())?;
    let gradient = ops::backward(&before)?.get(&var).context("no gradient reaches the input")?.clone();
    let moved = (&x + (gradient.sign()? * (8.0 / 255.0))?)?.clamp(0.0, 1.0)?;
    let (before, after) = (before.to_scalar::<f32>()?, loss(&moved)?.to_scalar::<f32>()?);
    println!("cross-entropy {before:.4}, after one step of 8/255 {after:.4}");
    anyhow::ensure!(after > before, "the step did not raise the loss");
    Ok(())
}
