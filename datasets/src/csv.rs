//! Tables in CSV, plain or gzip-compressed: numbers, categories, missing values.

use crate::{Error, Result, bytes};
use sconce_tensor_core::table::{Inference, Schema, Table};
use std::path::Path;

/// Reads a table with a header row. The types of the columns are inferred as by [`Inference`]; `categories` names columns of
/// categories whose names look like numbers.
///
/// # Errors
/// [`Error::Io`]; [`Error::Data`] with the byte where the record starts: a header without a name for a column or with one
/// twice, a record of another length, bytes that are no UTF-8, no rows at all; a category that is no column; a column whose type is
/// doubtful.
pub fn read(path: &Path, categories: &[String]) -> Result<Table> {
    parse(&[(&bytes::read(path)?, path)], None, categories)
}

/// The same from the bytes of files that continue one another; paths are for messages. With `names` there is no header row,
/// else it is the first file's, and the only one.
pub(crate) fn parse(files: &[(&[u8], &Path)], names: Option<Vec<String>>, categories: &[String]) -> Result<Table> {
    let bad = |path: &Path, offset: u64, reason: String| Error::Data { path: path.to_owned(), offset, reason };
    let Some((bytes, path)) = files.first() else { return Err(Error::value("table", "no files")) };
    let headed = |i: usize| i == 0 && names.is_none();
    let header = match &names {
        Some(names) => names.clone(),
        None => {
            let mut reader = reader(bytes, true);
            let header = reader.headers().map_err(|e| bad(path, place(&e), e.to_string()))?;
            header.iter().map(str::to_owned).collect()
        }
    };
    let mut seen = Inference::new(header, categories).map_err(|e| bad(path, 0, e.to_string()))?;
    for (i, (bytes, path)) in files.iter().enumerate() {
        each(bytes, path, headed(i), |fields| seen.row(fields))?;
    }
    let schema: Schema = seen.finish()?;
    let mut values = Vec::new();
    for (i, (bytes, path)) in files.iter().enumerate() {
        each(bytes, path, headed(i), |fields| schema.read(fields, &mut values))?;
    }
    match values.is_empty() {
        true => Err(bad(path, bytes.len() as u64, "no rows".to_owned())),
        false => Table::new(schema, values),
    }
}

fn reader(bytes: &[u8], headed: bool) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().trim(csv::Trim::All).has_headers(headed).from_reader(bytes)
}

fn place(e: &csv::Error) -> u64 {
    e.position().map_or(0, csv::Position::byte)
}

/// Calls `f` with the fields of each record; what it finds wrong is placed.
fn each(
    bytes: &[u8],
    path: &Path,
    headed: bool,
    mut f: impl FnMut(csv::StringRecordIter<'_>) -> Result<()>,
) -> Result<()> {
    let bad = |offset: u64, reason: String| Error::Data { path: path.to_owned(), offset, reason };
    let mut reader = reader(bytes, headed);
    let mut record = csv::StringRecord::new();
    // The header is read first, so that the position is the first record's.
    if headed {
        reader.headers().map_err(|e| bad(place(&e), e.to_string()))?;
    }
    for row in 1.. {
        let at = reader.position().byte();
        match reader.read_record(&mut record) {
            Ok(true) => f(record.iter()).map_err(|e| bad(at, format!("row {row}: {e}")))?,
            Ok(false) => break,
            Err(e) => return Err(bad(at, e.to_string())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sconce_tensor_core::table::Kind;

    fn read(text: &[u8]) -> Result<Table> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        std::fs::write(&path, text).unwrap();
        super::read(&path, &[])
    }

    #[test]
    fn numbers_categories_gaps_and_labels() {
        let t = read(b"a, b,y\n1,red,ok\n-4e1,\"blue\",bad\n?,red,ok\n").unwrap();
        let x = t.tensor().unwrap().to_vec2::<f64>().unwrap();
        assert_eq!((x[1].clone(), x[0][1], x[2][0].is_nan()), (vec![-40.0, 0.0, 0.0], 1.0, true));
        assert_eq!(t.schema().columns()[1].kind, Kind::Category(vec!["blue".into(), "red".into()]));
        let (rest, y) = t.labelled("y", &["ok".to_owned()]).unwrap();
        assert_eq!((y, rest.schema().columns().len()), (vec![Some(false), Some(true), Some(false)], 2));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        std::fs::write(&path, "a,b\n1,10\n2,20\n").unwrap();
        let t = super::read(&path, &["b".to_owned()]).unwrap();
        assert_eq!(t.schema().columns()[1].kind, Kind::Category(vec!["10".into(), "20".into()]));
        assert!(super::read(&path, &["z".to_owned()]).unwrap_err().to_string().contains("`z` is not among"));
    }

    #[test]
    fn every_bad_record_is_placed() {
        for (text, want) in [
            (&b"a,b\n1,2,3\n"[..], "byte 4"),
            (b"a,b\n1,2\n3\n", "byte 8"),
            (b"a,a\n1,2\n", "column `a` is named twice"),
            (b"a,\n1,2\n", "no name for a column"),
            (b"a,b\n", "no rows"),
            (b"", "no name"),
            (b"a,b\n1,\xff\n", "byte 4"),
        ] {
            let e = read(text).unwrap_err().to_string();
            assert!(e.contains(want), "{e}");
        }
    }
}
