//! Helpers of the tests that cross crates; see `tests/` for the tests and `golden/` for values and the
//! script that made them.

mod adversaries;
pub mod grid;
pub mod oracle;

pub use adversaries::Adversaries;

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;
use std::path::PathBuf;

/// A file of golden values.
pub fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

/// Golden tensors by name.
pub struct Golden(HashMap<String, Tensor>);

impl Golden {
    /// Reads a file under `golden/`.
    ///
    /// # Errors
    /// A file that is missing or broken.
    pub fn load(name: &str) -> Result<Self> {
        Ok(Self(candle_core::safetensors::load(golden(name), &Device::Cpu).context(name.to_owned())?))
    }

    /// The tensor of a name.
    ///
    /// # Errors
    /// A name that is not there.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        self.0.get(name).with_context(|| format!("no golden value `{name}`"))
    }

    /// Whether there is such a tensor.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The tensors whose names start with a prefix, without it.
    pub fn under(&self, prefix: &str) -> HashMap<String, Tensor> {
        let found = self.0.iter().filter_map(|(k, v)| Some((k.strip_prefix(prefix)?.to_owned(), v.clone())));
        found.collect()
    }
}

/// The largest difference over the largest golden value (or over 1 where that is smaller).
///
/// # Errors
/// Shapes that differ.
pub fn deviation(ours: &Tensor, golden: &Tensor) -> Result<f64> {
    anyhow::ensure!(ours.dims() == golden.dims(), "shapes {:?} and {:?}", ours.dims(), golden.dims());
    let wide = |t: &Tensor| t.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let (a, b) = (wide(ours)?, wide(golden)?);
    anyhow::ensure!(a.iter().all(|v| v.is_finite()), "not finite");
    let scale = b.iter().fold(1f64, |m, v| m.max(v.abs()));
    Ok(a.iter().zip(&b).fold(0f64, |m, (a, b)| m.max((a - b).abs())) / scale)
}

/// The README's example, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
