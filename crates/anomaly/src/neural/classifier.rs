//! A supervised neural classifier: it detects known anomalies, but not unknown ones.

use super::network::{NetworkConfig, examples, fit, require_known};
use super::scalar::{Config, Scalar};
use crate::{Detector, Loaded, Method, Result, TrainingRows};
use candle_core::{DType, Tensor};
use sconce_tensor_core::{Rng, ops};

/// A network with one output, the logit of the class "anomaly", trained with cross-entropy on known anomalies against all other
/// examples. The score is the logit.
#[derive(Clone, Debug)]
pub struct NeuralClassifier {
    cfg: NetworkConfig,
}

impl NeuralClassifier {
    /// Validates the configuration; `hidden` lists all hidden layers.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the field.
    pub fn new(cfg: NetworkConfig) -> Result<Self> {
        cfg.validate()?;
        Ok(Self { cfg })
    }
}

impl Config for NetworkConfig {
    const NAME: &'static str = "classifier";

    fn network(&self) -> &NetworkConfig {
        self
    }
}

/// The cross-entropy of the two classes with the logits 0 and z.
fn cross_entropy(z: &Tensor, known: &Tensor) -> Result<Tensor> {
    ops::cross_entropy(&Tensor::stack(&[&z.zeros_like()?, z], 1)?, &known.to_dtype(DType::U32)?)
}

impl Method for NeuralClassifier {
    fn fit(&self, train: &TrainingRows<'_>, rng: &Rng) -> Result<Box<dyn Detector>> {
        let rows = examples(train, self)?;
        require_known(&rows.known, "a classifier")?;
        let fitted = Scalar::new(&self.cfg, rows.x.dim(1)?, rng, rows.x.device())?;
        fit(&fitted.net.params, &rows, &self.cfg, rng, |x, known, _| cross_entropy(&fitted.train(x)?, known))?;
        Ok(Box::new(fitted))
    }
}

pub(crate) fn restore(from: &Loaded) -> Result<Box<dyn Detector>> {
    Scalar::<NetworkConfig>::restore(from)
}
