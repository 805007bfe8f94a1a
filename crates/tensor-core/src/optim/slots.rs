//! The tensors that an optimizer keeps for each parameter.

use crate::store::State;
use crate::{Error, Param, Params, Result};
use candle_core::Tensor;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// Tensors of a parameter's shape for each parameter, zeros at first.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots(BTreeMap<String, Vec<Tensor>>);

impl Slots {
    /// Those of a parameter, as many as there are names.
    pub(super) fn of(&mut self, p: &Param, names: &[&str]) -> Result<&[Tensor]> {
        if !self.0.contains_key(p.name()) {
            let zero = || p.var().as_detached_tensor().zeros_like();
            let zeros = names.iter().map(|_| zero()).collect::<Result<_, _>>()?;
            self.0.insert(p.name().to_owned(), zeros);
        }
        Ok(&self.0[p.name()])
    }

    /// All of them as `NAME.PARAMETER`, with plain values.
    pub(super) fn state(&self, names: &[&str], values: &impl Serialize) -> Result<State> {
        let named = |(p, slots): (&String, &Vec<Tensor>)| -> Vec<(String, Tensor)> {
            names.iter().zip(slots).map(|(n, t)| (format!("{n}.{p}"), t.clone())).collect()
        };
        State::new(values, self.0.iter().flat_map(named))
    }

    /// Takes back the tensors of a state: of all trainable parameters or, before the first step, of none.
    pub(super) fn restore(&mut self, names: &[&str], params: &Params, state: State) -> Result<()> {
        let mut tensors: HashMap<String, Tensor> = state.into_tensors();
        let mut all = BTreeMap::new();
        let none = tensors.is_empty();
        for p in params.trainable().filter(|_| !none) {
            let mut slots = Vec::with_capacity(names.len());
            for name in names {
                let key = format!("{name}.{}", p.name());
                let t = tensors.remove(&key);
                let t = t.ok_or_else(|| Error::value("optimizer state", format!("`{key}` is missing")))?;
                if t.shape() != p.var().shape() {
                    return Err(Error::shape(format!("`{key}`"), format!("{:?}", p.var().dims()), t.dims()));
                }
                // A copy: updates are made in place.
                slots.push(t.to_device(p.var().device())?.to_dtype(p.var().dtype())?.copy()?);
            }
            all.insert(p.name().to_owned(), slots);
        }
        if let Some(name) = tensors.keys().min() {
            return Err(Error::value("optimizer state", format!("`{name}` belongs to no parameter")));
        }
        self.0 = all;
        Ok(())
    }
}
