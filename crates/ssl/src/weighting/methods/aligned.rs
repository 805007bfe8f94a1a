//! Aligned-MTL: the nearest system of orthogonal gradients of equal norm.

use crate::weighting::linear::eigen;
use crate::weighting::{Step, Weighting, Weights};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// The eigenvalue of M that becomes the squared norm of all aligned gradients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EigenScale {
    /// The smallest.
    #[default]
    Min,
    /// The median; of an even number the lower one.
    Median,
    /// The mean: the root mean square of the singular values.
    Rmse,
}

/// Configuration of [`AlignedMtl`].
///
/// | Name | Default | Purpose |
/// |---|---|---|
/// | `scale` | min | the eigenvalue that all directions get |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlignedMtlConfig {
    /// The eigenvalue that all directions get.
    pub scale: EigenScale,
}

/// Aligned-MTL (Senushkin et al. 2023) with equal preferences: `w = sqrt(l) V diag(l_k^-1/2) V' p`, `p = 1/T`, from the eigenvalues l_k
/// of `M = V diag(l_k) V'`.
///
/// Eigenvalues up to `max(l_k) T 2.2e-16` are left out. Rounding errors of the weights grow with the ratio of the largest to the smallest
/// eigenvalue: six digits are right at 1e9. Undefined, an error, where all gradients are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlignedMtl {
    cfg: AlignedMtlConfig,
}

impl AlignedMtl {
    /// Validates the configuration.
    ///
    /// # Errors
    /// None today.
    pub fn new(cfg: AlignedMtlConfig) -> Result<Self> {
        Ok(Self { cfg })
    }
}

impl Weighting for AlignedMtl {
    fn name(&self) -> &'static str {
        "aligned-mtl"
    }

    fn describe(&self) -> String {
        format!("{:?}", self.cfg)
    }

    fn weights(&mut self, step: &Step<'_>) -> Result<Weights> {
        let (gram, t) = (step.gram("aligned-mtl")?, step.tasks());
        let largest = gram.largest();
        if largest == 0.0 {
            return Err(Error::value("aligned-mtl", "is undefined: all gradients are 0"));
        }
        // The weights do not depend on the unit of M.
        let (values, vectors) = eigen(t, |i, j| gram.at(i, j) / largest)?;
        let least = values[t - 1] * t as f64 * f64::EPSILON;
        let skip = values.iter().filter(|v| **v <= least).count();
        let kept = &values[skip..];
        let scale = match self.cfg.scale {
            EigenScale::Min => kept[0],
            EigenScale::Median => kept[(kept.len() - 1) / 2],
            EigenScale::Rmse => kept.iter().sum::<f64>() / kept.len() as f64,
        };
        let mut w = vec![0.0; t];
        for (value, vector) in kept.iter().zip(&vectors[skip..]) {
            let along = (scale / value).sqrt() * vector.iter().sum::<f64>() / t as f64;
            w.iter_mut().zip(vector).for_each(|(w, v)| *w += along * v);
        }
        Weights::new("aligned-mtl", w)
    }
}
