//! A whole table in memory.

use super::archive;
use super::dialect::{Dialect, option_for};
use super::header::{Chosen, Header};
use super::source::Source;
use crate::args::{Preprocessing, TableColumns};
use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use sconce_anomaly::Missing;
use sconce_tensor_core::Error;
use sconce_tensor_core::table::{Inference, Kind, Labels, Schema, Table};
use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

/// Features and labels: `None` without a column of labels, `None` for a row whose label is missing. True marks an anomaly.
pub(in crate::detect) struct Data {
    pub(in crate::detect) table: Table,
    pub(in crate::detect) labels: Option<Vec<Option<bool>>>,
    /// What was found out about the file.
    pub(in crate::detect) notes: Vec<String>,
}

/// An error in reading a file, with its place.
pub(in crate::detect) fn broken(path: &Path) -> impl Fn(csv::Error) -> Error + '_ {
    move |e| {
        let remedy = if matches!(e.kind(), csv::ErrorKind::Utf8 { .. }) { "; save the table in UTF-8" } else { "" };
        bad(path, e.position().map_or(0, csv::Position::byte), format!("{e}{remedy}"))
    }
}

fn bad(path: &Path, offset: u64, reason: String) -> Error {
    Error::Data { path: path.to_owned(), offset, reason }
}

/// The names of the columns.
///
/// # Errors
/// A file that cannot be read.
pub(in crate::detect) fn header<R: Read>(reader: &mut csv::Reader<R>, path: &Path) -> Result<Header> {
    Ok(Header::new(reader.headers().map_err(broken(path))?))
}

/// Reads a table for fitting.
///
/// # Errors
/// A table or an archive that cannot be read, with the place; a column whose type is doubtful, with what to do; labels that are neither 0 and 1
/// nor named; a missing value, unless missing values are imputed.
pub(in crate::detect) fn read(source: &Source, columns: &TableColumns, preprocessing: &Preprocessing) -> Result<Data> {
    let place = source.path().display();
    let data = match source.is_archive() {
        true => archive::read(source, columns, preprocessing)?,
        false => text(source, columns, preprocessing)?,
    };
    if let (Some((row, c)), Missing::Refuse) = (data.table.gap(), preprocessing.missing()) {
        bail!("{place}: row {}, column `{}`: a missing value; --missing impute fills it", row + 1, c.name);
    }
    bounded(data.table.schema(), data.table.rows()).with_context(|| place.to_string())?;
    Ok(data)
}

/// Reads twice: the kinds of the columns, then the values.
fn text(source: &Source, columns: &TableColumns, preprocessing: &Preprocessing) -> Result<Data> {
    let path = source.path();
    let place = || path.display().to_string();
    let dialect = source.dialect(&columns.form).with_context(place)?;
    let open = || -> Result<_> { dialect.reader(source.text()?).map_err(|e| broken(path)(e).into()) };
    let mut first = open()?;
    let header = header(&mut first, path)?;
    let chosen = header.choose(columns).with_context(place)?;
    let inference = Inference::new(chosen.names.clone(), &preprocessing.category);
    let mut inference = inference.and_then(|i| i.with_dates(&preprocessing.dates)).with_context(place)?;
    let mut labels = columns.label.as_ref().map(|l| (Labels::new(l, &columns.normal), Vec::new()));
    let mut record = csv::StringRecord::new();
    let mut rows = 0;
    while first.read_record(&mut record).map_err(broken(path))? {
        rows += 1;
        let at = |e: anyhow::Error| {
            bad(path, record.position().map_or(0, csv::Position::byte), format!("row {rows}: {e:#}"))
        };
        header.check(&record).and_then(|()| chosen.check(&record)).map_err(at)?;
        points(dialect, &chosen, preprocessing, &record).map_err(|e| at(doubtful(&e)))?;
        inference.row(fields(dialect, &chosen, &record).iter().map(|f| &**f)).map_err(|e| at(e.into()))?;
        if let (Some((rule, all)), Some(i)) = (&mut labels, chosen.label) {
            all.push(rule.of_text(&dialect.field(record.get(i).unwrap_or_default()), rows));
        }
    }
    if rows == 0 {
        return Err(bad(path, 0, "no rows after the header".to_owned()).into());
    }
    let schema = inference.finish().map_err(|e| doubtful(&e)).with_context(place)?;
    let mut values = Vec::with_capacity(rows * schema.columns().len());
    let mut again = open()?;
    for row in 1..=rows {
        if !again.read_record(&mut record).map_err(broken(path))? {
            bail!("{}: {} rows, and {rows} when it was read before: the file has changed", place(), row - 1);
        }
        let read = schema.read(fields(dialect, &chosen, &record).iter().map(|f| &**f), &mut values);
        read.map_err(|e| bad(path, record.position().map_or(0, csv::Position::byte), format!("row {row}: {e}")))?;
    }
    let ruled = |(rule, all): (Labels, Vec<Option<bool>>)| rule.finish().map(|()| all);
    let labels = labels.map(ruled).transpose().with_context(place)?;
    let notes = dialect.note().into_iter().chain(header.note()).map(|n| format!("{}: {n}", place())).collect();
    Ok(Data { table: Table::new(schema, values)?, labels, notes })
}

/// The fields of the features.
fn fields<'r>(dialect: Dialect, chosen: &Chosen, record: &'r csv::StringRecord) -> Vec<Cow<'r, str>> {
    chosen.places.iter().map(|i| dialect.field(record.get(*i).unwrap_or_default())).collect()
}

/// Checks the numbers of columns that are not named as ones of categories or dates.
fn points(dialect: Dialect, chosen: &Chosen, preprocessing: &Preprocessing, record: &csv::StringRecord) -> Result<()> {
    let named = |name: &String| preprocessing.category.contains(name) || preprocessing.dates.contains(name);
    let mut columns = chosen.names.iter().zip(&chosen.places).filter(|(name, _)| dialect.comma && !named(name));
    columns.try_for_each(|(name, i)| dialect.check(name, record.get(*i).unwrap_or_default()))
}

/// An error about the type of a column, with the options for it.
pub(super) fn doubtful(e: &impl std::fmt::Display) -> anyhow::Error {
    let text = e.to_string();
    let decimal = option_for(&text);
    anyhow::anyhow!(
        "{text} (--drop COLUMN leaves a column out, --category COLUMN reads it as names, --dates COLUMN as dates{decimal})"
    )
}

/// Indicators of categories that a table may need in memory, whatever its size, and those for each row.
const MOST_INDICATORS: usize = 1 << 26;
const FEW_INDICATORS: usize = 128;

/// Fails where the indicators of categories would need much more memory than the table.
fn bounded(schema: &Schema, rows: usize) -> Result<()> {
    let names = schema.columns().iter().filter_map(|c| match &c.kind {
        Kind::Category(names) => Some((&c.name, names.len())),
        _ => None,
    });
    let all: usize = names.clone().map(|(_, n)| n).sum();
    if let Some((name, n)) = names.max_by_key(|(_, n)| *n)
        && all > FEW_INDICATORS
        && all.saturating_mul(rows) > MOST_INDICATORS
    {
        bail!(
            "column `{name}` has {n} different names: as indicators the categories of {rows} rows are {} numbers, and at most \
             {MOST_INDICATORS} are supported; leave the column out with --drop {name}, or give rare names a common one",
            all.saturating_mul(rows)
        );
    }
    Ok(())
}

/// Some rows of a table.
///
/// # Errors
/// candle's only.
pub(in crate::detect) fn part(x: &Tensor, rows: &[u32]) -> Result<Tensor, Error> {
    Ok(x.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)?)
}
