//! Where a table is: a file, standard input, a pipe, or part of this program; and what its content is.

use super::archive;
use super::dialect::Dialect;
use crate::args::{TableColumns, TableForm};
use crate::places::{SHUTTLE, is_stdin};
use anyhow::{Context, Result, bail};
use sconce_datasets::embedded;
use sconce_tensor_core::Error;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// The name of standard input in messages.
pub(in crate::detect) const STDIN: &str = "standard input";
/// Bytes of a text that show how it is written.
const START: u64 = 1 << 18;

/// A table that was found. It can be read more than once.
#[derive(Clone, Debug)]
pub(in crate::detect) struct Source {
    /// Its path, or what stands for it in messages.
    name: PathBuf,
    content: Content,
    form: Form,
}

#[derive(Clone, Debug)]
enum Content {
    File,
    Memory(Vec<u8>),
    /// The text that an archive was converted to.
    Converted(Vec<u8>),
}

/// What the first bytes say, whatever the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::detect) enum Form {
    /// Text.
    Text,
    /// Text that is compressed by gzip.
    Gzip,
    /// Arrays of numpy: an archive or a single one.
    Arrays,
}

impl Form {
    /// Of content that starts with some bytes.
    pub(in crate::detect) fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] | [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Self::Arrays,
            _ => Self::Text,
        }
    }
}

impl Source {
    /// Finds the table of a name; standard input and pipes are read to their end.
    ///
    /// # Errors
    /// There is no such file and no such table, with the names that there are; a folder; an input or a table that cannot be read.
    pub(in crate::detect) fn open(path: &Path) -> Result<Self> {
        let memory = |name: PathBuf, bytes: Vec<u8>| {
            let form = Form::of(&bytes);
            Self { name, content: Content::Memory(bytes), form }
        };
        if is_stdin(path) {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).context(STDIN)?;
            return Ok(memory(STDIN.into(), bytes));
        }
        let name = path.to_owned();
        if path == Path::new(SHUTTLE) {
            return Ok(memory(name, embedded::shuttle_csv()?));
        }
        exists(path)?;
        let mut file = File::open(path).map_err(Error::io(path))?;
        let mut start = Vec::new();
        // A pipe can be read only once.
        if !file.metadata().map_err(Error::io(path))?.is_file() {
            file.read_to_end(&mut start).map_err(Error::io(path))?;
            return Ok(memory(name, start));
        }
        file.take(8).read_to_end(&mut start).map_err(Error::io(path))?;
        Ok(Self { name, content: Content::File, form: Form::of(&start) })
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
        self.form == Form::Arrays
    }

    /// Whether it is a file on a disk, and not a pipe.
    pub(super) fn is_file(&self) -> bool {
        matches!(self.content, Content::File)
    }

    /// Its text from the start.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub(in crate::detect) fn text(&self) -> Result<Box<dyn Read + '_>> {
        let stored: Box<dyn Read> = match &self.content {
            Content::File => Box::new(File::open(&self.name).map(BufReader::new).map_err(Error::io(&self.name))?),
            Content::Memory(bytes) | Content::Converted(bytes) => Box::new(bytes.as_slice()),
        };
        Ok(match self.form {
            Form::Gzip => Box::new(flate2::read::MultiGzDecoder::new(stored)),
            _ => stored,
        })
    }

    /// How its text is written.
    ///
    /// # Errors
    /// A file that cannot be read; as [`Dialect::of`].
    pub(in crate::detect) fn dialect(&self, form: &TableForm) -> Result<Dialect> {
        if matches!(self.content, Content::Converted(_)) {
            return Ok(Dialect::PLAIN);
        }
        let mut start = Vec::new();
        self.text()?.take(START).read_to_end(&mut start).map_err(Error::io(&self.name))?;
        Dialect::of(&start, form)
    }

    /// The same table as text: an archive is converted to CSV.
    ///
    /// # Errors
    /// An archive that is no table.
    pub(in crate::detect) fn as_text(&self, columns: &TableColumns) -> Result<Self> {
        if !self.is_archive() {
            return Ok(self.clone());
        }
        let content = Content::Converted(archive::text(self, columns)?.into_bytes());
        Ok(Self { name: self.name.clone(), content, form: Form::Text })
    }
}

/// Fails where no table has this name.
///
/// # Errors
/// As [`Source::open`].
pub(in crate::detect) fn exists(path: &Path) -> Result<()> {
    let name = path.display();
    if path.is_dir() {
        bail!("{name}: this is a folder; name a table (.csv, .csv.gz, .npz or .npy)");
    }
    if !is_stdin(path) && path != Path::new(SHUTTLE) && !path.exists() {
        bail!("no file `{name}`, and no table of that name; the tables that are part of this program are: {SHUTTLE}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn read(source: &Source) -> String {
        let mut text = String::new();
        source.text().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn what_ships_is_found_and_what_is_missing_is_named() {
        let shuttle = Source::open(Path::new(SHUTTLE)).unwrap();
        let text = read(&shuttle);
        assert!(text.starts_with("f1,") && text == read(&shuttle), "it can be read again");
        let dir = tempfile::tempdir().unwrap();
        let e = Source::open(&dir.path().join("nofile.csv")).unwrap_err().to_string();
        assert!(e.contains("no file `") && e.contains("nofile.csv") && e.contains(SHUTTLE), "{e}");
        assert!(Source::open(dir.path()).unwrap_err().to_string().contains("this is a folder"));
    }

    #[test]
    fn the_content_counts_and_not_the_name() {
        let dir = tempfile::tempdir().unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"a,b\n1,2\n").unwrap();
        let gzip = gzip.finish().unwrap();
        for (name, bytes) in [("a.csv", &gzip[..]), ("b.GZ", &gzip), ("c.csv.gz", b"a,b\n1,2\n")] {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(read(&Source::open(&path).unwrap()), "a,b\n1,2\n", "{name}");
        }
        assert_eq!(
            [Form::of(b"PK\x03\x04"), Form::of(b"\x93NUMPY\x01"), Form::of(b"")],
            [Form::Arrays, Form::Arrays, Form::Text]
        );
    }
}
