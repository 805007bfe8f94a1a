//! A whole table in memory.

use super::archive;
use super::source::Source;
use crate::args::{Preprocessing, TableColumns};
use anyhow::{Result, bail};
use candle_core::{Device, Tensor};
use sconce_anomaly::Missing;
use sconce_tensor_core::Error;
use sconce_tensor_core::table::{Inference, Table};
use std::io::Read;
use std::path::Path;

/// Features and labels: `None` without a column of labels, `None` for a row whose label is missing. True marks an anomaly.
pub(in crate::detect) struct Data {
    pub(in crate::detect) table: Table,
    pub(in crate::detect) labels: Option<Vec<Option<bool>>>,
}

/// The records of a table.
pub(in crate::detect) fn reader<R: Read>(from: R) -> csv::Reader<R> {
    csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(from)
}

/// An error in reading a file, with its place.
pub(in crate::detect) fn broken(path: &Path) -> impl Fn(csv::Error) -> Error + '_ {
    move |e| bad(path, e.position().map_or(0, csv::Position::byte), e.to_string())
}

fn bad(path: &Path, offset: u64, reason: String) -> Error {
    Error::Data { path: path.to_owned(), offset, reason }
}

/// The names of the columns.
///
/// # Errors
/// A file that cannot be read.
pub(in crate::detect) fn header<R: Read>(reader: &mut csv::Reader<R>, path: &Path) -> Result<Vec<String>> {
    Ok(reader.headers().map_err(broken(path))?.iter().map(str::to_owned).collect())
}

/// Reads a table for fitting.
///
/// # Errors
/// A table or an archive that cannot be read, with the place; labels that are neither 0 and 1 nor named; a missing value, unless missing values
/// are imputed.
pub(in crate::detect) fn read(source: &Source, columns: &TableColumns, preprocessing: &Preprocessing) -> Result<Data> {
    let data = match source.is_archive() {
        true => archive::read(source.path(), columns)?,
        false => text(source, columns, &preprocessing.category)?,
    };
    if let (Some((row, c)), Missing::Refuse) = (data.table.gap(), preprocessing.missing()) {
        let place = source.path().display();
        bail!("{place}: row {}, column `{}`: a missing value; --missing impute fills it", row + 1, c.name);
    }
    Ok(data)
}

/// Reads twice: the kinds of the columns, then the values.
fn text(source: &Source, columns: &TableColumns, categories: &[String]) -> Result<Data> {
    let path = source.path();
    let mut first = reader(source.text()?);
    let at = |offset: u64, row: usize, e: &Error| bad(path, offset, format!("row {row}: {e}"));
    let byte = |record: &csv::StringRecord| record.position().map_or(0, csv::Position::byte);
    let mut inference = Inference::new(header(&mut first, path)?, categories).map_err(|e| at(0, 0, &e))?;
    let mut record = csv::StringRecord::new();
    let mut rows = 0;
    while first.read_record(&mut record).map_err(broken(path))? {
        rows += 1;
        inference.row(&record).map_err(|e| at(byte(&record), rows, &e))?;
    }
    if rows == 0 {
        return Err(bad(path, 0, "no rows after the header".to_owned()).into());
    }
    let schema = inference.finish()?;
    let mut values = Vec::with_capacity(rows * schema.columns().len());
    let mut again = reader(source.text()?);
    for row in 1..=rows {
        again.read_record(&mut record).map_err(broken(path))?;
        schema.read(&record, &mut values).map_err(|e| at(byte(&record), row, &e))?;
    }
    let table = Table::new(schema, values)?;
    let (table, labels) = match &columns.label {
        None => (table, None),
        Some(label) => {
            let (table, labels) = table.labelled(label, &columns.normal)?;
            (table, Some(labels))
        }
    };
    Ok(Data { table: table.without(&columns.drop)?, labels })
}

/// Some rows of a table.
///
/// # Errors
/// candle's only.
pub(in crate::detect) fn part(x: &Tensor, rows: &[u32]) -> Result<Tensor, Error> {
    Ok(x.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)?)
}
