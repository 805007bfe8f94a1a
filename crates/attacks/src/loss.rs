//! What an attack climbs.

use candle_core::{D, DType, Device, Tensor};
use sconce_tensor_core::{Error, Goal, Result, ops};

/// A loss for each example that grows as the attacker gets nearer to its goal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loss {
    /// `-log softmax(z)[y]`; targeted: `log softmax(z)[t]`.
    #[default]
    CrossEntropy,
    /// `max_{k != y} z_k - z_y`; targeted: `z_t - max_{k != t} z_k`. Positive exactly on success.
    Margin,
    /// `-(z_y - max_{k != y} z_k) / (z_(1) - z_(3))` with sorted logits: the margin made free of the
    /// logits' scale (Croce and Hein 2020, equation 6). Untargeted, at least 3 classes.
    Dlr,
}

/// Rows of logits on the host, each as class indices by falling logit (ties by index).
fn ranking(logits: &Tensor) -> Result<Vec<Vec<u32>>> {
    let rows = logits.detach().to_dtype(DType::F64)?.to_device(&Device::Cpu)?.to_vec2::<f64>()?;
    let rank = |row: Vec<f64>| {
        let mut order: Vec<u32> = (0..row.len() as u32).collect();
        order.sort_by(|&a, &b| row[b as usize].total_cmp(&row[a as usize]).then(a.cmp(&b)));
        order
    };
    Ok(rows.into_iter().map(rank).collect())
}

impl Loss {
    /// The loss of each example; gradients go through the gathered logits alone, so ties do not split them.
    ///
    /// # Shapes
    /// `logits` (N, K) -> (N,).
    ///
    /// # Errors
    /// [`Error::Unsupported`] for fewer classes than the loss needs, or a goal that it is not defined for.
    pub fn per_example(self, logits: &Tensor, goal: &Goal) -> Result<Tensor> {
        let (_, k) = logits.dims2()?;
        let needs = if self == Self::Dlr { 3 } else { 2 };
        if k < needs {
            let reason = format!("it needs {needs} classes, the model has {k}");
            return Err(Error::Unsupported { what: "the attack's loss", reason });
        }
        if self == Self::CrossEntropy {
            return Ok((ops::cross_entropy(logits, goal.labels())? * goal.sign())?);
        }
        let ranks = ranking(logits)?;
        let labels = goal.labels().to_vec1::<u32>()?;
        let pick = |index: Vec<u32>| -> Result<Tensor> {
            let n = index.len();
            let index = Tensor::from_vec(index, (n, 1), logits.device())?;
            Ok(logits.gather(&index, D::Minus1)?.squeeze(1)?)
        };
        let rival = ranks.iter().zip(&labels).map(|(r, y)| if r[0] == *y { r[1] } else { r[0] }).collect();
        let margin = ((pick(rival)? - pick(labels)?)? * goal.sign())?;
        match (self, goal) {
            (Self::Dlr, Goal::Targeted(_)) => Err(Error::Unsupported {
                what: "the DLR loss",
                reason: "its targeted form needs the true label as well; use the margin".to_owned(),
            }),
            (Self::Dlr, Goal::Untargeted(_)) => {
                let spread =
                    (pick(ranks.iter().map(|r| r[0]).collect())? - pick(ranks.iter().map(|r| r[2]).collect())?)?;
                Ok((margin / (spread + 1e-12)?)?)
            }
            _ => Ok(margin),
        }
    }

    /// The gradient to the inputs of the sum over examples: each row is its example's own gradient.
    ///
    /// # Errors
    /// The model's and [`Loss::per_example`]'s; [`Error::Value`] where a gradient is not finite.
    pub fn gradient(self, model: &dyn sconce_tensor_core::Classifier, x: &Tensor, goal: &Goal) -> Result<Tensor> {
        let g = sconce_tensor_core::attack::input_gradient(x, |x| {
            Ok(self.per_example(&model.logits(x)?, goal)?.sum_all()?)
        })?;
        sconce_tensor_core::classifier::require_finite("gradient to the input", &g)?;
        Ok(g)
    }
}
