//! Runs one conformance case: a model with inputs and expected outputs as files.
#![allow(dead_code, clippy::unwrap_used)] // each test and the example use a part; a test fails by panicking

use sconce_onnx::{Array, Data, Error, Model, ModelConfig, Value, read_value};
use sconce_tensor_core::Mode;
use sconce_tensor_core::candle_core::{DType, Device};
use std::path::{Path, PathBuf};

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The outputs are the expected ones.
    Passed,
    /// The file was refused, with the reason.
    Refused(String),
    /// The outputs are others, or the run failed.
    Failed(String),
}

/// The files `input_0.pb`, `input_1.pb`, ... of a folder.
fn numbered(folder: &Path, what: &str) -> Vec<PathBuf> {
    (0..).map(|i| folder.join(format!("{what}_{i}.pb"))).take_while(|p| p.exists()).collect()
}

/// Unpacks the cases that are committed, one folder each, and returns their names.
pub(crate) fn unpack(into: &Path) -> Vec<String> {
    use std::io::Read;
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/cases.safetensors.gz");
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(packed).unwrap()).read_to_end(&mut bytes).unwrap();
    let entries = sconce_tensor_core::candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
    let mut cases = std::collections::BTreeSet::new();
    for (name, bytes) in entries {
        let (folder, file) = name.rsplit_once('/').unwrap();
        std::fs::create_dir_all(into.join(folder)).unwrap();
        std::fs::write(into.join(folder).join(file), bytes.to_vec1::<u8>().unwrap()).unwrap();
        cases.insert(folder.to_owned());
    }
    cases.into_iter().collect()
}

/// The inputs of the case of a folder.
pub(crate) fn inputs(folder: &Path) -> Vec<Value> {
    numbered(folder, "input").iter().filter_map(|p| read_value(p).ok()).collect()
}

/// Runs the case of a folder that has `model.onnx`, and its inputs and outputs beside it or in `test_data_set_0`.
pub(crate) fn case(folder: &Path) -> Outcome {
    let data = Some(folder.join("test_data_set_0")).filter(|d| d.exists()).unwrap_or_else(|| folder.to_owned());
    let read = |what| numbered(&data, what).iter().map(|p| read_value(p)).collect::<Result<Vec<_>, _>>();
    let (inputs, expected) = match (read("input"), read("output")) {
        (Ok(i), Ok(o)) => (i, o),
        (Err(e), _) | (_, Err(e)) => return Outcome::Refused(e.to_string()),
    };
    let double = |v: &Value| matches!(v, Value::Tensor(t) if t.dtype() == DType::F64);
    let dtype = if inputs.iter().chain(&expected).any(double) { DType::F64 } else { DType::F32 };
    let model = match Model::open(&folder.join("model.onnx"), &ModelConfig { dtype, ..ModelConfig::default() }) {
        Ok(m) => m,
        Err(e) => return Outcome::Refused(e.to_string()),
    };
    let mut names: Vec<String> = model.inputs().iter().map(|p| p.name.clone()).collect();
    names.truncate(inputs.len());
    // Numbers that must be known before a run come as inputs in these cases: they are tried on the host, from the last one on.
    let mut last = Error::config("inputs", "");
    for on_host in 0..=inputs.len() {
        let values = inputs.iter().enumerate().map(|(i, v)| match v {
            v if i + on_host >= inputs.len() => v.to_array().map(Value::from),
            v => Ok(v.clone()),
        });
        let run = values.collect::<Result<Vec<_>, _>>().and_then(|values| {
            let given: Vec<(&str, Value)> = names.iter().map(String::as_str).zip(values).collect();
            model.run(&given, Mode::Frozen)
        });
        match run {
            Ok(got) => return compare(&got, &expected),
            Err(e) if e.to_string().contains("depends on the network's input") => last = e,
            Err(e) if e.to_string().contains("not supported") => return Outcome::Refused(e.to_string()),
            Err(e) => return Outcome::Failed(e.to_string()),
        }
    }
    Outcome::Refused(last.to_string())
}

fn compare(got: &[Value], expected: &[Value]) -> Outcome {
    if got.len() != expected.len() {
        return Outcome::Failed(format!("{} outputs, not {}", got.len(), expected.len()));
    }
    let mut faults = Vec::new();
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        match (g.to_array(), e.to_array()) {
            (Ok(g), Ok(e)) => faults.extend(differ(&g, &e).map(|d| format!("output {i}: {d}"))),
            (Err(x), _) | (_, Err(x)) => faults.push(x.to_string()),
        }
    }
    if faults.is_empty() { Outcome::Passed } else { Outcome::Failed(faults.join("; ")) }
}

/// The tolerances of ONNX's own runner.
fn differ(got: &Array, expected: &Array) -> Option<String> {
    let kind = |a: &Array| match a.data() {
        Data::Single(_) | Data::Double(_) => "float",
        Data::Int(_) => "integer",
        Data::Bool(_) => "bool",
    };
    if got.shape() != expected.shape() || kind(got) != kind(expected) {
        return Some(format!("{} {:?}, not {} {:?}", kind(got), got.shape(), kind(expected), expected.shape()));
    }
    let close = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-7 + 1e-3 * b.abs();
    let (g, e) = (got.to_f64(), expected.to_f64());
    let at = g.iter().zip(&e).position(|(a, b)| !close(*a, *b))?;
    Some(format!("{} at {at}, not {}", g[at], e[at]))
}
