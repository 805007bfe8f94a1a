//! [`Vit`]: timm's names (`blocks.0.attn.qkv`), and torchvision's (`encoder.layers.encoder_layer_0.self_attention.in_proj_weight`).

use super::number;
use crate::nets::load::family::{Family, Form, Found};
use crate::nets::{Vit, VitConfig, VitPooling};
use crate::nn::{Activation, Network};
use crate::{Error, Result};

const NEEDS: &[&str] = &["patch_embed.proj.weight", "pos_embed", "blocks.0.attn.qkv.weight", "head.weight"];
const PARTS: &[&str] = &["patch_embed", "cls_token", "pos_embed", "blocks", "norm", "fc_norm", "head"];

pub(super) static FAMILY: Family = Family {
    title: "Vit",
    names: &["vit"],
    published: &[
        "vit_ti_16",
        "vit_s_16",
        "vit_b_16",
        "vit_b_32",
        "vit_l_16",
        "vit_l_32",
        "vit_h_14",
        "vit_tiny_patch16_224",
        "vit_small_patch16_224",
        "vit_base_patch16_224",
        "vit_large_patch16_224",
    ],
    forms: &[
        Form { anchors: &["patch_embed.proj.weight"], needs: NEEDS, parts: PARTS, ..Form::PLAIN },
        Form { anchors: &["conv_proj.weight"], name, needs: NEEDS, parts: PARTS, ..Form::PLAIN },
    ],
    build,
};

/// torchvision's names.
fn name(theirs: &str) -> String {
    let parts: Vec<&str> = theirs.split('.').collect();
    match parts.as_slice() {
        ["class_token"] => "cls_token".to_owned(),
        ["encoder", "pos_embedding"] => "pos_embed".to_owned(),
        ["conv_proj", rest] => format!("patch_embed.proj.{rest}"),
        ["encoder", "ln", rest] => format!("norm.{rest}"),
        ["heads", "head", rest] => format!("head.{rest}"),
        ["encoder", "layers", layer, part @ ..] if number(layer, "encoder_layer_").is_some() => {
            let part = match part {
                ["ln_1", rest] => format!("norm1.{rest}"),
                ["ln_2", rest] => format!("norm2.{rest}"),
                ["self_attention", "in_proj_weight"] => "attn.qkv.weight".to_owned(),
                ["self_attention", "in_proj_bias"] => "attn.qkv.bias".to_owned(),
                ["self_attention", "out_proj", rest] => format!("attn.proj.{rest}"),
                ["mlp", "0" | "linear_1", rest] => format!("mlp.fc1.{rest}"),
                ["mlp", "3" | "linear_2", rest] => format!("mlp.fc2.{rest}"),
                other => other.join("."),
            };
            format!("blocks.{}.{part}", &layer["encoder_layer_".len()..])
        }
        _ => theirs.to_owned(),
    }
}

fn build(found: Found<'_>) -> Result<Box<dyn Network>> {
    let (dim, patch) = found.first("patch_embed.proj.weight")?;
    let depth = found.count(|i| format!("blocks.{i}.attn.qkv.weight"));
    let ([hidden, _], [classes, _]) = (found.shape::<2>("blocks.0.mlp.fc1.weight")?, found.shape::<2>("head.weight")?);
    let size = match (dim, depth) {
        (192, 12) => Some(("ti", "tiny")),
        (384, 12) => Some(("s", "small")),
        (768, 12) => Some(("b", "base")),
        (1024, 24) => Some(("l", "large")),
        (1280, 32) => Some(("h", "huge")),
        _ => None,
    };
    let names = |(short, long): (&str, &str)| [format!("vit_{short}_{patch}"), format!("vit_{long}_patch{patch}_224")];
    let published: Vec<String> = size.into_iter().flat_map(names).collect();
    found.check(&published, &format!("{depth} blocks of {dim} channels, patches of {patch}x{patch}"))?;
    let heads = match (found.at.heads, size) {
        (Some(heads), _) => heads,
        // The published one has heads of 80 channels.
        (None, Some(("h", _))) => 16,
        (None, _) if dim.is_multiple_of(64) => dim / 64,
        (None, _) => {
            let reason = format!(
                "{dim} channels are no multiple of 64, the usual size of a head; say how many heads there are (--heads)"
            );
            return Err(Error::config("LoadConfig.heads", reason));
        }
    };
    let (c, h, w) = found.at.input;
    let token = found.tensors.contains_key("cls_token");
    let count = (h / patch) * (w / patch) + usize::from(token);
    found.expect("pos_embed", [1, count, dim], &format!("for images of {h}x{w} and patches of {patch}x{patch}"))?;
    let pooling = match (found.tensors.contains_key("fc_norm.weight"), token) {
        (true, _) => VitPooling::MeanBeforeNorm,
        (false, true) => VitPooling::Token,
        (false, false) => VitPooling::Mean,
    };
    let cfg = VitConfig {
        input: (c, h, w),
        classes,
        patch,
        dim,
        depth,
        heads,
        hidden,
        token,
        pooling,
        activation: found.activation(Activation::Gelu),
        normalize: found.at.normalize.clone(),
    };
    found.finish(|values, dtype, device| Vit::make(cfg, values, dtype, device))
}
