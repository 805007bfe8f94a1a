//! Running an attack and judging it.

use crate::geometry;
use candle_core::{DType, Tensor};
use sconce_tensor_core::classifier::{predict, require_finite};
use sconce_tensor_core::error::require;
use sconce_tensor_core::stats::Proportion;
use sconce_tensor_core::{Attack, Classifier, Error, ExampleRng, Goal, Result, Rng};

/// Configuration of [`run`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `batch_size` | none | examples at a time; none takes what fits `memory_mib` | >= 1 |
/// | `memory_mib` | 1024 | memory that a batch may take, estimated at 256 times its inputs (chosen by us) | >= 1 |
/// | `first_example` | 0 | number of the first example: keys its random stream | |
///
/// Results do not depend on how examples are cut into batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunConfig {
    /// Examples at a time.
    pub batch_size: Option<usize>,
    /// Memory that a batch may take, in MiB.
    pub memory_mib: usize,
    /// Number of the first example.
    pub first_example: u64,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self { batch_size: None, memory_mib: 1024, first_example: 0 }
    }
}

impl RunConfig {
    /// The batch size for examples like those of `x`.
    ///
    /// # Errors
    /// [`Error::Config`] for a batch or memory of 0.
    pub fn batch(&self, x: &Tensor) -> Result<usize> {
        require("RunConfig.memory_mib", self.memory_mib >= 1, "at least 1", self.memory_mib)?;
        if let Some(b) = self.batch_size {
            require("RunConfig.batch_size", b >= 1, "at least 1", b)?;
            return Ok(b);
        }
        let example = x.elem_count() / x.dim(0)?.max(1) * x.dtype().size_in_bytes() * 256;
        Ok(((self.memory_mib << 20) / example.max(1)).clamp(1, 1024))
    }
}

/// What an attack came to.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The inputs as the attacker leaves them: inside threat and box, the clean ones where those
    /// served the attacker already.
    pub adversarial: Tensor,
    /// Whether the model classified each clean input as its label.
    pub clean: Vec<bool>,
    /// Whether the attacker reached its goal, example by example, in a fresh forward pass.
    pub reached: Vec<bool>,
    /// The norm of each perturbation, in the threat's norm.
    pub distance: Vec<f64>,
}

impl Judged {
    /// The share of clean inputs classified right (for an untargeted goal).
    pub fn clean_accuracy(&self) -> Proportion {
        Proportion::of(&self.clean)
    }

    /// The share of examples on which the attacker failed.
    pub fn robust_accuracy(&self) -> Proportion {
        let held: Vec<bool> = self.reached.iter().map(|r| !r).collect();
        Proportion::of(&held)
    }
}

/// For each input whether it is classified as its label, and whether it reaches the goal, in one forward
/// pass without a graph.
fn judge(model: &dyn Classifier, x: &Tensor, goal: &Goal) -> Result<Vec<(bool, bool)>> {
    let predicted = predict(model, x, x.dim(0)?)?;
    Ok(predicted.into_iter().zip(goal.labels().to_vec1::<u32>()?).map(|(p, y)| (p == y, goal.reached(p, y))).collect())
}

pub(crate) fn check(model: &dyn Classifier, x: &Tensor, goal: &Goal) -> Result<()> {
    let (n, k, bounds) = (x.dims().first().copied().unwrap_or(0), model.classes(), model.bounds());
    if n == 0 || x.elem_count() == 0 {
        return Err(Error::shape("inputs", "(N, ...) with at least one example", x.dims()));
    }
    require("Classifier.classes", k >= 2, "at least 2: with one class there is nothing to attack", k)?;
    let labels = goal.labels();
    if labels.dims() != [n] || labels.dtype() != DType::U32 {
        return Err(Error::shape("labels", format!("({n},) of u32, got {:?}", labels.dtype()), labels.dims()));
    }
    if let Some((i, y)) = labels.to_vec1::<u32>()?.into_iter().enumerate().find(|(_, y)| *y as usize >= k) {
        return Err(Error::value("labels", format!("label {y} at row {i} is not below the {k} classes")));
    }
    require_finite("inputs", x)?;
    let outside = (x.lt(bounds.lo())? + x.gt(bounds.hi())?)?.flatten_all()?;
    if let Some(i) = outside.to_vec1::<u8>()?.iter().position(|o| *o != 0) {
        let v = x.flatten_all()?.get(i)?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        let reason = format!("{v} at flat index {i} is outside the model's box [{}, {}]", bounds.lo(), bounds.hi());
        return Err(Error::value("inputs", reason));
    }
    Ok(())
}

/// Attacks each example and judges the result: inputs outside the model's box are refused, what the
/// attack returns is projected onto threat and box, success is counted on that in one fresh forward
/// pass, and an example that serves the attacker as it is stays as it is. So the attacker never does
/// worse than the clean inputs, and a radius of 0 gives the clean accuracy.
///
/// # Shapes
/// `x` (N, ...), labels (N,) of u32.
///
/// # Errors
/// A model with fewer than 2 classes; inputs that are not finite or outside the box, with the first such
/// element; labels that are out of range; logits that are not finite; the attack's own.
pub fn run(
    attack: &dyn Attack,
    model: &dyn Classifier,
    x: &Tensor,
    goal: &Goal,
    cfg: &RunConfig,
    rng: &Rng,
) -> Result<Judged> {
    check(model, x, goal)?;
    let (n, batch, threat) = (x.dim(0)?, cfg.batch(x)?, attack.threat());
    let mut parts = Vec::new();
    let (mut clean, mut reached, mut distance) = (Vec::new(), Vec::new(), Vec::new());
    for at in (0..n).step_by(batch) {
        let len = batch.min(n - at);
        let x = x.narrow(0, at, len)?.contiguous()?.detach();
        let labels = goal.labels().narrow(0, at, len)?.contiguous()?;
        let goal = match goal {
            Goal::Untargeted(_) => Goal::Untargeted(labels),
            Goal::Targeted(_) => Goal::Targeted(labels),
        };
        let examples = (at..at + len).map(|i| cfg.first_example + i as u64).collect();
        let moved = attack.perturb(model, &x, &goal, &ExampleRng::new(*rng, examples))?.detach();
        let moved = geometry::project(&moved, &x, threat, model.bounds())?;
        let before = judge(model, &x, &goal)?;
        let mut shape = vec![1; x.rank()];
        shape[0] = len;
        let keep = Tensor::from_vec(before.iter().map(|b| u8::from(b.1)).collect(), shape, x.device())?;
        let moved = keep.broadcast_as(x.shape())?.where_cond(&x, &moved)?;
        // The clean ones were judged above in the same words, so an example that stays counts as it did.
        let after = judge(model, &moved, &goal)?;
        reached.extend(before.iter().zip(after).map(|(b, a)| b.1 || a.1));
        clean.extend(before.iter().map(|b| b.0));
        distance.extend(geometry::norms(&(&moved - &x)?, threat.norm())?.to_dtype(DType::F64)?.to_vec1::<f64>()?);
        parts.push(moved);
    }
    Ok(Judged { adversarial: Tensor::cat(&parts, 0)?, clean, reached, distance })
}
