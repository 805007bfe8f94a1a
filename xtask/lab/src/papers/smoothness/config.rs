//! The recipe of `smoothness`.

use crate::pieces::data::Data;
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// `xtask/recipes/smoothness/<preset>.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub seeds: Vec<u64>,
    pub linear: Linear,
    pub toy: Toy,
    pub entropy: Entropy,
    pub network: Training,
}

/// Logistic regression in two dimensions.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    pub examples: usize,
    pub slope: f64,
    pub eps: f64,
    /// Distances of two weights, from far to near.
    pub distances: Vec<f64>,
    /// Random pairs of weights of norms in [0.5, 2].
    pub pairs: usize,
}

/// `theta.x - k norm(x)^2 / 2` in a ball.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Toy {
    pub curvatures: Vec<f64>,
    pub eps: f64,
}

/// `slope |t|`, smoothed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entropy {
    pub slope: f64,
    pub gammas: Vec<f64>,
}

/// Adversarial training of a small network with tanh.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    pub data: Data,
    pub hidden: usize,
    pub eps: f64,
    pub attack_steps: usize,
    pub test_steps: usize,
    pub epochs: usize,
    pub batch_size: usize,
    pub lr: f64,
    pub momentum: f64,
    pub weight_decay: f64,
    /// EntropySGD.
    pub inner_steps: usize,
    pub inner_lr: f64,
    pub outer_lr: f64,
    pub gamma: f64,
    pub noise: f64,
    /// Noise of the walk that has no pull and no attraction but the loss.
    pub control_noise: f64,
    /// Examples that gradients are compared on, and the distances.
    pub examples: usize,
    pub distances: Vec<f64>,
}

impl Training {
    /// Steps of plain SGD.
    pub fn steps(&self) -> usize {
        self.pass() * self.epochs
    }

    /// Batches of one pass over the training examples.
    pub fn pass(&self) -> usize {
        self.data.train.div_ceil(self.batch_size.max(1))
    }
}

impl Config {
    /// What the types do not say.
    pub fn validate(&self) -> Result<()> {
        let falling = |name: &str, d: &[f64]| {
            if d.len() < 2 || d.windows(2).any(|w| w[0] <= w[1]) || d.iter().any(|v| *v <= 0.0) {
                bail!("{name}: must fall and stay above 0, got {d:?}");
            }
            Ok(())
        };
        falling("linear.distances", &self.linear.distances)?;
        falling("network.distances", &self.network.distances)?;
        falling("toy.curvatures", &self.toy.curvatures)?;
        if self.seeds.is_empty() || self.network.examples == 0 || self.network.examples > self.network.data.train {
            bail!("seeds: at least one; network.examples: 1 to {}", self.network.data.train);
        }
        let (walk, steps) = (self.network.inner_steps, self.network.steps());
        if walk == 0 || walk > steps {
            bail!(
                "network.inner_steps: at least 1 (0 would be plain SGD) and at most the {steps} steps of SGD, got {walk}"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;
    use xtask::cli::Preset;

    #[test]
    fn bad_values_are_refused() {
        let folder = crate::places::workspace().join("xtask/recipes/smoothness");
        let refused = |set: &str| {
            let cfg = Recipe::read(&folder, Preset::Quick, &[set.to_owned()]).unwrap().open::<Config>().unwrap();
            cfg.validate().unwrap_err().to_string()
        };
        assert!(refused("linear.distances=[0.1, 0.2]").contains("must fall"));
        assert!(refused("network.inner_steps=0").contains("inner_steps"));
        assert!(refused("network.inner_steps=1000").contains("at most the 500 steps"));
    }
}
