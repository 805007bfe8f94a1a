//! From arguments to a method: its configuration, and the preprocessing of its features.

use crate::args;
use anyhow::{Context, Result, bail};
use sconce_anomaly::{Encoded, Method, Missing, Scale, Scaled, methods};
use sconce_tensor_core::table::Schema;
use serde_json::{Map, Value, json};

impl args::Preprocessing {
    /// The library's scaling, if features are scaled.
    fn scaling(&self) -> Option<Scale> {
        match self.scale {
            args::Scale::Standard => Some(Scale::Standard),
            args::Scale::MinMax => Some(Scale::MinMax),
            args::Scale::None => None,
        }
    }

    /// The library's treatment of missing values.
    pub(super) fn missing(&self) -> Missing {
        match self.missing {
            args::Missing::Refuse => Missing::Refuse,
            args::Missing::Impute => Missing::Impute,
        }
    }
}

/// Fails for a name that is no method, or values that are not of its configuration: before any data is read.
///
/// # Errors
/// Those of [`methods::method`].
pub(super) fn check(name: &str, changes: &Value) -> Result<()> {
    methods::method(name, changes).map(drop).with_context(|| format!("--detector {name}"))
}

/// The method of a name for the columns of a table, with the preprocessing of its features.
///
/// # Errors
/// Those of [`methods::method`].
pub(super) fn method(
    name: &str,
    changes: &Value,
    preprocessing: &args::Preprocessing,
    schema: &Schema,
) -> Result<Box<dyn Method>> {
    let method = methods::method(name, &with_code_size(name, changes, schema))?;
    let missing = preprocessing.missing();
    Ok(match preprocessing.scaling() {
        Some(scale) => Box::new(Encoded::new(Scaled::new(method, scale), schema.clone(), missing)),
        None => Box::new(Encoded::new(method, schema.clone(), missing)),
    })
}

/// The changes to a configuration, with a default size of an autoencoder's code: a third of the features, at most 20. A code with
/// room for all features would learn to copy them.
fn with_code_size(name: &str, changes: &Value, schema: &Schema) -> Value {
    let codes = matches!(name, "abc" | "lrc" | "autoencoder" | "denoising-autoencoder" | "vae");
    let mut changes = changes.clone();
    if !codes || changes.pointer("/network/hidden").is_some() {
        return changes;
    }
    let code = (schema.columns().iter().map(|c| c.kind.features()).sum::<usize>() / 3).clamp(1, 20);
    if changes.is_null() {
        changes = json!({});
    }
    // A `network` that is not a table is an error of the method's constructor.
    if changes.get("network").is_none() {
        changes["network"] = json!({});
    }
    if let Some(network) = changes["network"].as_object_mut() {
        network.insert("hidden".to_owned(), json!([300, 100, code]));
    }
    changes
}

/// `a.b=3` as `{"a": {"b": 3}}`; a value that is not JSON is taken as a string.
///
/// # Errors
/// A setting without `=` or key; a key that has a value and parts.
pub(super) fn changes(set: &[String]) -> Result<Value> {
    let mut all = Map::new();
    for setting in set {
        let Some((key, text)) = setting.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            bail!("--set {setting}: needs KEY=VALUE, for example network.epochs=20");
        };
        let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
        let (folders, last) = key.rsplit_once('.').map_or((None, key), |(folders, last)| (Some(folders), last));
        let mut at = &mut all;
        for part in folders.iter().flat_map(|f| f.split('.')) {
            let inner = at.entry(part).or_insert_with(|| Value::Object(Map::new()));
            at = inner.as_object_mut().with_context(|| format!("--set {setting}: `{part}` has a value already"))?;
        }
        at.insert(last.to_owned(), value);
    }
    Ok(Value::Object(all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sconce_tensor_core::table::{Column, Kind};

    fn set(settings: &[&str]) -> Result<Value> {
        changes(&settings.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn settings_are_nested_and_typed() {
        let all = set(&["network.epochs=20", "network.hidden=[8,1]", "noise=0.5", "score=mean"]).unwrap();
        assert_eq!(all, json!({ "network": { "epochs": 20, "hidden": [8, 1] }, "noise": 0.5, "score": "mean" }));
        for bad in [&["epochs"][..], &["=3"], &["a=1", "a.b=2"]] {
            let e = format!("{:#}", set(bad).unwrap_err());
            assert!(e.starts_with("--set "), "{e}");
        }
    }

    #[test]
    fn the_code_is_a_third_of_the_features() {
        let colours = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
        let columns = vec![
            Column { name: "x".to_owned(), kind: Kind::Number },
            Column { name: "c".to_owned(), kind: Kind::Category(colours) },
        ];
        let schema = Schema::new(columns).unwrap();
        let size = |name: &str, v: Value| with_code_size(name, &v, &schema);
        assert_eq!(size("vae", Value::Null), json!({ "network": { "hidden": [300, 100, 2] } }));
        let own = json!({ "network": { "hidden": [4] } });
        assert_eq!((size("abc", own.clone()), size("knn", json!({}))), (own, json!({})));
        assert_eq!(size("abc", json!({ "network": 3 })), json!({ "network": 3 }));
    }
}
