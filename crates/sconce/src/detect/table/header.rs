//! The header of a table in text, and which of its columns are features.

use super::dialect::is_number;
use crate::args::TableColumns;
use anyhow::{Result, bail};
use csv::StringRecord;

/// The names of a file's columns. A column without a name is no feature: those before the first name are indices, as pandas writes them, and
/// another one must be empty, as a separator at the end of each line makes it.
#[derive(Clone, Debug)]
pub(in crate::detect) struct Header {
    names: Vec<String>,
}

/// The columns that are read.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    /// Their places in the file, and the place of the labels.
    pub(super) places: Vec<usize>,
    pub(super) names: Vec<String>,
    pub(super) label: Option<usize>,
    /// Columns without a name that must be empty.
    empty: Vec<usize>,
}

impl Header {
    /// From the first record.
    pub(in crate::detect) fn new(record: &StringRecord) -> Self {
        Self { names: record.iter().map(str::to_owned).collect() }
    }

    /// The names, in the order of the file.
    pub(in crate::detect) fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether a column has no name: pandas writes such a column again as `Unnamed: 0`, and next to that one as `Unnamed: 0.1`.
    pub(super) fn is_unnamed(&self, at: usize) -> bool {
        let name = &self.names[at];
        let number = name.strip_prefix("Unnamed: ").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit() || b == b'.'));
        name.is_empty() || number
    }

    /// The number of columns without a name before the first one with a name.
    fn indices(&self) -> usize {
        (0..self.names.len()).take_while(|i| self.is_unnamed(*i)).count()
    }

    /// Whether the names seem to be the first row of a table without a header: all are numbers, and not 0, 1, 2 and so on, which pandas
    /// writes for names.
    fn is_data(&self) -> bool {
        let names = || self.names.iter().enumerate().filter(|(i, _)| !self.is_unnamed(*i)).map(|(_, name)| name);
        let counted = names().count() > 2 && names().enumerate().all(|(i, name)| *name == i.to_string());
        names().count() > 0 && names().all(|name| is_number(name)) && !counted
    }

    /// The features and the labels; dropped columns are left out before anything is judged.
    ///
    /// # Errors
    /// Names that seem to be data; a column to drop or with the labels that is not there; a name that two columns have; no features.
    pub(super) fn choose(&self, columns: &TableColumns) -> Result<Chosen> {
        if self.is_data() {
            bail!("header{} (a name needs a letter: x1990)", self.comment());
        }
        if let Some(n) = columns.drop.iter().chain(&columns.label).find(|n| !self.names.contains(n)) {
            bail!("column: `{n}` is not among {:?}{}", self.names, self.comment());
        }
        let indices = self.indices();
        let (mut places, mut label, mut empty) = (Vec::new(), Vec::new(), Vec::new());
        for (i, name) in self.names.iter().enumerate() {
            match () {
                () if columns.drop.contains(name) => {}
                () if columns.label.as_ref() == Some(name) => label.push(i),
                () if !self.is_unnamed(i) => places.push(i),
                () if i >= indices => empty.push(i),
                () => {}
            }
        }
        let names: Vec<String> = places.iter().map(|i| self.names[*i].clone()).collect();
        let twice = (1..names.len()).find(|i| names[..*i].contains(&names[*i])).map(|i| &names[i]);
        if let Some(name) = twice.or_else(|| columns.label.as_ref().filter(|_| label.len() > 1)) {
            bail!("header: column `{name}` is named twice: rename one of them, or leave both out with --drop {name}");
        }
        if names.is_empty() {
            bail!("header: no name for a column of features among {:?}", self.names);
        }
        Ok(Chosen { places, names, label: label.first().copied(), empty })
    }

    /// A note about the columns without a name.
    pub(super) fn note(&self) -> Option<String> {
        match self.indices() {
            0 => None,
            1 => Some("the first column has no name: it is taken as an index of the rows, and left out".to_owned()),
            n => Some(format!(
                "the first {n} columns have no names: they are taken as indices of the rows, and left out"
            )),
        }
    }

    /// What to do where the first line is no header.
    pub(super) fn comment(&self) -> &'static str {
        match &self.names[..] {
            [first, ..] if first.starts_with(['#', '%']) => ": the first line seems to be a comment; remove it",
            _ if self.is_data() => ": the first line seems to be data: add a line with the names of the columns",
            _ => "",
        }
    }

    /// Checks the number of fields. One more is allowed if it is empty, and one fewer if the last column has no name.
    ///
    /// # Errors
    /// Another number of fields.
    pub(super) fn check(&self, record: &StringRecord) -> Result<()> {
        let (n, width) = (record.len(), self.names.len());
        let more = n == width + 1 && record.get(width).is_some_and(|c| c.trim().is_empty());
        let fewer = n + 1 == width && self.is_unnamed(n);
        if n == width || more || fewer {
            return Ok(());
        }
        let hint = match self.comment() {
            "" if n == width + 1 => ": the header seems to lack the name of a column",
            comment => comment,
        };
        bail!("row: {n} fields for {width} columns{hint}")
    }
}

impl Chosen {
    /// Checks the columns without a name.
    ///
    /// # Errors
    /// One that is not empty.
    pub(super) fn check(&self, record: &StringRecord) -> Result<()> {
        for i in &self.empty {
            if let Some(cell) = record.get(*i).map(str::trim).filter(|c| !c.is_empty()) {
                bail!("column {} has no name, and `{cell}` in it: name it in the header", i + 1);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(names: &[&str]) -> Header {
        Header::new(&StringRecord::from(names.to_vec()))
    }

    fn columns(label: Option<&str>, drop: &[&str]) -> TableColumns {
        let drop = drop.iter().map(|n| (*n).to_owned()).collect();
        TableColumns { label: label.map(str::to_owned), drop, ..TableColumns::default() }
    }

    #[test]
    fn features_labels_and_what_is_left_out() {
        let h = header(&["", "id", "a", "id", "b", "y", ""]);
        let chosen = h.choose(&columns(Some("y"), &["id"])).unwrap();
        assert_eq!(
            (chosen.places.clone(), chosen.label, chosen.names.join(",")),
            (vec![2, 4], Some(5), "a,b".to_owned())
        );
        assert!(
            h.note().is_some() && header(&["Unnamed: 0", "a"]).note().is_some() && header(&["a", ""]).note().is_none()
        );
        let record = |fields: &[&str]| StringRecord::from(fields.to_vec());
        assert!(chosen.check(&record(&["0", "1", "2", "3", "4", "5", ""])).is_ok());
        let e = chosen.check(&record(&["0", "1", "2", "3", "4", "5", "6"])).unwrap_err().to_string();
        assert!(e.contains("column 7 has no name, and `6` in it"), "{e}");
        let message = |c: &TableColumns| h.choose(c).unwrap_err().to_string();
        assert!(message(&columns(None, &[])).contains("`id` is named twice"));
        assert!(message(&columns(Some("z"), &[])).contains("`z` is not among"));
        assert!(message(&columns(None, &["z"])).contains("`z` is not among"));
        assert!(header(&[]).choose(&columns(None, &[])).is_err());
    }

    #[test]
    fn columns_without_a_name_at_the_start_are_indices() {
        for names in [["Unnamed: 0.1", "Unnamed: 0", "a", "b"], ["", "Unnamed: 0.1.1", "a", "b"]] {
            let h = header(&names);
            let chosen = h.choose(&columns(None, &[])).unwrap();
            assert_eq!(chosen.places, [2, 3]);
            assert!(chosen.check(&StringRecord::from(vec!["7", "3", "1", "2"])).is_ok());
            assert!(h.note().unwrap().contains("the first 2 columns have no names"));
        }
    }

    #[test]
    fn a_first_row_is_no_header() {
        for names in [&["1.5", "-2e3", "0"][..], &["", "7"], &["1,5", "2"], &["1", "2", "3"], &["0", "1"]] {
            let e = header(names).choose(&columns(Some("y"), &[])).unwrap_err().to_string();
            assert!(e.contains("seems to be data: add a line with the names of the columns"), "{names:?}: {e}");
        }
        for names in [&["0", "1", "2"][..], &["", "0", "1", "2", "3"], &["1.5", "a"], &["x1990", "1991"]] {
            assert!(header(names).choose(&columns(None, &[])).is_ok(), "{names:?}");
        }
    }

    #[test]
    fn records_have_the_length_of_the_header() {
        let h = header(&["a", "b", ""]);
        let ok = |fields: &[&str]| h.check(&StringRecord::from(fields.to_vec())).is_ok();
        assert!(ok(&["1", "2", ""]) && ok(&["1", "2"]) && ok(&["1", "2", "", ""]));
        assert!(!ok(&["1"]) && !ok(&["1", "2", "", "4"]) && !ok(&["1", "2", "", "", ""]));
        let comment = header(&["# a comment"]).check(&StringRecord::from(vec!["1", "2", "3"])).unwrap_err().to_string();
        assert!(comment.contains("remove it"), "{comment}");
    }
}
