//! Tables of numbers in CSV, plain or gzip-compressed, with a header row.

use crate::{Error, Result, bytes};
use candle_core::{Device, Tensor};
use std::path::Path;

/// A table of numbers, row after row.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The header.
    pub columns: Vec<String>,
    /// Values, `columns.len()` per row.
    pub values: Vec<f64>,
}

impl Table {
    /// How many rows.
    pub fn rows(&self) -> usize {
        self.values.len() / self.columns.len()
    }

    /// The values of a named column.
    ///
    /// # Errors
    /// [`Error::Config`] listing the columns there are.
    pub fn column(&self, name: &str) -> Result<Vec<f64>> {
        let at = self
            .columns
            .iter()
            .position(|c| c == name)
            .ok_or_else(|| Error::config("column", format!("`{name}` is not among {:?}", self.columns)))?;
        Ok(self.values.iter().skip(at).step_by(self.columns.len()).copied().collect())
    }

    /// The other columns as features (N, D) in f64, and the named column as labels: 1 for an anomaly, 0 for none.
    ///
    /// # Errors
    /// [`Error::Config`] for a column that is not there, [`Error::Value`] with the row for a label that is neither, or where
    /// the label is the only column.
    pub fn labelled(&self, label: &str) -> Result<(Tensor, Vec<bool>)> {
        let truth = self.column(label)?;
        if let Some(i) = truth.iter().position(|v| *v != 0.0 && *v != 1.0) {
            return Err(Error::value(
                format!("column `{label}`"),
                format!("{} at row {}: neither 0 nor 1", truth[i], i + 1),
            ));
        }
        let width = self.columns.len();
        if width < 2 {
            return Err(Error::value("table", format!("has no column beside `{label}`")));
        }
        let at = self.columns.iter().position(|c| c == label);
        let features = self.values.iter().enumerate().filter(|(i, _)| Some(i % width) != at).map(|(_, v)| *v);
        let x = Tensor::from_vec(features.collect::<Vec<f64>>(), (self.rows(), width - 1), &Device::Cpu)?;
        Ok((x, truth.into_iter().map(|v| v == 1.0).collect()))
    }
}

/// Reads a table whose every field is a finite number.
///
/// # Errors
/// [`Error::Io`]; [`Error::Data`] with the byte where the record starts: a missing header, a record of
/// another length, a field that is no finite number (with its row and column), no rows at all.
pub fn read(path: &Path) -> Result<Table> {
    parse(&bytes::read(path)?, path)
}

/// The same from bytes; `path` is for messages.
pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Table> {
    let bad = |offset: u64, reason: String| Error::Data { path: path.to_owned(), offset, reason };
    let place = |e: &csv::Error| e.position().map_or(0, csv::Position::byte);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let header = reader.headers().map_err(|e| bad(place(&e), e.to_string()))?;
    let columns: Vec<String> = header.iter().map(str::to_owned).collect();
    if columns.is_empty() || columns.iter().any(String::is_empty) {
        return Err(bad(0, format!("the header {columns:?} has no name for a column")));
    }
    if let Some(c) = columns.iter().find(|c| columns.iter().filter(|d| d == c).count() > 1) {
        return Err(bad(0, format!("the header names column `{c}` twice")));
    }
    let mut values = Vec::new();
    for (row, record) in reader.records().enumerate() {
        let record = record.map_err(|e| bad(place(&e), e.to_string()))?;
        let at = record.position().map_or(0, csv::Position::byte);
        for (field, column) in record.iter().zip(&columns) {
            let value = field.parse::<f64>().ok().filter(|v| v.is_finite());
            let wrong = || bad(at, format!("row {} column `{column}`: `{field}` is no finite number", row + 1));
            values.push(value.ok_or_else(wrong)?);
        }
    }
    if values.is_empty() {
        return Err(bad(bytes.len() as u64, "no rows after the header".to_owned()));
    }
    Ok(Table { columns, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_apart_from_features() {
        let t = parse(b"a,y,b\n1,0,2\n3,1,4\n").unwrap();
        let (x, y) = t.labelled("y").unwrap();
        assert_eq!((x.to_vec2::<f64>().unwrap(), y), (vec![vec![1.0, 2.0], vec![3.0, 4.0]], vec![false, true]));
        assert!(t.labelled("b").unwrap_err().to_string().contains("2 at row 1"));
        assert!(t.labelled("z").is_err() && parse(b"y\n1\n").unwrap().labelled("y").is_err());
    }

    fn parse(text: &[u8]) -> Result<Table> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn a_table_and_its_columns() {
        let t = parse(b"a, b\n1,2\n3,-4e1\n").unwrap();
        assert_eq!((t.rows(), t.column("b").unwrap()), (2, vec![2.0, -40.0]));
        assert!(t.column("c").unwrap_err().to_string().contains(r#"["a", "b"]"#));
    }

    #[test]
    fn every_bad_field_is_placed() {
        for (text, want) in [
            (&b"a,b\n1,2\n3,x\n"[..], "byte 8: row 2 column `b`: `x`"),
            (b"a,b\n1,\n", "row 1 column `b`: ``"),
            (b"a,b\n1,NaN\n", "no finite number"),
            (b"a,b\n1,2,3\n", "byte 4"),
            (b"a,a\n1,2\n", "column `a` twice"),
            (b"a,b\n", "no rows"),
            (b"", "header"),
            (b"a,b\n1,\xff\n", "byte 4"),
        ] {
            let e = parse(text).unwrap_err().to_string();
            assert!(e.contains(want), "{e}");
        }
    }
}
