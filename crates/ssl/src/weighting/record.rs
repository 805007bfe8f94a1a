//! The log of one step.

use super::contract::Weights;
use super::gram::{Gram, Space};
use super::min_norm::{EXACT_TASKS, MinNorm};
use crate::Result;
use serde::{Deserialize, Serialize};

/// One training step as a weighting method saw it: what a report draws over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The step, from 0.
    pub step: u64,
    /// The method's name.
    pub method: String,
    /// The tasks' names, in the order of all lists here.
    pub tasks: Vec<String>,
    /// The losses.
    pub losses: Vec<f64>,
    /// The weights w.
    pub weights: Vec<f64>,
    /// [`Weights::alpha`].
    pub alpha: Option<Vec<f64>>,
    /// [`Weights::residual`]: for MGDA its certificate.
    pub residual: Option<f64>,
    /// What the gradients look like; `None` for a step without gradients.
    pub geometry: Option<Geometry>,
}

/// The gradients of one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Geometry {
    /// What the gradients are taken with respect to. Norms of different spaces must not be compared.
    pub space: Space,
    /// The length of one task's gradient.
    pub numbers: usize,
    /// `|g_i|`.
    pub norms: Vec<f64>,
    /// The conflict matrix (T x T, in row-major order): cosines of the angles between gradients, 0 for a gradient of 0.
    pub cosines: Vec<f64>,
    /// `|d|` of the direction `d = sum w_i g_i`: the length of the step per unit of learning rate.
    pub direction_norm: f64,
    /// `<g_i, d>`: the rate at which a step along -d lowers each loss; below 0 the loss rises.
    pub descent: Vec<f64>,
    /// The squared norm of the smallest convex combination of the gradients over the largest squared norm, in [0, 1]: 0 at a
    /// Pareto-stationary point. Exact for at most 8 tasks; for more, an upper bound that is too large by at most twice
    /// [`Geometry::pareto_gap`].
    pub pareto_residual: f64,
    /// The duality gap that certifies [`Geometry::pareto_residual`], in the same unit.
    pub pareto_gap: f64,
}

impl Geometry {
    /// Measures the gradients of a step and the direction of its weights.
    ///
    /// # Errors
    /// Those of [`MinNorm::exact`].
    pub fn new(gram: &Gram, weights: &[f64]) -> Result<Self> {
        let t = gram.tasks();
        let least = match t <= EXACT_TASKS {
            true => MinNorm::exact(gram)?,
            false => MinNorm::frank_wolfe(gram, 1000, 1e-3),
        };
        Ok(Self {
            space: gram.space(),
            numbers: gram.numbers(),
            norms: gram.norms(),
            cosines: (0..t * t).map(|k| gram.cosine(k / t, k % t)).collect(),
            direction_norm: gram.quadratic(weights).sqrt(),
            descent: gram.times(weights),
            pareto_residual: least.pareto_residual(),
            pareto_gap: least.relative_gap(),
        })
    }
}

impl Record {
    pub(super) fn new(
        step: u64,
        method: &str,
        tasks: &[String],
        losses: &[f64],
        weights: Weights,
        gram: Option<&Gram>,
    ) -> Result<Self> {
        let geometry = gram.map(|g| Geometry::new(g, &weights.values)).transpose()?;
        Ok(Self {
            step,
            method: method.to_owned(),
            tasks: tasks.to_vec(),
            losses: losses.to_vec(),
            weights: weights.values,
            alpha: weights.alpha,
            residual: weights.residual,
            geometry,
        })
    }
}
