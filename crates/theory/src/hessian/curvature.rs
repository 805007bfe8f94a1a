//! Products of a network's Hessian with vectors, by two routes.

use super::operator::{Operator, fits};
use crate::dense::norm;
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Params, ops};
use std::cell::Cell;

/// How a product is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Route {
    /// `(g(w + h v) - g(w - h v)) / 2 h` with g the gradient and `norm(h v) = step max(norm(w), 1)`: for any loss, an adversarial
    /// one with its attack made anew at each point too. Error O(step^2) beside rounding over step. Where a ReLU or a maximum
    /// switches between the two points, its jump counts, divided by h: a short step seldom meets one, but then it is large. In f32
    /// no step is short enough for networks with kinks; take f64 or the other route.
    Differences {
        /// Relative length, > 0.
        step: f64,
    },
    /// The gradient of `g(w).v`: exact up to rounding. The process must have been started with `CANDLE_GRAD_DO_NOT_DETACH=1`, and
    /// every operation of the loss must have a second derivative.
    DoubleBackward,
}

impl Route {
    /// Differences with a step for values of a type: 1e-8 in f64, short enough that kinks are seldom met and long enough that
    /// rounding stays below 1e-6; in f32 the cube root of its rounding, which balances both errors for smooth losses.
    pub fn differences(dtype: DType) -> Self {
        Self::Differences { step: if dtype == DType::F64 { 1e-8 } else { f64::from(f32::EPSILON).cbrt() } }
    }
}

/// What makes a loss anew from the variables as they are.
type Loss<'a> = dyn Fn(usize) -> Result<Tensor> + 'a;

/// The Hessian of a loss in the trainable parameters of a network, all of them or those of some layers, as an [`Operator`] on
/// vectors of their values one after the other.
///
/// ```
/// use candle_core::{DType, Device};
/// use sconce_tensor_core::nn::{Builder, Init};
/// use sconce_tensor_core::{Params, Rng, Role};
/// use sconce_theory::hessian::{Curvature, Operator, Route};
/// let mut params = Params::new();
/// let mut b = Builder::new(&mut params, Rng::new(0), DType::F64, &Device::Cpu);
/// let w = b.param("w", Role::Weight, 3, Init::fan_in(3))?;
/// // sum w^3: the Hessian is diag(6 w).
/// let loss = |_| Ok(w.as_tensor().powf(3.0)?.sum_all()?);
/// let hessian = Curvature::new(&params, 1, &loss, Route::differences(DType::F64))?;
/// let product = hessian.apply(&[1.0, 0.0, 0.0])?;
/// assert!((product[0] - 6.0 * w.to_vec1::<f64>()?[0]).abs() < 1e-6 && product[1].abs() < 1e-6);
/// # Ok::<(), sconce_theory::Error>(())
/// ```
pub struct Curvature<'a> {
    variables: Vec<&'a sconce_tensor_core::Param>,
    parts: usize,
    loss: &'a Loss<'a>,
    route: Route,
    dim: usize,
    gradients: Cell<usize>,
}

impl std::fmt::Debug for Curvature<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.variables.iter().map(|p| p.name()).collect();
        write!(f, "Curvature of {} values in {names:?} by {:?}", self.dim, self.route)
    }
}

impl<'a> Curvature<'a> {
    /// The loss is the sum of `loss(0)`, ..., `loss(parts - 1)`, each with the weights in its graph: mean losses of batches, divided
    /// by their number.
    ///
    /// # Errors
    /// No parameters or parts; a step out of range; weights that are not finite, with the parameter's name.
    pub fn new(params: &'a Params, parts: usize, loss: &'a Loss<'a>, route: Route) -> Result<Self> {
        Self::of(params.trainable().collect(), parts, loss, route)
    }

    /// The same for the parameters whose names start with `prefix`: a layer's block of the Hessian.
    ///
    /// # Errors
    /// As [`Curvature::new`]; a prefix that no trainable parameter has.
    pub fn layer(params: &'a Params, prefix: &str, parts: usize, loss: &'a Loss<'a>, route: Route) -> Result<Self> {
        let chosen: Vec<_> = params.trainable().filter(|p| p.name().starts_with(prefix)).collect();
        if chosen.is_empty() {
            let names: Vec<&str> = params.trainable().map(|p| p.name()).collect();
            return Err(Error::value("layer", format!("no parameter starts with `{prefix}`; there are {names:?}")));
        }
        Self::of(chosen, parts, loss, route)
    }

    fn of(
        variables: Vec<&'a sconce_tensor_core::Param>,
        parts: usize,
        loss: &'a Loss<'a>,
        route: Route,
    ) -> Result<Self> {
        require("Curvature.parts", parts >= 1, "at least 1", parts)?;
        if let Route::Differences { step } = route {
            require("Route.step", step.is_finite() && step > 0.0, "finite and > 0", step)?;
        }
        let dim = variables.iter().map(|p| p.var().elem_count()).sum();
        if dim == 0 {
            return Err(Error::value("parameters", "there is none to differentiate by"));
        }
        let it = Self { variables, parts, loss, route, dim, gradients: Cell::new(0) };
        for (p, w) in it.variables.iter().zip(it.split(&it.weights()?)) {
            if let Some(i) = w.iter().position(|v| !v.is_finite()) {
                return Err(Error::value(format!("parameter `{}`", p.name()), format!("{} at {i}", w[i])));
            }
        }
        Ok(it)
    }

    /// The weights, one parameter after the other.
    ///
    /// # Errors
    /// candle's only.
    pub fn weights(&self) -> Result<Vec<f64>> {
        let each = self.variables.iter().map(|p| flat(p.var().as_tensor())).collect::<Result<Vec<_>>>()?;
        Ok(each.concat())
    }

    /// A vector cut into the parameters' parts.
    fn split<'v>(&self, v: &'v [f64]) -> Vec<&'v [f64]> {
        let mut rest = v;
        let cut = |p: &&sconce_tensor_core::Param| {
            let (a, b) = rest.split_at(p.var().elem_count());
            rest = b;
            a
        };
        self.variables.iter().map(cut).collect()
    }

    /// How many gradients of the whole loss were taken so far; a double backward pass counts as two.
    pub fn gradients(&self) -> usize {
        self.gradients.get()
    }

    /// The loss at the weights as they are.
    ///
    /// # Errors
    /// The loss's own; a value that is not finite.
    pub fn loss(&self) -> Result<f64> {
        let each = (0..self.parts).map(|i| Ok((self.loss)(i)?.to_dtype(DType::F64)?.to_scalar::<f64>()?));
        let sum = each.collect::<Result<Vec<f64>>>()?.iter().sum::<f64>();
        if sum.is_finite() { Ok(sum) } else { Err(Error::value("loss", format!("is {sum}"))) }
    }

    /// The gradient at the weights as they are.
    ///
    /// # Errors
    /// As [`Curvature::loss`]; a parameter that the loss does not reach.
    pub fn gradient(&self) -> Result<Vec<f64>> {
        self.gradients.set(self.gradients.get() + 1);
        let mut sum = vec![0.0; self.dim];
        for i in 0..self.parts {
            sum.iter_mut().zip(self.gradient_of(&(self.loss)(i)?)?).for_each(|(s, g)| *s += g);
        }
        match sum.iter().position(|v| !v.is_finite()) {
            Some(i) => Err(Error::value("gradient", format!("{} at {i}", sum[i]))),
            None => Ok(sum),
        }
    }

    /// How many parts the loss has.
    pub(super) fn parts(&self) -> usize {
        self.parts
    }

    /// The gradient of any scalar with the weights in its graph.
    pub(super) fn gradient_of(&self, scalar: &Tensor) -> Result<Vec<f64>> {
        let grads = ops::backward(scalar)?;
        let mut all = Vec::with_capacity(self.dim);
        for p in &self.variables {
            let missing = || Error::NoGradient { name: p.name().to_owned() };
            all.extend(flat(grads.get(p.var()).ok_or_else(missing)?)?);
        }
        Ok(all)
    }

    fn set(&self, w: &[f64]) -> Result<()> {
        for (p, part) in self.variables.iter().zip(self.split(w)) {
            let var = p.var();
            let t = Tensor::from_slice(part, var.shape(), &Device::Cpu)?;
            var.set(&t.to_dtype(var.dtype())?.to_device(var.device())?)?;
        }
        Ok(())
    }

    /// What `f` gives at `w + h v` and at `w - h v`, and h; none for v = 0. The weights are put back.
    pub(super) fn around<T>(&self, v: &[f64], step: f64, f: impl Fn() -> Result<T>) -> Result<Option<(T, T, f64)>> {
        /// The weights as they were, put back whatever happens.
        struct Restore<'a, 'b>(&'a Curvature<'b>, Vec<Tensor>);
        impl Drop for Restore<'_, '_> {
            fn drop(&mut self) {
                for (p, t) in self.0.variables.iter().zip(&self.1) {
                    // A tensor of the variable's own shape and type.
                    let _ = p.var().set(t);
                }
            }
        }
        let w = self.weights()?;
        let length = norm(v);
        if length == 0.0 {
            return Ok(None);
        }
        let h = step * norm(&w).max(1.0) / length;
        let copies = self.variables.iter().map(|p| Ok(p.var().as_detached_tensor().copy()?));
        let restore = Restore(self, copies.collect::<Result<_>>()?);
        let at = |h: f64| -> Result<T> {
            self.set(&w.iter().zip(v).map(|(w, v)| w + h * v).collect::<Vec<_>>())?;
            f()
        };
        let (a, b) = (at(h)?, at(-h)?);
        drop(restore);
        Ok(Some((a, b, h)))
    }

    fn by_differences(&self, v: &[f64], step: f64) -> Result<Vec<f64>> {
        Ok(match self.around(v, step, || self.gradient())? {
            Some((a, b, h)) => a.iter().zip(&b).map(|(a, b)| (a - b) / (2.0 * h)).collect(),
            None => vec![0.0; self.dim],
        })
    }

    fn by_double_backward(&self, v: &[f64]) -> Result<Vec<f64>> {
        if !ops::keeps_graph()? {
            let reason = "start the process with CANDLE_GRAD_DO_NOT_DETACH=1, or take Route::Differences".to_owned();
            return Err(Error::Unsupported { what: "a double backward pass", reason });
        }
        self.gradients.set(self.gradients.get() + 2);
        let mut sum = vec![0.0; self.dim];
        for i in 0..self.parts {
            let first = ops::backward(&(self.loss)(i)?)?;
            let mut along: Option<Tensor> = None;
            for (p, part) in self.variables.iter().zip(self.split(v)) {
                let missing = || Error::NoGradient { name: p.name().to_owned() };
                let g = first.get(p.var()).ok_or_else(missing)?;
                let part = Tensor::from_slice(part, g.shape(), &Device::Cpu)?;
                let term = (g * part.to_dtype(g.dtype())?.to_device(g.device())?)?.sum_all()?;
                along = Some(match along {
                    Some(a) => (a + term)?,
                    None => term,
                });
            }
            let Some(along) = along else { continue };
            let second = ops::backward(&along)?;
            let mut at = 0;
            for p in &self.variables {
                // A parameter that the gradient does not depend on has none.
                let n = p.var().elem_count();
                if let Some(g) = second.get(p.var()) {
                    sum[at..at + n].iter_mut().zip(flat(g)?).for_each(|(s, v)| *s += v);
                }
                at += n;
            }
        }
        Ok(sum)
    }

    /// Both routes on one vector: `norm(a - b) / max(norm(a), norm(b))`; 0 where both are 0.
    ///
    /// # Errors
    /// Those of either route.
    pub fn disagreement(&self, v: &[f64]) -> Result<f64> {
        fits(v, self.dim)?;
        let step = match self.route {
            Route::Differences { step } => step,
            Route::DoubleBackward => {
                let dtype = self.variables[0].var().dtype();
                let Route::Differences { step } = Route::differences(dtype) else { return Ok(0.0) };
                step
            }
        };
        let (a, b) = (self.by_differences(v, step)?, self.by_double_backward(v)?);
        let largest = norm(&a).max(norm(&b));
        let apart = norm(&a.iter().zip(&b).map(|(a, b)| a - b).collect::<Vec<_>>());
        Ok(if largest == 0.0 { 0.0 } else { apart / largest })
    }
}

fn flat(t: &Tensor) -> Result<Vec<f64>> {
    Ok(t.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

impl Operator for Curvature<'_> {
    fn dim(&self) -> usize {
        self.dim
    }

    fn apply(&self, v: &[f64]) -> Result<Vec<f64>> {
        fits(v, self.dim)?;
        match self.route {
            Route::Differences { step } => self.by_differences(v, step),
            Route::DoubleBackward => self.by_double_backward(v),
        }
    }
}
