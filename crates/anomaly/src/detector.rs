//! The contract: fitting a method gives a detector, which scores examples.

use crate::{Conformal, Error, Result};
use candle_core::{Device, Tensor};
use sconce_tensor_core::table::Schema;
use sconce_tensor_core::{Params, Rng, store};
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
}

impl<'a> TrainingRows<'a> {
    /// Examples that are all taken as normal.
    pub fn normal(x: &'a Tensor) -> Self {
        Self { x, known: None }
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

    /// The squared residual of each feature, (N, D) -> (N, D) in f64, for detectors that reconstruct; `None` for other
    /// detectors.
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

/// A detector as tensors and plain values.
#[derive(Clone, Debug)]
pub struct State {
    /// By name, in order.
    pub tensors: Vec<(String, Tensor)>,
    /// Configuration and small values.
    pub values: Value,
}

impl State {
    /// A state of values alone, to be given tensors.
    ///
    /// # Errors
    /// Values that are no JSON.
    pub fn new(values: &impl Serialize, tensors: Vec<(&'static str, Tensor)>) -> Result<Self> {
        let values = serde_json::to_value(values).map_err(|e| Error::value("detector state", e.to_string()))?;
        Ok(Self { tensors: tensors.into_iter().map(|(n, t)| (n.to_owned(), t)).collect(), values })
    }

    /// The state of a detector that stands around the one of this state: `values` makes its own from this one's.
    pub(crate) fn inside<V: Serialize>(self, values: impl FnOnce(Value) -> V) -> Result<Self> {
        let tensors = self.tensors.into_iter().map(|(n, t)| (format!("inner.{n}"), t)).collect();
        Ok(Self { tensors, ..Self::new(&values(self.values), Vec::new())? })
    }

    /// A state of values and a network's parameters.
    ///
    /// # Errors
    /// Values that are no JSON; candle's.
    pub fn of(values: &impl Serialize, params: &Params) -> Result<Self> {
        Ok(Self { tensors: params.snapshot()?, ..Self::new(values, Vec::new())? })
    }
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

    /// The wrapped detector that [`State::inside`] saved: its name, and its values.
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

#[derive(Serialize, Deserialize)]
struct Meta {
    format: u32,
    detector: String,
    values: Value,
}

/// Saves a detector to one safetensors file, whole or not at all.
///
/// # Errors
/// [`Error::Io`] with the path.
pub fn save(detector: &dyn Detector, path: &Path) -> Result<()> {
    let state = detector.state()?;
    let meta = Meta { format: 1, detector: detector.name().to_owned(), values: state.values };
    let meta = serde_json::to_string(&meta).map_err(|e| Error::value("detector", e.to_string()))?;
    store::save(path, state.tensors.iter().map(|(n, t)| (n.as_str(), t.clone())), &meta)
}

/// Reads what [`save`] wrote: the detector's name and its parts. `resolve` restores detectors inside of it.
pub(crate) fn read(path: &Path, device: &Device, resolve: Resolve) -> Result<(String, Loaded)> {
    let refuse = |reason: String| Error::Checkpoint { path: path.to_owned(), reason };
    let (tensors, meta) = store::load(path, &Device::Cpu)?;
    let meta: Meta = serde_json::from_str(&meta).map_err(|e| refuse(format!("not a saved detector: {e}")))?;
    if meta.format != 1 {
        return Err(refuse(format!("the file has detector format {}, this build reads format 1", meta.format)));
    }
    Ok((meta.detector, Loaded { tensors, values: meta.values, device: device.clone(), resolve }))
}
