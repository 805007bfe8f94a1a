//! What is evaluated: a network, and images with labels.

use super::arrays::{self, ImagesAndLabels, Names};
use crate::args::Data;
use crate::imagefolder::{self, Asked, Found, Frame};
use crate::places;
use anyhow::{Context, bail};
use candle_core::{DType, Tensor};
use sconce_datasets::{Images, Split, catalog};
use sconce_tensor_core::nets::load::{self, Arch, LoadConfig, Loaded};
use sconce_tensor_core::nn::{Activation, Normalize};
use sconce_tensor_core::{Device, DeviceSpec, Error};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Images with their labels.
pub(crate) struct Examples {
    /// (N, C, H, W) in [0, 1], f32, on the CPU.
    pub(crate) x: Tensor,
    /// (N,) of u32.
    pub(crate) y: Tensor,
    /// The names of the classes, where the catalog or the folders have them.
    names: Option<Vec<String>>,
    /// The file of each image, where they are in a folder.
    pub(crate) files: Vec<PathBuf>,
    /// An image in colour, where they are in a folder.
    coloured: Option<PathBuf>,
    /// What was done with the images.
    pub(crate) notes: Vec<String>,
}

impl Examples {
    /// The folder, the file or the data set of the arguments; its first `most` examples.
    ///
    /// # Errors
    /// No such file or data set, a damaged file, images and labels that do not go together, images of several sizes.
    pub(crate) fn read(data: &Data, most: Option<usize>) -> anyhow::Result<Self> {
        let (path, frame) = (Path::new(data.name()), Frame { resize: data.resize, crop: data.crop });
        if path.is_dir() {
            if data.x_name.is_some() || data.y_name.is_some() {
                bail!("--x-name and --y-name name arrays of a file, but {} is a folder of images", path.display());
            }
            let found = imagefolder::read(Asked { folder: path, classes: data.classes.as_deref(), most, frame })?;
            let Found { x, y, names, files, coloured, notes } = found;
            return Ok(Self { x, y, names: Some(names), files, coloured, notes });
        }
        if data.classes.is_some() {
            bail!(
                "--classes numbers the folders of a folder of images, but --data {} is not a folder of images",
                data.name()
            );
        }
        let (files, coloured) = (Vec::new(), None);
        let mut all = if path.exists() {
            let names = Names { x: data.x_name.as_deref(), y: data.y_name.as_deref() };
            let ImagesAndLabels { x, y, notes } = arrays::read(path, names, true)?;
            Self { x, y: y.context("the labels are missing")?, names: None, files, coloured, notes }
        } else {
            let images = places::images(data.name(), Split::Test, &data.places)?.to_labelled(&Device::Cpu)?;
            let set = data.name().strip_suffix(":embedded").unwrap_or(data.name());
            let names = catalog::get(set).ok().map(|d| d.classes);
            Self { x: images.x().clone(), y: images.y().clone(), names, files, coloured, notes: Vec::new() }
        };
        let take = most.unwrap_or(usize::MAX).min(all.len()?);
        (all.x, all.y) = (all.x.narrow(0, 0, take)?, all.y.narrow(0, 0, take)?);
        if !frame.is_none() {
            let framed = frame.tensor(&all.x).with_context(|| format!("--data {}", data.name()))?;
            all.x = framed.0;
            all.notes.push(format!("the images are {}", frame.words()));
            all.notes.extend(
                framed.1.then(|| "the crop is larger than the images, so that black surrounds them".to_owned()),
            );
        }
        Ok(all)
    }

    /// Gives the images the channels of a network: grey is repeated.
    ///
    /// # Errors
    /// Images in colour for a network that takes grey ones, or other numbers of channels that differ.
    pub(crate) fn take_channels(&mut self, channels: usize) -> anyhow::Result<()> {
        let (_, c, _, _) = self.x.dims4()?;
        if c == channels {
            return Ok(());
        }
        if c != 1 {
            let first = self.coloured.as_ref().map_or_else(String::new, |f| format!(", the first is {}", f.display()));
            let remedy = if channels == 1 { "; make them grey as the training did" } else { "" };
            bail!("the images have {c} channels{first}, but the network takes {channels}{remedy}");
        }
        self.x = self.x.repeat((1, channels, 1, 1))?;
        self.notes.push(format!("the images are grey and the network takes {channels} channels: the one is repeated"));
        Ok(())
    }

    /// Compares the classes of a folder with the outputs of a network.
    ///
    /// # Errors
    /// More classes than outputs.
    pub(crate) fn take_outputs(&mut self, outputs: usize, listed: bool) -> anyhow::Result<()> {
        let Some(names) = self.names.as_ref().filter(|_| !self.files.is_empty()) else { return Ok(()) };
        let (n, what) = (names.len(), if listed { "lines of --classes" } else { "folders of classes" });
        if n > outputs {
            let remedy =
                if listed { "" } else { "; --classes FILE gives the names of the folders in the order of the outputs" };
            bail!("{n} {what}, but the network has {outputs} outputs{remedy}");
        }
        if n < outputs {
            let rule = if listed {
                ""
            } else {
                "; the number of a class is the rank of its folder's name, unless --classes FILE says otherwise"
            };
            self.notes.push(format!("{n} {what} for {outputs} outputs of the network{rule}"));
        }
        Ok(())
    }

    pub(crate) fn len(&self) -> anyhow::Result<usize> {
        Ok(self.x.dim(0)?)
    }

    /// An example for a reader: its number, and its file where there is one.
    pub(crate) fn example(&self, i: usize) -> String {
        self.files.get(i).map_or_else(|| i.to_string(), |f| format!("{i} ({})", f.display()))
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
    /// A file that cannot be read, weights that do not fit the architecture.
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
