//! The generator and the discriminator.

use super::input::Input;
use crate::args::{Arm, Augment, GanNet};
use anyhow::{Result, bail};
use candle_core::{DType, Tensor};
use sconce_datasets::Images;
use sconce_gan::domain_fusion::{SampleConfig, sample_batches};
use sconce_gan::nets::{
    DcganDiscriminator, DcganGenerator, Discriminator, DiscriminatorConfig, Generator, GeneratorConfig,
    ResNetDiscriminator, ResNetGenerator,
};
use sconce_tensor_core::{Device, Rng, store};
use serde_json::json;
use std::path::Path;

/// Images of a batch of samples.
const BATCH: usize = 250;

/// Both networks.
pub(super) struct Networks {
    pub(super) generator: Box<dyn Generator>,
    pub(super) discriminator: Box<dyn Discriminator>,
    /// What they are, for the checkpoint and for the saved generator.
    pub(super) shape: serde_json::Value,
}

impl Networks {
    /// Networks for the images, with initial values.
    ///
    /// # Errors
    /// Sizes that do not fit; more frozen blocks than there are.
    pub(super) fn new(args: &Augment, input: &Input, rng: &Rng, device: &Device) -> Result<Self> {
        let (channels, side, _) = input.target.images.shape;
        let classes = input.target.classes.len() + outer_classes(args, input);
        let width = usize::try_from(args.width)?;
        let of_g = GeneratorConfig { channels, side, classes, width, ..GeneratorConfig::default() };
        let of_d = DiscriminatorConfig { channels, side, classes, width, ..DiscriminatorConfig::default() };
        let noise = of_g.noise;
        let (a, b) = (rng.stream("generator"), rng.stream("discriminator"));
        let (net, generator, discriminator): (_, Box<dyn Generator>, Box<dyn Discriminator>) = match args.net {
            GanNet::Dcgan => (
                "dcgan",
                Box::new(DcganGenerator::new(of_g, a, DType::F32, device)?),
                Box::new(DcganDiscriminator::new(of_d, b, DType::F32, device)?),
            ),
            GanNet::Resnet => (
                "resnet",
                Box::new(ResNetGenerator::new(of_g, a, DType::F32, device)?),
                Box::new(ResNetDiscriminator::new(of_d, b, DType::F32, device)?),
            ),
        };
        let blocks = discriminator.blocks();
        if args.arm == Arm::FreezeD && usize::try_from(args.frozen_blocks)? > blocks {
            bail!("--frozen-blocks {}: the discriminator has {blocks} blocks", args.frozen_blocks);
        }
        let shape = json!({
            "format": "sconce generator 1", "net": net, "channels": channels, "side": side, "width": width, "noise": noise,
            "classes": classes, "target_classes": input.target.classes,
        });
        Ok(Self { generator, discriminator, shape })
    }

    /// Images of the target's classes, class after class in turn.
    ///
    /// # Errors
    /// Those of the generator.
    pub(super) fn sample(&self, input: &Input, per_class: usize, rng: &Rng) -> Result<Images> {
        let classes = input.target.classes.len();
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        let cfg = SampleConfig { classes, per_class, batch: BATCH };
        sample_batches(&*self.generator, cfg, rng, |x, y| {
            let bytes = x.affine(255.0, 0.0)?.round()?.clamp(0.0, 255.0)?.to_dtype(DType::U8)?;
            pixels.extend(bytes.flatten_all()?.to_vec1::<u8>()?);
            labels.extend(y.iter().map(|y| *y as u8));
            Ok(())
        })?;
        Ok(Images::new(pixels, input.target.images.shape, labels, classes)?)
    }

    /// Saves the generator, as it samples.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn save(&self, path: &Path) -> Result<()> {
        let all = self.generator.params();
        let tensors: Vec<(&str, Tensor)> = all.iter().map(|p| (p.name(), p.var().as_detached_tensor())).collect();
        Ok(store::save(path, tensors, &self.shape.to_string())?)
    }
}

/// The classes of the outer set that the arm learns.
fn outer_classes(args: &Augment, input: &Input) -> usize {
    let alone = args.arm == Arm::Joint && args.target_weight == 1.0;
    if alone { 0 } else { input.outer.as_ref().map_or(0, |o| o.classes.len()) }
}
