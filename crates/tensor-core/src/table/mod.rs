//! Tables with numeric and categorical columns and missing values, read from text and stored as numbers.

mod date;
mod field;
mod inference;
mod labels;
mod rows;

pub use date::{date_features, parse_date};
pub use field::{MISSING, MISSING_NUMBERS, decimal_comma, is_missing};
pub use inference::Inference;
pub use labels::Labels;
pub use rows::Table;

use crate::{Error, Result};
use field::{Look, trimmed};

/// The type of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Kind {
    /// Finite numbers.
    Number,
    /// A category, one of these names. Its value is the index of the name; any other name has the number of names as its value.
    Category(Vec<String>),
    /// Dates as [`parse_date`] reads them. The value is the number of days since 1970-01-01, with the fraction of the day.
    Date,
}

impl Kind {
    /// The number of features that a value of this type gives: one indicator for each name of a category, the three numbers of
    /// [`date_features`] for a date.
    pub fn features(&self) -> usize {
        match self {
            Self::Number => 1,
            Self::Category(names) => names.len(),
            Self::Date => 3,
        }
    }
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
            match fields.next().map(|f| column.value(trimmed(f))) {
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
        let bad = |reason: String| Error::value(format!("column `{}`", self.name), reason);
        match &self.kind {
            Kind::Number => match Look::of(field) {
                Look::Number(v) => Ok(v),
                Look::Missing | Look::MissingNumber => Ok(f64::NAN),
                other => Err(bad(other.complaint(field))),
            },
            // A name comes first: earlier versions took some texts for names that now are missing values.
            Kind::Category(all) => Ok(match all.binary_search_by(|c| c.as_str().cmp(field)) {
                Ok(at) => at as f64,
                Err(_) if is_missing(field) => f64::NAN,
                Err(_) => all.len() as f64,
            }),
            Kind::Date => match parse_date(field) {
                Some(days) => Ok(days),
                None if matches!(Look::of(field), Look::Missing | Look::MissingNumber) => Ok(f64::NAN),
                None => Err(bad(format!(
                    "`{field}` is no date that can be read: write it as 2024-01-31 or 2024-01-31 10:00:00"
                ))),
            },
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
        assert!(of("a", &[]).unwrap_err().contains("`2` at row 2: neither 0 nor 1"));
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
}
