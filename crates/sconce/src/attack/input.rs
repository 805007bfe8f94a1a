//! What is evaluated: a network, and images with labels.

use crate::args::{Attack, Data};
use crate::places;
use candle_core::{DType, Tensor};
use sconce_datasets::{Images, Split, catalog};
use sconce_tensor_core::nets::load;
use sconce_tensor_core::nn::Normalize;
use sconce_tensor_core::{Device, DeviceSpec, Error, Network, store};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::Path;

/// Images with their labels.
pub(crate) struct Examples {
    /// (N, C, H, W) in [0, 1], f32, on the CPU.
    pub(crate) x: Tensor,
    /// (N,) of u32.
    pub(crate) y: Tensor,
    /// The names of the classes, where the catalog has them.
    names: Option<Vec<String>>,
}

impl Examples {
    /// The file or the data set of the arguments; its first `most` examples.
    ///
    /// # Errors
    /// No such file or data set, a damaged file, images and labels that do not go together.
    pub(crate) fn read(data: &Data, most: Option<usize>) -> anyhow::Result<Self> {
        let all = if Path::new(&data.name).exists() {
            let (x, y) = file(data.name.as_ref(), true)?;
            Self { x, y, names: None }
        } else {
            let images = places::images(&data.name, Split::Test, &data.places)?.to_labelled(&Device::Cpu)?;
            let set = data.name.strip_suffix(":embedded").unwrap_or(&data.name);
            let names = catalog::get(set).ok().map(|d| d.classes);
            Self { x: images.x().clone(), y: images.y().clone(), names }
        };
        let take = most.unwrap_or(usize::MAX).min(all.len()?);
        Ok(Self { x: all.x.narrow(0, 0, take)?, y: all.y.narrow(0, 0, take)?, names: all.names })
    }

    pub(crate) fn len(&self) -> anyhow::Result<usize> {
        Ok(self.x.dim(0)?)
    }

    /// The name of a class, or its number.
    pub(crate) fn class(&self, k: usize) -> String {
        self.names.as_ref().and_then(|n| n.get(k)).cloned().unwrap_or_else(|| format!("class {k}"))
    }
}

/// Reads `x` (N, C, H, W) and `y` (N,) from a .safetensors or .npz file. Images as bytes are divided by 255; labels may have any integer type.
fn file(path: &Path, labelled: bool) -> sconce_tensor_core::Result<(Tensor, Tensor)> {
    let bad = |reason: String| Error::Checkpoint { path: path.to_owned(), reason };
    let found: HashMap<String, Tensor> = if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npz")) {
        std::fs::metadata(path).map_err(Error::io(path))?;
        let all = Tensor::read_npz(path).map_err(|e| bad(format!("the npz file is damaged or incomplete: {e}")))?;
        all.into_iter().map(|(n, t)| (n.trim_end_matches(".npy").to_owned(), t)).collect()
    } else {
        store::load(path, &Device::Cpu)?.0
    };
    let mut names: Vec<&String> = found.keys().collect();
    names.sort_unstable();
    let get =
        |name: &str| found.get(name).ok_or_else(|| bad(format!("no `{name}` in this file, which contains {names:?}")));
    let x = get("x")?;
    let y = match found.get("y") {
        None if !labelled => Tensor::zeros(x.dim(0)?, DType::U32, &Device::Cpu)?,
        _ => get("y")?.clone(),
    };
    if x.rank() != 4 || y.dims() != [x.dim(0)?] || x.dim(0)? == 0 {
        return Err(bad(format!(
            "x must be (N, C, H, W) and y (N,) with N >= 1, got {:?} and {:?}",
            x.dims(),
            y.dims()
        )));
    }
    let x = if x.dtype() == DType::U8 { (x.to_dtype(DType::F32)? / 255.0)? } else { x.to_dtype(DType::F32)? };
    let labels = y.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    if let Some((i, v)) = labels.iter().enumerate().find(|(_, v)| v.fract() != 0.0 || **v < 0.0 || **v > 1e6) {
        return Err(bad(format!("label {v} at row {i} is not a class index: use integers from 0")));
    }
    Ok((x, Tensor::from_iter(labels.into_iter().map(|v| v as u32), &Device::Cpu)?))
}

/// The same as bytes; without `y` all images are of one class.
///
/// # Errors
/// As for an attack's data; a value that is not in [0, 1].
pub(crate) fn read_images(path: &Path) -> anyhow::Result<Images> {
    let (x, y) = file(path, false)?;
    let (_, c, h, w) = x.dims4()?;
    let values = x.flatten_all()?.to_vec1::<f32>()?;
    if let Some(v) = values.iter().find(|v| !(0.0..=1.0).contains(*v)) {
        anyhow::bail!("{}: `x` has the value {v}; images must be bytes, or numbers in [0, 1]", path.display());
    }
    let labels = y.to_vec1::<u32>()?;
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
pub(crate) fn network(args: &Attack, x: &Tensor, dtype: DType, device: &Device) -> anyhow::Result<Box<dyn Network>> {
    let (_, c, h, w) = x.dims4()?;
    let weights =
        Weights { arch: &args.arch, file: &args.model, normalize: (args.mean.as_deref(), args.std.as_deref()) };
    weights.load((c, h, w), dtype, device)
}

/// A file of weights, with what is not in it.
pub(crate) struct Weights<'a> {
    pub(crate) arch: &'a str,
    pub(crate) file: &'a Path,
    /// Means and standard deviations of channels.
    pub(crate) normalize: (Option<&'a [f64]>, Option<&'a [f64]>),
}

impl Weights<'_> {
    /// The network for images of some channels, height and width.
    ///
    /// # Errors
    /// As [`network`].
    pub(crate) fn load(
        &self,
        images: (usize, usize, usize),
        dtype: DType,
        device: &Device,
    ) -> anyhow::Result<Box<dyn Network>> {
        let normalize = match self.normalize {
            (Some(m), Some(s)) => Some(Normalize::new(m.to_vec(), s.to_vec())?),
            _ => None,
        };
        Ok(load::load(self.arch.parse()?, self.file, images, normalize, dtype, device)?)
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
    fn data_that_does_not_go_together_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.safetensors");
        let d = &Device::Cpu;
        let error = |all: Vec<(&str, Tensor)>| {
            store::save(&path, all, "").unwrap();
            file(&path, true).unwrap_err().to_string()
        };
        let x = Tensor::zeros((2, 1, 4, 4), DType::F32, d).unwrap();
        let y = |v: &[f64]| Tensor::new(v, d).unwrap();
        assert!(error(vec![("x", x.clone())]).contains("no `y`"));
        assert!(error(vec![("x", x.clone()), ("y", y(&[0.0]))]).contains("(N,)"));
        assert!(error(vec![("x", x.clone()), ("y", y(&[0.0, -1.0]))]).contains("label -1 at row 1"));
        let bytes = Tensor::full(255u8, (1, 1, 2, 2), d).unwrap();
        store::save(&path, vec![("x", bytes), ("y", y(&[3.0]))], "").unwrap();
        let (x, labels) = file(&path, true).unwrap();
        assert_eq!(
            (x.max_all().unwrap().to_scalar::<f32>().unwrap(), labels.to_vec1::<u32>().unwrap()),
            (1.0, vec![3])
        );
        let npz = dir.path().join("d.npz");
        Tensor::write_npz(&[("x", x), ("y", y(&[3.0]))], &npz).unwrap();
        assert_eq!(file(&npz, true).unwrap().1.to_vec1::<u32>().unwrap(), [3]);
        let whole = std::fs::read(&npz).unwrap();
        std::fs::write(&npz, &whole[..whole.len() / 2]).unwrap();
        assert!(file(&npz, true).unwrap_err().to_string().contains("d.npz"));
    }

    #[test]
    fn a_digest_is_that_of_sha256sum() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "abc").unwrap();
        assert!(sha256(&path).unwrap().starts_with("ba7816bf8f01cfea"));
    }
}
