//! The recipe of `sharpness`.

use crate::losses::Closeness;
use crate::pieces::{Data, Net, Train};
use anyhow::{Result, bail};
use serde::Deserialize;

/// `xtask/recipes/sharpness/<preset>.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub seeds: Vec<u64>,
    pub linear: Linear,
    pub images: Pair,
    pub network: NetworkPart,
}

/// Gaussian examples with labels of probability `sigmoid(slope w.x)`, w Gaussian.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    pub examples: usize,
    pub dims: usize,
    pub slope: f64,
    /// Radii as shares of the critical one.
    pub radii: Vec<f64>,
}

/// Two classes of images, projected on principal components.
#[derive(Debug, Deserialize)]
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
#[derive(Debug, Deserialize)]
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
    /// Places a side of the plane that is drawn for the first seed.
    pub plane: usize,
}

impl NetworkPart {
    pub fn closeness(&self) -> Closeness {
        Closeness { tolerance: self.tolerance, products: self.products, probes: self.probes }
    }
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
        if self.seeds.is_empty() || self.images.directions == 0 || self.network.directions == 0 {
            bail!("seeds and directions: need at least one");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_a_valid_recipe() {
        let folder = crate::places::workspace().join("xtask/recipes/sharpness");
        for preset in ["quick", "full", "paper"] {
            let path = folder.join(format!("{preset}.toml"));
            crate::recipe::load::<Config>(&path, &[]).unwrap().0.validate().unwrap();
        }
        let bad = ["linear.radii=[0.0, 1.5]".to_owned()];
        let cfg = crate::recipe::load::<Config>(&folder.join("quick.toml"), &bad).unwrap().0;
        assert!(cfg.validate().unwrap_err().to_string().contains("critical radius"));
    }
}
