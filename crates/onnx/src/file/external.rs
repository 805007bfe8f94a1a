//! Constants in files beside the model (torch writes `model.onnx.data`).

use crate::proto;
use sconce_tensor_core::{Error, Result};
use std::collections::BTreeSet;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The folder of a model, the only place from which its constants are read, and which of its files were.
#[derive(Clone, Debug)]
pub(crate) struct Beside {
    folder: PathBuf,
    read: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl Beside {
    /// The folder that a file is in.
    pub(crate) fn of(path: &Path) -> Self {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        Self { folder: folder.to_owned(), read: Arc::default() }
    }

    /// The files that constants were read from, in order.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The bytes of a constant that is stored outside.
    ///
    /// # Errors
    /// A place outside the folder, a missing or short file.
    pub(crate) fn read(&self, entries: &[proto::Entry], expected: usize) -> Result<Vec<u8>> {
        let get = |key: &str| {
            let found = entries.iter().find(|e| e.key.as_deref() == Some(key));
            found.and_then(|e| e.value.as_deref())
        };
        let location = get("location").ok_or_else(|| Error::value("external data", "it has no location"))?;
        let number = |key: &'static str| match get(key) {
            None => Ok(None),
            Some(v) => v
                .parse::<u64>()
                .map(Some)
                .map_err(|_| Error::value("external data", format!("{key} is {v:?}, not a number"))),
        };
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        if length.is_some_and(|l| l != expected as u64) {
            let reason =
                format!("`{location}` has {} bytes for it, but its shape needs {expected}", length.unwrap_or(0));
            return Err(Error::value("external data", reason));
        }
        let path = self.place(location)?;
        let mut file = std::fs::File::open(&path).map_err(|cause| match cause.kind() {
            std::io::ErrorKind::NotFound => Error::value(
                "external data",
                format!(
                    "{} is missing; torch writes the weights to this file, so copy it together with the model",
                    path.display()
                ),
            ),
            _ => Error::io(&path)(cause),
        })?;
        let there = file.metadata().map_err(Error::io(&path))?.len();
        if offset.checked_add(expected as u64).is_none_or(|end| end > there) {
            let reason = format!(
                "{} has {there} bytes, but {expected} from byte {offset} are needed; it is cut off or of another model",
                path.display()
            );
            return Err(Error::value("external data", reason));
        }
        let mut bytes = vec![0; expected];
        file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut bytes)).map_err(Error::io(&path))?;
        self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(path);
        Ok(bytes)
    }

    /// A file in the folder, by links too.
    fn place(&self, location: &str) -> Result<PathBuf> {
        let outside = || {
            let reason = format!("`{location}` is not in the model's folder; only files there are read");
            Error::value("external data", reason)
        };
        let relative = Path::new(location);
        if location.is_empty() || relative.components().any(|c| !matches!(c, Component::Normal(_) | Component::CurDir))
        {
            return Err(outside());
        }
        let path = self.folder.join(relative);
        let (Ok(folder), Ok(real)) = (self.folder.canonicalize(), path.canonicalize()) else { return Ok(path) };
        if real.starts_with(folder) { Ok(path) } else { Err(outside()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(all: &[(&str, &str)]) -> Vec<proto::Entry> {
        all.iter().map(|(k, v)| proto::Entry { key: Some((*k).into()), value: Some((*v).into()) }).collect()
    }

    #[test]
    fn only_files_in_the_folder_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("model");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(dir.path().join("secret"), [1, 2, 3, 4]).unwrap();
        std::fs::write(folder.join("data"), [1, 2, 3, 4, 5, 6]).unwrap();
        let beside = Beside::of(&folder.join("m.onnx"));
        let good = entries(&[("location", "data"), ("offset", "2"), ("length", "4")]);
        assert_eq!(beside.read(&good, 4).unwrap(), [3, 4, 5, 6]);
        let absolute = dir.path().join("secret").display().to_string();
        #[cfg(unix)]
        std::os::unix::fs::symlink(dir.path().join("secret"), folder.join("link")).unwrap();
        for location in [
            "../secret",
            absolute.as_str(),
            "a/../../secret",
            "",
            #[cfg(unix)]
            "link",
        ] {
            let e = beside.read(&entries(&[("location", location)]), 4).unwrap_err().to_string();
            assert!(e.contains("not in the model's folder"), "{location}: {e}");
        }
        let e = beside.read(&entries(&[("location", "data"), ("offset", "4")]), 4).unwrap_err().to_string();
        assert!(e.contains("has 6 bytes") && e.contains("cut off"), "{e}");
        let e = beside.read(&entries(&[("location", "gone")]), 4).unwrap_err().to_string();
        assert!(e.contains("is missing") && e.contains("copy it"), "{e}");
        let e = beside.read(&entries(&[("location", "data"), ("length", "5")]), 4).unwrap_err().to_string();
        assert!(e.contains("5 bytes") && e.contains("needs 4"), "{e}");
        assert!(beside.read(&entries(&[("offset", "1")]), 4).is_err());
    }
}
