//! Named tensors and one text in one safetensors file.

use super::{Digest, write_whole};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, fs, path::Path};

const META: &str = "sconce";

/// What stands in a file's header.
#[derive(Serialize, Deserialize)]
struct Header {
    sha256: String,
    meta: String,
}

/// The checksum of what a file holds.
fn checksum(tensors: &mut [(&str, &Tensor)], meta: &str) -> Result<String> {
    tensors.sort_by_key(|t| t.0);
    if let Some(pair) = tensors.windows(2).find(|p| p[0].0 == p[1].0) {
        return Err(Error::value("tensors", format!("two are named `{}`", pair[0].0)));
    }
    let start = Digest::new().bytes(meta.as_bytes());
    tensors.iter().try_fold(start, |d, (n, t)| d.bytes(n.as_bytes()).tensor(t)).map(Digest::hex)
}

/// The bytes of a file of named tensors with `meta` and a checksum in the header. The same content gives the same bytes.
pub(super) fn encode(tensors: &[(&str, Tensor)], meta: &str) -> Result<Vec<u8>> {
    let sha256 = checksum(&mut tensors.iter().map(|(n, t)| (*n, t)).collect::<Vec<_>>(), meta)?;
    let header = serde_json::to_string(&Header { sha256, meta: meta.to_owned() })
        .map_err(|e| Error::value("header", e.to_string()))?;
    let header = HashMap::from([(META.to_owned(), header)]);
    Ok(safetensors::serialize(tensors.iter().map(|(n, t)| (*n, t)), Some(header))?)
}

/// What [`encode`] wrote (or any safetensors file; then the text is empty). `path` stands in errors.
pub(super) fn decode(path: &Path, bytes: &[u8], device: &Device) -> Result<(HashMap<String, Tensor>, String)> {
    let refuse = |reason: String| Error::Checkpoint { path: path.to_owned(), reason };
    let broken = |e: safetensors::SafeTensorError| refuse(format!("not a whole safetensors file: {e}"));
    // Checks every offset against the length.
    SafeTensors::deserialize(bytes).map_err(broken)?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let text = header.metadata().as_ref().and_then(|m| m.get(META)).cloned().unwrap_or_default();
    let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu)?;
    let meta = match serde_json::from_str::<Header>(&text) {
        Ok(Header { sha256, meta }) => {
            let found = checksum(&mut tensors.iter().map(|(n, t)| (n.as_str(), t)).collect::<Vec<_>>(), &meta)?;
            if found != sha256 {
                return Err(refuse(format!("its content was changed: checksum {found}, written with {sha256}")));
            }
            meta
        }
        // A file of another program.
        Err(_) if text.is_empty() => text,
        Err(_) => return Err(refuse("its checksum is missing or damaged: make the file again".to_owned())),
    };
    let tensors = tensors.into_iter().map(|(n, t)| Ok((n, t.to_device(device)?))).collect::<Result<_>>()?;
    Ok((tensors, meta))
}

/// Checks the checksum of a file that has one; other files may hold types that are not read here.
pub(crate) fn verify(path: &Path, bytes: &[u8]) -> Result<()> {
    let ours = SafeTensors::read_metadata(bytes)
        .is_ok_and(|(_, h)| h.metadata().as_ref().is_some_and(|m| m.contains_key(META)));
    if ours { decode(path, bytes, &Device::Cpu).map(drop) } else { Ok(()) }
}

/// Saves named tensors with `meta` and a checksum in the header, whole or not at all. The same content gives the same bytes.
///
/// # Errors
/// [`Error::Io`] with the path.
pub fn save<'a>(path: &Path, tensors: impl IntoIterator<Item = (&'a str, Tensor)>, meta: &str) -> Result<()> {
    write_whole(path, &encode(&tensors.into_iter().collect::<Vec<_>>(), meta)?)
}

/// Loads what [`save`] wrote (or any safetensors file; then the text is empty).
///
/// # Errors
/// [`Error::Io`] with the path; [`Error::Checkpoint`] where the file is not whole or was changed after it was written.
pub fn load(path: &Path, device: &Device) -> Result<(HashMap<String, Tensor>, String)> {
    decode(path, &fs::read(path).map_err(Error::io(path))?, device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_flipped_bit_anywhere_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.safetensors");
        let t = Tensor::new(&[1f32, 2.0, 3.0], &Device::Cpu).unwrap();
        save(&path, [("b", t.clone()), ("a", t.clone())], "text").unwrap();
        let bytes = fs::read(&path).unwrap();
        save(&path, [("b", t.clone()), ("a", t)], "text").unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes, "the same content, the same bytes");
        let (all, meta) = load(&path, &Device::Cpu).unwrap();
        assert_eq!((all.len(), meta.as_str()), (2, "text"));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            // White space of the header's padding is the one place without content.
            if bytes[at] == b' ' {
                continue;
            }
            match load(&path, &Device::Cpu) {
                Err(e) => assert!(e.to_string().contains("t.safetensors"), "byte {at}: {e}"),
                // A changed key of the header leaves a plain safetensors file without our text.
                Ok((_, meta)) => assert_ne!(meta, "text", "byte {at}"),
            }
        }
    }
}
