//! Pretext losses and accuracies on held-out images.

use super::PretextNet;
use crate::Result;
use crate::pretext::Mixture;
use crate::transforms::Images;
use sconce_tensor_core::candle_core::{D, DType, Tensor};
use sconce_tensor_core::{ExampleRng, Mode, Rng, ops};

/// Images in a batch.
const BATCH: usize = 250;

/// How many rows of logits have their largest value at the label.
pub(super) fn hits(logits: &Tensor, labels: &Tensor) -> Result<usize> {
    let found = logits.detach().argmax(D::Minus1)?.to_vec1::<u32>()?;
    Ok(found.iter().zip(labels.to_vec1::<u32>()?).filter(|(a, b)| **a == *b).count())
}

impl PretextNet<'_> {
    /// The mean loss and the accuracy of each task on some images in evaluation mode, as `loss.<task>` and `accuracy.<task>`. Each image is
    /// mixed once, keyed by `rng` and its index.
    ///
    /// # Errors
    /// Those of [`Mixture::batch`] and of the trunk.
    pub fn evaluate(&self, mixture: &Mixture, images: &Images, rng: &Rng) -> Result<Vec<(String, f64)>> {
        let (dtype, device) = self.place();
        let names: Vec<&str> = self.tasks().collect();
        let mut sums = vec![(0.0, 0usize, 0usize); names.len()];
        let all: Vec<usize> = (0..images.len()).collect();
        for part in all.chunks(BATCH) {
            let keys = ExampleRng::new(*rng, part.iter().map(|i| *i as u64).collect());
            let batch = mixture.batch(images, part, &keys, dtype, device)?;
            let z = self.representation(&batch.x, Mode::Frozen)?;
            for (t, (labels, sum)) in batch.labels.iter().zip(&mut sums).enumerate() {
                let logits = self.logits(t, &z, Mode::Frozen)?;
                let loss = ops::cross_entropy(&logits, labels)?.to_dtype(DType::F64)?.sum_all()?;
                sum.0 += loss.to_scalar::<f64>()?;
                sum.1 += hits(&logits, labels)?;
                sum.2 += labels.elem_count();
            }
        }
        let mean = |what: &str, of: fn(&(f64, usize, usize)) -> f64| -> Vec<(String, f64)> {
            names.iter().zip(&sums).map(|(n, s)| (format!("{what}.{n}"), of(s) / s.2 as f64)).collect()
        };
        Ok([mean("loss", |s| s.0), mean("accuracy", |s| s.1 as f64)].concat())
    }
}
