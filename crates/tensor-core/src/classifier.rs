//! The contract of classifiers, which is all that attacks and measurements use of a model.

use crate::{Error, Result};
use candle_core::{D, Tensor};

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
}

/// The arg-max class of each input, in batches of `batch` rows, without a graph.
///
/// # Errors
/// Errors of the model; a batch of 0; [`Error::Value`] for logits that are not finite.
pub fn predict(model: &dyn Classifier, x: &Tensor, batch: usize) -> Result<Vec<u32>> {
    let n = x.dim(0)?;
    if batch == 0 {
        return Err(Error::config("batch", "must be at least 1, got 0"));
    }
    let mut labels = Vec::with_capacity(n);
    for at in (0..n).step_by(batch) {
        let logits = model.logits(&x.detach().narrow(0, at, batch.min(n - at))?)?;
        require_finite("logits", &logits)?;
        labels.extend(logits.argmax(D::Minus1)?.to_vec1::<u32>()?);
    }
    Ok(labels)
}

/// Refuses a tensor with a NaN or an infinity.
///
/// # Errors
/// [`Error::NotFinite`] with the first offending flat index.
pub fn require_finite(what: &str, t: &Tensor) -> Result<()> {
    // The sum of absolute values is finite only if all elements are. It may overflow, so the elements are checked then.
    let sum = t.detach().abs()?.sum_all()?.to_dtype(candle_core::DType::F64)?.to_scalar::<f64>()?;
    if sum.is_finite() {
        return Ok(());
    }
    let flat = t.flatten_all()?.to_dtype(candle_core::DType::F64)?.to_vec1::<f64>()?;
    match flat.iter().position(|v| !v.is_finite()) {
        Some(i) => Err(Error::not_finite(what, format!("{} at flat index {i} of {:?}", flat[i], t.dims()))),
        None => Ok(()),
    }
}
