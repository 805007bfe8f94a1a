//! Networks from weights files; the sizes follow from the shapes of the weights.

use super::{ResNet, ResNetConfig, SmallCnn, SmallCnnConfig};
use crate::nn::{Network, Normalize};
use crate::{Error, Result, Rng};
use candle_core::{DType, Device, Tensor};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// The kind of network that a weights file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// [`SmallCnn`].
    SmallCnn,
    /// [`ResNet`] with basic blocks, of any width and depth.
    ResNet,
}

impl std::str::FromStr for Arch {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        match s.to_lowercase().replace(['-', '_'], "").as_str() {
            "smallcnn" => Ok(Self::SmallCnn),
            "resnet" | "resnet10" | "resnet18" | "resnet34" => Ok(Self::ResNet),
            _ => Err(Error::config("Arch", format!("must be smallcnn, resnet10, resnet18 or resnet34, got `{s}`"))),
        }
    }
}

/// The name that this workspace gives a parameter of a residual network of PyTorch (torchvision's names, or those of the
/// usual CIFAR form: `conv1`, `bn1`, `layer1.0.conv2`, `shortcut.0` or `downsample.0`, `linear` or `fc`).
fn resnet_name(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    let stage = |p: &str| p.strip_prefix("layer").map(|s| format!("stage{s}"));
    match parts.as_slice() {
        ["conv1", rest] => format!("stem.conv.{rest}"),
        ["bn1", rest] => format!("stem.bn.{rest}"),
        ["linear" | "fc", rest] => format!("fc.{rest}"),
        [layer, block, "shortcut" | "downsample", at, rest] if stage(layer).is_some() => {
            let kind = if *at == "0" { "conv" } else { "bn" };
            format!("{}.{block}.shortcut.{kind}.{rest}", stage(layer).unwrap_or_default())
        }
        [layer, block, unit, rest] if stage(layer).is_some() => {
            let (kind, at) = unit.split_at(unit.len().saturating_sub(1));
            format!("{}.{block}.{at}.{kind}.{rest}", stage(layer).unwrap_or_default())
        }
        _ => name.to_owned(),
    }
}

/// Reads tensors by name from a safetensors file or from PyTorch's `.pth` or `.pt`, whose state dictionary may be the whole
/// file or the entry `state_dict`, `model`, `net` or `model_state_dict`. It drops the prefixes `module.` and `net.` and the
/// counters of batches. From a [`crate::train::Checkpoint`] it takes only the weights.
///
/// # Errors
/// [`Error::Io`], or [`Error::Checkpoint`] with the path.
pub fn weights(path: &Path) -> Result<HashMap<String, Tensor>> {
    let torch =
        path.extension().is_some_and(|e| ["pth", "pt", "bin", "ckpt"].iter().any(|t| e.eq_ignore_ascii_case(t)));
    let found = if torch {
        std::fs::metadata(path).map_err(Error::io(path))?;
        let bad = |reason: String| Error::Checkpoint { path: path.to_owned(), reason };
        let keys = [None, Some("state_dict"), Some("model"), Some("net"), Some("model_state_dict")];
        let mut read: Result<Vec<(String, Tensor)>> = Err(bad("it holds no tensors".to_owned()));
        for key in keys {
            match candle_core::pickle::read_all_with_key(path, key) {
                Ok(all) if !all.is_empty() => {
                    read = Ok(all);
                    break;
                }
                Ok(_) => {}
                Err(e) if key.is_none() => read = Err(bad(format!("not a file of PyTorch: {e}"))),
                Err(_) => {}
            }
        }
        read?.into_iter().collect()
    } else {
        crate::store::load(path, &Device::Cpu)?.0
    };
    // From a training checkpoint of this workspace, only the weights are taken.
    let training = found.keys().any(|n| n.starts_with("param."));
    let found: HashMap<String, Tensor> = match training {
        true => found.into_iter().filter_map(|(n, t)| Some((n.strip_prefix("param.")?.to_owned(), t))).collect(),
        false => found,
    };
    let plain = |name: String| {
        let rest = ["module.", "net."].iter().find_map(|p| name.strip_prefix(p).map(str::to_owned));
        rest.unwrap_or(name)
    };
    Ok(found.into_iter().map(|(n, t)| (plain(n), t)).filter(|(n, _)| !n.ends_with("num_batches_tracked")).collect())
}

/// A network of the given architecture with the weights of a file, for images of the given channels, height and width. Its
/// sizes follow from the weights.
///
/// # Errors
/// [`Error::Checkpoint`] with the path: weights that are missing or unexpected, by name; values that are not finite.
pub fn load(
    arch: Arch,
    path: &Path,
    input: (usize, usize, usize),
    normalize: Option<Normalize>,
    dtype: DType,
    device: &Device,
) -> Result<Box<dyn Network>> {
    let mut found = weights(path)?;
    let mut original: Vec<String> = found.keys().cloned().collect();
    original.sort_unstable();
    if arch == Arch::ResNet {
        found = found.into_iter().map(|(n, t)| (resnet_name(&n), t)).collect();
    }
    let bad = |reason: String| Error::Checkpoint { path: path.to_owned(), reason };
    for (name, t) in &found {
        crate::classifier::require_finite(&format!("weight `{name}`"), t).map_err(|e| bad(e.to_string()))?;
    }
    let names: BTreeSet<&str> = found.keys().map(String::as_str).collect();
    let shape = |name: &str, rank: usize| -> Result<Vec<usize>> {
        match found.get(name).map(|t| t.dims().to_vec()) {
            Some(d) if d.len() == rank => Ok(d),
            Some(d) => Err(bad(format!("`{name}` has the shape {d:?}, not one of {rank} axes"))),
            None => Err(bad(format!("no {arch:?}: missing `{name}`; the file has {original:?}"))),
        }
    };
    let net: Box<dyn Network> = match arch {
        Arch::SmallCnn => {
            let (one, two) = (shape("conv1.weight", 4)?, shape("conv2.weight", 4)?);
            let cfg = SmallCnnConfig {
                input,
                classes: shape("fc2.weight", 2)?[0],
                channels: (one[0], two[0]),
                kernel: one[2],
                hidden: shape("fc1.weight", 2)?[0],
                batch_norm: names.contains("bn1.weight"),
                normalize,
            };
            Box::new(SmallCnn::new(cfg, Rng::new(0), dtype, device).map_err(|e| bad(e.to_string()))?)
        }
        Arch::ResNet => {
            let stem = shape("stem.conv.weight", 4)?;
            let count = |stage: usize| {
                (0..).take_while(|i| names.contains(format!("stage{stage}.{i}.1.conv.weight").as_str())).count()
            };
            let cfg = ResNetConfig {
                channels: stem[1],
                classes: shape("fc.weight", 2)?[0],
                width: stem[0],
                blocks: (1..).map(count).take_while(|n| *n > 0).collect(),
                normalize,
            };
            Box::new(ResNet::new(cfg, Rng::new(0), dtype, device).map_err(|e| bad(e.to_string()))?)
        }
    };
    net.params().restore(&found).map_err(|e| bad(e.to_string()))?;
    Ok(net)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Module;

    #[test]
    fn names_of_pytorch_are_understood() {
        for (theirs, ours) in [
            ("conv1.weight", "stem.conv.weight"),
            ("bn1.running_mean", "stem.bn.running_mean"),
            ("layer1.0.conv2.weight", "stage1.0.2.conv.weight"),
            ("layer3.1.bn1.bias", "stage3.1.1.bn.bias"),
            ("layer2.0.shortcut.0.weight", "stage2.0.shortcut.conv.weight"),
            ("layer2.0.downsample.1.running_var", "stage2.0.shortcut.bn.running_var"),
            ("linear.bias", "fc.bias"),
            ("stage1.0.1.conv.weight", "stage1.0.1.conv.weight"),
        ] {
            assert_eq!(resnet_name(theirs), ours);
        }
    }

    #[test]
    fn sizes_are_read_off_the_weights_and_what_does_not_fit_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (d, f) = (&Device::Cpu, DType::F32);
        let path = dir.path().join("net.safetensors");
        let cfg = ResNetConfig { width: 4, blocks: vec![1, 2], classes: 7, ..ResNetConfig::default() };
        let net = ResNet::new(cfg, Rng::new(3), f, d).unwrap();
        net.params().save(&path).unwrap();
        let x = Rng::new(1).uniform((2, 3, 16, 16), 0.0..1.0, f, d).unwrap();
        let back = load(Arch::ResNet, &path, (3, 16, 16), None, f, d).unwrap();
        let bits = |n: &dyn Network| n.logits(&x).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(bits(&*back), bits(&net));
        let e = load(Arch::SmallCnn, &path, (3, 16, 16), None, f, d).err().unwrap().to_string();
        assert!(
            e.contains("net.safetensors") && e.contains("missing `conv1.weight`") && e.contains("stem.conv.weight"),
            "{e}"
        );

        let small =
            SmallCnn::new(SmallCnnConfig { batch_norm: true, ..Default::default() }, Rng::new(0), f, d).unwrap();
        let path = dir.path().join("small.safetensors");
        small.params().save(&path).unwrap();
        assert!(load(Arch::SmallCnn, &path, (1, 28, 28), None, f, d).is_ok());
        // Weights for images of another size, an extra name, a NaN.
        assert!(load(Arch::SmallCnn, &path, (1, 32, 32), None, f, d).err().unwrap().to_string().contains("fc1.weight"));
        let (mut all, _) = crate::store::load(&path, d).unwrap();
        all.insert("fc9.weight".into(), Tensor::zeros(2, f, d).unwrap());
        all.remove("fc1.bias");
        let save = |all: &HashMap<String, Tensor>| {
            crate::store::save(&path, all.iter().map(|(n, t)| (n.as_str(), t.clone())), "").unwrap();
        };
        save(&all);
        let e = load(Arch::SmallCnn, &path, (1, 28, 28), None, f, d).err().unwrap().to_string();
        assert!(e.contains(r#"missing ["fc1.bias"], unexpected ["fc9.weight"]"#), "{e}");
        all.insert("fc1.bias".into(), Tensor::new(&[f32::NAN], d).unwrap());
        save(&all);
        let e = load(Arch::SmallCnn, &path, (1, 28, 28), None, f, d).err().unwrap().to_string();
        assert!(e.contains("weight `fc1.bias`") && e.contains("NaN"), "{e}");
        std::fs::write(dir.path().join("no.pth"), b"hello").unwrap();
        let e = load(Arch::SmallCnn, &dir.path().join("no.pth"), (1, 28, 28), None, f, d).err().unwrap().to_string();
        assert!(e.contains("no.pth") && e.contains("PyTorch"), "{e}");
    }
}
