//! The mean loss of a network on a data set, clean and under attack, for Hessians, landscapes and smoothness; and its sharpness.

use crate::hessian::{Curvature, HvpMethod, LanczosConfig, Rescaled, hutchinson, top_eigenpairs};
use crate::{Result, Weights};
use candle_core::{DType, Tensor};
use sconce_tensor_core::classifier::require_logits;
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Attack, ExampleRng, Goal, Mode, Network, Rng, ops};
use serde::{Deserialize, Serialize};

/// The mean cross-entropy of a network on labelled inputs: clean, on inputs that were attacked once ("frozen"), and on inputs that are attacked at
/// the current weights ("recomputed").
///
/// ```text
/// clean(w)      = 1/N sum l(f_w(x_i), y_i)
/// frozen(w)     = 1/N sum l(f_w(x_i + d_i), y_i),     d_i from the attack on the weights at construction
/// recomputed(w) = 1/N sum l(f_w(x_i + d_i(w)), y_i),  d_i(w) from the attack on the weights w
/// ```
///
/// The inputs are cut in parts, so that a graph holds one part alone; each part carries its share of the mean. The frozen loss is smooth in the
/// weights wherever the network is, and is the loss whose Hessian is studied; the recomputed loss is the adversarial loss itself. Batch norm uses
/// its running statistics.
pub struct Losses<'a> {
    net: &'a dyn Network,
    attack: Option<&'a dyn Attack>,
    clean: Vec<Tensor>,
    frozen: Vec<Tensor>,
    labels: Vec<Tensor>,
    examples: usize,
    part: usize,
}

impl<'a> Losses<'a> {
    /// Cuts the inputs in parts of `part` examples and attacks them; without an attack the frozen and the recomputed loss equal the clean one.
    ///
    /// # Shapes
    /// `x` (N, ...), `y` (N,) of u32.
    ///
    /// # Errors
    /// No examples, `part` of 0, or the attack's errors.
    pub fn new(
        net: &'a dyn Network,
        (x, y): (&Tensor, &Tensor),
        attack: Option<&'a dyn Attack>,
        part: usize,
    ) -> Result<Self> {
        let examples = x.dim(0)?;
        require("examples", examples >= 1, "at least 1", examples)?;
        require("part", part >= 1, "at least 1", part)?;
        let cut = |t: &Tensor| -> Result<Vec<Tensor>> {
            let one = |from: usize| Ok(t.narrow(0, from, part.min(examples - from))?.contiguous()?);
            (0..examples).step_by(part).map(one).collect()
        };
        let mut it = Self { net, attack, clean: cut(x)?, frozen: Vec::new(), labels: cut(y)?, examples, part };
        it.frozen = (0..it.parts()).map(|i| it.attacked(i)).collect::<Result<_>>()?;
        Ok(it)
    }

    /// The number of parts.
    pub fn parts(&self) -> usize {
        self.clean.len()
    }

    /// The inputs of part `i`, attacked at the current weights.
    ///
    /// # Errors
    /// Those of the attack.
    pub fn attacked(&self, i: usize) -> Result<Tensor> {
        let Some(attack) = self.attack else { return Ok(self.clean[i].clone()) };
        let (from, n) = ((i * self.part) as u64, self.clean[i].dim(0)? as u64);
        let rng = ExampleRng::new(Rng::new(0).stream("losses"), (from..from + n).collect());
        Ok(attack.perturb(self.net, &self.clean[i], &Goal::Untargeted(self.labels[i].clone()), &rng)?.x.detach())
    }

    fn mean(&self, x: &Tensor, i: usize, mode: Mode) -> Result<Tensor> {
        let share = x.dim(0)? as f64 / self.examples as f64;
        let logits = self.net.forward(x, mode)?;
        require_logits(&logits, x.dim(0)?, self.net.outputs())?;
        Ok((ops::cross_entropy(&logits, &self.labels[i])?.mean_all()? * share)?)
    }

    /// Part `i` of the clean loss, with the graph to the weights.
    ///
    /// # Errors
    /// Those of the network.
    pub fn clean(&self, i: usize) -> Result<Tensor> {
        self.mean(&self.clean[i], i, Mode::Eval)
    }

    /// Part `i` of the loss on the inputs that were attacked at construction.
    ///
    /// # Errors
    /// Those of the network.
    pub fn frozen(&self, i: usize) -> Result<Tensor> {
        self.mean(&self.frozen[i], i, Mode::Eval)
    }

    /// Part `i` of the loss on inputs that are attacked at the current weights; its graph does not go through the attack.
    ///
    /// # Errors
    /// Those of the network and of the attack.
    pub fn recomputed(&self, i: usize) -> Result<Tensor> {
        self.mean(&self.attacked(i)?, i, Mode::Eval)
    }

    /// The sum of all parts.
    ///
    /// # Errors
    /// Those of `part`.
    pub fn total(&self, part: impl Fn(usize) -> Result<Tensor>) -> Result<f64> {
        let one = |i| Ok(part(i)?.to_dtype(DType::F64)?.to_scalar::<f64>()?);
        (0..self.parts()).map(one).sum()
    }

    /// The clean and the recomputed loss, without gradients.
    ///
    /// # Errors
    /// Those of the network and of the attack.
    pub fn both(&self) -> Result<Vec<f64>> {
        Ok(vec![
            self.total(|i| self.mean(&self.clean[i], i, Mode::Frozen))?,
            self.total(|i| self.mean(&self.attacked(i)?, i, Mode::Frozen))?,
        ])
    }
}

/// The sharpness of a loss at a network's weights.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Sharpness {
    /// The largest eigenvalue of the Hessian.
    pub top: f64,
    /// The same in units of the filters' norms: invariant to rescalings that do not change the network ([`Rescaled::by_filters`]).
    pub top_in_filters: f64,
    /// The trace of the Hessian, estimated by Hutchinson's method.
    pub trace: f64,
    /// The standard error of the trace.
    pub trace_error: f64,
    /// The relative difference of a Hessian-vector product by double backward and by differences of gradients, on one random vector.
    pub residual: f64,
}

/// The accuracy of [`Sharpness::of`].
///
/// | Name | Purpose | Range |
/// |---|---|---|
/// | `tolerance` | relative residual of the largest eigenvalue | > 0 |
/// | `products` | largest number of Hessian-vector products for an eigenvalue | >= 1 |
/// | `probes` | random vectors for the trace | >= 2 |
#[derive(Clone, Copy, Debug)]
pub struct SharpnessConfig {
    /// Relative residual of the largest eigenvalue.
    pub tolerance: f64,
    /// Largest number of Hessian-vector products for an eigenvalue.
    pub products: usize,
    /// Random vectors for the trace.
    pub probes: usize,
}

impl Sharpness {
    /// Measures the sharpness of one of the losses, for example `&|i| losses.frozen(i)`.
    ///
    /// # Errors
    /// A loss without second derivatives; an eigenvalue that does not converge within the products.
    pub fn of(
        losses: &Losses<'_>,
        loss: &dyn Fn(usize) -> Result<Tensor>,
        cfg: SharpnessConfig,
        rng: &Rng,
    ) -> Result<Self> {
        let h = Curvature::new(losses.net.params(), losses.parts(), loss, HvpMethod::DoubleBackward)?;
        let lanczos = LanczosConfig { count: 1, tolerance: cfg.tolerance, max_products: cfg.products };
        let residual = h.disagreement(&rng.stream("check").normals(Weights::new(losses.net.params())?.dim()))?;
        let units = Rescaled::by_filters(&h, h.weights())?;
        let trace = hutchinson(&h, cfg.probes, rng)?;
        Ok(Self {
            top: top_eigenpairs(&h, &lanczos, rng)?[0].value,
            top_in_filters: top_eigenpairs(&units, &lanczos, rng)?[0].value,
            trace: trace.value,
            trace_error: trace.standard_error,
            residual,
        })
    }
}
