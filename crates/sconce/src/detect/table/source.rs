//! Where a table is: a file, standard input, or part of this program.

use super::archive;
use crate::places::{SHUTTLE, is_stdin};
use anyhow::{Context, Result, bail};
use sconce_datasets::embedded;
use sconce_tensor_core::Error;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

/// The name of standard input in messages.
pub(in crate::detect) const STDIN: &str = "standard input";

/// A table that was found. It can be read more than once.
#[derive(Clone, Debug)]
pub(in crate::detect) struct Source {
    /// Its path, or what stands for it in messages.
    name: PathBuf,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Text,
    Compressed,
    Archive,
    Memory(Vec<u8>),
}

impl Source {
    /// Finds the table of a name; standard input is read to its end.
    ///
    /// # Errors
    /// There is no such file and no such table, with the names that there are; a folder; standard input or a table that cannot be read.
    pub(in crate::detect) fn open(path: &Path) -> Result<Self> {
        if is_stdin(path) {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).context(STDIN)?;
            return Ok(Self { name: STDIN.into(), content: Content::Memory(bytes) });
        }
        let name = path.to_owned();
        if path == Path::new(SHUTTLE) {
            return Ok(Self { name, content: Content::Memory(embedded::shuttle_csv()?) });
        }
        exists(path)?;
        let content = match path.extension() {
            Some(e) if e.eq_ignore_ascii_case("npz") => Content::Archive,
            Some(e) if e.eq_ignore_ascii_case("gz") => Content::Compressed,
            _ => Content::Text,
        };
        Ok(Self { name, content })
    }

    /// Its path, for messages.
    pub(in crate::detect) fn path(&self) -> &Path {
        &self.name
    }

    /// Its name without folders.
    pub(in crate::detect) fn short(&self) -> String {
        self.name.file_name().map_or_else(|| self.name.display().to_string(), |n| n.to_string_lossy().into_owned())
    }

    pub(super) fn is_archive(&self) -> bool {
        matches!(self.content, Content::Archive)
    }

    /// Its text from the start; an archive is converted to CSV.
    ///
    /// # Errors
    /// A file that cannot be opened; an archive that is no table.
    pub(in crate::detect) fn text(&self) -> Result<Box<dyn Read + '_>> {
        let file = || File::open(&self.name).map(BufReader::new).map_err(Error::io(&self.name));
        Ok(match &self.content {
            Content::Text => Box::new(file()?),
            Content::Compressed => Box::new(flate2::read::MultiGzDecoder::new(file()?)),
            Content::Archive => Box::new(Cursor::new(archive::text(&self.name)?)),
            Content::Memory(bytes) => Box::new(bytes.as_slice()),
        })
    }
}

/// Fails where no table has this name.
///
/// # Errors
/// As [`Source::open`].
pub(in crate::detect) fn exists(path: &Path) -> Result<()> {
    let name = path.display();
    if path.is_dir() {
        bail!("{name}: this is a folder; name a table (.csv, .csv.gz or .npz)");
    }
    if !is_stdin(path) && path != Path::new(SHUTTLE) && !path.exists() {
        bail!("no file `{name}`, and no table of that name; the tables that are part of this program are: {SHUTTLE}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ships_is_found_and_what_is_missing_is_named() {
        let shuttle = Source::open(Path::new(SHUTTLE)).unwrap();
        let read = || {
            let mut text = String::new();
            shuttle.text().unwrap().read_to_string(&mut text).unwrap();
            text
        };
        let text = read();
        assert!(text.starts_with("f1,") && text == read(), "it can be read again");
        let dir = tempfile::tempdir().unwrap();
        let e = Source::open(&dir.path().join("nofile.csv")).unwrap_err().to_string();
        assert!(e.contains("no file `") && e.contains("nofile.csv") && e.contains(SHUTTLE), "{e}");
        assert!(Source::open(dir.path()).unwrap_err().to_string().contains("this is a folder"));
    }
}
