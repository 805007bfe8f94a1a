//! Reading of files: the model, its constants, and constants in files beside it.

mod external;
mod tensor;

pub(crate) use external::Beside;
pub(crate) use tensor::{Constant, element_name, read as read_tensor};

use crate::proto;
use crate::value::Value;
use prost::Message;
use sconce_tensor_core::{Error, Result};
use std::path::Path;

/// The error of a file.
pub(crate) fn broken(path: &Path, reason: impl Into<String>) -> Error {
    Error::Checkpoint { path: path.to_owned(), reason: reason.into() }
}

/// Puts the file before the message of an error.
pub(crate) fn of(path: &Path) -> impl Fn(Error) -> Error + '_ {
    |e| match e {
        Error::Checkpoint { .. } | Error::Io { .. } => e,
        e => broken(path, e.to_string()),
    }
}

/// The messages of a model's file.
///
/// # Errors
/// A file that cannot be read or that is no ONNX model, with what it seems to be.
pub(crate) fn read(path: &Path) -> Result<proto::Model> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let starts = |with: &[u8]| bytes.starts_with(with);
    let seems = if bytes.is_empty() {
        Some("it is empty")
    } else if starts(b"PK\x03\x04") {
        Some("it is a zip archive, as torch.save writes: export it with torch.onnx.export")
    } else if bytes.get(4..8) == Some(b"TFL3") {
        Some("it is a TensorFlow Lite model: convert it with tf2onnx")
    } else if starts(b"version https://git-lfs") {
        Some("it is a pointer of Git LFS: fetch the file with `git lfs pull`")
    } else if starts(b"\x89HDF") {
        Some("it is an HDF5 file, as Keras writes: convert it with tf2onnx")
    } else if matches!(bytes[..], [0x80, 2..=5, ..]) {
        Some("it is a pickle: export the model with torch.onnx.export")
    } else {
        None
    };
    if let Some(seems) = seems {
        return Err(broken(path, format!("not an ONNX model: {seems}")));
    }
    let model = proto::Model::decode(bytes.as_slice())
        .map_err(|e| broken(path, format!("not a whole ONNX model: {e}; {} bytes were read", bytes.len())))?;
    match &model.graph {
        Some(g) if !g.output.is_empty() => Ok(model),
        _ => Err(broken(path, "not an ONNX model: it has no graph with outputs")),
    }
}

/// Reads a file with one tensor (a `TensorProto`, as the ONNX conformance tests store inputs and outputs).
///
/// # Errors
/// A file that cannot be read, is no tensor, or has a type without numbers.
pub fn read_value(path: &Path) -> Result<Value> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let tensor =
        proto::Tensor::decode(bytes.as_slice()).map_err(|e| broken(path, format!("not a whole tensor: {e}")))?;
    match read_tensor(&tensor, &Beside::of(path)).map_err(of(path))? {
        Constant::Float(t) => Ok(Value::Tensor(t)),
        Constant::Host(a) => Ok(a.into()),
    }
}
