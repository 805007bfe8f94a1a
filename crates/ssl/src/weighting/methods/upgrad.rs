//! UPGrad and DualProj: projections onto the cone of directions that raise no loss.

use crate::Result;
use crate::weighting::dual_cone::project;
use crate::weighting::{Step, Weighting, Weights};

/// UPGrad (Quinton and Rey 2024, "Jacobian descent for multi-objective optimization"): each gradient `g_i / T` is projected onto the
/// cone `{d : J d >= 0}`, and d is the sum of the projections.
///
/// `w = sum_i argmin {v'Mv : v >= e_i / T}`, exact, for at most 8 tasks. `J d >= 0`; without a conflict it is the mean; d is linear in
/// positive factors of single tasks. A gradient of 0 is allowed: its task has the weight 1/T.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpGrad;

impl Weighting for UpGrad {
    fn name(&self) -> &'static str {
        "upgrad"
    }

    fn describe(&self) -> String {
        format!("{self:?}")
    }

    fn weights(&mut self, step: &Step<'_>) -> Result<Weights> {
        let (gram, t) = (step.gram("upgrad")?, step.tasks());
        let (mut w, mut worst) = (vec![0.0; t], 0.0f64);
        for i in 0..t {
            let mut u = vec![0.0; t];
            u[i] = 1.0 / t as f64;
            let (v, residual) = project(gram, &u)?;
            w.iter_mut().zip(v).for_each(|(w, v)| *w += v);
            worst = worst.max(residual);
        }
        Ok(Weights::new("upgrad", w)?.with_residual(worst))
    }
}

/// DualProj (the projection of GEM, Lopez-Paz and Ranzato 2017, for all tasks): the mean gradient projected onto the cone
/// `{d : J d >= 0}`.
///
/// `w = argmin {v'Mv : v >= 1/T}`, exact, for at most 8 tasks. `J d >= 0`; without a conflict it is the mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DualProj;

impl Weighting for DualProj {
    fn name(&self) -> &'static str {
        "dualproj"
    }

    fn describe(&self) -> String {
        format!("{self:?}")
    }

    fn weights(&mut self, step: &Step<'_>) -> Result<Weights> {
        let (gram, t) = (step.gram("dualproj")?, step.tasks());
        let (w, residual) = project(gram, &vec![1.0 / t as f64; t])?;
        Ok(Weights::new("dualproj", w)?.with_residual(residual))
    }
}
