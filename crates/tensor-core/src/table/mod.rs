//! Tables with numeric and categorical columns and missing values, read from text and stored as numbers.

use crate::{Error, Result};
use candle_core::{Device, Tensor};

/// The texts that stand for a missing value.
pub const MISSING: [&str; 8] = ["", "?", "NA", "N/A", "NaN", "nan", "null", "NULL"];

/// The type of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Kind {
    /// Finite numbers.
    Number,
    /// A category, one of these names. Its value is the index of the name; any other name has the number of names as its value.
    Category(Vec<String>),
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Column {
    /// Its name in the header.
    pub name: String,
    /// Its type.
    pub kind: Kind,
}

/// The columns of a table, in order; no two have the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Vec<Column>", into = "Vec<Column>"))]
pub struct Schema {
    columns: Vec<Column>,
}

impl TryFrom<Vec<Column>> for Schema {
    type Error = Error;

    fn try_from(columns: Vec<Column>) -> Result<Self> {
        Self::new(columns)
    }
}

impl From<Schema> for Vec<Column> {
    fn from(schema: Schema) -> Self {
        schema.columns
    }
}

impl Schema {
    /// Checks that there is at least one column and that the names are distinct and not empty.
    ///
    /// # Errors
    /// [`Error::Value`] naming the column.
    pub fn new(columns: Vec<Column>) -> Result<Self> {
        let bad = |reason: String| Err(Error::value("header", reason));
        if columns.is_empty() || columns.iter().any(|c| c.name.is_empty()) {
            return bad(format!("no name for a column among {:?}", names(&columns)));
        }
        match columns.iter().enumerate().find(|(i, c)| columns[..*i].iter().any(|d| d.name == c.name)) {
            Some((_, c)) => bad(format!("column `{}` is named twice", c.name)),
            None => Ok(Self { columns }),
        }
    }

    /// The columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The index of a column.
    ///
    /// # Errors
    /// [`Error::Value`] with the names of the columns.
    pub fn index(&self, name: &str) -> Result<usize> {
        let at = self.columns.iter().position(|c| c.name == name);
        at.ok_or_else(|| Error::value("column", format!("`{name}` is not among {:?}", names(&self.columns))))
    }

    /// Appends a row of text to `out` as numbers; a missing value becomes NaN.
    ///
    /// # Errors
    /// A wrong number of fields; a field of a numeric column that is not a finite number, with the column's name. After an
    /// error `out` is unchanged.
    pub fn read<'a>(&self, fields: impl IntoIterator<Item = &'a str>, out: &mut Vec<f64>) -> Result<()> {
        let start = out.len();
        let mut fields = fields.into_iter();
        for column in &self.columns {
            match fields.next().map(|f| column.value(f.trim())) {
                Some(Ok(v)) => out.push(v),
                Some(Err(e)) => {
                    out.truncate(start);
                    return Err(e);
                }
                None => {
                    let found = out.len() - start;
                    out.truncate(start);
                    return Err(Error::value("row", format!("{found} fields for {} columns", self.columns.len())));
                }
            }
        }
        let more = fields.count();
        if more > 0 {
            out.truncate(start);
            let width = self.columns.len();
            return Err(Error::value("row", format!("{} fields for {width} columns", width + more)));
        }
        Ok(())
    }
}

fn names(columns: &[Column]) -> Vec<&str> {
    columns.iter().map(|c| c.name.as_str()).collect()
}

impl Column {
    fn value(&self, field: &str) -> Result<f64> {
        if MISSING.contains(&field) {
            return Ok(f64::NAN);
        }
        match &self.kind {
            Kind::Number => field.parse::<f64>().ok().filter(|v| v.is_finite()).ok_or_else(|| {
                Error::value(format!("column `{}`", self.name), format!("`{field}` is no finite number"))
            }),
            Kind::Category(all) => Ok(all.binary_search_by(|c| c.as_str().cmp(field)).unwrap_or(all.len()) as f64),
        }
    }

    /// The name of a category's value; `None` for a numeric column, a missing value or an unknown name.
    pub fn category(&self, value: f64) -> Option<&str> {
        match &self.kind {
            Kind::Category(all) if value >= 0.0 => all.get(value as usize).map(String::as_str),
            _ => None,
        }
    }
}

/// Infers the type of each column: numeric if all fields that are not missing are finite numbers, otherwise categorical.
///
/// ```
/// use sconce_tensor_core::table::{Inference, Kind};
/// let mut seen = Inference::new(["size", "colour"].map(String::from).to_vec(), &[])?;
/// for row in [["1.5", "red"], ["?", "blue"], ["2", "red"]] {
///     seen.row(row)?;
/// }
/// let schema = seen.finish()?;
/// assert_eq!(schema.columns()[1].kind, Kind::Category(vec!["blue".into(), "red".into()]));
/// let mut values = Vec::new();
/// schema.read(["?", "red"], &mut values)?;
/// assert!(values[0].is_nan() && values[1] == 1.0);
/// # Ok::<(), sconce_tensor_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Inference {
    names: Vec<String>,
    /// The distinct fields of each column so far. A numeric column's are kept too, for it may turn out to be categorical.
    seen: Vec<Seen>,
}

#[derive(Clone, Debug)]
struct Seen {
    number: bool,
    names: std::collections::BTreeSet<String>,
}

/// A column whose first distinct values, this many, are all numbers is numeric: a later field that is not a number is an error.
const MOST_NAMES: usize = 10_000;

impl Inference {
    /// Starts with the header. `categories` names columns that are categorical although their fields look like numbers.
    ///
    /// # Errors
    /// As [`Schema::new`]; a name in `categories` that is not a column.
    pub fn new(names: Vec<String>, categories: &[String]) -> Result<Self> {
        let columns = names.iter().map(|n| Column { name: n.clone(), kind: Kind::Number }).collect();
        let schema = Schema::new(columns)?;
        let mut seen = vec![Seen { number: true, names: Default::default() }; names.len()];
        for c in categories {
            seen[schema.index(c)?].number = false;
        }
        Ok(Self { names, seen })
    }

    /// Reads a row of text.
    ///
    /// # Errors
    /// A wrong number of fields; a field that is not a number in a column whose first 10,000 distinct values were numbers.
    pub fn row<'a>(&mut self, fields: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let mut count = 0;
        for (i, field) in fields.into_iter().enumerate() {
            count = i + 1;
            let (Some(seen), field) = (self.seen.get_mut(i), field.trim()) else { continue };
            if MISSING.contains(&field) {
                continue;
            }
            let full = seen.names.len() >= MOST_NAMES;
            if seen.number && !field.parse::<f64>().is_ok_and(f64::is_finite) {
                if full {
                    let reason = format!("`{field}` after {MOST_NAMES} different numbers");
                    return Err(Error::value(format!("column `{}`", self.names[i]), reason));
                }
                seen.number = false;
            }
            // At most MOST_NAMES distinct numbers are kept.
            let room = !full || !seen.number;
            if room && !seen.names.contains(field) {
                seen.names.insert(field.to_owned());
            }
        }
        match count == self.names.len() {
            true => Ok(()),
            false => Err(Error::value("row", format!("{count} fields for {} columns", self.names.len()))),
        }
    }

    /// The inferred columns.
    ///
    /// # Errors
    /// As [`Schema::new`], whose conditions [`Inference::new`] has checked.
    pub fn finish(self) -> Result<Schema> {
        let column = |(name, seen): (String, Seen)| {
            let kind = if seen.number { Kind::Number } else { Kind::Category(seen.names.into_iter().collect()) };
            Column { name, kind }
        };
        Schema::new(self.names.into_iter().zip(self.seen).map(column).collect())
    }
}

/// A table in memory, row after row.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    schema: Schema,
    values: Vec<f64>,
}

impl Table {
    /// A table from values in the form of [`Schema::read`].
    ///
    /// # Errors
    /// No rows, or an incomplete last row.
    pub fn new(schema: Schema, values: Vec<f64>) -> Result<Self> {
        let width = schema.columns.len();
        if values.is_empty() || !values.len().is_multiple_of(width) {
            return Err(Error::value("table", format!("{} values in rows of {width}", values.len())));
        }
        Ok(Self { schema, values })
    }

    /// The columns.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.values.len() / self.schema.columns.len()
    }

    /// The values as (N, D) in f64: NaN for a missing value, the index for a category.
    ///
    /// # Errors
    /// candle's only.
    pub fn tensor(&self) -> Result<Tensor> {
        let shape = (self.rows(), self.schema.columns.len());
        Ok(Tensor::from_slice(&self.values, shape, &Device::Cpu)?)
    }

    /// The row, counted from 0, and the column of the first missing value.
    pub fn gap(&self) -> Option<(usize, &Column)> {
        let (at, width) = (self.values.iter().position(|v| v.is_nan())?, self.schema.columns.len());
        Some((at / width, &self.schema.columns[at % width]))
    }

    /// Removes a column; returns the table without it, the column, and its values.
    ///
    /// # Errors
    /// A column that does not exist or is the only one.
    pub fn take(self, name: &str) -> Result<(Self, Column, Vec<f64>)> {
        let (at, width) = (self.schema.index(name)?, self.schema.columns.len());
        if width == 1 {
            return Err(Error::value("table", format!("has no column beside `{name}`")));
        }
        let taken = self.values.iter().skip(at).step_by(width).copied().collect();
        let rest = self.values.iter().enumerate().filter(|(i, _)| i % width != at).map(|(_, v)| *v).collect();
        let mut columns = self.schema.columns;
        let column = columns.remove(at);
        Ok((Self { schema: Schema { columns }, values: rest }, column, taken))
    }

    /// Removes the column of labels; returns the table without it, and for each row whether its label is positive, that is not
    /// among `negative`, or `None` if the label is missing. If `negative` is empty, labels must be the numbers 0 and 1, and 1
    /// is positive.
    ///
    /// # Errors
    /// As [`Table::take`]; a negative label that no row has; a label that is neither 0 nor 1, with its row and the labels that
    /// occur.
    pub fn labelled(self, label: &str, negative: &[String]) -> Result<(Self, Vec<Option<bool>>)> {
        let (rest, column, values) = self.take(label)?;
        let bad = |reason: String| Error::value(format!("column `{label}`"), reason);
        let mut labels = Vec::with_capacity(values.len());
        match &column.kind {
            Kind::Number if negative.is_empty() => {
                for (i, v) in values.iter().enumerate() {
                    labels.push(match *v {
                        v if v.is_nan() => None,
                        0.0 => Some(false),
                        1.0 => Some(true),
                        v => return Err(bad(format!("{v} at row {}: neither 0 nor 1", i + 1))),
                    });
                }
            }
            Kind::Number => {
                let number = |n: &String| n.parse::<f64>().ok().filter(|v| values.contains(v));
                let found = negative.iter().map(|n| number(n).ok_or_else(|| bad(format!("no row is `{n}`"))));
                let negative = found.collect::<Result<Vec<f64>>>()?;
                labels.extend(values.iter().map(|v| (!v.is_nan()).then(|| !negative.contains(v))));
            }
            Kind::Category(names) => {
                let known = format!("the labels are {:?}", &names[..names.len().min(20)]);
                if negative.is_empty() {
                    return Err(bad(format!("say which labels are normal: {known}")));
                }
                if let Some(n) = negative.iter().find(|n| !names.contains(n)) {
                    return Err(bad(format!("no row is `{n}`: {known}")));
                }
                let is = |v: &f64| column.category(*v).map(|c| negative.iter().all(|n| n != c));
                labels.extend(values.iter().map(is));
            }
        }
        Ok((rest, labels))
    }

    /// The table without some columns.
    ///
    /// # Errors
    /// As [`Table::take`].
    pub fn without(self, names: &[String]) -> Result<Self> {
        names.iter().try_fold(self, |t, n| Ok(t.take(n)?.0))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn infer(header: &[&str], categories: &[&str], rows: &[&[&str]]) -> Result<Schema> {
        let owned = |s: &[&str]| s.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let mut seen = Inference::new(owned(header), &owned(categories))?;
        rows.iter().try_for_each(|r| seen.row(r.iter().copied()))?;
        seen.finish()
    }

    #[test]
    fn numbers_names_and_gaps() {
        let rows: [&[&str]; 3] = [&["1", "7", "x"], &["", "8", "?"], &["-2e3", "7", "12"]];
        let schema = infer(&["a", "b", "c"], &["b"], &rows).unwrap();
        let names = |s: &[&str]| Kind::Category(s.iter().map(|s| (*s).to_owned()).collect());
        let kinds: Vec<&Kind> = schema.columns().iter().map(|c| &c.kind).collect();
        assert_eq!(kinds, [&Kind::Number, &names(&["7", "8"]), &names(&["12", "x"])]);
        let mut out = Vec::new();
        for r in rows {
            schema.read(r.iter().copied(), &mut out).unwrap();
        }
        schema.read(["3", "9", "12"], &mut out).unwrap();
        assert!(out[3].is_nan() && out[5].is_nan());
        assert_eq!([out[0], out[1], out[2], out[6], out[8]], [1.0, 0.0, 1.0, -2000.0, 0.0]);
        assert_eq!(out[10], 2.0, "a name never seen");
        assert_eq!((schema.columns()[2].category(1.0), schema.columns()[2].category(f64::NAN)), (Some("x"), None));
        let table = Table::new(schema, out).unwrap();
        assert_eq!(table.gap().map(|(row, c)| (row, c.name.as_str())), Some((1, "a")));
        assert_eq!((table.rows(), table.tensor().unwrap().dims()), (4, &[4, 3][..]));
        let (rest, column, values) = table.take("b").unwrap();
        assert_eq!(
            (column.name.as_str(), values, rest.tensor().unwrap().dims()),
            ("b", vec![0.0, 1.0, 0.0, 2.0], &[4, 2][..])
        );
        assert_eq!(rest.clone().without(&["a".to_owned()]).unwrap().schema().columns()[0].name, "c");
        assert!(rest.without(&["a".to_owned(), "c".to_owned()]).unwrap_err().to_string().contains("beside `c`"));
    }

    #[test]
    fn labels_as_numbers_and_as_names() {
        let rows: [&[&str]; 4] = [&["1", "0", "ok"], &["2", "1", "bad"], &["3", "?", ""], &["4", "0", "worse"]];
        let schema = infer(&["a", "n", "s"], &[], &rows).unwrap();
        let mut out = Vec::new();
        rows.iter().for_each(|r| schema.read(r.iter().copied(), &mut out).unwrap());
        let table = Table::new(schema, out).unwrap();
        let of = |label: &str, negative: &[&str]| {
            let negative: Vec<String> = negative.iter().map(|s| (*s).to_owned()).collect();
            table.clone().labelled(label, &negative).map(|t| t.1).map_err(|e| e.to_string())
        };
        assert_eq!(of("n", &[]).unwrap(), [Some(false), Some(true), None, Some(false)]);
        assert_eq!(of("n", &["1"]).unwrap(), [Some(true), Some(false), None, Some(true)]);
        assert_eq!(of("s", &["ok"]).unwrap(), [Some(false), Some(true), None, Some(true)]);
        assert!(of("a", &[]).unwrap_err().contains("2 at row 2"));
        assert!(of("s", &[]).unwrap_err().contains(r#"["bad", "ok", "worse"]"#));
        assert!(of("s", &["fine"]).unwrap_err().contains("no row is `fine`") && of("n", &["7"]).is_err());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let message = |r: Result<Schema>| r.unwrap_err().to_string();
        assert!(message(infer(&["a", "a"], &[], &[])).contains("`a` is named twice"));
        assert!(message(infer(&["a", ""], &[], &[])).contains("no name"));
        assert!(message(infer(&["a"], &["z"], &[])).contains(r#"`z` is not among ["a"]"#));
        assert!(message(infer(&["a", "b"], &[], &[&["1"]])).contains("1 fields for 2 columns"));
        let schema = infer(&["a", "b"], &[], &[&["1", "2"]]).unwrap();
        let mut out = vec![9.0];
        for (row, want) in [
            (vec!["1", "x"], "column `b`: `x`"),
            (vec!["1"], "1 fields"),
            (vec!["1", "2", "3"], "3 fields"),
            (vec!["inf", "2"], "`inf`"),
        ] {
            let e = schema.read(row, &mut out).unwrap_err().to_string();
            assert!(e.contains(want), "{e}");
        }
        assert_eq!(out, [9.0], "a bad row leaves nothing behind");
        assert!(Table::new(schema, vec![1.0]).is_err());
    }

    #[test]
    fn a_name_after_thousands_of_numbers_is_an_error_and_few_are_kept() {
        let mut seen = Inference::new(vec!["a".to_owned()], &[]).unwrap();
        for i in 0..=MOST_NAMES {
            seen.row([i.to_string().as_str()]).unwrap();
        }
        assert!(seen.row(["x"]).unwrap_err().to_string().contains("column `a`: `x`"));
        assert_eq!(seen.seen[0].names.len(), MOST_NAMES);
    }
}
