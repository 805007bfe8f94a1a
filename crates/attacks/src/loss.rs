//! Losses that attacks maximise: functions of one example's logits, with their gradients.

use candle_core::{DType, Device, Tensor, Var};
use sconce_tensor_core::classifier::{self, host_logits};
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Classifier, Error, Goal, Result};

/// The goal of an attack for one example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExampleGoal {
    /// Any class but the true one, which is given.
    Untargeted(usize),
    /// The given class.
    Targeted(usize),
    /// Any class but `label`; the loss moves the example towards the class `target`.
    TowardClass {
        /// The true class.
        label: usize,
        /// The class whose boundary the loss approaches.
        target: usize,
    },
}

impl ExampleGoal {
    /// The goal of each example of a batch.
    ///
    /// # Errors
    /// Labels that are not (N,) of u32.
    pub fn of(goal: &Goal) -> Result<Vec<Self>> {
        let labels = goal.labels().to_vec1::<u32>()?.into_iter().map(|y| y as usize);
        Ok(match goal {
            Goal::Untargeted(_) => labels.map(Self::Untargeted).collect(),
            Goal::Targeted(_) => labels.map(Self::Targeted).collect(),
        })
    }

    /// The classes that the goal names.
    fn classes(self) -> [usize; 2] {
        match self {
            Self::Untargeted(y) | Self::Targeted(y) => [y, y],
            Self::TowardClass { label, target } => [label, target],
        }
    }

    /// Whether the logits reach the goal.
    pub fn reached(self, logits: &[f64]) -> bool {
        match self {
            Self::Untargeted(y) | Self::TowardClass { label: y, .. } => arg_max(logits) != y,
            Self::Targeted(t) => arg_max(logits) == t,
        }
    }
}

/// The first class with the largest logit.
pub(crate) fn arg_max(logits: &[f64]) -> usize {
    let mut best = 0;
    for (i, z) in logits.iter().enumerate() {
        if *z > logits[best] {
            best = i;
        }
    }
    best
}

/// The class with the largest logit among all classes except `but`.
pub(crate) fn rival(logits: &[f64], but: usize) -> usize {
    let mut best = usize::from(but == 0);
    for (i, z) in logits.iter().enumerate() {
        if i != but && *z > logits[best] {
            best = i;
        }
    }
    best
}

/// All classes except `but`, by decreasing logit; ties are ordered by index.
pub(crate) fn others_by_logit(logits: &[f64], but: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..logits.len()).filter(|&c| c != but).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    order
}

/// `z_y - max_{k != y} z_k`: positive where the example is classified as `y`; infinite for a single class, NaN for a label that is none
/// of the classes.
pub fn margin(logits: &[f64], label: usize) -> f64 {
    let rival = logits.iter().enumerate().filter(|e| e.0 != label).fold(f64::NEG_INFINITY, |m, e| m.max(*e.1));
    logits.get(label).map_or(f64::NAN, |z| z - rival)
}

/// The goals of the examples of a batch, checked: `n` labels of u32, each below the number of classes.
pub(crate) fn goals(goal: &Goal, n: usize, classes: usize) -> Result<Vec<ExampleGoal>> {
    require(
        "Classifier.classes",
        classes >= 2,
        "at least 2, because a model with one class cannot be attacked",
        classes,
    )?;
    let labels = goal.labels();
    if labels.dims() != [n] || labels.dtype() != DType::U32 {
        return Err(Error::shape("labels", format!("({n},) of u32, got {:?}", labels.dtype()), labels.dims()));
    }
    let all = ExampleGoal::of(goal)?;
    match all.iter().enumerate().find(|(_, g)| g.classes()[0] >= classes) {
        Some((i, g)) => {
            let reason =
                format!("label {} at row {i} is not below the {classes} classes; labels start at 0", g.classes()[0]);
            Err(Error::value("labels", reason))
        }
        None => Ok(all),
    }
}

/// A loss that grows as the attack approaches its goal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loss {
    /// Untargeted: `-log softmax(z)[y]`. Targeted or towards a class: `log softmax(z)[t]`.
    #[default]
    CrossEntropy,
    /// Untargeted: `max_{k != y} z_k - z_y`. Targeted: `z_t - max_{k != t} z_k`. Both are positive exactly on success.
    /// Towards a class: `z_t - z_y`; if it is positive, the attack has succeeded.
    Margin,
    /// Difference of logits ratio. Untargeted: `-(z_y - max_{k != y} z_k) / (z_(1) - z_(3))` with sorted logits, a
    /// margin that does not depend on the scale of the logits (Croce and Hein 2020, equation 6); it needs at least 3
    /// classes. Towards a class: `-(z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2)` (their equation 7); it needs at least 4
    /// classes. It is not defined for a targeted goal.
    Dlr,
}

/// The loss of one example and its gradient with respect to the logits.
#[derive(Clone, Debug, PartialEq)]
pub struct LossGradient {
    /// The loss.
    pub value: f64,
    /// (K,): the derivative with respect to each logit.
    pub by_logit: Vec<f64>,
}

/// Added to the DLR's denominator, as in the authors' code.
const TINY: f64 = 1e-12;

impl Loss {
    /// The smallest number of classes for which this loss is defined with this goal.
    pub fn min_classes(self, goal: ExampleGoal) -> usize {
        match (self, goal) {
            (Self::Dlr, ExampleGoal::TowardClass { .. }) => 4,
            (Self::Dlr, _) => 3,
            _ => 2,
        }
    }

    /// Refuses a model with fewer classes than the loss needs.
    pub(crate) fn require_classes(self, goal: ExampleGoal, classes: usize) -> Result<()> {
        let needs = self.min_classes(goal);
        if classes < needs {
            let reason = format!("it needs {needs} classes, the model has {classes}");
            return Err(Error::Unsupported { what: "the attack's loss", reason });
        }
        Ok(())
    }

    /// The loss at an example's logits, with its gradient. Where logits tie, the gradient goes to the first of the tied
    /// classes; it is never split.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the model has fewer classes than the loss needs, or if the loss is not defined for the
    /// goal; [`Error::Value`] for a goal that is none of the classes.
    pub fn at(self, z: &[f64], goal: ExampleGoal) -> Result<LossGradient> {
        self.require_classes(goal, z.len())?;
        if let Some(class) = goal.classes().into_iter().find(|c| *c >= z.len()) {
            return Err(Error::value(
                "the attack's goal",
                format!("class {class} is not below the {} classes", z.len()),
            ));
        }
        let mut by_logit = vec![0.0; z.len()];
        let (from, to) = match goal {
            ExampleGoal::Untargeted(y) => (y, rival(z, y)),
            ExampleGoal::Targeted(t) => (rival(z, t), t),
            ExampleGoal::TowardClass { label, target } => (label, target),
        };
        let gap = z[to] - z[from];
        let value = match self {
            Self::CrossEntropy => {
                let (class, sign) = match goal {
                    ExampleGoal::Untargeted(y) => (y, 1.0),
                    ExampleGoal::Targeted(t) | ExampleGoal::TowardClass { target: t, .. } => (t, -1.0),
                };
                let peak = z[arg_max(z)];
                let sum: f64 = z.iter().map(|v| (v - peak).exp()).sum();
                by_logit.iter_mut().zip(z).for_each(|(d, v)| *d = sign * (v - peak).exp() / sum);
                // Summed over the other classes, so that a small loss and its gradient keep their digits.
                by_logit[class] = 0.0;
                by_logit[class] = -by_logit.iter().sum::<f64>();
                let others: f64 =
                    z.iter().enumerate().filter(|e| e.0 != class).map(|(_, v)| (v - z[class]).exp()).sum();
                sign * if others.is_finite() { others.ln_1p() } else { peak - z[class] + sum.ln() }
            }
            Self::Margin => {
                by_logit[to] += 1.0;
                by_logit[from] -= 1.0;
                gap
            }
            Self::Dlr => {
                let mut order: Vec<usize> = (0..z.len()).collect();
                order.sort_by(|&a, &b| z[b].total_cmp(&z[a]).then(a.cmp(&b)));
                let below: &[usize] = match goal {
                    ExampleGoal::Untargeted(_) => &order[2..3],
                    ExampleGoal::TowardClass { .. } => &order[2..4],
                    ExampleGoal::Targeted(_) => {
                        return Err(Error::Unsupported {
                            what: "the DLR loss",
                            reason: "it is not defined for a targeted goal; use the margin loss".to_owned(),
                        });
                    }
                };
                let share = 1.0 / below.len() as f64;
                let spread = z[order[0]] - below.iter().map(|&i| z[i] * share).sum::<f64>() + TINY;
                by_logit[to] += 1.0 / spread;
                by_logit[from] -= 1.0 / spread;
                by_logit[order[0]] -= gap / (spread * spread);
                below.iter().for_each(|&i| by_logit[i] += share * gap / (spread * spread));
                gap / spread
            }
        };
        Ok(LossGradient { value, by_logit })
    }

    /// The loss of each example.
    ///
    /// # Shapes
    /// `logits` (N, K) -> N values.
    ///
    /// # Errors
    /// As [`Loss::at`].
    pub fn per_example(self, logits: &Tensor, goal: &Goal) -> Result<Vec<f64>> {
        let rows = host_logits(logits)?;
        rows.iter().zip(goals(goal, rows.len(), logits.dim(1)?)?).map(|(z, goal)| Ok(self.at(z, goal)?.value)).collect()
    }

    /// The gradient of the loss, summed over the examples, with respect to the inputs. Each row is the gradient of its
    /// own example.
    ///
    /// # Shapes
    /// `x` (N, ...) -> the same.
    ///
    /// # Errors
    /// As [`Loss::at`], and an error of the model; [`Error::Value`] if a gradient is not finite.
    pub fn gradient(self, model: &dyn Classifier, x: &Tensor, goal: &Goal) -> Result<Tensor> {
        let goals = goals(goal, x.dim(0)?, model.classes())?;
        gradient(model, x, |i, z| Ok(self.at(z, goals[i])?.by_logit))
    }
}

/// The gradient of `sum_i s_i . logits_i` with respect to the inputs, where `s_i` is computed from the logits. By the
/// chain rule this is the gradient of every loss whose gradient with respect to the logits is `s_i`.
///
/// If the model's graph is cut before its input (by rounding or an arg-max), the gradient is zero, as the derivative of
/// such a step is. Attacks that follow gradients then do not move, and the flag `vanishing-gradients` reports it.
pub(crate) fn gradient(
    model: &dyn Classifier,
    x: &Tensor,
    mut logit_gradient: impl FnMut(usize, &[f64]) -> Result<Vec<f64>>,
) -> Result<Tensor> {
    let g = weighted_gradient(model, x, |logits| {
        let weights: Vec<Vec<f64>> =
            host_logits(logits)?.iter().enumerate().map(|(i, z)| logit_gradient(i, z)).collect::<Result<_>>()?;
        Ok(Tensor::new(weights, &Device::Cpu)?.to_dtype(logits.dtype())?.to_device(logits.device())?)
    })?;
    classifier::require_finite("gradient to the input", &g)?;
    Ok(g)
}

/// The same with weights that are a tensor made from the logits. The gradient is not checked.
pub(crate) fn weighted_gradient(
    model: &dyn Classifier,
    x: &Tensor,
    weights: impl FnOnce(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let var = Var::from_tensor(&x.detach().copy()?)?;
    let logits = classifier::logits(model, var.as_tensor())?;
    let weights = weights(&logits.detach())?;
    let gradients = sconce_tensor_core::ops::backward(&(logits * weights)?.sum_all()?)?;
    Ok(match gradients.get(var.as_tensor()) {
        Some(g) => g.clone(),
        None => x.zeros_like()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gradients against central differences, for all losses and goals, at logits without ties.
    #[test]
    fn gradients_are_derivatives() {
        let z = [0.3, -1.2, 2.0, 0.9, -0.4];
        let goals = [
            ExampleGoal::Untargeted(2),
            ExampleGoal::Untargeted(0),
            ExampleGoal::Targeted(3),
            ExampleGoal::Targeted(2),
            ExampleGoal::TowardClass { label: 2, target: 4 },
        ];
        for loss in [Loss::CrossEntropy, Loss::Margin, Loss::Dlr] {
            for goal in goals {
                if loss == Loss::Dlr && matches!(goal, ExampleGoal::Targeted(_)) {
                    assert!(loss.at(&z, goal).is_err());
                    continue;
                }
                let result = loss.at(&z, goal).unwrap();
                for (i, d) in result.by_logit.iter().enumerate() {
                    let at = |h: f64| {
                        let mut z = z;
                        z[i] += h;
                        loss.at(&z, goal).unwrap().value
                    };
                    let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
                    assert!((d - difference).abs() < 1e-8, "{loss:?} {goal:?} {i}: {d} and {difference}");
                }
            }
        }
    }

    #[test]
    fn cross_entropy_keeps_its_digits() {
        // 9 others at e^-40: the loss is 9 e^-40, far below the resolution of 1.
        let mut z = [0.0; 10];
        z[3] = 40.0;
        let v = Loss::CrossEntropy.at(&z, ExampleGoal::Untargeted(3)).unwrap().value;
        assert!((v / (9.0 * (-40f64).exp()) - 1.0).abs() < 1e-12);
        z[3] = -1e4;
        assert!((Loss::CrossEntropy.at(&z, ExampleGoal::Untargeted(3)).unwrap().value - 1e4 - 9f64.ln()).abs() < 1e-9);
    }
}
