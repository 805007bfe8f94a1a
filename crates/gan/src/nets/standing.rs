//! Statistics of batch norm for sampling.

use super::{Generator, Pass};
use crate::{Error, Result};
use sconce_tensor_core::candle_core::Tensor;
use sconce_tensor_core::{ExampleRng, Rng};

/// Takes the standing statistics of a generator (Brock et al. 2019, arXiv 1809.11096): means of the statistics of some batches. The
/// trainer takes 16 (chosen by us). `batches` holds the labels of each batch: draw them as training did, in batches of the same
/// size. The noise is keyed by batch and place.
///
/// Averaged weights need their own statistics: call this after the weights are in place. A generator without batch norm ignores it.
///
/// # Errors
/// [`Error::Config`] for no batches; the generator's.
pub fn standing_statistics(g: &dyn Generator, batches: &[Vec<u32>], rng: &Rng) -> Result<()> {
    if batches.is_empty() {
        return Err(Error::config("standing_statistics.batches", "must have at least one batch"));
    }
    for (k, labels) in batches.iter().enumerate() {
        let (z, y) =
            inputs(g, labels, ExampleRng::new(rng.stream("standing").stream(&k.to_string()), keys(labels.len())))?;
        g.generate(&z, &y, Pass::Collect(k + 1))?;
    }
    Ok(())
}

/// Keys 0..n.
pub(crate) fn keys(n: usize) -> Vec<u64> {
    (0..n as u64).collect()
}

/// Noise and labels of a batch, in the type and on the device of the generator.
pub(crate) fn inputs(g: &dyn Generator, labels: &[u32], rng: ExampleRng) -> Result<(Tensor, Tensor)> {
    let Some(p) = g.params().iter().next() else {
        return Err(Error::config("Generator.params", "must not be empty"));
    };
    let (dtype, device) = (p.var().dtype(), p.var().device());
    Ok((rng.normal(&[g.noise()], dtype, device)?, Tensor::from_slice(labels, labels.len(), device)?))
}
