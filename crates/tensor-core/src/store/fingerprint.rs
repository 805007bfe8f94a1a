//! What a kept value was made from.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Named facts that a kept value depends on: configuration, code, data, kind of device. A value with another fingerprint is
/// refused, and the error lists the keys that differ.
///
/// ```
/// use sconce_tensor_core::store::Fingerprint;
/// let a = Fingerprint::new().with("lr", 0.1).with("data", "fashion-mnist");
/// let b = a.clone().with("lr", 0.2);
/// assert_eq!(a.difference(&b), ["`lr`: found 0.1, expected 0.2"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(Map<String, Value>);

impl Fingerprint {
    /// No facts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fact, or replaces the one of that key. A value that is no JSON (a float that is not finite) enters as its text.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Serialize + std::fmt::Debug) -> Self {
        let json = match serde_json::to_value(&value) {
            Ok(Value::Null) | Err(_) => Value::String(format!("{value:?}")),
            Ok(json) => json,
        };
        self.0.insert(key.into(), json);
        self
    }

    /// Removes a fact.
    #[must_use]
    pub fn without(mut self, key: &str) -> Self {
        self.0.shift_remove(key);
        self
    }

    /// Adds each leaf of a tree of objects and lists as a fact of its own: `prefix.train.lr`, `prefix.settings.0.name`.
    #[must_use]
    pub fn with_tree(self, prefix: &str, tree: &Value) -> Self {
        match tree {
            Value::Object(fields) => fields.iter().fold(self, |f, (k, v)| f.with_tree(&format!("{prefix}.{k}"), v)),
            Value::Array(items) if items.iter().any(|i| i.is_object() || i.is_array()) => {
                items.iter().enumerate().fold(self, |f, (i, v)| f.with_tree(&format!("{prefix}.{i}"), v))
            }
            leaf => self.with(prefix, leaf),
        }
    }

    /// Adds all facts of another one under `prefix.`.
    #[must_use]
    pub fn including(mut self, prefix: &str, other: &Self) -> Self {
        for (key, value) in &other.0 {
            self.0.insert(format!("{prefix}.{key}"), value.clone());
        }
        self
    }

    /// The text of a fact.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str()
    }

    /// Whether there are no facts.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One line for each key whose value is not the expected one, in the order of the keys.
    pub fn difference(&self, expected: &Self) -> Vec<String> {
        let value = |of: &Self, key: &str| of.0.get(key).map_or_else(|| "nothing".to_owned(), Value::to_string);
        let other = expected.0.keys().filter(|k| !self.0.contains_key(*k));
        self.0
            .keys()
            .chain(other)
            .filter(|k| self.0.get(*k) != expected.0.get(*k))
            .map(|k| format!("`{k}`: found {}, expected {}", value(self, k), value(expected, k)))
            .collect()
    }
}

/// A text as the one fact `run`.
impl From<&str> for Fingerprint {
    fn from(text: &str) -> Self {
        Self::new().with("run", text)
    }
}

/// A text as the one fact `run`.
impl From<String> for Fingerprint {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_by_key() {
        let a = Fingerprint::from("x").with("seed", 3).with("only here", true);
        let b = Fingerprint::from("x").with("seed", 4).with("only there", [1, 2]);
        let want = [
            "`seed`: found 3, expected 4",
            "`only here`: found true, expected nothing",
            "`only there`: found nothing, expected [1,2]",
        ];
        assert_eq!(a.difference(&b), want);
        assert!(a.difference(&a).is_empty());
        assert_eq!(Fingerprint::new().with("x", f64::NAN).difference(&Fingerprint::new()).len(), 1);
        assert_ne!(Fingerprint::new().with("x", f64::NAN), Fingerprint::new().with("x", f64::INFINITY));
        let tree = serde_json::json!({"a": [1, 2], "b": [{"c": 3}, {"c": 4}]});
        let other = serde_json::json!({"a": [1, 2], "b": [{"c": 3}, {"c": 5}]});
        let of = |t| Fingerprint::new().with_tree("recipe", t);
        assert_eq!(of(&tree).difference(&of(&other)), ["`recipe.b.1.c`: found 4, expected 5"]);
        assert_eq!(a.clone().with("more", 1).without("more"), a);
        let nested = Fingerprint::new().including("task", &a);
        assert!(nested.difference(&Fingerprint::new())[1].starts_with("`task.seed`: found 3"));
    }
}
