//! Claims: what a paper says, as comparisons of metrics.
//!
//! `holds = "a.b > c.d and e.f >= g.h - 0.01"`: comparisons of two terms joined by `and`; a term is a metric
//! or a number, or a metric plus, minus or times a number. A metric stands for its mean over the seeds, with `.lo` or `.hi`
//! behind it for the end of its 95 % interval. A claim with a metric that this preset does
//! not measure is left out of it.

use crate::results::ClaimResult;
use anyhow::{Context, Result, bail};
use sconce_tensor_core::stats::Summary;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The file `claims.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// The claims, in the order in which they are shown.
    pub claim: Vec<Claim>,
}

/// One claim.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Its name.
    pub id: String,
    /// What the paper says, in words.
    pub text: String,
    /// Where the paper says it, or `chosen by us`.
    pub source: String,
    /// The comparison.
    pub holds: String,
}

type Metrics = BTreeMap<String, Summary>;

/// A metric (or none) with a number added and one multiplied.
struct Term {
    metric: Option<String>,
    factor: f64,
    offset: f64,
}

/// A metric's mean, or an end of its interval.
fn read(metrics: &Metrics, name: &str) -> Option<f64> {
    let end = |suffix| metrics.get(name.strip_suffix(suffix)?)?.ci95;
    let mean = metrics.get(name).map(|s| s.mean);
    mean.or_else(|| end(".lo").map(|c| c.lo)).or_else(|| end(".hi").map(|c| c.hi))
}

impl Term {
    fn parse(text: &str) -> Result<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let term = |metric: Option<&str>, factor, offset| Self { metric: metric.map(str::to_owned), factor, offset };
        let number = |w: &str| w.parse::<f64>().with_context(|| format!("`{w}` is no number"));
        Ok(match words.as_slice() {
            [one] => match one.parse::<f64>() {
                Ok(v) => term(None, 0.0, v),
                Err(_) => term(Some(one), 1.0, 0.0),
            },
            [m, "+", v] => term(Some(m), 1.0, number(v)?),
            [m, "-", v] => term(Some(m), 1.0, -number(v)?),
            [m, "*", v] => term(Some(m), number(v)?, 0.0),
            _ => bail!("`{text}` is no term (a metric, a number, `metric + number`, `- number`, `* number`)"),
        })
    }

    /// The metric as it is, with what the claim adds to it or multiplies it by.
    fn shown(&self, metrics: &Metrics) -> Option<String> {
        let Some(m) = &self.metric else { return Some(format!("{:.3}", self.offset)) };
        let mean = read(metrics, m)?;
        Some(if self.offset != 0.0 {
            format!("{mean:.3} {} {}", if self.offset < 0.0 { '-' } else { '+' }, self.offset.abs())
        } else if self.factor != 1.0 {
            format!("{mean:.3} * {}", self.factor)
        } else {
            format!("{mean:.3}")
        })
    }

    fn value(&self, metrics: &Metrics) -> Option<f64> {
        let mean = match &self.metric {
            Some(m) => read(metrics, m)?,
            None => 0.0,
        };
        Some(mean * self.factor + self.offset)
    }
}

struct Comparison {
    left: Term,
    op: &'static str,
    right: Term,
}

impl Comparison {
    fn parse(text: &str) -> Result<Self> {
        for op in [">=", "<=", ">", "<"] {
            if let Some((l, r)) = text.split_once(op) {
                return Ok(Self { left: Term::parse(l)?, op, right: Term::parse(r)? });
            }
        }
        bail!("`{text}` has no comparison")
    }

    fn holds(&self, metrics: &Metrics) -> Option<bool> {
        let (l, r) = (self.left.value(metrics)?, self.right.value(metrics)?);
        Some(match self.op {
            ">=" => l >= r,
            "<=" => l <= r,
            ">" => l > r,
            _ => l < r,
        })
    }

    /// Both sides, and the paired difference with its interval where both sides are metrics.
    fn shown(&self, metrics: &Metrics) -> Option<String> {
        let mut text = format!("{} against {}", self.left.shown(metrics)?, self.right.shown(metrics)?);
        let whole = |t: &Term| metrics.get(t.metric.as_ref()?);
        if let (Some(a), Some(b)) = (whole(&self.left), whole(&self.right))
            && let Ok(d) = Summary::paired(a, b)
            && let Some(ci) = d.ci95
        {
            text += &format!(" (difference {:+.3}, 95 % [{:+.3}, {:+.3}])", d.mean, ci.lo, ci.hi);
        }
        Some(text)
    }
}

/// Judges every claim that these metrics allow to judge.
pub fn judge(claims: &Claims, metrics: &Metrics) -> Result<Vec<ClaimResult>> {
    let mut out = Vec::new();
    for c in &claims.claim {
        let parsed: Result<Vec<Comparison>> = c.holds.split(" and ").map(Comparison::parse).collect();
        let parsed = parsed.with_context(|| format!("claim `{}`", c.id))?;
        let holds: Option<Vec<bool>> = parsed.iter().map(|p| p.holds(metrics)).collect();
        let ours: Option<Vec<String>> = parsed.iter().map(|p| p.shown(metrics)).collect();
        if let (Some(holds), Some(ours)) = (holds, ours) {
            out.push(ClaimResult {
                id: c.id.clone(),
                text: c.text.clone(),
                source: c.source.clone(),
                holds: holds.into_iter().all(|h| h),
                ours: ours.join("; "),
                want: c.holds.clone(),
            });
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_and_missing_metrics() {
        let metrics: Metrics = [("a.x", vec![0.9, 0.8]), ("b.x", vec![0.7, 0.65])]
            .into_iter()
            .map(|(k, v)| (k.to_owned(), Summary::new(v).unwrap()))
            .collect();
        let judged = |holds: &str| {
            let claim =
                |id: &str, h: &str| Claim { id: id.into(), text: "t".into(), source: "s".into(), holds: h.into() };
            judge(&Claims { claim: vec![claim("1", holds)] }, &metrics).map(|mut v| v.pop())
        };
        let r = judged("a.x > b.x and a.x >= b.x + 0.1").unwrap().unwrap();
        assert!(r.holds && r.ours.contains("0.850 against 0.675 + 0.1 (difference +0.175"), "{}", r.ours);
        assert!(!judged("b.x * 2 < a.x").unwrap().unwrap().holds);
        assert!(judged("a.x > 0.84").unwrap().unwrap().holds);
        assert!(judged("a.x > c.x").unwrap().is_none());
        assert!(
            judged("a.x.lo < a.x and a.x.hi > a.x").unwrap().unwrap().holds && judged("c.x.lo > 0").unwrap().is_none()
        );
        assert!(judged("a.x b.x").is_err() && judged("a.x > b.x + y").is_err());
    }
}
