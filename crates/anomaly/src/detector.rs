//! The contract: fitting a method gives a detector, which scores examples.

use crate::{Conformal, Error, Result};
use candle_core::{Device, Tensor};
use sconce_tensor_core::Rng;
use sconce_tensor_core::store::{Fingerprint, Kept, State};
use sconce_tensor_core::table::Schema;
use sconce_tensor_core::train::Checkpoint;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Debug;
use std::path::Path;

/// The rows that a method is fitted on, and which of them are known anomalies.
#[derive(Clone, Copy, Debug)]
pub struct TrainingRows<'a> {
    /// (N, D).
    pub x: &'a Tensor,
    /// Whether each example is a known anomaly; the others are taken as normal. `None` if no anomaly is known.
    pub known: Option<&'a [bool]>,
    /// Where a method that trains a network keeps the state of its training, so that fitting goes on where it was interrupted.
    pub checkpoint: Option<&'a Checkpoint>,
}

impl<'a> TrainingRows<'a> {
    /// Examples, and for each whether it is a known anomaly.
    pub fn new(x: &'a Tensor, known: Option<&'a [bool]>) -> Self {
        Self { x, known, checkpoint: None }
    }

    /// Examples that are all taken as normal.
    pub fn normal(x: &'a Tensor) -> Self {
        Self::new(x, None)
    }

    /// The same with a checkpoint. Methods without a network ignore it and are fitted in one go.
    #[must_use]
    pub fn resuming(self, checkpoint: &'a Checkpoint) -> Self {
        Self { checkpoint: Some(checkpoint), ..self }
    }

    /// Other rows with the same checkpoint: what a method around another one hands on.
    #[must_use]
    pub fn with_rows<'b>(&self, x: &'b Tensor, known: Option<&'b [bool]>) -> TrainingRows<'b>
    where
        'a: 'b,
    {
        TrainingRows { x, known, checkpoint: self.checkpoint }
    }

    /// The examples that are not known to be anomalies.
    ///
    /// # Errors
    /// The numbers of labels and examples differ; all examples are anomalies.
    pub fn normals(&self) -> Result<Tensor> {
        let Some(known) = self.known else { return Ok(self.x.clone()) };
        if self.x.dims().first() != Some(&known.len()) {
            return Err(Error::shape(
                "examples",
                format!("({}, D), one row for each label", known.len()),
                self.x.dims(),
            ));
        }
        let at: Vec<u32> = (0..known.len() as u32).filter(|i| !known[*i as usize]).collect();
        if at.is_empty() {
            return Err(Error::value("labels", format!("all {} examples are anomalies", known.len())));
        }
        Ok(self.x.contiguous()?.index_select(&Tensor::new(at, self.x.device())?, 0)?)
    }
}

/// A method that has not been fitted yet.
pub trait Method: Debug + Send + Sync {
    /// Fits a detector. The result is a function of the examples, the configuration and `rng`.
    ///
    /// # Errors
    /// Examples that are not (N, D); a value that is not finite, with its row and column; too few examples for the method.
    fn fit(&self, train: &TrainingRows<'_>, rng: &Rng) -> Result<Box<dyn Detector>>;
}

impl<M: Method + ?Sized> Method for Box<M> {
    fn fit(&self, train: &TrainingRows<'_>, rng: &Rng) -> Result<Box<dyn Detector>> {
        (**self).fit(train, rng)
    }
}

/// A fitted detector. Scores are raw: a higher score is more anomalous, and decisions need a [`crate::Threshold`] or p-values.
pub trait Detector: Debug + Send + Sync {
    /// The method's name in files.
    fn name(&self) -> &'static str;

    /// How many features an example has.
    fn features(&self) -> usize;

    /// (N, D) -> (N,) in f64.
    ///
    /// # Errors
    /// The number of features differs from the training examples'; a value that is not finite, with its row and column.
    fn score(&self, x: &Tensor) -> Result<Tensor>;

    /// What each feature contributes to a score, (N, D) -> (N, D) in f64: the squared residual for detectors that reconstruct, the
    /// term of the sum for those that sum over features (for histograms above that of the likeliest bin), `(x - m)` times
    /// `C^+ (x - m)` for the Mahalanobis distance, the change of the mean depth for an isolation forest. A contribution of the last
    /// two may be negative. `None` for other detectors.
    ///
    /// # Errors
    /// As [`Detector::score`].
    fn contributions(&self, x: &Tensor) -> Result<Option<Tensor>> {
        let _ = x;
        Ok(None)
    }

    /// The columns of the table that examples are rows of; `None` where examples are plain features.
    fn schema(&self) -> Option<&Schema> {
        None
    }

    /// The scores of normal examples that were held out in fitting, if there are any.
    fn calibration(&self) -> Option<&Conformal> {
        None
    }

    /// The state that [`crate::load`] restores the detector from.
    ///
    /// # Errors
    /// candle's only.
    fn state(&self) -> Result<State>;
}

/// The state of a detector around another one: `values` makes its own values from those of the inner one.
pub(crate) fn around<V: Serialize>(inner: State, values: impl FnOnce(Value) -> V) -> Result<State> {
    let tensors = inner.tensors.into_iter().map(|(n, t)| (format!("inner.{n}"), t));
    State::new(&values(inner.values), tensors)
}

/// A [`State`] that was read from a file.
#[derive(Debug)]
pub struct Loaded {
    tensors: HashMap<String, Tensor>,
    values: Value,
    device: Device,
    resolve: Resolve,
}

/// Restores the detector of a name; the registry hands it in, so that a detector can hold another one without knowing all.
pub(crate) type Resolve = fn(&str, &Loaded) -> Result<Box<dyn Detector>>;

impl Loaded {
    /// The values of a tensor.
    ///
    /// # Errors
    /// A tensor that is missing.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>> {
        let t = self.tensors.get(name).ok_or_else(|| Error::value("detector", format!("no tensor `{name}`")))?;
        Ok(t.to_dtype(candle_core::DType::F64)?.flatten_all()?.to_vec1()?)
    }

    /// The device for networks.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// All tensors by name.
    pub fn tensors(&self) -> &HashMap<String, Tensor> {
        &self.tensors
    }

    /// The wrapped detector that [`around`] saved: its name, and its values.
    ///
    /// # Errors
    /// An unknown name; those of the wrapped detector.
    pub(crate) fn inner(&self, name: &str, values: Value) -> Result<Box<dyn Detector>> {
        let cut = |(n, t): (&String, &Tensor)| Some((n.strip_prefix("inner.")?.to_owned(), t.clone()));
        let tensors = self.tensors.iter().filter_map(cut).collect();
        let inner = Self { tensors, values, device: self.device.clone(), resolve: self.resolve };
        (self.resolve)(name, &inner)
    }

    /// The plain values.
    ///
    /// # Errors
    /// Values that are not of this type.
    pub fn values<T: for<'a> Deserialize<'a>>(&self) -> Result<T> {
        serde_json::from_value(self.values.clone()).map_err(|e| Error::value("detector", e.to_string()))
    }
}

/// What a file of a detector says that it is, besides the detector's name.
const KIND: &str = "detector";

/// Saves a detector to one file, whole or not at all.
///
/// # Errors
/// [`Error::Io`] with the path.
pub fn save(detector: &dyn Detector, path: &Path) -> Result<()> {
    Kept::new(Fingerprint::new().with(KIND, detector.name()), detector.state()?).save(path)
}

/// Reads what [`save`] wrote: the detector's name and its parts. `resolve` restores detectors inside of it.
pub(crate) fn read(path: &Path, device: &Device, resolve: Resolve) -> Result<(String, Loaded)> {
    let Kept { fingerprint, value } = Kept::<State>::open(path)?;
    let refuse = || Error::Checkpoint { path: path.to_owned(), reason: "not a saved detector".to_owned() };
    let name = fingerprint.text(KIND).ok_or_else(refuse)?.to_owned();
    let values = value.values.clone();
    Ok((name, Loaded { tensors: value.into_tensors(), values, device: device.clone(), resolve }))
}
