//! Files that are no tables of fields: what they seem to be, and what to do.

use anyhow::{Result, bail};

/// Fails for a text that is no table of fields.
///
/// # Errors
/// What the text seems to be.
pub(super) fn foreign(start: &[u8]) -> Result<()> {
    let first = start.trim_ascii_start();
    let starts = |prefix: &[u8]| first.len() >= prefix.len() && first[..prefix.len()].eq_ignore_ascii_case(prefix);
    // The first letters of a binary file may be those of a header: `ORCHARD,b`.
    let control = |b: &u8| b.is_ascii_control() && !b.is_ascii_whitespace();
    let magic = |all: &[&[u8]]| all.iter().any(|m| start.starts_with(m)) && start.iter().any(control);
    let what = match () {
        () if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) => {
            "text in UTF-16: save it in UTF-8"
        }
        () if starts(b"{") || starts(b"[{") || starts(b"[\n") || starts(b"[[") => {
            "JSON: convert it to CSV, for example with pandas: read_json(path, lines=True).to_csv(path, index=False)"
        }
        () if magic(&[b"PAR1", b"ARROW1", b"ORC"]) => {
            "a columnar binary file: convert it to CSV, for example with pandas: read_parquet(path).to_csv(path, index=False)"
        }
        () if starts(b"<") => "XML or HTML: save the table as CSV",
        () if starts(b"@relation") => "an ARFF file: save the table as CSV",
        () if start.starts_with(b"\xd0\xcf\x11\xe0") => {
            "a workbook of Excel (.xls) or another document: save the table as CSV"
        }
        () if start.starts_with(b"%PDF-") || magic(&[b"SQLite format"]) => {
            "a document or a database: save the table as CSV"
        }
        () if magic(&[b"BZh"]) || start.starts_with(b"\xfd7zXZ") || start.starts_with(b"\x28\xb5\x2f\xfd") => {
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

    #[test]
    fn what_is_no_table_is_named() {
        for (text, want) in [
            (&b"{\"a\":1}\n{\"a\":2}\n"[..], "JSON"),
            (b"\xff\xfea\0,\0", "UTF-16"),
            (b"PAR1\0\0", "read_parquet"),
            (b"ORC\x08\x03", "read_parquet"),
            (b"a\0b", "binary"),
            (b"<?xml?>", "XML"),
            (b"@RELATION x", "ARFF"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1", "Excel"),
            (b"BZh91AY&SY\x01", "not gzip"),
            (b"SQLite format 3\0", "database"),
        ] {
            let e = foreign(text).unwrap_err().to_string();
            assert!(e.contains(want), "{e}");
        }
    }

    #[test]
    fn a_header_with_the_letters_of_a_binary_file_is_one() {
        for text in ["orchard,b\n1,2\n", "ORCHARD,b\n1,2\n", "Par1,b\r\n1,2\r\n", "bzh;x\n", "BZhang\ty\n", ""] {
            assert!(foreign(text.as_bytes()).is_ok(), "{text}");
        }
    }
}
