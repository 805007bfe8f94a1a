//! The architectures: which weights they need, and the network from them.

use crate::nets::{ResNet, ResNetConfig, SmallCnn, SmallCnnConfig};
use crate::nn::{Network, Normalize};
use crate::{Error, Result, Rng};
use candle_core::{DType, Device, Tensor};
use std::collections::{BTreeSet, HashMap};

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
        [layer, block, unit, rest] if stage(layer).is_some() && unit.is_ascii() => {
            let (kind, at) = unit.split_at(unit.len().saturating_sub(1));
            format!("{}.{block}.{at}.{kind}.{rest}", stage(layer).unwrap_or_default())
        }
        _ => name.to_owned(),
    }
}

/// What every network that is built here has in common.
pub(super) struct Setting<'a> {
    pub(super) input: (usize, usize, usize),
    pub(super) normalize: Option<Normalize>,
    pub(super) dtype: DType,
    pub(super) device: &'a Device,
}

impl Arch {
    /// The weights by one of whose names the place of a network in a longer name is found.
    pub(super) fn anchors(self) -> &'static [&'static str] {
        match self {
            Self::SmallCnn => &["conv1.weight"],
            Self::ResNet => &["conv1.weight", "stem.conv.weight"],
        }
    }

    /// The name that this workspace gives a weight.
    pub(super) fn name(self, theirs: &str) -> String {
        match self {
            Self::SmallCnn => theirs.to_owned(),
            Self::ResNet => resnet_name(theirs),
        }
    }

    /// The first weight that every network of this kind has and these names lack.
    pub(super) fn lacks(self, names: &BTreeSet<String>) -> Option<&'static str> {
        let needs: &[&str] = match self {
            Self::SmallCnn => &["conv1.weight", "conv2.weight", "fc1.weight", "fc2.weight"],
            Self::ResNet => &["stem.conv.weight", "stage1.0.1.conv.weight", "fc.weight"],
        };
        needs.iter().copied().find(|n| !names.contains(*n))
    }

    /// Whether a network of this kind may have a weight of this name, by its first part.
    pub(super) fn knows(self, name: &str) -> bool {
        let first = name.split('.').next().unwrap_or_default();
        match self {
            Self::SmallCnn => ["conv1", "bn1", "conv2", "bn2", "fc1", "fc2"].contains(&first),
            Self::ResNet => {
                ["stem", "conv1", "bn1", "fc", "linear"].contains(&first)
                    || ["stage", "layer"].iter().any(|s| first.starts_with(s))
            }
        }
    }

    /// The network with these weights, whose sizes follow from their shapes.
    ///
    /// # Errors
    /// What does not fit, by name.
    pub(super) fn build(self, found: &HashMap<String, Tensor>, at: Setting<'_>) -> Result<Box<dyn Network>> {
        for (name, t) in found {
            if t.elem_count() == 0 {
                return Err(Error::shape(format!("weight `{name}`"), "one with elements", t.dims()));
            }
            crate::classifier::require_finite(&format!("weight `{name}`"), t)?;
        }
        let net: Box<dyn Network> = match self {
            Self::SmallCnn => small_cnn(found, at)?,
            Self::ResNet => resnet(found, at)?,
        };
        net.params().restore(found)?;
        Ok(net)
    }
}

/// The shape of a weight.
fn shape<const R: usize>(found: &HashMap<String, Tensor>, name: &str) -> Result<[usize; R]> {
    let dims = found.get(name).ok_or_else(|| Error::value("parameters", format!("missing `{name}`")))?.dims();
    dims.try_into().map_err(|_| Error::shape(format!("weight `{name}`"), format!("{R} axes"), dims))
}

/// A weight must have the shape that follows from the others. It is checked before the network is made, so that no file makes a network that is
/// larger than its weights.
fn expect<const R: usize>(found: &HashMap<String, Tensor>, name: &str, want: [usize; R], from: &str) -> Result<()> {
    let got = shape::<R>(found, name)?;
    if got == want {
        return Ok(());
    }
    Err(Error::shape(format!("weight `{name}`"), format!("{want:?}, {from}"), &got))
}

fn small_cnn(found: &HashMap<String, Tensor>, at: Setting<'_>) -> Result<Box<dyn Network>> {
    let (c, h, w) = at.input;
    let ([a, _, k, _], [b, ..]) = (shape::<4>(found, "conv1.weight")?, shape::<4>(found, "conv2.weight")?);
    let ([hidden, _], [classes, _]) = (shape::<2>(found, "fc1.weight")?, shape::<2>(found, "fc2.weight")?);
    expect(found, "conv1.weight", [a, c, k, k], &format!("for images of {c} channels and a square kernel"))?;
    expect(found, "conv2.weight", [b, a, k, k], "as conv1.weight says")?;
    expect(found, "fc1.weight", [hidden, b * (h / 2 / 2) * (w / 2 / 2)], &format!("for images of {h}x{w}"))?;
    expect(found, "fc2.weight", [classes, hidden], "as fc1.weight says")?;
    let batch_norm = found.contains_key("bn1.weight");
    let cfg = SmallCnnConfig {
        input: at.input,
        classes,
        channels: (a, b),
        kernel: k,
        hidden,
        batch_norm,
        normalize: at.normalize,
    };
    Ok(Box::new(SmallCnn::new(cfg, Rng::new(0), at.dtype, at.device)?))
}

fn resnet(found: &HashMap<String, Tensor>, at: Setting<'_>) -> Result<Box<dyn Network>> {
    let [width, channels, height, _] = shape::<4>(found, "stem.conv.weight")?;
    if height == 7 {
        let reason = "a kernel of 7x7 is that of torchvision's networks for large images, which have a stride and a pooling behind it and are \
                      not supported; the stem of those here is a kernel of 3x3 for small images";
        return Err(Error::value("weight `stem.conv.weight` (conv1.weight)", reason));
    }
    let name = |stage: usize, block: usize| format!("stage{stage}.{block}.1.conv.weight");
    let count = |stage: usize| (0..).take_while(|i| found.contains_key(&name(stage, *i))).count();
    let blocks: Vec<usize> = (1..).map(count).take_while(|n| *n > 0).take(16).collect();
    let mut from = width;
    expect(found, "stem.conv.weight", [width, at.input.0, 3, 3], &format!("for images of {} channels", at.input.0))?;
    for (stage, n) in blocks.iter().enumerate() {
        let to = width << stage;
        for block in 0..*n {
            expect(found, &name(stage + 1, block), [to, from, 3, 3], "as the stem says")?;
            expect(found, &format!("stage{}.{block}.2.conv.weight", stage + 1), [to, to, 3, 3], "as the stem says")?;
            from = to;
        }
    }
    let [classes, _] = shape::<2>(found, "fc.weight")?;
    expect(found, "fc.weight", [classes, from], "as the last stage says")?;
    let cfg = ResNetConfig { channels, classes, width, blocks, normalize: at.normalize };
    Ok(Box::new(ResNet::new(cfg, Rng::new(0), at.dtype, at.device)?))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("layer1.0.é.weight", "layer1.0.é.weight"),
        ] {
            assert_eq!(resnet_name(theirs), ours);
        }
    }
}
