//! The plain neural classifier: good where anomalies are known, blind where they are not.

use super::network::{Mlp, NetworkConfig, examples, fit, require_known, score};
use crate::{Detector, Loaded, Method, Result, State, Training};
use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::{Mode, Rng, ops};
use serde::{Deserialize, Serialize};

/// A network with one output, the logit of being an anomaly, trained by cross-entropy on known anomalies against all others.
/// It scores by the logit.
#[derive(Clone, Debug)]
pub struct NeuralClassifier {
    cfg: NetworkConfig,
}

impl NeuralClassifier {
    /// Validates the configuration; `hidden` are all hidden layers.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the field.
    pub fn new(cfg: NetworkConfig) -> Result<Self> {
        cfg.validate()?;
        Ok(Self { cfg })
    }
}

#[derive(Debug)]
struct Fitted {
    values: Values,
    net: Mlp,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Values {
    cfg: NetworkConfig,
    width: usize,
}

impl Values {
    fn net(&self, rng: &Rng, device: &Device) -> Result<Mlp> {
        Mlp::scalar(self.width, &self.cfg, rng, device)
    }
}

/// The cross-entropy of the two classes with the logits 0 and z.
fn cross_entropy(z: &Tensor, known: &Tensor) -> Result<Tensor> {
    ops::cross_entropy(&Tensor::stack(&[&z.zeros_like()?, z], 1)?, &known.to_dtype(DType::U32)?)
}

impl Method for NeuralClassifier {
    fn fit(&self, train: &Training<'_>, rng: &Rng) -> Result<Box<dyn Detector>> {
        let (x, known) = examples(train)?;
        require_known(&known, "a classifier")?;
        let values = Values { cfg: self.cfg.clone(), width: x.dim(1)? };
        let net = values.net(rng, x.device())?;
        fit(&net.params, (&x, &known), &self.cfg, rng, |x, known, _| {
            cross_entropy(&net.forward(x, Mode::Train)?.squeeze(1)?, known)
        })?;
        Ok(Box::new(Fitted { values, net }))
    }
}

pub(super) fn restore(from: &Loaded) -> Result<Box<dyn Detector>> {
    let values: Values = from.values()?;
    let net = values.net(&Rng::new(0), from.device())?;
    net.restore(from)?;
    Ok(Box::new(Fitted { values, net }))
}

impl Detector for Fitted {
    fn name(&self) -> &'static str {
        "classifier"
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
