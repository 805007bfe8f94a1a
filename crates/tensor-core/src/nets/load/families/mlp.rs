//! [`Mlp`]: a Sequential (`0.weight`, `2.weight`), or layers of one name with numbers (`fc1`, `linear1`, `layers.0`). The order is that of the numbers.

use super::number;
use crate::nets::load::family::{Family, Form, Found};
use crate::nets::{Mlp, MlpConfig};
use crate::nn::{Activation, Network};
use crate::{Error, Result};

pub(super) static FAMILY: Family = Family {
    title: "Mlp",
    names: &["mlp"],
    published: &[],
    forms: &[
        Form {
            anchors: &["fc1.weight", "linear1.weight", "lin1.weight", "layer1.weight", "l1.weight"],
            name,
            parts: &["*"],
            alone: true,
            ..Form::PLAIN
        },
        // The first layer of a Sequential may be one that flattens.
        Form { anchors: &["0.weight", "1.weight"], parts: &["*"], alone: true, ..Form::PLAIN },
    ],
    build,
};

/// `fc1.weight` is `1.weight`.
fn name(theirs: &str) -> String {
    let digits = theirs.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    if digits.starts_with(|c: char| c.is_ascii_digit()) { digits.to_owned() } else { theirs.to_owned() }
}

fn build(mut found: Found<'_>) -> Result<Box<dyn Network>> {
    let (c, h, w) = found.at.input;
    let mut places: Vec<usize> = found.tensors.keys().filter_map(|n| number(n.strip_suffix(".weight")?, "")).collect();
    places.sort_unstable();
    let (mut widths, mut from) = (Vec::new(), c * h * w);
    for (i, place) in places.iter().enumerate() {
        let name = format!("{place}.weight");
        let [to, _] = found.shape::<2>(&name)?;
        let why = if i == 0 { format!("for images of {c}x{h}x{w}") } else { "as the layer before it says".to_owned() };
        found.expect(&name, [to, from], &why)?;
        widths.push(to);
        from = to;
    }
    for (i, place) in places.iter().enumerate() {
        found.rename(&place.to_string(), &format!("layers.{i}"));
    }
    let Some((&classes, hidden)) = widths.split_last() else {
        return Err(Error::value("parameters", "missing `0.weight`"));
    };
    let cfg = MlpConfig {
        input: found.at.input,
        classes,
        hidden: hidden.to_vec(),
        activation: found.activation(Activation::Relu),
        normalize: found.at.normalize.clone(),
    };
    found.finish(|values, dtype, device| Mlp::make(cfg, values, dtype, device))
}
