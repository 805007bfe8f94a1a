//! The fast gradient sign method.

use crate::{Loss, geometry};
use candle_core::Tensor;
use sconce_tensor_core::{Attack, Classifier, ExampleRng, Goal, Norm, Perturbed, Result, Threat};

/// Configuration of [`Fgsm`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `norm` | Linf | norm of the threat | |
/// | `eps` | 8/255 | its radius | finite, >= 0 |
/// | `loss` | cross-entropy | the loss that is maximised | |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FgsmConfig {
    /// Norm of the threat.
    pub norm: Norm,
    /// Radius of the threat, in the input's units.
    pub eps: f64,
    /// The loss that is maximised.
    pub loss: Loss,
}

impl Default for FgsmConfig {
    fn default() -> Self {
        Self { norm: Norm::Linf, eps: 8.0 / 255.0, loss: Loss::CrossEntropy }
    }
}

/// Takes one steepest-ascent step with the size of the radius: `x + eps sign(gradient)` for Linf, `x + eps g / |g|` for
/// L2, and for L1 the step of [`geometry::steepest`]. For a linear model it is optimal in Linf and L2, unless the box
/// clips it.
///
/// Source: Goodfellow, Shlens, Szegedy (2015), section 4.
#[derive(Clone, Copy, Debug)]
pub struct Fgsm {
    threat: Threat,
    loss: Loss,
}

impl Fgsm {
    /// Validates the configuration.
    ///
    /// # Errors
    /// The radius is negative or not finite.
    pub fn new(cfg: FgsmConfig) -> Result<Self> {
        Ok(Self { threat: Threat::new(cfg.norm, cfg.eps)?, loss: cfg.loss })
    }
}

impl Attack for Fgsm {
    fn threat(&self) -> Threat {
        self.threat
    }

    fn perturb(&self, model: &dyn Classifier, x: &Tensor, goal: &Goal, _rng: &ExampleRng) -> Result<Perturbed> {
        let g = self.loss.gradient(model, x, goal)?;
        let step = geometry::steepest(&g, x, self.threat.norm(), model.bounds())?;
        Perturbed::evenly((x + (step * self.threat.eps())?)?, 1, 1)
    }
}
