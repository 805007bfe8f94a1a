//! Training a classifier beside further examples, and choosing an outer set.

use sconce_gan::domain_fusion::{ExtraBatch, ExtraBatchConfig, OuterScoreConfig, score_outer};
use sconce_gan::fidelity::{FeatureFunction, ImageSpec, MsSsim, MsSsimConfig};
use sconce_gan::{Error, Result};
use sconce_tensor_core::candle_core::{DType, Device, Tensor};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::nets::{SmallCnn, SmallCnnConfig};
use sconce_tensor_core::nn::{Mode, Network};
use sconce_tensor_core::ops::cross_entropy;
use sconce_tensor_core::optim::{Sgd, SgdConfig};
use sconce_tensor_core::train::augment::{HorizontalFlip, HorizontalFlipConfig};
use sconce_tensor_core::train::{CrossEntropy, Objective, TrainConfig, Trainer};
use sconce_tensor_core::{Bounds, ExampleRng, Module, Rng};

fn images(seed: u64, n: usize, range: std::ops::Range<f64>) -> Result<Labelled> {
    let x = Rng::new(seed).uniform((n, 1, 8, 8), range, DType::F32, &Device::Cpu)?;
    Labelled::new(x, &(0..n as u32).map(|i| i % 3).collect::<Vec<_>>(), 3)
}

fn net() -> Result<SmallCnn> {
    let cfg = SmallCnnConfig { input: (1, 8, 8), classes: 3, channels: (2, 3), hidden: 5, ..SmallCnnConfig::default() };
    SmallCnn::new(cfg, Rng::new(3), DType::F32, &Device::Cpu)
}

fn weights(objective: &dyn Objective) -> Result<Vec<Vec<f32>>> {
    let (net, data) = (net()?, images(0, 12, 0.0..1.0)?);
    let cfg = TrainConfig { epochs: 3, batch_size: 5, ..TrainConfig::default() };
    Trainer::new(cfg, objective)?.fit(&net, &data, &mut Sgd::new(SgdConfig::default())?, &Rng::new(4))?;
    net.params().iter().map(|p| Ok(p.var().flatten_all()?.to_vec1()?)).collect()
}

#[test]
fn a_weight_of_zero_is_cross_entropy_and_no_other_is() -> Result<()> {
    let extra = images(1, 7, 0.0..1.0)?;
    let of = |weight| {
        let cfg = ExtraBatchConfig { weight, batch: 4 };
        weights(&ExtraBatch::new(cfg, &extra, Rng::new(5))?)
    };
    let plain = weights(&CrossEntropy)?;
    assert_eq!(of(0.0)?, plain);
    assert_ne!(of(0.1)?, plain);
    assert_eq!(of(0.1)?, of(0.1)?);
    Ok(())
}

#[test]
fn the_loss_is_that_of_the_batch_plus_the_weighted_one() -> Result<()> {
    let (net, data) = (net()?, images(0, 6, 0.0..1.0)?);
    // One further batch is the whole set, so its order does not matter to the mean.
    let extra = images(1, 9, 0.0..1.0)?;
    let objective = ExtraBatch::new(ExtraBatchConfig { weight: 0.3, batch: 9 }, &extra, Rng::new(5))?;
    let batch = data.batch(&[4, 1, 2])?;
    let rng = ExampleRng::new(Rng::new(6), batch.indices.clone());
    let mean = |x: &Tensor, y: &Tensor| -> Result<f64> {
        let each = cross_entropy(&net.forward(x, Mode::Frozen)?, y)?;
        Ok(f64::from(each.mean_all()?.to_scalar::<f32>()?))
    };
    let want = mean(&batch.x, &batch.y)? + 0.3 * mean(extra.x(), extra.y())?;
    let out = objective.loss(&net, &batch, &rng)?;
    assert!((f64::from(out.loss.to_scalar::<f32>()?) - want).abs() < 1e-6);
    assert_eq!(out.logits.dims(), [3, 3], "those of the real batch");
    Ok(())
}

#[test]
fn the_further_batch_is_a_function_of_the_step() -> Result<()> {
    let (net, data, extra) = (net()?, images(0, 6, 0.0..1.0)?, images(1, 10, 0.0..1.0)?);
    let flip = HorizontalFlip::new(HorizontalFlipConfig::default())?;
    let loss = |step: usize, rows: &[usize]| -> Result<f32> {
        let cfg = ExtraBatchConfig { weight: 1.0, batch: 4 };
        let objective = ExtraBatch::new(cfg, &extra, Rng::new(5))?.augmented_by(&flip);
        let mut batch = data.batch(rows)?;
        batch.step = step;
        let rng = ExampleRng::new(Rng::new(6), batch.indices.clone());
        let alone = CrossEntropy.loss(&net, &batch, &rng)?.loss.to_scalar::<f32>()?;
        Ok(objective.loss(&net, &batch, &rng)?.loss.to_scalar::<f32>()? - alone)
    };
    assert!((loss(7, &[0, 1])? - loss(7, &[3, 4, 5])?).abs() < 1e-5, "whatever the real batch");
    assert!((loss(7, &[0, 1])? - loss(8, &[0, 1])?).abs() > 1e-4);
    Ok(())
}

#[test]
fn bad_values_are_refused() -> Result<()> {
    let extra = images(1, 7, 0.0..1.0)?;
    for cfg in [
        ExtraBatchConfig { weight: -0.1, ..ExtraBatchConfig::default() },
        ExtraBatchConfig { weight: f64::NAN, ..ExtraBatchConfig::default() },
        ExtraBatchConfig { batch: 0, ..ExtraBatchConfig::default() },
    ] {
        assert!(matches!(ExtraBatch::new(cfg, &extra, Rng::new(5)), Err(Error::Config { .. })), "{cfg:?}");
    }
    let x = Tensor::zeros((3, 1, 9, 9), DType::F32, &Device::Cpu)?;
    let other = Labelled::new(x, &[0, 1, 2], 3)?;
    let e = weights(&ExtraBatch::new(ExtraBatchConfig::default(), &other, Rng::new(5))?).unwrap_err().to_string();
    assert!(e.contains("further examples") && e.contains("[1, 8, 8]") && e.contains("[1, 9, 9]"), "{e}");
    Ok(())
}

#[test]
fn related_and_varied_outer_sets_score_lower() -> Result<()> {
    let spec = ImageSpec { channels: 1, height: 8, width: 8, range: Bounds::UNIT };
    // Mean and spread of the pixels.
    let function = |x: &Tensor| {
        let flat = x.flatten_from(1)?;
        let mean = flat.mean_keepdim(1)?;
        Ok(Tensor::cat(&[&mean, &flat.broadcast_sub(&mean)?.sqr()?.mean_keepdim(1)?], 1)?)
    };
    let extractor = FeatureFunction::new("moments", spec, function);
    let similarity = MsSsim::new(&MsSsimConfig::scales(1, 7)?)?;
    let target = images(0, 60, 0.2..0.8)?;
    let of = |outer: &Labelled| {
        score_outer(
            &target,
            outer,
            &extractor,
            &similarity,
            OuterScoreConfig { pairs: 50, ..OuterScoreConfig::default() },
            &Rng::new(1),
        )
    };
    let (near, far) = (of(&images(1, 90, 0.2..0.8)?)?, of(&images(2, 90, 0.6..1.0)?)?);
    assert!(near.distance < 0.1 * far.distance, "{near:?} {far:?}");
    assert!((near.product - near.distance * near.similarity).abs() < 1e-15);
    // Copies of three images: all pairs of a class are equal.
    let one = images(3, 3, 0.2..0.8)?;
    let rows: Vec<usize> = (0..90).map(|i| i % 3).collect();
    let copies = one.batch(&rows)?;
    let copies = of(&Labelled::new(copies.x, &copies.y.to_vec1::<u32>()?, 3)?)?;
    assert!((copies.similarity - 1.0).abs() < 1e-6 && near.similarity < 0.5, "{copies:?}");
    assert!(of(&images(4, 2, 0.0..1.0)?).is_err(), "too few images for the extractor's features");
    Ok(())
}
