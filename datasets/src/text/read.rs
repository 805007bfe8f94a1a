//! Texts in files, one line of words after the other.

use super::Parts;
use crate::{Error, Result, bytes};
use std::path::Path;

/// Reads a text file in UTF-8, plain or .gz.
///
/// # Errors
/// [`Error::Io`]; [`Error::Data`] with the byte at which it is no UTF-8, or for a file without words.
pub fn read(path: &Path) -> Result<String> {
    let bad = |offset: usize, reason: &str| Error::Data {
        path: path.to_owned(),
        offset: offset as u64,
        reason: reason.to_owned(),
    };
    let text = String::from_utf8(bytes::read(path)?)
        .map_err(|e| bad(e.utf8_error().valid_up_to(), "is not UTF-8 from here on"))?;
    if text.split_whitespace().next().is_none() {
        return Err(bad(0, "the file has no words"));
    }
    Ok(text)
}

/// Reads the three parts of a text.
pub(crate) fn parts(train: &Path, validation: &Path, test: &Path) -> Result<Parts> {
    Ok(Parts { train: read(train)?, validation: read(validation)?, test: read(test)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_placed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.txt");
        for (content, want) in [
            (&b"a b\n\xff c"[..], "byte 4: is not UTF-8"),
            (b"", "no words"),
            (b" \n\n", "byte 0: the file has no words"),
        ] {
            std::fs::write(&path, content).unwrap();
            let e = read(&path).unwrap_err().to_string();
            assert!(e.contains("t.txt") && e.contains(want), "{e}");
        }
        std::fs::write(&path, "a b\n").unwrap();
        assert_eq!(read(&path).unwrap(), "a b\n");
        assert!(read(&dir.path().join("none")).unwrap_err().to_string().contains("none"));
    }
}
