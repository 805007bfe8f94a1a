//! The regularizers on one network and one batch: the value of each penalty, and the effect of each proximal step or
//! projection on the sums and norms of the kernels.
//!
//! `cargo run -p sconce-regularizers --example penalties`
#![allow(clippy::print_stdout)] // an example reports on its output

use candle_core::{DType, Device, Tensor};
use sconce_regularizers::{
    Absum, AbsumConfig, CleanLogitPairing, Enforcement, Error, L1, L1Config, LabelSmoothing, LabelSmoothingConfig,
    LogitPairingConfig, LogitSqueezing, LogitSqueezingConfig, PenaltyContext, Regularizer, Result, SpectralBound,
    SpectralBoundConfig, WeightDecay, WeightDecayConfig, ZeroMean, spectral::singular_values,
};
use sconce_tensor_core::nets::{SmallCnn, SmallCnnConfig};
use sconce_tensor_core::{Mode, Module, Network, Rng};

fn network() -> Result<SmallCnn> {
    SmallCnn::new(SmallCnnConfig::default(), Rng::new(0), DType::F32, &Device::Cpu)
}

/// The largest absolute sum of a kernel, and the largest singular value, in the first convolution.
fn measure(net: &SmallCnn) -> Result<(f32, f64)> {
    let kernel = net.params().get("conv1.weight").ok_or_else(|| Error::value("network", "no `conv1.weight`"))?;
    let kernel = kernel.var().as_detached_tensor();
    let sum = kernel.sum((2, 3))?.abs()?.max_all()?.to_scalar::<f32>()?;
    Ok((sum, singular_values(&kernel, 14)?.into_iter().fold(0.0, f64::max)))
}

fn main() -> Result<()> {
    let net = network()?;
    let x = Rng::new(1).uniform((8, 1, 28, 28), 0.0..1.0, DType::F32, &Device::Cpu)?;
    let y = Tensor::new(&[0u32, 1, 2, 3, 4, 5, 6, 7], &Device::Cpu)?;
    let logits = net.forward(&x, Mode::Train)?;
    let step = PenaltyContext::new(net.params()).with_batch(&logits, &y);

    println!("penalties, which training adds to the loss");
    let enforcement = Enforcement::Penalty;
    let absum = Absum::new(AbsumConfig { lambda: 0.01, enforcement, ..AbsumConfig::default() })?;
    let l1 = L1::new(L1Config { lambda: 0.01, enforcement })?;
    let decay = WeightDecay::new(WeightDecayConfig { lambda: 0.01, enforcement })?;
    let smoothing = LabelSmoothing::new(LabelSmoothingConfig::default())?;
    let squeezing = LogitSqueezing::new(LogitSqueezingConfig::default())?;
    let pairing = CleanLogitPairing::new(LogitPairingConfig::default())?;
    let penalties: [(&str, &dyn Regularizer); 6] = [
        ("Absum", &absum),
        ("L1", &l1),
        ("weight decay", &decay),
        ("label smoothing", &smoothing),
        ("logit squeezing", &squeezing),
        ("clean logit pairing", &pairing),
    ];
    for (name, regularizer) in penalties {
        if let Some(value) = regularizer.penalty(&step)? {
            println!("{name:<20} {:.6}", value.to_scalar::<f32>()?);
        }
    }

    println!("\nsteps after an update of the weights, at learning rate 0.1: first convolution");
    let (before, norm) = measure(&net)?;
    println!("{:<20} largest |sum of a kernel| {before:.4}, largest singular value {norm:.4}", "no step");
    let absum = Absum::new(AbsumConfig { lambda: 0.05, ..AbsumConfig::default() })?;
    let l1 = L1::new(L1Config { lambda: 0.05, ..L1Config::default() })?;
    let spectral = SpectralBound::new(SpectralBoundConfig { bound: 0.5, ..SpectralBoundConfig::default() })?;
    let steps: [(&str, &dyn Regularizer); 4] =
        [("Absum", &absum), ("L1", &l1), ("zero mean", &ZeroMean), ("spectral bound 0.5", &spectral)];
    for (name, regularizer) in steps {
        let net = network()?; // the same weights for each regularizer
        regularizer.after_update(net.params(), 0.1)?;
        let (after, norm) = measure(&net)?;
        println!("{name:<20} largest |sum of a kernel| {after:.4}, largest singular value {norm:.4}");
    }
    let net = network()?;
    absum.after_update(net.params(), 0.1)?;
    assert!(measure(&net)?.0 < before, "Absum moves every sum towards 0");
    Ok(())
}
