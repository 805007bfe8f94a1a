//! The contract of attacks.

use crate::{Classifier, Error, ExampleRng, Result};
use candle_core::Tensor;

/// The norm that bounds a perturbation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Norm {
    /// The largest absolute change of an element.
    Linf,
    /// The Euclidean length.
    L2,
    /// The sum of absolute changes.
    L1,
}

/// A set of perturbations: those whose norm is at most `eps`, in the input's units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threat {
    norm: Norm,
    eps: f64,
}

impl Threat {
    /// The ball of radius `eps`.
    ///
    /// # Errors
    /// [`Error::Config`] where `eps` is negative or not finite.
    pub fn new(norm: Norm, eps: f64) -> Result<Self> {
        crate::error::require("Threat.eps", eps.is_finite() && eps >= 0.0, "finite and >= 0", eps)?;
        Ok(Self { norm, eps })
    }

    /// No bound. Minimum-norm attacks, which search for the smallest perturbation, have this threat.
    pub const fn unbounded(norm: Norm) -> Self {
        Self { norm, eps: f64::INFINITY }
    }

    /// Whether every perturbation is allowed.
    pub fn is_unbounded(&self) -> bool {
        self.eps == f64::INFINITY
    }

    /// The norm.
    pub fn norm(&self) -> Norm {
        self.norm
    }

    /// The radius; infinite for [`Threat::unbounded`].
    pub fn eps(&self) -> f64 {
        self.eps
    }
}

/// The goal of the attacker.
#[derive(Clone, Debug)]
pub enum Goal {
    /// Any class other than the given true labels, (N,) of u32.
    Untargeted(Tensor),
    /// The given target classes, (N,) of u32.
    Targeted(Tensor),
}

impl Goal {
    /// The true labels or the target classes.
    pub fn labels(&self) -> &Tensor {
        match self {
            Self::Untargeted(y) | Self::Targeted(y) => y,
        }
    }

    /// The same goal for some of the examples.
    ///
    /// # Errors
    /// A row index that is out of range.
    pub fn select(&self, rows: &[u32]) -> Result<Self> {
        let at = Tensor::new(rows, self.labels().device())?;
        let labels = self.labels().contiguous()?.index_select(&at, 0)?;
        Ok(match self {
            Self::Untargeted(_) => Self::Untargeted(labels),
            Self::Targeted(_) => Self::Targeted(labels),
        })
    }

    /// +1 if the attacker maximises the loss at the labels, -1 if it minimises it.
    pub fn sign(&self) -> f64 {
        match self {
            Self::Untargeted(_) => 1.0,
            Self::Targeted(_) => -1.0,
        }
    }

    /// Whether a prediction reaches the goal.
    pub fn reached(&self, predicted: u32, label: u32) -> bool {
        match self {
            Self::Untargeted(_) => predicted != label,
            Self::Targeted(_) => predicted == label,
        }
    }
}

/// How often an attack evaluated the model for one example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Forward passes.
    pub forwards: u32,
    /// Gradients to the input; the forward pass of each is counted in `forwards` too.
    pub gradients: u32,
}

/// The result of an attack on a batch.
#[derive(Clone, Debug)]
pub struct Perturbed {
    /// The perturbed inputs, of the inputs' shape.
    pub x: Tensor,
    /// The effort for each example.
    pub effort: Vec<Effort>,
}

impl Perturbed {
    /// A batch whose examples all took the same effort.
    ///
    /// # Errors
    /// A tensor without axes.
    pub fn evenly(x: Tensor, forwards: usize, gradients: usize) -> Result<Self> {
        let each = Effort { forwards: forwards as u32, gradients: gradients as u32 };
        Ok(Self { effort: vec![each; x.dim(0)?], x })
    }
}

/// A method that perturbs inputs. An attack does not decide whether it succeeded: `sconce_attacks::run` checks the inputs,
/// projects the result onto the threat and the bounds, and counts successes by another forward pass.
pub trait Attack {
    /// The set of perturbations that the attack stays in; [`Threat::unbounded`] for a minimum-norm attack.
    fn threat(&self) -> Threat;

    /// Refuses inputs of a shape (N, ...), or a number of classes, for which the attack is not defined. An evaluation asks every attack of
    /// its suite before the first of them starts.
    ///
    /// # Errors
    /// What the attack needs instead.
    fn supports(&self, _input: &[usize], _classes: usize) -> Result<()> {
        Ok(())
    }

    /// Perturbed inputs of the same shape. All random numbers come from `rng`, row by row, so that the result for an example
    /// does not depend on the batch.
    ///
    /// # Errors
    /// Errors of the model; a model or goal for which the attack is not defined.
    fn perturb(&self, model: &dyn Classifier, x: &Tensor, goal: &Goal, rng: &ExampleRng) -> Result<Perturbed>;
}

/// The gradient of a scalar function `f` at `x`. It has no graph, also in a process that keeps the graphs of gradients.
///
/// # Errors
/// Errors of `f`; [`Error::Unsupported`] if its result does not depend on `x`.
pub fn input_gradient(x: &Tensor, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let x = candle_core::Var::from_tensor(&x.detach().copy()?)?;
    let grads = crate::ops::last_backward(&f(x.as_tensor())?)?;
    grads.get(x.as_tensor()).map(Tensor::detach).ok_or_else(|| Error::Unsupported {
        what: "the gradient to the input",
        reason: "the model's output does not depend on its input through candle's graph".to_owned(),
    })
}
