//! Networks with a single output, which is the score.

use super::network::{Mlp, NetworkConfig, score};
use crate::{Detector, Loaded, Result, State};
use candle_core::{Device, Tensor};
use sconce_tensor_core::{Mode, Rng};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

/// A configuration that contains a network.
pub(super) trait Config: Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The method's name in files.
    const NAME: &'static str;

    fn network(&self) -> &NetworkConfig;
}

/// The fitted network.
#[derive(Debug)]
pub(super) struct Scalar<C> {
    values: Values<C>,
    pub(super) net: Mlp,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Values<C> {
    cfg: C,
    width: usize,
}

impl<C: Config> Scalar<C> {
    /// A network with initial weights from `rng`.
    pub(super) fn new(cfg: &C, width: usize, rng: &Rng, device: &Device) -> Result<Self> {
        let net = Mlp::scalar(width, cfg.network(), rng, device)?;
        Ok(Self { values: Values { cfg: cfg.clone(), width }, net })
    }

    pub(super) fn restore(from: &Loaded) -> Result<Box<dyn Detector>> {
        let Values { cfg, width } = from.values::<Values<C>>()?;
        let it = Self::new(&cfg, width, &Rng::new(0), from.device())?;
        it.net.restore(from)?;
        Ok(Box::new(it))
    }

    /// The output in training mode, with the weights in the graph: (N, D) -> (N,).
    pub(super) fn train(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.net.forward(x, Mode::Train)?.squeeze(1)?)
    }
}

impl<C: Config> Detector for Scalar<C> {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn features(&self) -> usize {
        self.values.width
    }

    fn score(&self, x: &Tensor) -> Result<Tensor> {
        score(x, self.values.width, &self.net.params, |x| Ok(self.net.forward(x, Mode::Frozen)?.squeeze(1)?))
    }

    fn state(&self) -> Result<State> {
        State::of(&self.values, &self.net.params)
    }
}
