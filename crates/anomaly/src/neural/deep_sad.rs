//! Deep SVDD and deep SAD: the distance to a centre in a learned feature space.

use super::network::{Mlp, NetworkConfig, examples, fit, score};
use crate::{Detector, Error, Loaded, Method, Result, State, TrainingRows};
use candle_core::{D, Device, Tensor};
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Mode, Rng};
use serde::{Deserialize, Serialize};

/// Configuration of [`DeepSad`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `network` | [`NetworkConfig`] | sizes and training; the last of `hidden` is the dimension of the learned space | |
/// | `eta` | 1 | weight of known anomalies; with 0 they are excluded, which is deep SVDD | finite, >= 0 |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeepSadConfig {
    /// Sizes and training.
    pub network: NetworkConfig,
    /// Weight of known anomalies.
    pub eta: f64,
}

impl Default for DeepSadConfig {
    fn default() -> Self {
        Self { network: NetworkConfig::default(), eta: 1.0 }
    }
}

/// A network without biases maps normal examples close to a centre c and known anomalies away from it. With
/// `d^2 = norm(f(x) - c)^2` the loss is the mean of `d^2` over normal examples and of `eta / d^2` over known anomalies. The
/// score is `d^2`. The centre c is the mean output for the normal examples before training, with coordinates of magnitude at
/// least 0.1.
///
/// With a bias the network could map every input to c. The papers pretrain the network as an autoencoder; this implementation
/// does not.
///
/// Source: Ruff et al. (2018), ICML, for deep SVDD; Ruff et al. (arXiv 1906.02694), equation 8, for deep SAD.
#[derive(Clone, Debug)]
pub struct DeepSad {
    cfg: DeepSadConfig,
}

impl DeepSad {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: DeepSadConfig) -> Result<Self> {
        cfg.network.validate()?;
        require("DeepSadConfig.eta", cfg.eta.is_finite() && cfg.eta >= 0.0, "finite and >= 0", cfg.eta)?;
        Ok(Self { cfg })
    }
}

#[derive(Debug)]
struct Fitted {
    values: Values,
    net: Mlp,
    /// (1, units of the last layer).
    centre: Tensor,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Values {
    cfg: DeepSadConfig,
    width: usize,
}

impl Values {
    fn net(&self, rng: &Rng, device: &Device) -> Result<Mlp> {
        let hidden = self.cfg.network.hidden.iter().copied();
        let widths: Vec<usize> = std::iter::once(self.width).chain(hidden).collect();
        Mlp::unbiased(&widths, self.cfg.network.activation, rng, device)
    }
}

/// `norm(f(x) - c)^2` of each row.
fn distance(net: &Mlp, centre: &Tensor, x: &Tensor, mode: Mode) -> Result<Tensor> {
    Ok(net.forward(x, mode)?.broadcast_sub(centre)?.sqr()?.sum(D::Minus1)?)
}

/// The mean output, with magnitudes of at least 0.1: weights of 0 would reach a coordinate of 0.
fn centre(net: &Mlp, normals: &Tensor) -> Result<Tensor> {
    let mean = net.forward(normals, Mode::Frozen)?.mean(0)?;
    let kept: Vec<f32> = mean.to_vec1::<f32>()?.into_iter().map(|c| c.abs().max(0.1).copysign(c)).collect();
    Ok(Tensor::new(kept, mean.device())?.unsqueeze(0)?)
}

impl Method for DeepSad {
    fn fit(&self, train: &TrainingRows<'_>, rng: &Rng) -> Result<Box<dyn Detector>> {
        let normals = train.normals()?;
        let train = if self.cfg.eta == 0.0 { &train.with_rows(&normals, None) } else { train };
        let rows = examples(train, self)?;
        let values = Values { cfg: self.cfg.clone(), width: rows.x.dim(1)? };
        let net = values.net(rng, rows.x.device())?;
        let centre = centre(&net, &examples(&TrainingRows::normal(&normals), self)?.x)?;
        fit(&net.params, &rows, &self.cfg.network, rng, |x, known, _| {
            let d = distance(&net, &centre, x, Mode::Train)?;
            // Each branch gets the distances of its own examples, because that of a normal example may be 0.
            let is = known.gt(0.5)?;
            let anomaly = ((is.where_cond(&d, &d.ones_like()?)? + 1e-6)?.recip()? * self.cfg.eta)?;
            Ok(is.where_cond(&anomaly, &d)?)
        })?;
        Ok(Box::new(Fitted { values, net, centre }))
    }
}

pub(crate) fn restore(from: &Loaded) -> Result<Box<dyn Detector>> {
    let values: Values = from.values()?;
    let net = values.net(&Rng::new(0), from.device())?;
    let mut tensors = from.tensors().clone();
    let centre = tensors.remove("centre").ok_or_else(|| Error::value("detector", "no tensor `centre`"))?;
    net.params.restore(&tensors)?;
    let last = values.cfg.network.hidden.last().copied().unwrap_or(0);
    if centre.dims() != [1, last] {
        return Err(Error::shape("centre", format!("(1, {last})"), centre.dims()));
    }
    Ok(Box::new(Fitted { values, net, centre: centre.to_device(from.device())? }))
}

impl Detector for Fitted {
    fn name(&self) -> &'static str {
        "deep-sad"
    }

    fn features(&self) -> usize {
        self.values.width
    }

    fn score(&self, x: &Tensor) -> Result<Tensor> {
        score(x, self.values.width, &self.net.params, |x| distance(&self.net, &self.centre, x, Mode::Frozen))
    }

    fn state(&self) -> Result<State> {
        let mut state = State::of(&self.values, &self.net.params)?;
        state.tensors.push(("centre".to_owned(), self.centre.clone()));
        Ok(state)
    }
}
