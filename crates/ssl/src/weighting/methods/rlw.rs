//! Random loss weighting.

use crate::Result;
use crate::weighting::{Step, Weighting, Weights};

/// RLW (Lin et al. 2022): `w = softmax(z)` of standard normals z, drawn in each step. The weights sum to 1.
///
/// The draws are keyed by the run's seed and the step, so that a resumed run draws the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rlw;

impl Weighting for Rlw {
    fn name(&self) -> &'static str {
        "rlw"
    }

    fn describe(&self) -> String {
        format!("{self:?}")
    }

    fn needs_gradients(&self) -> bool {
        false
    }

    fn weights(&mut self, step: &Step<'_>) -> Result<Weights> {
        Weights::new("rlw", softmax(&step.rng().stream("rlw").normals(step.tasks())))
    }
}

pub(super) fn softmax(z: &[f64]) -> Vec<f64> {
    let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let e: Vec<f64> = z.iter().map(|z| (z - top).exp()).collect();
    let sum: f64 = e.iter().sum();
    e.iter().map(|e| e / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::softmax;

    /// shared/specs/scripts/ssl_golden.py.
    #[test]
    fn golden_softmax() {
        let w = softmax(&[0.3, -1.1, 0.7]);
        let want = [0.365_173_857, 0.090_050_764, 0.544_775_379];
        assert!(w.iter().zip(want).all(|(w, want)| (w - want).abs() < 1e-9), "{w:?}");
        assert_eq!(softmax(&[1000.0, 1000.0]), [0.5, 0.5]);
    }
}
