//! What is known of a family of networks: its names, the names of its weights, and how sizes are read off them.

use super::arch::plain;
use crate::nn::{Activation, Network, Normalize, Values, Weights};
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;

/// A family of networks.
#[derive(Debug)]
pub(super) struct Family {
    /// As messages call it.
    pub(super) title: &'static str,
    /// The names of any member, the first one as it is listed.
    pub(super) names: &'static [&'static str],
    /// The names of members that say sizes.
    pub(super) published: &'static [&'static str],
    /// The ways in which published code names the weights.
    pub(super) forms: &'static [Form],
    pub(super) build: fn(Found<'_>) -> Result<Box<dyn Network>>,
}

/// A way to name the weights of a family.
#[derive(Debug)]
pub(super) struct Form {
    /// Weights by one of whose names the place of a network in a longer name is found. At best one that a network has once.
    pub(super) anchors: &'static [&'static str],
    /// The name that this workspace gives a weight.
    pub(super) name: fn(&str) -> String,
    /// Weights that every network has, by our names.
    pub(super) needs: &'static [&'static str],
    /// The first parts of our names; `layer*` is every part that starts with `layer`.
    pub(super) parts: &'static [&'static str],
    /// First parts of names that published networks have and do not use.
    pub(super) unused: &'static [&'static str],
    /// Whether the names are so usual that nothing else may stand beside them.
    pub(super) alone: bool,
}

impl Form {
    /// With names that are ours, and nothing special.
    pub(super) const PLAIN: Self =
        Self { anchors: &[], name: str::to_owned, needs: &[], parts: &[], unused: &[], alone: false };

    /// Whether a network may have a weight of this name of ours, by its first part.
    pub(super) fn knows(&self, name: &str) -> bool {
        let first = name.split('.').next().unwrap_or_default();
        self.parts.iter().any(|p| p.strip_suffix('*').map_or(first == *p, |start| first.starts_with(start)))
    }
}

/// What every network that is built here has in common.
pub(super) struct Setting<'a> {
    pub(super) input: (usize, usize, usize),
    pub(super) normalize: Option<Normalize>,
    pub(super) activation: Option<Activation>,
    pub(super) heads: Option<usize>,
    pub(super) dtype: DType,
    pub(super) device: &'a Device,
}

/// The weights of a file, by our names.
pub(super) struct Found<'a> {
    pub(super) tensors: HashMap<String, Tensor>,
    /// Which of the family's forms they have.
    pub(super) form: usize,
    /// The published name that was asked for.
    pub(super) asked: Option<String>,
    pub(super) at: Setting<'a>,
}

impl Found<'_> {
    /// The shape of a weight.
    pub(super) fn shape<const R: usize>(&self, name: &str) -> Result<[usize; R]> {
        let found = self.tensors.get(name);
        let dims = found.ok_or_else(|| Error::value("parameters", format!("missing `{name}`")))?.dims();
        dims.try_into().map_err(|_| Error::shape(format!("weight `{name}`"), format!("{R} axes"), dims))
    }

    /// A weight must have the shape that follows from the others, for a reason that the message gives.
    pub(super) fn expect<const R: usize>(&self, name: &str, want: [usize; R], why: &str) -> Result<()> {
        let got = self.shape::<R>(name)?;
        if got == want {
            return Ok(());
        }
        Err(Error::shape(format!("weight `{name}`"), format!("{want:?}, {why}"), &got))
    }

    /// Outputs and kernel of the first convolution, whose inputs must be the channels of the images.
    pub(super) fn first(&self, name: &str) -> Result<(usize, usize)> {
        let ([to, _, k, _], channels) = (self.shape::<4>(name)?, self.at.input.0);
        self.expect(name, [to, channels, k, k], &format!("for images of {channels} channels and a square kernel"))?;
        Ok((to, k))
    }

    /// How many of the names are there, from the first on.
    pub(super) fn count(&self, name: impl Fn(usize) -> String) -> usize {
        (0..).take_while(|i| self.tensors.contains_key(&name(*i))).count()
    }

    /// How many of the names are there in each stage, from the first on.
    pub(super) fn stages(&self, name: impl Fn(usize, usize) -> String) -> Vec<usize> {
        (0..16).map(|stage| self.count(|i| name(stage, i))).take_while(|n| *n > 0).collect()
    }

    /// Gives weights under one name another one.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        let under: Vec<String> =
            self.tensors.keys().filter(|n| n.strip_prefix(from).is_some_and(|r| r.starts_with('.'))).cloned().collect();
        for name in under {
            if let Some(t) = self.tensors.remove(&name) {
                self.tensors.insert(format!("{to}{}", &name[from.len()..]), t);
            }
        }
    }

    /// The sizes must be those that the name says.
    ///
    /// # Errors
    /// The name of the network that the sizes are those of.
    pub(super) fn check(&self, names: &[String], sizes: &str) -> Result<()> {
        let Some(asked) = self.asked.as_deref().filter(|a| !names.iter().any(|n| plain(n) == plain(a))) else {
            return Ok(());
        };
        let is = names.first().map_or_else(|| sizes.to_owned(), |n| format!("`{n}` ({sizes})"));
        Err(Error::value("architecture", format!("`{asked}` was asked for, but the weights are those of {is}")))
    }

    /// The nonlinearity.
    pub(super) fn activation(&self, own: Activation) -> Activation {
        self.at.activation.unwrap_or(own)
    }

    /// The network with the weights, every one of which it must use.
    pub(super) fn finish<N: Network + 'static>(
        self,
        make: impl FnOnce(Values<'_>, DType, &Device) -> Result<N>,
    ) -> Result<Box<dyn Network>> {
        let weights = Weights::new(self.tensors);
        let network = make(Values::Given(&weights), self.at.dtype, self.at.device)?;
        weights.finish(network.params())?;
        Ok(Box::new(network))
    }
}
