//! The sets of named tensors that a file holds.

use super::LoadConfig;
use super::arch::Arch;
use super::family::Setting;
use super::names::{self, Fitting, Named};
use crate::formats::Content;
use crate::formats::arrays::safetensor;
use crate::formats::torch::{Slot, Torch};
use crate::nn::{Network, Normalize};
use crate::{Error, Result, store};
use candle_core::{DType, Tensor};
use safetensors::SafeTensors;
use std::collections::HashMap;
use std::path::Path;

/// A tensor that is there, or that can be read.
enum Handle {
    Ready(Tensor),
    Slot(Slot),
    /// Why it cannot be read.
    Unread(String),
}

/// A weights file with its sets of tensors.
pub(super) struct Source<'a> {
    path: &'a Path,
    torch: Option<Torch<'a>>,
    /// The keys that lead to each set, with its names.
    sets: Vec<(String, Vec<Named>)>,
    /// The same keys one by one.
    paths: Vec<Vec<String>>,
    handles: Vec<Vec<Handle>>,
}

/// Mean and deviation of a normalising layer, as they are applied.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) mean: Vec<f64>,
    pub(super) std: Vec<f64>,
    /// Whether they were divided by 255.
    pub(super) divided: bool,
}

/// Names that an error lists at most.
const LISTED: usize = 64;

/// Keys as they follow a dictionary in Python.
fn steps(keys: &[String]) -> String {
    keys.iter().map(|k| if k.parse::<i64>().is_ok() { format!("[{k}]") } else { format!("[{k:?}]") }).collect()
}

/// A weight that an architecture needs and a set lacks.
fn lacking(arch: Arch, named: &[Named]) -> &'static str {
    arch.lacks(named.iter().map(|n| n.name.as_str())).unwrap_or("a weight")
}

impl<'a> Source<'a> {
    /// Reads what is in the file.
    pub(super) fn open(path: &'a Path, bytes: &'a [u8]) -> Result<Self> {
        match Content::of(bytes) {
            Content::SafeTensors => Self::safetensors(path, bytes),
            Content::Zip | Content::Pickle => {
                let torch = Torch::open(bytes).map_err(|f| {
                    let reason =
                        format!("byte {}: {}", f.offset, f.reason.replace("FILE", &path.display().to_string()));
                    Error::Checkpoint {
                        path: path.to_owned(),
                        reason: format!("not a file of PyTorch that can be read: {reason}"),
                    }
                })?;
                let (mut sets, mut paths, mut handles) = (Vec::new(), Vec::new(), Vec::new());
                for d in torch.dictionaries() {
                    let named = |(name, slot): &(String, Slot)| Named {
                        name: name.clone(),
                        elements: slot.shape.iter().fold(1usize, |n, d| n.saturating_mul(*d)),
                        integer: torch.is_integer(slot),
                    };
                    sets.push((d.path.join("."), d.tensors.iter().map(named).collect()));
                    paths.push(d.path);
                    handles.push(d.tensors.into_iter().map(|t| Handle::Slot(t.1)).collect());
                }
                Ok(Self { path, torch: Some(torch), sets, paths, handles })
            }
            content => {
                let what = match content {
                    Content::Npy => "one array of numpy",
                    Content::Other(what) => what,
                    _ => "of another kind",
                };
                let reason = format!(
                    "the content is {what}; weights are read from safetensors and from what PyTorch's \
                     torch.save(model.state_dict(), \"weights.pth\") writes"
                );
                Err(Error::Checkpoint { path: path.to_owned(), reason })
            }
        }
    }

    fn safetensors(path: &'a Path, bytes: &[u8]) -> Result<Self> {
        store::verify(path, bytes)?;
        let broken = |e: safetensors::SafeTensorError| Error::Checkpoint {
            path: path.to_owned(),
            reason: format!("not a whole safetensors file: {e}"),
        };
        let mut views = SafeTensors::deserialize(bytes).map_err(broken)?.tensors();
        views.sort_by(|a, b| a.0.cmp(&b.0));
        // From a training checkpoint of this workspace, only the weights are taken.
        if views.iter().any(|v| v.0.starts_with("param.")) {
            views = views.into_iter().filter_map(|(n, v)| Some((n.strip_prefix("param.")?.to_owned(), v))).collect();
        }
        let (mut named, mut handles) = (Vec::new(), Vec::new());
        for (name, view) in views {
            let read = safetensor(&view);
            let integer = read.as_ref().is_ok_and(|t| !t.dtype().is_float());
            named.push(Named {
                name,
                elements: view.shape().iter().fold(1usize, |n, d| n.saturating_mul(*d)),
                integer,
            });
            handles.push(read.map_or_else(|f| Handle::Unread(f.reason), Handle::Ready));
        }
        let sets = vec![(String::new(), named)];
        Ok(Self { path, torch: None, sets, paths: vec![Vec::new()], handles: vec![handles] })
    }

    /// The sets, each with the keys that lead to it.
    pub(super) fn sets(&self) -> &[(String, Vec<Named>)] {
        &self.sets
    }

    /// Mean and deviation that stand in a dictionary on the way to a set.
    pub(super) fn normalizing(&self, set: usize) -> Option<(&'static str, &'static str)> {
        self.torch.as_ref()?.above(&self.paths[set]).iter().find_map(|keys| names::normalizing(keys))
    }

    /// The line of Python that writes a set again without some of its tensors.
    pub(super) fn without(&self, set: usize, names: &[String]) -> String {
        let path = self.path.display().to_string();
        let (library, read) = match &self.torch {
            Some(_) => ("torch", format!("torch.load({path:?}, map_location=\"cpu\"){}", steps(&self.paths[set]))),
            None => ("safetensors.torch", format!("safetensors.torch.load_file({path:?})")),
        };
        let (write, ending) = if self.torch.is_some() { ("save", "pth") } else { ("save_file", "safetensors") };
        let names: Vec<&String> = names.iter().take(LISTED).collect();
        format!(
            "import {library}; {library}.{write}({{k: v for k, v in {read}.items() if k not in {names:?}}}, \"weights.{ending}\")"
        )
    }

    /// Why no set has the names of an architecture.
    pub(super) fn nothing(&self, arch: Arch, channels: usize) -> String {
        let module = self.torch.as_ref().and_then(Torch::module);
        if let Some((keys, class)) = module {
            let inside = steps(&keys);
            return format!(
                "it holds a whole module, a pickled object of the class `{class}`, not its weights; save them in a program that has the class: \
                 torch.save(torch.load({:?}, weights_only=False){inside}.state_dict(), \"weights.pth\")",
                self.path.display().to_string()
            );
        }
        let Some((key, named)) = self.sets.iter().max_by_key(|s| s.1.len()) else {
            let what = self.torch.as_ref().map_or_else(String::new, Torch::describe);
            return format!(
                "it holds no tensors under names, but {what}; in Python: torch.save(model.state_dict(), \"weights.pth\")"
            );
        };
        let mut names: Vec<&str> = named.iter().map(|n| n.name.as_str()).collect();
        names.sort_unstable();
        let more = if names.len() > LISTED { format!(" and {} more", names.len() - LISTED) } else { String::new() };
        names.truncate(LISTED);
        let lacks = lacking(arch, named);
        let place = if key.is_empty() { "the file".to_owned() } else { format!("its largest dictionary, `{key}`,") };
        let others = arch.others(|a| !names::fittings(a, named, channels).is_empty());
        let others = match others.as_slice() {
            [] => String::new(),
            fit => format!("; the names are those of {}", fit.join(" or ")),
        };
        format!("no {arch}: missing `{lacks}`; {place} has {names:?}{more}{others}")
    }

    fn tensor(&self, set: usize, at: usize, spent: &mut usize) -> Result<Tensor> {
        let name = &self.sets[set].1[at].name;
        match (&self.handles[set][at], &self.torch) {
            (Handle::Ready(t), _) => Ok(t.clone()),
            (Handle::Slot(slot), Some(torch)) => {
                torch.load(slot, spent).map_err(|f| Error::value(format!("weight `{name}`"), f.reason))
            }
            (Handle::Unread(why), _) => Err(Error::value(format!("weight `{name}`"), why)),
            (Handle::Slot(_), None) => Err(Error::value(format!("weight `{name}`"), "it cannot be read")),
        }
    }

    /// Why a set is none of an architecture: a weight that it lacks.
    pub(super) fn lacks(&self, arch: Arch, set: usize) -> &'static str {
        lacking(arch, &self.sets[set].1)
    }

    /// The network of a set, and its normalising layer.
    pub(super) fn load(
        &self,
        arch: Arch,
        set: usize,
        fitting: &Fitting,
        cfg: &LoadConfig<'_>,
    ) -> Result<(Box<dyn Network>, Option<Layer>)> {
        if !fitting.misfit.is_empty() {
            let reason =
                format!("{:?} are a normalising layer, but not one of {} channels", fitting.misfit, cfg.input.0);
            return Err(Error::value("parameters", reason));
        }
        let form = &arch.forms()[fitting.form];
        if form.alone && !fitting.outside.is_empty() && cfg.key.is_none() {
            return Err(Error::value("parameters", format!("missing [], unexpected {:?}", fitting.outside)));
        }
        let mut spent = 0;
        let mut found = HashMap::new();
        // The weights were named, so what has another name is known to be something else.
        let taken = |name: &str| cfg.key.is_none() || form.knows(name);
        for (at, name) in fitting.tensors.iter().filter(|t| taken(&t.1)) {
            found.insert(name.clone(), self.tensor(set, *at, &mut spent)?);
        }
        let mut vector = |at: usize| -> Result<Vec<f64>> {
            Ok(self.tensor(set, at, &mut spent)?.flatten_all()?.to_dtype(DType::F64)?.to_vec1()?)
        };
        let layer = match fitting.normalize {
            None => None,
            Some((mean, std)) => {
                let (mut mean, mut std) = (vector(mean)?, vector(std)?);
                // No mean and no deviation of values in [0, 1] is above 1.
                let divided = mean.iter().chain(&std).any(|v| *v > 1.0);
                if divided {
                    mean.iter_mut().chain(&mut std).for_each(|v| *v /= 255.0);
                }
                for all in [&mut mean, &mut std] {
                    if let [one] = all[..] {
                        *all = vec![one; cfg.input.0];
                    }
                }
                Some(Layer { mean, std, divided })
            }
        };
        let own = layer.clone().map(|l| Normalize::new(l.mean, l.std)).transpose()?;
        let normalize = match (own, &cfg.normalize) {
            (Some(own), Some(asked)) if !own.is_close(asked) => {
                let reason = format!(
                    "the file has a normalising layer of its own, {own:?}; leave out mean and deviation, {asked:?}"
                );
                return Err(Error::value("normalisation", reason));
            }
            (own, asked) => own.or_else(|| asked.clone()),
        };
        let LoadConfig { input, activation, heads, dtype, device, .. } = *cfg;
        let at = Setting { input, normalize, activation, heads, dtype, device };
        Ok((arch.build(found, fitting.form, at)?, layer))
    }
}
