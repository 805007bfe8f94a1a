//! Data sets from the Hugging Face hub: Parquet files with one PNG, or one line of text, per row. The one place of the published
//! crates that touches the network (through `hf-hub`, into its cache folder).

use crate::catalog::{HubEntry, TextDescriptor};
use crate::text::Parts;
use crate::{Descriptor, Error, Images, Result, Split};
use hf_hub::{Cache, Repo, RepoType, api::sync::ApiBuilder};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use std::fs::File;
use std::path::{Path, PathBuf};

/// A hub to load from. The caller names the cache folder, the endpoint and the token.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    /// Folder for downloaded files; the hub client's own where absent.
    pub cache: Option<PathBuf>,
    /// Address of the hub; the public one where absent.
    pub endpoint: Option<String>,
    /// Token for private sets.
    pub token: Option<String>,
    /// Whether only the cache is read, and nothing is downloaded.
    pub offline: bool,
}

impl Hub {
    /// Downloads a split, or takes it from the cache, and decodes it.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the set is not on the hub, the download fails, or the cache lacks it and the hub is offline, with the reason;
    /// [`Error::Data`] with the row where the file is not what the catalog says.
    pub fn load(&self, d: &Descriptor, split: Split) -> Result<Images> {
        let entry = d.hub.as_ref().ok_or_else(|| not_found(&d.name, "the catalog names no place on the hub"))?;
        let name = if split == Split::Train { &entry.train } else { &entry.test };
        decode(&self.get(&d.name, (&entry.repo, &entry.revision), name)?, d, entry)
    }

    /// Downloads the three parts of a text, or takes them from the cache.
    ///
    /// # Errors
    /// As [`Hub::load`].
    pub fn load_text(&self, d: &TextDescriptor) -> Result<Parts> {
        let entry = d.hub.as_ref().ok_or_else(|| not_found(&d.name, "the catalog names no place on the hub"))?;
        let part = |name: &str| lines(&self.get(&d.name, (&entry.repo, &entry.revision), name)?, &entry.column);
        Ok(Parts { train: part(&entry.train)?, validation: part(&entry.validation)?, test: part(&entry.test)? })
    }

    /// The path of a file of a repository in the cache.
    fn get(&self, data: &str, (repo, revision): (&str, &str), file: &str) -> Result<PathBuf> {
        let place = Repo::with_revision(repo.to_owned(), RepoType::Dataset, revision.to_owned());
        if self.offline {
            let cache = self.cache.clone().map_or_else(Cache::default, Cache::new);
            let found = cache.repo(place).get(file);
            return found.ok_or_else(|| not_found(data, &format!("the hub's cache ({repo}/{file})")));
        }
        let mut builder = ApiBuilder::new().with_progress(false).with_token(self.token.clone());
        if let Some(cache) = &self.cache {
            builder = builder.with_cache_dir(cache.clone());
        }
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        let api = builder.build().map_err(|e| not_found(data, &e.to_string()))?;
        api.repo(place).get(file).map_err(|e| not_found(data, &format!("hub {repo}/{file}: {e}")))
    }
}

fn not_found(data: &str, reason: &str) -> Error {
    Error::NotFound { name: data.to_owned(), looked: vec![reason.to_owned()] }
}

fn bad_row(path: &Path) -> impl Fn(usize, String) -> Error {
    move |row, reason| Error::Data { path: path.to_owned(), offset: 0, reason: format!("row {row}: {reason}") }
}

/// Reads a Parquet file of lines of text.
fn lines(path: &Path, column: &str) -> Result<String> {
    let bad = bad_row(path);
    let file = File::open(path).map_err(Error::io(path))?;
    let reader = SerializedFileReader::new(file).map_err(|e| bad(0, format!("no Parquet file: {e}")))?;
    let mut text = String::new();
    for (i, row) in reader.get_row_iter(None).map_err(|e| bad(0, e.to_string()))?.enumerate() {
        let row = row.map_err(|e| bad(i, e.to_string()))?;
        match field(&row, column) {
            Some(Field::Str(line)) => text += line.trim_end_matches('\n'),
            other => return Err(bad(i, format!("column `{column}` holds {other:?}, not text"))),
        }
        text.push('\n');
    }
    Ok(text)
}

/// Reads a Parquet file of PNGs and labels.
fn decode(path: &Path, d: &Descriptor, entry: &HubEntry) -> Result<Images> {
    let bad = bad_row(path);
    let file = File::open(path).map_err(Error::io(path))?;
    let reader = SerializedFileReader::new(file).map_err(|e| bad(0, format!("no Parquet file: {e}")))?;
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for (i, row) in reader.get_row_iter(None).map_err(|e| bad(0, e.to_string()))?.enumerate() {
        let row = row.map_err(|e| bad(i, e.to_string()))?;
        let label = match field(&row, &entry.label) {
            Some(Field::Long(v)) if (0..256).contains(v) => *v as u8,
            other => return Err(bad(i, format!("column `{}` holds {other:?}, not a class", entry.label))),
        };
        let png = match field(&row, &entry.image) {
            Some(Field::Group(g)) => field(g, "bytes"),
            other => other,
        };
        let Some(Field::Bytes(png)) = png else {
            return Err(bad(i, format!("column `{}` holds no image bytes", entry.image)));
        };
        pixels.extend(planes(png.data(), d.shape).map_err(|reason| bad(i, reason))?);
        labels.push(label);
    }
    Images::new(pixels, d.shape, labels, d.classes.len())
}

fn field<'a>(row: &'a Row, name: &str) -> Option<&'a Field> {
    row.get_column_iter().find(|(n, _)| *n == name).map(|(_, f)| f)
}

/// The channel planes of a PNG of the expected size, grey or RGB.
fn planes(bytes: &[u8], (c, h, w): (usize, usize, usize)) -> Result<Vec<u8>, String> {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(|e| format!("PNG: {e}"))?;
    let size = reader.output_buffer_size().ok_or("PNG: too large")?;
    let mut buffer = vec![0; size];
    let info = reader.next_frame(&mut buffer).map_err(|e| format!("PNG: {e}"))?;
    let samples = info.color_type.samples();
    if (info.width as usize, info.height as usize) != (w, h) || samples < c {
        return Err(format!(
            "PNG of {}x{} with {samples} channels, expected {w}x{h} with {c}",
            info.width, info.height
        ));
    }
    Ok((0..c).flat_map(|ch| buffer.iter().skip(ch).step_by(samples).take(h * w).copied()).collect())
}
