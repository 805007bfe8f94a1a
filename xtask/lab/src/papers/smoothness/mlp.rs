//! A small network without kinks of its own.

use anyhow::Result;
use candle_core::{DType, Device, Tensor, Var};
use sconce_tensor_core::nn::{Builder, Init};
use sconce_tensor_core::{Mode, Module, Network, Params, Rng, Role, ops};

/// Two dense layers with tanh between them.
#[derive(Debug)]
pub struct Mlp {
    params: Params,
    layers: [(Var, Var); 2],
    classes: usize,
}

impl Mlp {
    /// Its first values are a function of the sizes and the seed.
    pub fn new(
        (inputs, hidden, classes): (usize, usize, usize),
        seed: u64,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let mut params = Params::new();
        let mut b = Builder::new(&mut params, Rng::new(seed), dtype, device);
        let mut layer = |name: &str, from: usize, to: usize| -> Result<(Var, Var)> {
            let mut b = b.scope(name);
            let weight = b.param("weight", Role::Weight, (to, from), Init::fan_in(from))?;
            Ok((weight, b.param("bias", Role::Bias, to, Init::fan_in(from))?))
        };
        let layers = [layer("fc1", inputs, hidden)?, layer("fc2", hidden, classes)?];
        Ok(Self { params, layers, classes })
    }
}

impl Module for Mlp {
    fn params(&self) -> &Params {
        &self.params
    }
}

impl Network for Mlp {
    fn forward(&self, x: &Tensor, mode: Mode) -> sconce_tensor_core::Result<Tensor> {
        let [a, b] = &self.layers;
        let linear = |x: &Tensor, l: &(Var, Var)| ops::linear(x, &mode.tensor(&l.0), Some(&mode.tensor(&l.1)));
        linear(&linear(&x.flatten_from(1)?, a)?.tanh()?, b)
    }

    fn outputs(&self) -> usize {
        self.classes
    }
}
