//! The losses of a network on some images, as they are and attacked, for Hessians and landscapes.

use anyhow::Result;
use candle_core::Tensor;
use sconce_attacks::{Attack, ExampleRng, Goal};
use sconce_tensor_core::{Mode, Network, Rng, ops};
use sconce_theory::Weights;
use sconce_theory::hessian::{Curvature, HvpMethod, LanczosConfig, Rescaled, hutchinson, top_eigenpairs};
use serde::{Deserialize, Serialize};

/// Images in parts, each with its share of the mean loss. Batch norm runs by its running statistics.
pub struct Losses<'a> {
    net: &'a dyn Network,
    attack: Option<&'a dyn Attack>,
    clean: Vec<Tensor>,
    frozen: Vec<Tensor>,
    labels: Vec<Tensor>,
    examples: usize,
    part: usize,
}

type Outcome<T> = sconce_theory::Result<T>;

impl<'a> Losses<'a> {
    /// Cuts the images in parts and attacks them once, for the loss with the attack frozen; without an attack that is the clean one.
    pub fn new(
        net: &'a dyn Network,
        (x, y): (&Tensor, &Tensor),
        attack: Option<&'a dyn Attack>,
        part: usize,
    ) -> Result<Self> {
        let examples = x.dim(0)?;
        let cut = |t: &Tensor| -> Result<Vec<Tensor>> {
            let one = |from: usize| Ok(t.narrow(0, from, part.min(examples - from))?.contiguous()?);
            (0..examples).step_by(part).map(one).collect()
        };
        let mut it = Self { net, attack, clean: cut(x)?, frozen: Vec::new(), labels: cut(y)?, examples, part };
        it.frozen = (0..it.parts()).map(|i| it.attacked(i)).collect::<Outcome<_>>()?;
        Ok(it)
    }

    pub fn parts(&self) -> usize {
        self.clean.len()
    }

    /// A part's images, attacked at the weights as they are.
    pub fn attacked(&self, i: usize) -> Outcome<Tensor> {
        let Some(attack) = self.attack else { return Ok(self.clean[i].clone()) };
        let (from, n) = ((i * self.part) as u64, self.clean[i].dim(0)? as u64);
        let rng = ExampleRng::new(Rng::new(0).stream("losses"), (from..from + n).collect());
        Ok(attack.perturb(self.net, &self.clean[i], &Goal::Untargeted(self.labels[i].clone()), &rng)?.x.detach())
    }

    fn mean(&self, x: &Tensor, i: usize, mode: Mode) -> Outcome<Tensor> {
        let share = x.dim(0)? as f64 / self.examples as f64;
        Ok((ops::cross_entropy(&self.net.forward(x, mode)?, &self.labels[i])?.mean_all()? * share)?)
    }

    /// A part of the clean loss, the weights in its graph.
    pub fn clean(&self, i: usize) -> Outcome<Tensor> {
        self.mean(&self.clean[i], i, Mode::Eval)
    }

    /// A part of the loss on the images as they were attacked at first.
    pub fn frozen(&self, i: usize) -> Outcome<Tensor> {
        self.mean(&self.frozen[i], i, Mode::Eval)
    }

    /// A part of the loss with the attack made at the weights as they are.
    pub fn anew(&self, i: usize) -> Outcome<Tensor> {
        self.mean(&self.attacked(i)?, i, Mode::Eval)
    }

    /// The sum of all parts.
    pub fn total(&self, part: impl Fn(usize) -> Outcome<Tensor>) -> Outcome<f64> {
        let one = |i| Ok(part(i)?.to_dtype(candle_core::DType::F64)?.to_scalar::<f64>()?);
        (0..self.parts()).map(one).sum()
    }

    /// Clean loss and adversarial loss with the attack made anew, without gradients.
    pub fn both(&self) -> Outcome<Vec<f64>> {
        Ok(vec![
            self.total(|i| self.mean(&self.clean[i], i, Mode::Frozen))?,
            self.total(|i| self.mean(&self.attacked(i)?, i, Mode::Frozen))?,
        ])
    }
}

/// The largest eigenvalue, the same in units of the filters, and the trace with its standard error.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Sharpness {
    pub top: f64,
    pub top_in_filters: f64,
    pub trace: f64,
    pub trace_error: f64,
    /// How far the product by double backward is from that by differences, on one vector.
    pub residual: f64,
}

/// How closely it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Closeness {
    pub tolerance: f64,
    pub products: usize,
    pub probes: usize,
}

impl Sharpness {
    /// Of one of the losses.
    pub fn of(
        losses: &Losses<'_>,
        loss: &dyn Fn(usize) -> Outcome<Tensor>,
        close: Closeness,
        rng: &Rng,
    ) -> Result<Self> {
        let h = Curvature::new(losses.net.params(), losses.parts(), loss, HvpMethod::DoubleBackward)?;
        let cfg = LanczosConfig { count: 1, tolerance: close.tolerance, max_products: close.products };
        let residual = h.disagreement(&rng.stream("check").normals(Weights::new(losses.net.params())?.dim()))?;
        let units = Rescaled::by_filters(&h, h.weights())?;
        let trace = hutchinson(&h, close.probes, rng)?;
        Ok(Self {
            top: top_eigenpairs(&h, &cfg, rng)?[0].value,
            top_in_filters: top_eigenpairs(&units, &cfg, rng)?[0].value,
            trace: trace.value,
            trace_error: trace.standard_error,
            residual,
        })
    }
}
