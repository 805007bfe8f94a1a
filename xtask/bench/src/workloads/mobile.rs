//! A depthwise network: MobileNetV2 for small images.

use super::images::train;
use super::{Exchange, Work};
use anyhow::Result;
use candle_core::DType;
use sconce_tensor_core::nets::{MobileNetV2, MobileNetV2Config};
use sconce_tensor_core::{Module, Rng};

const BATCH: usize = 32;
const SIDE: usize = 32;

/// The form for 32x32 images: the stem and the second stage have stride 1, and shortcuts that change the channels are 1x1 convolutions.
fn config() -> MobileNetV2Config {
    let mut cfg = MobileNetV2Config { small: true, ..MobileNetV2Config::default() };
    cfg.stages[1].stride = 1;
    cfg
}

/// Multiplications of the forward pass for one image.
fn products(cfg: &MobileNetV2Config) -> usize {
    let (mut side, mut from) = (SIDE, cfg.width);
    let mut sum = cfg.channels * 9 * cfg.width * side * side;
    for stage in &cfg.stages {
        for i in 0..stage.blocks {
            let wide = from * stage.expansion;
            sum += from * wide * side * side;
            let stride = if i == 0 { stage.stride } else { 1 };
            side /= stride;
            sum += (9 * wide + wide * stage.channels) * side * side;
            if stride == 1 && from != stage.channels {
                sum += from * stage.channels * side * side;
            }
            from = stage.channels;
        }
    }
    sum + from * cfg.last_width * side * side + cfg.last_width * cfg.classes
}

/// A training step.
pub fn train_step(out: &mut Exchange) -> Result<Work> {
    let cfg = config();
    let flops = 2.0 * (BATCH * products(&cfg)) as f64;
    let net = MobileNetV2::new(cfg, Rng::new(0), DType::F32, &out.device)?;
    out.put_params("", net.params())?;
    let (x, y) = (out.images(&[BATCH, 3, SIDE, SIDE])?, out.labels("y", BATCH, 10)?);
    train(net, x, y, flops)
}
