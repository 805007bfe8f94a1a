//! First values and inputs, handed to the peer as one file of numbers and one of names.

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::{Params, Rng};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Named tensors for the peer.
pub struct Exchange {
    /// Where our own copies live.
    pub device: Device,
    /// The folder that both sides read.
    pub dir: PathBuf,
    keep: bool,
    tensors: Vec<(String, Tensor)>,
}

impl Exchange {
    /// With `keep`, what is put is kept, to be written.
    pub fn new(device: &Device, dir: &Path, keep: bool) -> Self {
        Self { device: device.clone(), dir: dir.to_path_buf(), keep, tensors: Vec::new() }
    }

    /// Whether what is put is kept: then nothing is run.
    pub fn kept(&self) -> bool {
        self.keep
    }

    /// Hands over a tensor as it is now.
    pub fn put(&mut self, name: &str, t: &Tensor) -> Result<()> {
        if self.keep {
            self.tensors.push((name.to_owned(), t.copy()?));
        }
        Ok(())
    }

    /// Hands over all parameters.
    pub fn put_params(&mut self, prefix: &str, params: &Params) -> Result<()> {
        params.iter().try_for_each(|p| self.put(&format!("{prefix}{}", p.name()), &p.var().as_detached_tensor()))
    }

    /// Normals of a seed that is the name's.
    pub fn normal(&mut self, name: &str, shape: &[usize], std: f64) -> Result<Tensor> {
        let t = Rng::new(1).stream(name).normal(shape, 0.0, std, DType::F32, &self.device)?;
        self.put(name, &t)?;
        Ok(t)
    }

    /// Uniforms in [0, 1).
    pub fn images(&mut self, shape: &[usize]) -> Result<Tensor> {
        let t = Rng::new(1).stream("x").uniform(shape, 0.0..1.0, DType::F32, &self.device)?;
        self.put("x", &t)?;
        Ok(t)
    }

    /// Labels below `classes`.
    pub fn labels(&mut self, name: &str, n: usize, classes: u64) -> Result<Tensor> {
        let labels = Rng::new(1).stream(name).below(n, classes).into_iter().map(|v| v as u32);
        let t = Tensor::from_iter(labels, &self.device)?;
        self.put(name, &t)?;
        Ok(t)
    }

    pub fn write(self) -> Result<()> {
        let (mut bytes, mut index) = (Vec::new(), Vec::new());
        for (name, t) in &self.tensors {
            let kind = if t.dtype() == DType::U32 { "u32" } else { "f32" };
            index.push(serde_json::json!({ "name": name, "shape": t.dims(), "kind": kind, "at": bytes.len() }));
            let flat = t.flatten_all()?;
            if kind == "u32" {
                flat.to_vec1::<u32>()?.iter().for_each(|v| bytes.extend(v.to_le_bytes()));
            } else {
                flat.to_vec1::<f32>()?.iter().for_each(|v| bytes.extend(v.to_le_bytes()));
            }
        }
        std::fs::write(self.dir.join("tensors.bin"), bytes)?;
        std::fs::write(self.dir.join("tensors.json"), serde_json::to_vec(&index)?)?;
        Ok(())
    }
}

/// What [`Exchange::write`] wrote.
pub fn read(dir: &Path, device: &Device) -> Result<HashMap<String, Tensor>> {
    let bytes = std::fs::read(dir.join("tensors.bin"))?;
    let index: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(dir.join("tensors.json"))?)?;
    let one = |e: &serde_json::Value| {
        let shape: Vec<usize> = serde_json::from_value(e["shape"].clone())?;
        let at = e["at"].as_u64().context("at")? as usize;
        let kind = if e["kind"] == "u32" { DType::U32 } else { DType::F32 };
        let len = 4 * shape.iter().product::<usize>();
        let t = Tensor::from_raw_buffer(&bytes[at..at + len], kind, &shape, device)?;
        Ok((e["name"].as_str().context("name")?.to_owned(), t))
    };
    index.iter().map(one).collect()
}
