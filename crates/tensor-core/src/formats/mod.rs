//! Files of other programs, told by their content and not by their names: numpy's arrays, zip archives, PyTorch's pickles, safetensors.
//!
//! Every reader is given bytes that anyone may have written. It returns an error with the place in the file, never panics, and allocates no
//! more than a bounded multiple of what it read. A deflated entry of an archive counts as what it inflates to, which is at most 1,032
//! times its bytes.

pub(crate) mod arrays;
mod npy;
mod pickle;
mod raw;
pub(crate) mod torch;
mod zip;

pub use arrays::Arrays;

use crate::Error;
use std::borrow::Cow;
use std::path::Path;

/// What is wrong with some bytes, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) offset: usize,
    pub(crate) reason: String,
}

/// The result of reading bytes.
pub(crate) type Read<T> = std::result::Result<T, Fault>;

impl Fault {
    pub(crate) fn at(offset: usize, reason: impl Into<String>) -> Self {
        Self { offset, reason: reason.into() }
    }

    /// The error of a file.
    pub(crate) fn of(self, path: &Path) -> Error {
        Error::Data { path: path.to_owned(), offset: self.offset as u64, reason: self.reason }
    }
}

/// The kind of a file, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Npy,
    Zip,
    Pickle,
    SafeTensors,
    /// Another kind that people bring, in words, with what to do.
    Other(&'static str),
}

impl Content {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        match bytes {
            [] => Self::Other("nothing: the file is empty"),
            // A header of JSON after its length in eight bytes. First, because the length may look like the start of another kind.
            [_, _, _, _, 0, 0, 0, 0, b'{', ..] => Self::SafeTensors,
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Self::Npy,
            [b'P', b'K', 3 | 5, 4 | 6, ..] => Self::Zip,
            [0x80, 0..=5, ..] => Self::Pickle,
            [0x89, b'H', b'D', b'F', ..] => {
                Self::Other("an HDF5 file (Keras, h5py); save its arrays with numpy.savez or safetensors")
            }
            [0x1f, 0x8b, ..] => Self::Other("compressed by gzip; decompress it first (gunzip)"),
            [b'B', b'Z', b'h', ..] => Self::Other("compressed by bzip2; decompress it first (bunzip2)"),
            [0xfd, b'7', b'z', b'X', b'Z', ..] => Self::Other("compressed by xz; decompress it first (unxz)"),
            [b'G', b'G', b'U', b'F', ..] => Self::Other("a GGUF file"),
            [b'v', b'e', b'r', b's', b'i', b'o', b'n', b' ', ..] => {
                Self::Other("a pointer of Git LFS instead of the file; fetch it first (git lfs pull)")
            }
            [b'<', ..] => Self::Other("a web page or XML instead of the file; download it again"),
            _ if bytes.get(257..262) == Some(b"ustar") => Self::Other("a tar archive; unpack it first"),
            [b'{' | b'[', ..] => Self::Other("JSON"),
            _ => Self::Other("of no known format"),
        }
    }
}

/// `N` bytes at an offset.
pub(crate) fn take<const N: usize>(bytes: &[u8], at: usize) -> Read<[u8; N]> {
    slice(bytes, at, N)?.try_into().map_err(|_| Fault::at(at, "the file ends here"))
}

/// A part of the bytes.
pub(crate) fn slice(bytes: &[u8], at: usize, len: usize) -> Read<&[u8]> {
    let end = at.checked_add(len).filter(|end| *end <= bytes.len());
    end.map(|end| &bytes[at..end]).ok_or_else(|| {
        Fault::at(
            at.min(bytes.len()),
            format!("the file ends: {len} bytes are wanted, {} are left", bytes.len().saturating_sub(at)),
        )
    })
}

/// How far deflate shrinks at most.
pub(crate) const INFLATION: usize = 1032;

/// A text of the file for a message or for a path: its start, where it is long.
pub(crate) fn short(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(64) {
        Some((end, _)) => Cow::Owned(format!("{}...", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// A length that the file states, as one of this machine.
pub(crate) fn length(value: u64, at: usize) -> Read<usize> {
    usize::try_from(value).map_err(|_| Fault::at(at, format!("a length of {value} bytes")))
}
