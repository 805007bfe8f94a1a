//! The recipe of `blf`, and what its words stand for.

use crate::pieces::{Data, Net, Train};
use anyhow::{Result, bail};
use sconce_activations::{LogitForm, LogitFunction, LogitFunctionConfig};
use sconce_regularizers::{
    LabelSmoothing, LabelSmoothingConfig, LogitSqueezing, LogitSqueezingConfig, Regularizer, Squeeze,
};
use serde::Deserialize;

/// `xtask/recipes/blf/<preset>.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub seeds: Vec<u64>,
    pub data: Data,
    pub net: Net,
    pub standard: Train,
    pub adversarial: Train,
    pub attack: Inner,
    pub arms: Vec<Arm>,
    pub trades: Option<Arm>,
    pub blf: Blf,
    pub selection: Selection,
    pub naive: Naive,
    pub strong: Strong,
    pub optimum: Optimum,
}

/// The attack inside adversarial training, and the one that chooses the best epoch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inner {
    pub eps: f64,
    pub steps: usize,
    /// Length of a step as a share of the radius.
    pub step: f64,
    pub validation_steps: usize,
}

/// A method with the values of its constant to choose from, without and with adversarial training.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    pub name: ArmName,
    pub values: Vec<f64>,
    pub adversarial_values: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArmName {
    Plain,
    Tanh,
    Blf,
    LabelSmoothing,
    LogitSqueezing,
    Trades,
}

/// Which form stands for the bounded logit function.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blf {
    pub form: LogitForm,
}

/// How a constant is chosen with the first seed: the best naive robust accuracy on the validation split among those whose
/// clean accuracy is at most `max_clean_drop` below that of the plain arm.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    pub max_clean_drop: f64,
}

/// What a first evaluation would do: PGD on the cross-entropy of the outputs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Naive {
    pub eps: Vec<f64>,
    pub steps: usize,
    pub norm_examples: usize,
}

/// What an attacker does who knows the defence.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Strong {
    pub eps: f64,
    pub examples: usize,
    pub steps: usize,
    pub diagnosis_examples: usize,
}

/// The free vectors of the theory.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optimum {
    pub classes: usize,
    pub iterations: usize,
    pub step: f64,
    pub alpha: f64,
    pub lambda: f64,
    pub gamma: f64,
}

impl ArmName {
    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tanh => "tanh",
            Self::Blf => "blf",
            Self::LabelSmoothing => "label-smoothing",
            Self::LogitSqueezing => "logit-squeezing",
            Self::Trades => "trades",
        }
    }

    /// The name in prose.
    pub fn title(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tanh => "tanh",
            Self::Blf => "bounded logit function",
            Self::LabelSmoothing => "label smoothing",
            Self::LogitSqueezing => "logit squeezing",
            Self::Trades => "TRADES",
        }
    }

    /// What its constant is called.
    pub fn constant(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Tanh | Self::Blf => "gamma",
            Self::LabelSmoothing => "alpha",
            Self::LogitSqueezing => "lambda",
            Self::Trades => "beta",
        }
    }

    /// What stands behind the last layer.
    pub fn function(self, blf: &Blf, value: f64) -> Result<LogitFunction> {
        let cfg = match self {
            Self::Tanh => LogitFunctionConfig { form: LogitForm::Tanh, gamma: value },
            Self::Blf => LogitFunctionConfig { form: blf.form, gamma: value },
            _ => LogitFunctionConfig { form: LogitForm::Identity, gamma: 1.0 },
        };
        Ok(LogitFunction::new(cfg)?)
    }

    /// What stands beside the cross-entropy.
    pub fn regularizer(self, value: f64) -> Result<Option<Box<dyn Regularizer>>> {
        Ok(match self {
            Self::LabelSmoothing => Some(Box::new(LabelSmoothing::new(LabelSmoothingConfig { alpha: value })?)),
            Self::LogitSqueezing => {
                let cfg = LogitSqueezingConfig { lambda: value, squeeze: Squeeze::HalfSquare };
                Some(Box::new(LogitSqueezing::new(cfg)?))
            }
            _ => None,
        })
    }
}

impl Config {
    /// What the types do not say.
    pub fn validate(&self) -> Result<()> {
        if self.arms.first().map(|a| a.name) != Some(ArmName::Plain) {
            bail!("arms: the first must be `plain`, with which the others are compared");
        }
        if self.arms.iter().any(|a| a.name == ArmName::Trades) {
            bail!("arms: TRADES has a table of its own, [trades]");
        }
        for a in self.arms.iter().chain(&self.trades) {
            if a.adversarial_values.is_empty() || (a.values.is_empty() && a.name != ArmName::Trades) {
                bail!("arms.{}: values and adversarial_values need at least one value each", a.name.name());
            }
            for v in a.values.iter().chain(&a.adversarial_values) {
                a.name.function(&self.blf, *v)?;
                a.name.regularizer(*v)?;
            }
        }
        if self.seeds.is_empty() || self.naive.eps.is_empty() {
            bail!("seeds and naive.eps: need at least one each");
        }
        if self.naive.eps.windows(2).any(|w| w[0] >= w[1]) || !self.naive.eps.contains(&self.strong.eps) {
            bail!("naive.eps: must rise, and contain strong.eps ({})", self.strong.eps);
        }
        if self.strong.examples == 0 || self.strong.examples > self.data.test {
            bail!("strong.examples: must be 1 to the {} test examples", self.data.test);
        }
        if self.naive.norm_examples == 0 || self.naive.norm_examples > self.data.train {
            bail!("naive.norm_examples: must be 1 to the {} training examples", self.data.train);
        }
        if self.optimum.classes < 2 || self.optimum.iterations < 10 {
            bail!("optimum: needs at least 2 classes and 10 iterations");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_a_valid_recipe() {
        let folder = crate::places::workspace().join("xtask/recipes/blf");
        for preset in ["quick", "full", "paper"] {
            let path = folder.join(format!("{preset}.toml"));
            crate::recipe::load::<Config>(&path, &[]).unwrap().0.validate().unwrap();
        }
        let bad = ["arms.2.values=[-1.0]".to_owned()];
        let cfg = crate::recipe::load::<Config>(&folder.join("quick.toml"), &bad).unwrap().0;
        assert!(cfg.validate().unwrap_err().to_string().contains("gamma"));
    }
}
