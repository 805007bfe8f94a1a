//! Labelled samples of the target's classes.

use crate::Result;
use crate::nets::standing::inputs;
use crate::nets::{Generator, Pass, to_unit};
use sconce_tensor_core::candle_core::Tensor;
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::{ExampleRng, Rng, error::require};

/// Configuration of [`sample`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `classes` | 10 | samples are of the classes `0..classes` | >= 1, those of the generator at most |
/// | `per_class` | 100 | samples of each class | >= 1 |
/// | `batch` | 250 | samples generated at once; the result does not depend on it | >= 1 |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleConfig {
    /// Samples are of the classes `0..classes`.
    pub classes: usize,
    /// Samples of each class.
    pub per_class: usize,
    /// Samples generated at once.
    pub batch: usize,
}

impl Default for SampleConfig {
    fn default() -> Self {
        Self { classes: 10, per_class: 100, batch: 250 }
    }
}

/// Generated examples with the labels that they were conditioned on, equally many of each class: example i is of class `i mod classes`.
/// Noise is keyed by i. Generators with a range of [-1, 1] give images in [0, 1], others what they generate.
///
/// # Errors
/// [`crate::Error::Config`] naming the field; [`crate::Error::Value`] where the generator has no standing statistics.
pub fn sample(g: &dyn Generator, cfg: SampleConfig, rng: &Rng) -> Result<Labelled> {
    let (mut parts, mut labels) = (Vec::new(), Vec::new());
    sample_batches(g, cfg, rng, |x, y| {
        parts.push(x.clone());
        labels.extend_from_slice(y);
        Ok(())
    })?;
    Labelled::new(Tensor::cat(&parts, 0)?, &labels, cfg.classes)
}

/// The examples of [`sample`] batch by batch, with their labels, for more than fit in memory.
///
/// # Errors
/// As [`sample`]; those of `visit`.
pub fn sample_batches(
    g: &dyn Generator,
    cfg: SampleConfig,
    rng: &Rng,
    mut visit: impl FnMut(&Tensor, &[u32]) -> Result<()>,
) -> Result<()> {
    let SampleConfig { classes, per_class, batch } = cfg;
    let most = format!("in 1..={}", g.classes());
    require("SampleConfig.classes", (1..=g.classes()).contains(&classes), &most, classes)?;
    require("SampleConfig.per_class", per_class >= 1, "at least 1", per_class)?;
    require("SampleConfig.batch", batch >= 1, "at least 1", batch)?;
    let signed = g.range().is_some_and(|r| (r.lo(), r.hi()) == (-1.0, 1.0));
    let all = classes * per_class;
    for first in (0..all).step_by(batch) {
        let keys = first..(first + batch).min(all);
        let labels: Vec<u32> = keys.clone().map(|i| (i % classes) as u32).collect();
        let keys = keys.map(|i| i as u64).collect();
        let (z, y) = inputs(g, &labels, ExampleRng::new(rng.stream("sample"), keys))?;
        let x = g.generate(&z, &y, Pass::Sample)?.detach();
        visit(&if signed { to_unit(&x)? } else { x }, &labels)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::nets::{DcganGenerator, GeneratorConfig, standing_statistics};
    use sconce_tensor_core::candle_core::{DType, Device};

    /// Batches come in order, the last one smaller; an error of the visitor ends them.
    #[test]
    fn batches_are_visited_in_order() {
        let cfg = GeneratorConfig { side: 8, classes: 3, width: 2, ..GeneratorConfig::default() };
        let g = DcganGenerator::new(cfg, Rng::new(0), DType::F32, &Device::Cpu).unwrap();
        standing_statistics(&g, &[vec![0, 1, 2, 0]], &Rng::new(1)).unwrap();
        let cfg = SampleConfig { classes: 3, per_class: 3, batch: 4 };
        let mut seen = Vec::new();
        sample_batches(&g, cfg, &Rng::new(2), |x, y| {
            seen.push((x.dim(0)?, y.to_vec()));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [(4, vec![0, 1, 2, 0]), (4, vec![1, 2, 0, 1]), (1, vec![2])]);
        let mut calls = 0;
        let stop = sample_batches(&g, cfg, &Rng::new(2), |_, _| {
            calls += 1;
            Err(Error::value("disk", "is full"))
        });
        assert!(stop.unwrap_err().to_string().contains("is full") && calls == 1);
    }
}
