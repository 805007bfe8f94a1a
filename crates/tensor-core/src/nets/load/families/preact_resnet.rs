//! [`PreActResNet`]: the names of the usual CIFAR form (`layer1.0.bn1`, `linear`), and those of DeepMind's code (`layer_0.0.batchnorm_0`), which pads
//! otherwise. The name ends in `-raw` where shortcuts take a block's input as it is, as in Wong et al. and Rice et al.: the file does not say it.

use super::number;
use crate::nets::load::family::{Family, Form, Found};
use crate::nets::{PreActResNet, PreActResNetConfig, PreActShortcut};
use crate::nn::{Activation, Network};
use crate::{Error, Result};

const NEEDS: &[&str] = &["conv1.weight", "layer1.0.bn1.weight", "layer1.0.conv1.weight", "linear.weight"];
const PARTS: &[&str] = &["conv1", "layer*", "bn", "linear"];

pub(super) static FAMILY: Family = Family {
    title: "PreActResNet",
    names: &["preactresnet"],
    published: &[
        "preactresnet18",
        "preactresnet18-raw",
        "preactresnet34",
        "preactresnet34-raw",
        "preactresnet50",
        "preactresnet101",
        "preactresnet152",
    ],
    forms: &[
        Form { anchors: &["layer1.0.conv1.weight"], name: usual, needs: NEEDS, parts: PARTS, ..Form::PLAIN },
        Form { anchors: &["layer_0.0.conv_2d_1.weight"], name: deepmind, needs: NEEDS, parts: PARTS, ..Form::PLAIN },
    ],
    build,
};

fn usual(theirs: &str) -> String {
    theirs.strip_prefix("fc.").map_or_else(|| theirs.to_owned(), |rest| format!("linear.{rest}"))
}

fn deepmind(theirs: &str) -> String {
    let parts: Vec<&str> = theirs.split('.').collect();
    match parts.as_slice() {
        ["conv_2d", rest] => format!("conv1.{rest}"),
        ["batchnorm", rest] => format!("bn.{rest}"),
        ["logits", rest] => format!("linear.{rest}"),
        [layer, i, part, rest] if number(layer, "layer_").is_some() => {
            let part = match *part {
                "batchnorm_0" => "bn1",
                "conv_2d_1" => "conv1",
                "batchnorm_1" => "bn2",
                "conv_2d_2" => "conv2",
                "shortcut" => "shortcut.0",
                other => other,
            };
            format!("layer{}.{i}.{part}.{rest}", number(layer, "layer_").unwrap_or_default() + 1)
        }
        _ => theirs.to_owned(),
    }
}

fn build(found: Found<'_>) -> Result<Box<dyn Network>> {
    let (width, _) = found.first("conv1.weight")?;
    found.expect("conv1.weight", [width, found.at.input.0, 3, 3], "the stem for small images")?;
    if found.tensors.contains_key("bn1.weight") {
        let reason =
            "`bn1` behind the first convolution is that of a residual network without pre-activation: `resnet`";
        return Err(Error::value("parameters", reason));
    }
    let blocks = found.stages(|stage, i| format!("layer{}.{i}.conv1.weight", stage + 1));
    let bottleneck = found.tensors.contains_key("layer1.0.conv3.weight");
    let depth = match (blocks.as_slice(), bottleneck) {
        ([2, 2, 2, 2], false) => Some(18),
        ([3, 4, 6, 3], false) => Some(34),
        ([3, 4, 6, 3], true) => Some(50),
        ([3, 4, 23, 3], true) => Some(101),
        ([3, 8, 36, 3], true) => Some(152),
        _ => None,
    };
    let mut published: Vec<String> = depth.map(|d| format!("preactresnet{d}")).into_iter().collect();
    if !bottleneck && found.form == 0 {
        published.extend(depth.map(|d| format!("preactresnet{d}-raw")));
    }
    let kind = if bottleneck { "bottlenecks" } else { "basic blocks" };
    found.check(&published, &format!("{kind} {blocks:?}, width {width}"))?;
    let shortcut = match found.asked.as_deref() {
        _ if found.form == 1 => PreActShortcut::Same,
        Some(name) if name.ends_with("-raw") => PreActShortcut::Raw,
        _ => PreActShortcut::Activated,
    };
    let [classes, _] = found.shape::<2>("linear.weight")?;
    let cfg = PreActResNetConfig {
        channels: found.at.input.0,
        classes,
        width,
        blocks,
        bottleneck,
        final_norm: found.tensors.contains_key("bn.weight"),
        shortcut,
        activation: found.activation(Activation::Relu),
        normalize: found.at.normalize.clone(),
    };
    found.finish(|values, dtype, device| PreActResNet::make(cfg, values, dtype, device))
}
