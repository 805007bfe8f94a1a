//! The IDX format of MNIST and its successors, plain or gzip-compressed.
//!
//! A big-endian header (two zero bytes, a type byte, the rank, one u32 per axis), then the values.
//! Only unsigned bytes (type 0x08) are read, which is what these sets use.

use crate::{Error, Images, Result, bytes};
use std::{io::Write, path::Path};

/// An array of bytes with its axes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    /// Length of each axis.
    pub dims: Vec<usize>,
    /// Values, last axis fastest.
    pub values: Vec<u8>,
}

/// Reads an IDX file of unsigned bytes; `.gz` is decompressed.
///
/// # Errors
/// [`Error::Io`]; [`Error::Data`] with the offset: a wrong magic, an unknown type, a header or body that
/// is cut short, bytes left over, a corrupt gzip stream.
pub fn read(path: &Path) -> Result<Array> {
    parse(&bytes::read(path)?, path)
}

/// Reads IDX bytes; `path` is for messages.
///
/// # Errors
/// As [`read`], but for the file system's.
pub fn parse(bytes: &[u8], path: &Path) -> Result<Array> {
    let bad = |offset: usize, reason: String| Error::Data { path: path.to_owned(), offset: offset as u64, reason };
    let header = bytes.get(..4).ok_or_else(|| bad(bytes.len(), "ends inside the magic number".to_owned()))?;
    if header[..2] != [0, 0] {
        return Err(bad(0, format!("wrong magic {header:02x?}: an IDX file starts with two zero bytes")));
    }
    if header[2] != 0x08 {
        return Err(bad(2, format!("type 0x{:02x}: only unsigned bytes (0x08) are read", header[2])));
    }
    let rank = usize::from(header[3]);
    if rank == 0 {
        return Err(bad(3, "rank 0".to_owned()));
    }
    let mut dims = Vec::with_capacity(rank);
    for i in 0..rank {
        let at = 4 + 4 * i;
        let word = bytes.get(at..at + 4).ok_or_else(|| bad(bytes.len(), format!("ends inside axis {i} of {rank}")))?;
        dims.push(u32::from_be_bytes([word[0], word[1], word[2], word[3]]) as usize);
    }
    let start = 4 + 4 * rank;
    let count = dims.iter().try_fold(1usize, |a, &d| a.checked_mul(d)).filter(|c| *c > 0);
    let count = count.ok_or_else(|| bad(4, format!("axes {dims:?} hold nothing, or more than memory")))?;
    let body = &bytes[start..];
    if body.len() < count {
        return Err(bad(bytes.len(), format!("ends after {} of the {count} values of axes {dims:?}", body.len())));
    }
    if body.len() > count {
        return Err(bad(start + count, format!("{} bytes left over after axes {dims:?}", body.len() - count)));
    }
    Ok(Array { dims, values: body.to_vec() })
}

/// Reads a file of grey images (N, H, W) and one of labels (N,).
///
/// # Errors
/// As [`read`]; ranks other than 3 and 1, counts that disagree, a label not below `classes`.
pub fn read_images(images: &Path, labels: &Path, classes: usize) -> Result<Images> {
    pair((read(images)?, images), (read(labels)?, labels), classes)
}

pub(crate) fn pair((x, xp): (Array, &Path), (y, yp): (Array, &Path), classes: usize) -> Result<Images> {
    let bad = |path: &Path, offset: usize, reason: String| {
        Err(Error::Data { path: path.to_owned(), offset: offset as u64, reason })
    };
    let &[n, h, w] = x.dims.as_slice() else {
        return bad(xp, 3, format!("axes {:?}: images need (count, height, width)", x.dims));
    };
    if y.dims.len() != 1 {
        return bad(yp, 3, format!("axes {:?}: labels need (count)", y.dims));
    }
    if y.values.len() != n {
        return bad(yp, 4, format!("{} labels for the {n} images of {}", y.values.len(), xp.display()));
    }
    if let Some((i, v)) = y.values.iter().enumerate().find(|(_, v)| usize::from(**v) >= classes) {
        return bad(yp, 8 + i, format!("label {v} of image {i} is not below the {classes} classes"));
    }
    Images::new(x.values, (1, h, w), y.values, classes)
}

/// The gzip-compressed IDX file of an array: the same array gives the same bytes.
///
/// # Errors
/// [`Error::Value`] where the axes do not fit the values or the format.
pub fn to_gz(array: &Array) -> Result<Vec<u8>> {
    let fits = array.dims.len() <= 255 && array.dims.iter().all(|d| u32::try_from(*d).is_ok());
    if !fits || array.dims.iter().product::<usize>() != array.values.len() {
        return Err(Error::value("IDX array", format!("{} values for axes {:?}", array.values.len(), array.dims)));
    }
    let mut out = flate2::GzBuilder::new().mtime(0).write(Vec::new(), flate2::Compression::best());
    let mut head = vec![0, 0, 8, array.dims.len() as u8];
    head.extend(array.dims.iter().flat_map(|d| (*d as u32).to_be_bytes()));
    let write = |out: &mut flate2::write::GzEncoder<Vec<u8>>| out.write_all(&head).and(out.write_all(&array.values));
    write(&mut out).and_then(|()| out.finish()).map_err(Error::io("memory"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    fn array() -> Array {
        Array { dims: vec![2, 2, 3], values: (0..12).collect() }
    }

    fn message(bytes: &[u8], name: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        read(&path).unwrap_err().to_string()
    }

    #[test]
    fn round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gz");
        let gz = to_gz(&array()).unwrap();
        fs::write(&path, &gz).unwrap();
        assert_eq!(read(&path).unwrap(), array());
        assert_eq!(gz, to_gz(&array()).unwrap());
    }

    #[test]
    fn a_cut_or_damaged_gz_names_file_and_place() {
        let gz = to_gz(&array()).unwrap();
        for cut in 1..gz.len() {
            let m = message(&gz[..cut], "cut.gz");
            assert!(m.contains("cut.gz") && m.contains("truncated or corrupt"), "{cut}: {m}");
        }
        let mut flipped = gz.clone();
        let middle = gz.len() - 6;
        flipped[middle] ^= 0x55; // inside the checksum
        assert!(message(&flipped, "bad.gz").contains("truncated or corrupt"));
    }

    #[test]
    fn every_wrong_header_is_told_apart() {
        let plain = plain();
        assert_eq!(parse(&plain, Path::new("p")).unwrap(), array());
        let with = |at: usize, v: u8| {
            let mut b = plain.clone();
            b[at] = v;
            message(&b, "x")
        };
        assert!(with(0, 7).contains("byte 0: wrong magic"));
        assert!(with(2, 0x0d).contains("byte 2: type 0x0d"));
        assert!(with(3, 0).contains("rank 0"));
        assert!(with(7, 3).contains("ends after 12 of the 18"));
        assert!(with(7, 1).contains("6 bytes left over"));
        assert!(with(4, 0xff).contains("ends after") || with(4, 0xff).contains("memory"));
        assert!(message(&plain[..9], "x").contains("byte 9: ends inside axis 1"));
        assert!(message(&[], "x").contains("magic"));
    }

    #[test]
    fn counts_and_labels_are_checked() {
        let (x, y) = (Path::new("x"), Path::new("y"));
        let labels = |v: Vec<u8>| Array { dims: vec![v.len()], values: v };
        assert_eq!(pair((array(), x), (labels(vec![1, 0]), y), 2).unwrap().len(), 2);
        let e = pair((array(), x), (labels(vec![1]), y), 2).unwrap_err().to_string();
        assert!(e.contains("1 labels for the 2 images"), "{e}");
        let e = pair((array(), x), (labels(vec![1, 2]), y), 2).unwrap_err().to_string();
        assert!(e.contains("y: byte 9: label 2 of image 1"), "{e}");
        assert!(pair((labels(vec![1]), x), (labels(vec![1]), y), 2).is_err());
    }
    fn plain() -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, 3];
        bytes.extend([2u32, 2, 3].iter().flat_map(|d| d.to_be_bytes()));
        bytes.extend(0..12u8);
        bytes
    }

    fn tried(bytes: &[u8]) {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "a.gz"] {
            let path = dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            let Ok(found) = read(&path) else { continue };
            assert_eq!(found.dims.iter().product::<usize>(), found.values.len());
            let n = found.dims[0];
            let labels = Array { dims: vec![n], values: vec![0; n] };
            let _ = pair((found, &path), (labels, &path), 1);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn any_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..80), rank in 0..4u8) {
            tried(&bytes);
            bytes.splice(..0, [0, 0, 8, rank]);
            tried(&bytes);
        }

        #[test]
        fn changed_files(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in any::<prop::sample::Index>(),
            gz in any::<bool>(),
        ) {
            let mut bytes = if gz { to_gz(&array()).unwrap() } else { plain() };
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            tried(&bytes);
            tried(&bytes[..cut.index(bytes.len())]);
        }
    }
}
