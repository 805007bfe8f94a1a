//! The recipe of `sigsoftmax`, and what its words stand for.

use super::control::SteepSoftmax;
use crate::pieces::choice::distinct;
use anyhow::{Result, bail};
use sconce_activations::language::{AwdLstmConfig, Dropout, Head, LanguageModelConfig, LanguageTrainConfig};
use sconce_activations::{OutputFunction, output_of};
use sconce_tensor_core::optim::Schedule;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// `xtask/recipes/sigsoftmax/<preset>.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub seeds: Vec<u64>,
    pub synthetic: Option<Synthetic>,
    pub corpora: Vec<Text>,
    pub arms: Vec<Arm>,
    pub rank: Rank,
    pub dynamic: Option<Dynamic>,
}

/// Students of every output function against teachers that are matrices of probabilities. Which widths and teachers there are is no
/// part of what a job reads: each job names its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Synthetic {
    pub contexts: usize,
    pub classes: usize,
    #[serde(skip_serializing)]
    pub dims: Vec<usize>,
    pub steps: usize,
    pub lr: f64,
    #[serde(skip_serializing)]
    pub teachers: Vec<Teacher>,
    #[serde(skip_serializing)]
    pub random: Random,
}

/// Logits `H W^T (+ b)` of Gaussian matrices: the theorem's own setting.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Random {
    pub contexts: usize,
    pub classes: usize,
    pub width: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Teacher {
    /// Log-softmax of a product of Gaussian matrices of inner size 32.
    Gaussian,
    /// Each context mixes three of twelve sparse topics.
    Topics,
}

/// A text with the model and the schedule for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    pub name: String,
    /// Words in the vocabulary; 0 for all of the training part.
    pub vocabulary: usize,
    /// Words of each part from its start; 0 for all.
    pub train: usize,
    pub validation: usize,
    pub test: usize,
    pub selection: Selection,
    /// Of the arms without a mixture.
    pub single: Model,
    /// Of the arms with one.
    pub mixture: Option<Model>,
}

/// How an arm's rate is chosen where its model names several: the lowest mean validation loss over seeds that no result is of,
/// trained on the first `words` words (0 for all).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    pub words: usize,
    pub seeds: Vec<u64>,
    /// Rates past the end of the grid that are tried where the best one is at its end.
    pub widen: usize,
}

/// Sizes, dropout, and training.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub embedding: usize,
    pub hidden: usize,
    pub layers: usize,
    pub output: usize,
    pub dropout: Dropout,
    pub train: Train,
    pub finetune: Option<Finetune>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    pub epochs: usize,
    pub rows: usize,
    pub window: usize,
    pub spread: f64,
    /// One value, or several to choose from; a job names the one that it trains with, or the grid.
    #[serde(skip_serializing)]
    pub lr: Vec<f64>,
    pub schedule: Schedule,
    pub clip: f64,
    pub weight_decay: f64,
    pub alpha: f64,
    pub beta: f64,
    pub non_monotone: usize,
    pub evaluation_rows: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finetune {
    pub epochs: usize,
    pub lr: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    pub name: String,
    pub output: String,
    /// Components; 0 for none.
    pub mixture: usize,
}

/// The matrix of log-probabilities on the test text whose rank is taken.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rank {
    pub contexts: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dynamic {
    pub lr: f64,
    pub decay: f64,
    pub eps: f64,
    pub window: usize,
    /// Words of the test text, from its start; 0 for all.
    pub words: usize,
    pub scale_windows: usize,
}

impl Arm {
    pub fn function(&self) -> Result<Arc<dyn OutputFunction>> {
        Ok(match self.output.as_str() {
            SteepSoftmax::NAME => Arc::new(SteepSoftmax),
            name => Arc::new(output_of(name)?),
        })
    }

    /// The name in prose.
    pub fn title(&self) -> String {
        match (self.output.as_str(), self.mixture) {
            (SteepSoftmax::NAME, 0) => "softmax of 1.5 z (control)".to_owned(),
            (o, 0) => o.to_owned(),
            ("softmax", k) => format!("MoS ({k})"),
            ("sigsoftmax", k) => format!("MoSS ({k})"),
            (o, k) => format!("mixture of {k} {o}"),
        }
    }
}

impl Text {
    /// The model and schedule of an arm.
    pub fn of(&self, arm: &Arm) -> Result<&Model> {
        match (&self.mixture, arm.mixture) {
            (_, 0) => Ok(&self.single),
            (Some(m), _) => Ok(m),
            (None, _) => bail!("corpora.{}: needs a table `mixture` for the arm `{}`", self.name, arm.name),
        }
    }
}

impl Model {
    pub fn config(&self, arm: &Arm, vocabulary: usize) -> LanguageModelConfig {
        let Self { embedding, hidden, layers, output, dropout, .. } = *self;
        LanguageModelConfig {
            body: AwdLstmConfig { vocabulary, embedding, hidden, layers, output, dropout },
            head: if arm.mixture == 0 { Head::Single } else { Head::Mixture { components: arm.mixture } },
            tied: true,
            bias: true,
        }
    }

    pub fn training(&self, lr: f64) -> LanguageTrainConfig {
        let t = self.train.clone();
        LanguageTrainConfig {
            epochs: t.epochs,
            rows: t.rows,
            window: t.window,
            spread: t.spread,
            lr,
            schedule: t.schedule,
            clip: t.clip,
            weight_decay: t.weight_decay,
            alpha: t.alpha,
            beta: t.beta,
            non_monotone: t.non_monotone,
            finetune: false,
            evaluation_rows: t.evaluation_rows,
        }
    }

    /// Epochs of both phases.
    pub fn epochs(&self) -> usize {
        self.train.epochs + self.finetune.as_ref().map_or(0, |f| f.epochs)
    }
}

impl Config {
    /// What the types do not say.
    pub fn validate(&self) -> Result<()> {
        let mut names: Vec<&str> = self.arms.iter().map(|a| a.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        if self.arms.is_empty() || names.len() < self.arms.len() {
            bail!("arms: needs at least one, each name once");
        }
        for arm in &self.arms {
            arm.function()?;
            self.corpora.iter().try_for_each(|c| c.of(arm).map(|_| ()))?;
        }
        for c in &self.corpora {
            let several = [Some(&c.single), c.mixture.as_ref()].into_iter().flatten().map(|m| m.train.lr.len());
            if several.clone().any(|n| n == 0) {
                bail!("corpora.{}: lr needs at least one value", c.name);
            }
            if several.clone().any(|n| n > 1) {
                distinct(&format!("corpora.{}.selection.seeds", c.name), &c.selection.seeds)?;
            }
        }
        if self.rank.contexts == 0 {
            bail!("rank.contexts: must be at least 1");
        }
        if let Some(s) = &self.synthetic
            && (s.dims.is_empty() || s.teachers.is_empty() || s.steps == 0 || s.contexts * s.classes == 0)
        {
            bail!("synthetic: dims, teachers, steps, contexts and classes must not be empty or 0");
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
    fn rates_need_a_seed_to_be_chosen_with() {
        let folder = crate::places::workspace().join("xtask/recipes/sigsoftmax");
        let of = |set: &[&str]| {
            let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
            Recipe::read(&folder, Preset::Quick, &set).unwrap().open::<Config>().unwrap().validate()
        };
        assert!(of(&["corpora.0.selection.seeds=[]"]).unwrap_err().to_string().contains("selection.seeds"));
        let one = ["corpora.0.single.train.lr=[30.0]", "corpora.0.mixture.train.lr=[25.0]"];
        of(&["corpora.0.selection.seeds=[]", one[0], one[1]]).unwrap();
        assert!(of(&["arms.1.output=\"hard\""]).is_err());
    }
}
