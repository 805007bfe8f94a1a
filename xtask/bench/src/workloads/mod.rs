//! What is measured: the constructors that the table of workloads names. Each has its twin in the folder `peer_torch`.

mod anomaly;
mod candle;
mod curvature;
mod exchange;
mod fidelity;
mod fusion;
mod gan;
mod images;
mod language;
mod mobile;
mod onnx;
mod parts;
mod pretext;

pub use candle::candle;

use anyhow::Result;
use candle_core::Device;
use exchange::Exchange;
use sconce_anomaly::{Ecod, Hbos, IsolationForest};
use sconce_tensor_core::ops::Output;
use std::path::Path;
use xtask::workloads::Make;

/// One workload, ready to run.
pub struct Work {
    /// Operations of one step in convolutions and matrix products: a multiplication and an addition are two.
    pub flops: f64,
    /// Runs one step and returns its loss.
    pub step: Box<dyn FnMut() -> Result<f64>>,
}

/// A workload on this workspace.
pub fn ours(make: Make, dir: &Path, device: &Device) -> Result<Work> {
    work(make, &mut Exchange::new(device, dir, false))
}

/// Writes a workload's first values and inputs to a folder, for both sides.
pub fn make(make: Make, dir: &Path, device: &Device) -> Result<()> {
    let mut out = Exchange::new(device, dir, true);
    work(make, &mut out)?;
    out.write()
}

fn work(make: Make, out: &mut Exchange) -> Result<Work> {
    match make {
        Make::SmallCnnTrain => images::small_cnn_train(out),
        Make::SmallCnnInputGradient => images::small_cnn_input_grad(out),
        Make::ResNet18Train { width } => images::resnet_train(out, width),
        Make::MobileNetTrain => mobile::train_step(out),
        Make::OnnxResNet50 => onnx::input_gradient(out),
        Make::PgdSmallCnn => images::pgd_small_cnn(out),
        Make::PgdResNet18 => images::pgd_resnet(out),
        Make::FourierSweep => images::sweep(out),
        Make::AutoAttack => images::auto_attack(out),
        Make::Autoencoder => parts::autoencoder(out),
        Make::LanguageModel => language::step(out),
        Make::Dcgan => gan::step(out),
        Make::GanStep => fusion::step(out),
        Make::Fid => fidelity::fid(out),
        Make::Prdc => fidelity::prdc(out),
        Make::Pretext { heads } => pretext::step(out, heads),
        Make::Nll { classes } => parts::nll(out, classes, Output::Softmax),
        Make::SigsoftmaxNll { classes } => parts::nll(out, classes, Output::Sigsoftmax),
        Make::DetectAbc => anomaly::detect_abc(out),
        Make::DetectEcod => anomaly::detect(out, Ecod),
        Make::DetectHbos => anomaly::detect(out, Hbos::default()),
        Make::DetectForest => anomaly::detect(out, IsolationForest::default()),
        Make::HessianTop5 => curvature::top5(out),
        Make::Conv(conv) => parts::conv(out, conv),
        Make::Matmul => parts::matmul(out),
    }
}
