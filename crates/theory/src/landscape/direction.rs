//! Directions in the space of weights.

use crate::dense::{dot, eigen, norm};
use crate::{Error, Result, Weights};
use sconce_tensor_core::Rng;

/// How a direction is normalised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Normalise {
    /// Filter normalisation: each filter (a row of a kernel or of a linear map) has the norm of the network's filter; the
    /// components of biases and normalisation layers are 0. The landscape is invariant to a rescaling of filters that a ReLU or
    /// a batch norm compensates.
    #[default]
    Filter,
    /// The direction has the norm of all weights.
    Whole,
    /// The direction has norm 1.
    Unit,
}

/// A direction in the space of weights: a step of 1 adds it to the weights once.
#[derive(Clone, Debug, PartialEq)]
pub struct Direction {
    values: Vec<f64>,
    name: String,
}

impl Direction {
    /// A Gaussian random direction.
    ///
    /// Source: Li et al. (arXiv 1712.09913), section 4, for [`Normalise::Filter`].
    ///
    /// # Errors
    /// As [`Direction::new`].
    pub fn random(weights: &Weights<'_>, normalise: Normalise, rng: &Rng) -> Result<Self> {
        let values = rng.stream("direction").normals(weights.dim());
        Self::new(weights, values, normalise, "random")
    }

    /// A given vector, normalised; `name` is stored with results.
    ///
    /// # Errors
    /// [`Error::Value`] for a wrong number of values, a value that is not finite, or a direction of norm 0 (with filter
    /// normalisation: norm 0 in all kernels and linear maps).
    pub fn new(weights: &Weights<'_>, values: Vec<f64>, normalise: Normalise, name: &str) -> Result<Self> {
        if values.len() != weights.dim() || values.iter().any(|v| !v.is_finite()) {
            let reason = format!("must be {} finite values, got {}", weights.dim(), values.len());
            return Err(Error::value(format!("direction `{name}`"), reason));
        }
        let w = weights.values()?;
        let mut values = values;
        match normalise {
            Normalise::Filter => {
                let mut from = 0;
                for (n, filter) in weights.filters() {
                    let (own, part) = (&w[from..from + n], &mut values[from..from + n]);
                    let length = norm(part);
                    let factor = if filter && length > 0.0 { norm(own) / length } else { 0.0 };
                    part.iter_mut().for_each(|v| *v *= factor);
                    from += n;
                }
            }
            Normalise::Whole | Normalise::Unit => {
                let length = norm(&values);
                let target = if normalise == Normalise::Unit { 1.0 } else { norm(&w) };
                values.iter_mut().for_each(|v| *v *= if length > 0.0 { target / length } else { 0.0 });
            }
        }
        if norm(&values) == 0.0 {
            return Err(Error::value(format!("direction `{name}`"), "has norm 0 and cannot be normalised"));
        }
        Ok(Self { values, name: name.to_owned() })
    }

    /// The direction from the current weights to `other`: a step of 1 reaches `other`.
    ///
    /// # Errors
    /// [`Error::Value`] for a wrong number of values, a value that is not finite, or weights equal to the current ones.
    pub fn to(weights: &Weights<'_>, other: &[f64]) -> Result<Self> {
        let w = weights.values()?;
        if other.len() != w.len() || other.iter().any(|v| !v.is_finite()) {
            return Err(Error::value(
                "other weights",
                format!("must be {} finite values, got {}", w.len(), other.len()),
            ));
        }
        let values: Vec<f64> = other.iter().zip(&w).map(|(o, w)| o - w).collect();
        match norm(&values) > 0.0 {
            true => Ok(Self { values, name: "to other weights".to_owned() }),
            false => Err(Error::value("other weights", "are the same as the current weights")),
        }
    }

    /// The first two principal directions of a training path, relative to its last point, with their shares of the sum of
    /// squared distances to the last point. Each has norm 1.
    ///
    /// Source: Li et al. (arXiv 1712.09913), section 7.
    ///
    /// # Errors
    /// Fewer than 3 points, points of different lengths, a path that does not span two dimensions.
    pub fn of_path(path: &[Vec<f64>]) -> Result<[(Self, f64); 2]> {
        let bad = |reason: &str| Error::value("path", reason.to_owned());
        let [before @ .., end] = path else { return Err(bad("has no points")) };
        if before.len() < 2 || before.iter().any(|p| p.len() != end.len()) {
            return Err(bad("needs at least 3 points of the same length"));
        }
        let moved: Vec<Vec<f64>> = before.iter().map(|p| p.iter().zip(end).map(|(a, b)| a - b).collect()).collect();
        let n = moved.len();
        let gram: Vec<f64> = (0..n * n).map(|e| dot(&moved[e / n], &moved[e % n])).collect();
        let (values, vectors) = eigen(&gram, n)?;
        let total: f64 = values.iter().map(|v| v.max(0.0)).sum();
        let axis = |rank: usize| {
            let (value, vector) = (values[n - 1 - rank], &vectors[n - 1 - rank]);
            if value <= 1e-12 * total || total == 0.0 {
                return Err(bad("does not span two directions"));
            }
            let mut sum = vec![0.0; end.len()];
            for (m, s) in moved.iter().zip(vector) {
                sum.iter_mut().zip(m).for_each(|(a, m)| *a += s * m / value.sqrt());
            }
            Ok((Self { values: sum, name: format!("principal {}", rank + 1) }, value / total))
        };
        Ok([axis(0)?, axis(1)?])
    }

    /// The values, in the order of the parameters.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The name in results.
    pub fn name(&self) -> &str {
        &self.name
    }
}
