//! The choice of target classes for targeted attacks.

use crate::loss::rival;
use candle_core::Tensor;
use sconce_tensor_core::classifier::{self, host_logits};
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Classifier, Error, ExampleRng, Goal, Result};

/// How the target class of each example is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The given classes, one per example.
    Given(Vec<u32>),
    /// The wrong class with the smallest logit at the clean input.
    LeastLikely,
    /// A random wrong class, drawn from the example's own random stream.
    Random,
    /// The wrong class with the largest logit at the clean input.
    RunnerUp,
}

impl Target {
    /// The targeted goal for inputs with their true labels.
    ///
    /// # Shapes
    /// `x` (N, ...), `labels` (N,) of u32.
    ///
    /// # Errors
    /// The number of given targets is not N, or a target is out of range or equal to the label (the error names the row).
    pub fn goal(&self, model: &dyn Classifier, x: &Tensor, labels: &Tensor, rng: &ExampleRng) -> Result<Goal> {
        let labels = labels.to_vec1::<u32>()?;
        let k = model.classes();
        require("Classifier.classes", k >= 2, "at least 2, because a model with one class has no target", k)?;
        let targets: Vec<u32> = match self {
            Self::Given(t) => t.clone(),
            Self::Random => labels
                .iter()
                .enumerate()
                .map(|(i, y)| {
                    let t = rng.stream("target").row(i).below(1, k.saturating_sub(1) as u64)[0] as u32;
                    if t >= *y { t + 1 } else { t }
                })
                .collect(),
            Self::LeastLikely | Self::RunnerUp => {
                let rows = host_logits(&classifier::logits(model, x)?)?;
                let negated = |z: &[f64]| z.iter().map(|v| -v).collect::<Vec<_>>();
                let pick = |(z, y): (&Vec<f64>, &u32)| match self {
                    Self::RunnerUp => rival(z, *y as usize) as u32,
                    _ => rival(&negated(z), *y as usize) as u32,
                };
                rows.iter().zip(&labels).map(pick).collect()
            }
        };
        if targets.len() != labels.len() {
            return Err(Error::shape("targets", format!("({},)", labels.len()), &[targets.len()]));
        }
        for (i, (t, y)) in targets.iter().zip(&labels).enumerate() {
            if *t as usize >= k {
                return Err(Error::value("targets", format!("target {t} at row {i} is not below the {k} classes")));
            }
            if t == y {
                return Err(Error::value("targets", format!("target {t} at row {i} is the example's own label")));
            }
        }
        Ok(Goal::Targeted(Tensor::from_vec(targets, labels.len(), x.device())?))
    }
}
