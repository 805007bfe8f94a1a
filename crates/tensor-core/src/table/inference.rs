//! The types of a table's columns, from its text.

use super::field::{Look, trimmed};
use super::{Column, Kind, Schema, parse_date};
use crate::{Error, Result};
use std::collections::HashSet;

/// Infers the type of each column.
///
/// - A column is numeric if more than half of its fields are numbers, or more than nine tenths of its distinct fields; fields that are written as people write numbers (`1,234`, `12%`, `$5`,
///   `5 kg`, `inf`) count as numbers here. Missing values are those of [`super::MISSING`] and [`super::MISSING_NUMBERS`]; any other field
///   that is not a finite number is an error with its row.
/// - A column whose fields are mostly dates or times of day is an error, unless it is named as one of dates or categories.
/// - Any other column is categorical. One with almost as many names as rows is an error, unless it is named as categorical: no
///   detector learns from names that do not come again.
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
    seen: Vec<Seen>,
    rows: usize,
}

/// The fields of a column so far.
#[derive(Clone, Debug, Default)]
struct Seen {
    named: Option<Named>,
    /// Fields that are not missing in every column.
    there: usize,
    /// Fields that mean numbers, dates and times of day.
    numbers: usize,
    dates: usize,
    times: usize,
    /// Fields that are missing in a column of numbers.
    gaps: usize,
    /// The first field that is neither a finite number nor missing, and its row.
    odd: Option<(usize, String)>,
    names: Names,
}

/// The distinct fields of a column, at most [`MOST_NAMES`], in no order.
#[derive(Clone, Debug, Default)]
struct Names {
    /// The fields of a column that has had nothing but numbers, one in each line: a table of numbers has as many names as cells, and in the end
    /// nobody asks for them.
    numbers: String,
    lines: usize,
    /// The distinct fields otherwise.
    all: HashSet<Box<str>>,
    /// Whether there were more.
    full: bool,
}

impl Names {
    fn add(&mut self, field: &str, number: bool) {
        if number && self.all.is_empty() && self.lines < MOST_NAMES {
            self.numbers.push_str(field);
            self.numbers.push('\n');
            self.lines += 1;
            return;
        }
        self.settle();
        self.insert(field);
    }

    /// Puts the numbers among the distinct fields.
    fn settle(&mut self) {
        for field in std::mem::take(&mut self.numbers).lines() {
            self.insert(field);
        }
    }

    fn insert(&mut self, field: &str) {
        if self.all.contains(field) {
            return;
        }
        if self.all.len() < MOST_NAMES {
            self.all.insert(field.into());
        } else {
            self.full = true;
        }
    }
}

/// What the caller says of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Named {
    Category,
    Date,
}

/// The distinct fields of a column that are kept: a column with more names is no column of categories.
const MOST_NAMES: usize = 10_000;
/// With fewer names a column is not refused for having almost as many names as rows.
const FEW_NAMES: usize = 10;
/// The characters of a field in a message.
const SHOWN: usize = 40;

impl Inference {
    /// Starts with the header. `categories` names columns that are categorical although their fields look like numbers.
    ///
    /// # Errors
    /// As [`Schema::new`]; a name in `categories` that is not a column.
    pub fn new(names: Vec<String>, categories: &[String]) -> Result<Self> {
        let columns = names.iter().map(|n| Column { name: n.clone(), kind: Kind::Number }).collect();
        let schema = Schema::new(columns)?;
        let mut seen = vec![Seen::default(); names.len()];
        for c in categories {
            seen[schema.index(c)?].named = Some(Named::Category);
        }
        Ok(Self { names, seen, rows: 0 })
    }

    /// Names columns of dates.
    ///
    /// # Errors
    /// A name that is not a column, or one of categories.
    pub fn with_dates(mut self, dates: &[String]) -> Result<Self> {
        for name in dates {
            let at = self.names.iter().position(|n| n == name);
            let at = at.ok_or_else(|| Error::value("column", format!("`{name}` is not among {:?}", self.names)))?;
            if self.seen[at].named == Some(Named::Category) {
                return Err(Error::value(format!("column `{name}`"), "holds either categories or dates, not both"));
            }
            self.seen[at].named = Some(Named::Date);
        }
        Ok(self)
    }

    /// Reads a row of text.
    ///
    /// # Errors
    /// A wrong number of fields; a field that is no date in a column of dates.
    pub fn row<'a>(&mut self, fields: impl IntoIterator<Item = &'a str>) -> Result<()> {
        self.rows += 1;
        let mut count = 0;
        for (i, field) in fields.into_iter().enumerate() {
            count = i + 1;
            if let Some(seen) = self.seen.get_mut(i) {
                seen.field(trimmed(field), self.rows);
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
    /// A column whose type is doubtful, with the row where there is one, and what to do (see [`Inference`]).
    pub fn finish(self) -> Result<Schema> {
        let column = |(name, seen): (String, Seen)| match seen.kind() {
            Ok(kind) => Ok(Column { name, kind }),
            Err(reason) => Err(Error::value(format!("column `{name}`"), reason)),
        };
        Schema::new(self.names.into_iter().zip(self.seen).map(column).collect::<Result<_>>()?)
    }
}

impl Seen {
    fn field(&mut self, field: &str, row: usize) {
        let look = Look::of(field);
        if look == Look::Missing {
            return;
        }
        self.there += 1;
        self.numbers += usize::from(look.is_numeric());
        self.dates += usize::from(look == Look::Date);
        self.times += usize::from(look == Look::Time);
        self.gaps += usize::from(look == Look::MissingNumber);
        let fits = match self.named {
            Some(Named::Date) => parse_date(field).is_some() || look == Look::MissingNumber,
            _ => matches!(look, Look::Number(_) | Look::MissingNumber),
        };
        if !fits && self.odd.is_none() {
            self.odd = Some((row, field.to_owned()));
        }
        self.names.add(field, matches!(look, Look::Number(_) | Look::MissingNumber));
    }

    /// The type, or why there is none.
    fn kind(mut self) -> std::result::Result<Kind, String> {
        let present = self.there - self.gaps;
        let mostly = |count: usize| 2 * count > present;
        if self.named.is_some() || !mostly(self.numbers) {
            self.names.settle();
        }
        let numeric = || {
            let distinct = self.names.all.iter().filter(|n| Look::of(n).is_numeric()).count();
            distinct >= FEW_NAMES && 10 * distinct > 9 * self.names.all.len()
        };
        let odd = |look: fn(Look, &str) -> String| match &self.odd {
            Some((row, field)) => Err(format!("row {row}: {}", look(Look::of(field), &short(field)))),
            None => Ok(()),
        };
        match self.named {
            Some(Named::Category) if self.names.full => Err(self.too_many()),
            Some(Named::Category) => Ok(Kind::Category(self.sorted())),
            Some(Named::Date) => {
                odd(|_, field| {
                    format!("`{field}` is no date that can be read: write it as 2024-01-31 or 2024-01-31 10:00:00")
                })?;
                Ok(Kind::Date)
            }
            None if mostly(self.numbers) || numeric() => {
                let told = |e: String| {
                    let share = match self.numbers {
                        n if n == present => String::new(),
                        n => format!(" ({n} of the {present} cells are numbers)"),
                    };
                    format!("{e}{share}")
                };
                odd(Look::complaint).map_err(told)?;
                Ok(Kind::Number)
            }
            None if mostly(self.dates) => Err(format!(
                "holds dates such as `{}`: drop the column, or name it as one of dates to read it as numbers",
                self.example()
            )),
            None if mostly(self.times) => Err(format!(
                "holds times of day such as `{}`: drop the column, write the times as numbers, or name it as one of categories",
                self.example()
            )),
            None if self.there == 0 => Ok(Kind::Number),
            None if self.names.full => Err(self.too_many()),
            None if self.names.all.len() >= FEW_NAMES && 2 * self.names.all.len() > self.there => Err(format!(
                "has {} different names in {} rows, such as `{}`: no detector learns from names that do not come again; drop the column, or \
                 name it as one of categories",
                self.names.all.len(),
                self.there,
                self.example()
            )),
            None => Ok(Kind::Category(self.sorted())),
        }
    }

    /// The distinct fields in the order of their bytes.
    fn sorted(self) -> Vec<String> {
        let mut names: Vec<String> = self.names.all.into_iter().map(String::from).collect();
        names.sort_unstable();
        names
    }

    fn too_many(&self) -> String {
        format!("has more than {MOST_NAMES} different names, such as `{}`: drop the column", self.example())
    }

    /// A field that is no number.
    fn example(&self) -> String {
        let first =
            self.odd.as_ref().map(|(_, field)| field.as_str()).or_else(|| self.names.all.iter().map(|n| &**n).min());
        short(first.unwrap_or_default())
    }
}

/// A field in one line of a message.
fn short(field: &str) -> String {
    let plain = field.chars().map(|c| if c.is_control() { ' ' } else { c });
    match field.chars().count() {
        n if n <= SHOWN => plain.collect(),
        _ => plain.take(SHOWN - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn infer(fields: &[&str], named: impl Fn(Inference) -> Result<Inference>) -> std::result::Result<Kind, String> {
        let run = || -> Result<Kind> {
            let mut seen = named(Inference::new(vec!["c".to_owned()], &[])?)?;
            fields.iter().try_for_each(|f| seen.row([*f]))?;
            Ok(seen.finish()?.columns()[0].kind.clone())
        };
        run().map_err(|e| e.to_string())
    }

    fn plain(fields: &[&str]) -> std::result::Result<Kind, String> {
        infer(fields, Ok)
    }

    #[test]
    fn columns_that_are_mostly_numbers_are_numbers() {
        for gap in ["", "None", "NAN", "-nan", "<NA>", "#N/A", "n/a", "na", "NULL"] {
            assert_eq!(plain(&["1", gap, "2.5"]), Ok(Kind::Number), "{gap}");
        }
        for (cell, want) in [
            ("inf", "no finite number"),
            ("1e400", "too large"),
            ("1,234.5", "thousands separators"),
            ("12%", "percent sign"),
            ("$5.10", "currency"),
            ("5 kg", "unit `kg`"),
            ("abc", "(2 of the 3 cells are numbers)"),
            ("2024-01-01", "`2024-01-01` is no finite number"),
        ] {
            let e = plain(&["1", cell, "2.5"]).unwrap_err();
            assert!(e.contains("column `c`: row 2: ") && e.contains(want), "{cell}: {e}");
        }
        // Numbers that are all written in another way are numbers too.
        assert!(plain(&["12%", "3%"]).unwrap_err().contains("row 1: `12%`"));
        assert!(plain(&["5 kg", "7 kg", "none"]).unwrap_err().contains("row 1: `5 kg`"));
        assert_eq!(plain(&["", "?"]), Ok(Kind::Number));
        // One name for a value that is not known, in more than half of the rows.
        let numbers: Vec<String> = (0..20).map(|i| format!("{i}.5")).collect();
        let many: Vec<&str> = numbers.iter().map(String::as_str).chain(["unknown"; 30]).collect();
        assert!(plain(&many).unwrap_err().contains("row 21: `unknown`"));
    }

    #[test]
    fn names_that_come_again_are_categories() {
        let names = |n: &[&str]| Ok(Kind::Category(n.iter().map(|s| (*s).to_owned()).collect()));
        assert_eq!(plain(&["none", "tcp", "udp", "NA"]), names(&["none", "tcp", "udp"]));
        assert_eq!(plain(&["a1", "7", "b2", "?"]), names(&["7", "a1", "b2"]));
        assert_eq!(plain(&["small", "large", "5 kg", "small"]), names(&["5 kg", "large", "small"]));
        assert_eq!(plain(&["True", "False"]), names(&["False", "True"]));
        let ids: Vec<String> = (0..60).map(|i| format!("id{i}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let e = plain(&ids).unwrap_err();
        assert!(e.contains("60 different names in 60 rows") && e.contains("drop the column"), "{e}");
        let category = |s: Inference| Inference::new(s.names, &["c".to_owned()]);
        assert!(matches!(infer(&ids, category), Ok(Kind::Category(n)) if n.len() == 60));
        assert!(infer(&["1", "2"], category) == names(&["1", "2"]));
    }

    #[test]
    fn dates_are_recognised_and_read_on_request() {
        let e = plain(&["2024-01-01", "2024-01-02", "", "x"]).unwrap_err();
        assert!(e.contains("holds dates such as `2024-01-01`"), "{e}");
        assert!(plain(&["10:00", "11:30"]).unwrap_err().contains("times of day"));
        let dates = |s: Inference| s.with_dates(&["c".to_owned()]);
        assert_eq!(infer(&["2024-01-01", "", "None"], dates), Ok(Kind::Date));
        let e = infer(&["2024-01-01", "01/02/2024"], dates).unwrap_err();
        assert!(e.contains("row 2: `01/02/2024` is no date that can be read"), "{e}");
        assert!(infer(&["1"], |s| s.with_dates(&["z".to_owned()])).unwrap_err().contains("`z` is not among"));
    }

    #[test]
    fn few_fields_are_kept() {
        let mut seen = Inference::new(vec!["a".to_owned(), "b".to_owned()], &["b".to_owned()]).unwrap();
        for i in 0..=MOST_NAMES {
            let text = i.to_string();
            seen.row([text.as_str(), text.as_str()]).unwrap();
        }
        assert_eq!(
            (seen.seen[0].names.lines, seen.seen[0].names.all.len(), seen.seen[1].names.lines),
            (MOST_NAMES, MOST_NAMES, MOST_NAMES)
        );
        let e = seen.clone().finish().unwrap_err().to_string();
        assert!(e.contains("column `b`") && e.contains("more than 10000"), "{e}");
        seen.row(["x", "1"]).unwrap();
        let e = seen.finish().unwrap_err().to_string();
        assert!(e.contains("column `a`: row 10002: `x`") && e.contains("10001 of the 10002 cells"), "{e}");
    }
}
