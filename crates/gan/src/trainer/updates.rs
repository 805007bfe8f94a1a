//! One update of each network.

use super::Gan;
use super::balance::{mean_sign, on_host};
use super::domains::Real;
use crate::Result;
use crate::loss::{Ada, Penalty, r1, wasserstein_penalty, weighted_mean};
use crate::nets::{Pass, standing::inputs};
use sconce_tensor_core::candle_core::Tensor;
use sconce_tensor_core::optim::Optimizer;
use sconce_tensor_core::train::StepContext;
use sconce_tensor_core::{ExampleRng, Mode, Rng, ops};

/// Generated examples of one discriminator step.
pub(super) struct Fake {
    x: Tensor,
    y: Tensor,
    keys: Vec<u64>,
}

impl<O: Optimizer> Gan<'_, O> {
    /// The discriminator's number of updates before a step of the run.
    pub(super) fn draw(&self, at: &StepContext<'_>, critic: usize) -> u64 {
        (at.step * self.cfg.critic_steps + critic) as u64
    }

    pub(super) fn fake(&self, draw: u64, rng: &Rng) -> Result<Fake> {
        let (labels, keys) = self.domains.fake(draw, rng);
        let (z, y) = inputs(self.generator, &labels, ExampleRng::new(rng.stream("noise"), keys.clone()))?;
        Ok(Fake { x: self.generator.generate(&z, &y, Pass::Train)?, y, keys })
    }

    fn augmented(&self, x: &Tensor, keys: &[u64], purpose: &str, rng: &Rng) -> Result<Tensor> {
        let Some(augment) = &self.cfg.augment else { return Ok(x.clone()) };
        let p = self.ada.as_ref().map_or(1.0, Ada::probability);
        augment.apply(x, &ExampleRng::new(rng.stream("augment").stream(purpose), keys.to_vec()), p)
    }

    fn class_loss(&self, logits: Option<&Tensor>, y: &Tensor) -> Result<Option<Tensor>> {
        let (Some(logits), true) = (logits, self.cfg.auxiliary > 0.0) else { return Ok(None) };
        let each = ops::cross_entropy(logits, y)?;
        Ok(Some((weighted_mean(&each, self.weights.as_ref())? * self.cfg.auxiliary)?))
    }

    fn penalty(&self, real: &Tensor, y: &Tensor, fake: &Tensor, keys: &[u64], rng: &Rng) -> Result<Option<Tensor>> {
        let score = |x: &Tensor| Ok(self.discriminator.score(x, y, Mode::Eval)?.realness);
        let weights = self.weights.as_ref();
        self.cfg
            .penalty
            .map(|p| match p {
                Penalty::R1(gamma) => r1(score, real, gamma, weights),
                Penalty::Wasserstein(lambda) => {
                    let keys = ExampleRng::new(rng.stream("penalty"), keys.to_vec());
                    wasserstein_penalty(score, (real, fake), lambda, weights, &keys)
                }
            })
            .transpose()
    }

    /// One update of the discriminator; returns its loss.
    pub(super) fn criticise(&mut self, at: &StepContext<'_>, real: &Real, fake: &Fake) -> Result<f64> {
        let n = self.domains.batch();
        let x = self.augmented(&real.x, &real.keys, "real", &at.rng)?;
        let made = self.augmented(&fake.x.detach(), &fake.keys, "fake", &at.rng)?.detach();
        let (both, labels) = (Tensor::cat(&[&x, &made], 0)?, Tensor::cat(&[&real.y, &fake.y], 0)?);
        let scores = self.discriminator.score(&both, &labels, Mode::Train)?;
        let (r, f) = (scores.realness.narrow(0, 0, n)?, scores.realness.narrow(0, n, n)?);
        let mut loss = self.cfg.loss.discriminator(&r, &f, self.weights.as_ref())?;
        let of_real = scores.classes.map(|c| c.narrow(0, 0, n)).transpose()?;
        let more =
            [self.class_loss(of_real.as_ref(), &real.y)?, self.penalty(&x, &real.y, &made, &real.keys, &at.rng)?];
        for term in more.into_iter().flatten() {
            loss = (loss + term)?;
        }
        let value = at.finite("loss of the discriminator", &loss)?;
        let mut grads = ops::last_backward(&loss)?;
        self.updaters[1].step(&self.trainable, &mut grads, at.step, at.total)?;
        let (r, f) = (on_host(&r)?, on_host(&f)?);
        if let Some(ada) = &mut self.ada {
            ada.update(mean_sign(&r), n);
        }
        self.balance.critic(value, &r, &f, self.cfg.loss.boundary());
        Ok(value)
    }

    /// One update of the generator on the fakes of the discriminator's last update.
    pub(super) fn fool(&mut self, at: &StepContext<'_>, real: &Real, fake: &Fake) -> Result<()> {
        let x = self.augmented(&fake.x, &fake.keys, "generator", &at.rng)?;
        let scores = self.discriminator.score(&x, &fake.y, Mode::Frozen)?;
        let r = if self.cfg.loss.generator_needs_real() {
            let x = self.augmented(&real.x, &real.keys, "generator's real", &at.rng)?;
            Some(self.discriminator.score(&x, &real.y, Mode::Frozen)?.realness)
        } else {
            None
        };
        let mut loss = self.cfg.loss.generator(r.as_ref(), &scores.realness, self.weights.as_ref())?;
        if let Some(term) = self.class_loss(scores.classes.as_ref(), &fake.y)? {
            loss = (loss + term)?;
        }
        let value = at.finite("loss of the generator", &loss)?;
        let mut grads = ops::last_backward(&loss)?;
        self.updaters[0].step(self.generator.params(), &mut grads, at.step, at.total)?;
        self.balance.generator(value);
        Ok(())
    }
}
