//! The contract: a method is fitted, the detector that comes of it scores.

use crate::{Conformal, Error, Result};
use candle_core::{Device, Tensor};
use sconce_tensor_core::table::Schema;
use sconce_tensor_core::{Params, Rng, store};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Debug;
use std::path::Path;

/// What a method learns from: examples, and which of them are known to be anomalies.
#[derive(Clone, Copy, Debug)]
pub struct Training<'a> {
    /// (N, D).
    pub x: &'a Tensor,
    /// For each example whether it is a known anomaly; the others are taken as normal. `None`: none is known.
    pub known: Option<&'a [bool]>,
}

impl<'a> Training<'a> {
    /// Examples that are all taken as normal.
    pub fn normal(x: &'a Tensor) -> Self {
        Self { x, known: None }
    }

    /// The examples that are not known to be anomalies.
    ///
    /// # Errors
    /// Another number of labels than of examples; nothing but anomalies.
    pub fn normals(&self) -> Result<Tensor> {
        let Some(known) = self.known else { return Ok(self.x.clone()) };
        if self.x.dims().first() != Some(&known.len()) {
            return Err(Error::shape(
                "examples",
                format!("({}, D), to go with the labels", known.len()),
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

/// A method before it has seen data.
pub trait Method: Debug + Send + Sync {
    /// Learns from examples. The result is a function of these, the configuration and `rng`.
    ///
    /// # Errors
    /// Examples that are not (N, D), values that are not finite with row and column, too few examples for the method.
    fn fit(&self, train: &Training<'_>, rng: &Rng) -> Result<Box<dyn Detector>>;
}

impl<M: Method + ?Sized> Method for Box<M> {
    fn fit(&self, train: &Training<'_>, rng: &Rng) -> Result<Box<dyn Detector>> {
        (**self).fit(train, rng)
    }
}

/// A fitted detector. Scores are raw and need a threshold: higher is stranger.
pub trait Detector: Debug + Send + Sync {
    /// The method's name in files.
    fn name(&self) -> &'static str;

    /// How many features an example has.
    fn features(&self) -> usize;

    /// (N, D) -> (N,) in f64.
    ///
    /// # Errors
    /// Another number of features than it was fitted on, values that are not finite with row and column.
    fn score(&self, x: &Tensor) -> Result<Tensor>;

    /// For a detector that reconstructs: the square of each feature's residual, (N, D) -> (N, D) in f64. `None` for others.
    ///
    /// # Errors
    /// As [`Detector::score`].
    fn contributions(&self, x: &Tensor) -> Result<Option<Tensor>> {
        let _ = x;
        Ok(None)
    }

    /// The table that examples are rows of; `None` where they are plain features.
    fn schema(&self) -> Option<&Schema> {
        None
    }

    /// The scores of normal examples that were held out in fitting, if any were.
    fn calibration(&self) -> Option<&Conformal> {
        None
    }

    /// All that [`load`] needs.
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

/// What was read back of a [`State`].
#[derive(Debug)]
pub struct Loaded {
    tensors: HashMap<String, Tensor>,
    values: Value,
    device: Device,
}

impl Loaded {
    /// A tensor as plain numbers.
    ///
    /// # Errors
    /// A name that is missing.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>> {
        let t = self.tensors.get(name).ok_or_else(|| Error::value("detector", format!("no tensor `{name}`")))?;
        Ok(t.to_dtype(candle_core::DType::F64)?.flatten_all()?.to_vec1()?)
    }

    /// Where networks are to live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// All tensors by name.
    pub fn tensors(&self) -> &HashMap<String, Tensor> {
        &self.tensors
    }

    /// The tensors whose names start with a prefix, without it, with other values.
    pub(crate) fn under(&self, prefix: &str, values: Value) -> Self {
        let cut = |(n, t): (&String, &Tensor)| Some((n.strip_prefix(prefix)?.to_owned(), t.clone()));
        Self { tensors: self.tensors.iter().filter_map(cut).collect(), values, device: self.device.clone() }
    }

    /// The plain values.
    ///
    /// # Errors
    /// Values of another type.
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

/// Loads what [`save`] wrote, whichever detector it is, to the CPU.
///
/// # Errors
/// As [`load_to`].
pub fn load(path: &Path) -> Result<Box<dyn Detector>> {
    load_to(path, &Device::Cpu)
}

/// Loads what [`save`] wrote; networks live on `device`, whichever one they were fitted on. Detectors without a network work on
/// the host.
///
/// # Errors
/// [`Error::Io`]; [`Error::Checkpoint`] with the path where the file is broken or of a detector that this build lacks.
pub fn load_to(path: &Path, device: &Device) -> Result<Box<dyn Detector>> {
    let refuse = |reason: String| Error::Checkpoint { path: path.to_owned(), reason };
    let (tensors, meta) = store::load(path, &Device::Cpu)?;
    let meta: Meta = serde_json::from_str(&meta).map_err(|e| refuse(format!("no detector: {e}")))?;
    if meta.format != 1 {
        return Err(refuse(format!("detector format {}, this build reads 1", meta.format)));
    }
    let loaded = Loaded { tensors, values: meta.values, device: device.clone() };
    restore(&meta.detector, &loaded).map_err(|e| refuse(e.to_string()))
}

/// The detector of a name from its parts.
pub(crate) fn restore(name: &str, from: &Loaded) -> Result<Box<dyn Detector>> {
    match name {
        "scaled" => return crate::scaled::restore(from),
        "encoded" => return crate::encoded::restore(from),
        "calibrated" => return crate::calibrated::restore(from),
        _ => {}
    }
    let known = crate::classic::restore(name, from).or_else(|| crate::neural::restore(name, from));
    known.unwrap_or_else(|| Err(Error::value("detector", format!("no detector `{name}` in this build"))))
}
