//! PCGrad: projecting conflicting gradients.

use crate::Result;
use crate::weighting::{Step, Weighting, Weights};
use serde::{Deserialize, Serialize};

/// The order in which the other tasks' gradients are visited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProjectionOrder {
    /// A random order for each task and step, as in the paper.
    #[default]
    Random,
    /// By index.
    Ascending,
    /// By index, the last first.
    Descending,
}

/// Configuration of [`PcGrad`].
///
/// | Name | Default | Purpose |
/// |---|---|---|
/// | `order` | random | order of the projections, on which the result depends |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PcGradConfig {
    /// Order of the projections.
    pub order: ProjectionOrder,
}

/// PCGrad (Yu et al. 2020, algorithm 1): each gradient is projected onto the normal plane of every other one that it conflicts with, in
/// turn; d is the sum of the projected gradients.
///
/// For each task i: `w = e_i`; for each j other than i: `p = (Mw)_j`, and `w_j -= p / M_jj` where `p < 0`. The weights are the sum
/// over i; without a conflict all are 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PcGrad {
    cfg: PcGradConfig,
}

impl PcGrad {
    /// Validates the configuration.
    ///
    /// # Errors
    /// None today.
    pub fn new(cfg: PcGradConfig) -> Result<Self> {
        Ok(Self { cfg })
    }

    fn order(&self, step: &Step<'_>, i: usize) -> Vec<usize> {
        let t = step.tasks();
        match self.cfg.order {
            ProjectionOrder::Random => step.rng().stream("pcgrad").at(i as u64).permutation(t),
            ProjectionOrder::Ascending => (0..t).collect(),
            ProjectionOrder::Descending => (0..t).rev().collect(),
        }
    }
}

impl Weighting for PcGrad {
    fn name(&self) -> &'static str {
        "pcgrad"
    }

    fn describe(&self) -> String {
        format!("{:?}", self.cfg)
    }

    fn weights(&mut self, step: &Step<'_>) -> Result<Weights> {
        let (gram, t) = (step.gram("pcgrad")?, step.tasks());
        let mut sum = vec![0.0; t];
        for i in 0..t {
            let mut w = vec![0.0; t];
            w[i] = 1.0;
            for j in self.order(step, i).into_iter().filter(|j| *j != i) {
                let product: f64 = (0..t).map(|k| gram.at(j, k) * w[k]).sum();
                if product < 0.0 {
                    w[j] -= product / gram.at(j, j);
                }
            }
            sum.iter_mut().zip(w).for_each(|(s, w)| *s += w);
        }
        Weights::new("pcgrad", sum)
    }
}
