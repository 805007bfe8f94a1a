//! The recipe of `absum`, and what its words stand for.

use crate::pieces::choice::distinct;
use crate::pieces::data::Data;
use crate::pieces::net::Net;
use crate::pieces::train::Train;
use anyhow::{Result, bail};
use sconce_attacks::fourier::{Directions, Normalisation};
use sconce_regularizers::{Absum, AbsumConfig, L1, L1Config, Regularizer, WeightDecay, WeightDecayConfig, ZeroMean};
use serde::{Deserialize, Serialize};

/// `xtask/recipes/absum/<preset>.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub seeds: Vec<u64>,
    pub settings: Vec<Setting>,
    pub train: Train,
    pub arms: Vec<Arm>,
    pub selection: Selection,
    pub curve: Curve,
    pub sfa: Sfa,
    pub transfer: PgdRecipe,
    pub noise: Noise,
    pub cost: Cost,
    pub adversarial: Option<Adversarial>,
}

/// One data set and network.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    pub id: String,
    #[serde(skip_serializing)]
    pub title: String,
    pub data: Data,
    pub net: Net,
    /// Main radius of the Fourier waves, in 255ths.
    pub eps_255: f64,
}

/// A regularizer with the weights to choose from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    pub name: ArmName,
    pub lambdas: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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

/// How a weight is chosen, on seeds that no result is of: the best average accuracy under the waves on the validation split among
/// those whose clean accuracy is at most `max_clean_drop` below that of no regularizer; means over the seeds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    pub seeds: Vec<u64>,
    /// Values past the end of a grid that are tried where the best one is at its end.
    pub widen: usize,
    pub max_clean_drop: f64,
    pub every_direction: usize,
}

/// Accuracy after every epoch, so that arms can be compared at the same clean accuracy.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// Test examples.
    pub examples: usize,
    pub every_direction: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sfa {
    pub normalisation: NormalisationName,
    pub directions: DirectionsName,
    pub examples: usize,
    pub curve_eps_255: Vec<f64>,
    pub curve_every_direction: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormalisationName {
    Peak,
    Sign,
    L2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirectionsName {
    All,
    HalfPlane,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PgdRecipe {
    pub eps_255: f64,
    pub steps: usize,
    pub step_255: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    pub rms_255: f64,
    pub from: usize,
    pub to: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    pub steps: usize,
    pub rounds: usize,
}

/// Adversarial training with each regularizer, at the weights chosen without it.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
            #[cfg(feature = "absum-spectral")]
            Self::Spectral => {
                Some(Box::new(sconce_regularizers::SpectralBound::new(sconce_regularizers::SpectralBoundConfig {
                    bound: lambda,
                    ..Default::default()
                })?))
            }
            #[cfg(not(feature = "absum-spectral"))]
            Self::Spectral => return Err(crate::papers::without("absum-spectral")),
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
        distinct("selection.seeds", &self.selection.seeds)?;
        if self.settings.is_empty() {
            bail!("settings: needs at least one");
        }
        if [self.selection.every_direction, self.sfa.curve_every_direction, self.curve.every_direction].contains(&0) {
            bail!("every_direction: must be at least 1");
        }
        if let Some(s) = self.settings.iter().find(|s| self.sfa.examples > s.data.test || self.sfa.examples == 0) {
            bail!("sfa.examples: must be 1 to the {} test examples of setting `{}`", s.data.test, s.id);
        }
        let curve = self.curve.examples;
        if let Some(s) = self.settings.iter().find(|s| curve > s.data.test || curve == 0) {
            bail!("curve.examples: must be 1 to the {} test examples of setting `{}`", s.data.test, s.id);
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
    fn a_mistyped_key_is_named_and_a_bad_weight_is_refused() {
        let folder = crate::places::workspace().join("xtask/recipes/absum");
        let text = std::fs::read_to_string(folder.join("quick.toml")).unwrap().replace("lambdas =", "lamdas =");
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("quick.toml"), text).unwrap();
        let e = format!("{:#}", Recipe::read(dir.path(), Preset::Quick, &[]).unwrap().open::<Config>().unwrap_err());
        assert!(e.contains("quick.toml") && e.contains("unknown key `lamdas`; did you mean `lambdas`?"), "{e}");
        let bad = ["arms.1.lambdas=[-1.0]".to_owned()];
        let cfg = Recipe::read(&folder, Preset::Quick, &bad).unwrap().open::<Config>().unwrap();
        assert!(cfg.validate().unwrap_err().to_string().contains("lambda"));
    }
}
