//! Which labels are positive: one rule for text and numbers.

use crate::{Error, Result};
use std::collections::BTreeSet;

/// The rule for labels: a label is negative (normal) if it is among the given ones, otherwise positive (an anomaly). Labels that
/// are finite numbers are compared as numbers, so that `1`, `1.0` and `+1` are the same; others as text, as they are
/// written: `No` is not `no`.
/// If no negative labels are given, labels must be the numbers 0 (negative) and 1 (positive).
///
/// ```
/// use sconce_tensor_core::table::Labels;
/// let mut rule = Labels::new("y", &["1".to_owned()]);
/// assert_eq!(rule.of_text("1.0", 1), Some(false));
/// assert_eq!(rule.of_text("-1", 2), Some(true));
/// assert_eq!(rule.of_text("", 3), None);
/// rule.finish()?;
/// # Ok::<(), sconce_tensor_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Labels {
    column: String,
    negative: Vec<(Label, bool)>,
    /// The labels that occurred, at most [`MOST`], for messages.
    seen: BTreeSet<String>,
    rows: usize,
    /// The first label that is neither 0 nor 1 where there are no negative ones, and its row.
    odd: Option<(String, usize)>,
}

/// Labels that a message lists.
const MOST: usize = 20;

#[derive(Clone, Debug, PartialEq)]
enum Label {
    Number(f64),
    Text(String),
}

impl Label {
    fn of(text: &str) -> Self {
        match text.parse::<f64>() {
            Ok(v) if v.is_finite() => Self::Number(v),
            _ => Self::Text(text.to_owned()),
        }
    }
}

impl Labels {
    /// The rule for a column with these negative labels.
    pub fn new(column: &str, negative: &[String]) -> Self {
        let mut all: Vec<(Label, bool)> = Vec::new();
        for label in negative.iter().map(|n| Label::of(n.trim())) {
            if !all.iter().any(|(other, _)| *other == label) {
                all.push((label, false));
            }
        }
        Self { column: column.to_owned(), negative: all, seen: BTreeSet::new(), rows: 0, odd: None }
    }

    fn bad(&self, reason: String) -> Error {
        Error::value(format!("column `{}`", self.column), reason)
    }

    /// Whether a label is positive; `None` if it is missing. `row` is the number of its row, for messages. A label that the rule
    /// does not cover counts as positive until [`Labels::check`] or [`Labels::finish`] is called: then all labels are known.
    pub fn of_text(&mut self, text: &str, row: usize) -> Option<bool> {
        let text = text.trim();
        (!super::is_missing(text)).then(|| self.judge(&Label::of(text), text, row))
    }

    /// The same for a number; NaN is a missing label.
    pub fn of_number(&mut self, value: f64, row: usize) -> Option<bool> {
        (!value.is_nan()).then(|| self.judge(&Label::Number(value), &value.to_string(), row))
    }

    fn judge(&mut self, label: &Label, text: &str, row: usize) -> bool {
        self.rows += 1;
        if self.seen.len() < MOST && !self.seen.contains(text) {
            self.seen.insert(text.to_owned());
        }
        if self.negative.is_empty() {
            let binary = [Label::Number(0.0), Label::Number(1.0)].contains(label);
            if !binary && self.odd.is_none() {
                self.odd = Some((text.to_owned(), row));
            }
            return *label != Label::Number(0.0);
        }
        self.negative.iter_mut().find(|(n, _)| n == label).map(|(_, occurs)| *occurs = true).is_none()
    }

    /// Fails once after a label that the rule does not cover.
    ///
    /// # Errors
    /// A label that is neither 0 nor 1, where no negative labels are given.
    pub fn check(&mut self) -> Result<()> {
        match self.odd.take() {
            None => Ok(()),
            Some((text, row)) => Err(self
                .bad(format!("`{text}` at row {row}: neither 0 nor 1; say which labels are normal: {}", self.list()))),
        }
    }

    fn list(&self) -> String {
        let all: Vec<&String> = self.seen.iter().collect();
        format!("the labels are {all:?}{}", if all.len() == MOST { " and perhaps others" } else { "" })
    }

    /// Checks all labels: the rule covers them, and every negative label occurred.
    ///
    /// # Errors
    /// As [`Labels::check`]; a negative label that no row has, with the labels that occurred.
    pub fn finish(mut self) -> Result<()> {
        self.check()?;
        match self.negative.iter().find(|(_, occurs)| !occurs) {
            Some((label, _)) => {
                let name = match label {
                    Label::Number(v) => v.to_string(),
                    Label::Text(text) => text.clone(),
                };
                Err(self.bad(format!("no row is `{name}`: {}", self.list())))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn judged(negative: &[&str], labels: &[&str]) -> Result<Vec<Option<bool>>> {
        let negative: Vec<String> = negative.iter().map(|n| (*n).to_owned()).collect();
        let mut rule = Labels::new("y", &negative);
        let all = labels.iter().enumerate().map(|(i, l)| rule.of_text(l, i + 1)).collect();
        rule.finish().map(|()| all)
    }

    #[test]
    fn numbers_are_compared_as_numbers_and_names_as_text() {
        let (no, yes) = (Some(false), Some(true));
        assert_eq!(judged(&[], &["0", "1.0", "?", " 0.0 "]).unwrap(), [no, yes, None, no]);
        assert_eq!(judged(&["1"], &["1.0", "-1", "+1"]).unwrap(), [no, yes, no]);
        assert_eq!(judged(&["-1.0"], &["1", "-1"]).unwrap(), [yes, no]);
        assert_eq!(judged(&["0", "0.0"], &["0", "1"]).unwrap(), [no, yes], "named twice");
        assert_eq!(judged(&["no"], &["no", "yes", "", "No"]).unwrap(), [no, yes, None, yes]);
        assert_eq!(judged(&["ok", "1"], &["ok", "1", "NA"]).unwrap(), [no, no, None]);
        let message = |negative: &[&str], labels: &[&str]| judged(negative, labels).unwrap_err().to_string();
        let e = message(&[], &["ok", "bad"]);
        assert!(
            e.contains(r#"`ok` at row 1: neither 0 nor 1; say which labels are normal: the labels are ["bad", "ok"]"#),
            "{e}"
        );
        assert!(message(&["No"], &["no", "yes"]).contains(r#"no row is `No`: the labels are ["no", "yes"]"#));
        assert!(message(&["2"], &["0", "1"]).contains("no row is `2`") && judged(&["ok"], &[""]).is_err());
        let mut rule = Labels::new("y", &[]);
        assert_eq!((rule.of_number(1.0, 1), rule.of_number(f64::NAN, 2), rule.of_number(-1.0, 3)), (yes, None, yes));
        assert!(rule.check().unwrap_err().to_string().contains("`-1` at row 3") && rule.check().is_ok());
    }
}
