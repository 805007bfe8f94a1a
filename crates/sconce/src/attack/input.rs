//! What is evaluated: a network, and images with labels.

use super::arrays::{self, ImagesAndLabels, Names};
use crate::args::{Attack, Data};
use crate::places;
use anyhow::Context;
use candle_core::{DType, Tensor};
use sconce_datasets::{Images, Split, catalog};
use sconce_tensor_core::nets::load::{self, Arch, LoadConfig, Loaded};
use sconce_tensor_core::nn::{Activation, Normalize};
use sconce_tensor_core::{Device, DeviceSpec, Error};
use sha2::{Digest, Sha256};
use std::path::Path;

/// Images with their labels.
pub(crate) struct Examples {
    /// (N, C, H, W) in [0, 1], f32, on the CPU.
    pub(crate) x: Tensor,
    /// (N,) of u32.
    pub(crate) y: Tensor,
    /// The names of the classes, where the catalog has them.
    names: Option<Vec<String>>,
    /// What was done with the arrays of a file.
    pub(crate) notes: Vec<String>,
}

impl Examples {
    /// The file or the data set of the arguments; its first `most` examples.
    ///
    /// # Errors
    /// No such file or data set, a damaged file, images and labels that do not go together.
    pub(crate) fn read(data: &Data, most: Option<usize>) -> anyhow::Result<Self> {
        let all = if Path::new(&data.name).exists() {
            let names = Names { x: data.x_name.as_deref(), y: data.y_name.as_deref() };
            let ImagesAndLabels { x, y, notes } = arrays::read(data.name.as_ref(), names, true)?;
            Self { x, y: y.context("the labels are missing")?, names: None, notes }
        } else {
            let images = places::images(&data.name, Split::Test, &data.places)?.to_labelled(&Device::Cpu)?;
            let set = data.name.strip_suffix(":embedded").unwrap_or(&data.name);
            let names = catalog::get(set).ok().map(|d| d.classes);
            Self { x: images.x().clone(), y: images.y().clone(), names, notes: Vec::new() }
        };
        let take = most.unwrap_or(usize::MAX).min(all.len()?);
        Ok(Self { x: all.x.narrow(0, 0, take)?, y: all.y.narrow(0, 0, take)?, ..all })
    }

    pub(crate) fn len(&self) -> anyhow::Result<usize> {
        Ok(self.x.dim(0)?)
    }

    /// The name of a class, or its number.
    pub(crate) fn class(&self, k: usize) -> String {
        self.names.as_ref().and_then(|n| n.get(k)).cloned().unwrap_or_else(|| format!("class {k}"))
    }
}

/// The images of a file as bytes; without labels all of them are of one class.
///
/// # Errors
/// As for an attack's data; more than 256 classes.
pub(crate) fn read_images(path: &Path) -> anyhow::Result<Images> {
    let read = arrays::read(path, Names::default(), false)?;
    let (n, c, h, w) = read.x.dims4()?;
    let values = read.x.flatten_all()?.to_vec1::<f32>()?;
    let labels = read.y.map_or_else(|| Ok(vec![0; n]), |y| y.to_vec1::<u32>())?;
    let classes = labels.iter().max().map_or(1, |m| *m as usize + 1);
    if classes > 256 {
        anyhow::bail!("{}: {classes} classes; at most 256 can be read", path.display());
    }
    let pixels = values.into_iter().map(|v| (v * 255.0).round() as u8).collect();
    Ok(Images::new(pixels, (c, h, w), labels.into_iter().map(|l| l as u8).collect(), classes)?)
}

/// Opens the device of the arguments.
///
/// # Errors
/// A device that this build lacks, with the way to get it.
pub(crate) fn device(name: &str) -> anyhow::Result<Device> {
    name.parse::<DeviceSpec>()?.open().map_err(|e| match e {
        Error::Unsupported { .. } => {
            let feature = name.split(':').next().unwrap_or(name);
            anyhow::anyhow!(
                "--device {name}: this build cannot use it; `cargo install --path crates/sconce --features {feature}` makes one that can, and --device cpu works here"
            )
        }
        e => e.into(),
    })
}

/// Loads the network of the arguments for images like those of `x`.
///
/// # Errors
/// A file that cannot be read, weights that do not fit the architecture.
pub(crate) fn network(args: &Attack, x: &Tensor, dtype: DType, device: &Device) -> anyhow::Result<Loaded> {
    let (_, c, h, w) = x.dims4()?;
    let normalize = (args.mean.as_deref(), args.std.as_deref());
    let weights = Weights {
        arch: &args.arch,
        activation: args.activation.as_deref(),
        heads: args.heads,
        file: &args.model,
        key: args.weights_key.as_deref(),
        normalize,
    };
    weights.load((c, h, w), dtype, device)
}

/// A file of weights, with what is not in it.
pub(crate) struct Weights<'a> {
    pub(crate) arch: &'a str,
    /// The activation, if it is not the architecture's own.
    pub(crate) activation: Option<&'a str>,
    /// The attention heads of a vit.
    pub(crate) heads: Option<usize>,
    pub(crate) file: &'a Path,
    /// Which set of weights, where the file has several.
    pub(crate) key: Option<&'a str>,
    /// Means and standard deviations of channels.
    pub(crate) normalize: (Option<&'a [f64]>, Option<&'a [f64]>),
}

impl Weights<'_> {
    /// The network for images of some channels, height and width.
    ///
    /// # Errors
    /// As [`network`].
    pub(crate) fn load(&self, input: (usize, usize, usize), dtype: DType, device: &Device) -> anyhow::Result<Loaded> {
        let normalize = match self.normalize {
            (Some(m), Some(s)) => Some(Normalize::new(m.to_vec(), s.to_vec())?),
            _ => None,
        };
        let arch = self.arch.parse::<Arch>().with_context(|| format!("--arch {}", self.arch))?;
        let activation = self
            .activation
            .map(|a| a.parse::<Activation>().with_context(|| format!("--activation {a}")))
            .transpose()?;
        let cfg = LoadConfig { input, normalize, key: self.key, activation, heads: self.heads, dtype, device };
        Ok(load::read(arch, self.file, &cfg)?)
    }
}

/// The SHA-256 of a file, as `sha256sum` prints it.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn sha256(path: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    Ok(Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_sha256sum() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "abc").unwrap();
        assert!(sha256(&path).unwrap().starts_with("ba7816bf8f01cfea"));
    }
}
