//! Words and lists in parentheses, with their places.

use sconce_tensor_core::{Error, Result};

/// Lists in lists; deeper ones are refused, so that no text exhausts the stack.
const DEEPEST: usize = 400;

/// A word, or a list in parentheses; with the byte where it starts.
#[derive(Debug)]
pub(super) enum Node<'t> {
    Word(&'t str, usize),
    List(Vec<Node<'t>>, usize),
}

impl<'t> Node<'t> {
    /// Where it starts.
    pub(super) fn at(&self) -> usize {
        match self {
            Self::Word(_, at) | Self::List(_, at) => *at,
        }
    }

    /// The word, if it is one.
    pub(super) fn word(&self) -> Option<&'t str> {
        match self {
            Self::Word(word, _) => Some(word),
            Self::List(..) => None,
        }
    }

    /// The first word of a list and the rest of it.
    pub(super) fn call(&self) -> Option<(&'t str, &[Node<'t>])> {
        match self {
            Self::List(all, _) => all.split_first().and_then(|(first, rest)| Some((first.word()?, rest))),
            Self::Word(..) => None,
        }
    }
}

/// A text that is read from its start to its end.
pub(super) struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { at: if text.starts_with('\u{feff}') { 3 } else { 0 }, text }
    }

    /// What is wrong at a byte, with its line and column.
    pub(super) fn fault(&self, at: usize, reason: impl std::fmt::Display) -> Error {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Error::value("VNN-LIB property", format!("line {line}, column {column}: {reason}"))
    }

    /// Passes over spaces and comments; the next byte.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b';') => {
                    let rest = &bytes[self.at..];
                    self.at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
                }
                Some(b) if b.is_ascii_whitespace() => self.at += 1,
                b => return b.copied(),
            }
        }
    }

    fn word(&mut self) -> Result<Node<'t>> {
        let (start, bytes) = (self.at, self.text.as_bytes());
        let rest = &bytes[start..];
        let length = match rest.first() {
            // A string or a quoted name ends at the same sign.
            Some(quote @ (b'"' | b'|')) => {
                let end = rest.iter().skip(1).position(|b| b == quote);
                end.ok_or_else(|| self.fault(start, "a quotation that does not end"))? + 2
            }
            _ => rest.iter().position(|b| b.is_ascii_whitespace() || b"();\"|".contains(b)).unwrap_or(rest.len()),
        };
        self.at += length;
        Ok(Node::Word(&self.text[start..self.at], start))
    }

    /// The next word or list; none at the end.
    ///
    /// # Errors
    /// Parentheses that do not match, lists in lists without end.
    pub(super) fn next(&mut self) -> Result<Option<Node<'t>>> {
        let mut open: Vec<(Vec<Node<'t>>, usize)> = Vec::new();
        loop {
            let start = |s: &Self| s.at;
            let done = match self.peek() {
                None => match open.last() {
                    None => return Ok(None),
                    Some((_, at)) => return Err(self.fault(*at, "this parenthesis is not closed")),
                },
                Some(b'(') => {
                    if open.len() == DEEPEST {
                        return Err(self.fault(self.at, format!("more than {DEEPEST} parentheses in one another")));
                    }
                    open.push((Vec::new(), start(self)));
                    self.at += 1;
                    continue;
                }
                Some(b')') => {
                    let Some((list, at)) = open.pop() else {
                        return Err(self.fault(self.at, "a parenthesis is closed that was not opened"));
                    };
                    self.at += 1;
                    Node::List(list, at)
                }
                Some(_) => self.word()?,
            };
            match open.last_mut() {
                Some((list, _)) => list.push(done),
                None => return Ok(Some(done)),
            }
        }
    }
}
