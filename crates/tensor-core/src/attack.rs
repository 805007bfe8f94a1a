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

    /// The norm.
    pub fn norm(&self) -> Norm {
        self.norm
    }

    /// The radius.
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

/// A way to perturb inputs. It never judges itself: `sconce_attacks::run` checks the inputs, projects
/// what comes back onto the threat and the box, and counts success in a fresh forward pass.
pub trait Attack {
    /// The set of perturbations that the attack stays in.
    fn threat(&self) -> Threat;

    /// Perturbed inputs of the same shape. Whatever is random comes from `rng`, row by row, so that
    /// the result for an example does not depend on the batch.
    ///
    /// # Errors
    /// The model's, or a model or goal that the attack is not defined for.
    fn perturb(&self, model: &dyn Classifier, x: &Tensor, goal: &Goal, rng: &ExampleRng) -> Result<Tensor>;
}

/// The gradient of a scalar function of `x` at `x`, alone.
///
/// # Errors
/// The function's, or [`Error::Unsupported`] where its result does not depend on `x`.
pub fn input_gradient(x: &Tensor, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let x = candle_core::Var::from_tensor(&x.detach().copy()?)?;
    let grads = crate::ops::backward(&f(x.as_tensor())?)?;
    grads.get(x.as_tensor()).cloned().ok_or_else(|| Error::Unsupported {
        what: "the gradient to the input",
        reason: "the model's output does not depend on its input through candle's graph".to_owned(),
    })
}
