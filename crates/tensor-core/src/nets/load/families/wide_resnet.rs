//! [`WideResNet`]: the names of Zagoruyko's PyTorch port, TRADES and RobustBench (`block1.layer.0.bn1`), and those of DeepMind's code
//! (`layer.0.block.0.batchnorm_0`), which pads otherwise.

use super::number;
use crate::nets::load::family::{Family, Form, Found};
use crate::nets::{WideResNet, WideResNetConfig};
use crate::nn::{Activation, Network};
use crate::{Error, Result};

const NEEDS: &[&str] = &["conv1.weight", "block1.layer.0.conv1.weight", "bn1.weight", "fc.weight"];
const PARTS: &[&str] = &["conv1", "block1", "block2", "block3", "bn1", "fc"];

pub(super) static FAMILY: Family = Family {
    title: "WideResNet",
    names: &["wideresnet", "wrn"],
    published: &[],
    forms: &[
        Form {
            anchors: &["block1.layer.0.conv1.weight"],
            needs: NEEDS,
            parts: PARTS,
            // TRADES' code makes it and does not use it.
            unused: &["sub_block1"],
            ..Form::PLAIN
        },
        Form { anchors: &["init_conv.weight"], name, needs: NEEDS, parts: PARTS, ..Form::PLAIN },
    ],
    build,
};

/// DeepMind's names.
fn name(theirs: &str) -> String {
    let parts: Vec<&str> = theirs.split('.').collect();
    match parts.as_slice() {
        ["init_conv", rest] => format!("conv1.{rest}"),
        ["batchnorm", rest] => format!("bn1.{rest}"),
        ["logits", rest] => format!("fc.{rest}"),
        ["layer", group, "block", i, layer, rest] => {
            let layer = match *layer {
                "batchnorm_0" => "bn1",
                "conv_0" => "conv1",
                "batchnorm_1" => "bn2",
                "conv_1" => "conv2",
                "shortcut" => "convShortcut",
                other => other,
            };
            let group = number(group, "").map_or_else(|| (*group).to_owned(), |g| (g + 1).to_string());
            format!("block{group}.layer.{i}.{layer}.{rest}")
        }
        _ => theirs.to_owned(),
    }
}

fn build(found: Found<'_>) -> Result<Box<dyn Network>> {
    let (base, _) = found.first("conv1.weight")?;
    let [first, ..] = found.shape::<4>("block1.layer.0.conv1.weight")?;
    let blocks = found.stages(|stage, i| format!("block{}.layer.{i}.conv1.weight", stage + 1));
    let &[n, a, b] = blocks.as_slice() else {
        return Err(Error::value(
            "parameters",
            format!("stages of {blocks:?} blocks; a wide residual network has three"),
        ));
    };
    if n != a || n != b || first % base != 0 {
        let reason = format!(
            "stages of {blocks:?} blocks and {first} channels behind a stem of {base}; a wide residual network has stages of one length and a whole \
             widen factor"
        );
        return Err(Error::value("parameters", reason));
    }
    let (depth, widen) = (6 * n + 4, first / base);
    found.check(&[format!("wrn-{depth}-{widen}")], &format!("depth {depth}, widen factor {widen}"))?;
    let [classes, _] = found.shape::<2>("fc.weight")?;
    let cfg = WideResNetConfig {
        channels: found.at.input.0,
        classes,
        depth,
        widen,
        base,
        same: found.form == 1,
        activation: found.activation(Activation::Relu),
        normalize: found.at.normalize.clone(),
    };
    found.finish(|values, dtype, device| WideResNet::make(cfg, values, dtype, device))
}
