//! Augmentations against torchvision: moves of pixels exactly, changes of colour to f32 rounding; mixup against PyTorch.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use anyhow::Result;
use candle_core::{DType, Tensor, Var};
use sconce_tensor_core::train::augment::{
    Mixup, MixupConfig, PadMode, adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation, cutout_at,
    flip_horizontal, flip_vertical, padded_crop, rot90,
};
use sconce_tests::{Golden, deviation};

const SETS: [&str; 2] = ["rgb", "grey"];
/// torchvision computes in f32 with a handful of roundings of values up to about 2.5: 1.2e-7 each, and 6 times
/// that for hue, which is scaled by 6.
const COLOUR: f64 = 2e-6;

fn values(t: &Tensor) -> Result<Vec<f64>> {
    Ok(t.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

/// The numbers of a name such as `crop_edge_4_8_8`.
fn numbers(name: &str) -> Vec<usize> {
    name.split('_').filter_map(|p| p.parse().ok()).collect()
}

/// Checks every case of the file that moves pixels, in f32 and f64, and counts them.
#[test]
fn moves_of_pixels_are_torchvisions() -> Result<()> {
    let g = Golden::load("augment.safetensors")?;
    let mut seen = 0;
    for set in SETS {
        for dtype in [DType::F32, DType::F64] {
            let x = g.get(set)?.to_dtype(dtype)?;
            let n = x.dim(0)?;
            for (name, want) in g.under(&format!("{set}.")) {
                let at = numbers(&name);
                let ours = match name.split('_').next().unwrap() {
                    "hflip" => flip_horizontal(&x, &vec![true; n])?,
                    "vflip" => flip_vertical(&x, &vec![true; n])?,
                    "rot90" => rot90(&x, &vec![at[0] as u8; n])?,
                    "crop" => {
                        let mode = match name.split('_').nth(1) {
                            Some("constant") => PadMode::Zeros,
                            Some("reflect") => PadMode::Reflect,
                            _ => PadMode::Edge,
                        };
                        padded_crop(&x, at[0], mode, &vec![(at[1], at[2]); n])?
                    }
                    "erase" => {
                        // The square that leaves this rectangle when it is clipped.
                        let (centre, size) = match at[..] {
                            [0, 0, 4, 4] => ((1, 1), 5),
                            [6, 7, 3, 2] => ((7, 8), 3),
                            [2, 3, 5, 5] => ((4, 5), 5),
                            _ => ((4, 4), 9),
                        };
                        cutout_at(&x, &vec![centre; n], size, 0.25)?
                    }
                    _ => continue,
                };
                assert_eq!(values(&ours)?, values(&want)?, "{set}.{name} {dtype:?}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 2 * 2 * (2 + 3 + 8 + 4));
    Ok(())
}

#[test]
fn changes_of_colour_are_torchvisions() -> Result<()> {
    let g = Golden::load("augment.safetensors")?;
    let (factors, hues) = (values(g.get("factors")?)?, values(g.get("hues")?)?);
    let mut seen = 0;
    for set in SETS {
        for dtype in [DType::F32, DType::F64] {
            let x = g.get(set)?.to_dtype(dtype)?;
            let n = x.dim(0)?;
            for (name, want) in g.under(&format!("{set}.")) {
                let at = numbers(&name);
                let ours = match name.split('_').next().unwrap() {
                    "brightness" => adjust_brightness(&x, &vec![factors[at[0]]; n])?,
                    "contrast" => adjust_contrast(&x, &vec![factors[at[0]]; n])?,
                    "saturation" => adjust_saturation(&x, &vec![factors[at[0]]; n])?,
                    "hue" => adjust_hue(&x, &vec![hues[at[0]]; n])?,
                    _ => continue,
                };
                let (a, b) = (values(&ours)?, values(&want)?);
                assert_eq!(a.len(), b.len());
                let off = a.iter().zip(&b).fold(0f64, |m, (a, b)| m.max((a - b).abs()));
                assert!(off <= COLOUR, "{set}.{name} {dtype:?}: off by {off}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 2 * 2 * (3 * factors.len() + hues.len()));
    Ok(())
}

/// The mixed inputs and soft targets of `optim.safetensors`, and the gradient through them to the inputs.
#[test]
fn mixup_is_pytorchs() -> Result<()> {
    let g = Golden::load("optim.safetensors")?;
    let lambdas = values(g.get("mixup.lambda")?)?;
    let (y, partner) = (g.get("y")?.to_vec1::<u32>()?, g.get("mixup.partner")?);
    let partner_y: Vec<u32> = partner.to_vec1::<u32>()?.iter().map(|p| y[*p as usize]).collect();
    let x = Var::from_tensor(g.get("x")?)?;
    let partner_x = g.get("x")?.index_select(partner, 0)?;
    let (mixed, targets) =
        Mixup::new(MixupConfig::default())?.mix(x.as_tensor(), &partner_x, &y, &partner_y, &lambdas, 2)?;
    assert!(deviation(&mixed, g.get("mixup.x")?)? < 1e-15);
    assert!(deviation(&targets, g.get("mixup.targets")?)? < 1e-15);
    let logits = |x: &Tensor| -> Result<Tensor> {
        let hidden = x.matmul(&g.get("init.w1")?.t()?)?.broadcast_add(g.get("init.b1")?)?.tanh()?;
        Ok(hidden.matmul(&g.get("init.w2")?.t()?)?.broadcast_add(g.get("init.b2")?)?)
    };
    // d loss / d x = lambda d loss / d mixed, with the loss through our targets.
    let loss = |x: &Tensor| -> Result<Tensor> {
        let log_p = sconce_tensor_core::ops::log_softmax(&logits(x)?)?;
        Ok(((log_p * &targets)?.sum_all()? * (-1.0 / 6.0))?)
    };
    assert!((loss(&mixed)?.to_scalar::<f64>()? - values(g.get("mixup.loss")?)?[0]).abs() < 1e-14);
    let free = Var::from_tensor(&mixed.detach())?;
    let (through, direct) = (loss(&mixed)?.backward()?, loss(free.as_tensor())?.backward()?);
    let column = Tensor::from_vec(lambdas, (6, 1), x.device())?;
    let want = direct.get(&free).unwrap().broadcast_mul(&column)?;
    assert!(deviation(through.get(&x).unwrap(), &want)? < 1e-15);
    Ok(())
}
