//! [`DenseNet`]: torchvision's names (`features.denseblock1.denselayer1.norm1`, in old files `norm.1`), and those of the usual CIFAR form
//! (`dense1.0.bn1`), which puts the newest channels first.

use super::number;
use crate::nets::load::family::{Family, Form, Found};
use crate::nets::{DenseNet, DenseNetConfig, Stem};
use crate::nn::{Activation, Network};
use crate::{Error, Result};

const NEEDS: &[&str] = &[
    "features.conv0.weight",
    "features.denseblock1.denselayer1.conv1.weight",
    "features.norm5.weight",
    "classifier.weight",
];
const PARTS: &[&str] = &["features", "classifier"];

pub(super) static FAMILY: Family = Family {
    title: "DenseNet",
    names: &["densenet"],
    published: &["densenet121", "densenet161", "densenet169", "densenet201"],
    forms: &[
        Form { anchors: &["features.conv0.weight"], name: torchvision, needs: NEEDS, parts: PARTS, ..Form::PLAIN },
        Form { anchors: &["dense1.0.conv1.weight"], name: small, needs: NEEDS, parts: PARTS, ..Form::PLAIN },
    ],
    build,
};

/// Old files have a dot in `norm1` and `conv1`.
fn torchvision(theirs: &str) -> String {
    if !theirs.contains(".denselayer") {
        return theirs.to_owned();
    }
    ["norm", "conv"].iter().fold(theirs.to_owned(), |name, part| {
        let name = name.replace(&format!(".{part}.1."), &format!(".{part}1."));
        name.replace(&format!(".{part}.2."), &format!(".{part}2."))
    })
}

fn small(theirs: &str) -> String {
    let parts: Vec<&str> = theirs.split('.').collect();
    match parts.as_slice() {
        ["conv1", rest] => format!("features.conv0.{rest}"),
        ["bn", rest] => format!("features.norm5.{rest}"),
        ["linear", rest] => format!("classifier.{rest}"),
        [block, part, rest] if number(block, "trans").is_some() => {
            let part = if *part == "bn" { "norm" } else { part };
            format!("features.transition{}.{part}.{rest}", &block["trans".len()..])
        }
        [block, layer, part, rest] if number(block, "dense").is_some() && number(layer, "").is_some() => {
            let layer = number(layer, "").unwrap_or_default() + 1;
            let part = part.replace("bn", "norm");
            format!("features.denseblock{}.denselayer{layer}.{part}.{rest}", &block["dense".len()..])
        }
        _ => theirs.to_owned(),
    }
}

fn build(found: Found<'_>) -> Result<Box<dyn Network>> {
    let (width, kernel) = found.first("features.conv0.weight")?;
    let stem = match (found.form, kernel) {
        (0, 7) => Stem::Large,
        (1, 3) => Stem::Small,
        (_, k) => {
            let reason = format!(
                "a kernel of {k}x{k}; torchvision's form has one of 7x7 with stride 2 and a pooling, the form for small images one of 3x3"
            );
            return Err(Error::value("weight `features.conv0.weight`", reason));
        }
    };
    let layer = |block: usize, i: usize| format!("features.denseblock{}.denselayer{}", block + 1, i + 1);
    let blocks = found.stages(|block, i| format!("{}.conv1.weight", layer(block, i)));
    let [growth, inner, ..] = found.shape::<4>(&format!("{}.conv2.weight", layer(0, 0)))?;
    let depth = match blocks.as_slice() {
        [6, 12, 24, 16] => Some(121),
        [6, 12, 36, 24] => Some(161),
        [6, 12, 32, 32] => Some(169),
        [6, 12, 48, 32] => Some(201),
        _ => None,
    };
    let published: Vec<String> = depth.map(|d| format!("densenet{d}")).into_iter().collect();
    found.check(&published, &format!("blocks of {blocks:?} layers, growth {growth}"))?;
    let [classes, _] = found.shape::<2>("classifier.weight")?;
    let cfg = DenseNetConfig {
        channels: found.at.input.0,
        classes,
        width,
        growth,
        inner,
        blocks,
        stem,
        newest_first: found.form == 1,
        activation: found.activation(Activation::Relu),
        normalize: found.at.normalize.clone(),
    };
    found.finish(|values, dtype, device| DenseNet::make(cfg, values, dtype, device))
}
