//! All that a run needs to go on exactly where it stopped.

use crate::optim::Sgd;
use crate::{Error, Params, Result, store};
use candle_core::{Device, Tensor};
use std::{collections::HashMap, path::Path};

/// The state of training at the end of an epoch: weights, buffers, optimizer, the epoch and its losses.
///
/// The schedule is a function of the step, and randomness a function of (seed, purpose, index), so the
/// epoch stands for both. `fingerprint` names the configuration; a checkpoint of another is refused.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Epochs that are done.
    pub epoch: usize,
    /// Mean training loss of each of them.
    pub losses: Vec<f64>,
    /// The configuration, in any text that changes with it.
    pub fingerprint: String,
}

const FORMAT: u64 = 1;

impl Checkpoint {
    /// Saves this state with the network's and the optimizer's, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] with the path.
    pub fn save(&self, path: &Path, params: &Params, sgd: &Sgd) -> Result<()> {
        let meta = serde_json::json!({
            "format": FORMAT, "epoch": self.epoch, "losses": self.losses, "fingerprint": self.fingerprint,
        });
        let weights = params.iter().map(|p| (format!("param.{}", p.name()), p.var().as_detached_tensor()));
        let state = sgd.state(params).into_iter().map(|(n, t)| (format!("velocity.{n}"), t));
        let all: Vec<(String, Tensor)> = weights.chain(state).collect();
        store::save(path, all.iter().map(|(n, t)| (n.as_str(), t.clone())), &meta.to_string())
    }

    /// Loads a state into a network and its optimizer; `None` where there is no file.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] with the path: a broken file, another configuration, other parameters.
    pub fn load(path: &Path, params: &Params, sgd: &mut Sgd, fingerprint: &str) -> Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let refuse = |reason: String| Error::Checkpoint { path: path.to_owned(), reason };
        let (tensors, meta) = store::load(path, &Device::Cpu)?;
        let meta: serde_json::Value = serde_json::from_str(&meta).map_err(|e| refuse(format!("no checkpoint: {e}")))?;
        if meta["format"].as_u64() != Some(FORMAT) {
            return Err(refuse(format!("checkpoint format {}, this build reads {FORMAT}", meta["format"])));
        }
        let found = meta["fingerprint"].as_str().unwrap_or_default();
        if found != fingerprint {
            return Err(refuse(format!(
                "made by another configuration:\n  found    {found}\n  expected {fingerprint}"
            )));
        }
        let epoch = meta["epoch"].as_u64().ok_or_else(|| refuse("no epoch".to_owned()))? as usize;
        let losses: Vec<f64> =
            serde_json::from_value(meta["losses"].clone()).map_err(|e| refuse(format!("losses: {e}")))?;
        let (mut weights, mut state) = (HashMap::new(), HashMap::new());
        for (name, t) in tensors {
            if let Some(n) = name.strip_prefix("param.") {
                weights.insert(n.to_owned(), t);
            } else if let Some(n) = name.strip_prefix("velocity.") {
                let device = params.iter().next().map_or(Device::Cpu, |p| p.var().device().clone());
                state.insert(n.to_owned(), t.to_device(&device)?);
            }
        }
        params.restore(&weights).map_err(|e| refuse(e.to_string()))?;
        sgd.restore(params, state).map_err(|e| refuse(e.to_string()))?;
        Ok(Some(Self { epoch, losses, fingerprint: fingerprint.to_owned() }))
    }
}
