//! The tensors that an optimizer keeps for each parameter.

use crate::store::State;
use crate::{Error, Param, Params, Result};
use candle_core::Tensor;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// `N` tensors of a parameter's shape for each parameter, zeros at first.
#[derive(Clone, Debug)]
pub(super) struct Slots<const N: usize> {
    names: [&'static str; N],
    by_parameter: BTreeMap<String, [Tensor; N]>,
}

impl<const N: usize> Slots<N> {
    /// None yet; `names` are those of the tensors in a state.
    pub(super) fn new(names: [&'static str; N]) -> Self {
        Self { names, by_parameter: BTreeMap::new() }
    }

    /// Those of a parameter.
    pub(super) fn of(&mut self, p: &Param) -> Result<&[Tensor; N]> {
        if !self.by_parameter.contains_key(p.name()) {
            let mut zeros = Vec::with_capacity(N);
            for _ in 0..N {
                zeros.push(p.var().as_detached_tensor().zeros_like()?);
            }
            let Ok(zeros) = zeros.try_into() else { return Err(Error::value("optimizer", "slots")) };
            self.by_parameter.insert(p.name().to_owned(), zeros);
        }
        self.by_parameter.get(p.name()).ok_or_else(|| Error::value("optimizer", "slots"))
    }

    /// All of them as `NAME.PARAMETER`, with plain values beside.
    pub(super) fn state(&self, values: &impl Serialize) -> Result<State> {
        let named = |(p, slots): (&String, &[Tensor; N])| -> Vec<(String, Tensor)> {
            self.names.iter().zip(slots).map(|(n, t)| (format!("{n}.{p}"), t.clone())).collect()
        };
        State::new(values, self.by_parameter.iter().flat_map(named))
    }

    /// Takes back the tensors of a state: of all trainable parameters or, before the first step, of none.
    pub(super) fn restore(&mut self, params: &Params, state: State) -> Result<()> {
        let mut tensors: HashMap<String, Tensor> = state.into_tensors();
        let mut by_parameter = BTreeMap::new();
        let none = tensors.is_empty();
        for p in params.trainable().filter(|_| !none) {
            let mut slots = Vec::with_capacity(N);
            for name in self.names {
                let key = format!("{name}.{}", p.name());
                let t = tensors.remove(&key);
                let t = t.ok_or_else(|| Error::value("optimizer state", format!("`{key}` is missing")))?;
                if t.shape() != p.var().shape() {
                    return Err(Error::shape(format!("`{key}`"), format!("{:?}", p.var().dims()), t.dims()));
                }
                // A copy: updates are made in place.
                slots.push(t.to_device(p.var().device())?.to_dtype(p.var().dtype())?.copy()?);
            }
            let Ok(slots) = slots.try_into() else { return Err(Error::value("optimizer state", "slots")) };
            by_parameter.insert(p.name().to_owned(), slots);
        }
        if let Some(name) = tensors.keys().min() {
            return Err(Error::value("optimizer state", format!("`{name}` belongs to no parameter")));
        }
        self.by_parameter = by_parameter;
        Ok(())
    }
}
