//! MGDA: the multiple-gradient descent algorithm.

use crate::weighting::{MinNorm, Step, Weighting, Weights};
use crate::{Error, Result};
use sconce_tensor_core::error::require;
use serde::{Deserialize, Serialize};

/// The divisors `s_i` of the gradients in MGDA's problem.
///
/// With any of them the weights are `alpha_i / s_i`, rescaled to sum to T: the direction `sum alpha_i g_i / s_i` lowers every loss. The
/// released code of Sener and Koltun 2018 multiplies the *unscaled* gradients by alpha; that direction can raise losses, and only
/// `raw` gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// `s = 1`, the algorithm of the paper. The weights sum to 1.
    #[default]
    None,
    /// `s_i = |g_i|`.
    L2,
    /// `s_i = L_i`.
    Loss,
    /// `s_i = L_i |g_i|`.
    #[serde(rename = "loss+")]
    LossPlus,
}

/// How the minimum-norm problem is solved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MgdaSolver {
    /// [`MinNorm::exact`], up to 8 tasks: relative gap at most 1e-10.
    #[default]
    Exact,
    /// [`MinNorm::frank_wolfe`]. A relative gap above `tolerance` after `steps` steps is an error.
    FrankWolfe {
        /// Largest number of steps, at least 1.
        steps: usize,
        /// Largest relative duality gap, finite and > 0.
        tolerance: f64,
    },
}

impl MgdaSolver {
    /// Frank-Wolfe to a relative gap of 1e-3 in at most 30,000 steps (chosen by us: its gap falls as 27 over the steps at worst).
    pub const FRANK_WOLFE: Self = Self::FrankWolfe { steps: 30_000, tolerance: 1e-3 };
}

/// Configuration of [`Mgda`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `solver` | exact | how the problem is solved | |
/// | `scaling` | none | divisors of the gradients in the problem | |
/// | `raw` | false | multiply unscaled gradients by alpha, as the release of Sener and Koltun does | for comparison only; with a scaling |
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MgdaConfig {
    /// How the minimum-norm problem is solved.
    pub solver: MgdaSolver,
    /// The divisors of the gradients in the problem.
    pub scaling: Scaling,
    /// Whether alpha multiplies the unscaled gradients. The direction can raise losses.
    pub raw: bool,
}

/// MGDA (Désidéri 2012; Sener and Koltun 2018, arXiv 1810.04650): `alpha = argmin |sum a_i g_i / s_i|^2` over the simplex.
///
/// Without scaling `w = alpha`, which sums to 1; with it `w_i` is proportional to `alpha_i / s_i` and sums to T. In both cases
/// `<g_i, d> >= 0` for every task (by Frank-Wolfe up to the duality gap), and `d = 0` exactly at a Pareto-stationary point. A task whose gradient vanishes (solved, or impossible to
/// learn) takes alpha = 1 without scaling, and all other tasks stop learning; with `l2` and `loss+` a gradient of 0 is an error.
///
/// With representation gradients this is MGDA-UB. The paper updates the heads with their own unweighted losses; the weights are for what
/// the tasks share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mgda {
    cfg: MgdaConfig,
}

impl Mgda {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: MgdaConfig) -> Result<Self> {
        if let MgdaSolver::FrankWolfe { steps, tolerance } = cfg.solver {
            require("MgdaConfig.solver.steps", steps >= 1, "at least 1", steps)?;
            let good = tolerance.is_finite() && tolerance > 0.0;
            require("MgdaConfig.solver.tolerance", good, "finite and > 0", tolerance)?;
        }
        require("MgdaConfig.raw", !cfg.raw || cfg.scaling != Scaling::None, "false without a scaling", cfg.raw)?;
        Ok(Self { cfg })
    }

    fn divisors(&self, step: &Step<'_>) -> Result<Vec<f64>> {
        let gram = step.gram("mgda")?;
        let norms = || gram.require_nonzero("mgda with scaling by norms").map(|()| gram.norms());
        Ok(match self.cfg.scaling {
            Scaling::None => vec![1.0; step.tasks()],
            Scaling::L2 => norms()?,
            Scaling::Loss => step.positive_losses("mgda")?.to_vec(),
            Scaling::LossPlus => step.positive_losses("mgda")?.iter().zip(norms()?).map(|(l, n)| l * n).collect(),
        })
    }
}

impl Weighting for Mgda {
    fn name(&self) -> &'static str {
        "mgda"
    }

    fn describe(&self) -> String {
        format!("{:?}", self.cfg)
    }

    fn weights(&mut self, step: &Step<'_>) -> Result<Weights> {
        let (gram, s) = (step.gram("mgda")?, self.divisors(step)?);
        let scaled = gram.divided(&s);
        let found = match self.cfg.solver {
            MgdaSolver::Exact => MinNorm::exact(&scaled)?,
            MgdaSolver::FrankWolfe { steps, tolerance } => {
                let found = MinNorm::frank_wolfe(&scaled, steps, tolerance);
                if found.relative_gap() > tolerance {
                    let gap = found.relative_gap();
                    let reason = format!(
                        "has a relative gap of {gap:e} after {steps} steps, above {tolerance:e}: raise steps or use the exact solver"
                    );
                    return Err(Error::value("mgda by Frank-Wolfe", reason));
                }
                found
            }
        };
        let gap = found.relative_gap().max(0.0);
        let mut w = found.alpha.clone();
        if self.cfg.scaling != Scaling::None && !self.cfg.raw {
            w.iter_mut().zip(&s).for_each(|(w, s)| *w /= s);
            let scale = step.tasks() as f64 / w.iter().sum::<f64>();
            w.iter_mut().for_each(|w| *w *= scale);
        }
        Ok(Weights::new("mgda", w)?.with_alpha(found.alpha).with_residual(gap))
    }
}
