//! TRADES: accuracy and the boundary, traded by a weight.

use crate::PgdConfig;
use crate::geometry::{project, random_in_ball, steepest};
use candle_core::{D, Tensor};
use sconce_tensor_core::data::Batch;
use sconce_tensor_core::error::require;
use sconce_tensor_core::train::{LossOutput, Objective};
use sconce_tensor_core::{ExampleRng, Mode, Network, Result, Threat, attack::input_gradient, ops};

/// Configuration of [`Trades`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `beta` | 6 | weight of the divergence | finite, >= 0 |
/// | `attack` | PGD's without random start | radius, norm, steps, length of a step and start of the inner climb; its loss and restarts are not used | |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TradesConfig {
    /// Weight of the divergence.
    pub beta: f64,
    /// The inner climb.
    pub attack: PgdConfig,
}

impl Default for TradesConfig {
    fn default() -> Self {
        Self { beta: 6.0, attack: PgdConfig { random_start: false, ..PgdConfig::default() } }
    }
}

/// `CE(z(x), y) + beta KL(p(x) || p(x'))`, with `x'` found by climbing that divergence from a small normal step
/// (0.001, as in the authors' code; with `random_start` from a random point of the ball).
///
/// Source: Zhang et al. (2019), equation 5 and algorithm 1.
#[derive(Clone, Copy, Debug)]
pub struct Trades {
    cfg: TradesConfig,
    threat: Threat,
}

/// `sum_k p_k (log p_k - log q_k)` of each row, from logits.
pub(super) fn divergence(p: &Tensor, q: &Tensor) -> Result<Tensor> {
    let (p, q) = (ops::log_softmax(p)?, ops::log_softmax(q)?);
    Ok((p.exp()? * (&p - q)?)?.sum(D::Minus1)?)
}

impl Trades {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`sconce_tensor_core::Error::Config`] naming the field.
    pub fn new(cfg: TradesConfig) -> Result<Self> {
        require("TradesConfig.beta", cfg.beta.is_finite() && cfg.beta >= 0.0, "finite and >= 0", cfg.beta)?;
        require("TradesConfig.attack.steps", cfg.attack.steps >= 1, "at least 1", cfg.attack.steps)?;
        cfg.attack.step_size.validate("TradesConfig.attack.step_size")?;
        Ok(Self { threat: Threat::new(cfg.attack.norm, cfg.attack.eps)?, cfg })
    }

    fn climb(&self, net: &dyn Network, x: &Tensor, rng: &ExampleRng) -> Result<Tensor> {
        let (bounds, pgd) = (net.input_bounds(), &self.cfg.attack);
        let clean = net.forward(x, Mode::Frozen)?.detach();
        let start = if pgd.random_start {
            random_in_ball(x, self.threat, rng)?
        } else {
            (rng.normal(&x.dims()[1..], x.dtype(), x.device())? * 0.001)?
        };
        let mut at = project(&(x + start)?, x, self.threat, bounds)?;
        for _ in 0..pgd.steps {
            let g = input_gradient(&at, |at| Ok(divergence(&clean, &net.forward(at, Mode::Frozen)?)?.sum_all()?))?;
            let step = (steepest(&g, &at, pgd.norm, bounds)? * pgd.step_size.of(pgd.eps))?;
            at = project(&(at + step)?, x, self.threat, bounds)?;
        }
        Ok(at.detach())
    }
}

impl Objective for Trades {
    fn loss(&self, net: &dyn Network, batch: &Batch, rng: &ExampleRng) -> Result<LossOutput> {
        let x = self.climb(net, &batch.x.detach(), rng)?;
        let clean = net.forward(&batch.x, Mode::Train)?;
        let logits = net.forward(&x, Mode::Train)?;
        let apart = divergence(&clean, &logits)?.mean_all()?;
        let loss = (batch.cross_entropy(&clean)?.mean_all()? + (apart * self.cfg.beta)?)?;
        Ok(LossOutput { loss, logits, clean_logits: Some(clean) })
    }
}
