//! Tables from files, and their rows in the order of a detector's columns.

use super::args::{PreprocessingArgs, TableArgs};
use crate::{Error, Missing, Result};
use candle_core::npy::NpzTensors;
use candle_core::{DType, Tensor};
use sconce_tensor_core::table::{Column, Inference, Kind, Schema, Table};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// Features and labels: `None` without a column of labels, `None` for a row whose label is missing. True marks an anomaly.
pub(super) struct Data {
    pub(super) table: Table,
    pub(super) labels: Option<Vec<Option<bool>>>,
}

fn is_archive(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npz"))
}

/// Opens a table as text; `.gz` is decompressed, an .npz archive is converted to CSV.
pub(super) fn open(path: &Path) -> Result<Box<dyn Read>> {
    if is_archive(path) {
        return Ok(Box::new(std::io::Cursor::new(text(path)?)));
    }
    let file = BufReader::new(File::open(path).map_err(Error::io(path))?);
    let packed = path.extension().is_some_and(|e| e == "gz");
    Ok(if packed { Box::new(flate2::read::MultiGzDecoder::new(file)) } else { Box::new(file) })
}

pub(super) fn reader(from: Box<dyn Read>) -> csv::Reader<Box<dyn Read>> {
    csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(from)
}

/// An error in reading a file, with its place.
pub(super) fn broken(path: &Path) -> impl Fn(csv::Error) -> Error + '_ {
    move |e| {
        let offset = e.position().map_or(0, csv::Position::byte);
        Error::Data { path: path.to_owned(), offset, reason: e.to_string() }
    }
}

pub(super) fn header(reader: &mut csv::Reader<Box<dyn Read>>, path: &Path) -> Result<Vec<String>> {
    Ok(reader.headers().map_err(broken(path))?.iter().map(str::to_owned).collect())
}

/// Reads a whole table for fitting; missing values are an error unless they are imputed.
pub(super) fn read(path: &Path, table_args: &TableArgs, preprocessing: &PreprocessingArgs) -> Result<Data> {
    let data = read_any(path, table_args, &preprocessing.category)?;
    match data.table.gap() {
        Some((row, c)) if preprocessing.missing() == Missing::Refuse => Err(Error::value(
            format!("{}: row {}, column `{}`", path.display(), row + 1, c.name),
            "a missing value; --missing impute fills it",
        )),
        _ => Ok(data),
    }
}

fn read_any(path: &Path, table_args: &TableArgs, categories: &[String]) -> Result<Data> {
    if is_archive(path) {
        return npz(path, table_args);
    }
    let mut first = reader(open(path)?);
    let at = |offset: u64, row: usize, e: &Error| Error::Data {
        path: path.to_owned(),
        offset,
        reason: format!("row {row}: {e}"),
    };
    let mut inference = Inference::new(header(&mut first, path)?, categories).map_err(|e| at(0, 0, &e))?;
    let mut record = csv::StringRecord::new();
    let mut rows = 0;
    while first.read_record(&mut record).map_err(broken(path))? {
        rows += 1;
        inference.row(&record).map_err(|e| at(record.position().map_or(0, csv::Position::byte), rows, &e))?;
    }
    if rows == 0 {
        return Err(Error::Data { path: path.to_owned(), offset: 0, reason: "no rows after the header".to_owned() });
    }
    let schema = inference.finish()?;
    let mut values = Vec::with_capacity(rows * schema.columns().len());
    let mut again = reader(open(path)?);
    for row in 1..=rows {
        again.read_record(&mut record).map_err(broken(path))?;
        let read = schema.read(&record, &mut values);
        read.map_err(|e| at(record.position().map_or(0, csv::Position::byte), row, &e))?;
    }
    let table = Table::new(schema, values)?;
    let (table, labels) = match &table_args.label {
        None => (table, None),
        Some(label) => {
            let (table, labels) = table.labelled(label, &table_args.normal)?;
            (table, Some(labels))
        }
    };
    Ok(Data { table: table.without(&table_args.drop)?, labels })
}

/// `X` (N, D) and, where there is one, `y` (N,): columns `x0`, `x1`, ...
fn npz(path: &Path, table_args: &TableArgs) -> Result<Data> {
    std::fs::metadata(path).map_err(Error::io(path))?;
    let bad = |reason: String| Error::Data { path: path.to_owned(), offset: 0, reason };
    let archive = NpzTensors::new(path).map_err(|e| bad(format!("not a numpy archive: {e}")))?;
    let array = |name: &str| -> Result<Option<Tensor>> {
        let found = archive.get(name).map_err(|e| bad(format!("array `{name}`: {e}")))?;
        Ok(found.map(|t| t.to_dtype(DType::F64)).transpose()?)
    };
    let x = array("X")?.ok_or_else(|| bad("the archive has no array `X`".to_owned()))?;
    let &[n, d] = x.dims() else { return Err(bad(format!("the shape of `X` is {:?}, must be (N, D)", x.dims()))) };
    let column = |i| Column { name: format!("x{i}"), kind: Kind::Number };
    let table = Table::new(Schema::new((0..d).map(column).collect())?, x.flatten_all()?.to_vec1()?)?;
    let labels = match (&table_args.label, array("y")?) {
        (Some(label), Some(y)) if label == "y" => {
            let y = y.flatten_all()?.to_vec1::<f64>()?;
            if y.len() != n || y.iter().any(|v| *v != 0.0 && *v != 1.0) {
                return Err(bad(format!(
                    "`y` has {} values for {n} rows, or a value that is neither 0 nor 1",
                    y.len()
                )));
            }
            Some(y.into_iter().map(|v| Some(v == 1.0)).collect())
        }
        (Some(label), _) => {
            return Err(bad(format!(
                "no labels `{label}`: the labels of an archive are the array `y`, give --label y"
            )));
        }
        (None, _) => None,
    };
    Ok(Data { table: table.without(&table_args.drop)?, labels })
}

/// An archive as CSV, without rounding; with a column `y` if it has labels.
fn text(path: &Path) -> Result<String> {
    let table_args =
        |label: Option<&str>| TableArgs { label: label.map(str::to_owned), normal: Vec::new(), drop: Vec::new() };
    let (data, labelled) = match npz(path, &table_args(Some("y"))) {
        Ok(data) => (data, true),
        Err(_) => (npz(path, &table_args(None))?, false),
    };
    let names: Vec<&str> = data.table.schema().columns().iter().map(|c| c.name.as_str()).collect();
    let mut out = names.join(",") + if labelled { ",y\n" } else { "\n" };
    let values = data.table.tensor()?.to_vec2::<f64>()?;
    for (i, row) in values.iter().enumerate() {
        let fields: Vec<String> = row.iter().map(ToString::to_string).collect();
        out += &fields.join(",");
        if let Some(Some(y)) = data.labels.as_ref().and_then(|l| l.get(i)) {
            out += if *y { ",1" } else { ",0" };
        }
        out.push('\n');
    }
    Ok(out)
}

/// Maps a file's columns to those of a schema.
pub(super) struct Mapping {
    /// For each column of the schema its index in the file.
    places: Vec<usize>,
    /// The index of the labels.
    pub(super) label: Option<usize>,
    width: usize,
}

impl Mapping {
    /// Finds the schema's columns in a header, in any order.
    pub(super) fn new(header: &[String], schema: &Schema, table_args: &TableArgs) -> Result<Self> {
        let wanted: Vec<&String> = schema.columns().iter().map(|c| &c.name).collect();
        let bad = |reason: String| Err(Error::value("columns", reason));
        let missing: Vec<&&String> = wanted.iter().filter(|n| !header.contains(n)).collect();
        if !missing.is_empty() {
            return bad(format!("the detector was fitted on {missing:?}, which the header {header:?} lacks"));
        }
        let other =
            |n: &&String| !wanted.contains(n) && Some(*n) != table_args.label.as_ref() && !table_args.drop.contains(n);
        let more: Vec<&String> = header.iter().filter(other).collect();
        if !more.is_empty() {
            return bad(format!(
                "{more:?} are more than the {} columns that the detector was fitted on; ignore them with --drop, or name the labels with --label",
                wanted.len()
            ));
        }
        let place = |n: &String| header.iter().position(|h| h == n);
        let label = match &table_args.label {
            Some(l) => match place(l) {
                Some(at) => Some(at),
                None => return bad(format!("the label column `{l}` is not in the header {header:?}")),
            },
            None => None,
        };
        Ok(Self { places: wanted.into_iter().filter_map(place).collect(), label, width: header.len() })
    }

    /// A record's fields as the schema's numbers.
    pub(super) fn read(&self, schema: &Schema, record: &csv::StringRecord, out: &mut Vec<f64>) -> Result<()> {
        if record.len() != self.width {
            return Err(Error::value("row", format!("{} fields for {} columns", record.len(), self.width)));
        }
        schema.read(self.places.iter().map(|i| record.get(*i).unwrap_or_default()), out)
    }
}

/// Whether a label marks an anomaly; `None` where it is missing.
pub(super) fn label_of(field: &str, normal: &[String]) -> Result<Option<bool>> {
    let field = field.trim();
    if sconce_tensor_core::table::MISSING.contains(&field) {
        return Ok(None);
    }
    if !normal.is_empty() {
        return Ok(Some(normal.iter().all(|n| n != field)));
    }
    match field.parse::<f64>() {
        Ok(0.0) => Ok(Some(false)),
        Ok(1.0) => Ok(Some(true)),
        _ => Err(Error::value(
            "label",
            format!("`{field}` is neither 0 nor 1; say which labels are normal with --normal"),
        )),
    }
}
