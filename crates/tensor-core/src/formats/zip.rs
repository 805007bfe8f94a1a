//! Zip archives, as numpy and PyTorch write them: stored or deflated entries, with the extension for large files.

use super::{Fault, Read, length, slice, take};
use flate2::{Crc, read::DeflateDecoder};
use std::borrow::Cow;
use std::io::Read as _;

/// One file of an archive.
#[derive(Clone, Debug)]
struct Entry {
    name: String,
    method: u16,
    encrypted: bool,
    crc: u32,
    packed: u64,
    size: u64,
    /// Of its local header.
    at: u64,
}

/// An archive in memory.
#[derive(Clone, Debug)]
pub(crate) struct Archive<'a> {
    bytes: &'a [u8],
    entries: Vec<Entry>,
}

fn u16_at(b: &[u8], at: usize) -> Read<u16> {
    take(b, at).map(u16::from_le_bytes)
}

fn u32_at(b: &[u8], at: usize) -> Read<u32> {
    take(b, at).map(u32::from_le_bytes)
}

fn u64_at(b: &[u8], at: usize) -> Read<u64> {
    take(b, at).map(u64::from_le_bytes)
}

/// Where the list of entries is: its offset and its length.
fn directory(bytes: &[u8]) -> Read<(usize, usize)> {
    // The end of the archive has 22 bytes and a comment.
    let from = bytes.len().saturating_sub(22 + usize::from(u16::MAX));
    let end = bytes[from..].windows(4).rposition(|w| w == b"PK\x05\x06").map(|at| from + at);
    let end =
        end.ok_or_else(|| Fault::at(bytes.len(), "the zip archive is not whole: the list of its files is missing"))?;
    let (mut size, mut at) = (u64::from(u32_at(bytes, end + 12)?), u64::from(u32_at(bytes, end + 16)?));
    // A large archive says so in twenty bytes before.
    if let Some(large) = end.checked_sub(20).filter(|l| bytes[*l..].starts_with(b"PK\x06\x07")) {
        let record = length(u64_at(bytes, large + 8)?, large)?;
        slice(bytes, record, 56)?;
        (size, at) = (u64_at(bytes, record + 40)?, u64_at(bytes, record + 48)?);
    }
    Ok((length(at, end)?, length(size, end)?))
}

impl Entry {
    /// The entry at an offset of the list, and the offset of the next one.
    fn read(bytes: &[u8], at: usize) -> Read<(Self, usize)> {
        if slice(bytes, at, 46)?[..4] != *b"PK\x01\x02" {
            return Err(Fault::at(at, "the zip archive is damaged: no entry of its list is here"));
        }
        let (name, extra, comment) = (u16_at(bytes, at + 28)?, u16_at(bytes, at + 30)?, u16_at(bytes, at + 32)?);
        let text = slice(bytes, at + 46, name.into())?;
        let mut entry = Self {
            name: String::from_utf8_lossy(text).into_owned(),
            encrypted: u16_at(bytes, at + 8)? & 1 == 1,
            method: u16_at(bytes, at + 10)?,
            crc: u32_at(bytes, at + 16)?,
            packed: u32_at(bytes, at + 20)?.into(),
            size: u32_at(bytes, at + 24)?.into(),
            at: u32_at(bytes, at + 42)?.into(),
        };
        let more = slice(bytes, at + 46 + usize::from(name), extra.into())?;
        let mut i = 0;
        while let (Ok(kind), Ok(len)) = (u16_at(more, i), u16_at(more, i + 2)) {
            if kind == 1 {
                // Only numbers that do not fit in 32 bits are here, in this order.
                let mut j = i + 4;
                for value in [&mut entry.size, &mut entry.packed, &mut entry.at] {
                    if *value == u64::from(u32::MAX) {
                        *value = u64_at(more, j)?;
                        j += 8;
                    }
                }
            }
            i += 4 + usize::from(len);
        }
        Ok((entry, at + 46 + usize::from(name) + usize::from(extra) + usize::from(comment)))
    }
}

impl<'a> Archive<'a> {
    /// Reads the list of files.
    pub(crate) fn open(bytes: &'a [u8]) -> Read<Self> {
        let (mut at, size) = directory(bytes)?;
        let end = at + slice(bytes, at, size)?.len();
        let mut entries = Vec::new();
        while at < end {
            let (entry, next) = Entry::read(bytes, at)?;
            entries.push(entry);
            at = next;
        }
        Ok(Self { bytes, entries })
    }

    /// The names of the files, in their order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|e| e.name.as_str())
    }

    /// The content of a file, with its checksum verified; `None` where there is no such file.
    pub(crate) fn get(&self, name: &str) -> Read<Option<Cow<'a, [u8]>>> {
        // The last one of a name is the valid one.
        let Some(e) = self.entries.iter().rev().find(|e| e.name == name) else { return Ok(None) };
        let at = length(e.at, 0)?;
        if slice(self.bytes, at, 30)?[..4] != *b"PK\x03\x04" {
            return Err(Fault::at(at, format!("the zip archive is damaged: `{name}` is not here")));
        }
        let start = at + 30 + usize::from(u16_at(self.bytes, at + 26)?) + usize::from(u16_at(self.bytes, at + 28)?);
        let packed = slice(self.bytes, start, length(e.packed, at)?)?;
        let content = match e.method {
            _ if e.encrypted => return Err(Fault::at(at, format!("`{name}` is encrypted"))),
            0 => Cow::Borrowed(packed),
            8 => {
                let mut out = Vec::new();
                // One byte more than stated shows that the statement is wrong.
                let limit = e.size.saturating_add(1);
                let read = DeflateDecoder::new(packed).take(limit).read_to_end(&mut out);
                read.map_err(|why| Fault::at(start, format!("`{name}` cannot be decompressed: {why}")))?;
                Cow::Owned(out)
            }
            other => {
                return Err(Fault::at(
                    at,
                    format!("`{name}` is compressed by the method {other}, which is not read; use deflate"),
                ));
            }
        };
        let mut crc = Crc::new();
        crc.update(&content);
        if content.len() as u64 != e.size || crc.sum() != e.crc {
            return Err(Fault::at(
                start,
                format!("`{name}` is damaged: its size or its checksum is not the one in the list"),
            ));
        }
        Ok(Some(content))
    }
}
