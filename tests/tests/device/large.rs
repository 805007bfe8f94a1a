//! Operations at the sizes of networks, for what they cost.

use crate::cases::{Case, below, case, joined, normal, of_first};
use candle_core::Tensor;
use sconce_tensor_core::ops::{self, Conv2dSpec, ConvTranspose2dSpec, LstmWeights, Output, Pool2dSpec};

/// Normals divided by the root of a number of summands.
fn scaled(shape: &[usize], summands: usize) -> Tensor {
    (normal(shape) / (summands as f64).sqrt()).unwrap()
}

pub(crate) fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (n, c, side, stride) in [(64, 64, 32, 1), (64, 128, 16, 1), (64, 256, 8, 1), (64, 512, 4, 1), (64, 64, 32, 2)] {
        let s = Conv2dSpec { stride: (stride, stride), ..Conv2dSpec::same(3) };
        let args = vec![normal(&[n, c, side, side]), scaled(&[c, c, 3, 3], 9 * c)];
        all.push(case(format!("large conv2d {n}x{c}x{side}x{side} k3 s{stride}"), args, move |t| {
            Ok(ops::conv2d(&t[0], &t[1], None, s)?)
        }));
    }
    let s = Conv2dSpec { groups: 256, ..Conv2dSpec::same(3) };
    let args = vec![normal(&[64, 256, 16, 16]), scaled(&[256, 1, 3, 3], 9)];
    all.push(case("large depthwise conv2d 64x256x16x16 k3", args, move |t| Ok(ops::conv2d(&t[0], &t[1], None, s)?)));
    let s = ConvTranspose2dSpec { stride: (2, 2), padding: (1, 1), ..ConvTranspose2dSpec::default() };
    let args = vec![normal(&[64, 256, 4, 4]), scaled(&[256, 128, 4, 4], 16 * 256)];
    all.push(case("large conv_transpose2d 64x256x4x4 k4 s2", args, move |t| {
        Ok(ops::conv_transpose2d(&t[0], &t[1], None, s)?)
    }));
    let x = || normal(&[64, 64, 32, 32]);
    let c = || normal(&[64]);
    all.extend([
        case("large batch_norm + relu 64x64x32x32", vec![x(), c(), c()], |t| {
            Ok(ops::batch_norm(&t[0], &t[1], &t[2], 1e-5, None, Some(ops::Rectifier::RELU))?.output)
        }),
        case("large channel_affine 64x64x32x32", vec![x(), c(), c()], |t| {
            Ok(ops::channel_affine(&t[0], &t[1], &t[2])?)
        }),
        case("large max_pool2d 64x64x32x32", vec![x()], |t| Ok(ops::max_pool2d(&t[0], Pool2dSpec::tiles(2))?)),
        case("large avg_pool2d 64x64x32x32", vec![x()], |t| Ok(ops::avg_pool2d(&t[0], Pool2dSpec::tiles(2))?)),
        case("large global_avg_pool2d 64x512x4x4", vec![normal(&[64, 512, 4, 4])], |t| {
            Ok(ops::global_avg_pool2d(&t[0])?)
        }),
        case("large relu 64x64x32x32", vec![x()], |t| Ok(ops::relu(&t[0])?)),
        case("large upsample_bilinear2d 64x64x16x16", vec![normal(&[64, 64, 16, 16])], |t| {
            Ok(ops::upsample_bilinear2d(&t[0], (32, 32), false)?)
        }),
        case(
            "large linear 1024x1024x1024",
            vec![normal(&[1024, 1024]), scaled(&[1024, 1024], 1024), normal(&[1024])],
            |t| Ok(ops::linear(&t[0], &t[1], Some(&t[2]))?),
        ),
    ]);
    for o in [Output::Softmax, Output::Sigsoftmax] {
        all.push(case(
            format!("large output_nll 700x10000 {o:?}"),
            vec![normal(&[700, 10_000]), below(700, 10_000)],
            move |t| Ok(ops::output_nll(&t[0], &t[1], o)?),
        ));
    }
    // More logits than are kept: the rows are taken in blocks.
    let args = vec![normal(&[1100, 16]), scaled(&[33_000, 16], 16), normal(&[33_000]), below(1100, 33_000)];
    all.push(case("large linear_nll 1100x16x33000", args, |t| {
        Ok(ops::linear_nll(&t[0], &t[1], Some(&t[2]), &t[3], Output::Softmax)?)
    }));
    let (steps, batch, h) = (35, 20, 400);
    let args = vec![
        normal(&[steps, batch, h]),
        scaled(&[4 * h, h], h),
        scaled(&[4 * h, h], h),
        scaled(&[4 * h], h),
        normal(&[batch, h]),
        normal(&[batch, h]),
    ];
    all.push(of_first(
        6,
        case("large lstm 35x20x400", args, |t| {
            let weights = LstmWeights { input: &t[1], recurrent: &t[2], bias: Some(&t[3]) };
            let y = ops::lstm(&t[0], &t[4], &t[5], weights, None)?;
            joined(&[&y.outputs, &y.hidden, &y.cell])
        }),
    ));
    all.push(case("large embedding 10000x400, 700", vec![normal(&[10_000, 400]), below(700, 10_000)], |t| {
        Ok(ops::embedding(&t[0], &t[1])?)
    }));
    all
}
