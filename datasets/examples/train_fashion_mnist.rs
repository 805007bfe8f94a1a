//! Trains a small network on the embedded part of Fashion-MNIST: Adam, augmentation, validation after each epoch, early stopping with
//! the best epoch's weights.
//!
//! `cargo run --release -p sconce-datasets --example train_fashion_mnist [net.safetensors]` saves the weights where a file is named.

use candle_core::{DType, Device};
use sconce_datasets::{Split, embedded};
use sconce_tensor_core::nets::{SmallCnn, SmallCnnConfig};
use sconce_tensor_core::optim::{Adam, Schedule};
use sconce_tensor_core::train::augment::{PaddedCrop, PaddedCropConfig};
use sconce_tensor_core::train::{CrossEntropy, EpochReport, KeepBest, Observer, TrainConfig, Trainer, accuracy};
use sconce_tensor_core::{Module, Result, Rng};

/// Prints a line after each epoch.
struct Lines;

impl Observer for Lines {
    #[allow(clippy::print_stdout)]
    fn epoch(&mut self, report: &EpochReport) -> Result<()> {
        let EpochReport { epoch, loss, .. } = report;
        let of = |name: &str| report.metric(name).unwrap_or(f64::NAN);
        println!("epoch {epoch}: loss {loss:.3}, validation accuracy {:.3}, loss {:.3}", of("accuracy"), of("loss"));
        Ok(())
    }
}

#[allow(clippy::print_stdout)]
fn main() -> Result<()> {
    let all = embedded::fashion_mnist(Split::Train)?.to_labelled(&Device::Cpu)?;
    let test = embedded::fashion_mnist(Split::Test)?.to_labelled(&Device::Cpu)?;
    let (train, validation) = (all.slice(0, 1500)?, all.slice(1500, 300)?);
    let net = SmallCnn::new(SmallCnnConfig::default(), Rng::new(0), DType::F32, &Device::Cpu)?;
    let crop = PaddedCrop::new(PaddedCropConfig { padding: 2, ..Default::default() })?;
    let config = TrainConfig { epochs: 8, batch_size: 64, schedule: Schedule::cosine(), ..Default::default() };
    let report = Trainer::new(config, &CrossEntropy)?
        .augmented_by(&crop)
        .validated_on(&validation)
        .keeping(KeepBest::highest("accuracy").stop_after(3)?)
        .observed_by(&mut Lines)
        .fit(&net, &train, &mut Adam::with_lr(2e-3)?, &Rng::new(0))?;
    let found = accuracy(&net, &test, 250)?;
    println!("kept epoch {:?}; test accuracy {found:.3}", report.best_epoch);
    assert!(found > 0.6, "{found}");
    if let Some(path) = std::env::args_os().nth(1) {
        net.params().save(path.as_ref())?;
    }
    Ok(())
}
