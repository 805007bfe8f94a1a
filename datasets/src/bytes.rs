//! A file's content, decompressed where its name says so.

use crate::{Error, Result};
use std::{fs::File, io::Read, path::Path};

/// Reads a whole file; `.gz` is decompressed. A truncated or corrupt stream is an error that says after
/// how many bytes.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let mut bytes = Vec::new();
    if path.extension().is_some_and(|e| e == "gz") {
        inflate(&mut file, path)
    } else {
        file.read_to_end(&mut bytes).map_err(Error::io(path))?;
        Ok(bytes)
    }
}

/// Decompresses a gzip stream; `path` is for messages.
pub(crate) fn inflate(from: impl Read, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut decoder = flate2::read::MultiGzDecoder::new(from);
    decoder.read_to_end(&mut bytes).map_err(|e| Error::Data {
        path: path.to_owned(),
        offset: bytes.len() as u64,
        reason: format!("the gzip stream is truncated or corrupt here ({e})"),
    })?;
    Ok(bytes)
}
