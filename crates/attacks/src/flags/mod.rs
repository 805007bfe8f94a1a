//! Signs that a robust accuracy is not to be trusted, each by name, with a page on what it means and what to do.
//!
//! They cost some gradients on a few examples, and are on by default. A flag does not prove a number wrong; a number
//! without flags is not proven right. Thresholds are chosen by us so that soundly trained networks get none, and are
//! told in each check.

mod checks;

use crate::evaluate::fooled_by;
use crate::ledger::Ledger;
use crate::suite::{Access, Suite};
use candle_core::Tensor;
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Classifier, Result, Threat};
use std::fmt;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlagKind {
    #[doc = include_str!("../../docs/flags/probability-outputs.md")]
    ProbabilityOutputs,
    #[doc = include_str!("../../docs/flags/vanishing-gradients.md")]
    VanishingGradients,
    #[doc = include_str!("../../docs/flags/black-box-wins.md")]
    BlackBoxWins,
    #[doc = include_str!("../../docs/flags/transfer-wins.md")]
    TransferWins,
    #[doc = include_str!("../../docs/flags/survives-unbounded.md")]
    SurvivesUnbounded,
    #[doc = include_str!("../../docs/flags/not-monotone.md")]
    NotMonotone,
    #[doc = include_str!("../../docs/flags/restarts-matter.md")]
    RestartsMatter,
    #[doc = include_str!("../../docs/flags/randomized-output.md")]
    RandomizedOutput,
    #[doc = include_str!("../../docs/flags/saturated-logits.md")]
    SaturatedLogits,
    #[doc = include_str!("../../docs/flags/non-unit-bounds.md")]
    NonUnitBounds,
}

impl FlagKind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::ProbabilityOutputs,
        Self::VanishingGradients,
        Self::BlackBoxWins,
        Self::TransferWins,
        Self::SurvivesUnbounded,
        Self::NotMonotone,
        Self::RestartsMatter,
        Self::RandomizedOutput,
        Self::SaturatedLogits,
        Self::NonUnitBounds,
    ];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::ProbabilityOutputs => "probability-outputs",
            Self::VanishingGradients => "vanishing-gradients",
            Self::BlackBoxWins => "black-box-wins",
            Self::TransferWins => "transfer-wins",
            Self::SurvivesUnbounded => "survives-unbounded",
            Self::NotMonotone => "not-monotone",
            Self::RestartsMatter => "restarts-matter",
            Self::RandomizedOutput => "randomized-output",
            Self::SaturatedLogits => "saturated-logits",
            Self::NonUnitBounds => "non-unit-bounds",
        }
    }

    /// What it means and what to do, in Markdown: the page of the docs.
    pub fn page(self) -> &'static str {
        match self {
            Self::ProbabilityOutputs => include_str!("../../docs/flags/probability-outputs.md"),
            Self::VanishingGradients => include_str!("../../docs/flags/vanishing-gradients.md"),
            Self::BlackBoxWins => include_str!("../../docs/flags/black-box-wins.md"),
            Self::TransferWins => include_str!("../../docs/flags/transfer-wins.md"),
            Self::SurvivesUnbounded => include_str!("../../docs/flags/survives-unbounded.md"),
            Self::NotMonotone => include_str!("../../docs/flags/not-monotone.md"),
            Self::RestartsMatter => include_str!("../../docs/flags/restarts-matter.md"),
            Self::RandomizedOutput => include_str!("../../docs/flags/randomized-output.md"),
            Self::SaturatedLogits => include_str!("../../docs/flags/saturated-logits.md"),
            Self::NonUnitBounds => include_str!("../../docs/flags/non-unit-bounds.md"),
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Flag {
    /// What was found.
    pub kind: FlagKind,
    /// How much of it: most often a share of examples.
    pub amount: f64,
    /// The finding in a sentence.
    pub detail: String,
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.detail)
    }
}

/// Configuration of [`diagnose`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `examples` | 64 | the first so many that are classified right are looked at | >= 8 |
/// | `steps` | 20 | of each gradient attack | >= 1 |
/// | `restarts` | 10 | the many that one start is compared with | >= 2 |
/// | `queries` | 500 | of Square on what gradients left | >= 1 |
/// | `seed` | 0 | of all of it | |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiagnosisConfig {
    /// Examples that are looked at.
    pub examples: usize,
    /// Steps of each gradient attack.
    pub steps: usize,
    /// Restarts.
    pub restarts: usize,
    /// Queries of Square.
    pub queries: usize,
    /// Seed.
    pub seed: u64,
}

impl Default for DiagnosisConfig {
    fn default() -> Self {
        Self { examples: 64, steps: 20, restarts: 10, queries: 500, seed: 0 }
    }
}

/// Runs the checks on a model by itself, at a radius of interest.
///
/// # Shapes
/// `x` (N, ...), `labels` (N,) of u32.
///
/// # Errors
/// [`sconce_tensor_core::Error::Config`] naming the field; the model's.
pub fn diagnose(
    model: &dyn Classifier,
    x: &Tensor,
    labels: &Tensor,
    threat: Threat,
    cfg: &DiagnosisConfig,
) -> Result<Vec<Flag>> {
    require("DiagnosisConfig.examples", cfg.examples >= 8, "at least 8", cfg.examples)?;
    require("DiagnosisConfig.steps", cfg.steps >= 1, "at least 1", cfg.steps)?;
    require("DiagnosisConfig.restarts", cfg.restarts >= 2, "at least 2", cfg.restarts)?;
    require("DiagnosisConfig.queries", cfg.queries >= 1, "at least 1", cfg.queries)?;
    checks::all(model, x, labels, threat, cfg)
}

/// Adds what the record of an evaluation shows: attacks that see less than the gradients and win all the same.
/// At the first radius at which more than one example in 500 (AutoAttack's own limit for Square), and at least two, were
/// fooled by them alone.
pub fn from_ledger(ledger: &Ledger, suite: &Suite<'_>, eps: &[f64], found: &mut Vec<Flag>) {
    let white: bool = suite.attacks.iter().any(|a| a.access == Access::WhiteBox);
    let kinds = [(Access::Scores, FlagKind::BlackBoxWins), (Access::Transfer, FlagKind::TransferWins)];
    for (access, kind) in kinds {
        if !white || found.iter().any(|f| f.kind == kind) {
            continue;
        }
        for &radius in eps {
            let inside = fooled_by(ledger, suite, Access::WhiteBox, radius);
            let beyond = fooled_by(ledger, suite, access, radius).iter().zip(&inside).filter(|f| *f.0 && !f.1).count();
            let share = beyond as f64 / ledger.len() as f64;
            if beyond >= 2 && share > 0.002 {
                let word = if access == Access::Scores { "scores alone" } else { "transfer" };
                let detail = format!(
                    "at radius {radius:.5}, {word} fooled {beyond} of {} examples that no gradient attack fooled",
                    ledger.len()
                );
                found.push(Flag { kind, amount: share, detail });
                break;
            }
        }
    }
}
