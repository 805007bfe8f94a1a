//! Gradients of a loss for many steps with the same labels. On a GPU no step waits for the host.

use crate::loss::{ExampleGoal, Loss, goals, gradient, weighted_gradient};
use candle_core::{D, DType, Tensor};
use sconce_tensor_core::classifier::require_finite;
use sconce_tensor_core::{Classifier, Error, Goal, Result, ops};

/// A loss with the goal of each example, which is checked once.
pub(crate) struct Ascent<'a> {
    loss: Loss,
    model: &'a dyn Classifier,
    goals: Vec<ExampleGoal>,
    /// (N, K): 1 at the label, for the cross-entropy on a device other than the CPU.
    at_label: Option<Tensor>,
    sign: f64,
}

impl<'a> Ascent<'a> {
    pub(crate) fn new(loss: Loss, model: &'a dyn Classifier, goal: &Goal, x: &Tensor) -> Result<Self> {
        let there = !x.device().is_cpu() && x.device().same_device(goal.labels().device());
        Self::on(loss, model, goal, x, there)
    }

    /// With `there`, the gradient to the logits is computed of tensors where the loss allows it.
    fn on(loss: Loss, model: &'a dyn Classifier, goal: &Goal, x: &Tensor, there: bool) -> Result<Self> {
        let goals = goals(goal, x.dim(0)?, model.classes())?;
        let there = there && loss == Loss::CrossEntropy;
        let at_label = there.then(|| one_hot(goal.labels(), model.classes())).transpose()?;
        Ok(Self { loss, model, goals, at_label, sign: goal.sign() })
    }

    /// [`Loss::gradient`]; what has to be finite is left with `checks`.
    pub(crate) fn gradient(&self, x: &Tensor, checks: &mut Checks) -> Result<Tensor> {
        let Some(at_label) = &self.at_label else {
            return gradient(self.model, x, |i, z| Ok(self.loss.at(z, self.goals[i])?.by_logit));
        };
        let g = weighted_gradient(self.model, x, |logits| {
            checks.add("the logits that the model returned", logits)?;
            let at_label = at_label.to_dtype(logits.dtype())?;
            // Summed over the other classes, so that a small loss and its gradient keep their digits.
            let p = ops::log_softmax(logits)?.exp()?;
            let others = (&p - (&p * &at_label)?)?;
            let own = at_label.broadcast_mul(&others.sum_keepdim(D::Minus1)?)?;
            Ok(((others - own)? * self.sign)?)
        })?;
        checks.add("gradient to the input", &g)?;
        Ok(g)
    }
}

fn one_hot(labels: &Tensor, classes: usize) -> Result<Tensor> {
    let all = Tensor::arange(0, classes as u32, labels.device())?.unsqueeze(0)?;
    Ok(labels.unsqueeze(1)?.broadcast_eq(&all)?.to_dtype(DType::F32)?)
}

/// Tensors that must be finite. On the CPU each is checked at once, elsewhere all when they are read.
#[derive(Default)]
pub(crate) struct Checks(Vec<(&'static str, Tensor)>);

impl Checks {
    fn add(&mut self, what: &'static str, t: &Tensor) -> Result<()> {
        if t.device().is_cpu() { require_finite(what, t) } else { self.leave(what, t) }
    }

    fn leave(&mut self, what: &'static str, t: &Tensor) -> Result<()> {
        // A finite number times 0 is 0, any other is NaN.
        self.0.push((what, ops::composed::sum_all(&(t.detach() * 0.0)?)?.to_dtype(DType::F32)?));
        Ok(())
    }

    /// Reads what was left, in one copy.
    pub(crate) fn read(self) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let sums: Vec<&Tensor> = self.0.iter().map(|c| &c.1).collect();
        let sums = Tensor::stack(&sums, 0)?.to_vec1::<f32>()?;
        match sums.iter().zip(&self.0).position(|(s, _)| *s != 0.0) {
            Some(i) => Err(Error::not_finite(self.0[i].0, format!("at step {} of an attack", i / 2))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use sconce_tensor_core::Rng;

    /// x -> x W.
    struct Map(Tensor);

    impl Classifier for Map {
        fn logits(&self, x: &Tensor) -> Result<Tensor> {
            ops::matmul(x, &self.0)
        }

        fn classes(&self) -> usize {
            self.0.dims()[1]
        }
    }

    #[test]
    fn gradients_of_tensors_are_those_of_the_host() -> Result<()> {
        let normal = |seed, shape: &[usize]| Rng::new(seed).normal(shape, 0.0, 3.0, DType::F64, &Device::Cpu);
        let (model, x) = (Map(normal(1, &[4, 5])?), normal(2, &[6, 4])?);
        let labels = Tensor::new(&[0u32, 4, 2, 1, 3, 3], &Device::Cpu)?;
        for goal in [Goal::Untargeted(labels.clone()), Goal::Targeted(labels)] {
            let gradient = |there| {
                let mut checks = Checks::default();
                let g = Ascent::on(Loss::CrossEntropy, &model, &goal, &x, there)?.gradient(&x, &mut checks)?;
                checks.read()?;
                Ok::<_, Error>(g.flatten_all()?.to_vec1::<f64>()?)
            };
            let (there, here) = (gradient(true)?, gradient(false)?);
            assert!(
                there.iter().zip(&here).all(|(a, b)| (a - b).abs() < 1e-12 * (1.0 + b.abs())),
                "{there:?} {here:?}"
            );
        }
        Ok(())
    }

    #[test]
    fn what_was_left_is_found() -> Result<()> {
        for (bad, found) in [(1e300, false), (f64::NAN, true), (f64::NEG_INFINITY, true)] {
            let mut checks = Checks::default();
            checks.leave("logits", &Tensor::new(&[0.0, 1e300], &Device::Cpu)?)?;
            checks.leave("gradient", &Tensor::new(&[bad, 1e300], &Device::Cpu)?)?;
            let e = checks.read().err().map(|e| e.to_string()).unwrap_or_default();
            assert_eq!(e.contains("gradient"), found, "{e}");
        }
        Ok(())
    }
}
