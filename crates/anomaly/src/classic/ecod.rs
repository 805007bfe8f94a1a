//! ECOD: empirical cumulative distributions.

use super::tails::{Tail, TailSum};
use crate::{Detector, Loaded, Method, Result, TrainingRows};
use sconce_tensor_core::Rng;

/// The score is the sum over features of the largest of three `-log` tail probabilities: left, right, and the tail on the side
/// of the feature's skewness. The method has no parameters and treats features independently.
///
/// The tail probability of a new example is its share among the training values, at least that of one value. In PyOD the scores
/// of new examples also depend on the other examples in the same call.
///
/// Source: Li, Zhao, Hu, Botta, Ionescu, Chen (arXiv 2201.00382).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use sconce_anomaly::{Ecod, Method, TrainingRows};
/// use sconce_tensor_core::Rng;
/// let x = Tensor::new(&[[0f64, 1.0], [1.0, 2.0], [2.0, 0.0], [9.0, -9.0]], &Device::Cpu)?;
/// let scores = Ecod.fit(&TrainingRows::normal(&x), &Rng::new(0))?.score(&x)?.to_vec1::<f64>()?;
/// assert!(scores[..3].iter().all(|s| *s < scores[3]));
/// # Ok::<(), sconce_anomaly::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Ecod;

const NAME: &str = "ecod";

fn share(t: &Tail) -> f64 {
    t.left.max(t.right).max(t.skewed())
}

impl Method for Ecod {
    fn fit(&self, train: &TrainingRows<'_>, _: &Rng) -> Result<Box<dyn Detector>> {
        TailSum::fit(NAME, share, train)
    }
}

pub(crate) fn restore(from: &Loaded) -> Result<Box<dyn Detector>> {
    TailSum::restore(NAME, share, from)
}
