//! Named tensors and one text in one safetensors file, written whole or not at all.

use crate::{Error, Result};
use candle_core::{Device, Tensor};
use safetensors::SafeTensors;
use std::{collections::HashMap, fs, io::Write, path::Path};

const META: &str = "sconce";

/// Writes `bytes` to `path` beside it first, then renames: a kill or a full disk leaves the old file.
///
/// # Errors
/// [`Error::Io`] with the path.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".partial");
    let beside = path.with_file_name(name);
    let write = || {
        let mut f = fs::File::create(&beside)?;
        f.write_all(bytes)?;
        f.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(|e| {
        // Best effort: the first error is the one to tell.
        let _ = fs::remove_file(&beside);
        Error::io(path)(e)
    })
}

/// Saves named tensors with `meta` in the header. The same content gives the same bytes.
///
/// # Errors
/// [`Error::Io`] with the path.
pub fn save<'a>(path: &Path, tensors: impl IntoIterator<Item = (&'a str, Tensor)>, meta: &str) -> Result<()> {
    let meta = HashMap::from([(META.to_owned(), meta.to_owned())]);
    let tensors: Vec<(&str, Tensor)> = tensors.into_iter().collect();
    let bytes = safetensors::serialize(tensors.iter().map(|(n, t)| (*n, t)), Some(meta))?;
    write_whole(path, &bytes)
}

/// Loads what [`save`] wrote (or any safetensors file; then the text is empty).
///
/// # Errors
/// [`Error::Io`] with the path; [`Error::Checkpoint`] where the file is not whole.
pub fn load(path: &Path, device: &Device) -> Result<(HashMap<String, Tensor>, String)> {
    let bytes = fs::read(path).map_err(Error::io(path))?;
    let broken = |e: safetensors::SafeTensorError| Error::Checkpoint {
        path: path.to_owned(),
        reason: format!("not a whole safetensors file: {e}"),
    };
    // Checks every offset against the length.
    SafeTensors::deserialize(&bytes).map_err(broken)?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(broken)?;
    let meta = header.metadata().as_ref().and_then(|m| m.get(META)).cloned().unwrap_or_default();
    Ok((candle_core::safetensors::load_buffer(&bytes, device)?, meta))
}
