//! AWP: adversarial weight perturbation around any objective.

use candle_core::Tensor;
use sconce_tensor_core::data::Batch;
use sconce_tensor_core::error::require;
use sconce_tensor_core::train::{LossOutput, Objective};
use sconce_tensor_core::{ExampleRng, Network, Result, Role, ops};
use std::cell::RefCell;

/// Takes the objective's gradient not at the weights but at the worst weights nearby, and puts them back before the
/// update: each kernel and weight matrix moves by `gamma |w| g / |g|` along its own gradient of the objective. Biases and
/// normalisations stay (as in the authors' code). A step costs two.
///
/// The objective is asked twice with the same randomness, so an attack inside it starts at the same points; it is made
/// again at the moved weights (the authors attack once).
///
/// Source: Wu, Xia, Wang (2020), algorithm 1 and equation 9.
pub struct Awp<'a> {
    inner: &'a dyn Objective,
    gamma: f64,
    warmup: usize,
    /// Names and values of weights that were moved.
    before: RefCell<Vec<(String, Tensor)>>,
}

impl<'a> Awp<'a> {
    /// `inner` at weights moved by the share `gamma` of their norm (0.005 to 0.01 in the paper's CIFAR-10 setting), from
    /// step `warmup` of training on.
    ///
    /// # Errors
    /// A `gamma` that is negative or not finite.
    pub fn new(inner: &'a dyn Objective, gamma: f64, warmup: usize) -> Result<Self> {
        require("Awp.gamma", gamma.is_finite() && gamma >= 0.0, "finite and >= 0", gamma)?;
        Ok(Self { inner, gamma, warmup, before: RefCell::default() })
    }
}

fn length(t: &Tensor) -> Result<f64> {
    Ok(t.detach().sqr()?.sum_all()?.to_dtype(candle_core::DType::F64)?.to_scalar::<f64>()?.sqrt())
}

impl Objective for Awp<'_> {
    fn loss(&self, net: &dyn Network, batch: &Batch, rng: &ExampleRng) -> Result<LossOutput> {
        if batch.step < self.warmup || self.gamma == 0.0 {
            return self.inner.loss(net, batch, rng);
        }
        let first = self.inner.loss(net, batch, rng)?;
        let gradients = ops::last_backward(&first.loss)?;
        for p in net.params().trainable().filter(|p| matches!(p.role(), Role::Kernel | Role::Weight)) {
            let Some(g) = gradients.get(p.var().as_tensor()) else { continue };
            let w = p.var().as_detached_tensor().copy()?;
            let (size, slope) = (length(&w)?, length(g)?);
            // Before it moves, so that an error in between puts it back.
            self.before.borrow_mut().push((p.name().to_owned(), w.clone()));
            if slope > 0.0 {
                p.var().set(&(w + (g.detach() * (self.gamma * size / slope))?)?.contiguous()?)?;
            }
        }
        self.inner.loss(net, batch, rng)
    }

    fn after_backward(&self, net: &dyn Network) -> Result<()> {
        for (name, value) in std::mem::take(&mut *self.before.borrow_mut()) {
            if let Some(p) = net.params().get(&name) {
                p.var().set(&value)?;
            }
        }
        self.inner.after_backward(net)
    }
}
