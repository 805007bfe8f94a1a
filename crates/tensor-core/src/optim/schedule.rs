//! Learning rates over training.

use crate::{Error, Result};

/// A factor on the learning rate as a function of the step; it has no state to save. [`super::Updater`] sets the optimizer's rate
/// by it.
#[derive(Clone, Debug, PartialEq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)
)]
pub enum Schedule {
    /// Always 1.
    #[default]
    Constant,
    /// Multiplied by `gamma` at each of the given shares of training (0.5 is half-way).
    Step {
        /// When, as shares of all steps.
        at: Vec<f64>,
        /// The factor.
        gamma: f64,
    },
    /// A linear rise over the share `warmup`, then half a cosine from 1 down to 0 (Loshchilov and Hutter 2017).
    Cosine {
        /// Share of all steps that rise.
        warmup: f64,
    },
    /// A linear rise over the share `warmup`, then a straight line from 1 down to 0.
    Linear {
        /// Share of all steps that rise.
        warmup: f64,
    },
    /// A linear rise over the share `warmup`, then 1.
    Warmup {
        /// Share of all steps that rise.
        warmup: f64,
    },
}

impl Schedule {
    /// Half a cosine from 1 down to 0.
    pub fn cosine() -> Self {
        Self::Cosine { warmup: 0.0 }
    }

    /// A straight line from 1 down to 0.
    pub fn linear() -> Self {
        Self::Linear { warmup: 0.0 }
    }

    /// Checks the parameters.
    ///
    /// # Errors
    /// [`Error::Config`] for shares outside [0, 1] or a factor that is not positive.
    pub fn validate(&self) -> Result<()> {
        let share = |v: f64| (0.0..=1.0).contains(&v);
        match self {
            Self::Step { at, .. } if !at.iter().all(|v| share(*v)) => {
                Err(Error::config("Schedule.at", format!("must be shares in [0, 1], got {at:?}")))
            }
            Self::Step { gamma, .. } if !(*gamma > 0.0 && gamma.is_finite()) => {
                Err(Error::config("Schedule.gamma", format!("must be > 0, got {gamma}")))
            }
            Self::Cosine { warmup } | Self::Linear { warmup } | Self::Warmup { warmup } if !share(*warmup) => {
                Err(Error::config("Schedule.warmup", format!("must be in [0, 1], got {warmup}")))
            }
            _ => Ok(()),
        }
    }

    /// The factor at `step` of `total`, counted from 0.
    pub fn factor(&self, step: usize, total: usize) -> f64 {
        let t = step as f64 / total.max(1) as f64;
        match self {
            Self::Constant => 1.0,
            Self::Step { at, gamma } => gamma.powi(at.iter().filter(|a| t >= **a).count() as i32),
            Self::Cosine { warmup } | Self::Linear { warmup } | Self::Warmup { warmup } if t < *warmup => {
                ((step + 1) as f64 / (warmup * total as f64).max(1.0)).min(1.0)
            }
            Self::Warmup { .. } => 1.0,
            Self::Linear { warmup } => 1.0 - ((t - warmup) / (1.0 - warmup).max(f64::MIN_POSITIVE)).min(1.0),
            Self::Cosine { warmup } => {
                let u = ((t - warmup) / (1.0 - warmup).max(f64::MIN_POSITIVE)).min(1.0);
                0.5 * (1.0 + (std::f64::consts::PI * u).cos())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_hand() {
        let s = Schedule::Step { at: vec![0.5, 0.75], gamma: 0.1 };
        let f: Vec<f64> = [0, 49, 50, 74, 75, 99].iter().map(|i| s.factor(*i, 100)).collect();
        for (f, want) in f.iter().zip([1.0, 1.0, 0.1, 0.1, 0.01, 0.01]) {
            assert!((f - want).abs() < 1e-12);
        }
        let c = Schedule::Cosine { warmup: 0.1 };
        assert!((c.factor(0, 100) - 0.1).abs() < 1e-12 && (c.factor(9, 100) - 1.0).abs() < 1e-12);
        assert!((c.factor(10, 100) - 1.0).abs() < 1e-12 && (c.factor(55, 100) - 0.5).abs() < 1e-12);
        let l = Schedule::Linear { warmup: 0.1 };
        assert!((l.factor(4, 100) - 0.5).abs() < 1e-12 && (l.factor(10, 100) - 1.0).abs() < 1e-12);
        assert!((l.factor(55, 100) - 0.5).abs() < 1e-12 && l.factor(100, 100).abs() < 1e-12);
        let w = Schedule::Warmup { warmup: 0.1 };
        assert!((w.factor(0, 100) - 0.1).abs() < 1e-12 && w.factor(10, 100) == 1.0 && w.factor(99, 100) == 1.0);
        assert_eq!(Schedule::cosine(), Schedule::Cosine { warmup: 0.0 });
        assert!((Schedule::linear().factor(1, 4) - 0.75).abs() < 1e-12);
        // No factor is above 1 or below 0, also where the warm-up ends within a step.
        for total in 1..40 {
            for schedule in
                [Schedule::Cosine { warmup: 0.1 }, Schedule::Linear { warmup: 0.4 }, Schedule::Warmup { warmup: 0.3 }]
            {
                let mut factors = (0..total).map(|i| schedule.factor(i, total));
                assert!(factors.all(|f| (0.0..=1.0).contains(&f)), "{schedule:?} of {total}");
            }
        }
        assert!(Schedule::Linear { warmup: -0.1 }.validate().is_err());
        assert!(Schedule::Cosine { warmup: f64::NAN }.validate().is_err());
        assert!(Schedule::Step { at: vec![2.0], gamma: 0.1 }.validate().is_err());
    }
}
