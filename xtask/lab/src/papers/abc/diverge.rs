//! Training for longer and longer, seen from the residuals of the known anomalies.

use super::areas::Areas;
use super::config::{Arm, Divergence};
use super::sets::{Origin, Sets};
use crate::jobs::{Job, Work};
use anyhow::Result;
use rayon::prelude::*;
use sconce_anomaly::TrainingRows;
use sconce_anomaly::protocol::{Amounts, Roles};
use sconce_tensor_core::Rng;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Every arm at every length of training; each longer one starts from the beginning and takes the same steps.
#[derive(Clone, Serialize)]
pub struct Diverge<'a> {
    pub divergence: &'a Divergence,
    pub origin: Origin<'a>,
    pub roles: Roles,
    pub amounts: Amounts,
    pub seed: u64,
}

/// One arm after some epochs; no numbers where training ended in a loss that is not finite.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trained {
    pub arm: String,
    pub epochs: usize,
    /// Mean score of the known anomalies that training saw, and of its normal examples.
    pub known: Option<f64>,
    pub normal: Option<f64>,
    /// Areas under the curve of the test.
    pub known_area: Option<f64>,
    pub unknown_area: Option<f64>,
}

impl Job for Diverge<'_> {
    type Output = Vec<Trained>;

    fn key(&self) -> String {
        format!("diverge/seed{}", self.seed)
    }

    fn cost(&self) -> f64 {
        (self.divergence.epochs.iter().sum::<usize>() * self.divergence.arms.len()) as f64
    }

    fn run(&self, work: &Work<'_>) -> Result<Vec<Trained>> {
        let loaded = self.origin.load(work.site)?;
        let sets: &Sets = &loaded;
        let (x, known) = sets.drawn(&self.roles, &self.amounts, self.seed)?;
        let tested = self.roles.test_split(&sets.test.classes)?;
        let (epochs, arms) = (&self.divergence.epochs, &self.divergence.arms);
        let fits: Vec<(&Arm, usize)> = epochs.iter().rev().flat_map(|e| arms.iter().map(move |a| (a, *e))).collect();
        let (bar, done) = (work.bar(), AtomicUsize::new(0));
        let one = |(arm, epochs): &(&Arm, usize)| -> Result<Trained> {
            let mut arm = (*arm).clone();
            arm.config["network"]["epochs"] = (*epochs).into();
            let fitted = arm.method()?.fit(&TrainingRows::new(&x, Some(&known)), &Rng::new(self.seed));
            bar.at(done.fetch_add(1, Ordering::Relaxed) + 1, fits.len());
            let none = Trained {
                arm: arm.name,
                epochs: *epochs,
                known: None,
                normal: None,
                known_area: None,
                unknown_area: None,
            };
            let fitted = match fitted {
                Ok(f) => f,
                Err(sconce_anomaly::Error::NotFinite { .. }) => return Ok(none),
                Err(e) => return Err(e.into()),
            };
            let seen = fitted.score(&x)?.to_vec1::<f64>()?;
            let mean = |which: bool| {
                let part: Vec<f64> = seen.iter().zip(&known).filter(|(_, k)| **k == which).map(|(s, _)| *s).collect();
                Some(part.iter().sum::<f64>() / part.len() as f64)
            };
            let areas = Areas::of(&fitted.score(&sets.test.x)?.to_vec1::<f64>()?, &tested)?;
            Ok(Trained {
                known: mean(true),
                normal: mean(false),
                known_area: areas.known,
                unknown_area: areas.unknown,
                ..none
            })
        };
        fits.par_iter().with_max_len(1).map(one).collect()
    }
}
