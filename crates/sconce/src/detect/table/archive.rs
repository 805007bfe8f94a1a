//! Tables in numpy's files: an archive with features (N, D) and, where there are some, labels (N,) or (N, 1); or one array of features.

use super::read::{Data, doubtful};
use super::source::Source;
use crate::args::{Preprocessing, TableColumns};
use anyhow::{Context, Result, bail};
use candle_core::{DType, Tensor};
use sconce_tensor_core::formats::Arrays;
use sconce_tensor_core::table::{Column, Inference, Kind, Labels, Schema, Table};

/// The usual names of features and of labels, the most usual first; upper and lower case are the same.
const FEATURES: [&str; 6] = ["X", "x_train", "data", "features", "x_test", "arr_0"];
const LABELS: [&str; 8] = ["y", "label", "labels", "target", "targets", "y_train", "y_test", "arr_1"];

/// Features, and the name and values of labels.
struct Parts {
    x: Tensor,
    labels: Option<(String, Vec<f64>)>,
}

/// Reads an archive as a table with the columns `x0`, `x1`, ...
///
/// # Errors
/// No archive, or one without features (N, D); labels that are asked for and not there, or that are neither 0 and 1 nor named; a column of
/// categories that is not there or has too many; a column of dates, which are text.
pub(super) fn read(source: &Source, columns: &TableColumns, preprocessing: &Preprocessing) -> Result<Data> {
    let place = || source.path().display().to_string();
    let Parts { x, labels } = parts(source, columns, columns.label.is_some()).map_err(|e| placed(source, e))?;
    let (n, d) = x.dims2()?;
    let values = x.flatten_all()?.to_vec1::<f64>()?;
    if let Some(i) = values.iter().position(|v| v.is_infinite()) {
        bail!(
            "{}: row {}, column `x{}`: `{}` is no finite number: write a finite one, or NaN if it is missing",
            place(),
            i / d + 1,
            i % d,
            values[i]
        );
    }
    let names: Vec<String> = (0..d).map(|i| format!("x{i}")).collect();
    if let Some(name) = columns.drop.iter().find(|n| !names.contains(n)) {
        bail!("{}: column: `{name}` is not among x0 to x{}", place(), d - 1);
    }
    let column = |name: String| Column { name, kind: Kind::Number };
    let table = Table::new(Schema::new(names.into_iter().map(column).collect())?, values)?.without(&columns.drop)?;
    let table = named(table, preprocessing).with_context(place)?;
    let judged = |(name, values): (String, Vec<f64>)| -> Result<Vec<Option<bool>>> {
        let mut rule = Labels::new(&name, &columns.normal);
        let all = values.into_iter().enumerate().map(|(i, v)| rule.of_number(v, i + 1)).collect();
        rule.finish()?;
        Ok(all)
    };
    let labels = labels.map(judged).transpose().with_context(place)?;
    debug_assert!(labels.as_ref().is_none_or(|l| l.len() == n));
    Ok(Data { table, labels, notes: Vec::new() })
}

/// A table of numbers in which some columns are named as categories: the names are the numbers as text, as in [`text`].
fn named(table: Table, preprocessing: &Preprocessing) -> Result<Table> {
    if let Some(name) = preprocessing.dates.first() {
        bail!(
            "--dates {name}: arrays hold numbers and no dates; write them as days since 1970-01-01, or the table as CSV"
        );
    }
    if preprocessing.category.is_empty() {
        return Ok(table);
    }
    let names = table.schema().columns().iter().map(|c| c.name.clone()).collect();
    let mut inference = Inference::new(names, &preprocessing.category)?;
    let rows = table.tensor()?.to_vec2::<f64>()?;
    let text = |row: &[f64]| row.iter().map(ToString::to_string).collect::<Vec<String>>();
    for row in &rows {
        inference.row(text(row).iter().map(String::as_str))?;
    }
    let schema = inference.finish().map_err(|e| doubtful(&e))?;
    let mut values = Vec::with_capacity(rows.len() * schema.columns().len());
    for row in &rows {
        schema.read(text(row).iter().map(String::as_str), &mut values)?;
    }
    Ok(Table::new(schema, values)?)
}

/// An archive as CSV, without rounding; with a column of labels under the name that is asked for, or `y` if the archive has labels.
///
/// # Errors
/// As [`read`].
pub(super) fn text(source: &Source, columns: &TableColumns) -> Result<String> {
    let Parts { x, labels } = parts(source, columns, false).map_err(|e| placed(source, e))?;
    let names: Vec<String> = (0..x.dims2()?.1).map(|i| format!("x{i}")).collect();
    let labels = labels.map(|(found, values)| (columns.label.clone().unwrap_or(found), values));
    let mut out = names.join(",");
    if let Some((name, _)) = &labels {
        out += &format!(",{name}");
    }
    out.push('\n');
    for (i, row) in x.to_vec2::<f64>()?.iter().enumerate() {
        let label = labels.as_ref().and_then(|(_, values)| values.get(i));
        let fields: Vec<String> = row.iter().chain(label).map(ToString::to_string).collect();
        out += &fields.join(",");
        out.push('\n');
    }
    Ok(out)
}

/// An error with the path, which those of the reader of arrays have already.
fn placed(source: &Source, e: anyhow::Error) -> anyhow::Error {
    let place = source.path().display().to_string();
    if e.to_string().starts_with(&place) { e } else { e.context(place) }
}

/// The first of some usual names that the file has, in any case.
fn usual(names: &[String], wanted: &[&str]) -> Option<String> {
    wanted.iter().find_map(|w| names.iter().find(|n| n.eq_ignore_ascii_case(w))).cloned()
}

/// Finds features and labels. Without `required`, labels that are not there are no error.
fn parts(source: &Source, columns: &TableColumns, required: bool) -> Result<Parts> {
    if !source.is_file() {
        bail!("arrays are not read from a pipe: name the .npz or .npy file");
    }
    let arrays = Arrays::open(source.path())?;
    let (names, form) = (arrays.names().to_vec(), &columns.form);
    let single = arrays.is_single();
    let chosen = form.x_name.clone().filter(|_| !single);
    let Some(name) = chosen.or_else(|| if single { names.first().cloned() } else { usual(&names, &FEATURES) }) else {
        bail!("no array `{}` among {names:?}: name the array of features with --x-name", FEATURES[0]);
    };
    let x = features(&name, &arrays.get(&name)?)?;
    let label = form.y_name.clone().or_else(|| columns.label.clone().filter(|l| names.contains(l)));
    // Any usual name stands for the others.
    let guess = columns.label.as_ref().is_none_or(|l| LABELS.iter().any(|n| n.eq_ignore_ascii_case(l)));
    let label = label.or_else(|| usual(&names, &LABELS).filter(|_| guess)).filter(|l| !single && *l != name);
    let labels = match label {
        Some(label) => Some((label.clone(), labels(&label, &arrays.get(&label)?, x.dims2()?.0)?)),
        None if required && single => bail!(
            "an .npy file has no labels: write features and labels to one archive with numpy.savez(\"table.npz\", X=X, y=y)"
        ),
        None if required => bail!(
            "no labels `{}` among the arrays {names:?}: name the array of labels with --y-name",
            columns.label.as_deref().unwrap_or(LABELS[0])
        ),
        None => None,
    };
    Ok(Parts { x, labels })
}

/// Features as (N, D) in f64; an array (N,) is one feature.
fn features(name: &str, x: &Tensor) -> Result<Tensor> {
    let x = match *x.dims() {
        [n] if n > 0 => x.reshape((n, 1))?,
        [n, d] if n * d > 0 => x.clone(),
        [_] | [_, _] => bail!("`{name}` of shape {:?} has no values", x.dims()),
        [n, ..] => bail!(
            "the shape of `{name}` is {:?}, must be (N, D): a detector takes one row of features for each example; write \
             {name}.reshape({n}, -1)",
            x.dims()
        ),
        [] => bail!("`{name}` is a single number, must be (N, D)"),
    };
    Ok(x.to_dtype(DType::F64)?.contiguous()?)
}

/// Labels (N,) or (N, 1).
fn labels(name: &str, y: &Tensor, rows: usize) -> Result<Vec<f64>> {
    match *y.dims() {
        [n] | [n, 1] | [1, n] if n == rows => Ok(y.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?),
        [n, k] if n == rows => bail!(
            "`{name}` is ({n}, {k}), not one label for each row: write {name}.argmax(1), or name another array with --y-name"
        ),
        _ => bail!("`{name}` of shape {:?} is not one label for each of {rows} rows", y.dims()),
    }
}
