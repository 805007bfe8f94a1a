//! Which scores are anomalies.

use anyhow::{Context, Result, bail};
use sconce_anomaly::{Conformal, Detector, Threshold};

/// What `--threshold` asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rule {
    PValue(f64),
    Quantile(f64),
    Contamination(f64),
    Score(f64),
}

impl Rule {
    /// Parses `p-value:0.05` and the like.
    ///
    /// # Errors
    /// Another text, or a number out of its range.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let must = "must be p-value:A or quantile:A or contamination:A with A in (0, 1), or score:S";
        let bad = || format!("--threshold {text}: {must}");
        let (kind, number) = text.split_once(':').with_context(bad)?;
        let value = number.parse::<f64>().ok().filter(|v| v.is_finite()).with_context(bad)?;
        let share = || Some(value).filter(|v| *v > 0.0 && *v < 1.0).with_context(bad);
        Ok(match kind {
            "p-value" => Self::PValue(share()?),
            "quantile" => Self::Quantile(share()?),
            "contamination" => Self::Contamination(share()?),
            "score" => Self::Score(value),
            _ => bail!(bad()),
        })
    }
}

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
    pub(super) fn new(rule: Rule, detector: &'a dyn Detector, whole_table: bool) -> Result<Option<Self>> {
        let calibration =
            || detector.calibration().context("--threshold: the detector kept no scores of normal rows; use score:S");
        Ok(Some(match rule {
            Rule::PValue(level) => Self::PValue(calibration()?, level),
            Rule::Quantile(level) => Self::Above(Threshold::by_quantile(calibration()?.scores(), level)?),
            Rule::Score(score) => Self::Above(Threshold::at(score)?),
            Rule::Contamination(_) if whole_table => return Ok(None),
            Rule::Contamination(_) => {
                bail!("--threshold: contamination needs --data FILE: the rows of a stream are not known in advance")
            }
        }))
    }

    /// The decision once the scores of all rows are known, and a warning where ties keep it from flagging the share that is asked for.
    ///
    /// # Errors
    /// As [`Threshold::by_contamination`].
    pub(super) fn by_contamination(scores: &[f64], share: f64) -> Result<(Self, Option<String>)> {
        let threshold = Threshold::by_contamination(scores, share)?;
        let asked = (share * scores.len() as f64 + 1e-9) as usize;
        let flagged = scores.iter().filter(|s| threshold.is_anomaly(**s)).count();
        let tied = scores.iter().filter(|s| **s == threshold.value()).count();
        let warning = match (asked, flagged) {
            (0, _) => {
                Some(format!("contamination:{share} of {} rows is less than one row: no row is flagged", scores.len()))
            }
            (a, f) if f < a => Some(format!(
                "contamination:{share} asks for {a} of {} rows, and {f} are flagged: {tied} rows have the same score, {}",
                scores.len(),
                threshold.value()
            )),
            _ => None,
        };
        Ok((Self::Above(threshold), warning))
    }

    pub(super) fn is_anomaly(&self, score: f64) -> Result<bool> {
        match self {
            Self::PValue(calibration, level) => Ok(calibration.p_value(score)? <= *level),
            Self::Above(threshold) => Ok(threshold.is_anomaly(score)),
        }
    }

    /// Why no score can be an anomaly, if that is so: p-values of few held-out rows are not small.
    pub(super) fn impossible(&self) -> Option<String> {
        let Self::PValue(calibration, level) = self else { return None };
        let n = calibration.scores().len();
        let least = 1.0 / (n + 1) as f64;
        (least > *level).then(|| {
            format!(
                "no row can be flagged: with the scores of {n} held-out normal rows, p-values are at least {least:.3}; fit the detector on more \
                 rows, or use a larger p-value"
            )
        })
    }

    /// The score above which rows are anomalies, where the rule is one.
    pub(super) fn above(&self) -> Option<f64> {
        match self {
            Self::PValue(..) => None,
            Self::Above(threshold) => Some(threshold.value()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_have_a_kind_and_a_number_in_its_range() {
        assert_eq!(Rule::parse("p-value:0.05").unwrap(), Rule::PValue(0.05));
        assert_eq!(Rule::parse("score:-3.5").unwrap(), Rule::Score(-3.5));
        for bad in ["p-value:7", "quantile:1", "contamination:0", "score:NaN", "score", "0.05", "shore:1"] {
            let e = Rule::parse(bad).unwrap_err().to_string();
            assert!(e.starts_with(&format!("--threshold {bad}: must be")) && e.contains("in (0, 1)"), "{e}");
        }
    }

    #[test]
    fn ties_at_a_share_are_told() {
        let warning = |scores: &[f64], share| Decision::by_contamination(scores, share).unwrap().1;
        assert_eq!(warning(&[1.0, 2.0, 3.0, 4.0], 0.25), None);
        let w = warning(&[1.0, 5.0, 5.0, 5.0, 9.0], 0.4).unwrap();
        assert!(w.contains("asks for 2 of 5 rows, and 1 are flagged: 3 rows have the same score, 5"), "{w}");
        assert!(warning(&[1.0, 2.0], 0.1).unwrap().contains("less than one row"));
    }

    #[test]
    fn few_held_out_scores_have_no_small_p_values() {
        let few = Conformal::new(&[1.0; 18]).unwrap();
        assert!(Decision::PValue(&few, 0.05).impossible().unwrap().contains("at least 0.053"));
        let enough = Conformal::new(&[1.0; 19]).unwrap();
        let decision = Decision::PValue(&enough, 0.05);
        assert!(decision.impossible().is_none() && decision.is_anomaly(2.0).unwrap());
    }
}
