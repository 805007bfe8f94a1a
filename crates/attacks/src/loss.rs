//! What an attack climbs: losses of one example's logits, with their slopes.

use candle_core::{DType, Device, Tensor, Var};
use sconce_tensor_core::{Classifier, Error, Goal, Result};

/// Where an attack wants one example to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// To any class but this.
    Away(usize),
    /// To this class.
    Into(usize),
    /// From the class `label`, by way of `into`; any class but `label` will do.
    Toward {
        /// The true class.
        label: usize,
        /// The class whose boundary is looked for.
        into: usize,
    },
}

impl Aim {
    /// The aims of a goal, example by example.
    ///
    /// # Errors
    /// candle's only.
    pub fn of(goal: &Goal) -> Result<Vec<Self>> {
        let labels = goal.labels().to_vec1::<u32>()?.into_iter().map(|y| y as usize);
        Ok(match goal {
            Goal::Untargeted(_) => labels.map(Self::Away).collect(),
            Goal::Targeted(_) => labels.map(Self::Into).collect(),
        })
    }

    /// Whether logits are what the attacker wants.
    pub fn reached(self, logits: &[f64]) -> bool {
        match self {
            Self::Away(y) | Self::Toward { label: y, .. } => arg_max(logits) != y,
            Self::Into(t) => arg_max(logits) == t,
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

/// The largest logit's class among all but one.
pub(crate) fn rival(logits: &[f64], but: usize) -> usize {
    let mut best = usize::from(but == 0);
    for (i, z) in logits.iter().enumerate() {
        if i != but && *z > logits[best] {
            best = i;
        }
    }
    best
}

/// The other classes by falling logit, ties by index.
pub(crate) fn others_by_logit(logits: &[f64], but: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..logits.len()).filter(|&c| c != but).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    order
}

/// `z_y - max_{k != y} z_k`: positive where the example is classified as `y`.
pub fn margin(logits: &[f64], label: usize) -> f64 {
    logits[label] - logits[rival(logits, label)]
}

/// A loss that grows as the attacker gets nearer to its aim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loss {
    /// `-log softmax(z)[y]`; into a class: `log softmax(z)[t]`.
    #[default]
    CrossEntropy,
    /// `max_{k != y} z_k - z_y`; into a class: `z_t - max_{k != t} z_k`; by way of a class: `z_t - z_y`. Positive
    /// exactly on success (by way of a class: success at the latest).
    Margin,
    /// `-(z_y - max_{k != y} z_k) / (z_(1) - z_(3))` with sorted logits: the margin made free of the logits' scale
    /// (Croce and Hein 2020, equation 6), at least 3 classes. By way of a class
    /// `-(z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2)` (their equation 7), at least 4. Not defined into a class alone.
    Dlr,
}

/// A loss at one example: its value and its derivative by each logit.
#[derive(Clone, Debug, PartialEq)]
pub struct Slope {
    /// The loss.
    pub value: f64,
    /// (K,): the derivative.
    pub by_logit: Vec<f64>,
}

/// Added to the DLR's denominator, as in the authors' code.
const TINY: f64 = 1e-12;

impl Loss {
    /// The fewest classes for which this loss is defined with such an aim.
    pub fn least_classes(self, aim: Aim) -> usize {
        match (self, aim) {
            (Self::Dlr, Aim::Toward { .. }) => 4,
            (Self::Dlr, _) => 3,
            _ => 2,
        }
    }

    /// The loss at an example's logits, and its slope. Where logits tie, the first class stands for them: the slope
    /// is never split.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for fewer classes than the loss needs, or an aim that it is not defined for.
    pub fn at(self, z: &[f64], aim: Aim) -> Result<Slope> {
        let needs = self.least_classes(aim);
        if z.len() < needs {
            let reason = format!("it needs {needs} classes, the model has {}", z.len());
            return Err(Error::Unsupported { what: "the attack's loss", reason });
        }
        let mut by_logit = vec![0.0; z.len()];
        let (from, into) = match aim {
            Aim::Away(y) => (y, rival(z, y)),
            Aim::Into(t) => (rival(z, t), t),
            Aim::Toward { label, into } => (label, into),
        };
        let gap = z[into] - z[from];
        let value = match self {
            Self::CrossEntropy => {
                let (class, sign) = match aim {
                    Aim::Away(y) => (y, 1.0),
                    Aim::Into(t) | Aim::Toward { into: t, .. } => (t, -1.0),
                };
                let peak = z[arg_max(z)];
                let sum: f64 = z.iter().map(|v| (v - peak).exp()).sum();
                by_logit.iter_mut().zip(z).for_each(|(d, v)| *d = sign * (v - peak).exp() / sum);
                // From the other classes where the class is the peak: a small loss and its slope keep their digits.
                by_logit[class] = 0.0;
                by_logit[class] = -by_logit.iter().sum::<f64>();
                let others: f64 =
                    z.iter().enumerate().filter(|e| e.0 != class).map(|(_, v)| (v - z[class]).exp()).sum();
                sign * if others.is_finite() { others.ln_1p() } else { peak - z[class] + sum.ln() }
            }
            Self::Margin => {
                by_logit[into] += 1.0;
                by_logit[from] -= 1.0;
                gap
            }
            Self::Dlr => {
                let mut order: Vec<usize> = (0..z.len()).collect();
                order.sort_by(|&a, &b| z[b].total_cmp(&z[a]).then(a.cmp(&b)));
                let below: &[usize] = match aim {
                    Aim::Away(_) => &order[2..3],
                    Aim::Toward { .. } => &order[2..4],
                    Aim::Into(_) => {
                        return Err(Error::Unsupported {
                            what: "the DLR loss",
                            reason: "with a target it needs the true label as well; use the margin".to_owned(),
                        });
                    }
                };
                let share = 1.0 / below.len() as f64;
                let spread = z[order[0]] - below.iter().map(|&i| z[i] * share).sum::<f64>() + TINY;
                by_logit[into] += 1.0 / spread;
                by_logit[from] -= 1.0 / spread;
                by_logit[order[0]] -= gap / (spread * spread);
                below.iter().for_each(|&i| by_logit[i] += share * gap / (spread * spread));
                gap / spread
            }
        };
        Ok(Slope { value, by_logit })
    }

    /// The loss of each example.
    ///
    /// # Shapes
    /// `logits` (N, K) -> N values.
    ///
    /// # Errors
    /// [`Loss::at`]'s.
    pub fn per_example(self, logits: &Tensor, goal: &Goal) -> Result<Vec<f64>> {
        let rows = host_logits(logits)?;
        rows.iter().zip(Aim::of(goal)?).map(|(z, aim)| Ok(self.at(z, aim)?.value)).collect()
    }

    /// The gradient to the inputs of the sum over examples: each row is its example's own gradient.
    ///
    /// # Errors
    /// The model's and [`Loss::at`]'s; [`Error::Value`] where a gradient is not finite.
    pub fn gradient(self, model: &dyn Classifier, x: &Tensor, goal: &Goal) -> Result<Tensor> {
        let aims = Aim::of(goal)?;
        gradient(model, x, |i, z| Ok(self.at(z, aims[i])?.by_logit))
    }
}

/// Logits on the host, row by row.
pub(crate) fn host_logits(logits: &Tensor) -> Result<Vec<Vec<f64>>> {
    Ok(logits.detach().to_dtype(DType::F64)?.to_device(&Device::Cpu)?.to_vec2::<f64>()?)
}

/// The gradient to the inputs of `sum_i s_i . logits_i`, with `s_i` chosen at the logits: by the chain rule the
/// gradient of any loss whose slope is `s_i`. A model whose graph is cut before its input (rounding, an arg-max) has gradient
/// zero, as the derivative of such a step is: attacks that use it stand still, and the flag `vanishing-gradients` tells.
pub(crate) fn gradient(
    model: &dyn Classifier,
    x: &Tensor,
    mut slope: impl FnMut(usize, &[f64]) -> Result<Vec<f64>>,
) -> Result<Tensor> {
    let var = Var::from_tensor(&x.detach().copy()?)?;
    let logits = model.logits(var.as_tensor())?;
    sconce_tensor_core::classifier::require_finite("logits", &logits)?;
    let slopes: Vec<Vec<f64>> =
        host_logits(&logits)?.iter().enumerate().map(|(i, z)| slope(i, z)).collect::<Result<_>>()?;
    let slopes = Tensor::new(slopes, &Device::Cpu)?.to_dtype(logits.dtype())?.to_device(logits.device())?;
    let gradients = sconce_tensor_core::ops::backward(&(logits * slopes)?.sum_all()?)?;
    let g = match gradients.get(var.as_tensor()) {
        Some(g) => g.clone(),
        None => x.zeros_like()?,
    };
    sconce_tensor_core::classifier::require_finite("gradient to the input", &g)?;
    Ok(g)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slopes against central differences, all losses and aims, with room between the logits.
    #[test]
    fn slopes_are_derivatives() {
        let z = [0.3, -1.2, 2.0, 0.9, -0.4];
        let aims = [Aim::Away(2), Aim::Away(0), Aim::Into(3), Aim::Into(2), Aim::Toward { label: 2, into: 4 }];
        for loss in [Loss::CrossEntropy, Loss::Margin, Loss::Dlr] {
            for aim in aims {
                if loss == Loss::Dlr && matches!(aim, Aim::Into(_)) {
                    assert!(loss.at(&z, aim).is_err());
                    continue;
                }
                let slope = loss.at(&z, aim).unwrap();
                for (i, d) in slope.by_logit.iter().enumerate() {
                    let at = |h: f64| {
                        let mut z = z;
                        z[i] += h;
                        loss.at(&z, aim).unwrap().value
                    };
                    let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
                    assert!((d - difference).abs() < 1e-8, "{loss:?} {aim:?} {i}: {d} and {difference}");
                }
            }
        }
    }

    #[test]
    fn cross_entropy_keeps_its_digits() {
        // 9 others at e^-40: the loss is 9 e^-40, far below the resolution of 1.
        let mut z = [0.0; 10];
        z[3] = 40.0;
        let v = Loss::CrossEntropy.at(&z, Aim::Away(3)).unwrap().value;
        assert!((v / (9.0 * (-40f64).exp()) - 1.0).abs() < 1e-12);
        z[3] = -1e4;
        assert!((Loss::CrossEntropy.at(&z, Aim::Away(3)).unwrap().value - 1e4 - 9f64.ln()).abs() < 1e-9);
    }
}
