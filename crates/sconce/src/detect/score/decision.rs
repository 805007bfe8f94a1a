//! Which scores are anomalies.

use super::super::args::ThresholdRule;
use crate::{Conformal, Detector, Error, Result, Threshold};

/// A test of a score.
pub(super) enum Decision<'a> {
    /// Anomalies have a conformal p-value of at most this level.
    PValue(&'a Conformal, f64),
    /// Anomalies are above a threshold.
    Above(Threshold),
}

impl<'a> Decision<'a> {
    /// The decision that a rule asks for; `None` where it needs the scores of all rows first.
    ///
    /// # Errors
    /// A rule on held-out scores for a detector that kept none; a rule on a whole table for a stream.
    pub(super) fn new(rule: ThresholdRule, detector: &'a dyn Detector, whole_table: bool) -> Result<Option<Self>> {
        let calibration =
            || detector.calibration().ok_or_else(|| Error::value("detector", "it kept no scores of normal rows"));
        Ok(Some(match rule {
            ThresholdRule::PValue(level) => Self::PValue(calibration()?, level),
            ThresholdRule::Quantile(level) => Self::Above(Threshold::by_quantile(calibration()?.scores(), level)?),
            ThresholdRule::Score(score) => Self::Above(Threshold::at(score)?),
            ThresholdRule::Contamination(_) if whole_table => return Ok(None),
            ThresholdRule::Contamination(_) => {
                let reason = "contamination needs --data: the rows of a stream are not known in advance";
                return Err(Error::config("--threshold", reason));
            }
        }))
    }

    /// The decision once the scores of all rows are known.
    ///
    /// # Errors
    /// As [`Threshold::by_contamination`].
    pub(super) fn by_contamination(scores: &[f64], share: f64) -> Result<Self> {
        Ok(Self::Above(Threshold::by_contamination(scores, share)?))
    }

    pub(super) fn is_anomaly(&self, score: f64) -> Result<bool> {
        match self {
            Self::PValue(calibration, level) => Ok(calibration.p_value(score)? <= *level),
            Self::Above(threshold) => Ok(threshold.is_anomaly(score)),
        }
    }
}
