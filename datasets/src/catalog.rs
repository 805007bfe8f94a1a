//! What each data set is: one descriptor a file in `catalog/`.

use crate::{Error, Result};
use serde::Deserialize;

/// Training or test examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// For training.
    Train,
    /// For testing.
    Test,
}

/// How the files are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// [`crate::idx`]: one file of images and one of labels per split.
    Idx,
    /// [`crate::cifar`] with one label byte.
    Cifar10,
    /// [`crate::cifar`] with two label bytes.
    Cifar100,
}

/// One file of a data set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// The file's name; `.gz` may follow it.
    pub name: String,
    /// The split that it belongs to.
    pub split: Split,
    /// Size of the decompressed content in bytes.
    pub bytes: u64,
    /// SHA-256 of the decompressed content; absent where no copy was at hand to take it from.
    pub sha256: Option<String>,
}

/// Where a data set is on the Hugging Face hub: Parquet files with one PNG per row.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubEntry {
    /// Owner and name.
    pub repo: String,
    /// Branch or reference.
    pub revision: String,
    /// File of the training split.
    pub train: String,
    /// File of the test split.
    pub test: String,
    /// Column of images.
    pub image: String,
    /// Column of classes.
    pub label: String,
}

/// What a data set is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Descriptor {
    /// The name used in commands and folders.
    pub name: String,
    /// The name used in prose.
    pub title: String,
    /// Channels, height, width.
    pub shape: (usize, usize, usize),
    /// Names of the classes, in the order of their labels.
    pub classes: Vec<String>,
    /// Number of training examples.
    pub train: usize,
    /// Number of test examples.
    pub test: usize,
    /// The licence, as its owners state it.
    pub licence: String,
    /// Whom to cite.
    pub citation: String,
    /// How the files are encoded.
    pub format: Format,
    /// The files, in the order in which they are joined.
    pub files: Vec<FileEntry>,
    /// Its place on the hub.
    pub hub: Option<HubEntry>,
}

/// Where a text is on the Hugging Face hub: Parquet files with one line per row.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextHubEntry {
    /// Owner and name.
    pub repo: String,
    /// Branch or reference.
    pub revision: String,
    /// File of the training part.
    pub train: String,
    /// File of the validation part.
    pub validation: String,
    /// File of the test part.
    pub test: String,
    /// Column of lines.
    pub column: String,
}

/// What a text for language models is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextDescriptor {
    /// Always `text`.
    pub kind: String,
    /// The name used in commands and folders.
    pub name: String,
    /// The name used in prose.
    pub title: String,
    /// Names that the file of the training part has, the usual first; `.gz` may follow.
    pub train: Vec<String>,
    /// Names of the validation part's.
    pub validation: Vec<String>,
    /// Names of the test part's.
    pub test: Vec<String>,
    /// Words of the training part, with the marks.
    pub vocabulary: usize,
    /// The licence, as its owners state it.
    pub licence: String,
    /// Whom to cite.
    pub citation: String,
    /// Its place on the hub.
    pub hub: Option<TextHubEntry>,
}

const TEXTS: [(&str, &str); 2] = [
    ("penn-treebank", include_str!("../catalog/penn-treebank.toml")),
    ("wikitext-2", include_str!("../catalog/wikitext-2.toml")),
];

/// The descriptors of all texts.
///
/// # Errors
/// As [`all`].
pub fn texts() -> Result<Vec<TextDescriptor>> {
    TEXTS.iter().map(|(name, text)| parse(name, text)).collect()
}

/// The descriptor of a text's name.
///
/// # Errors
/// [`Error::Config`] listing the names there are.
pub fn text(name: &str) -> Result<TextDescriptor> {
    find(&TEXTS, name)
}

/// A set of labels of images that have several.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelSet {
    /// What the labels are of.
    pub name: String,
    /// Names of the classes, in the order of their labels.
    pub classes: Vec<String>,
}

/// What a data set is that is made at load time from another one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MadeDescriptor {
    /// Always `made`.
    pub kind: String,
    /// The name used in commands.
    pub name: String,
    /// The name used in prose.
    pub title: String,
    /// The name of the data set that it is made from; it has as many examples.
    pub from: String,
    /// Channels, height, width.
    pub shape: (usize, usize, usize),
    /// The licences of its ingredients.
    pub licence: String,
    /// Whom to cite.
    pub citation: String,
    /// Its sets of labels.
    pub labels: Vec<LabelSet>,
}

const MADE: [(&str, &str); 1] = [("garments-in-cloth", include_str!("../catalog/garments-in-cloth.toml"))];

/// The descriptors of all data sets that are made from others.
///
/// # Errors
/// As [`all`].
pub fn made() -> Result<Vec<MadeDescriptor>> {
    MADE.iter().map(|(name, text)| parse(name, text)).collect()
}

/// The descriptor of the name of a data set that is made.
///
/// # Errors
/// [`Error::Config`] listing the names there are.
pub fn made_set(name: &str) -> Result<MadeDescriptor> {
    find(&MADE, name)
}

const SOURCES: [(&str, &str); 4] = [
    ("fashion-mnist", include_str!("../catalog/fashion-mnist.toml")),
    ("mnist", include_str!("../catalog/mnist.toml")),
    ("cifar10", include_str!("../catalog/cifar10.toml")),
    ("cifar100", include_str!("../catalog/cifar100.toml")),
];

/// All descriptors.
///
/// # Errors
/// [`Error::Data`] where a descriptor does not parse; a test reads them all.
pub fn all() -> Result<Vec<Descriptor>> {
    SOURCES.iter().map(|(name, text)| parse(name, text)).collect()
}

/// The descriptor of a name.
///
/// # Errors
/// [`Error::Config`] listing the names there are.
pub fn get(name: &str) -> Result<Descriptor> {
    find(&SOURCES, name)
}

fn find<T: serde::de::DeserializeOwned>(sources: &[(&str, &str)], name: &str) -> Result<T> {
    match sources.iter().find(|(n, _)| *n == name) {
        Some((n, text)) => parse(n, text),
        None => {
            let names: Vec<&str> = sources.iter().map(|s| s.0).collect();
            Err(Error::config("data.name", format!("`{name}` is not in the catalog: {}", names.join(", "))))
        }
    }
}

fn parse<T: serde::de::DeserializeOwned>(name: &str, text: &str) -> Result<T> {
    toml::from_str(text).map_err(|e| Error::Data {
        path: format!("catalog/{name}.toml").into(),
        offset: e.span().map_or(0, |s| s.start as u64),
        reason: e.message().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_descriptor_is_whole() {
        for d in all().unwrap() {
            assert_eq!(get(&d.name).unwrap().title, d.title);
            assert!(!d.licence.is_empty() && !d.citation.is_empty() && !d.classes.is_empty());
            for split in [Split::Train, Split::Test] {
                let bytes: u64 = d.files.iter().filter(|f| f.split == split).map(|f| f.bytes).sum();
                let count = if split == Split::Train { d.train } else { d.test } as u64;
                let pixels = (d.shape.0 * d.shape.1 * d.shape.2) as u64;
                let extra = match d.format {
                    Format::Idx => 16 + 8 + count,
                    Format::Cifar10 => count,
                    Format::Cifar100 => 2 * count,
                };
                assert_eq!(bytes, count * pixels + extra, "{} {split:?}", d.name);
            }
        }
        assert!(get("fasion-mnist").unwrap_err().to_string().contains("fashion-mnist, mnist"));
    }

    #[test]
    fn every_text_is_whole() {
        for d in texts().unwrap() {
            assert_eq!((text(&d.name).unwrap().title, d.kind.as_str()), (d.title, "text"));
            assert!(!d.licence.is_empty() && !d.citation.is_empty() && d.vocabulary > 3);
            assert!([&d.train, &d.validation, &d.test].iter().all(|n| !n.is_empty()));
        }
        assert!(text("ptb").unwrap_err().to_string().contains("penn-treebank, wikitext-2"));
    }

    #[test]
    fn every_made_set_is_whole() {
        for d in made().unwrap() {
            assert_eq!((made_set(&d.name).unwrap().title, d.kind.as_str()), (d.title, "made"));
            assert!(!d.licence.is_empty() && !d.citation.is_empty() && get(&d.from).is_ok());
            assert!(d.labels.iter().all(|l| !l.name.is_empty() && l.classes.len() > 1));
        }
        assert!(made_set("cloth").unwrap_err().to_string().contains("garments-in-cloth"));
    }
}
