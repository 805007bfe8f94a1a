//! Hessian-vector products of a network, by two methods.

use super::operator::{Operator, fits};
use crate::dense::norm;
use crate::weights::{Weights, flat};
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Param, Params, ops};
use std::cell::{Cell, RefCell};

/// How a Hessian-vector product is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HvpMethod {
    /// Central differences of gradients: `(g(w + h v) - g(w - h v)) / 2 h` with g the gradient and
    /// `norm(h v) = step max(norm(w), 1)`. This works for any loss, also for an adversarial loss that recomputes its attack at
    /// each point. The error is O(step^2), plus rounding / step. If a ReLU or a maximum switches between the two points, the
    /// jump of the gradient divided by h is an additional error: with a small step this is rare, but large. In f32 no step is
    /// small enough for networks with kinks; use f64 or [`HvpMethod::DoubleBackward`].
    FiniteDifferences {
        /// Relative step size, > 0.
        step: f64,
    },
    /// The gradient of `g(w).v`, exact up to rounding. The process must be started with `CANDLE_GRAD_DO_NOT_DETACH=1`, and
    /// every operation of the loss must have a second derivative. The graphs of the gradients are cached for the next product
    /// at the same weights, which then costs one backward pass. This needs memory for all parts at once: several times that of
    /// a training step on the same examples.
    DoubleBackward,
}

impl HvpMethod {
    /// Finite differences with a default step for a dtype. In f64 the step is 1e-8: small enough that kinks are rare, large
    /// enough that rounding stays below 1e-6. In f32 it is the cube root of the machine epsilon, which balances both errors for
    /// smooth losses.
    pub fn finite_differences(dtype: DType) -> Self {
        Self::FiniteDifferences { step: if dtype == DType::F64 { 1e-8 } else { f64::from(f32::EPSILON).cbrt() } }
    }
}

/// Computes the loss of a part at the current weights.
type Loss<'a> = dyn Fn(usize) -> Result<Tensor> + 'a;

/// The Hessian of a loss with respect to the trainable parameters of a network, all of them or those of some layers. It is an
/// [`Operator`] on flattened vectors of their values.
///
/// ```
/// use candle_core::{DType, Device};
/// use sconce_tensor_core::nn::{Builder, Init};
/// use sconce_tensor_core::{Params, Rng, Role};
/// use sconce_theory::hessian::{Curvature, Operator, HvpMethod};
/// let mut params = Params::new();
/// let mut b = Builder::new(&mut params, Rng::new(0), DType::F64, &Device::Cpu);
/// let w = b.param("w", Role::Weight, 3, Init::fan_in(3))?;
/// // sum w^3: the Hessian is diag(6 w).
/// let loss = |_| Ok(w.as_tensor().powf(3.0)?.sum_all()?);
/// let hessian = Curvature::new(&params, 1, &loss, HvpMethod::finite_differences(DType::F64))?;
/// let product = hessian.apply(&[1.0, 0.0, 0.0])?;
/// assert!((product[0] - 6.0 * w.to_vec1::<f64>()?[0]).abs() < 1e-6 && product[1].abs() < 1e-6);
/// # Ok::<(), sconce_theory::Error>(())
/// ```
pub struct Curvature<'a> {
    weights: Weights<'a>,
    parts: usize,
    loss: &'a Loss<'a>,
    method: HvpMethod,
    gradients: Cell<usize>,
    kept: RefCell<Option<Kept>>,
}

/// The gradients of each part with their graphs, and the weights at which they were computed.
struct Kept {
    at: Vec<f64>,
    parts: Vec<Vec<Tensor>>,
}

impl std::fmt::Debug for Curvature<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.weights.params().iter().map(|p| p.name()).collect();
        write!(f, "Curvature of {} values in {names:?} by {:?}", self.weights.dim(), self.method)
    }
}

impl<'a> Curvature<'a> {
    /// The loss is the sum of `loss(0)`, ..., `loss(parts - 1)`, each with the weights in its graph: for the mean over batches,
    /// each part is the mean loss of a batch divided by the number of batches.
    ///
    /// # Errors
    /// No parameters or parts; a step size out of range; weights that are not finite, with the parameter's name.
    pub fn new(params: &'a Params, parts: usize, loss: &'a Loss<'a>, method: HvpMethod) -> Result<Self> {
        Self::of(Weights::new(params)?, parts, loss, method)
    }

    /// The Hessian of a subset of the weights ([`Weights::layer`]): a diagonal block of the whole Hessian.
    ///
    /// # Errors
    /// As [`Curvature::new`].
    pub fn of(weights: Weights<'a>, parts: usize, loss: &'a Loss<'a>, method: HvpMethod) -> Result<Self> {
        require("Curvature.parts", parts >= 1, "at least 1", parts)?;
        if let HvpMethod::FiniteDifferences { step } = method {
            require("HvpMethod.step", step.is_finite() && step > 0.0, "finite and > 0", step)?;
        }
        Ok(Self { weights, parts, loss, method, gradients: Cell::new(0), kept: RefCell::default() })
    }

    /// The flattened weights.
    pub fn weights(&self) -> &Weights<'a> {
        &self.weights
    }

    /// The number of gradients of the whole loss computed so far; a second backward pass counts as one.
    pub fn gradients(&self) -> usize {
        self.gradients.get()
    }

    /// The loss at the current weights.
    ///
    /// # Errors
    /// Those of the loss; a value that is not finite.
    pub fn loss(&self) -> Result<f64> {
        let each = (0..self.parts).map(|i| Ok((self.loss)(i)?.to_dtype(DType::F64)?.to_scalar::<f64>()?));
        let sum = each.collect::<Result<Vec<f64>>>()?.iter().sum::<f64>();
        if sum.is_finite() { Ok(sum) } else { Err(Error::value("loss", format!("is {sum}"))) }
    }

    /// The gradient at the current weights.
    ///
    /// # Errors
    /// As [`Curvature::loss`]; a parameter that does not receive a gradient.
    pub fn gradient(&self) -> Result<Vec<f64>> {
        self.gradients.set(self.gradients.get() + 1);
        let mut sum = vec![0.0; self.weights.dim()];
        for i in 0..self.parts {
            sum.iter_mut().zip(self.gradient_of(&(self.loss)(i)?)?).for_each(|(s, g)| *s += g);
        }
        match sum.iter().position(|v| !v.is_finite()) {
            Some(i) => Err(Error::value("gradient", format!("{} at {i}", sum[i]))),
            None => Ok(sum),
        }
    }

    /// The number of parts of the loss.
    pub(super) fn parts(&self) -> usize {
        self.parts
    }

    /// The gradient of a scalar with the weights in its graph.
    pub(super) fn gradient_of(&self, scalar: &Tensor) -> Result<Vec<f64>> {
        let grads = ops::last_backward(scalar)?;
        let mut all = Vec::with_capacity(self.weights.dim());
        for p in self.weights.params() {
            let missing = || Error::NoGradient { name: p.name().to_owned() };
            all.extend(flat(grads.get(p.var()).ok_or_else(missing)?)?);
        }
        Ok(all)
    }

    /// The values of `f` at `w + h v` and at `w - h v`, and h; `None` for v = 0. The weights are restored afterwards.
    pub(super) fn around<T>(&self, v: &[f64], step: f64, f: impl Fn() -> Result<T>) -> Result<Option<(T, T, f64)>> {
        let w = self.weights.values()?;
        let length = norm(v);
        if length == 0.0 {
            return Ok(None);
        }
        let h = step * norm(&w).max(1.0) / length;
        let moved = |h: f64| w.iter().zip(v).map(|(w, v)| w + h * v).collect::<Vec<_>>();
        let mut both = self.weights.evaluate_at([moved(h), moved(-h)], f)?.into_iter();
        Ok(both.next().zip(both.next()).map(|(a, b)| (a, b, h)))
    }

    fn by_differences(&self, v: &[f64], step: f64) -> Result<Vec<f64>> {
        Ok(match self.around(v, step, || self.gradient())? {
            Some((a, b, h)) => a.iter().zip(&b).map(|(a, b)| (a - b) / (2.0 * h)).collect(),
            None => vec![0.0; self.weights.dim()],
        })
    }

    fn by_double_backward(&self, v: &[f64]) -> Result<Vec<f64>> {
        if !ops::keeps_graph()? {
            let reason =
                "start the process with CANDLE_GRAD_DO_NOT_DETACH=1, or use HvpMethod::FiniteDifferences".to_owned();
            return Err(Error::Unsupported { what: "a double backward pass", reason });
        }
        let at = self.weights.values()?;
        let mut kept = self.kept.borrow_mut();
        let found = match kept.take() {
            Some(k) if k.at == at => k,
            // Gradients at other weights are dropped before new ones are computed.
            other => {
                drop(other);
                self.gradients.set(self.gradients.get() + 1);
                Kept { at, parts: (0..self.parts).map(|i| self.with_graphs(i)).collect::<Result<_>>()? }
            }
        };
        self.gradients.set(self.gradients.get() + 1);
        let mut sum = vec![0.0; self.weights.dim()];
        for gradients in &found.parts {
            let mut along: Option<Tensor> = None;
            for (g, part) in gradients.iter().zip(self.weights.split(v)) {
                let part = Tensor::from_slice(part, g.shape(), &Device::Cpu)?;
                let term = (g * part.to_dtype(g.dtype())?.to_device(g.device())?)?.sum_all()?;
                along = Some(match along {
                    Some(a) => (a + term)?,
                    None => term,
                });
            }
            let Some(along) = along else { continue };
            let second = ops::last_backward(&along)?;
            let mut at = 0;
            for p in self.weights.params() {
                // A parameter that the gradient does not depend on has no second derivative.
                let n = p.var().elem_count();
                if let Some(g) = second.get(p.var()) {
                    sum[at..at + n].iter_mut().zip(flat(g)?).for_each(|(s, v)| *s += v);
                }
                at += n;
            }
        }
        *kept = Some(found);
        Ok(sum)
    }

    /// The gradient of a part for each parameter, with its graph.
    fn with_graphs(&self, part: usize) -> Result<Vec<Tensor>> {
        let grads = ops::backward(&(self.loss)(part)?)?;
        let missing = |p: &&Param| Error::NoGradient { name: p.name().to_owned() };
        self.weights.params().iter().map(|p| grads.get(p.var()).cloned().ok_or_else(|| missing(p))).collect()
    }

    /// The relative difference between both methods on one vector: `norm(a - b) / max(norm(a), norm(b))`; 0 if both products
    /// are 0.
    ///
    /// # Errors
    /// Those of both methods.
    pub fn disagreement(&self, v: &[f64]) -> Result<f64> {
        fits(v, self.weights.dim())?;
        let step = match self.method {
            HvpMethod::FiniteDifferences { step } => step,
            HvpMethod::DoubleBackward => {
                let dtype = self.weights.params()[0].var().dtype();
                let HvpMethod::FiniteDifferences { step } = HvpMethod::finite_differences(dtype) else {
                    return Ok(0.0);
                };
                step
            }
        };
        let (a, b) = (self.by_differences(v, step)?, self.by_double_backward(v)?);
        let largest = norm(&a).max(norm(&b));
        let apart = norm(&a.iter().zip(&b).map(|(a, b)| a - b).collect::<Vec<_>>());
        Ok(if largest == 0.0 { 0.0 } else { apart / largest })
    }
}

impl Operator for Curvature<'_> {
    fn dim(&self) -> usize {
        self.weights.dim()
    }

    fn apply(&self, v: &[f64]) -> Result<Vec<f64>> {
        fits(v, self.weights.dim())?;
        match self.method {
            HvpMethod::FiniteDifferences { step } => self.by_differences(v, step),
            HvpMethod::DoubleBackward => self.by_double_backward(v),
        }
    }

    fn precision(&self) -> f64 {
        let wide = self.weights.params().iter().all(|p| p.var().dtype() == DType::F64);
        if wide { f64::EPSILON } else { f64::from(f32::EPSILON) }
    }
}
