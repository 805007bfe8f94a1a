//! [`Vgg`]: torchvision's names (`features.0`, `classifier.6`), and those of the usual CIFAR forms (`classifier` alone, or with other numbers). Which
//! numbers are missing among the features says where the poolings are.

use super::number;
use crate::nets::load::family::{Family, Form, Found};
use crate::nets::{Vgg, VggConfig};
use crate::nn::{Activation, Network};
use crate::{Error, Result};

pub(super) static FAMILY: Family = Family {
    title: "Vgg",
    names: &["vgg"],
    published: &["vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"],
    forms: &[Form {
        anchors: &["features.0.weight"],
        needs: &["features.0.weight"],
        parts: &["features", "classifier"],
        ..Form::PLAIN
    }],
    build,
};

/// The numbers of the weights of some rank under a name, in order.
fn numbers(found: &Found<'_>, under: &str, rank: usize) -> Vec<usize> {
    let of = |name: &String| number(name.strip_suffix(".weight")?.strip_prefix(under)?, ".");
    let mut all: Vec<usize> =
        found.tensors.iter().filter(|(_, t)| t.rank() == rank).filter_map(|(n, _)| of(n)).collect();
    all.sort_unstable();
    all
}

fn build(mut found: Found<'_>) -> Result<Box<dyn Network>> {
    found.first("features.0.weight")?;
    let convolutions = numbers(&found, "features", 4);
    let batch_norm = !numbers(&found, "features", 1).is_empty();
    let step = if batch_norm { 3 } else { 2 };
    let mut stages: Vec<Vec<usize>> = vec![Vec::new()];
    for (i, at) in convolutions.iter().enumerate() {
        match i.checked_sub(1).map(|before| at - convolutions[before]) {
            None => {}
            Some(gap) if gap == step => {}
            Some(gap) if gap == step + 1 => stages.push(Vec::new()),
            Some(_) => {
                let reason = format!("convolutions at {convolutions:?} of `features` are not those of a VGG network");
                return Err(Error::value("parameters", reason));
            }
        }
        let [outputs, ..] = found.shape::<4>(&format!("features.{at}.weight"))?;
        if let Some(stage) = stages.last_mut() {
            stage.push(outputs);
        }
    }
    let kind = if batch_norm { "with" } else { "without" };
    let counts: Vec<usize> = stages.iter().map(Vec::len).collect();
    let sizes = format!("stages of {counts:?} convolutions {kind} batch norm");
    let depth = match counts.as_slice() {
        [1, 1, 2, 2, 2] => Some(11),
        [2, 2, 2, 2, 2] => Some(13),
        [2, 2, 3, 3, 3] => Some(16),
        [2, 2, 4, 4, 4] => Some(19),
        _ => None,
    };
    // The CIFAR form with batch norm is called `vgg16`, too.
    let bn = depth.filter(|_| batch_norm).map(|d| format!("vgg{d}_bn"));
    let published: Vec<String> = bn.into_iter().chain(depth.map(|d| format!("vgg{d}"))).collect();
    found.check(&published, &sizes)?;

    let linear = numbers(&found, "classifier", 2);
    for (i, at) in linear.iter().enumerate() {
        found.rename(&format!("classifier.{at}"), &format!("linear{i}"));
    }
    let count = linear.len();
    for i in 0..count {
        // A classifier of one layer has no number.
        let to = if count == 1 { "classifier".to_owned() } else { format!("classifier.{}", 3 * i) };
        found.rename(&format!("linear{i}"), &to);
    }
    let place =
        |i: usize| if count <= 1 { "classifier.weight".to_owned() } else { format!("classifier.{}.weight", 3 * i) };
    let widths: Vec<usize> = (0..count.max(1)).map(|i| Ok(found.shape::<2>(&place(i))?[0])).collect::<Result<_>>()?;
    let Some((&classes, hidden)) = widths.split_last() else {
        return Err(Error::value("parameters", "missing `classifier`"));
    };
    let outputs = stages.last().and_then(|s| s.last()).copied().unwrap_or(1);
    let [_, flat] = found.shape::<2>(&place(0))?;
    let side = (flat / outputs).isqrt();
    if side * side * outputs != flat {
        let reason = format!("{flat} inputs are not square maps of {outputs} channels");
        return Err(Error::value(format!("weight `{}`", place(0)), reason));
    }
    let cfg = VggConfig {
        channels: found.at.input.0,
        classes,
        stages,
        batch_norm,
        side,
        hidden: hidden.to_vec(),
        activation: found.activation(Activation::Relu),
        normalize: found.at.normalize.clone(),
    };
    found.finish(|values, dtype, device| Vgg::make(cfg, values, dtype, device))
}
