//! Methods by name with JSON configurations, for recipes and the command line.

use crate::{
    Activation, Copod, DeepSad, DeepSadConfig, DevNet, DevNetConfig, Ecod, Error, Hbos, HbosConfig, IsolationForest,
    IsolationForestConfig, Knn, KnnConfig, Lof, LofConfig, Mahalanobis, MahalanobisConfig, Method, NetworkConfig,
    NeuralClassifier, OneClassSvm, OneClassSvmConfig, Pca, PcaConfig, Reconstruction, ReconstructionConfig,
    ReconstructionObjective, Result, Variational, VariationalConfig,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The names that [`method`] accepts; the methods that learn from known anomalies come first.
pub const NAMES: [&str; 18] = [
    "abc",
    "lrc",
    "deep-sad",
    "devnet",
    "classifier",
    "autoencoder",
    "denoising-autoencoder",
    "vae",
    "deep-svdd",
    "isolation-forest",
    "knn",
    "lof",
    "pca",
    "mahalanobis",
    "one-class-svm",
    "ecod",
    "copod",
    "hbos",
];

/// Whether a method of [`NAMES`] requires known anomalies.
pub fn needs_known(name: &str) -> bool {
    matches!(name, "classifier" | "devnet")
}

/// Whether a method of [`NAMES`] learns from known anomalies.
pub fn uses_known(name: &str) -> bool {
    NAMES.iter().position(|n| *n == name).is_some_and(|at| at < 5)
}

/// A default configuration with some of its fields replaced; nested objects are merged field by field.
fn merged<C: Serialize + DeserializeOwned>(name: &str, default: C, changes: &Value) -> Result<C> {
    fn merge(into: &mut Value, from: &Value) {
        match (into, from) {
            (Value::Object(a), Value::Object(b)) => {
                for (k, v) in b {
                    merge(a.entry(k.clone()).or_insert(Value::Null), v);
                }
            }
            (a, b) => *a = b.clone(),
        }
    }
    let bad = |e: serde_json::Error| Error::value(format!("configuration of `{name}`"), e.to_string());
    let mut value = serde_json::to_value(default).map_err(bad)?;
    match changes {
        Value::Null => {}
        Value::Object(_) => merge(&mut value, changes),
        other => {
            return Err(Error::value(format!("configuration of `{name}`"), format!("{other} is not a JSON object")));
        }
    }
    serde_json::from_value(value).map_err(bad)
}

/// The method of a name. `changes` is a JSON object with the fields of the method's configuration struct that differ from the
/// default (null for no changes).
///
/// ```
/// use sconce_anomaly::methods::method;
/// use serde_json::json;
/// assert!(method("knn", &json!({ "neighbours": 3 })).is_ok());
/// let e = method("abc", &json!({ "network": { "epoch": 3 } })).unwrap_err().to_string();
/// assert!(e.contains("`abc`") && e.contains("unknown field `epoch`"));
/// ```
///
/// # Errors
/// A name that is not in [`NAMES`]; an unknown field, or a value out of the configuration's range.
pub fn method(name: &str, changes: &Value) -> Result<Box<dyn Method>> {
    let reconstruction = |objective, default: ReconstructionConfig| -> Result<Box<dyn Method>> {
        Ok(Box::new(Reconstruction::new(objective, merged(name, default, changes)?)?))
    };
    Ok(match name {
        "abc" => reconstruction(ReconstructionObjective::Abc, ReconstructionConfig::default())?,
        // Without clipping it diverges.
        "lrc" => {
            let network = NetworkConfig { clip: Some(1.0), ..Default::default() };
            reconstruction(ReconstructionObjective::Lrc, ReconstructionConfig { network, ..Default::default() })?
        }
        "autoencoder" => reconstruction(ReconstructionObjective::Autoencoder, ReconstructionConfig::default())?,
        "denoising-autoencoder" => reconstruction(
            ReconstructionObjective::Autoencoder,
            ReconstructionConfig { noise: 0.2, ..Default::default() },
        )?,
        "vae" => Box::new(Variational::new(merged(name, VariationalConfig::default(), changes)?)?),
        "deep-sad" => Box::new(DeepSad::new(merged(name, DeepSadConfig::default(), changes)?)?),
        "deep-svdd" => {
            // Chosen on the 18 classical sets of ADBench: a mean AUROC of 0.859, and 0.800 with tanh (adbench/README.md).
            let network = NetworkConfig { activation: Activation::Relu, ..Default::default() };
            let default = DeepSadConfig { eta: 0.0, network };
            Box::new(DeepSad::new(merged(name, default, changes)?)?)
        }
        "devnet" => Box::new(DevNet::new(merged(name, DevNetConfig::default(), changes)?)?),
        "classifier" => {
            let default = NetworkConfig { hidden: vec![300, 100], ..Default::default() };
            Box::new(NeuralClassifier::new(merged(name, default, changes)?)?)
        }
        "isolation-forest" => Box::new(IsolationForest::new(merged(name, IsolationForestConfig::default(), changes)?)?),
        "knn" => Box::new(Knn::new(merged(name, KnnConfig::default(), changes)?)?),
        "lof" => Box::new(Lof::new(merged(name, LofConfig::default(), changes)?)?),
        "pca" => Box::new(Pca::new(merged(name, PcaConfig::default(), changes)?)?),
        "mahalanobis" => Box::new(Mahalanobis::new(merged(name, MahalanobisConfig::default(), changes)?)?),
        "one-class-svm" => Box::new(OneClassSvm::new(merged(name, OneClassSvmConfig::default(), changes)?)?),
        "hbos" => Box::new(Hbos::new(merged(name, HbosConfig::default(), changes)?)?),
        "ecod" => plain(name, changes, Ecod)?,
        "copod" => plain(name, changes, Copod)?,
        _ => return Err(Error::value("method", format!("no method `{name}`; choose one of {}", NAMES.join(", ")))),
    })
}

/// A method without a configuration.
fn plain(name: &str, changes: &Value, method: impl Method + 'static) -> Result<Box<dyn Method>> {
    match changes.as_object().and_then(|o| o.keys().next()) {
        Some(field) => {
            Err(Error::value(format!("configuration of `{name}`"), format!("this method has no field `{field}`")))
        }
        None => Ok(Box::new(method)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TrainingRows;
    use candle_core::{DType, Device};
    use sconce_tensor_core::Rng;
    use serde_json::json;

    /// Every method fits and scores; without known anomalies, the methods that require them return an error.
    #[test]
    fn every_name_is_a_method() {
        let x = Rng::new(0).normal((40, 3), 0.0, 1.0, DType::F64, &Device::Cpu).unwrap();
        let known: Vec<bool> = (0..40).map(|i| i >= 36).collect();
        for name in NAMES {
            let changes = match name {
                "classifier" => json!({ "epochs": 1 }),
                "abc" | "lrc" | "deep-sad" | "deep-svdd" | "devnet" | "vae" => json!({ "network": { "epochs": 1 } }),
                _ if name.ends_with("autoencoder") => json!({ "network": { "epochs": 1 } }),
                _ => Value::Null,
            };
            let m = method(name, &changes).unwrap();
            let fitted = m.fit(&TrainingRows::new(&x, Some(&known)), &Rng::new(0)).unwrap();
            assert_eq!(fitted.score(&x).unwrap().dims(), [40]);
            let alone = m.fit(&TrainingRows::normal(&x), &Rng::new(0));
            assert_eq!(alone.is_err(), needs_known(name), "{name}");
            if !uses_known(name) {
                let normal = m.fit(&TrainingRows::normal(&x.narrow(0, 0, 36).unwrap()), &Rng::new(0)).unwrap();
                let scores = |d: &dyn crate::Detector| d.score(&x).unwrap().to_vec1::<f64>().unwrap();
                assert_eq!(scores(&*normal), scores(&*fitted), "{name} learned from the known anomalies");
            }
        }
        let message = |name: &str, v: Value| method(name, &v).unwrap_err().to_string();
        assert!(message("oracle", Value::Null).contains("choose one of abc, lrc"));
        assert!(message("ecod", json!({ "bins": 3 })).contains("no field `bins`"));
        assert!(message("knn", json!({ "neighbours": 0 })).contains("KnnConfig.neighbours"));
        assert!(message("knn", json!(3)).contains("not a JSON object"));
    }
}
