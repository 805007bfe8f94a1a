//! What turns images into features.

use crate::args::Extractor as Args;
use crate::attack::{Weights, sha256};
use crate::pretrain::load_trunk;
use anyhow::{Context, Result, bail};
use candle_core::{DType, Tensor};
use sconce_datasets::Images;
use sconce_gan::fidelity::{ClassifierLogits, Extractor, FeatureFunction, Features, ImageSpec, Resize};
use sconce_ssl::trunk::{ConvTrunk, Trunk};
use sconce_tensor_core::nets::load::Loaded;
use sconce_tensor_core::{Bounds, Device, Error, Mode, Network, ops};

/// The extractor of the arguments.
pub(crate) struct Chosen {
    kind: Kind,
    name: String,
    /// Channels that it takes.
    channels: usize,
    device: Device,
}

enum Kind {
    Pixels,
    Network(Box<dyn Network>),
    Trunk(Box<ConvTrunk>),
}

/// A file's name and the start of its digest.
fn named(path: &std::path::Path) -> Result<String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(format!("{name} (sha256 {})", &sha256(path)?[..16]))
}

/// The first network of the file that takes the images: as they are, or grey ones in colour.
fn network(args: &Weights<'_>, shape: (usize, usize, usize), device: &Device) -> Result<(Loaded, usize)> {
    let (c, h, w) = shape;
    let of = |c: usize| -> Result<Loaded> {
        let net = args.load((c, h, w), DType::F32, device)?;
        net.network.logits(&Tensor::zeros((1, c, h, w), DType::F32, device)?)?;
        Ok(net)
    };
    let first = match of(c) {
        Err(_) if c == 1 => of(3).map(|net| (net, 3)).or_else(|_| of(1).map(|net| (net, 1))),
        net => net.map(|net| (net, c)),
    };
    first.with_context(|| {
        let size = format!("{c} channels and {w} x {h} pixels");
        format!("--model: the network does not take these images of {size} (--resize SIDE gives them another size)")
    })
}

impl Chosen {
    /// The extractor of the arguments for images of some channels, height and width.
    ///
    /// # Errors
    /// A file that cannot be read, or a network that does not take the images.
    pub(crate) fn new(args: &Args, shape: (usize, usize, usize), device: &Device) -> Result<Self> {
        let device = device.clone();
        if let (Some(file), Some(arch)) = (&args.model, &args.arch) {
            let normalize = (args.mean.as_deref(), args.std.as_deref());
            let weights =
                Weights { arch, activation: None, heads: None, file, key: args.weights_key.as_deref(), normalize };
            let (Loaded { network, choice }, channels) = network(&weights, shape, &device)?;
            // Of several sets of weights in one file, which.
            let key = if choice.others.is_empty() { String::new() } else { format!(" `{}`", choice.key) };
            let name = format!("{arch} {}{key}, before the last layer", named(file)?);
            return Ok(Self { kind: Kind::Network(network), name, channels, device });
        }
        let Some(file) = &args.trunk else {
            return Ok(Self { kind: Kind::Pixels, name: "pixels".to_owned(), channels: shape.0, device });
        };
        let (trunk, of) = load_trunk(file, &device)?;
        if of.channels != shape.0 && shape.0 != 1 {
            bail!("--trunk: it was trained on images of {} channels, these have {}", of.channels, shape.0);
        }
        let name = format!("trunk {}, means over positions of the last block", named(file)?);
        Ok(Self { kind: Kind::Trunk(Box::new(trunk)), name, channels: of.channels, device })
    }

    /// Whether images are compared pixel by pixel.
    pub(crate) fn is_pixels(&self) -> bool {
        matches!(self.kind, Kind::Pixels)
    }

    /// Images (N, C, H, W) in [0, 1] with the channels that it takes.
    fn images(&self, images: &Images) -> Result<Tensor> {
        let x = images.to_labelled(&self.device)?.x().clone();
        let (n, c, h, w) = x.dims4()?;
        Ok(if c == self.channels { x } else { x.broadcast_as((n, self.channels, h, w))?.contiguous()? })
    }

    /// The features of a set.
    ///
    /// # Errors
    /// Those of the network.
    pub(crate) fn features(&self, images: &Images, resize: &Resize, split: &str, batch: usize) -> Result<Features> {
        let x = self.images(images)?;
        let (_, channels, height, width) = x.dims4()?;
        let spec = ImageSpec { channels, height, width, range: Bounds::UNIT };
        let extractor = FeatureFunction::new(&self.name, spec, |x: &Tensor| match &self.kind {
            Kind::Pixels => Ok(x.flatten_from(1)?),
            Kind::Network(net) => net.features(x),
            Kind::Trunk(trunk) => match trunk.blocks(x, Mode::Frozen)?.last() {
                Some(block) => ops::global_avg_pool2d(block),
                None => Err(Error::config("trunk", "must have blocks, got none")),
            },
        });
        Ok(Features::extract(&extractor, &x, resize.clone(), split, batch)?)
    }

    /// The logits of a set, where the extractor has classes.
    ///
    /// # Errors
    /// Those of the network.
    pub(crate) fn logits(
        &self,
        images: &Images,
        resize: &Resize,
        split: &str,
        batch: usize,
    ) -> Result<Option<Features>> {
        let Kind::Network(net) = &self.kind else { return Ok(None) };
        let x = self.images(images)?;
        let (_, c, h, w) = x.dims4()?;
        let extractor = ClassifierLogits::new(self.name.replace("before the last layer", "logits"), net, (c, h, w));
        debug_assert_eq!(extractor.images().channels, self.channels);
        Ok(Some(Features::extract(&extractor, &x, resize.clone(), split, batch)?))
    }
}
