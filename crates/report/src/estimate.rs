//! A mean with its interval, and how numbers are written.

use crate::error::{Error, Result};

/// A mean with its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// The lower and the upper end of its interval; `None` where there is no interval, for example for a single value.
    pub interval: Option<(f64, f64)>,
}

impl Estimate {
    /// A mean with the ends of its interval.
    pub fn with_interval(mean: f64, low: f64, high: f64) -> Self {
        Self { mean, interval: Some((low, high)) }
    }

    /// The least and the largest value that a drawing of it shows.
    pub(crate) fn ends(&self) -> (f64, f64) {
        self.interval.map_or((self.mean, self.mean), |(lo, hi)| (lo.min(self.mean), hi.max(self.mean)))
    }

    /// Fails where the mean or an end is not finite, or the ends are in the wrong order.
    pub(crate) fn check(&self, what: &str, index: usize) -> Result<()> {
        let (lo, hi) = self.interval.unwrap_or((self.mean, self.mean));
        if ![self.mean, lo, hi].iter().all(|v| v.is_finite()) {
            return Err(Error::NotFinite { what: what.to_owned(), index });
        }
        if lo > hi {
            return Err(Error::range(what, format!("the interval of value {index} ends below its start")));
        }
        Ok(())
    }

    /// The mean with its sign and the interval: `+0.022 [-0.006, +0.050]`.
    pub fn effect(&self) -> String {
        let ends = self.interval.map(|(lo, hi)| format!(" [{}, {}]", signed(lo), signed(hi)));
        format!("{}{}", signed(self.mean), ends.unwrap_or_default())
    }
}

impl From<f64> for Estimate {
    fn from(mean: f64) -> Self {
        Self { mean, interval: None }
    }
}

/// A number with three decimals, or in powers of ten where that would hide it.
pub fn number(v: f64) -> String {
    let size = v.abs();
    if size != 0.0 && !(1e-3..1e6).contains(&size) { format!("{v:.1e}") } else { format!("{v:.3}") }
}

/// The same with its sign.
pub fn signed(v: f64) -> String {
    if v < 0.0 { number(v) } else { format!("+{}", number(v)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_has_signs_and_brackets() {
        assert_eq!(Estimate::with_interval(0.022, -0.006, 0.05).effect(), "+0.022 [-0.006, +0.050]");
        assert_eq!((Estimate::from(2e-5).effect(), number(0.0)), ("+2.0e-5".to_owned(), "0.000".to_owned()));
    }
}
