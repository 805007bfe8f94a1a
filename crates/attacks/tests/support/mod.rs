//! Small networks and images that the tests share.
#![allow(dead_code, unreachable_pub)] // each test file takes what it needs

use candle_core::{DType, Device, Tensor};
use sconce_attacks::{Classifier, Rng};
use sconce_tensor_core::nets::{SmallCnn, SmallCnnConfig};
use sconce_tensor_core::optim::{Optimizer, Sgd, SgdConfig};
use sconce_tensor_core::{Mode, Module, Network, ops};

const ROW: [usize; 3] = [1, 8, 8];

pub fn cnn() -> SmallCnn {
    let cfg =
        SmallCnnConfig { input: (1, 8, 8), classes: 4, channels: (3, 4), kernel: 3, hidden: 8, ..Default::default() };
    SmallCnn::new(cfg, Rng::new(0), DType::F32, &Device::Cpu).unwrap()
}

/// The same network after it has learnt which quarter of an image is bright, and some such images.
pub fn trained(n: usize) -> (SmallCnn, Tensor, Tensor) {
    let (net, many) = (cnn(), 64);
    let y: Vec<u32> = (0..many).map(|i| i % 4).collect();
    let noise = Rng::new(4).uniforms(many as usize * 64);
    let pixel = |i: usize, r: usize, c: usize| {
        let bright = r / 4 * 2 + c / 4 == i % 4;
        (0.5 * noise[i * 64 + r * 8 + c] + if bright { 0.3 } else { 0.0 }) as f32
    };
    let values: Vec<f32> = (0..many as usize * 64).map(|k| pixel(k / 64, k / 8 % 8, k % 8)).collect();
    let x = Tensor::from_vec(values, (many as usize, 1, 8, 8), &Device::Cpu).unwrap();
    let y = Tensor::new(y, &Device::Cpu).unwrap();
    let mut sgd = Sgd::new(SgdConfig { lr: 0.1, ..SgdConfig::default() }).unwrap();
    for _ in 0..60 {
        let loss = ops::cross_entropy(&net.forward(&x, Mode::Train).unwrap(), &y).unwrap().mean_all().unwrap();
        sgd.step(net.params(), &ops::backward(&loss).unwrap()).unwrap();
    }
    (net, x.narrow(0, 0, n).unwrap(), y.narrow(0, 0, n).unwrap())
}

pub fn images(n: usize) -> Tensor {
    Rng::new(1).uniform([&[n], &ROW[..]].concat(), 0.0..1.0, DType::F32, &Device::Cpu).unwrap()
}

/// Labels that the network gives, but for every fourth.
pub fn labels(model: &dyn Classifier, x: &Tensor) -> Tensor {
    let mut y = sconce_tensor_core::classifier::predict(model, x, 16).unwrap();
    y.iter_mut().step_by(4).for_each(|y| *y = (*y + 1) % model.classes() as u32);
    Tensor::new(y, &Device::Cpu).unwrap()
}
