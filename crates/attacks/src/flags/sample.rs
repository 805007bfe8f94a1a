//! The examples on which the checks run attacks.

use super::config::DiagnosisConfig;
use crate::loss::{ExampleGoal, Loss, arg_max};
use crate::{Pgd, PgdConfig, RunConfig, StepSize, geometry, run};
use candle_core::Tensor;
use sconce_tensor_core::{Attack, Classifier, Goal, Result, Rng, Threat};

/// Examples that the model classifies correctly, with what the checks need to attack them.
pub(super) struct Sample<'a> {
    pub(super) model: &'a dyn Classifier,
    /// (n, ...): the inputs.
    pub(super) x: Tensor,
    /// The logits of each example.
    pub(super) logits: Vec<&'a [f64]>,
    /// The untargeted goal of each example.
    pub(super) goals: Vec<ExampleGoal>,
    pub(super) threat: Threat,
    /// The diameter of the model's box in the threat's norm.
    pub(super) diameter: f64,
    pub(super) cfg: &'a DiagnosisConfig,
    pub(super) goal: Goal,
    rng: Rng,
}

impl<'a> Sample<'a> {
    /// Selects the first examples that are classified correctly, at most `cfg.examples`; `None` if there are none.
    pub(super) fn new(
        model: &'a dyn Classifier,
        x: &Tensor,
        labels: &Tensor,
        logits: &'a [Vec<f64>],
        threat: Threat,
        cfg: &'a DiagnosisConfig,
    ) -> Result<Option<Self>> {
        let y = labels.to_vec1::<u32>()?;
        let rows: Vec<u32> = (0..logits.len() as u32)
            .filter(|&i| arg_max(&logits[i as usize]) == y[i as usize] as usize)
            .take(cfg.examples)
            .collect();
        if rows.is_empty() {
            return Ok(None);
        }
        let index = Tensor::new(rows.as_slice(), x.device())?;
        let x = x.index_select(&index, 0)?.detach();
        let goal = Goal::Untargeted(labels.contiguous()?.index_select(&index, 0)?);
        Ok(Some(Self {
            model,
            diameter: geometry::diameter(threat.norm(), x.elem_count() / rows.len(), model.bounds()),
            x,
            logits: rows.iter().map(|&i| logits[i as usize].as_slice()).collect(),
            goals: ExampleGoal::of(&goal)?,
            threat,
            cfg,
            goal,
            rng: Rng::new(cfg.seed).stream("diagnosis"),
        }))
    }

    /// `count` as a share of the examples.
    pub(super) fn share(&self, count: usize) -> f64 {
        count as f64 / self.goals.len() as f64
    }

    /// Whether each example is robust to the attack.
    pub(super) fn robust(&self, attack: &dyn Attack) -> Result<Vec<bool>> {
        let result = run(attack, self.model, &self.x, &self.goal, &RunConfig::default(), &self.rng)?;
        Ok(result.reached.into_iter().map(|reached| !reached).collect())
    }

    /// The share of examples that are robust, from a list of [`Sample::robust`].
    pub(super) fn robust_share(&self, robust: &[bool]) -> f64 {
        self.share(robust.iter().filter(|r| **r).count())
    }

    /// PGD on the margin loss, with steps of 2.5 radii over the number of steps.
    pub(super) fn pgd(&self, eps: f64, steps: usize, restarts: usize) -> Result<Pgd> {
        let (norm, step) = (self.threat.norm(), StepSize::Relative(2.5 / steps as f64));
        Pgd::new(PgdConfig { norm, eps, steps, step_size: step, loss: Loss::Margin, restarts, ..PgdConfig::default() })
    }
}
