//! The contract of classifiers, which is all that attacks and measurements use of a model.

use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};

/// The interval that every element of a valid input lies in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    lo: f64,
    hi: f64,
}

impl Bounds {
    /// [0, 1]: images as they are loaded.
    pub const UNIT: Self = Self { lo: 0.0, hi: 1.0 };

    /// The interval [lo, hi].
    ///
    /// # Errors
    /// [`Error::Config`] unless both are finite and `lo < hi`.
    pub fn new(lo: f64, hi: f64) -> Result<Self> {
        if lo.is_finite() && hi.is_finite() && lo < hi {
            return Ok(Self { lo, hi });
        }
        Err(Error::config("Bounds", format!("must be finite with lo < hi, got [{lo}, {hi}]")))
    }

    /// The lower end.
    pub fn lo(&self) -> f64 {
        self.lo
    }

    /// The upper end.
    pub fn hi(&self) -> f64 {
        self.hi
    }
}

/// A reason, known without a run of the model, not to trust the gradient at its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caveat {
    /// The place in the model, such as the operator and the node.
    pub place: String,
    /// What it does to the gradient.
    pub effect: Effect,
}

/// What a part of a model does to the gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is zero almost everywhere, although the outputs change: rounding, thresholds, quantisation.
    Masked,
    /// It differs from pass to pass.
    Random,
}

/// A model that gives one score per class.
pub trait Classifier {
    /// (N, ...) -> (N, K): the scores before any softmax, in evaluation mode, differentiable in `x`.
    ///
    /// Networks of this workspace keep their weights out of the graph here, so that an attack computes only the gradient to
    /// the input.
    ///
    /// # Errors
    /// An input whose shape does not fit.
    fn logits(&self, x: &Tensor) -> Result<Tensor>;

    /// The number of classes, K.
    fn classes(&self) -> usize;

    /// The interval of valid input elements, in the units of the data: normalisation is part of the model.
    fn bounds(&self) -> Bounds {
        Bounds::UNIT
    }

    /// The parts of the model that make its gradient untrustworthy, where the model knows them.
    fn caveats(&self) -> Vec<Caveat> {
        Vec::new()
    }
}

/// Refuses logits that are not (`inputs`, `classes`) numbers of a floating-point type: the one place that says what was asked of a
/// model and what it gave. It reads the shape alone, so it costs nothing.
///
/// # Errors
/// [`Error::Shape`], or [`Error::Value`] for another type.
pub fn require_logits(logits: &Tensor, inputs: usize, classes: usize) -> Result<()> {
    if logits.dims() != [inputs, classes] {
        let expected =
            format!("({inputs}, {classes}) for {inputs} inputs and {classes} classes, a row each and a column each");
        return Err(Error::shape("the logits that the model returned", expected, logits.dims()));
    }
    if !logits.dtype().is_float() {
        let reason = format!("must be floating-point numbers, got {:?}", logits.dtype());
        return Err(Error::value("the logits that the model returned", reason));
    }
    Ok(())
}

/// The logits of a model for a batch, of the shape that was asked for ([`require_logits`]). Everything that evaluates or attacks a
/// [`Classifier`] asks it through here.
///
/// # Shapes
/// `x` (N, ...) -> (N, K).
///
/// # Errors
/// Those of the model and of [`require_logits`].
pub fn logits(model: &dyn Classifier, x: &Tensor) -> Result<Tensor> {
    let logits = model.logits(x)?;
    require_logits(&logits, x.dim(0)?, model.classes())?;
    Ok(logits)
}

/// Logits on the host, a vector for each example, every one of them finite. The check looks at the values that are copied anyway.
///
/// # Shapes
/// (N, K).
///
/// # Errors
/// [`Error::NotFinite`] with the first offending row and class.
pub fn host_logits(logits: &Tensor) -> Result<Vec<Vec<f64>>> {
    let rows = logits.detach().to_dtype(DType::F64)?.to_device(&Device::Cpu)?.to_vec2::<f64>()?;
    for (i, row) in rows.iter().enumerate() {
        if let Some(k) = row.iter().position(|v| !v.is_finite()) {
            let reason = format!("{} for class {k} at row {i} of {:?}", row[k], logits.dims());
            return Err(Error::not_finite("the logits that the model returned", reason));
        }
    }
    Ok(rows)
}

/// The arg-max class of each input, in batches of `batch` rows, without a graph.
///
/// # Errors
/// Errors of the model; a batch of 0; logits of another shape than (N, K), or that are not finite.
pub fn predict(model: &dyn Classifier, x: &Tensor, batch: usize) -> Result<Vec<u32>> {
    let n = x.dim(0)?;
    if batch == 0 {
        return Err(Error::config("batch", "must be at least 1, got 0"));
    }
    let mut labels = Vec::with_capacity(n);
    for at in (0..n).step_by(batch) {
        let rows = host_logits(&logits(model, &x.detach().narrow(0, at, batch.min(n - at))?)?)?;
        // The first of several that are equal.
        let largest = |z: &Vec<f64>| (1..z.len()).fold(0, |best, k| if z[k] > z[best] { k } else { best }) as u32;
        labels.extend(rows.iter().map(largest));
    }
    Ok(labels)
}

/// Refuses a tensor with a NaN or an infinity.
///
/// # Errors
/// [`Error::NotFinite`] with the first offending flat index.
pub fn require_finite(what: &str, t: &Tensor) -> Result<()> {
    // The sum of absolute values is finite only if all elements are. It may overflow, so the elements are checked then.
    let sum = crate::ops::composed::sum_all(&t.detach().abs()?)?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
    if sum.is_finite() {
        return Ok(());
    }
    let flat = t.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    match flat.iter().position(|v| !v.is_finite()) {
        Some(i) => Err(Error::not_finite(what, format!("{} at flat index {i} of {:?}", flat[i], t.dims()))),
        None => Ok(()),
    }
}
