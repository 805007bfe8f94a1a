//! The recipe of `absum`, and what its words stand for.

use crate::pieces::{Data, Net, Train};
use anyhow::{Result, bail};
use sconce_attacks::fourier::{Directions, Normalisation};
use sconce_regularizers::{
    Absum, AbsumConfig, L1, L1Config, Regularizer, SpectralBound, SpectralBoundConfig, WeightDecay, WeightDecayConfig,
    ZeroMean,
};
use serde::Deserialize;

/// `xtask/recipes/absum/<preset>.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub seeds: Vec<u64>,
    pub settings: Vec<Setting>,
    pub train: Train,
    pub arms: Vec<Arm>,
    pub selection: Selection,
    pub sfa: Sfa,
    pub transfer: PgdRecipe,
    pub noise: Noise,
    pub cost: Cost,
    pub adversarial: Option<Adversarial>,
}

/// One data set and network.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    pub id: String,
    pub title: String,
    pub data: Data,
    pub net: Net,
    /// Main radius of the Fourier waves, in 255ths.
    pub eps_255: f64,
}

/// A regularizer with the weights to choose from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    pub name: ArmName,
    pub lambdas: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArmName {
    None,
    WeightDecay,
    L1,
    Absum,
    ZeroMean,
    /// Its "lambda" is the bound.
    Spectral,
}

/// How a weight is chosen: the best average accuracy under the waves on the validation split among those
/// whose clean accuracy is at most `max_clean_drop` below that of no regularizer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    pub max_clean_drop: f64,
    pub every_direction: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sfa {
    pub normalisation: NormalisationName,
    pub directions: DirectionsName,
    pub examples: usize,
    pub curve_eps_255: Vec<f64>,
    pub curve_every_direction: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormalisationName {
    Peak,
    Sign,
    L2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirectionsName {
    All,
    HalfPlane,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PgdRecipe {
    pub eps_255: f64,
    pub steps: usize,
    pub step_255: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    pub rms_255: f64,
    pub from: usize,
    pub to: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    pub steps: usize,
    pub rounds: usize,
}

/// Adversarial training with each regularizer, at the weights chosen without it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adversarial {
    pub epochs: usize,
    pub attack: PgdRecipe,
    pub evaluation: PgdRecipe,
}

impl ArmName {
    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::WeightDecay => "weight-decay",
            Self::L1 => "l1",
            Self::Absum => "absum",
            Self::ZeroMean => "zero-mean",
            Self::Spectral => "spectral",
        }
    }

    /// The name in prose.
    pub fn title(self) -> &'static str {
        match self {
            Self::None => "no regularizer",
            Self::WeightDecay => "weight decay",
            Self::L1 => "L1",
            Self::Absum => "Absum",
            Self::ZeroMean => "hard zero mean",
            Self::Spectral => "spectral bound",
        }
    }

    /// The regularizer at a weight.
    pub fn regularizer(self, lambda: f64) -> Result<Option<Box<dyn Regularizer>>> {
        Ok(match self {
            Self::None => None,
            Self::WeightDecay => {
                Some(Box::new(WeightDecay::new(WeightDecayConfig { lambda, ..WeightDecayConfig::default() })?))
            }
            Self::L1 => Some(Box::new(L1::new(L1Config { lambda, ..L1Config::default() })?)),
            Self::Absum => Some(Box::new(Absum::new(AbsumConfig { lambda, ..AbsumConfig::default() })?)),
            Self::ZeroMean => Some(Box::new(ZeroMean)),
            Self::Spectral => Some(Box::new(SpectralBound::new(SpectralBoundConfig {
                bound: lambda,
                ..SpectralBoundConfig::default()
            })?)),
        })
    }
}

impl NormalisationName {
    /// What of the wave is brought to the radius, in prose.
    pub fn word(self) -> &'static str {
        match self {
            Self::Peak => "peak",
            Self::Sign => "sign (square waves)",
            Self::L2 => "L2 norm",
        }
    }
}

impl Sfa {
    pub fn normalisation(&self) -> Normalisation {
        match self.normalisation {
            NormalisationName::Peak => Normalisation::Peak,
            NormalisationName::Sign => Normalisation::Sign,
            NormalisationName::L2 => Normalisation::L2,
        }
    }

    pub fn directions(&self) -> Directions {
        match self.directions {
            DirectionsName::All => Directions::All,
            DirectionsName::HalfPlane => Directions::HalfPlane,
        }
    }
}

impl Config {
    /// What the types do not say.
    pub fn validate(&self) -> Result<()> {
        if self.arms.first().map(|a| a.name) != Some(ArmName::None) {
            bail!("arms: the first must be `none`, with which the others are compared");
        }
        if let Some(a) = self.arms.iter().find(|a| a.lambdas.is_empty()) {
            bail!("arms.{}.lambdas: needs at least one value", a.name.name());
        }
        for a in &self.arms {
            a.lambdas.iter().try_for_each(|l| a.name.regularizer(*l).map(|_| ()))?;
        }
        if self.seeds.is_empty() || self.settings.is_empty() {
            bail!("seeds and settings: need at least one each");
        }
        if self.selection.every_direction == 0 || self.sfa.curve_every_direction == 0 {
            bail!("every_direction: must be at least 1");
        }
        if let Some(s) = self.settings.iter().find(|s| self.sfa.examples > s.data.test || self.sfa.examples == 0) {
            bail!("sfa.examples: must be 1 to the {} test examples of setting `{}`", s.data.test, s.id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_a_valid_recipe_and_a_mistyped_key_is_named() {
        let folder = crate::places::workspace().join("xtask/recipes/absum");
        for preset in ["quick", "full", "paper"] {
            let path = folder.join(format!("{preset}.toml"));
            crate::recipe::load::<Config>(&path, &[]).unwrap().0.validate().unwrap();
        }
        let text = std::fs::read_to_string(folder.join("quick.toml")).unwrap().replace("lambdas =", "lamdas =");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mine.toml");
        std::fs::write(&path, text).unwrap();
        let e = format!("{:#}", crate::recipe::load::<Config>(&path, &[]).unwrap_err());
        assert!(e.contains("mine.toml") && e.contains("unknown key `lamdas`; did you mean `lambdas`?"), "{e}");
        let bad = ["arms.1.lambdas=[-1.0]".to_owned()];
        let cfg = crate::recipe::load::<Config>(&folder.join("quick.toml"), &bad).unwrap().0;
        assert!(cfg.validate().unwrap_err().to_string().contains("lambda"));
    }
}
