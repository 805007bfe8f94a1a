//! Preprocessing that is saved with the detector: feature scaling.

use crate::detector::around;
use crate::rows::{Rows, in_blocks};
use crate::{Conformal, Detector, Error, Loaded, Method, Result, State, TrainingRows};
use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::Rng;
use serde::{Deserialize, Serialize};

/// How each feature is scaled; statistics are those of the training examples that are not known anomalies. A constant feature
/// is only shifted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// Mean 0 and standard deviation 1 (over n).
    #[default]
    Standard,
    /// The smallest value becomes 0, the largest 1; new values may lie outside [0, 1].
    MinMax,
}

/// A method on scaled features; the scale is saved with the detector.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use sconce_anomaly::{Knn, KnnConfig, Method, Scale, Scaled, TrainingRows};
/// use sconce_tensor_core::Rng;
/// // The second feature's unit is a thousandth of the first's.
/// let x = Tensor::new(&[[0f64, 0.0], [1.0, 1000.0], [2.0, 3000.0], [3.0, 2000.0]], &Device::Cpu)?;
/// let knn = Knn::new(KnnConfig { neighbours: 1, ..Default::default() })?;
/// let fitted = Scaled::new(knn, Scale::Standard).fit(&TrainingRows::normal(&x), &Rng::new(0))?;
/// let scores = fitted.score(&Tensor::new(&[[9f64, 1000.0], [1.0, 1009.0]], &Device::Cpu)?)?.to_vec1::<f64>()?;
/// assert!(scores[0] > 100.0 * scores[1]);
/// # Ok::<(), sconce_anomaly::Error>(())
/// ```
#[derive(Debug)]
pub struct Scaled<M> {
    method: M,
    scale: Scale,
}

impl<M: Method> Scaled<M> {
    /// `method` on features scaled by `scale`.
    pub fn new(method: M, scale: Scale) -> Self {
        Self { method, scale }
    }
}

#[derive(Debug)]
struct Fitted {
    map: Map,
    inner: Box<dyn Detector>,
}

/// `(x - shift) / width`, feature by feature.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Map {
    shift: Vec<f64>,
    width: Vec<f64>,
}

#[derive(Serialize, Deserialize)]
struct Values {
    map: Map,
    inner: String,
    values: serde_json::Value,
}

impl Map {
    fn of(columns: &[Vec<f64>], scale: Scale) -> Self {
        let each = columns.iter().map(|c| {
            let n = c.len() as f64;
            let (shift, width) = match scale {
                Scale::Standard => {
                    let mean = c.iter().sum::<f64>() / n;
                    (mean, (c.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt())
                }
                Scale::MinMax => {
                    let lo = c.iter().copied().fold(f64::INFINITY, f64::min);
                    (lo, c.iter().copied().fold(f64::NEG_INFINITY, f64::max) - lo)
                }
            };
            // A spread at the level of rounding errors counts as constant.
            (shift, if width > 1e-12 * shift.abs() { width } else { 1.0 })
        });
        let (shift, width) = each.unzip();
        Self { shift, width }
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let d = self.shift.len();
        let row = |v: &[f64]| Tensor::from_slice(v, (1, d), &Device::Cpu)?.to_device(x.device());
        let wide = x.to_dtype(DType::F64)?;
        Ok(wide.broadcast_sub(&row(&self.shift)?)?.broadcast_div(&row(&self.width)?)?)
    }
}

impl<M: Method> Method for Scaled<M> {
    fn fit(&self, train: &TrainingRows<'_>, rng: &Rng) -> Result<Box<dyn Detector>> {
        let map = Map::of(&Rows::columns(&train.normals()?)?, self.scale);
        Rows::check(train.x, map.shift.len())?;
        let x = map.apply(train.x)?;
        let inner = self.method.fit(&train.with_rows(&x, train.known), rng)?;
        Ok(Box::new(Fitted { map, inner }))
    }
}

pub(crate) fn restore(from: &Loaded) -> Result<Box<dyn Detector>> {
    let Values { map, inner, values } = from.values()?;
    let inner = from.inner(&inner, values)?;
    if map.shift.len() != inner.features() || map.width.len() != inner.features() {
        return Err(Error::value("detector", "the scale does not match the features of the wrapped detector"));
    }
    Ok(Box::new(Fitted { map, inner }))
}

impl Detector for Fitted {
    fn name(&self) -> &'static str {
        "scaled"
    }

    fn features(&self) -> usize {
        self.inner.features()
    }

    fn score(&self, x: &Tensor) -> Result<Tensor> {
        Rows::check(x, self.features())?;
        in_blocks(x, |x, _| self.inner.score(&self.map.apply(x)?))
    }

    fn contributions(&self, x: &Tensor) -> Result<Option<Tensor>> {
        Rows::check(x, self.features())?;
        self.inner.contributions(&self.map.apply(x)?)
    }

    fn calibration(&self) -> Option<&Conformal> {
        self.inner.calibration()
    }

    fn state(&self) -> Result<State> {
        around(self.inner.state()?, |values| Values {
            map: self.map.clone(),
            inner: self.inner.name().to_owned(),
            values,
        })
    }
}
