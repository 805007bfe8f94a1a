//! The language of claims: terms and comparisons, and the values per seed that they stand for.

use anyhow::{Context, Result, bail};
use sconce_tensor_core::stats::Summary;
use std::collections::BTreeMap;
use xtask::verdicts::number;

/// What a run measured, by name.
pub type Metrics = BTreeMap<String, Summary>;

/// A metric times a number plus a number, or a number alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// The metric's name.
    pub metric: Option<String>,
    /// Whether it stands for the distance of each seed's value to the mean over the seeds.
    deviation: bool,
    factor: f64,
    offset: f64,
}

impl Term {
    fn parse(text: &str) -> Result<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let number = |w: &str| w.parse::<f64>().with_context(|| format!("`{w}` is not a number"));
        let term = |metric: &str, factor, offset| {
            let inside = metric.strip_prefix("deviation(").and_then(|m| m.strip_suffix(')'));
            let name = inside.unwrap_or(metric).to_owned();
            Self { metric: Some(name), deviation: inside.is_some(), factor, offset }
        };
        Ok(match words.as_slice() {
            [one] => match one.parse::<f64>() {
                Ok(offset) => Self { metric: None, deviation: false, factor: 0.0, offset },
                Err(_) => term(one, 1.0, 0.0),
            },
            [m, "+", v] => term(m, 1.0, number(v)?),
            [m, "-", v] => term(m, 1.0, -number(v)?),
            [m, "*", v] => term(m, number(v)?, 0.0),
            _ => bail!(
                "`{}` is not a term: write a metric, a number, `metric + number`, `metric - number` or `metric * number`",
                text.trim()
            ),
        })
    }

    /// Values of the metric itself; `None` for a number, and for a metric that was not measured.
    fn raw(&self, metrics: &Metrics) -> Option<Vec<f64>> {
        let found = metrics.get(self.metric.as_ref()?)?;
        let distance = |v: &f64| if self.deviation { (v - found.mean).abs() } else { *v };
        Some(found.values.iter().map(distance).collect())
    }

    fn at(&self, raw: f64) -> f64 {
        raw * self.factor + self.offset
    }

    /// The mean as it is, with what the claim adds to it or multiplies it by, and what that makes.
    fn shown(&self, metrics: &Metrics) -> String {
        let Some(raw) = self.raw(metrics) else { return number(self.offset) };
        let mean = raw.iter().sum::<f64>() / raw.len() as f64;
        if self.offset != 0.0 {
            let sign = if self.offset < 0.0 { '-' } else { '+' };
            format!("{} ({} {sign} {})", number(self.at(mean)), number(mean), self.offset.abs())
        } else if self.factor != 1.0 {
            format!("{} ({} * {})", number(self.at(mean)), number(mean), self.factor)
        } else {
            number(mean)
        }
    }
}

/// A difference; 0 where only rounding separates the two, so that 0.86 is not below 0.87 - 0.01.
fn minus(a: f64, b: f64) -> f64 {
    if (a - b).abs() <= 1e-12 * a.abs().max(b.abs()) { 0.0 } else { a - b }
}

/// Two terms and what is claimed of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The left side.
    pub left: Term,
    /// `>`, `<`, `>=` or `<=`.
    pub op: &'static str,
    /// The right side.
    pub right: Term,
}

impl Comparison {
    /// Reads `left op right`.
    pub fn parse(text: &str) -> Result<Self> {
        for op in [">=", "<=", ">", "<"] {
            if let Some((l, r)) = text.split_once(op) {
                let found = Self { left: Term::parse(l)?, op, right: Term::parse(r)? };
                if found.metrics().next().is_none() {
                    bail!("`{}` compares two numbers: one side must be a metric", text.trim());
                }
                return Ok(found);
            }
        }
        bail!("`{}` has no comparison (>, <, >= or <=)", text.trim())
    }

    /// The names that it needs.
    pub fn metrics(&self) -> impl Iterator<Item = &str> {
        [&self.left, &self.right].into_iter().filter_map(|t| t.metric.as_deref())
    }

    /// Left minus right, seed by seed. Both sides must have been measured.
    pub fn differences(&self, metrics: &Metrics) -> Result<Vec<f64>> {
        let (l, r) = (&self.left, &self.right);
        Ok(match (l.raw(metrics), r.raw(metrics)) {
            (Some(a), Some(b)) if a.len() != b.len() => bail!(
                "`{}` has {} values and `{}` has {}: a paired difference needs as many on both sides",
                l.metric.as_deref().unwrap_or_default(),
                a.len(),
                r.metric.as_deref().unwrap_or_default(),
                b.len()
            ),
            (Some(a), Some(b)) => a.iter().zip(&b).map(|(a, b)| minus(l.at(*a), r.at(*b))).collect(),
            (Some(a), None) => a.iter().map(|a| minus(l.at(*a), r.offset)).collect(),
            (None, Some(b)) => b.iter().map(|b| minus(l.offset, r.at(*b))).collect(),
            (None, None) => bail!("neither side was measured"),
        })
    }

    /// Both sides in numbers.
    pub fn shown(&self, metrics: &Metrics) -> (String, String) {
        (self.left.shown(metrics), self.right.shown(metrics))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Metrics {
        let of = |v: &[f64]| Summary::new(v.to_vec()).unwrap();
        [("a.x", of(&[0.9, 0.8])), ("b.x", of(&[0.7, 0.65])), ("c.x", of(&[1.0, 2.0, 6.0]))]
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v))
            .collect()
    }

    fn differences(text: &str) -> Vec<f64> {
        Comparison::parse(text).unwrap().differences(&metrics()).unwrap()
    }

    fn near(found: &[f64], want: &[f64]) {
        assert!(found.len() == want.len() && found.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
    }

    #[test]
    fn differences_are_of_just_what_is_compared() {
        near(&differences("a.x > b.x"), &[0.2, 0.15]);
        near(&differences("a.x >= b.x + 0.1"), &[0.1, 0.05]);
        near(&differences("a.x - 0.5 < b.x * 2"), &[-1.0, -1.0]);
        near(&differences("a.x > 0.85"), &[0.05, -0.05]);
        near(&differences("1 > a.x * 0.5"), &[0.55, 0.6]);
        near(&differences("deviation(c.x) < 0.5"), &[1.5, 0.5, 2.5]);
    }

    #[test]
    fn rounding_is_no_difference() {
        assert_eq!(minus(0.3, 0.1 + 0.2), 0.0);
        assert_eq!(minus(1e-9, 1.1e-9), 1e-9 - 1.1e-9);
    }

    #[test]
    fn sides_are_shown_with_their_offset_and_what_it_makes() {
        let shown = |t: &str| Comparison::parse(t).unwrap().shown(&metrics());
        assert_eq!(shown("a.x >= b.x - 0.1"), ("0.850".into(), "0.575 (0.675 - 0.1)".into()));
        assert_eq!(shown("a.x * 10 < 1e-4"), ("8.500 (0.850 * 10)".into(), "1.0e-4".into()));
    }

    #[test]
    fn what_cannot_be_compared_is_an_error_that_says_why() {
        let error = |t: &str| {
            let made = Comparison::parse(t).and_then(|c| c.differences(&metrics()));
            made.err().map(|e| format!("{e:#}")).unwrap_or_default()
        };
        assert!(error("a.x > c.x").contains("`a.x` has 2 values and `c.x` has 3"), "{}", error("a.x > c.x"));
        assert!(error("a.x b.x").contains("no comparison"));
        assert!(error("a.x > b.x + y").contains("`y` is not a number"));
        assert!(error("a.x > b.x + 1 + 2").contains("is not a term"));
        assert!(error("1 > 2").contains("must be a metric"));
    }
}
