//! The binary format of CIFAR-10 and CIFAR-100: per record the label bytes (one; CIFAR-100: coarse, then
//! fine), then 3,072 bytes as red, green and blue planes of 32 rows.

use crate::{Error, Images, Result, bytes};
use std::path::Path;

const PIXELS: usize = 3 * 32 * 32;

/// Which of the two sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 10 classes, one label byte.
    Cifar10,
    /// 100 fine classes; the coarse label is read past.
    Cifar100,
}

/// Reads and joins binary files (`data_batch_1.bin` ..., `train.bin`), in the given order.
///
/// # Errors
/// [`Error::Io`]; [`Error::Data`] with the offset: a size that is no whole number of records, a label
/// that is out of range.
pub fn read(paths: &[&Path], kind: Kind) -> Result<Images> {
    let (label_bytes, classes) = match kind {
        Kind::Cifar10 => (1, 10),
        Kind::Cifar100 => (2, 100),
    };
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for path in paths {
        let bytes = bytes::read(path)?;
        let bad = |offset: usize, reason: String| {
            Err(Error::Data { path: path.to_path_buf(), offset: offset as u64, reason })
        };
        let record = label_bytes + PIXELS;
        if bytes.is_empty() || bytes.len() % record != 0 {
            let whole = bytes.len() / record;
            return bad(whole * record, format!("{} bytes are no whole number of {record}-byte records", bytes.len()));
        }
        for (i, r) in bytes.chunks_exact(record).enumerate() {
            let label = r[label_bytes - 1];
            if usize::from(label) >= classes {
                let at = i * record + label_bytes - 1;
                return bad(at, format!("label {label} of record {i} is not below the {classes} classes"));
            }
            labels.push(label);
            pixels.extend_from_slice(&r[label_bytes..]);
        }
    }
    Images::new(pixels, (3, 32, 32), labels, classes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_and_bad_ones_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b.bin");
        let record = |labels: &[u8], v: u8| [labels, &[v; PIXELS]].concat();
        std::fs::write(&path, [record(&[3], 1), record(&[9], 2)].concat()).unwrap();
        let images = read(&[&path, &path], Kind::Cifar10).unwrap();
        assert_eq!((images.labels, images.pixels[PIXELS]), (vec![3, 9, 3, 9], 2));

        std::fs::write(&path, [record(&[3], 1), record(&[10], 2)].concat()).unwrap();
        let e = read(&[&path], Kind::Cifar10).unwrap_err().to_string();
        assert!(e.contains("byte 3073: label 10 of record 1"), "{e}");
        std::fs::write(&path, &record(&[3], 1)[..3000]).unwrap();
        assert!(read(&[&path], Kind::Cifar10).unwrap_err().to_string().contains("no whole number"));
        std::fs::write(&path, record(&[19, 99], 5)).unwrap();
        assert_eq!(read(&[&path], Kind::Cifar100).unwrap().labels, [99]);
    }
}
