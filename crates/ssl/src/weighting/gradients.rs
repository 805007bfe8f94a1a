//! The tasks' gradients: of the shared parameters, or of the representation. Two types, which cannot be mixed.

use super::gram::{Gram, Space};
use super::products::add_products;
use crate::{Error, Result};
use candle_core::{DType, Tensor, backprop::GradStore};
use sconce_tensor_core::{Params, ops};

/// One gradient per task in one space. What a weighting method needs of it is the same for both spaces, the Gram matrix; what the
/// weights are then applied to is not, and has a type of its own.
pub trait TaskGradients {
    /// The space of the gradients, which enters logs and checkpoints.
    const SPACE: Space;
    /// What `sum w_i g_i` is in this space.
    type Combined;

    /// `M_ij = <g_i, g_j>`, accumulated in f64.
    ///
    /// # Errors
    /// [`Error::NotFinite`] naming the task and the place of the first gradient that is not finite.
    fn gram(&self) -> Result<Gram>;

    /// `sum w_i g_i`, in the gradients' own precision.
    ///
    /// # Errors
    /// [`Error::Value`] unless there is one finite weight per task.
    fn combine(&self, weights: &[f64]) -> Result<Self::Combined>;
}

/// Gradients of the parameters that all tasks share, as MGDA and the methods after it define them: T backward passes through the
/// whole network.
#[derive(Clone, Debug)]
pub struct ParameterGradients {
    tasks: Vec<Vec<Tensor>>,
}

impl ParameterGradients {
    /// For each task the gradients of the shared parameters, in the same order.
    ///
    /// # Errors
    /// [`Error::Value`] for no tasks, no parameters, or lists of different lengths; [`Error::Shape`] naming task and parameter.
    pub fn new(tasks: Vec<Vec<Tensor>>) -> Result<Self> {
        let first = tasks.first().ok_or_else(|| Error::value("parameter gradients", "of no tasks"))?;
        if first.is_empty() {
            return Err(Error::value("parameter gradients", "of no parameters"));
        }
        for (i, task) in tasks.iter().enumerate() {
            if task.len() != first.len() {
                let reason = format!("task {i} has {} tensors, task 0 has {}", task.len(), first.len());
                return Err(Error::value("parameter gradients", reason));
            }
            for (k, (a, b)) in task.iter().zip(first).enumerate() {
                same_shape(&format!("gradient of task {i} to parameter {k}"), a, b)?;
            }
        }
        Ok(Self { tasks })
    }

    /// The gradients of the trainable ones of `shared` from one backward pass per task.
    ///
    /// # Errors
    /// As [`ParameterGradients::new`]; [`Error::NoGradient`] naming a parameter that a task's loss does not reach.
    pub fn of(shared: &Params, passes: &[GradStore]) -> Result<Self> {
        let gradient = |pass: &GradStore, p: &sconce_tensor_core::Param| match pass.get(p.var()) {
            Some(g) => Ok(g.detach()),
            None => Err(Error::NoGradient { name: p.name().to_owned() }),
        };
        let task = |pass| shared.trainable().map(|p| gradient(pass, p)).collect::<Result<Vec<_>>>();
        Self::new(passes.iter().map(task).collect::<Result<_>>()?)
    }
}

impl TaskGradients for ParameterGradients {
    const SPACE: Space = Space::Parameters;
    /// A gradient for each parameter, in order.
    type Combined = Vec<Tensor>;

    fn gram(&self) -> Result<Gram> {
        let tensors = (0..self.tasks[0].len()).map(|k| self.tasks.iter().map(|t| &t[k]).collect()).collect();
        products(Self::SPACE, tensors)
    }

    fn combine(&self, weights: &[f64]) -> Result<Vec<Tensor>> {
        require_weights(weights, self.tasks.len())?;
        let of = |k: usize| -> Vec<&Tensor> { self.tasks.iter().map(|t| &t[k]).collect() };
        (0..self.tasks[0].len()).map(|k| ops::weighted_sum(&of(k), weights)).collect()
    }
}

/// Gradients of the representation Z that all heads read (N, ...): MGDA-UB of Sener and Koltun 2018. They cost T backward passes
/// through the heads only.
///
/// The gradient of a task is the one of the whole batch as one vector of N x ... numbers. It must not be summed over the batch: the
/// Gram matrix of summed gradients is another one, and its solution has no guarantee.
#[derive(Clone, Debug)]
pub struct RepresentationGradients {
    tasks: Vec<Tensor>,
}

impl RepresentationGradients {
    /// The gradient of each task's loss (the mean over the batch) to Z, of Z's shape (N, ...).
    ///
    /// # Errors
    /// [`Error::Value`] for no tasks; [`Error::Shape`] for gradients of different shapes, or without a batch dimension.
    pub fn new(tasks: Vec<Tensor>) -> Result<Self> {
        let first = tasks.first().ok_or_else(|| Error::value("representation gradients", "of no tasks"))?;
        if first.rank() < 2 || first.elem_count() == 0 {
            let expected = "(N, ...), the whole batch and not its sum";
            return Err(Error::shape("gradient to the representation", expected, first.dims()));
        }
        for (i, task) in tasks.iter().enumerate() {
            same_shape(&format!("gradient of task {i} to the representation"), task, first)?;
        }
        Ok(Self { tasks })
    }

    /// The gradients to `z`, a variable that all heads read, from one backward pass per task.
    ///
    /// # Errors
    /// As [`RepresentationGradients::new`]; [`Error::NoGradient`] where a pass does not reach `z`.
    pub fn of(z: &Tensor, passes: &[GradStore]) -> Result<Self> {
        let gradient = |pass: &GradStore| match pass.get(z) {
            Some(g) => Ok(g.detach()),
            None => Err(Error::NoGradient { name: "representation".to_owned() }),
        };
        Self::new(passes.iter().map(gradient).collect::<Result<_>>()?)
    }
}

impl TaskGradients for RepresentationGradients {
    const SPACE: Space = Space::Representation;
    /// The gradient to Z, with which the trunk's backward pass starts: that of `sum(Z * combined)`.
    type Combined = Tensor;

    fn gram(&self) -> Result<Gram> {
        products(Self::SPACE, vec![self.tasks.iter().collect()])
    }

    fn combine(&self, weights: &[f64]) -> Result<Tensor> {
        require_weights(weights, self.tasks.len())?;
        ops::weighted_sum(&self.tasks.iter().collect::<Vec<_>>(), weights)
    }
}

fn same_shape(what: &str, got: &Tensor, like: &Tensor) -> Result<()> {
    match got.dims() == like.dims() {
        true => Ok(()),
        false => Err(Error::shape(what, format!("that of task 0, {:?}", like.dims()), got.dims())),
    }
}

fn require_weights(weights: &[f64], tasks: usize) -> Result<()> {
    match weights.len() == tasks && weights.iter().all(|w| w.is_finite()) {
        true => Ok(()),
        false => {
            Err(Error::value("weights", format!("{weights:?} for {tasks} tasks: pass one finite weight per task")))
        }
    }
}

/// The Gram matrix of gradients that consist of several tensors, each given for all tasks.
fn products(space: Space, tensors: Vec<Vec<&Tensor>>) -> Result<Gram> {
    let t = tensors[0].len();
    let mut upper = vec![0.0; t * (t + 1) / 2];
    for all in &tensors {
        add_products(all, &mut upper)?;
    }
    let at = |i: usize, j: usize| upper[i * t - i * (i + 1) / 2 + j];
    if let Some(i) = (0..t).find(|i| !at(*i, *i).is_finite()) {
        return Err(Error::not_finite(format!("gradient of task {i}"), first_bad(tensors.iter().map(|all| all[i]))?));
    }
    let numbers = tensors.iter().map(|all| all[0].elem_count()).sum();
    Gram::new(space, numbers, t, (0..t * t).map(|k| at((k / t).min(k % t), (k / t).max(k % t))).collect())
}

fn first_bad<'t>(tensors: impl Iterator<Item = &'t Tensor>) -> Result<String> {
    for (k, t) in tensors.enumerate() {
        let values = t.detach().flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            return Ok(format!("{} at element {at} of tensor {k}", values[at]));
        }
    }
    Ok("the squared norm is too large for f64".to_owned())
}
