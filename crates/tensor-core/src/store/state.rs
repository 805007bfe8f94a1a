//! A value as named tensors and plain numbers.

use crate::{Error, Params, Result};
use candle_core::Tensor;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// All that a thing needs to be put back: named tensors, and plain values as JSON. States nest: a task's state holds its
/// optimizer's.
///
/// Tensors may share memory with what gave the state: save or copy them before it changes.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// By name, in order.
    pub tensors: Vec<(String, Tensor)>,
    /// Configuration and small values.
    pub values: Value,
}

impl State {
    /// Plain values with tensors.
    ///
    /// # Errors
    /// Values that cannot be written as JSON.
    pub fn new<N: Into<String>>(
        values: &impl Serialize,
        tensors: impl IntoIterator<Item = (N, Tensor)>,
    ) -> Result<Self> {
        let values = serde_json::to_value(values).map_err(|e| Error::value("state", e.to_string()))?;
        Ok(Self { tensors: tensors.into_iter().map(|(n, t)| (n.into(), t)).collect(), values })
    }

    /// Plain values and the parameters of a network, buffers too.
    ///
    /// # Errors
    /// Values that cannot be written as JSON.
    pub fn of(values: &impl Serialize, params: &Params) -> Result<Self> {
        Self::new(values, params.iter().map(|p| (p.name(), p.var().as_detached_tensor())))
    }

    /// The same with another state inside, which [`State::take`] gives back.
    ///
    /// # Errors
    /// Plain values that are neither nothing nor an object of names, or that have this name already.
    pub fn with(mut self, name: &str, inner: Self) -> Result<Self> {
        let prefix = format!("{name}.");
        let taken = self.tensors.iter().any(|t| t.0.starts_with(&prefix));
        if self.values.is_null() {
            self.values = Value::Object(Map::new());
        }
        match &mut self.values {
            Value::Object(values) if !values.contains_key(name) && !taken => {
                values.insert(name.to_owned(), inner.values)
            }
            _ => return Err(Error::value("state", format!("no place for a state named `{name}`"))),
        };
        self.tensors.extend(inner.tensors.into_iter().map(|(n, t)| (format!("{prefix}{n}"), t)));
        Ok(self)
    }

    /// Takes out the state that [`State::with`] put in under a name.
    ///
    /// # Errors
    /// [`Error::Value`] where there is none of that name.
    pub fn take(&mut self, name: &str) -> Result<Self> {
        let values = self.values.as_object_mut().and_then(|v| v.shift_remove(name));
        let values = values.ok_or_else(|| Error::value("state", format!("`{name}` is missing")))?;
        let prefix = format!("{name}.");
        let (inner, rest) = std::mem::take(&mut self.tensors).into_iter().partition(|(n, _)| n.starts_with(&prefix));
        self.tensors = rest;
        let inner: Vec<(String, Tensor)> = inner;
        let tensors = inner.into_iter().map(|(n, t)| (n[prefix.len()..].to_owned(), t)).collect();
        Ok(Self { tensors, values })
    }

    /// The plain values as a type.
    ///
    /// # Errors
    /// [`Error::Value`] where they are of another one.
    pub fn values<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(self.values.clone()).map_err(|e| Error::value("state", e.to_string()))
    }

    /// The tensors by name.
    pub fn into_tensors(self) -> HashMap<String, Tensor> {
        self.tensors.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn states_nest() -> Result<()> {
        let t = |v: f32| Tensor::new(v, &Device::Cpu);
        let inner = State::new(&3u32, [("w", t(1.0)?)])?;
        let mut outer = State::new(&serde_json::json!({"epoch": 2}), [("w", t(2.0)?)])?.with("optimizer", inner)?;
        assert!(outer.clone().with("optimizer", State::default()).is_err());
        assert_eq!(outer.tensors.iter().map(|t| t.0.as_str()).collect::<Vec<_>>(), ["w", "optimizer.w"]);
        let back = outer.take("optimizer")?;
        assert_eq!((back.values::<u32>()?, back.tensors[0].1.to_scalar::<f32>()?), (3, 1.0));
        assert_eq!((outer.values, outer.tensors.len()), (serde_json::json!({"epoch": 2}), 1));
        let missing = State::default().take("optimizer").err().map(|e| e.to_string());
        assert_eq!(missing.as_deref(), Some("state: `optimizer` is missing"));
        Ok(())
    }
}
