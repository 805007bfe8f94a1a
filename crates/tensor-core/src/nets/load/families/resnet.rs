//! [`ResNet`]: torchvision's names, or those of the usual CIFAR form (`conv1`, `bn1`, `layer1.0.conv2`, `shortcut.0` or `downsample.0`, `linear` or
//! `fc`), or ours.

use crate::nets::load::family::{Family, Form, Found};
use crate::nets::{ResNet, ResNetBlock, ResNetConfig, Shortcut, Stem};
use crate::nn::{Activation, Network};
use crate::{Error, Result};

pub(super) static FAMILY: Family = Family {
    title: "ResNet",
    names: &["resnet"],
    published: &[
        "resnet10",
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
        "wide_resnet50_2",
        "wide_resnet101_2",
        "resnext50_32x4d",
        "resnext101_32x8d",
        "resnext101_64x4d",
        "resnet20",
        "resnet32",
        "resnet44",
        "resnet56",
        "resnet110",
    ],
    forms: &[Form {
        anchors: &["conv1.weight", "stem.conv.weight"],
        name,
        needs: &["stem.conv.weight", "stage1.0.1.conv.weight", "fc.weight"],
        parts: &["stem", "conv1", "bn1", "fc", "linear", "stage*", "layer*"],
        ..Form::PLAIN
    }],
    build,
};

fn name(theirs: &str) -> String {
    let parts: Vec<&str> = theirs.split('.').collect();
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
        _ => theirs.to_owned(),
    }
}

fn build(found: Found<'_>) -> Result<Box<dyn Network>> {
    let (width, kernel) = found.first("stem.conv.weight")?;
    let stem = match kernel {
        3 => Stem::Small,
        7 => Stem::Large,
        k => {
            let reason =
                format!("a kernel of {k}x{k}; stems of 3x3, and of 7x7 with stride 2 and a pooling, are known");
            return Err(Error::value("weight `stem.conv.weight` (conv1.weight)", reason));
        }
    };
    let blocks = found.stages(|stage, i| format!("stage{}.{i}.1.conv.weight", stage + 1));
    let block = if found.tensors.contains_key("stage1.0.3.conv.weight") {
        let [inner, one, ..] = found.shape::<4>("stage1.0.2.conv.weight")?;
        ResNetBlock::Bottleneck { inner, groups: inner / one }
    } else {
        ResNetBlock::Basic
    };
    let projected = found.tensors.keys().any(|n| n.contains(".shortcut."));
    let changes = blocks.len() > 1 || block != ResNetBlock::Basic;
    let shortcut = if changes && !projected { Shortcut::ZeroPadding } else { Shortcut::Projection };
    let [classes, _] = found.shape::<2>("fc.weight")?;
    let (published, sizes) = describe(&blocks, block, width);
    found.check(&published, &sizes)?;
    let cfg = ResNetConfig {
        channels: found.at.input.0,
        classes,
        width,
        blocks,
        block,
        stem,
        shortcut,
        activation: found.activation(Activation::Relu),
        normalize: found.at.normalize.clone(),
    };
    found.finish(|values, dtype, device| ResNet::make(cfg, values, dtype, device))
}

/// The published names of the sizes, and the sizes.
fn describe(blocks: &[usize], block: ResNetBlock, width: usize) -> (Vec<String>, String) {
    let depth = |bottleneck: bool| match (blocks, bottleneck) {
        ([1, 1, 1, 1], false) => Some(10),
        ([2, 2, 2, 2], false) => Some(18),
        ([3, 4, 6, 3], false) => Some(34),
        ([a, b, c], false) if a == b && b == c => Some(6 * a + 2),
        ([3, 4, 6, 3], true) => Some(50),
        ([3, 4, 23, 3], true) => Some(101),
        ([3, 8, 36, 3], true) => Some(152),
        _ => None,
    };
    match block {
        ResNetBlock::Basic => (
            depth(false).map(|d| format!("resnet{d}")).into_iter().collect(),
            format!("basic blocks {blocks:?}, width {width}"),
        ),
        ResNetBlock::Bottleneck { inner, groups } => {
            let name = depth(true).and_then(|d| match (groups, inner) {
                (1, inner) if inner == width => Some(format!("resnet{d}")),
                (1, inner) if inner % width == 0 => Some(format!("wide_resnet{d}_{}", inner / width)),
                (g, inner) if g > 1 && width == 64 => Some(format!("resnext{d}_{g}x{}d", inner / g)),
                _ => None,
            });
            let sizes = format!("bottlenecks {blocks:?} of {inner} channels in {groups} groups, width {width}");
            (name.into_iter().collect(), sizes)
        }
    }
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
            assert_eq!(name(theirs), ours);
        }
    }

    #[test]
    fn sizes_have_their_published_names() {
        let bottleneck = |inner, groups| ResNetBlock::Bottleneck { inner, groups };
        for (blocks, block, width, want) in [
            (&[2, 2, 2, 2][..], ResNetBlock::Basic, 16, Some("resnet18")),
            (&[9, 9, 9], ResNetBlock::Basic, 16, Some("resnet56")),
            (&[3, 4, 6, 3], bottleneck(64, 1), 64, Some("resnet50")),
            (&[3, 4, 6, 3], bottleneck(128, 1), 64, Some("wide_resnet50_2")),
            (&[3, 4, 6, 3], bottleneck(128, 32), 64, Some("resnext50_32x4d")),
            (&[3, 4, 23, 3], bottleneck(256, 32), 64, Some("resnext101_32x8d")),
            (&[1, 2], ResNetBlock::Basic, 4, None),
        ] {
            assert_eq!(describe(blocks, block, width).0.first().map(String::as_str), want);
        }
    }
}
