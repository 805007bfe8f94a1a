//! How a table in text is written: what separates its fields, and the decimal sign of its numbers.

use super::foreign::foreign;
use crate::args::{Decimal, TableForm};
use anyhow::{Result, bail};
use sconce_tensor_core::table::decimal_comma;
use std::io::Read;

/// The separators that are looked for, the most usual first.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Records that are looked at.
const RECORDS: usize = 200;

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::detect) struct Dialect {
    delimiter: u8,
    /// Numbers have a decimal comma.
    pub(super) comma: bool,
    /// The first line names the separator, as Excel writes it: `sep=;`.
    told: bool,
}

impl Dialect {
    /// Commas and decimal points.
    pub(super) const PLAIN: Self = Self { delimiter: b',', comma: false, told: false };

    /// Finds out from the start of a text what the arguments do not say.
    ///
    /// # Errors
    /// A text that is no table of fields, with what it seems to be; one column where several are meant; fields that either of two separators
    /// may separate.
    pub(in crate::detect) fn of(start: &[u8], form: &TableForm) -> Result<Self> {
        foreign(start)?;
        let (told, start) = told(start);
        let delimiter = form.delimiter.or(told).map_or_else(|| separator(start), Ok)?;
        one_column(start, delimiter)?;
        let comma = form.decimal.map_or_else(|| has_decimal_commas(start, delimiter), |d| d == Decimal::Comma);
        Ok(Self { delimiter, comma, told: told.is_some() })
    }

    /// From a header of which some names are known.
    ///
    /// # Errors
    /// A text that is no table of fields.
    pub(in crate::detect) fn of_header<'a>(
        header: &[u8],
        names: impl Iterator<Item = &'a str> + Clone,
        form: &TableForm,
    ) -> Result<Self> {
        foreign(header)?;
        let (told, header) = told(header);
        let known = |delimiter: u8| {
            let found = records(header, delimiter, 1).into_iter().next().unwrap_or_default();
            names.clone().filter(|n| found.iter().any(|f| f.as_str() == *n)).count()
        };
        // The first of the best.
        let best = SEPARATORS.into_iter().rev().max_by_key(|d| known(*d)).unwrap_or(b',');
        let delimiter = form.delimiter.or(told).unwrap_or(best);
        Ok(Self { delimiter, comma: form.decimal == Some(Decimal::Comma), told: told.is_some() })
    }

    /// Whether a first line names the separator, so that the header is the line after it.
    pub(in crate::detect) fn is_told(line: &[u8]) -> bool {
        told(line).0.is_some()
    }

    /// The records of a table, of any length, after its header.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub(in crate::detect) fn reader<R: Read>(self, from: R) -> Result<csv::Reader<R>, csv::Error> {
        let mut reader = reader(from, self.delimiter);
        if self.told {
            let mut header = csv::StringRecord::new();
            reader.read_record(&mut header)?;
            reader.set_headers(header);
        }
        Ok(reader)
    }

    /// What differs from a file with commas and decimal points, in words.
    pub(super) fn note(self) -> Option<String> {
        let separator = (self.delimiter != b',').then(|| format!("fields are separated by {}", name(self.delimiter)));
        let comma = self.comma.then(|| "numbers have a decimal comma".to_owned());
        let both: Vec<String> = separator.into_iter().chain(comma).collect();
        (!both.is_empty()).then(|| both.join(", "))
    }

    /// A field with a decimal point.
    pub(in crate::detect) fn field(self, field: &str) -> std::borrow::Cow<'_, str> {
        match self.comma.then(|| decimal_comma(field)).flatten() {
            Some(number) => number.into(),
            None => field.into(),
        }
    }

    /// Checks a field of a column that may be numeric: where numbers have a decimal comma, a point may separate thousands.
    ///
    /// # Errors
    /// A number with a point among decimal commas.
    pub(super) fn check(self, column: &str, field: &str) -> Result<()> {
        let field = field.trim();
        if self.comma && has_thousands(field) {
            bail!(
                "column `{column}`: `{field}` seems to have a point between thousands, as numbers here have decimal commas: write the number \
                 without it, or say --decimal point"
            );
        }
        if self.comma && has_point(field) {
            bail!(
                "column `{column}`: `{field}` has a decimal point, and other numbers have decimal commas: write all in one way, and say which with \
                 --decimal"
            );
        }
        Ok(())
    }
}

/// The option for an error about a number that is written with a comma.
pub(super) fn option_for(error: &str) -> &'static str {
    if error.contains("comma: write") { "; --decimal comma reads 1,5 as 1.5" } else { "" }
}

/// The separator that a first line such as `sep=;` names, and the text after it.
fn told(start: &[u8]) -> (Option<u8>, &[u8]) {
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let (line, rest) = text.split_at(text.iter().position(|b| *b == b'\n').map_or(text.len(), |at| at + 1));
    match line {
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', c, b'\n']
        | [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', c, b'\r', b'\n']
            if c.is_ascii() && !c.is_ascii_alphanumeric() && !b"\"\r".contains(c) =>
        {
            (Some(*c), rest)
        }
        _ => (None, start),
    }
}

/// The records of a table with a separator. Fields are trimmed where they are used: trimming all of a record copies it.
fn reader<R: Read>(from: R, delimiter: u8) -> csv::Reader<R> {
    csv::ReaderBuilder::new().trim(csv::Trim::Headers).flexible(true).delimiter(delimiter).from_reader(from)
}

/// A separator in words.
fn name(delimiter: u8) -> String {
    match delimiter {
        b',' => "commas".to_owned(),
        b';' => "semicolons".to_owned(),
        b'\t' => "tabs".to_owned(),
        b'|' => "pipes".to_owned(),
        b' ' => "spaces".to_owned(),
        other => format!("`{}`", char::from(other)),
    }
}

/// The first records of a text; the last one may be cut.
fn records(start: &[u8], delimiter: u8, most: usize) -> Vec<Vec<String>> {
    let mut reader = reader(start, delimiter);
    let (mut record, mut all) = (csv::ByteRecord::new(), Vec::new());
    if let Ok(head) = reader.byte_headers() {
        all.push(head.clone());
    }
    while all.len() < most && reader.read_byte_record(&mut record).unwrap_or(false) {
        all.push(record.clone());
    }
    let text = |r: csv::ByteRecord| r.iter().map(|f| String::from_utf8_lossy(f).trim().to_owned()).collect();
    all.into_iter().map(text).collect()
}

/// The separator that gives the most columns with records of the same length, else the one with the most names in the header. A comma may
/// also be a decimal sign: another separator that fits, too, is preferred if it leaves more of the cells as numbers.
///
/// # Errors
/// The comma and another separator fit.
fn separator(start: &[u8]) -> Result<u8> {
    let score = |d: &u8| {
        let all = records(start, *d, RECORDS);
        let width = all.first().map_or(0, Vec::len);
        let end = all.len().saturating_sub(1).max(1);
        // An empty field more is a separator at the end of the line.
        let fits =
            |r: &&Vec<String>| r.len() == width || (r.len() == width + 1 && r.last().is_some_and(String::is_empty));
        let same = all.iter().take(end).filter(fits).count();
        // A record that does not fit counts much less than a header without the separator.
        (width > 1, 10 * same >= 9 * end, width)
    };
    let best = |all: &[u8]| all.iter().copied().rev().max_by_key(score).unwrap_or(b',');
    let (first, rival) = (best(&SEPARATORS), best(&SEPARATORS[1..]));
    let fits = |d: u8| score(&d) >= (true, true, 2);
    if first != b',' || !fits(b',') || !fits(rival) {
        return Ok(first);
    }
    let share = |d: u8| {
        let cells: Vec<String> = records(start, d, RECORDS).into_iter().skip(1).flatten().collect();
        cells.iter().filter(|f| is_number(f)).count() as f64 / cells.len().max(1) as f64
    };
    if share(rival) > share(b',') {
        return Ok(rival);
    }
    bail!("the fields may be separated by commas or by {}: say which with --delimiter", name(rival))
}

/// Whether a text is a number with a decimal point or comma.
pub(super) fn is_number(field: &str) -> bool {
    field.parse::<f64>().is_ok_and(f64::is_finite) || decimal_comma(field).is_some()
}

/// Whether numbers have a decimal comma: cells have one that cannot be a thousands separator, and none has a point that can only be a
/// decimal one.
fn has_decimal_commas(start: &[u8], delimiter: u8) -> bool {
    if delimiter == b',' {
        return false;
    }
    let all = records(start, delimiter, RECORDS);
    let cells = || all.iter().skip(1).flatten();
    cells().any(|f| decimal_comma(f).is_some() && !could_be_thousands(f))
        && !cells().any(|f| has_point(f) && !has_thousands(f))
}

/// Whether a field is a number with a decimal point.
fn has_point(field: &str) -> bool {
    field.contains('.') && field.parse::<f64>().is_ok()
}

/// Whether points separate the thousands of a number, or may do so: `1.234`, `-12.345.678,9`.
fn has_thousands(field: &str) -> bool {
    let body = field.strip_prefix(['-', '+']).unwrap_or(field);
    let (whole, part) = body.split_once(',').unwrap_or((body, "0"));
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let mut groups = whole.split('.');
    groups.next().is_some_and(|g| digits(g) && g.len() <= 3 && !g.starts_with('0'))
        && whole.contains('.')
        && groups.all(|g| digits(g) && g.len() == 3)
        && digits(part)
}

/// Whether the comma of a number may separate thousands: `1,234` may, `0,123` and `1,5` do not.
fn could_be_thousands(field: &str) -> bool {
    let (whole, part) = field.trim_start_matches(['-', '+']).split_once(',').unwrap_or_default();
    whole.len() <= 3 && !whole.starts_with('0') && part.len() == 3
}

/// Fails where one column is read and the text looks like several.
fn one_column(start: &[u8], delimiter: u8) -> Result<()> {
    let all = records(start, delimiter, RECORDS);
    if all.first().is_none_or(|head| head.len() != 1) {
        return Ok(());
    }
    for other in SEPARATORS.into_iter().chain([b' ']).filter(|o| *o != delimiter) {
        let split = records(start, other, RECORDS);
        let width = split.first().map_or(0, Vec::len);
        let same = split.iter().take(split.len().saturating_sub(1).max(1)).all(|r| r.len() == width);
        if width > 1 && same {
            let option = if other == b' ' { "space".to_owned() } else { name(other).trim_end_matches('s').to_owned() };
            bail!(
                "one column `{}`, whose fields seem to be separated by {}: --delimiter {option}",
                all[0][0],
                name(other)
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> (char, bool) {
        let d = Dialect::of(text.as_bytes(), &TableForm::default()).unwrap();
        (char::from(d.delimiter), d.comma)
    }

    #[test]
    fn a_comma_that_may_be_a_decimal_sign_or_a_separator() {
        assert_eq!(found("Temp, C;Druck, bar\n1,5;2,25\n3,5;4,75\n"), (';', true));
        assert_eq!(found("a, x|b, y\n1,5|2\n7,25|4\n"), ('|', true));
        let e = Dialect::of(b"name, first;city, zip\nDoe, John;Paris, 75\n", &TableForm::default())
            .unwrap_err()
            .to_string();
        assert!(e.contains("by commas or by semicolons") && e.contains("--delimiter"), "{e}");
    }

    #[test]
    fn a_point_among_decimal_commas_is_refused() {
        assert_eq!(found("a;b\n954,7;1\n1.234;2\n"), (';', true));
        assert_eq!(found("a;b\n954,7;1\n0.5;2\n"), (';', false));
        let comma = Dialect { comma: true, ..Dialect::PLAIN };
        let message = |field: &str| comma.check("a", field).unwrap_err().to_string();
        for field in ["1.234", "-12.345.678,9", "+1.000,0"] {
            let e = message(field);
            assert!(e.contains(&format!("column `a`: `{field}` seems to have a point between thousands")), "{e}");
        }
        for field in ["0.5", "0.123", "1234.567", "1.5e3", ".25"] {
            let e = message(field);
            assert!(e.contains(&format!("`{field}` has a decimal point")) && e.contains("--decimal"), "{e}");
        }
        for field in ["1,5", "7", "v1.2", "31.01.2024", "10.0.0.1", ""] {
            assert!(comma.check("a", field).is_ok(), "{field}");
        }
        assert!(Dialect::PLAIN.check("a", "1.234").is_ok());
    }

    #[test]
    fn the_line_of_excel_names_the_separator() {
        for text in ["sep=;\r\na,1;b\r\n1,5;2\r\n", "\u{feff}SEP=;\na,1;b\n1,5;2\n"] {
            let dialect = Dialect::of(text.as_bytes(), &TableForm::default()).unwrap();
            assert_eq!((dialect.delimiter, dialect.comma), (b';', true));
            let mut reader = dialect.reader(text.as_bytes()).unwrap();
            assert_eq!(reader.headers().unwrap(), ["a,1", "b"].as_slice());
            let records: Vec<csv::StringRecord> = reader.records().map(|r| r.unwrap()).collect();
            assert_eq!(records, [csv::StringRecord::from(vec!["1,5", "2"])]);
        }
        assert!(!Dialect::is_told(b"sep=,b\n") && !Dialect::is_told(b"a;b\n") && Dialect::is_told(b"sep=\t\n"));
    }

    #[test]
    fn separators_and_decimal_signs_are_found() {
        assert_eq!(found("a,b,y\n1,2,0\n3,4,1\n"), (',', false));
        assert_eq!(found("a;b;y\n1;2;0\n3;4;1\n"), (';', false));
        assert_eq!(found("a;b;y\n1,5;2,25;0\n3;4;1\n"), (';', true));
        assert_eq!(found("a;b\n1,234;2\n5,678;3\n"), (';', false), "perhaps thousands");
        assert_eq!(found("a;b\n1,234;2\n0,678;3\n"), (';', true));
        assert_eq!(found("a\tb\n1,5\t2\n"), ('\t', true));
        assert_eq!(found("a|b\n1.5|2\n"), ('|', false));
        assert_eq!(found("x\n1\n2\n"), (',', false));
        assert_eq!(found("a,note\n1,\"x;y;z\"\n2,\"p;q;r\"\n"), (',', false));
        assert_eq!(found("a;note\n1;x, y\n2;z\n"), (';', false));
        assert_eq!(found("a,b\n1,2\n3\n4,5\n"), (',', false), "a record that does not fit");
        assert_eq!(found("a,b,y\n1,2,0,\n3,4,1,\n"), (',', false), "a separator at the end of each line");
        assert_eq!(found(""), (',', false));
        let names = ["a b", "c"];
        let header = |text: &str| {
            Dialect::of_header(text.as_bytes(), names.into_iter(), &TableForm::default()).unwrap().delimiter
        };
        assert_eq!([header("a b;c"), header("c,a b"), header("x")], [b';', b',', b',']);
    }

    #[test]
    fn one_column_that_seems_to_be_several_is_refused() {
        let message = |text: &[u8], form: &TableForm| Dialect::of(text, form).unwrap_err().to_string();
        let none = TableForm::default();
        let comma = TableForm { delimiter: Some(b','), ..none.clone() };
        let e = message(b"a;b;y\n1;2;0\n", &comma);
        assert!(e.contains("one column `a;b;y`") && e.contains("--delimiter semicolon"), "{e}");
        assert!(message(b"a b y\n1 2 0\n3 4 0\n", &none).contains("--delimiter space"));
    }
}
