//! Projected gradient descent.

use crate::ascent::{Ascent, Checks};
use crate::{ExampleGoal, Loss, geometry};
use candle_core::Tensor;
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Attack, Classifier, ExampleRng, Goal, Norm, Perturbed, Result, Threat};

/// The step size of an attack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StepSize {
    /// In the input's units.
    Absolute(f64),
    /// As a multiple of the radius.
    Relative(f64),
}

impl StepSize {
    /// The step size for a radius, in the input's units.
    pub fn of(self, eps: f64) -> f64 {
        match self {
            Self::Absolute(a) => a,
            Self::Relative(r) => r * eps,
        }
    }

    pub(crate) fn validate(self, field: &'static str) -> Result<()> {
        let (Self::Absolute(step) | Self::Relative(step)) = self;
        require(field, step.is_finite() && step > 0.0, "finite and > 0", step)
    }
}

/// Configuration of [`Pgd`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `norm` | Linf | norm of the threat | |
/// | `eps` | 8/255 | its radius | finite, >= 0 |
/// | `steps` | 10 | gradient steps per start | >= 1 |
/// | `step_size` | relative 0.25 | step size, measured in the threat's norm | finite, > 0 |
/// | `random_start` | true | start at a random point of the ball (if false: at the input) | |
/// | `restarts` | 1 | number of starts; the best result is kept for each example | >= 1; 1 without random start |
/// | `loss` | cross-entropy | the loss that is maximised | |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PgdConfig {
    /// Norm of the threat.
    pub norm: Norm,
    /// Radius of the threat, in the input's units.
    pub eps: f64,
    /// Gradient steps per start.
    pub steps: usize,
    /// Step size.
    pub step_size: StepSize,
    /// Whether to start at a random point of the ball.
    pub random_start: bool,
    /// Number of starts.
    pub restarts: usize,
    /// The loss that is maximised.
    pub loss: Loss,
}

impl Default for PgdConfig {
    fn default() -> Self {
        Self {
            norm: Norm::Linf,
            eps: 8.0 / 255.0,
            steps: 10,
            step_size: StepSize::Relative(0.25),
            random_start: true,
            restarts: 1,
            loss: Loss::CrossEntropy,
        }
    }
}

impl PgdConfig {
    /// One step of 1.25 radii from a random start: the FGSM variant of fast adversarial training (Wong, Rice, Kolter
    /// 2020, section 4).
    pub fn fast(norm: Norm, eps: f64) -> Self {
        Self { norm, eps, steps: 1, step_size: StepSize::Relative(1.25), ..Self::default() }
    }
}

/// Takes steepest-ascent steps and projects each onto the ball and the box. Each start gives its last iterate. Among
/// several starts, a success is preferred to a failure, and then a higher loss to a lower one.
///
/// Source: Madry et al. (2018), section 2.1.
#[derive(Clone, Copy, Debug)]
pub struct Pgd {
    threat: Threat,
    cfg: PgdConfig,
}

impl Pgd {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`sconce_tensor_core::Error::Config`] naming the field.
    pub fn new(cfg: PgdConfig) -> Result<Self> {
        let threat = Threat::new(cfg.norm, cfg.eps)?;
        require("PgdConfig.steps", cfg.steps >= 1, "at least 1", cfg.steps)?;
        cfg.step_size.validate("PgdConfig.step_size")?;
        let starts = cfg.restarts >= 1 && (cfg.restarts == 1 || cfg.random_start);
        require("PgdConfig.restarts", starts, "at least 1, and 1 without a random start", cfg.restarts)?;
        Ok(Self { threat, cfg })
    }

    fn ascend(&self, model: &dyn Classifier, x: &Tensor, goal: &Goal, rng: &ExampleRng) -> Result<Tensor> {
        let bounds = model.bounds();
        let length = self.cfg.step_size.of(self.cfg.eps);
        let mut at = x.clone();
        if self.cfg.random_start {
            let start = (x + geometry::random_in_ball(x, self.threat, rng)?)?;
            at = geometry::project(&start, x, self.threat, bounds)?;
        }
        let ascent = Ascent::new(self.cfg.loss, model, goal, x)?;
        let mut checks = Checks::default();
        for _ in 0..self.cfg.steps {
            // Steps of a finite gradient from a finite point are finite.
            let g = ascent.gradient(&at, &mut checks)?;
            let step = geometry::steepest(&g, &at, self.cfg.norm, bounds)?;
            at = geometry::onto(&(at + (step * length)?)?, x, self.threat, bounds)?;
        }
        checks.read()?;
        Ok(at)
    }

    /// Success and loss of each example; they are compared in this order.
    fn score(&self, model: &dyn Classifier, x: &Tensor, goal: &Goal) -> Result<Vec<(bool, f64)>> {
        let logits = sconce_tensor_core::classifier::logits(model, x)?;
        let predicted = logits.argmax(candle_core::D::Minus1)?.to_vec1::<u32>()?;
        let labels = goal.labels().to_vec1::<u32>()?;
        let loss = self.cfg.loss.per_example(&logits, goal)?;
        let reached = predicted.into_iter().zip(labels).map(|(p, y)| goal.reached(p, y));
        Ok(reached.zip(loss).collect())
    }
}

impl Attack for Pgd {
    fn threat(&self) -> Threat {
        self.threat
    }

    fn supports(&self, _input: &[usize], classes: usize) -> Result<()> {
        self.cfg.loss.require_classes(ExampleGoal::Untargeted(0), classes)
    }

    fn perturb(&self, model: &dyn Classifier, x: &Tensor, goal: &Goal, rng: &ExampleRng) -> Result<Perturbed> {
        let x = &x.detach();
        let mut best = self.ascend(model, x, goal, &rng.stream("start 0"))?;
        if self.cfg.restarts == 1 {
            return Perturbed::evenly(best, self.cfg.steps, self.cfg.steps);
        }
        let mut scores = self.score(model, &best, goal)?;
        for r in 1..self.cfg.restarts {
            let next = self.ascend(model, x, goal, &rng.stream(&format!("start {r}")))?;
            let better: Vec<u8> = self
                .score(model, &next, goal)?
                .into_iter()
                .zip(&mut scores)
                .map(|(new, old)| {
                    let better = (new.0, new.1) > (old.0, old.1);
                    *old = if better { new } else { *old };
                    u8::from(better)
                })
                .collect();
            let mut shape = vec![1; x.rank()];
            shape[0] = better.len();
            let mask = Tensor::from_vec(better, shape, x.device())?.broadcast_as(x.shape())?;
            best = mask.where_cond(&next, &best)?;
        }
        let gradients = self.cfg.restarts * self.cfg.steps;
        Perturbed::evenly(best, gradients + self.cfg.restarts, gradients)
    }
}
