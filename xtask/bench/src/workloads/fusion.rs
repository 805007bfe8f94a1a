//! A step of the trainer with the images and the width of `domain-fusion` quick, in batches twice as large: an update of the discriminator, then one of the generator.

use super::{Exchange, Work};
use anyhow::Result;
use candle_core::DType;
use sconce_gan::loss::{DiffAugment, DiffAugmentConfig};
use sconce_gan::nets::{DcganDiscriminator, DcganGenerator, DiscriminatorConfig, GeneratorConfig};
use sconce_gan::trainer::{Domain, Domains, Gan, GanConfig};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::optim::{Adam, AdamConfig, Schedule};
use sconce_tensor_core::train::{StepContext, Task};
use sconce_tensor_core::{Module, Rng};

const SIDE: usize = 14;
const WIDTH: usize = 12;
/// Of each of the two domains.
const CLASSES: usize = 5;
const BATCH: usize = 64;

/// Images in [-1, 1] with labels from 0.
fn domain(out: &mut Exchange, name: &str, n: usize) -> Result<&'static Labelled> {
    let x = out.normal(&format!("{name}.x"), &[n, 1, SIDE, SIDE], 0.5)?.tanh()?;
    let labels = out.labels(&format!("{name}.y"), n, CLASSES as u64)?.to_vec1()?;
    // The trainer borrows it until this process ends.
    Ok(Box::leak(Box::new(Labelled::new(x, &labels, CLASSES)?)))
}

pub fn step(out: &mut Exchange) -> Result<Work> {
    let g = GeneratorConfig { side: SIDE, classes: 2 * CLASSES, width: WIDTH, ..GeneratorConfig::default() };
    let d = DiscriminatorConfig { side: SIDE, classes: 2 * CLASSES, width: WIDTH, ..DiscriminatorConfig::default() };
    let noise = g.noise;
    let g = &*Box::leak(Box::new(DcganGenerator::new(g, Rng::new(0), DType::F32, &out.device)?));
    let d = &*Box::leak(Box::new(DcganDiscriminator::new(d, Rng::new(1), DType::F32, &out.device)?));
    out.put_params("g.", g.params())?;
    out.put_params("d.", d.params())?;
    let (target, outer) = (domain(out, "target", 100)?, domain(out, "outer", 3750)?);
    let domains = Domains::new(vec![
        Domain { data: target, first_class: 0, batch: BATCH, weight: 0.5 },
        Domain { data: outer, first_class: CLASSES, batch: BATCH, weight: 0.5 },
    ])?;
    let augment = DiffAugmentConfig {
        saturation: 0.0,
        contrast: 0.0,
        cutout: 0.0,
        padding: -1.0,
        ..DiffAugmentConfig::default()
    };
    let cfg = GanConfig {
        schedule: Schedule::Constant,
        average: Some(0.995),
        augment: Some(DiffAugment::new(augment)?),
        ..GanConfig::default()
    };
    let adam = |lr| Adam::new(AdamConfig { lr, beta1: 0.0, beta2: 0.9, ..AdamConfig::default() });
    let rng = Rng::new(2);
    let mut gan = Gan::new(g, d, domains, [adam(2e-4)?, adam(4e-4)?], cfg, &rng)?;
    let mut count = 0;
    let step = move || {
        let at = StepContext { epoch: 0, index: count, step: count, total: usize::MAX, examples: &[], rng };
        count += 1;
        Ok(gan.step(&at)?)
    };
    // Multiplications of an image: linear map and layers by their smaller maps; first and last layer.
    let w = WIDTH;
    let halvings = 16 * (2 * w * w * 49 + 8 * w * w * 9);
    let of_g = noise * 4 * w * 9 + halvings + 9 * w * SIDE * SIDE;
    let of_d = 9 * w * SIDE * SIDE + halvings;
    // Generator: forward and two gradients. Discriminator: forward and gradients to the weights and between the layers on real and
    // generated images, then forward and the gradient to the input.
    let flops = 2 * 2 * BATCH * (3 * of_g + 2 * 3 * of_d + 2 * of_d);
    Ok(Work { flops: flops as f64, step: Box::new(step) })
}
