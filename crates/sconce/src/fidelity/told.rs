//! A score, or why there is none: one metric that does not suit the images leaves the others.

use anyhow::Result;
use sconce_gan::fidelity::Score;
use sconce_tensor_core::Error;
use serde::Serialize;

/// A score or the reason for its absence.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Told<V> {
    Score(Score<V>),
    Refused { refused: String },
}

impl<V> Told<V> {
    pub(super) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused { refused: reason.into() }
    }

    /// A refusal of the metric is told; any other error is one.
    pub(super) fn of(score: sconce_gan::Result<Score<V>>) -> Result<Self> {
        match score {
            Ok(score) => Ok(Self::Score(score)),
            Err(e @ (Error::Value { .. } | Error::Config { .. })) => Ok(Self::refused(e.to_string())),
            Err(e) => Err(e.into()),
        }
    }

    /// The value.
    pub(crate) fn value(&self) -> Option<&V> {
        if let Self::Score(score) = self { Some(&score.value) } else { None }
    }
}

/// A score with the two that it is read against.
#[derive(Serialize)]
pub(crate) struct Row<V> {
    pub(crate) generated: Told<V>,
    /// Real images in the place of the generated ones, against the other real images.
    pub(crate) real: Told<V>,
    /// Training images, drawn with replacement, in the place of the generated ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) training: Option<Told<V>>,
}
