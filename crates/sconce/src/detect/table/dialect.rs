//! How a table in text is written: what separates its fields, and the decimal sign of its numbers.

use crate::args::{Decimal, TableForm};
use anyhow::{Result, bail};
use sconce_tensor_core::table::decimal_comma;

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
}

impl Dialect {
    /// Finds out from the start of a text what the arguments do not say.
    ///
    /// # Errors
    /// A text that is no table of fields, with what it seems to be; one column where several are meant.
    pub(in crate::detect) fn of(start: &[u8], form: &TableForm) -> Result<Self> {
        foreign(start)?;
        let delimiter = form.delimiter.unwrap_or_else(|| separator(start));
        one_column(start, delimiter)?;
        let comma = form.decimal.map_or_else(|| has_decimal_commas(start, delimiter), |d| d == Decimal::Comma);
        Ok(Self { delimiter, comma })
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
        let known = |delimiter: u8| {
            let found = records(header, delimiter, 1).into_iter().next().unwrap_or_default();
            names.clone().filter(|n| found.iter().any(|f| f.as_str() == *n)).count()
        };
        // The first of the best.
        let best = SEPARATORS.into_iter().rev().max_by_key(|d| known(*d)).unwrap_or(b',');
        Ok(Self { delimiter: form.delimiter.unwrap_or(best), comma: form.decimal == Some(Decimal::Comma) })
    }

    /// The character between two fields.
    pub(in crate::detect) fn delimiter(self) -> u8 {
        self.delimiter
    }

    /// What differs from a file with commas and decimal points, in words.
    pub(super) fn note(self) -> Option<String> {
        let separator = (self.delimiter != b',').then(|| format!("fields are separated by {}", name(self.delimiter)));
        let comma = self.comma.then(|| "numbers have a decimal comma".to_owned());
        let both: Vec<String> = separator.into_iter().chain(comma).collect();
        (!both.is_empty()).then(|| both.join(", "))
    }

    /// A field with a decimal point.
    pub(super) fn field(self, field: &str) -> std::borrow::Cow<'_, str> {
        match self.comma.then(|| decimal_comma(field)).flatten() {
            Some(number) => number.into(),
            None => field.into(),
        }
    }
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
    let mut reader = super::read::reader(start, delimiter);
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

/// The separator that gives the most columns with records of the same length, else the one with the most names in the header.
fn separator(start: &[u8]) -> u8 {
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
    SEPARATORS.into_iter().rev().max_by_key(score).unwrap_or(b',')
}

/// Whether numbers have a decimal comma: cells have one that cannot be a thousands separator, and none has a decimal point.
fn has_decimal_commas(start: &[u8], delimiter: u8) -> bool {
    if delimiter == b',' {
        return false;
    }
    let all = records(start, delimiter, RECORDS);
    let cells = || all.iter().skip(1).flatten();
    let point = |f: &&String| f.contains('.') && f.parse::<f64>().is_ok();
    cells().any(|f| decimal_comma(f).is_some() && !could_be_thousands(f)) && !cells().any(|f| point(&f))
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

/// Fails for a text that is no table of fields.
fn foreign(start: &[u8]) -> Result<()> {
    let first = start.iter().position(|b| !b.is_ascii_whitespace()).map_or(&start[..0], |at| &start[at..]);
    let starts = |prefix: &[u8]| first.len() >= prefix.len() && first[..prefix.len()].eq_ignore_ascii_case(prefix);
    let what = match () {
        () if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) => {
            "text in UTF-16: save it in UTF-8"
        }
        () if starts(b"{") || starts(b"[{") || starts(b"[\n") || starts(b"[[") => {
            "JSON: convert it to CSV, for example with pandas: read_json(path, lines=True).to_csv(path, index=False)"
        }
        () if starts(b"PAR1") || starts(b"ARROW1") || starts(b"ORC") => {
            "a columnar binary file: convert it to CSV, for example with pandas: read_parquet(path).to_csv(path, index=False)"
        }
        () if starts(b"<") => "XML or HTML: save the table as CSV",
        () if starts(b"@relation") => "an ARFF file: save the table as CSV",
        () if starts(b"%PDF") || starts(b"\xd0\xcf\x11\xe0") || starts(b"SQLite format") => {
            "a document or a database: save the table as CSV"
        }
        () if starts(b"BZh") || starts(b"\xfd7zXZ") || starts(b"\x28\xb5\x2f\xfd") => {
            "a compressed file that is not gzip: decompress it first"
        }
        () if start.contains(&0) => "a binary file: save the table as CSV in UTF-8",
        () => return Ok(()),
    };
    bail!("no table, but {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> (char, bool) {
        let d = Dialect::of(text.as_bytes(), &TableForm::default()).unwrap();
        (char::from(d.delimiter), d.comma)
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
    fn what_is_no_table_is_named() {
        let message = |text: &[u8], form: &TableForm| Dialect::of(text, form).unwrap_err().to_string();
        let none = TableForm::default();
        assert!(message(b"{\"a\":1}\n{\"a\":2}\n", &none).contains("JSON"));
        assert!(message(b"\xff\xfea\0,\0", &none).contains("UTF-16"));
        assert!(message(b"PAR1\0\0", &none).contains("read_parquet") && message(b"a\0b", &none).contains("binary"));
        assert!(message(b"<?xml?>", &none).contains("XML") && message(b"@RELATION x", &none).contains("ARFF"));
        let comma = TableForm { delimiter: Some(b','), ..none.clone() };
        let e = message(b"a;b;y\n1;2;0\n", &comma);
        assert!(e.contains("one column `a;b;y`") && e.contains("--delimiter semicolon"), "{e}");
        assert!(message(b"a b y\n1 2 0\n3 4 0\n", &none).contains("--delimiter space"));
    }
}
