//! The linear probe: one answer for each strength of the penalty, and the strength chosen on validation.

use super::design::Design;
use super::head::{LinearHead, Standardizer, rows};
use super::lbfgs::Stop;
use super::{logistic, ridge};
use sconce_tensor_core::candle_core::{Device, Tensor};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::error::require;
use sconce_tensor_core::stats::Proportion;
use sconce_tensor_core::{Error, Result};

/// What a [`LinearProbe`] minimises, beside the penalty `strength / 2 |W|^2` on the weights (not on the biases).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinearLoss {
    /// The mean cross-entropy, `-log softmax(W x + b)[y]`: multinomial logistic regression, by L-BFGS.
    #[default]
    CrossEntropy,
    /// Half the mean squared error `|W x + b - e(y)|^2` to one-hot labels: ridge regression, in closed form. It is the faster one.
    Squares,
}

/// Configuration of [`LinearProbe`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `loss` | cross-entropy | what is minimised | |
/// | `strengths` | 1e-5, 1e-4, 1e-3, 1e-2, 1e-1 | factors of the penalty that are tried | finite, > 0, at least one |
/// | `patience` | 1 | weaker strengths in a row, none better on validation, after which the path ends | >= 1 |
/// | `tolerance` | 1e-6 | Euclidean norm of the gradient at which L-BFGS has converged | > 0 |
/// | `steps` | 2,000 | steps of L-BFGS after which it has failed | >= 1 |
///
/// Strengths are tried from the largest to the smallest, each from the solution of the one before. Weak penalties take most of the
/// steps and are seldom the best, which is what `patience` saves; with the number of strengths it tries them all. The best strengths of
/// the squared error are larger than those of the cross-entropy: give it 1e-3 to 10.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearProbeConfig {
    /// What is minimised.
    pub loss: LinearLoss,
    /// Factors of the penalty that are tried.
    pub strengths: Vec<f64>,
    /// Weaker strengths without a better one after which the path ends.
    pub patience: usize,
    /// Norm of the gradient at the end.
    pub tolerance: f64,
    /// Most steps.
    pub steps: usize,
}

impl Default for LinearProbeConfig {
    fn default() -> Self {
        Self {
            loss: LinearLoss::CrossEntropy,
            strengths: vec![1e-5, 1e-4, 1e-3, 1e-2, 1e-1],
            patience: 1,
            tolerance: 1e-6,
            steps: 2_000,
        }
    }
}

/// A linear classifier of standardised features (see [`LinearHead`]), solved to convergence. The loss is strictly convex in the
/// weights, so there is one answer, and no learning rate or number of epochs.
///
/// The features are standardised with the statistics of the training part. The strength with the highest validation accuracy is chosen,
/// the larger one at a tie. The same data give the same bytes, for any number of threads.
#[derive(Clone, Debug)]
pub struct LinearProbe(LinearProbeConfig);

/// One strength and what it gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tried {
    /// The factor of the penalty.
    pub strength: f64,
    /// Validation examples classified as labelled.
    pub validation: Proportion,
    /// The loss with its penalty on the training part.
    pub loss: f64,
    /// The Euclidean norm of the gradient at the end.
    pub gradient_norm: f64,
    /// Steps of L-BFGS, from the solution of the next larger strength on; 1 for the closed form.
    pub steps: usize,
}

/// A fitted [`LinearProbe`].
#[derive(Clone, Debug)]
pub struct LinearFit {
    /// The classifier of the chosen strength.
    pub head: LinearHead,
    /// The strengths that were tried, the largest first.
    pub tried: Vec<Tried>,
    best: usize,
    grid: usize,
}

impl LinearFit {
    /// The chosen strength.
    pub fn chosen(&self) -> &Tried {
        &self.tried[self.best]
    }

    /// Whether the chosen strength is the smallest or the largest of several that were given: a wider grid may give a better one.
    pub fn at_end_of_grid(&self) -> bool {
        self.grid > 1 && (self.best == 0 || self.best + 1 == self.grid)
    }
}

impl LinearProbe {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(mut cfg: LinearProbeConfig) -> Result<Self> {
        let good = |v: f64| v.is_finite() && v > 0.0;
        let strengths = &mut cfg.strengths;
        let ok = !strengths.is_empty() && strengths.iter().all(|s| good(*s));
        require("LinearProbeConfig.strengths", ok, "finite and > 0, at least one", format!("{strengths:?}"))?;
        require("LinearProbeConfig.tolerance", good(cfg.tolerance), "finite and > 0", cfg.tolerance)?;
        require("LinearProbeConfig.patience", cfg.patience >= 1, "at least 1", cfg.patience)?;
        require("LinearProbeConfig.steps", cfg.steps >= 1, "at least 1", cfg.steps)?;
        strengths.sort_by(|a, b| b.total_cmp(a));
        Ok(Self(cfg))
    }

    /// Fits each strength on `train` and chooses one by `validation`. Both hold features (N, ...) as `x`.
    ///
    /// # Errors
    /// [`Error::Config`] for validation data with other classes, [`Error::Shape`] for another number of features; [`Error::Value`] where
    /// L-BFGS has not converged, with the norm of the gradient.
    pub fn fit(&self, train: &Labelled, validation: &Labelled) -> Result<LinearFit> {
        let (cfg, k) = (&self.0, train.classes());
        require(
            "validation.classes",
            validation.classes() == k,
            &format!("the {k} of training"),
            validation.classes(),
        )?;
        let raw = rows(train.x())?;
        let by = Standardizer::fit(&raw)?;
        let design = Design::new(&by.apply(&raw)?, train.labels()?, k)?;
        let d = design.width()? - 1;
        let held_out = rows(validation.x())?;
        if held_out.dim(1)? != d {
            return Err(Error::shape("validation features", format!("(N, {d})"), held_out.dims()));
        }
        let stop = Stop { tolerance: cfg.tolerance, steps: cfg.steps };
        let mut at = vec![0.0; k * (d + 1)];
        let mut tried: Vec<Tried> = Vec::new();
        let mut best: Option<(usize, LinearHead)> = None;
        for (i, &strength) in cfg.strengths.iter().enumerate() {
            let found = match cfg.loss {
                LinearLoss::CrossEntropy => logistic::minimise(&design, strength, at, stop)?,
                LinearLoss::Squares => ridge::minimise(&design, strength)?,
            };
            let map = Tensor::from_slice(&found.x, (k, d + 1), &Device::Cpu)?;
            let (weight, bias) = (map.narrow(1, 0, d)?.contiguous()?, map.narrow(1, d, 1)?.squeeze(1)?);
            let head = LinearHead::fold(&weight, &bias, &by)?;
            let accuracy = head.accuracy(validation)?;
            if best.as_ref().is_none_or(|(b, _)| accuracy.hits > tried[*b].validation.hits) {
                best = Some((i, head));
            }
            let (loss, gradient_norm, steps) = (found.value, found.gradient_norm, found.steps);
            tried.push(Tried { strength, validation: accuracy, loss, gradient_norm, steps });
            at = found.x;
            if best.as_ref().is_some_and(|(b, _)| i - b >= cfg.patience) {
                break;
            }
        }
        let (best, head) = best.ok_or_else(|| Error::config("LinearProbeConfig.strengths", "must not be empty"))?;
        Ok(LinearFit { head, tried, best, grid: cfg.strengths.len() })
    }
}
