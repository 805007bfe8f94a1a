//! Networks from weights files; the sizes follow from the shapes of the weights.

mod arch;
mod names;
mod source;

pub use arch::Arch;

use crate::nn::{Network, Normalize};
use crate::{Error, Result};

use candle_core::{DType, Device};
use names::Fitting;
use source::Source;
use std::path::Path;

/// What [`read`] is asked for.
///
/// | Name | Purpose |
/// |---|---|
/// | `input` | channels, height and width of the images |
/// | `normalize` | means and deviations of the channels, applied to the input, where the file does not have them |
/// | `key` | the weights to take where the file holds several: the keys that lead to them, joined by dots, or the last of these |
/// | `dtype`, `device` | of the network |
#[derive(Clone, Debug)]
pub struct LoadConfig<'a> {
    /// Channels, height and width of the images.
    pub input: (usize, usize, usize),
    /// Normalisation of the input.
    pub normalize: Option<Normalize>,
    /// The weights to take where the file holds several.
    pub key: Option<&'a str>,
    /// The type of the weights.
    pub dtype: DType,
    /// Where the network is.
    pub device: &'a Device,
}

/// A network with what was taken from the file.
pub struct Loaded {
    /// The network.
    pub network: Box<dyn Network>,
    /// What was taken.
    pub choice: Choice,
}

/// What was taken from a weights file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// The keys that lead to the weights, joined by dots; empty where they are the whole file.
    pub key: String,
    /// The keys of the other weights in the file that fit the architecture.
    pub others: Vec<String>,
    /// What was taken off every name, without the last dot.
    pub prefix: String,
    /// Counters that were left out.
    pub dropped: Vec<String>,
    /// Mean and deviation of the normalising layer in the file.
    pub normalize: Option<(Vec<f64>, Vec<f64>)>,
}

impl Choice {
    /// Whether the weights are named as an average of those that were trained.
    pub fn is_average(&self) -> bool {
        is_average(&self.key)
    }
}

/// Whether a key names an average over the training (EMA, SWA).
fn is_average(key: &str) -> bool {
    let words = key.to_lowercase();
    words.split(['.', '_', '-']).any(|w| ["ema", "averaged", "average", "avg", "swa", "shadow", "teacher"].contains(&w))
}

/// Usual keys of the weights that were trained.
const USUAL: [&str; 9] =
    ["state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params", "module"];

/// One set of weights in a file that has the names of the architecture.
struct Candidate {
    key: String,
    /// The dictionary of the source.
    set: usize,
    fitting: Fitting,
}

impl Candidate {
    /// What is taken first: trained weights before averages, usual keys before others, then the order of the file.
    fn rank(&self) -> (bool, usize) {
        let last = self.key.rsplit('.').next().unwrap_or_default();
        let usual = USUAL.iter().position(|u| *u == last);
        (is_average(&self.key), if self.key.is_empty() { 0 } else { usual.map_or(USUAL.len() + 1, |i| i + 1) })
    }

    fn answers_to(&self, key: &str) -> bool {
        let full = [&self.key, &self.fitting.prefix]
            .into_iter()
            .filter(|p| !p.is_empty())
            .cloned()
            .collect::<Vec<_>>()
            .join(".");
        [&self.key, &full].into_iter().any(|k| k == key || k.ends_with(&format!(".{key}")))
            || self.key.starts_with(&format!("{key}."))
    }
}

/// A network of the given architecture with the weights of a file, and what was taken from it. The content of the file says what it is, not its
/// name: safetensors (also a [`crate::train::Checkpoint`], of which only the weights are taken), or what `torch.save` writes, old and new.
///
/// - The weights may lie anywhere in dictionaries of other things. Where several fit, trained ones are taken before averages (EMA, SWA), and
///   `key` chooses.
/// - What wrappers add to names (`module.`, `_orig_mod.`, `model.`, the numbers of a Sequential, in any nesting) is taken off where the rest
///   then fits; single integers (`num_batches_tracked`, `n_averaged`) are left out.
/// - Buffers `mean` and `std` of as many elements as the images have channels are a normalising layer in front. Means above 1 are of
///   inputs in [0, 255]; they are divided by 255, because inputs here are in [0, 1].
///
/// # Errors
/// [`Error::Io`]; [`Error::Checkpoint`] with the path: weights that are missing or unexpected, by name; values that are not finite; a file of
/// another kind (a whole module, TorchScript), with the line that saves what is needed; a `key` that leads to no weights.
pub fn read(arch: Arch, path: &Path, cfg: &LoadConfig<'_>) -> Result<Loaded> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let bad = |reason: String| Error::Checkpoint { path: path.to_owned(), reason };
    let source = Source::open(path, &bytes)?;
    let mut all: Vec<Candidate> = Vec::new();
    for (set, (key, named)) in source.sets().iter().enumerate() {
        let found = names::fittings(arch, named, cfg.input.0);
        let several = found.len() > 1;
        all.extend(found.into_iter().map(|fitting| {
            let parts = [key.as_str(), if several { &fitting.prefix } else { "" }];
            let key = parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(".");
            Candidate { key, set, fitting }
        }));
    }
    if all.is_empty() {
        return Err(bad(source.nothing(arch)));
    }
    all.sort_by_key(Candidate::rank);
    let keys: Vec<String> = all.iter().map(|c| c.key.clone()).collect();
    if let Some(key) = cfg.key {
        all.retain(|c| c.answers_to(key));
        if all.is_empty() {
            return Err(bad(format!(
                "no weights of {arch:?} under the key `{key}`; the keys of those that fit are {keys:?}"
            )));
        }
    }
    let mut first = None;
    for c in &all {
        match source.load(arch, c.set, &c.fitting, cfg) {
            Ok((network, normalize)) => {
                let others = keys.iter().filter(|k| **k != c.key).cloned().collect();
                let Fitting { prefix, dropped, .. } = c.fitting.clone();
                return Ok(Loaded {
                    network,
                    choice: Choice { key: c.key.clone(), others, prefix, dropped, normalize },
                });
            }
            Err(e) => first = first.or(Some(e)),
        }
    }
    Err(bad(first.map_or_else(String::new, |e| e.to_string())))
}

/// The network of [`read`] alone.
///
/// # Errors
/// As [`read`].
pub fn load(
    arch: Arch,
    path: &Path,
    input: (usize, usize, usize),
    normalize: Option<Normalize>,
    dtype: DType,
    device: &Device,
) -> Result<Box<dyn Network>> {
    Ok(read(arch, path, &LoadConfig { input, normalize, key: None, dtype, device })?.network)
}

#[cfg(test)]
mod tests;
