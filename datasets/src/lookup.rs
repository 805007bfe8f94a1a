//! Finding a data set's files and reading them.

use crate::catalog::{Descriptor, FileEntry, Format, TextDescriptor};
use crate::text::{self, Parts};
use crate::{Error, Images, Result, Split, bytes, cifar, idx};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// The folders to look in, first to last. The caller names them: this crate reads no environment.
///
/// | folder | looked for |
/// |---|---|
/// | `data_dir` | `DIR/<name>/<file>`, then `DIR/<file>` where the sum is the descriptor's (MNIST and its successors share file names) |
/// | each of `roots` | `ROOT/<name>/<file>` |
/// | the hub, with the feature `hub` | the descriptor's `[hub]` |
///
/// `<file>` is the descriptor's, or the same with `.gz`.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Lookup {
    /// The folder that the user gave, tried first.
    pub data_dir: Option<PathBuf>,
    /// Folders of data sets by name: what `$SCONCE_DATA` names, the platform's data folder.
    pub roots: Vec<PathBuf>,
    /// The hub, asked last.
    #[cfg(feature = "hub")]
    pub hub: Option<crate::Hub>,
}

impl Lookup {
    /// A lookup in the user's folder, then in the roots.
    pub fn new(data_dir: Option<PathBuf>, roots: Vec<PathBuf>) -> Self {
        Self { data_dir, roots, ..Self::default() }
    }

    /// The same, and the hub last.
    #[cfg(feature = "hub")]
    #[must_use]
    pub fn with_hub(self, hub: crate::Hub) -> Self {
        Self { hub: Some(hub), ..self }
    }

    fn folders(&self, name: &str) -> Vec<PathBuf> {
        let own = self.data_dir.iter().flat_map(|d| [d.join(name), d.clone()]);
        own.chain(self.roots.iter().map(|r| r.join(name))).collect()
    }

    /// The paths of a split's files; all of them from the first folder that has the first.
    ///
    /// # Errors
    /// [`Error::NotFound`] with the places looked in.
    pub fn find(&self, d: &Descriptor, split: Split) -> Result<Vec<(PathBuf, FileEntry)>> {
        let folders = self.folders(&d.name);
        let entries: Vec<&FileEntry> = d.files.iter().filter(|f| f.split == split).collect();
        let locate = |folder: &Path, f: &FileEntry| {
            [folder.join(&f.name), folder.join(format!("{}.gz", f.name))].into_iter().find(|p| p.is_file())
        };
        let mut looked = Vec::new();
        for folder in &folders {
            let found: Option<Vec<PathBuf>> = entries.iter().map(|f| locate(folder, f)).collect();
            let Some(paths) = found else {
                looked.push(folder.display().to_string());
                continue;
            };
            // In a folder that does not bear the set's name, the files may be another set's. A file that cannot be
            // read is taken, so that the reader tells what is wrong with it.
            let named = self.data_dir.as_ref() != Some(folder);
            let other = |(p, f): (&PathBuf, &&FileEntry)| matches!(verify(p, f), Ok(Some(false)));
            if named || !paths.iter().zip(&entries).any(other) {
                return Ok(paths.into_iter().zip(entries.into_iter().cloned()).collect());
            }
            looked.push(format!("{} (whose files are not those of {})", folder.display(), d.title));
        }
        Err(Error::NotFound { name: d.name.clone(), looked })
    }

    /// The paths of named files, all from the first folder of a data set that has them; each may end in `.gz`.
    ///
    /// # Errors
    /// [`Error::NotFound`] with the places looked in.
    pub fn files(&self, name: &str, files: &[&str]) -> Result<Vec<PathBuf>> {
        let mut looked = Vec::new();
        for folder in self.folders(name) {
            let locate = |f: &&str| [folder.join(f), folder.join(format!("{f}.gz"))].into_iter().find(|p| p.is_file());
            match files.iter().map(locate).collect() {
                Some(paths) => return Ok(paths),
                None => looked.push(format!("{} ({})", folder.display(), files.join(", "))),
            }
        }
        Err(Error::NotFound { name: name.to_owned(), looked })
    }

    /// Reads the three parts of a text, all from the first folder that has them.
    ///
    /// # Errors
    /// [`Error::NotFound`] with the places looked in, or the reader's with file and place.
    pub fn load_text(&self, d: &TextDescriptor) -> Result<Parts> {
        let mut looked = Vec::new();
        for folder in self.folders(&d.name) {
            let locate = |names: &Vec<String>| {
                let paths = names.iter().flat_map(|n| [folder.join(n), folder.join(format!("{n}.gz"))]);
                paths.into_iter().find(|p| p.is_file())
            };
            match (locate(&d.train), locate(&d.validation), locate(&d.test)) {
                (Some(train), Some(validation), Some(test)) => return text::parts(&train, &validation, &test),
                (None, None, None) => looked.push(folder.display().to_string()),
                (train, validation, _) => {
                    let missing = match (train, validation) {
                        (None, _) => &d.train,
                        (_, None) => &d.validation,
                        _ => &d.test,
                    };
                    looked.push(format!("{} (which has no {})", folder.display(), missing.join(" or ")));
                }
            }
        }
        #[cfg(feature = "hub")]
        if let Some(hub) = &self.hub {
            return hub.load_text(d).map_err(|e| match e {
                Error::NotFound { name, looked: more } => {
                    Error::NotFound { name, looked: [std::mem::take(&mut looked), more].concat() }
                }
                other => other,
            });
        }
        Err(Error::NotFound { name: d.name.clone(), looked })
    }

    /// Reads a split.
    ///
    /// # Errors
    /// [`Error::NotFound`], or the reader's with file and place, or a count that is not the descriptor's.
    pub fn load(&self, d: &Descriptor, split: Split) -> Result<Images> {
        let images = match self.find(d, split) {
            Ok(found) => read(d, &found)?,
            #[cfg(feature = "hub")]
            Err(Error::NotFound { name, mut looked }) if self.hub.is_some() => match &self.hub {
                Some(hub) => hub.load(d, split).map_err(|e| match e {
                    Error::NotFound { looked: more, .. } => {
                        looked.extend(more);
                        Error::NotFound { name, looked }
                    }
                    other => other,
                })?,
                None => return Err(Error::NotFound { name, looked }),
            },
            Err(e) => return Err(e),
        };
        let want = if split == Split::Train { d.train } else { d.test };
        if (images.len(), images.shape) != (want, d.shape) {
            let reason = format!("{} images of {:?}; it has {want} of {:?}", images.len(), images.shape, d.shape);
            return Err(Error::value(d.title.clone(), reason));
        }
        Ok(images)
    }
}

/// Reads the files of one split.
fn read(d: &Descriptor, found: &[(PathBuf, FileEntry)]) -> Result<Images> {
    let paths: Vec<&Path> = found.iter().map(|(p, _)| p.as_path()).collect();
    match (d.format, paths.as_slice()) {
        (Format::Idx, [x, y]) => idx::read_images(x, y, d.classes.len()),
        (Format::Idx, _) => Err(Error::config("files", "an IDX split is one file of images, then one of labels")),
        (Format::Cifar10, paths) => cifar::read(paths, cifar::Kind::Cifar10),
        (Format::Cifar100, paths) => cifar::read(paths, cifar::Kind::Cifar100),
    }
}

/// Whether a file is the one that the descriptor names; `None` where the descriptor has no checksum and
/// only the size was compared.
///
/// # Errors
/// [`Error::Io`], a corrupt gzip stream.
pub fn verify(path: &Path, entry: &FileEntry) -> Result<Option<bool>> {
    let content = bytes::read(path)?;
    if content.len() as u64 != entry.bytes {
        return Ok(Some(false));
    }
    let digest: String = Sha256::digest(&content).iter().map(|b| format!("{b:02x}")).collect();
    Ok(entry.sha256.as_ref().map(|want| *want == digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    #[test]
    fn the_users_folder_comes_first_and_a_miss_names_all_places() {
        let (user, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let d = catalog::get("mnist").unwrap();
        let lookup = Lookup::new(Some(user.path().into()), vec![root.path().into()]);
        let e = lookup.find(&d, Split::Test).unwrap_err().to_string();
        assert!(e.contains("`mnist`") && e.contains(&root.path().join("mnist").display().to_string()), "{e}");

        let put = |folder: &Path| {
            std::fs::create_dir_all(folder).unwrap();
            for f in d.files.iter().filter(|f| f.split == Split::Test) {
                std::fs::write(folder.join(format!("{}.gz", f.name)), b"").unwrap();
            }
        };
        put(&root.path().join("mnist"));
        assert!(lookup.find(&d, Split::Test).unwrap()[0].0.starts_with(root.path()));
        put(&user.path().join("mnist"));
        assert!(lookup.find(&d, Split::Test).unwrap()[0].0.starts_with(user.path()));
        // Whole files of another set under the same names, in a folder that names no set.
        let flat = tempfile::tempdir().unwrap();
        for f in d.files.iter().filter(|f| f.split == Split::Test) {
            std::fs::write(flat.path().join(&f.name), [0; 9]).unwrap();
        }
        let e = Lookup::new(Some(flat.path().into()), vec![]).find(&d, Split::Test).unwrap_err().to_string();
        assert!(e.contains("whose files are not those of MNIST"), "{e}");
        assert!(lookup.load(&d, Split::Test).unwrap_err().to_string().contains(".gz: byte 0"));
    }

    #[test]
    fn a_text_is_read_by_any_of_its_names_and_a_missing_part_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let d = catalog::text("wikitext-2").unwrap();
        let lookup = Lookup::new(Some(dir.path().into()), vec![]);
        let put = |name: &str| std::fs::write(dir.path().join(name), " = A = \n a b <unk> \n").unwrap();
        put("valid.txt");
        put("wiki.test.tokens");
        let e = lookup.load_text(&d).unwrap_err().to_string();
        assert!(e.contains("which has no wiki.train.tokens or train.txt"), "{e}");
        put("train.txt");
        let corpus = crate::text::Corpus::new(&lookup.load_text(&d).unwrap(), None).unwrap();
        assert_eq!((corpus.train.len(), corpus.vocabulary.len()), (8, 6));
    }
}
