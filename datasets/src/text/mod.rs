//! Texts as numbers of words, for language models.

mod austen;
mod read;
mod vocabulary;

pub use austen::{austen, words};
pub(crate) use read::parts;
pub use read::read;
pub use vocabulary::{END_OF_LINE, UNKNOWN, Vocabulary};

use crate::{Lookup, Result, catalog};

/// Three parts of a text, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// For training.
    pub train: String,
    /// For choices: rates, epochs.
    pub validation: String,
    /// For the result.
    pub test: String,
}

/// The text of a name: `austen`, which ships, or one of the catalog's.
///
/// # Errors
/// A name that is neither, or as [`Lookup::load_text`].
pub fn named(name: &str, lookup: &Lookup) -> Result<Parts> {
    match name {
        "austen" => austen(),
        name => lookup.load_text(&catalog::text(name)?),
    }
}

/// Three parts of a text as numbers of words, and the vocabulary: the training part's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corpus {
    /// For training.
    pub train: Vec<u32>,
    /// For choices: rates, epochs.
    pub validation: Vec<u32>,
    /// For the result.
    pub test: Vec<u32>,
    /// The words.
    pub vocabulary: Vocabulary,
}

impl Corpus {
    /// Numbers the words of three parts with the vocabulary of the first, all of its words or the `size` most frequent.
    ///
    /// # Errors
    /// A part without words, or without a known one.
    pub fn new(parts: &Parts, size: Option<usize>) -> Result<Self> {
        let vocabulary = Vocabulary::of(parts.train.lines(), size)?;
        let encode = |name: &str, text: &str| {
            vocabulary.encode(text).map_err(|e| crate::Error::value(format!("{name} part"), e.to_string()))
        };
        Ok(Self {
            train: encode("training", &parts.train)?,
            validation: encode("validation", &parts.validation)?,
            test: encode("test", &parts.test)?,
            vocabulary,
        })
    }
}
