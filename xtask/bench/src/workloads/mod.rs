//! What is measured. Each workload has its twin in `peer_torch.py` beside this file.

mod anomaly;
mod candle;
mod curvature;
mod exchange;
mod fidelity;
mod fusion;
mod gan;
mod images;
mod language;
mod parts;
mod pretext;

pub use candle::candle;

use anyhow::{Result, bail};
use candle_core::Device;
use exchange::Exchange;
use sconce_anomaly::{Ecod, Hbos, IsolationForest};
use sconce_tensor_core::ops::Output;
use std::path::Path;

/// One workload, ready to run.
pub struct Work {
    /// Operations of one step in convolutions and matrix products: a multiplication and an addition are two.
    pub flops: f64,
    /// Runs one step and returns its loss.
    pub step: Box<dyn FnMut() -> Result<f64>>,
}

/// A workload on this workspace; with a folder, its first values and inputs are written there for the peer.
pub fn ours(name: &str, dir: Option<&Path>, device: &Device) -> Result<Work> {
    let mut out = Exchange::new(device, dir.is_some());
    let work = match name {
        "small-cnn-train" => images::small_cnn_train(&mut out)?,
        "small-cnn-input-grad" => images::small_cnn_input_grad(&mut out)?,
        "resnet18-w16-train" => images::resnet_train(&mut out, 16)?,
        "resnet18-w64-train" => images::resnet_train(&mut out, 64)?,
        "pgd10-small-cnn" => images::pgd_small_cnn(&mut out)?,
        "pgd10-resnet18" => images::pgd_resnet(&mut out)?,
        "sfa-sweep-16" => images::sweep(&mut out)?,
        "autoattack-100" => images::auto_attack(&mut out)?,
        "autoencoder-step" => parts::autoencoder(&mut out)?,
        "lstm-lm-step" => language::step(&mut out)?,
        "dcgan-step" => gan::step(&mut out)?,
        "gan-step" => fusion::step(&mut out)?,
        "fid-10000x2048" => fidelity::fid(&mut out)?,
        "prdc-10000x2048" => fidelity::prdc(&mut out)?,
        "mp-ssl-1-head" => pretext::step(&mut out, 1)?,
        "mp-ssl-5-heads" => pretext::step(&mut out, 5)?,
        "nll-10000" => parts::nll(&mut out, 10_000, Output::Softmax)?,
        "nll-33000" => parts::nll(&mut out, 33_000, Output::Softmax)?,
        // The peer composes sigsoftmax, or runs its own cross-entropy on softmax.
        "sigsoftmax-nll-10000" | "sigsoftmax-ce-10000" => parts::nll(&mut out, 10_000, Output::Sigsoftmax)?,
        "sigsoftmax-nll-33000" | "sigsoftmax-ce-33000" => parts::nll(&mut out, 33_000, Output::Sigsoftmax)?,
        "detect-abc" => anomaly::detect_abc(&mut out)?,
        "detect-ecod" => anomaly::detect(&mut out, Ecod)?,
        "detect-hbos" => anomaly::detect(&mut out, Hbos::default())?,
        "detect-forest" => anomaly::detect(&mut out, IsolationForest::default())?,
        "hessian-top5-resnet18-w16" => curvature::top5(&mut out)?,
        "matmul-2048" => parts::matmul(&mut out)?,
        _ if name.starts_with("conv-") => parts::conv(&mut out, name)?,
        _ => bail!("no workload `{name}`; there are {:?}", xtask::workloads::ALL),
    };
    if let Some(dir) = dir {
        out.write(dir)?;
    }
    Ok(work)
}
