//! Runs an attack and measures its success.

use crate::geometry;
use crate::loss::{ExampleGoal, goals};
use candle_core::{DType, Tensor};
use sconce_tensor_core::classifier::{host_logits, logits, require_finite};
use sconce_tensor_core::error::require;
use sconce_tensor_core::stats::Proportion;
use sconce_tensor_core::{Attack, Classifier, Effort, Error, ExampleRng, Goal, Result, Rng};

/// Configuration of [`run`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `batch_size` | none | examples per batch; `None` derives it from `memory_mib` | >= 1 |
/// | `memory_mib` | 1024 | memory limit for one batch, estimated as 256 times the size of its inputs (the factor is chosen by us) | >= 1 |
/// | `first_example` | 0 | index of the first example; the index selects the random stream of an example | |
///
/// Results do not depend on the batch size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunConfig {
    /// Examples per batch.
    pub batch_size: Option<usize>,
    /// Memory limit for one batch, in MiB.
    pub memory_mib: usize,
    /// Index of the first example.
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

/// The result of an attack, example by example.
#[derive(Clone, Debug)]
pub struct AttackResult {
    /// The adversarial inputs, inside the threat's ball and the model's box. An example whose clean input
    /// already reaches the goal keeps its clean input.
    pub adversarial: Tensor,
    /// Whether the model classifies each clean input as its label.
    pub clean: Vec<bool>,
    /// Whether the attack reached its goal on each example, measured in a fresh forward pass.
    pub reached: Vec<bool>,
    /// The size of each perturbation, in the threat's norm.
    pub distance: Vec<f64>,
    /// The margin that is left to the goal, in the logits' units: `z_y - max_{k != y} z_k`, or with a target
    /// `max_{k != t} z_k - z_t`. It is at most 0 exactly where the goal is reached (or the logits tie).
    pub margin: Vec<f64>,
    /// Forward passes and gradients that the attack used; zero for an example whose clean input reaches the goal.
    pub effort: Vec<Effort>,
}

impl AttackResult {
    /// The share of clean inputs that are classified correctly (for an untargeted goal).
    pub fn clean_accuracy(&self) -> Proportion {
        Proportion::of(&self.clean)
    }

    /// The share of examples on which the attack failed.
    pub fn robust_accuracy(&self) -> Proportion {
        let robust: Vec<bool> = self.reached.iter().map(|r| !r).collect();
        Proportion::of(&robust)
    }
}

/// How the model classifies one input.
struct Outcome {
    clean: bool,
    reached: bool,
    margin: f64,
}

/// Classifies a batch in one forward pass without a graph.
fn classify(model: &dyn Classifier, x: &Tensor, goal: &Goal) -> Result<Vec<Outcome>> {
    let logits = host_logits(&logits(model, &x.detach())?)?;
    let labels = goal.labels().to_vec1::<u32>()?;
    let outcome = |((z, y), goal): ((Vec<f64>, u32), ExampleGoal)| {
        let margin = crate::loss::margin(&z, y as usize);
        let margin = if matches!(goal, ExampleGoal::Targeted(_)) { -margin } else { margin };
        Outcome { clean: crate::loss::arg_max(&z) == y as usize, reached: goal.reached(&z), margin }
    };
    Ok(logits.into_iter().zip(labels).zip(ExampleGoal::of(goal)?).map(outcome).collect())
}

pub(crate) fn check(model: &dyn Classifier, x: &Tensor, goal: &Goal) -> Result<()> {
    let (n, bounds) = (x.dims().first().copied().unwrap_or(0), model.bounds());
    if n == 0 || x.elem_count() == 0 {
        return Err(Error::shape("inputs", "(N, ...) with at least one example", x.dims()));
    }
    goals(goal, n, model.classes())?;
    // Some rows at a time: a check of all at once takes several times the memory of the inputs.
    let (row, at_once) = (x.elem_count() / n, 1 << 22);
    for at in (0..n).step_by((at_once / row).max(1)) {
        let part = x.narrow(0, at, (at_once / row).max(1).min(n - at))?;
        if require_finite("inputs", &part).is_err() {
            require_finite("inputs", x)?;
        }
        let outside = (part.lt(bounds.lo())? + part.gt(bounds.hi())?)?.flatten_all()?;
        if let Some(i) = outside.to_vec1::<u8>()?.iter().position(|o| *o != 0) {
            let v = part.flatten_all()?.get(i)?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
            let (i, lo, hi) = (at * row + i, bounds.lo(), bounds.hi());
            let reason = format!("{v} at flat index {i} is outside the model's box [{lo}, {hi}]");
            return Err(Error::value("inputs", reason));
        }
    }
    Ok(())
}

/// Attacks each example and measures the success of the attack.
///
/// Inputs outside the model's box are an error. The attack's output is projected onto the threat's ball and the
/// box, and success is measured on the projected input in one fresh forward pass. An example whose clean input
/// already reaches the goal is not attacked and keeps its clean input. The robust accuracy is therefore never above
/// the clean accuracy, and a radius of 0 gives the clean accuracy.
///
/// # Shapes
/// `x` (N, ...), labels (N,) of u32.
///
/// # Errors
/// The model has fewer than 2 classes; an input is not finite or lies outside the box (the error names the first such
/// element); a label is out of range; the model's logits are not (N, K), or not finite; the attack fails.
pub fn run(
    attack: &dyn Attack,
    model: &dyn Classifier,
    x: &Tensor,
    goal: &Goal,
    cfg: &RunConfig,
    rng: &Rng,
) -> Result<AttackResult> {
    check(model, x, goal)?;
    let (n, batch) = (x.dim(0)?, cfg.batch(x)?);
    let mut all: Option<AttackResult> = None;
    for at in (0..n).step_by(batch) {
        let rows: Vec<u32> = (at as u32..(at + batch).min(n) as u32).collect();
        let examples = rows.iter().map(|&i| cfg.first_example + u64::from(i)).collect();
        let x = x.narrow(0, at, rows.len())?.contiguous()?.detach();
        let part = run_batch(attack, model, &x, &goal.select(&rows)?, &ExampleRng::new(*rng, examples))?;
        all = Some(match all {
            None => part,
            Some(all) => all.append(part)?,
        });
    }
    all.ok_or_else(|| Error::shape("inputs", "at least one example", x.dims()))
}

impl AttackResult {
    fn append(mut self, next: Self) -> Result<Self> {
        self.adversarial = Tensor::cat(&[&self.adversarial, &next.adversarial], 0)?;
        self.clean.extend(next.clean);
        self.reached.extend(next.reached);
        self.distance.extend(next.distance);
        self.margin.extend(next.margin);
        self.effort.extend(next.effort);
        Ok(self)
    }
}

/// [`run`] on one batch whose inputs were checked. Only the examples whose clean input misses the goal are attacked.
pub(crate) fn run_batch(
    attack: &dyn Attack,
    model: &dyn Classifier,
    x: &Tensor,
    goal: &Goal,
    rng: &ExampleRng,
) -> Result<AttackResult> {
    let before = classify(model, x, goal)?;
    let open: Vec<u32> = before.iter().zip(0..).filter(|b| !b.0.reached).map(|b| b.1).collect();
    let mut out = AttackResult {
        adversarial: x.clone(),
        clean: before.iter().map(|b| b.clean).collect(),
        reached: before.iter().map(|b| b.reached).collect(),
        distance: vec![0.0; before.len()],
        margin: before.iter().map(|b| b.margin).collect(),
        effort: vec![Effort::default(); before.len()],
    };
    if open.is_empty() {
        return Ok(out);
    }
    let at = Tensor::new(open.as_slice(), x.device())?;
    let (part, goal) = (x.index_select(&at, 0)?, goal.select(&open)?);
    let examples = open.iter().map(|&i| rng.examples()[i as usize]).collect();
    let made = attack.perturb(model, &part, &goal, &rng.of_examples(examples))?;
    if made.effort.len() != open.len() {
        return Err(Error::shape("effort of the attack", format!("({},)", open.len()), &[made.effort.len()]));
    }
    let threat = attack.threat();
    let moved = geometry::project(&made.x.detach(), &part, threat, model.bounds())?;
    let after = classify(model, &moved, &goal)?;
    let distance = geometry::norms(&(&moved - &part)?, threat.norm())?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    for (j, &i) in open.iter().enumerate() {
        let i = i as usize;
        out.reached[i] = after[j].reached;
        out.distance[i] = distance[j];
        out.margin[i] = after[j].margin;
        out.effort[i] = made.effort[j];
    }
    let source: Vec<u32> = {
        let mut source: Vec<u32> = (0..before.len() as u32).collect();
        open.iter().zip(0..).for_each(|(&i, j)| source[i as usize] = before.len() as u32 + j);
        source
    };
    // The attacked rows are appended to the batch, and each example selects its row.
    let both = Tensor::cat(&[x, &moved], 0)?;
    out.adversarial = both.index_select(&Tensor::new(source, x.device())?, 0)?;
    Ok(out)
}
