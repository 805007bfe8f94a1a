//! Tables in numpy archives: `X` (N, D) and, where there is one, `y` (N,), whose values are 0 and 1.

use super::read::Data;
use crate::args::TableColumns;
use anyhow::Result;
use candle_core::npy::NpzTensors;
use candle_core::{DType, Tensor};
use sconce_tensor_core::Error;
use sconce_tensor_core::table::{Column, Kind, Schema, Table};
use std::path::Path;

/// The arrays of features and of labels.
const FEATURES: &str = "X";
const LABELS: &str = "y";

/// Reads an archive as a table with the columns `x0`, `x1`, ...
///
/// # Errors
/// No archive, or one without `X` of two dimensions; labels that are asked for and not there, or that are neither 0 nor 1.
pub(super) fn read(path: &Path, columns: &TableColumns) -> Result<Data> {
    let bad = |reason: String| Error::Data { path: path.to_owned(), offset: 0, reason };
    let archive = NpzTensors::new(path).map_err(|e| bad(format!("not a numpy archive: {e}")))?;
    let array = |name: &str| -> Result<Option<Tensor>> {
        let found = archive.get(name).map_err(|e| bad(format!("array `{name}`: {e}")))?;
        Ok(found.map(|t| t.to_dtype(DType::F64)).transpose()?)
    };
    let x = array(FEATURES)?.ok_or_else(|| bad(format!("the archive has no array `{FEATURES}`")))?;
    let &[n, d] = x.dims() else {
        return Err(bad(format!("the shape of `{FEATURES}` is {:?}, must be (N, D)", x.dims())).into());
    };
    let column = |i| Column { name: format!("x{i}"), kind: Kind::Number };
    let table = Table::new(Schema::new((0..d).map(column).collect())?, x.flatten_all()?.to_vec1()?)?;
    let labels = match (columns.label.as_deref(), array(LABELS)?) {
        (Some(LABELS), Some(y)) => {
            let y = y.flatten_all()?.to_vec1::<f64>()?;
            if y.len() != n || y.iter().any(|v| *v != 0.0 && *v != 1.0) {
                let reason =
                    format!("`{LABELS}` has {} values for {n} rows, or a value that is neither 0 nor 1", y.len());
                return Err(bad(reason).into());
            }
            Some(y.into_iter().map(|v| Some(v == 1.0)).collect())
        }
        (Some(label), _) => {
            let reason = format!(
                "no labels `{label}`: the labels of an archive are the array `{LABELS}`, give --label {LABELS}"
            );
            return Err(bad(reason).into());
        }
        (None, _) => None,
    };
    Ok(Data { table: table.without(&columns.drop)?, labels })
}

/// An archive as CSV, without rounding; with a column `y` if it has labels.
///
/// # Errors
/// As [`read`].
pub(super) fn text(path: &Path) -> Result<String> {
    let columns = |label: Option<&str>| TableColumns { label: label.map(str::to_owned), ..TableColumns::default() };
    let (data, labelled) = match read(path, &columns(Some(LABELS))) {
        Ok(data) => (data, true),
        Err(_) => (read(path, &columns(None))?, false),
    };
    let names: Vec<&str> = data.table.schema().columns().iter().map(|c| c.name.as_str()).collect();
    let mut out = names.join(",");
    out += if labelled { ",y\n" } else { "\n" };
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
