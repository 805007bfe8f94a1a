//! [`MobileNetV2`]: torchvision's names (`features.1.conv.0.0`), and those of the usual CIFAR form (`layers.0.conv1`), which has ReLU and other
//! strides. Strides are not in a file: they are those of the seven published stages.

use super::number;
use crate::nets::load::family::{Family, Form, Found};
use crate::nets::{MobileNetV2, MobileNetV2Config, MobileStage};
use crate::nn::{Activation, Network};
use crate::{Error, Result};

const PARTS: &[&str] = &["features", "classifier", "head"];

pub(super) static FAMILY: Family = Family {
    title: "MobileNetV2",
    names: &["mobilenet_v2"],
    published: &[],
    forms: &[
        Form {
            anchors: &["features.0.0.weight"],
            needs: &["features.0.0.weight", "features.1.conv.0.0.weight", "classifier.1.weight"],
            parts: PARTS,
            ..Form::PLAIN
        },
        Form {
            anchors: &["layers.0.conv1.weight"],
            name,
            needs: &["features.0.0.weight", "features.1.conv.0.0.weight", "head.0.weight", "classifier.1.weight"],
            parts: PARTS,
            ..Form::PLAIN
        },
    ],
    build,
};

fn name(theirs: &str) -> String {
    let parts: Vec<&str> = theirs.split('.').collect();
    match parts.as_slice() {
        ["conv1", rest] => format!("features.0.0.{rest}"),
        ["bn1", rest] => format!("features.0.1.{rest}"),
        ["conv2", rest] => format!("head.0.{rest}"),
        ["bn2", rest] => format!("head.1.{rest}"),
        ["linear", rest] => format!("classifier.1.{rest}"),
        ["layers", i, part @ ..] if number(i, "").is_some() => {
            let at = number(i, "").unwrap_or_default() + 1;
            let part = match part {
                ["conv1", rest] => format!("conv.0.0.{rest}"),
                ["bn1", rest] => format!("conv.0.1.{rest}"),
                ["conv2", rest] => format!("conv.1.0.{rest}"),
                ["bn2", rest] => format!("conv.1.1.{rest}"),
                ["conv3", rest] => format!("conv.2.{rest}"),
                ["bn3", rest] => format!("conv.3.{rest}"),
                other => other.join("."),
            };
            format!("features.{at}.{part}")
        }
        _ => theirs.to_owned(),
    }
}

fn build(mut found: Found<'_>) -> Result<Box<dyn Network>> {
    let small = found.form == 1;
    let (width, _) = found.first("features.0.0.weight")?;
    let count = found.count(|i| format!("features.{}.conv.0.0.weight", i + 1));
    if small {
        found.rename("head", &format!("features.{}", count + 1));
    }
    // Of each block the channels inside and at the end.
    let (mut blocks, mut from) = (Vec::new(), width);
    for i in 1..=count {
        let [inner, _, kernel, _] = found.shape::<4>(&format!("features.{i}.conv.0.0.weight"))?;
        // The convolution at the end has the place behind the one or two others.
        let at = if kernel == 1 { 2 } else { 1 };
        let [to, ..] = found.shape::<4>(&format!("features.{i}.conv.{at}.weight"))?;
        if inner % from != 0 {
            let reason = format!("{inner} channels are no multiple of {from}");
            return Err(Error::value(format!("weight `features.{i}.conv.0.0.weight`"), reason));
        }
        blocks.push((inner / from, to));
        from = to;
    }
    let lengths = lengths(&blocks);
    if lengths.len() != 7 {
        let reason = format!(
            "{count} blocks in {} stages; the strides of the published seven stages, of {:?} blocks, are known",
            lengths.len(),
            MobileNetV2Config::BLOCKS
        );
        return Err(Error::value("parameters", reason));
    }
    let (mut stages, mut at) = (Vec::new(), 0);
    for (length, stride) in lengths.into_iter().zip(MobileNetV2Config::strides(small)) {
        let (expansion, channels) = blocks[at];
        stages.push(MobileStage { expansion, channels, blocks: length, stride });
        at += length;
    }
    let ([last_width, ..], [classes, _]) =
        (found.shape::<4>(&format!("features.{}.0.weight", count + 1))?, found.shape::<2>("classifier.1.weight")?);
    let cfg = MobileNetV2Config {
        channels: found.at.input.0,
        classes,
        width,
        stages,
        last_width,
        small,
        activation: found.activation(if small { Activation::Relu } else { Activation::Relu6 }),
        normalize: found.at.normalize.clone(),
    };
    found.finish(|values, dtype, device| MobileNetV2::make(cfg, values, dtype, device))
}

/// How many blocks each stage has: as published if there are as many in all, otherwise a new stage begins where the channels change.
fn lengths(blocks: &[(usize, usize)]) -> Vec<usize> {
    if blocks.len() == MobileNetV2Config::BLOCKS.iter().sum::<usize>() {
        return MobileNetV2Config::BLOCKS.to_vec();
    }
    blocks.chunk_by(|a, b| a.1 == b.1).map(<[_]>::len).collect()
}
