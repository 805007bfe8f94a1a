//! The recipe of `blf`, and what its words stand for.

use crate::pieces::choice::distinct;
use crate::pieces::data::Data;
use crate::pieces::net::Net;
use crate::pieces::train::Train;
use anyhow::{Result, bail};
use sconce_activations::{LogitForm, LogitFunction, LogitFunctionConfig};
use sconce_regularizers::{
    LabelSmoothing, LabelSmoothingConfig, LogitSqueezing, LogitSqueezingConfig, Regularizer, Squeeze,
};
use serde::{Deserialize, Serialize};

/// `xtask/recipes/blf/<preset>.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inner {
    pub eps: f64,
    pub steps: usize,
    /// Length of a step as a share of the radius.
    pub step: f64,
    pub validation_steps: usize,
}

/// A method with the values of its constant to choose from, without and with adversarial training.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    pub name: ArmName,
    pub values: Vec<f64>,
    pub adversarial_values: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blf {
    pub form: LogitForm,
}

/// How a constant with several values is chosen, on seeds that no result is of: the best naive robust accuracy on the validation
/// split among the values whose clean accuracy is at most `max_clean_drop` below that of the plain arm; means over the seeds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    pub seeds: Vec<u64>,
    /// Values past the end of a grid that are tried where the best one is at its end.
    pub widen: usize,
    pub max_clean_drop: f64,
}

/// What a first evaluation would do: PGD on the cross-entropy of the outputs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Naive {
    pub eps: Vec<f64>,
    pub steps: usize,
    pub norm_examples: usize,
}

/// What an attacker does who knows the defence.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Strong {
    pub eps: f64,
    pub examples: usize,
    pub steps: usize,
    pub diagnosis_examples: usize,
}

/// The free vectors of the theory.
#[derive(Clone, Debug, Serialize, Deserialize)]
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

    /// Whether its constant may have this value.
    pub fn takes(self, blf: &Blf, value: f64) -> bool {
        self.function(blf, value).is_ok() && self.regularizer(value).is_ok()
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
        if self.arms[0].values.len() != 1 || self.arms[0].adversarial_values.len() != 1 {
            bail!("arms.plain: it has no constant, so values and adversarial_values need exactly one value each");
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
        distinct("selection.seeds", &self.selection.seeds)?;
        if self.naive.eps.is_empty() {
            bail!("naive.eps: needs at least one");
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
    use crate::recipe::Recipe;
    use xtask::cli::Preset;

    #[test]
    fn a_bad_value_is_refused() {
        let folder = crate::places::workspace().join("xtask/recipes/blf");
        let refused = |set: &str| {
            let cfg = Recipe::read(&folder, Preset::Quick, &[set.to_owned()]).unwrap().open::<Config>().unwrap();
            cfg.validate().unwrap_err().to_string()
        };
        assert!(refused("arms.2.values=[-1.0]").contains("gamma"));
        assert!(refused("arms.0.values=[0.0, 1.0]").contains("arms.plain"));
        assert!(refused("selection.seeds=[]").contains("selection.seeds"));
    }
}
