//! The text that ships: the six novels of Jane Austen (public domain), about as long as Penn Treebank.

use super::Parts;
use crate::{Error, Result, bytes};
use std::path::Path;

const NOVELS: &[u8] = include_bytes!("../../embedded/austen/austen.txt.gz");

/// Words that keep their full stop.
const SHORT: [&str; 8] = ["mr", "mrs", "dr", "st", "messrs", "esq", "capt", "col"];

/// *Emma*, *Mansfield Park*, *Northanger Abbey*, *Persuasion*, *Pride and Prejudice*, *Sense and Sensibility* as [`words`], a
/// paragraph a line. Counted through all novels, every twelfth chapter from the sixth is the validation part, every
/// twelfth from the twelfth the test part.
///
/// ```
/// use sconce_datasets::text::{self, Corpus};
/// let corpus = Corpus::new(&text::austen()?, Some(10_000))?;
/// assert_eq!(corpus.vocabulary.len(), 10_000);
/// assert_eq!((corpus.train.len(), corpus.validation.len(), corpus.test.len()), (719_100, 72_166, 71_299));
/// # Ok::<(), sconce_datasets::Error>(())
/// ```
///
/// # Errors
/// None in a build whose tests passed.
pub fn austen() -> Result<Parts> {
    let path = Path::new("austen.txt.gz");
    let raw = String::from_utf8(bytes::inflate(NOVELS, path)?).map_err(|e| Error::Data {
        path: path.to_owned(),
        offset: e.utf8_error().valid_up_to() as u64,
        reason: "is not UTF-8".to_owned(),
    })?;
    let mut parts = Parts { train: String::new(), validation: String::new(), test: String::new() };
    let mut chapter = 0;
    for line in raw.lines() {
        if line.starts_with("# ") {
            chapter += 1;
            continue;
        }
        let part = match chapter % 12 {
            6 => &mut parts.validation,
            0 => &mut parts.test,
            _ => &mut parts.train,
        };
        let line = words(line);
        if !line.is_empty() {
            *part += &line;
            part.push('\n');
        }
    }
    Ok(parts)
}

/// English prose as words with spaces between: small letters, each mark of punctuation a word, `--` too, `'s` apart from its
/// noun, `N` for a number, the full stop of `mr.` and its like kept, marks of emphasis left out.
///
/// ```
/// use sconce_datasets::text::words;
/// assert_eq!(words("\"Emma's _own_ 20,000--Mr. Elton!\""), "\" emma 's own N -- mr. elton ! \"");
/// ```
pub fn words(line: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    let letters: Vec<char> = line.to_lowercase().chars().filter(|c| !matches!(c, '_' | '*' | '[' | ']')).collect();
    let mut i = 0;
    while i < letters.len() {
        let c = letters[i];
        let end = |from: usize, belongs: &dyn Fn(usize) -> bool| (from..letters.len()).find(|&j| !belongs(j));
        let run = |belongs: &dyn Fn(usize) -> bool| end(i, belongs).unwrap_or(letters.len());
        if c.is_whitespace() {
            i += 1;
        } else if c.is_ascii_digit() {
            i = run(&|j| letters[j].is_ascii_alphanumeric() || (letters[j] == ',' && digit(&letters, j + 1)));
            out.push("N".to_owned());
        } else if c.is_alphabetic() {
            // An apostrophe or hyphen between letters belongs to the word.
            let inner =
                |j: usize| matches!(letters[j], '\'' | '-') && letter(&letters, j + 1) && letter(&letters, j - 1);
            let stop = run(&|j| letters[j].is_alphabetic() || (j > i && inner(j)));
            let word: String = letters[i..stop].iter().collect();
            i = stop;
            match word.strip_suffix("'s") {
                Some(noun) => out.extend([noun.to_owned(), "'s".to_owned()]),
                None if SHORT.contains(&word.as_str()) && letters.get(i) == Some(&'.') => {
                    out.push(format!("{word}."));
                    i += 1;
                }
                None => out.push(word),
            }
        } else if c == '-' {
            i = run(&|j| letters[j] == '-');
            out.push("--".to_owned());
        } else {
            out.push(c.to_string());
            i += 1;
        }
    }
    out.join(" ")
}

fn digit(letters: &[char], j: usize) -> bool {
    letters.get(j).is_some_and(char::is_ascii_digit)
}

fn letter(letters: &[char], j: usize) -> bool {
    letters.get(j).is_some_and(|c| c.is_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_by_hand() {
        for (prose, want) in [
            ("It was--well, \"half-past\" ten; isn't it?", "it was -- well , \" half-past \" ten ; isn't it ?"),
            ("'Tis Mrs. Bennet's £20,000, N° 4th.", "' tis mrs. bennet 's £ N , n ° N ."),
            ("  ", ""),
            ("* * * *", ""),
            ("the Bennets' house -", "the bennets ' house --"),
        ] {
            assert_eq!(words(prose), want);
        }
    }

    #[test]
    fn the_parts_are_chapters_of_all_novels() {
        let parts = austen().unwrap();
        // The first words of the first, the sixth and the twelfth chapter of Emma.
        for (part, start) in [
            (&parts.train, "emma woodhouse , handsome , clever , and rich ,"),
            (&parts.validation, "emma could not feel a doubt of having given"),
            (&parts.test, "mr. knightley was to dine with them"),
        ] {
            assert!(part.starts_with(start), "{}", &part[..60]);
        }
    }
}
