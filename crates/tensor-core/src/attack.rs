//! The contract between attacks and those who use them.

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

    /// No bound at all: what attacks that look for the smallest perturbation say of themselves.
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

/// What the attacker wants.
#[derive(Clone, Debug)]
pub enum Goal {
    /// Any class but the given true ones; (N,) of u32.
    Untargeted(Tensor),
    /// The given classes; (N,) of u32.
    Targeted(Tensor),
}

impl Goal {
    /// The labels, true or wanted.
    pub fn labels(&self) -> &Tensor {
        match self {
            Self::Untargeted(y) | Self::Targeted(y) => y,
        }
    }

    /// The same goal for some of the examples.
    ///
    /// # Errors
    /// A row that is not there.
    pub fn select(&self, rows: &[u32]) -> Result<Self> {
        let at = Tensor::new(rows, self.labels().device())?;
        let labels = self.labels().contiguous()?.index_select(&at, 0)?;
        Ok(match self {
            Self::Untargeted(_) => Self::Untargeted(labels),
            Self::Targeted(_) => Self::Targeted(labels),
        })
    }

    /// +1 where the attacker climbs the loss at the labels, -1 where it descends.
    pub fn sign(&self) -> f64 {
        match self {
            Self::Untargeted(_) => 1.0,
            Self::Targeted(_) => -1.0,
        }
    }

    /// Whether a prediction is what the attacker wants.
    pub fn reached(&self, predicted: u32, label: u32) -> bool {
        match self {
            Self::Untargeted(_) => predicted != label,
            Self::Targeted(_) => predicted == label,
        }
    }
}

/// What an attack asked of the model for one example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Forward passes.
    pub forwards: u32,
    /// Gradients to the input, each with its forward pass counted above.
    pub gradients: u32,
}

/// What an attack made of a batch.
#[derive(Clone, Debug)]
pub struct Perturbed {
    /// The perturbed inputs, of the inputs' shape.
    pub x: Tensor,
    /// What each example took.
    pub effort: Vec<Effort>,
}

impl Perturbed {
    /// A batch whose examples all took the same.
    ///
    /// # Errors
    /// A tensor without axes.
    pub fn evenly(x: Tensor, forwards: usize, gradients: usize) -> Result<Self> {
        let each = Effort { forwards: forwards as u32, gradients: gradients as u32 };
        Ok(Self { effort: vec![each; x.dim(0)?], x })
    }
}

/// A way to perturb inputs. It never judges itself: `sconce_attacks::run` checks the inputs, projects
/// what comes back onto the threat and the box, and counts success in a fresh forward pass.
pub trait Attack {
    /// The set of perturbations that the attack stays in; [`Threat::unbounded`] where it looks for the smallest
    /// perturbation that reaches the goal instead.
    fn threat(&self) -> Threat;

    /// Perturbed inputs of the same shape. Whatever is random comes from `rng`, row by row, so that
    /// the result for an example does not depend on the batch.
    ///
    /// # Errors
    /// The model's, or a model or goal that the attack is not defined for.
    fn perturb(&self, model: &dyn Classifier, x: &Tensor, goal: &Goal, rng: &ExampleRng) -> Result<Perturbed>;
}

/// The gradient of a scalar function of `x` at `x`, alone: no other, and without a graph, also where the process keeps them.
///
/// # Errors
/// The function's, or [`Error::Unsupported`] where its result does not depend on `x`.
pub fn input_gradient(x: &Tensor, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let x = candle_core::Var::from_tensor(&x.detach().copy()?)?;
    let grads = crate::ops::last_backward(&f(x.as_tensor())?)?;
    grads.get(x.as_tensor()).map(Tensor::detach).ok_or_else(|| Error::Unsupported {
        what: "the gradient to the input",
        reason: "the model's output does not depend on its input through candle's graph".to_owned(),
    })
}
