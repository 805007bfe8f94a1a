//! The architectures by their published names.

use super::families::FAMILIES;
use super::family::{Family, Form, Found, Setting};
use crate::nn::Network;
use crate::{Error, Result};
use candle_core::Tensor;
use std::collections::{BTreeSet, HashMap};

/// The kind of network that a weights file holds: a family, such as `resnet` or `wideresnet`, or a member of it by its published name, such as
/// `resnet50` or `wrn-28-10`. Case, `-` and `_` do not matter. Sizes are read from the weights; where a name says other ones, that is an error.
#[derive(Clone, Copy, Debug)]
pub struct Arch {
    family: &'static Family,
    asked: Option<Asked>,
}

/// A published name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Listed(&'static str),
    /// Depth and widen factor of a wide residual network.
    Wide(usize, usize),
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Listed(name) => f.write_str(name),
            Self::Wide(depth, widen) => write!(f, "wrn-{depth}-{widen}"),
        }
    }
}

/// A name without what does not matter in it.
pub(super) fn plain(name: &str) -> String {
    name.to_lowercase().replace(['-', '_'], "")
}

/// Depth and widen factor in `wrn-28-10`, `WRN_28_10` or `wideresnet28-10`.
fn wide(name: &str) -> Option<(usize, usize)> {
    let name = name.to_lowercase().replace('_', "-");
    let rest = ["wrn", "wideresnet", "wide-resnet"].iter().find_map(|p| name.strip_prefix(p))?;
    let (depth, widen) = rest.strip_prefix('-').unwrap_or(rest).split_once('-')?;
    Some((depth.parse().ok()?, widen.parse().ok()?))
}

impl std::str::FromStr for Arch {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let name = plain(s);
        for family in FAMILIES {
            if let Some(found) = family.published.iter().find(|p| plain(p) == name) {
                return Ok(Self { family, asked: Some(Asked::Listed(found)) });
            }
            if family.names.iter().any(|n| plain(n) == name) {
                return Ok(Self { family, asked: None });
            }
        }
        if let (Some((depth, widen)), Some(family)) = (wide(s), FAMILIES.iter().find(|f| f.names.contains(&"wrn"))) {
            return Ok(Self { family, asked: Some(Asked::Wide(depth, widen)) });
        }
        Err(Error::config("Arch", format!("must be one of {}; got `{s}`", Self::known())))
    }
}

impl PartialEq for Arch {
    fn eq(&self, other: &Self) -> bool {
        (self.family.title, self.asked) == (other.family.title, other.asked)
    }
}

impl Eq for Arch {}

/// The family: `ResNet`.
impl std::fmt::Display for Arch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.family.title)
    }
}

impl Arch {
    /// The names that are known, as one reads them.
    pub fn known() -> String {
        let of = |f: &&Family| {
            let published = f.published.iter().copied();
            let wide = f.names.contains(&"wrn").then_some("wrn-DEPTH-WIDEN (such as wrn-28-10)");
            f.names.iter().take(1).copied().chain(published).chain(wide).collect::<Vec<_>>().join(", ")
        };
        FAMILIES.iter().map(of).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn forms(self) -> &'static [Form] {
        self.family.forms
    }

    /// The families that have the names of a set, other than this one.
    pub(super) fn others(self, fits: impl Fn(Self) -> bool) -> Vec<&'static str> {
        let others = FAMILIES.iter().filter(|f| f.title != self.family.title);
        others.filter(|family| fits(Self { family, asked: None })).map(|f| f.names[0]).collect()
    }

    /// The first weight that every network of this kind has and a set lacks, in the form that lacks the fewest.
    pub(super) fn lacks<'n>(self, names: impl Iterator<Item = &'n str> + Clone) -> Option<&'static str> {
        let lacking = |form: &Form| {
            let ours: BTreeSet<String> = names.clone().map(|n| (form.name)(n)).collect();
            form.needs.iter().copied().filter(|n| !ours.contains(*n)).collect::<Vec<_>>()
        };
        let fewest = self.family.forms.iter().map(lacking).min_by_key(Vec::len)?;
        fewest.first().copied()
    }

    /// The network with these weights, whose sizes follow from their shapes.
    ///
    /// # Errors
    /// What does not fit, by name.
    pub(super) fn build(
        self,
        tensors: HashMap<String, Tensor>,
        form: usize,
        at: Setting<'_>,
    ) -> Result<Box<dyn Network>> {
        for (name, t) in &tensors {
            if t.elem_count() == 0 {
                return Err(Error::shape(format!("weight `{name}`"), "one with elements", t.dims()));
            }
            crate::classifier::require_finite(&format!("weight `{name}`"), t)?;
        }
        let asked = self.asked.map(|a| a.to_string());
        (self.family.build)(Found { tensors, form, asked, at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_names_are_understood() {
        for (name, family, asked) in [
            ("smallcnn", "SmallCnn", None),
            ("Small-CNN", "SmallCnn", None),
            ("resnet", "ResNet", None),
            ("ResNet-50", "ResNet", Some(Asked::Listed("resnet50"))),
            ("wide_resnet50_2", "ResNet", Some(Asked::Listed("wide_resnet50_2"))),
            ("wrn-28-10", "WideResNet", Some(Asked::Wide(28, 10))),
            ("WideResNet_34_10", "WideResNet", Some(Asked::Wide(34, 10))),
            ("wideresnet", "WideResNet", None),
            ("PreActResNet18", "PreActResNet", Some(Asked::Listed("preactresnet18"))),
            ("vgg16_bn", "Vgg", Some(Asked::Listed("vgg16_bn"))),
            ("mobilenet_v2", "MobileNetV2", None),
            ("mlp", "Mlp", None),
        ] {
            let arch: Arch = name.parse().unwrap();
            assert_eq!((arch.family.title, arch.asked), (family, asked), "{name}");
        }
        let e = "wrn-28".parse::<Arch>().unwrap_err().to_string();
        assert!(e.contains("got `wrn-28`") && e.contains("wrn-DEPTH-WIDEN") && e.contains("densenet121"), "{e}");
    }

    /// A name leads to one architecture.
    #[test]
    fn names_differ() {
        let all: Vec<String> =
            FAMILIES.iter().flat_map(|f| f.names.iter().chain(f.published)).map(|n| plain(n)).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }
}
