//! Words and their numbers.

use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Stands for words that are not in the vocabulary.
pub const UNKNOWN: &str = "<unk>";
/// Ends each line.
pub const END_OF_LINE: &str = "<eos>";

/// The words of a text with their counts, the most frequent first; equal counts in the order of the alphabet.
///
/// [`UNKNOWN`] and [`END_OF_LINE`] are always among them.
///
/// ```
/// use sconce_datasets::text::Vocabulary;
/// let v = Vocabulary::of(["the sea the sky", "the sun"], Some(4))?;
/// assert_eq!(v.words(), ["the", "<eos>", "sea", "<unk>"]);
/// assert_eq!(v.encode("the sun")?, [0, 3, 1]);
/// assert_eq!(v.counts(), [3, 2, 1, 2]); // sky and sun are unknown
/// # Ok::<(), sconce_datasets::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    words: Vec<String>,
    counts: Vec<u64>,
    index: HashMap<String, u32>,
    unknown: u32,
    end: u32,
}

impl Vocabulary {
    /// The vocabulary of lines of words: all words, or the `size` most frequent, the two marks included.
    ///
    /// # Errors
    /// No words at all; a `size` below 3.
    pub fn of<'a>(lines: impl IntoIterator<Item = &'a str>, size: Option<usize>) -> Result<Self> {
        if let Some(size) = size.filter(|s| *s < 3) {
            return Err(Error::config("Vocabulary.size", format!("must be at least 3, got {size}")));
        }
        let (mut counts, mut ends) = (HashMap::<&str, u64>::new(), 0);
        for line in lines {
            ends += 1;
            line.split_whitespace().for_each(|w| *counts.entry(w).or_default() += 1);
        }
        if counts.is_empty() {
            return Err(Error::value("vocabulary", "the text has no words"));
        }
        let mut unknown = counts.remove(UNKNOWN).unwrap_or_default();
        ends += counts.remove(END_OF_LINE).unwrap_or_default();
        let mut all: Vec<(&str, u64)> = counts.into_iter().collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        if let Some(size) = size {
            unknown += all.iter().skip(size - 2).map(|w| w.1).sum::<u64>();
            all.truncate(size - 2);
        }
        // The marks are placed by how often they stand in the text itself, so that the size does not move the words.
        let place = all.partition_point(|w| w.1 >= ends);
        all.insert(place, (END_OF_LINE, ends));
        all.push((UNKNOWN, unknown));
        Self::new(all.into_iter().map(|(w, c)| (w.to_owned(), c)).collect())
    }

    /// A vocabulary of words with their counts, in this order.
    ///
    /// # Errors
    /// A word that comes twice, or that is missing: [`UNKNOWN`] or [`END_OF_LINE`].
    pub fn new(words: Vec<(String, u64)>) -> Result<Self> {
        let mut index = HashMap::with_capacity(words.len());
        for (i, (w, _)) in words.iter().enumerate() {
            if let Some(before) = index.insert(w.clone(), i as u32) {
                return Err(Error::value("vocabulary", format!("`{w}` stands at {before} and at {i}")));
            }
        }
        let mark = |w: &str| {
            index.get(w).copied().ok_or_else(|| Error::value("vocabulary", format!("the mark `{w}` is missing")))
        };
        let (unknown, end) = (mark(UNKNOWN)?, mark(END_OF_LINE)?);
        let (words, counts) = words.into_iter().unzip();
        Ok(Self { words, counts, index, unknown, end })
    }

    /// How many words.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Never true: the marks are always there.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The words in the order of their numbers.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// How often each stands in the text that the vocabulary is of.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The number of a word, that of [`UNKNOWN`] where it is not here.
    pub fn id(&self, word: &str) -> u32 {
        self.index.get(word).copied().unwrap_or(self.unknown)
    }

    /// The number of [`UNKNOWN`].
    pub fn unknown(&self) -> u32 {
        self.unknown
    }

    /// The number of [`END_OF_LINE`].
    pub fn end_of_line(&self) -> u32 {
        self.end
    }

    /// The numbers of a text's words, [`END_OF_LINE`] after each line.
    ///
    /// # Errors
    /// A text without words, or of unknown words alone.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        for line in text.lines() {
            ids.extend(line.split_whitespace().map(|w| self.id(w)));
            ids.push(self.end);
        }
        let words = || ids.iter().filter(|i| **i != self.end);
        match words().next() {
            None => Err(Error::value("text", "has no words")),
            Some(_) if words().all(|i| *i == self.unknown) => {
                let first = text.split_whitespace().next().unwrap_or_default();
                let reason = format!("none of its {} words is in the vocabulary, `{first}` the first", words().count());
                Err(Error::value("text", reason))
            }
            Some(_) => Ok(ids),
        }
    }

    /// The words of numbers, joined by spaces; a new line for [`END_OF_LINE`].
    ///
    /// # Errors
    /// A number that is not below the vocabulary's size.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let mut text = String::new();
        for id in ids {
            if *id == self.end {
                text.push('\n');
                continue;
            }
            let word = self.words.get(*id as usize).ok_or_else(|| {
                Error::value("word number", format!("{id} is not below the vocabulary's {}", self.len()))
            })?;
            if !text.is_empty() && !text.ends_with('\n') {
                text.push(' ');
            }
            text += word;
        }
        Ok(text)
    }

    /// The words with their counts, one a line.
    pub fn to_lines(&self) -> String {
        self.words.iter().zip(&self.counts).map(|(w, c)| format!("{w} {c}\n")).collect()
    }

    /// Takes back what [`Vocabulary::to_lines`] gave.
    ///
    /// # Errors
    /// A line that is no word with its count, with its number; as [`Vocabulary::new`].
    pub fn from_lines(text: &str) -> Result<Self> {
        let pair = |(i, line): (usize, &str)| {
            let pair = line.rsplit_once(' ').and_then(|(w, c)| Some((w.to_owned(), c.parse().ok()?)));
            pair.ok_or_else(|| Error::value("vocabulary", format!("line {}: no word with its count: `{line}`", i + 1)))
        };
        Self::new(text.lines().enumerate().map(pair).collect::<Result<_>>()?)
    }

    /// SHA-256 of the words in their order: what a checkpoint is compared by.
    pub fn digest(&self) -> String {
        Sha256::digest(self.words.join("\n")).iter().map(|b| format!("{b:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_twice_and_missing() {
        let pair = |w: &str| (w.to_owned(), 1);
        let e = Vocabulary::new(vec![pair("a"), pair("a"), pair(UNKNOWN), pair(END_OF_LINE)]).unwrap_err().to_string();
        assert!(e.contains("`a` stands at 0 and at 1"), "{e}");
        assert!(
            Vocabulary::new(vec![pair("a"), pair(UNKNOWN)]).unwrap_err().to_string().contains("`<eos>` is missing")
        );
        assert!(Vocabulary::of(["", "  "], None).unwrap_err().to_string().contains("no words"));
        assert!(Vocabulary::of(["a"], Some(2)).is_err());
    }

    #[test]
    fn texts_that_say_nothing_are_refused() {
        let v = Vocabulary::of(["a b <unk>"], None).unwrap();
        assert_eq!(v.counts()[v.unknown() as usize], 1);
        assert!(v.encode("\n\n").unwrap_err().to_string().contains("has no words"));
        assert!(v.encode("x y\nz").unwrap_err().to_string().contains("none of its 3 words"));
        assert_eq!(v.decode(&v.encode("b zebra\na").unwrap()).unwrap(), "b <unk>\na\n");
        assert!(v.decode(&[4]).unwrap_err().to_string().contains("4 is not below"));
        assert_eq!(Vocabulary::from_lines(&v.to_lines()).unwrap(), v);
        assert!(Vocabulary::from_lines("a 1\n<eos>\n").unwrap_err().to_string().contains("line 2"));
        assert_ne!(v.digest(), Vocabulary::of(["a c <unk>"], None).unwrap().digest());
    }
}
