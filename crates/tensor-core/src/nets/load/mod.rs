//! Networks from weights files; the sizes follow from the shapes of the weights.

mod arch;
mod families;
mod family;
mod names;
mod source;

pub use arch::Arch;

use crate::nn::{Activation, Network, Normalize};
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
/// | `activation` | the nonlinearity, which no file says, where it is not the architecture's own |
/// | `heads` | the attention heads of a ViT, which no file says, where a head does not have 64 channels |
/// | `dtype`, `device` | of the network |
#[derive(Clone, Debug)]
pub struct LoadConfig<'a> {
    /// Channels, height and width of the images.
    pub input: (usize, usize, usize),
    /// Normalisation of the input.
    pub normalize: Option<Normalize>,
    /// The weights to take where the file holds several.
    pub key: Option<&'a str>,
    /// The nonlinearity, if it is not the architecture's own.
    pub activation: Option<Activation>,
    /// The attention heads of a ViT, if there is not one for every 64 channels.
    pub heads: Option<usize>,
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
    /// Tensors beside the network in the same dictionary that were left out.
    pub outside: Vec<String>,
    /// The keys of sets of a higher rank whose names do not fit the architecture, each with a weight that it lacks.
    pub passed: Vec<(String, String)>,
    /// Mean and deviation of the normalising layer in the file, as they are applied.
    pub normalize: Option<(Vec<f64>, Vec<f64>)>,
    /// Whether these are the file's divided by 255, because its are of inputs in [0, 255].
    pub divided: bool,
    /// The keys of a mean and a deviation that stand in the file outside of the network and are not applied.
    pub unused: Option<(String, String)>,
    /// Whether a counter in the file says that the weights are an average (`n_averaged`).
    pub averaged: bool,
}

impl Choice {
    /// Whether the weights are named as an average of those that were trained.
    pub fn is_average(&self) -> bool {
        self.averaged || is_average(&self.key) || is_average(&self.prefix)
    }
}

/// Whether a key names an average over the training (EMA, SWA).
fn is_average(key: &str) -> bool {
    let words = key.to_lowercase();
    words.split(['.', '_', '-']).any(|w| ["ema", "averaged", "average", "avg", "swa", "shadow", "teacher"].contains(&w))
}

/// Whether a key names values of a training that have the names of weights (gradients, moments, a start).
fn is_other(key: &str) -> bool {
    let other = |w: &str| ["grad", "optim", "moment", "buffer", "init", "fisher"].iter().any(|o| w.starts_with(o));
    key.to_lowercase().split(['.', '_', '-']).any(other)
}

/// Usual keys of the weights that were trained.
const USUAL: [&str; 9] =
    ["state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params", "module"];

/// What is taken first: weights before gradients and the like, trained ones before averages, usual keys before others, then the order of the file.
fn rank(key: &str) -> (bool, bool, usize) {
    let last = key.rsplit('.').next().unwrap_or_default();
    let usual = USUAL.iter().position(|u| *u == last).map_or(USUAL.len() + 1, |i| i + 1);
    (is_other(key), is_average(key), if key.is_empty() { 0 } else { usual })
}

/// One set of weights in a file that has the names of the architecture.
struct Candidate {
    key: String,
    /// The dictionary of the source.
    set: usize,
    fitting: Fitting,
}

impl Candidate {
    fn rank(&self) -> (bool, bool, usize) {
        let (other, average, usual) = rank(&self.key);
        let Fitting { prefix, averaged, .. } = &self.fitting;
        (other || is_other(prefix), average || is_average(prefix) || *averaged, usual)
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
/// - The weights may lie anywhere in dictionaries of other things. Where the names of several fit, trained ones are taken before averages
///   (EMA, SWA), and these before what is named as gradients, moments or a start; `key` chooses. Where the first cannot be read, that is an
///   error: no other is taken in its place.
/// - What wrappers add to names (`module.`, `_orig_mod.`, `model.`, the numbers of a Sequential, in any nesting) is taken off where the rest
///   then fits; single integers (`num_batches_tracked`, `n_averaged`) are left out. So are tensors outside of the prefix of a network, and,
///   where `key` names the weights, all whose names the architecture does not have ([`Choice::outside`]).
/// - Buffers `mean` and `std` of one element, or of as many as the images have channels, are a normalising layer in front. Where one is above 1,
///   they are of inputs in [0, 255] and are divided by 255, because inputs here are in [0, 1].
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
        return Err(bad(source.nothing(arch, cfg.input.0)));
    }
    all.sort_by_key(Candidate::rank);
    let keys: Vec<String> = all.iter().map(|c| c.key.clone()).collect();
    let sets: Vec<usize> = all.iter().map(|c| c.set).collect();
    if let Some(key) = cfg.key {
        all.retain(|c| c.answers_to(key));
        if all.is_empty() {
            return Err(bad(format!(
                "no weights of {arch} under the key `{key}`; the keys of those that fit are {keys:?}"
            )));
        }
    }
    // The first is taken or its error told: another one in its place would be a wrong answer.
    let Some(Candidate { key, set, fitting }) = all.into_iter().next() else {
        return Err(bad(source.nothing(arch, cfg.input.0)));
    };
    let (network, layer) = source.load(arch, set, &fitting, cfg).map_err(|e| {
        let mut reason = e.to_string();
        if !fitting.foreign.is_empty() && cfg.key.is_none() {
            let line = source.without(set, &fitting.foreign);
            reason += &format!("; without what is no part of the network: {line}");
        }
        if keys.len() > 1 {
            reason += &format!("; these are the weights of `{key}`, and the keys to choose among are {keys:?}");
        }
        bad(reason)
    })?;
    let Fitting { prefix, tensors, dropped, averaged, mut outside, foreign, .. } = fitting;
    outside.extend(foreign);
    let passed = |(i, (other, named)): (usize, &(String, Vec<names::Named>))| {
        let before = cfg.key.is_none() && !sets.contains(&i) && rank(other) < rank(&key);
        (before && named.len() * 2 >= tensors.len()).then(|| (other.clone(), source.lacks(arch, i).to_owned()))
    };
    let passed = source.sets().iter().enumerate().filter_map(passed).collect();
    let unused = if layer.is_none() && cfg.normalize.is_none() { source.normalizing(set) } else { None };
    let choice = Choice {
        others: keys.into_iter().filter(|k| *k != key).collect(),
        passed,
        key,
        prefix,
        dropped,
        outside,
        divided: layer.as_ref().is_some_and(|l| l.divided),
        normalize: layer.map(|l| (l.mean, l.std)),
        unused: unused.map(|(mean, std)| (mean.to_owned(), std.to_owned())),
        averaged,
    };
    Ok(Loaded { network, choice })
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
    Ok(read(arch, path, &LoadConfig { input, normalize, key: None, activation: None, heads: None, dtype, device })?
        .network)
}

#[cfg(test)]
mod tests;
