//! The model that is evaluated: weights of a known architecture, or an ONNX file, and what a reader should know of it.

use super::input::{Examples, Weights, sha256};
use super::weights;
use crate::args::{Attack, Layout};
use anyhow::{Context, Result, bail};
use candle_core::DType;
use sconce_onnx::{OnnxConfig, OnnxNet};
use sconce_tensor_core::nets::load::{Choice, Loaded};
use sconce_tensor_core::nn::Normalize;
use sconce_tensor_core::{Device, Network};
use serde_json::{Value, json};
use std::io::Read;
use std::path::PathBuf;

/// A network with what is told of it.
pub(crate) struct Opened {
    pub(crate) network: Box<dyn Network>,
    pub(crate) told: Told,
}

/// What is told of a model in reports.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// Its architecture, as it was asked for, or `ONNX`.
    pub(crate) arch: String,
    /// What a user wants to know of how it was read, one sentence each.
    pub(crate) notes: Vec<String>,
    /// The choices that were made, for `--verbose`.
    pub(crate) detail: String,
    /// The same for programs.
    pub(crate) fields: Value,
    /// Whether inputs are normalised inside.
    pub(crate) normalized: bool,
}

impl Told {
    fn of_weights(arch: &str, choice: &Choice, asked: bool) -> Self {
        let Choice { key, prefix, dropped, .. } = choice;
        Self {
            arch: arch.to_owned(),
            notes: weights::notes(choice).into_iter().map(|n| format!("weights: {n}")).collect(),
            detail: format!("weights: key `{key}`, prefix `{prefix}`, left out {dropped:?}"),
            fields: json!({
                "key": key, "others": choice.others, "prefix": prefix,
                "left_out": dropped.iter().chain(&choice.outside).collect::<Vec<_>>(),
                "mean": choice.normalize.as_ref().map(|n| &n.0), "std": choice.normalize.as_ref().map(|n| &n.1),
                "notes": weights::notes(choice),
            }),
            normalized: asked || choice.normalize.is_some(),
        }
    }

    fn of_onnx(net: &OnnxNet, asked: bool) -> Result<Self> {
        let digest = |p: &PathBuf| -> Result<Value> { Ok(json!({ "file": p, "sha256": sha256(p)? })) };
        let beside = net.files().iter().map(digest).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            arch: "ONNX".to_owned(),
            notes: net.notes().iter().map(|n| format!("model: {n}")).collect(),
            detail: format!("ONNX: input `{}` {}", net.input().name, net.input().describe()),
            fields: json!({
                "input": net.input().name, "shape": net.input().describe(), "peeled": net.peeled().map(sconce_onnx::Peeled::name),
                "notes": net.notes(), "files": beside,
            }),
            normalized: asked,
        })
    }
}

/// Whether the model is an ONNX file: by its ending, or, where no architecture is named, by its first byte.
fn is_onnx(args: &Attack) -> Result<bool> {
    let named = args.model.extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx"));
    if named {
        if let Some(arch) = &args.arch {
            bail!("--arch {arch}: an ONNX file has its architecture in it; leave --arch out");
        }
        return Ok(true);
    }
    if args.arch.is_some() {
        return Ok(false);
    }
    let mut first = [0u8; 1];
    let read = std::fs::File::open(&args.model).and_then(|mut f| f.read(&mut first));
    let read = read.map_err(sconce_tensor_core::Error::io(&args.model))?;
    // The version of the format, the first field of the files that exporters write.
    if read == 1 && first[0] == 8 {
        return Ok(true);
    }
    bail!(
        "--arch is missing: {} is no ONNX file, and weights alone do not say what network they are of",
        args.model.display()
    )
}

/// The model of the arguments with examples that have its channels, and no more classes than it has outputs.
///
/// # Errors
/// As [`open`], [`Examples::take_channels`] and [`Examples::take_outputs`].
pub(crate) fn open_for(args: &Attack, mut examples: Examples, device: &Device) -> Result<(Opened, Examples)> {
    let example = examples.x.dims()[1..].to_vec();
    let opened = open(args, &example, DType::F32, device).or_else(|e| {
        // A model of grey images, or of images in colour.
        let other = if example[0] == 1 { 3 } else { 1 };
        let Ok(opened) = open(args, &[&[other], &example[1..]].concat(), DType::F32, device) else { return Err(e) };
        examples.take_channels(other)?;
        Ok(opened)
    })?;
    examples.take_outputs(opened.network.outputs(), args.data.classes.is_some())?;
    Ok((opened, examples))
}

/// Loads the model of the arguments for examples of a shape.
///
/// # Errors
/// A file that cannot be read, weights that do not fit the architecture, an ONNX file that cannot run; options of the other kind of file.
pub(crate) fn open(args: &Attack, example: &[usize], dtype: DType, device: &Device) -> Result<Opened> {
    let normalize = (args.mean.as_deref(), args.std.as_deref());
    if is_onnx(args)? {
        for (option, given) in
            [("--weights-key", args.weights_key.is_some()), ("--activation", args.activation.is_some())]
        {
            if given {
                bail!("{option}: an ONNX file has one set of weights, and its activations in it");
            }
        }
        let cfg = OnnxConfig {
            example: example.to_vec(),
            output: args.output.clone(),
            layout: args.layout.map(|l| match l {
                Layout::Nchw => sconce_onnx::Layout::Nchw,
                Layout::Nhwc => sconce_onnx::Layout::Nhwc,
            }),
            range: args.input_range.as_deref().map(range).transpose()?,
            normalize: match normalize {
                (Some(m), Some(s)) => Some(Normalize::new(m.to_vec(), s.to_vec())?),
                _ => None,
            },
            dtype,
            device: device.clone(),
            ..OnnxConfig::default()
        };
        let net = OnnxNet::open(&args.model, &cfg)?;
        let told = Told::of_onnx(&net, cfg.normalize.is_some())?;
        return Ok(Opened { network: Box::new(net), told });
    }
    for (option, given) in [
        ("--output", args.output.is_some()),
        ("--layout", args.layout.is_some()),
        ("--input-range", args.input_range.is_some()),
    ] {
        if given {
            bail!(
                "{option} is for ONNX files; weights of a known architecture take images (N, C, H, W) in [0, 1], and --mean and --std"
            );
        }
    }
    let &[c, h, w] = example else { bail!("images (N, C, H, W) are needed, but an example is {example:?}") };
    let arch = args.arch.as_deref().context("--arch is missing")?;
    let (file, key, activation) = (args.model.as_path(), args.weights_key.as_deref(), args.activation.as_deref());
    let weights = Weights { arch, activation, heads: args.heads, file, key, normalize };
    let Loaded { network, choice } = weights.load((c, h, w), dtype, device)?;
    let heads = args.heads.map(|h| format!(" of {h} heads")).unwrap_or_default();
    let activation = activation.map(|a| format!(" with {a}")).unwrap_or_default();
    let named = format!("{arch}{heads}{activation}");
    Ok(Opened { network, told: Told::of_weights(&named, &choice, normalize.0.is_some()) })
}

/// `0,255`.
fn range(text: &str) -> Result<(f64, f64)> {
    let parts: Option<Vec<f64>> = text.split(',').map(|p| p.trim().parse().ok()).collect();
    match parts.as_deref() {
        Some([lo, hi]) => Ok((*lo, *hi)),
        _ => bail!("--input-range {text}: give the two ends, for example 0,255 or -1,1"),
    }
}
