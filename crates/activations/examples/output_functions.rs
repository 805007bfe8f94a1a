//! Compares the ranks of log-probabilities: softmax is limited by the dimension of the hidden vectors (the softmax bottleneck),
//! sigsoftmax is not.
//!
//! `cargo run --release -p sconce-activations --example output_functions`
#![allow(clippy::print_stdout)] // an example prints

use anyhow::{Result, ensure};
use candle_core::{DType, Device};
use sconce_activations::{Output, OutputFunction, Spectrum, output_of};
use sconce_tensor_core::Rng;

/// Hidden units.
const D: usize = 8;
/// Classes.
const K: usize = 60;

fn main() -> Result<()> {
    // Logits W h of 400 contexts, in f64: in f32 rounding alone gives full rank.
    let normal = |name, shape| Rng::new(0).stream(name).normal(shape, 0.0, 1.0, DType::F64, &Device::Cpu);
    let logits = normal("h", (400, D))?.matmul(&normal("w", (D, K))?)?;
    println!("logits: rank {}", Spectrum::of(&logits)?.rank());
    for name in ["softmax", "sigsoftmax", "sigmoid"] {
        let output = output_of(name)?;
        let log_prob = output.log_prob(&logits)?;
        let sum = log_prob.exp()?.sum(1)?.mean_all()?.to_scalar::<f64>()?;
        ensure!((sum - 1.0).abs() < 1e-12, "the probabilities of {name} sum to {sum}");
        let spectrum = Spectrum::of(&log_prob)?;
        println!(
            "{name}: rank {} of {K} (singular values {:.1e} to {:.1e}, tolerance {:.0e})",
            spectrum.rank(),
            spectrum.values()[0],
            spectrum.values()[K - 1],
            spectrum.tolerance()
        );
        let expected = if output == Output::Softmax { D + 1 } else { K };
        ensure!(spectrum.rank() == expected, "the rank of {name} is {}, expected {expected}", spectrum.rank());
    }
    Ok(())
}
