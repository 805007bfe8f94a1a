//! Network connections in the layouts of KDD'99 and NSL-KDD: no header, 41 features, the label, and in the latter a difficulty.

use crate::{Error, Result, bytes, csv};
use sconce_tensor_core::table::{Kind, Table};
use std::path::Path;

/// The features, in the order of the files (`kddcup.names`).
pub const FEATURES: [&str; 41] = [
    "duration",
    "protocol_type",
    "service",
    "flag",
    "src_bytes",
    "dst_bytes",
    "land",
    "wrong_fragment",
    "urgent",
    "hot",
    "num_failed_logins",
    "logged_in",
    "num_compromised",
    "root_shell",
    "su_attempted",
    "num_root",
    "num_file_creations",
    "num_shells",
    "num_access_files",
    "num_outbound_cmds",
    "is_host_login",
    "is_guest_login",
    "count",
    "srv_count",
    "serror_rate",
    "srv_serror_rate",
    "rerror_rate",
    "srv_rerror_rate",
    "same_srv_rate",
    "diff_srv_rate",
    "srv_diff_host_rate",
    "dst_host_count",
    "dst_host_srv_count",
    "dst_host_same_srv_rate",
    "dst_host_diff_srv_rate",
    "dst_host_same_src_port_rate",
    "dst_host_srv_diff_host_rate",
    "dst_host_serror_rate",
    "dst_host_srv_serror_rate",
    "dst_host_rerror_rate",
    "dst_host_srv_rerror_rate",
];

/// The features that are names.
pub const CATEGORIES: [&str; 3] = ["protocol_type", "service", "flag"];

/// Connections with their labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Connections {
    /// The features.
    pub table: Table,
    /// The labels that there are, without KDD'99's full stop: `normal`, and the attacks.
    pub names: Vec<String>,
    /// The index of each row's label.
    pub classes: Vec<u32>,
}

/// Reads files of one layout, one after the other, plain or gzip-compressed: `kddcup.data_10_percent.gz` and `corrected.gz`,
/// or `KDDTrain+.txt` and `KDDTest+.txt`.
///
/// # Errors
/// [`Error::Io`]; [`Error::Data`] with the byte where a record starts: neither 42 nor 43 fields, a feature that is no number,
/// a label that is missing.
pub fn read(paths: &[&Path]) -> Result<Connections> {
    let all = paths.iter().map(|p| bytes::read(p)).collect::<Result<Vec<_>>>()?;
    let files: Vec<(&[u8], &Path)> = all.iter().map(Vec::as_slice).zip(paths.iter().copied()).collect();
    let Some((bytes, path)) = files.first() else { return Err(Error::value("connections", "no files")) };
    let bad = |offset: u64, reason: String| Error::Data { path: path.to_path_buf(), offset, reason };
    let first = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let fields = first.split(|b| *b == b',').count();
    let mut names: Vec<String> = FEATURES.iter().map(|n| (*n).to_owned()).collect();
    match fields {
        42 => names.push("label".to_owned()),
        43 => names.extend(["label".to_owned(), "difficulty".to_owned()]),
        other => return Err(bad(0, format!("{other} fields; KDD'99 has 42 and NSL-KDD 43"))),
    }
    let categories: Vec<String> = CATEGORIES.iter().chain(&["label"]).map(|n| (*n).to_owned()).collect();
    let table = csv::parse(&files, Some(names), &categories)?;
    let table = if fields == 43 { table.take("difficulty")?.0 } else { table };
    let (table, column, values) = table.take("label")?;
    let numbers =
        |c: &&sconce_tensor_core::table::Column| c.kind == Kind::Number || CATEGORIES.contains(&c.name.as_str());
    if let Some(c) = table.schema().columns().iter().find(|c| !numbers(c)) {
        return Err(bad(0, format!("feature `{}` is not one of numbers", c.name)));
    }
    let Kind::Category(labels) = column.kind else { return Err(bad(0, "labels are numbers".to_owned())) };
    if let Some(row) = values.iter().position(|v| v.is_nan()) {
        return Err(Error::value("connections", format!("row {} of all: no label", row + 1)));
    }
    let names = labels.iter().map(|l| l.trim_end_matches('.').to_owned()).collect();
    Ok(Connections { table, names, classes: values.iter().map(|v| *v as u32).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One line of zeros with the named fields of a connection.
    fn line(protocol: &str, service: &str, flag: &str, bytes: &str, end: &str) -> String {
        let zeros = vec!["0"; 36].join(",");
        format!("0,{protocol},{service},{flag},{bytes},{zeros},{end}\n")
    }

    fn parse(text: &str) -> Result<Connections> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kdd");
        std::fs::write(&path, text).unwrap();
        read(&[&path])
    }

    #[test]
    fn both_layouts() {
        let old = line("tcp", "http", "SF", "215", "normal.") + &line("icmp", "ecr_i", "SF", "1032", "smurf.");
        let found = parse(&old).unwrap();
        assert_eq!(
            (found.names.clone(), found.classes.clone()),
            (vec!["normal".to_owned(), "smurf".to_owned()], vec![0, 1])
        );
        let x = found.table.tensor().unwrap().to_vec2::<f64>().unwrap();
        assert_eq!((x.len(), x[0].len(), x[1][4], x[0][1], x[1][1]), (2, 41, 1032.0, 1.0, 0.0));
        let dir = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|n| dir.path().join(n));
        old.lines().zip(&paths).for_each(|(l, p)| std::fs::write(p, l).unwrap());
        assert_eq!(read(&[&paths[0], &paths[1]]).unwrap(), found, "two files are one table");
        let new = line("tcp", "http", "SF", "215", "normal,20") + &line("icmp", "ecr_i", "SF", "1032", "smurf,7");
        assert_eq!(parse(&new).unwrap(), found);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let message = |text: &str| parse(text).unwrap_err().to_string();
        assert!(message("1,2,3\n").contains("3 fields; KDD'99 has 42"));
        let good = line("tcp", "http", "SF", "215", "normal.");
        assert!(
            message(&(good.clone() + &line("tcp", "http", "SF", "many", "normal.")))
                .contains("`src_bytes` is not one of numbers")
        );
        assert!(message(&(good.clone() + &line("tcp", "http", "SF", "1", ""))).contains("row 2 of all: no label"));
        assert!(message(&(good.clone() + "0,tcp\n")).contains(&format!("byte {}", good.len())));
    }
    fn tried(bytes: &[u8]) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kdd");
        std::fs::write(&path, bytes).unwrap();
        if let Ok(found) = read(&[&path]) {
            assert_eq!(found.table.rows(), found.classes.len());
            assert!(found.classes.iter().all(|c| (*c as usize) < found.names.len()));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            tried(&bytes);
        }

        /// Of as many fields as the two layouts have.
        #[test]
        fn any_fields(rows in prop::collection::vec(prop::collection::vec("[a0-9.?\"\r -]{0,3}", 42..44), 1..4)) {
            let lines: Vec<String> = rows.iter().map(|r| r.join(",")).collect();
            tried(lines.join("\n").as_bytes());
        }

        #[test]
        fn changed_files(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            end in prop::sample::select(vec!["normal.", "normal,20", "", "7"]),
        ) {
            let mut bytes = (line("tcp", "http", "SF", "215", end) + &line("icmp", "ecr_i", "SF", "1032", end)).into_bytes();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            tried(&bytes);
        }
    }
}
