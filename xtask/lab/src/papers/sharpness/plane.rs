//! The adversarial loss of a network, attack frozen, on a plane through its weights.

use super::config::NetworkPart;
use super::network::Trained;
use crate::jobs::{Job, Work};
use crate::pieces::train;
use anyhow::Result;
use sconce_tensor_core::Rng;
use sconce_tensor_core::store::Digest;
use sconce_theory::Weights;
use sconce_theory::landscape::{Axis, Direction, Grid, Normalise};
use serde::Serialize;

/// Steps along each side: from -1 to 1.
pub fn steps(n: usize) -> Vec<f64> {
    (0..n).map(|i| 2.0 * i as f64 / (n - 1) as f64 - 1.0).collect()
}

impl NetworkPart {
    /// The plane of a radius and a seed.
    pub fn plane(&self, eps: f64, seed: u64) -> Plane<'_> {
        Plane { trained: self.trained(eps, seed), examples: self.examples, side: self.plane }
    }
}

/// The loss on a grid along two filter-normalised random directions.
#[derive(Clone, Copy, Serialize)]
pub struct Plane<'a> {
    pub trained: Trained<'a>,
    pub examples: usize,
    pub side: usize,
}

impl Job for Plane<'_> {
    /// Row after row; none where a loss is not finite.
    type Output = Vec<Option<f64>>;

    fn key(&self) -> String {
        self.trained.key().replacen("train", "plane", 1)
    }

    fn needs(&self) -> Vec<String> {
        vec![self.trained.key()]
    }

    fn cost(&self) -> f64 {
        (self.side * self.side * self.examples) as f64
    }

    fn run(&self, work: &Work<'_>) -> Result<Self::Output> {
        let wide = self.trained.widened(work, self.examples)?;
        let losses = wide.losses()?;
        let weights = Weights::new(wide.net.params())?;
        let axis = |k| -> Result<Axis> {
            let direction = Direction::random(&weights, Normalise::Filter, &Rng::new(self.trained.seed).at(k))?;
            Ok(Axis { direction, steps: steps(self.side) })
        };
        let grid = Grid::plane(axis(0)?, axis(1)?)?;
        // The grid knows its weights and directions; examples, attack and code are known by the job's fingerprint.
        let print = Digest::new().bytes(&serde_json::to_vec(work.print())?).hex();
        let note =
            format!("first training examples; running statistics of batch norm kept; attack frozen; job {print}");
        let file = work.scratch("surface.json");
        let mut done = 0;
        let found = grid.measure(&weights, &["adversarial"], &note, Some(&file), || {
            done += 1;
            work.at(done, self.side * self.side);
            Ok(vec![losses.total(|i| losses.frozen(i))?])
        });
        let found = found.map_err(|e| train::advise(e.into()))?;
        Ok(found.values.iter().map(|v| v[0].is_finite().then_some(v[0])).collect())
    }
}
