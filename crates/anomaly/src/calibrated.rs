//! Calibration: a detector with the scores of held-out normal examples.

use crate::detector::around;
use crate::protocol::random_split;
use crate::{Conformal, Detector, Error, Loaded, Method, Result, State, TrainingRows};
use candle_core::{Device, Tensor};
use sconce_tensor_core::Rng;
use sconce_tensor_core::error::require;
use sconce_tensor_core::table::Schema;
use serde::{Deserialize, Serialize};

/// A method that holds out a share of the normal examples and keeps their scores for thresholds and conformal p-values
/// ([`Detector::calibration`]). Detector and scores are saved in one file.
///
/// ```
/// use candle_core::{DType, Device};
/// use sconce_anomaly::{Calibrated, Mahalanobis, Method, TrainingRows};
/// use sconce_tensor_core::Rng;
/// let x = Rng::new(0).normal((100, 2), 0.0, 1.0, DType::F64, &Device::Cpu)?;
/// let fitted = Calibrated::new(Mahalanobis::default(), 0.2)?.fit(&TrainingRows::normal(&x), &Rng::new(1))?;
/// let p = fitted.calibration().map(|c| c.p_value(1e9)).transpose()?;
/// assert_eq!(p, Some(1.0 / 21.0));
/// # Ok::<(), sconce_anomaly::Error>(())
/// ```
#[derive(Debug)]
pub struct Calibrated<M> {
    method: M,
    share: f64,
}

impl<M: Method> Calibrated<M> {
    /// Fits `method` on all but a `share` in (0, 1) of the normal examples.
    ///
    /// # Errors
    /// [`Error::Config`] for a share out of range.
    pub fn new(method: M, share: f64) -> Result<Self> {
        require("Calibrated.share", share > 0.0 && share < 1.0, "in (0, 1)", share)?;
        Ok(Self { method, share })
    }
}

#[derive(Debug)]
struct Fitted {
    inner: Box<dyn Detector>,
    held_out: Conformal,
}

#[derive(Serialize, Deserialize)]
struct Values {
    inner: String,
    values: serde_json::Value,
}

impl<M: Method> Method for Calibrated<M> {
    fn fit(&self, train: &TrainingRows<'_>, rng: &Rng) -> Result<Box<dyn Detector>> {
        // Checks the labels.
        train.normals()?;
        let n = train.x.dim(0)?;
        let known = train.known.map_or_else(|| vec![false; n], <[bool]>::to_vec);
        let normals: Vec<u32> = (0..n as u32).filter(|i| !known[*i as usize]).collect();
        let (held, training) = random_split(normals.len(), self.share, &rng.stream("calibration"))?;
        if held.is_empty() || training.is_empty() {
            let reason = format!("{} normal examples, of which a share of {} is held out", normals.len(), self.share);
            return Err(Error::value("examples", reason));
        }
        let row = |at: &u32| normals[*at as usize];
        let held: Vec<u32> = held.iter().map(row).collect();
        let mut training: Vec<u32> = training.iter().map(row).collect();
        training.extend((0..n as u32).filter(|i| known[*i as usize]));
        training.sort_unstable();
        let part = |rows: &[u32]| -> Result<Tensor> {
            Ok(train.x.contiguous()?.index_select(&Tensor::new(rows, train.x.device())?, 0)?)
        };
        let labels: Vec<bool> = training.iter().map(|i| known[*i as usize]).collect();
        let inner = self.method.fit(&train.with_rows(&part(&training)?, Some(&labels)), rng)?;
        let held_out = Conformal::new(&inner.score(&part(&held)?)?.to_vec1::<f64>()?)?;
        Ok(Box::new(Fitted { inner, held_out }))
    }
}

pub(crate) fn restore(from: &Loaded) -> Result<Box<dyn Detector>> {
    let Values { inner, values } = from.values()?;
    let held_out = Conformal::new(&from.numbers("held_out")?)?;
    Ok(Box::new(Fitted { inner: from.inner(&inner, values)?, held_out }))
}

impl Detector for Fitted {
    fn name(&self) -> &'static str {
        "calibrated"
    }

    fn features(&self) -> usize {
        self.inner.features()
    }

    fn score(&self, x: &Tensor) -> Result<Tensor> {
        self.inner.score(x)
    }

    fn contributions(&self, x: &Tensor) -> Result<Option<Tensor>> {
        self.inner.contributions(x)
    }

    fn schema(&self) -> Option<&Schema> {
        self.inner.schema()
    }

    fn calibration(&self) -> Option<&Conformal> {
        Some(&self.held_out)
    }

    fn state(&self) -> Result<State> {
        let mut state = around(self.inner.state()?, |values| Values { inner: self.inner.name().to_owned(), values })?;
        let scores = Tensor::new(self.held_out.scores(), &Device::Cpu)?;
        state.tensors.push(("held_out".to_owned(), scores));
        Ok(state)
    }
}
