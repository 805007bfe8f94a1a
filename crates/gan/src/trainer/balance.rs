//! Means over the steps of an epoch, and the discriminator's scores of unaugmented images.

use crate::Result;
use crate::nets::Discriminator;
use sconce_tensor_core::Mode;
use sconce_tensor_core::candle_core::{DType, Tensor};
use sconce_tensor_core::store::State;
use serde::{Deserialize, Serialize};

/// Sums over the steps of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Balance {
    critic: [f64; 5],
    critic_steps: usize,
    generator: f64,
    generator_steps: usize,
}

/// The metrics of [`Balance::critic`], in its order.
const NAMES: [&str; 5] = ["loss.discriminator", "score.real", "score.fake", "accuracy.real", "accuracy.fake"];

impl Balance {
    /// Adds a discriminator step.
    pub(super) fn critic(&mut self, loss: f64, real: &[f64], fake: &[f64], boundary: f64) {
        let values = [loss, mean(real), mean(fake), above(real, boundary), 1.0 - above(fake, boundary)];
        self.critic.iter_mut().zip(values).for_each(|(sum, v)| *sum += v);
        self.critic_steps += 1;
    }

    /// Adds a generator step.
    pub(super) fn generator(&mut self, loss: f64) {
        self.generator += loss;
        self.generator_steps += 1;
    }

    /// The means, and a new start.
    pub(super) fn take(&mut self) -> Vec<(String, f64)> {
        let done = std::mem::take(self);
        let mean = |sum: &f64| sum / done.critic_steps.max(1) as f64;
        let mut metrics: Vec<_> = NAMES.iter().zip(&done.critic).map(|(n, s)| ((*n).to_owned(), mean(s))).collect();
        metrics.push(("loss.generator".to_owned(), done.generator / done.generator_steps.max(1) as f64));
        metrics
    }

    pub(super) fn state(&self) -> Result<State> {
        State::new(self, Vec::<(String, Tensor)>::new())
    }

    pub(super) fn restore(&mut self, state: &State) -> Result<()> {
        *self = state.values()?;
        Ok(())
    }
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

fn above(x: &[f64], boundary: f64) -> f64 {
    x.iter().filter(|v| **v > boundary).count() as f64 / x.len() as f64
}

/// `mean sign`, as ADA's controller reads it.
pub(super) fn mean_sign(x: &[f64]) -> f64 {
    x.iter()
        .map(|v| {
            if *v > 0.0 {
                1.0
            } else if *v < 0.0 {
                -1.0
            } else {
                0.0
            }
        })
        .sum::<f64>()
        / x.len() as f64
}

/// Scores on the host.
pub(super) fn on_host(x: &Tensor) -> Result<Vec<f64>> {
    Ok(x.detach().to_dtype(DType::F64)?.to_vec1()?)
}

/// Mean score and share of scores above the boundary of some real examples, unaugmented, as `score.NAME` and `accuracy.NAME`.
pub(super) fn measure(
    d: &dyn Discriminator,
    (x, y): (&Tensor, &Tensor),
    name: &str,
    boundary: f64,
) -> Result<Vec<(String, f64)>> {
    let scores = on_host(&d.score(x, y, Mode::Frozen)?.realness)?;
    Ok(vec![(format!("score.{name}"), mean(&scores)), (format!("accuracy.{name}"), above(&scores, boundary))])
}
