//! The recipe of `sharpness`.

use crate::pieces::data::Data;
use crate::pieces::net::Net;
use crate::pieces::train::Train;
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// `xtask/recipes/sharpness/<preset>.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub seeds: Vec<u64>,
    pub linear: Linear,
    pub images: Pair,
    pub network: NetworkPart,
}

/// Gaussian examples with labels of probability `sigmoid(slope w.x)`, w Gaussian.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    pub examples: usize,
    pub dims: usize,
    pub slope: f64,
    /// Radii as shares of the critical one.
    pub radii: Vec<f64>,
}

/// Two classes of images, projected on principal components.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    pub data: Data,
    pub classes: (u32, u32),
    pub components: usize,
    pub l2: f64,
    pub radii: Vec<f64>,
    /// Steps of the landscape, in units of filter-normalised directions.
    pub steps: Vec<f64>,
    pub directions: usize,
}

/// A small network, adversarially trained at several L2 radii.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkPart {
    pub data: Data,
    pub net: Net,
    pub train: Train,
    pub radii: Vec<f64>,
    pub attack_steps: usize,
    /// Training examples that Hessian and landscape are of.
    pub examples: usize,
    pub tolerance: f64,
    pub products: usize,
    pub probes: usize,
    pub steps: Vec<f64>,
    pub directions: usize,
    /// Norm of the directions of absolute length.
    pub length: f64,
    /// Grid points along each side of the plane, which is drawn for the first seed.
    pub plane: usize,
}

impl Config {
    /// What the types do not say.
    pub fn validate(&self) -> Result<()> {
        let rising = |name: &str, r: &[f64]| {
            if r.len() < 2 || r[0] != 0.0 || r.windows(2).any(|w| w[0] >= w[1]) {
                bail!("{name}: must rise from 0, got {r:?}");
            }
            Ok(())
        };
        rising("linear.radii", &self.linear.radii)?;
        rising("images.radii", &self.images.radii)?;
        rising("network.radii", &self.network.radii)?;
        let shares = self.linear.radii.iter().chain(&self.images.radii);
        if shares.into_iter().any(|r| *r >= 1.0) {
            bail!("linear.radii, images.radii: shares of the critical radius, below 1, where w = 0 is best");
        }
        if self.network.examples == 0 || self.network.examples > self.network.data.train {
            bail!("network.examples: must be 1 to the {} training examples", self.network.data.train);
        }
        if self.network.plane < 2 {
            bail!("network.plane: at least 2 places a side, got {}", self.network.plane);
        }
        if self.seeds.is_empty() || self.images.directions == 0 || self.network.directions == 0 {
            bail!("seeds and directions: need at least one");
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
        let folder = crate::places::workspace().join("xtask/recipes/sharpness");
        let refused = |set: &str| {
            let cfg = Recipe::read(&folder, Preset::Quick, &[set.to_owned()]).unwrap().open::<Config>().unwrap();
            cfg.validate().unwrap_err().to_string()
        };
        assert!(refused("linear.radii=[0.0, 1.5]").contains("critical radius"));
        assert!(refused("network.radii=[0.5, 1.0]").contains("must rise from 0"));
        assert!(refused("network.plane=1").contains("at least 2 places"));
    }
}
