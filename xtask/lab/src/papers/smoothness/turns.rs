//! How fast the gradient of a network changes along random directions of the weights.

use super::config::Training;
use super::mlp::Mlp;
use crate::pieces::data::Parts;
use anyhow::{Result, ensure};
use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::{Mode, Module, Network, Rng, attack, ops};
use sconce_theory::Weights;
use sconce_theory::landscape::{Direction, Normalise};
use sconce_theory::smoothness::lipschitz_along;
use serde::{Deserialize, Serialize};

/// One distance: the largest Lipschitz ratio of each gradient, that is the distance of two gradients over that of their weights.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Turn {
    pub distance: f64,
    pub clean: f64,
    pub l2: f64,
    pub linf: f64,
}

/// Ratios of neighbouring gradients along random directions, in f64, for the attack of one step at the same L2 norm:
/// `eps g / norm(g)` and `eps sign(g) / sqrt(D)`.
pub fn dichotomy(cfg: &Training, parts: &Parts, net: &Mlp, seed: u64, distances: &[f64]) -> Result<Vec<Turn>> {
    let few = parts.train.slice(0, cfg.examples)?;
    let x = few.x().to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_from(1)?;
    let y = few.y().to_device(&Device::Cpu)?;
    let dims = x.dim(1)?;
    let wide = Mlp::new((dims, cfg.hidden, few.classes()), seed, DType::F64, &Device::Cpu)?;
    wide.params().restore(&net.params().snapshot()?.into_iter().collect())?;
    let eps = cfg.eps * (dims as f64).sqrt();
    let weights = Weights::new(wide.params())?;
    let gradient = |kind: usize| -> sconce_theory::Result<Vec<f64>> {
        let loss = |x: &Tensor, mode| ops::cross_entropy(&wide.forward(x, mode)?, &y);
        let at = if kind == 0 {
            x.clone()
        } else {
            let g = attack::input_gradient(&x, |x| Ok(loss(x, Mode::Frozen)?.sum_all()?))?.detach();
            let delta = match kind {
                1 => g.broadcast_div(&g.sqr()?.sum_keepdim(1)?.sqrt()?)?.affine(eps, 0.0)?,
                _ => g.sign()?.affine(cfg.eps, 0.0)?,
            };
            (&x + delta)?
        };
        let grads = ops::last_backward(&loss(&at, Mode::Train)?.mean_all()?)?;
        let mut all = Vec::new();
        for p in wide.params().trainable() {
            let missing = || sconce_theory::Error::NoGradient { name: p.name().to_owned() };
            all.extend(grads.get(p.var()).ok_or_else(missing)?.flatten_all()?.to_vec1::<f64>()?);
        }
        Ok(all)
    };
    let one = |&h: &f64| -> Result<Turn> {
        let mut found = [0.0f64; 3];
        for k in 0..3 {
            let d = Direction::random(&weights, Normalise::Unit, &Rng::new(seed).stream("turn").at(k))?;
            let steps: Vec<f64> = (0..4).map(|i| f64::from(i) * h).collect();
            for (kind, most) in found.iter_mut().enumerate() {
                *most = most.max(lipschitz_along(&weights, &d, &steps, || gradient(kind))?.largest);
            }
        }
        ensure!(found.iter().all(|v| v.is_finite()), "a gradient that is not finite");
        Ok(Turn { distance: h, clean: found[0], l2: found[1], linf: found[2] })
    };
    distances.iter().map(one).collect()
}
