//! Queries to a model for examples that live on the host. Attacks that decide example by example use it.

use crate::loss::{ExampleGoal, LossGradient, goals, gradient};
use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use sconce_tensor_core::classifier::{self, host_logits};
use sconce_tensor_core::{Bounds, Classifier, Effort, Error, Goal, Perturbed, Result};

/// One example's input, flattened.
pub(crate) type Row = Vec<f64>;

/// Logits, loss and gradient at one example.
pub(crate) struct InputGradient {
    /// (K,).
    pub logits: Vec<f64>,
    /// The loss.
    pub loss: f64,
    /// The gradient of the loss with respect to the input.
    pub gradient: Row,
}

/// A model that takes rows and returns logits and gradients, and counts the effort of each example.
pub(crate) struct Probe<'a> {
    model: &'a dyn Classifier,
    shape: Vec<usize>,
    like: Tensor,
    effort: Vec<Effort>,
}

impl<'a> Probe<'a> {
    /// The model with a batch of inputs, the inputs as rows, and the goal of each.
    ///
    /// # Errors
    /// No inputs, a model with one class, labels that do not go with inputs and classes.
    pub(crate) fn new(
        model: &'a dyn Classifier,
        x: &Tensor,
        goal: &Goal,
    ) -> Result<(Self, Vec<Row>, Vec<ExampleGoal>)> {
        if x.rank() == 0 || x.elem_count() == 0 {
            return Err(Error::shape("inputs", "(N, ...) with at least one example", x.dims()));
        }
        let goals = goals(goal, x.dim(0)?, model.classes())?;
        let rows = x.detach().flatten_from(1)?.to_dtype(DType::F64)?.to_device(&Device::Cpu)?.to_vec2::<f64>()?;
        let effort = vec![Effort::default(); rows.len()];
        Ok((Self { model, shape: x.dims()[1..].to_vec(), like: x.detach(), effort }, rows, goals))
    }

    pub(crate) fn model(&self) -> &'a dyn Classifier {
        self.model
    }

    pub(crate) fn bounds(&self) -> Bounds {
        self.model.bounds()
    }

    pub(crate) fn classes(&self) -> usize {
        self.model.classes()
    }

    /// The type of the model's inputs.
    pub(crate) fn dtype(&self) -> DType {
        self.like.dtype()
    }

    /// The shape of one example.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Rows as an input of the model.
    pub(crate) fn tensor<'r>(&self, rows: impl IntoIterator<Item = &'r [f64]>) -> Result<Tensor> {
        let rows: Vec<&[f64]> = rows.into_iter().collect();
        let shape: Vec<usize> = std::iter::once(rows.len()).chain(self.shape.iter().copied()).collect();
        let width = self.shape.iter().product::<usize>().max(1);
        let t = if self.like.dtype() == DType::F32 {
            let mut flat = vec![0f32; rows.len() * width];
            flat.par_chunks_mut(width)
                .zip(&rows)
                .for_each(|(to, from)| to.iter_mut().zip(*from).for_each(|(t, f)| *t = *f as f32));
            Tensor::from_vec(flat, shape, &Device::Cpu)?
        } else {
            Tensor::from_vec(rows.concat(), shape, &Device::Cpu)?.to_dtype(self.like.dtype())?
        };
        Ok(t.to_device(self.like.device())?)
    }

    /// Logits of rows, each given with the index of its example in the batch.
    pub(crate) fn logits(&mut self, rows: &[(usize, &[f64])]) -> Result<Vec<Vec<f64>>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        rows.iter().for_each(|r| self.effort[r.0].forwards += 1);
        host_logits(&classifier::logits(self.model, &self.tensor(rows.iter().map(|r| r.1))?)?)
    }

    /// Logits, losses and gradients of rows; `loss` receives the position in `rows` and the logits.
    pub(crate) fn gradients(
        &mut self,
        rows: &[(usize, &[f64])],
        loss: impl Fn(usize, &[f64]) -> Result<LossGradient>,
    ) -> Result<Vec<InputGradient>> {
        self.gradients_of(self.model, rows, loss)
    }

    /// The same as [`Probe::gradients`] for another model, for example one that transforms its inputs first.
    pub(crate) fn gradients_of(
        &mut self,
        model: &dyn Classifier,
        rows: &[(usize, &[f64])],
        loss: impl Fn(usize, &[f64]) -> Result<LossGradient>,
    ) -> Result<Vec<InputGradient>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        for r in rows {
            self.effort[r.0].forwards += 1;
            self.effort[r.0].gradients += 1;
        }
        let mut outputs = Vec::with_capacity(rows.len());
        let x = self.tensor(rows.iter().map(|r| r.1))?;
        let g = gradient(model, &x, |i, z| {
            let at = loss(i, z)?;
            outputs.push((z.to_vec(), at.value));
            Ok(at.by_logit)
        })?;
        let g = g.flatten_from(1)?.to_dtype(DType::F64)?.to_device(&Device::Cpu)?.to_vec2::<f64>()?;
        Ok(outputs
            .into_iter()
            .zip(g)
            .map(|((logits, loss), gradient)| InputGradient { logits, loss, gradient })
            .collect())
    }

    /// The perturbed batch from its rows, with the effort of each example.
    pub(crate) fn finish(self, rows: &[Row]) -> Result<Perturbed> {
        let x = self.tensor(rows.iter().map(Vec::as_slice))?;
        Ok(Perturbed { x, effort: self.effort })
    }
}

/// The rows of the examples in `keep`, with their index.
pub(crate) fn select_rows<'r>(rows: &'r [Row], keep: &[usize]) -> Vec<(usize, &'r [f64])> {
    keep.iter().map(|&i| (i, rows[i].as_slice())).collect()
}
