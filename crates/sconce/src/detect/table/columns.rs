//! The columns of a table, as they were understood.

use anyhow::Result;
use sconce_tensor_core::table::{Column, Kind, Table};
use serde_json::{Value, json};
use std::fmt::Write;

/// Lines without --verbose.
const MOST_LINES: usize = 20;
/// The longest name, in characters.
const NAME: usize = 24;
/// The longest list of categories, in characters.
const LIST: usize = 36;

/// What was inferred of each column.
pub(in crate::detect) struct Columns<'a>(Vec<Summary<'a>>);

struct Summary<'a> {
    column: &'a Column,
    /// The smallest and the largest number, if there is one.
    range: Option<(f64, f64)>,
    missing: usize,
}

impl<'a> Columns<'a> {
    /// Summarises the features of a table.
    ///
    /// # Errors
    /// candle's only.
    pub(in crate::detect) fn of(table: &'a Table) -> Result<Self> {
        let values = table.tensor()?.flatten_all()?.to_vec1::<f64>()?;
        let columns = table.schema().columns();
        let summary = |(j, column): (usize, &'a Column)| {
            let all = || values.iter().skip(j).step_by(columns.len());
            let range = all()
                .filter(|v| !v.is_nan())
                .fold(None, |r: Option<(f64, f64)>, v| Some(r.map_or((*v, *v), |(lo, hi)| (lo.min(*v), hi.max(*v)))));
            Summary { column, range, missing: all().filter(|v| v.is_nan()).count() }
        };
        Ok(Self(columns.iter().enumerate().map(summary).collect()))
    }

    /// A table, one line for each column: at most twenty lines, unless `all` are asked for.
    pub(in crate::detect) fn text(&self, all: bool) -> String {
        let rows: Vec<[String; 4]> = self.0.iter().map(Summary::cells).collect();
        let shown = if all || rows.len() <= MOST_LINES { rows.len() } else { MOST_LINES - 1 };
        let head = ["column", "kind", "values", "missing"].map(str::to_owned);
        let wide = |i: usize| rows[..shown].iter().chain([&head]).map(|r| r[i].chars().count()).max().unwrap_or(0);
        let (name, kind, values) = (wide(0), wide(1), wide(2));
        let mut text = String::new();
        for [a, b, c, d] in std::iter::once(&head).chain(&rows[..shown]) {
            let _ = writeln!(text, "{a:<name$}  {b:<kind$}  {c:<values$}  {d:>7}");
        }
        if shown < rows.len() {
            let _ = writeln!(text, "and {} more columns; -v lists all", rows.len() - shown);
        }
        text
    }

    /// The fields of the JSON summary.
    pub(in crate::detect) fn json(&self) -> Value {
        let column = |s: &Summary<'_>| match &s.column.kind {
            Kind::Number => json!({
                "name": s.column.name, "kind": "number", "missing": s.missing, "range": s.range.map(|(lo, hi)| [lo, hi]),
            }),
            Kind::Category(names) => {
                json!({ "name": s.column.name, "kind": "category", "missing": s.missing, "categories": names.len() })
            }
            Kind::Date => json!({
                "name": s.column.name, "kind": "date", "missing": s.missing, "range": s.range.map(|(lo, hi)| [day(lo), day(hi)]),
            }),
        };
        self.0.iter().map(column).collect()
    }
}

impl Summary<'_> {
    fn cells(&self) -> [String; 4] {
        let (kind, values) = match &self.column.kind {
            Kind::Number => {
                ("number", self.range.map_or("none".to_owned(), |(lo, hi)| format!("{} to {}", short(lo), short(hi))))
            }
            Kind::Category(names) => ("category", cut(&format!("{}: {}", names.len(), names.join(", ")), LIST)),
            Kind::Date => {
                ("date", self.range.map_or("none".to_owned(), |(lo, hi)| format!("{} to {}", day(lo), day(hi))))
            }
        };
        [cut(&self.column.name, NAME), kind.to_owned(), values, self.missing.to_string()]
    }
}

/// A text of at most so many characters, in one line.
fn cut(text: &str, most: usize) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    if text.chars().count() <= most { plain.collect() } else { plain.take(most - 1).chain(['…']).collect() }
}

/// The calendar day of a number of days since 1970-01-01 (Hinnant, civil_from_days).
fn day(days: f64) -> String {
    let z = days.floor() as i64 + 719_468;
    let (era, of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (d, m) = (of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    format!("{:04}-{m:02}-{d:02}", era * 400 + year + i64::from(m <= 2))
}

/// A number in few characters.
fn short(v: f64) -> String {
    let text = v.to_string();
    if text.len() <= 10 { text } else { format!("{v:.4e}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sconce_tensor_core::table::Schema;

    fn table(width: usize) -> Table {
        let colour = Kind::Category(vec!["blue".to_owned(), "red\nish".to_owned()]);
        let mut columns = vec![Column { name: "colour".to_owned(), kind: colour }];
        columns.extend((1..width).map(|i| Column { name: format!("x{i}"), kind: Kind::Number }));
        let value = |k: usize| if k == 0 || k == width + 1 { f64::NAN } else { (k as f64) / 3.0 };
        Table::new(Schema::new(columns).unwrap(), (0..2 * width).map(value).collect()).unwrap()
    }

    #[test]
    fn kinds_ranges_and_gaps() {
        let t = table(2);
        let columns = Columns::of(&t).unwrap();
        let text = columns.text(false);
        let rows: Vec<Vec<&str>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(rows[1], ["colour", "category", "2:", "blue,", "red", "ish", "1"]);
        assert_eq!(rows[2], ["x1", "number", "3.3333e-1", "to", "3.3333e-1", "1"]);
        let json = columns.json();
        assert_eq!(json[1], json!({ "name": "x1", "kind": "number", "missing": 1, "range": [1.0 / 3.0, 1.0 / 3.0] }));
        assert_eq!(json[0]["categories"], 2);
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for text in ["1970-01-01", "1969-12-31", "2024-02-29", "2000-03-01", "1899-12-31"] {
            assert_eq!(day(sconce_tensor_core::table::parse_date(text).unwrap() + 0.5), text);
        }
    }

    #[test]
    fn a_wide_table_is_cut_to_twenty_lines() {
        let t = table(40);
        let columns = Columns::of(&t).unwrap();
        let few = columns.text(false);
        assert_eq!((few.lines().count(), few.lines().last()), (21, Some("and 21 more columns; -v lists all")));
        assert_eq!(columns.text(true).lines().count(), 41);
    }
}
