//! [`SmallCnn`].

use crate::nets::load::family::{Family, Form, Found};
use crate::nets::{SmallCnn, SmallCnnConfig};
use crate::nn::{Activation, Network};
use crate::{Error, Result};

pub(super) static FAMILY: Family = Family {
    title: "SmallCnn",
    names: &["smallcnn"],
    published: &[],
    forms: &[Form {
        anchors: &["conv1.weight"],
        needs: &["conv1.weight", "conv2.weight", "fc1.weight", "fc2.weight"],
        parts: &["conv1", "bn1", "conv2", "bn2", "fc1", "fc2"],
        ..Form::PLAIN
    }],
    build,
};

fn build(found: Found<'_>) -> Result<Box<dyn Network>> {
    let (c, h, w) = found.at.input;
    let ([a, _, k, _], [b, ..]) = (found.shape::<4>("conv1.weight")?, found.shape::<4>("conv2.weight")?);
    let ([hidden, _], [classes, _]) = (found.shape::<2>("fc1.weight")?, found.shape::<2>("fc2.weight")?);
    found.expect("conv1.weight", [a, c, k, k], &format!("for images of {c} channels and a square kernel"))?;
    found.expect("conv2.weight", [b, a, k, k], "as conv1.weight says")?;
    found.expect("fc1.weight", [hidden, b * (h / 2 / 2) * (w / 2 / 2)], &format!("for images of {h}x{w}"))?;
    found.expect("fc2.weight", [classes, hidden], "as fc1.weight says")?;
    if found.activation(Activation::Relu) != Activation::Relu {
        let reason = "a SmallCnn has ReLU; leave the choice out".to_owned();
        return Err(Error::Unsupported { what: "another activation", reason });
    }
    let cfg = SmallCnnConfig {
        input: found.at.input,
        classes,
        channels: (a, b),
        kernel: k,
        hidden,
        batch_norm: found.tensors.contains_key("bn1.weight"),
        normalize: found.at.normalize.clone(),
    };
    found.finish(|values, dtype, device| SmallCnn::make(cfg, values, dtype, device))
}
