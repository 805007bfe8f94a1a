//! The trust flags: their kinds, names and documentation pages.

use std::fmt;

/// The kinds of trust flags.
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
    #[doc = include_str!("../../docs/flags/chance-accuracy.md")]
    ChanceAccuracy,
    #[doc = include_str!("../../docs/flags/rounded-logits.md")]
    RoundedLogits,
    #[doc = include_str!("../../docs/flags/masked-gradient.md")]
    MaskedGradient,
}

impl FlagKind {
    /// All kinds.
    pub const ALL: [Self; 13] = [
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
        Self::ChanceAccuracy,
        Self::RoundedLogits,
        Self::MaskedGradient,
    ];

    /// The name of the flag in reports.
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
            Self::ChanceAccuracy => "chance-accuracy",
            Self::RoundedLogits => "rounded-logits",
            Self::MaskedGradient => "masked-gradient",
        }
    }

    /// The documentation page in Markdown: what the flag means and what to do.
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
            Self::ChanceAccuracy => include_str!("../../docs/flags/chance-accuracy.md"),
            Self::RoundedLogits => include_str!("../../docs/flags/rounded-logits.md"),
            Self::MaskedGradient => include_str!("../../docs/flags/masked-gradient.md"),
        }
    }
}

/// A flag that a check raised.
#[derive(Clone, Debug, PartialEq)]
pub struct Flag {
    /// The kind of the flag.
    pub kind: FlagKind,
    /// The measured amount, usually a share of examples.
    pub amount: f64,
    /// The finding in one sentence.
    pub detail: String,
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.detail)
    }
}
