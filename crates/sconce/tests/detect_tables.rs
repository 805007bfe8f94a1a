//! Tables as people have them: doubtful cells, separators, columns without a name, dates, compressed files, pipes, arrays of numpy.
#![cfg(feature = "program")]
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod support;

use sconce_tensor_core::Rng;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::numpy::{npy, npz};
use support::{Folder, Run, piped as sconce};

/// 60 rows of a ~ N(0, 1) and b ~ N(10, 2); every twelfth is an anomaly, 5 and 8 further.
fn rows() -> Vec<[f64; 3]> {
    let z = Rng::new(5).normals(120);
    let row = |i: usize| {
        let y = f64::from(u8::from(i % 12 == 11));
        let round = |v: f64| (v * 1000.0).round() / 1000.0;
        [round(z[2 * i] + 5.0 * y), round(10.0 + 2.0 * z[2 * i + 1] + 8.0 * y), y]
    };
    (0..60).map(row).collect()
}

/// The rows as text; `cell` replaces the first field of row 3.
fn plain(cell: Option<&str>, between: &str) -> String {
    let line = |(i, r): (usize, &[f64; 3])| {
        let a = cell.filter(|_| i == 2).map_or_else(|| format!("{:?}", r[0]), str::to_owned);
        format!("{a}{between}{:?}{between}{}\n", r[1], r[2])
    };
    ["a", "b", "y\n"].join(between) + &rows().iter().enumerate().map(line).collect::<String>()
}

fn fit_with(f: &Folder, data: &Path, words: &str) -> Run {
    let model = f.path("m.safetensors");
    sconce(&format!("detect fit --data @ --detector ecod --out @ {words}"), &[data, &model], "")
}

fn fit(f: &Folder, text: &str, words: &str) -> Run {
    fit_with(f, &f.write("t.csv", text), words)
}

/// The same rows give the same scores, however they were written.
fn scores(f: &Folder, data: &Path, words: &str) -> String {
    let model = f.path("m.safetensors");
    sconce(&format!("detect score --model @ --data @ {words}"), &[&model, data], "").well().out
}

#[test]
fn a_cell_that_is_no_number_does_not_make_names_of_numbers() {
    let f = Folder::new();
    for cell in ["None", "NAN", "-nan", "<NA>", "#N/A", "n/a", "na", "", " ", "NULL", "NaN", "?", "none"] {
        let text = plain(Some(cell), ",");
        let e = fit(&f, &text, "--label y").failed();
        assert!(e.contains("row 3, column `a`: a missing value; --missing impute"), "{cell}: {e}");
        let out = fit(&f, &text, "--label y --missing impute").well().out;
        let a: Vec<&str> = out.lines().nth(1).unwrap().split_whitespace().collect();
        assert!(a[..2] == ["a", "number"] && a.last() == Some(&"1"), "{cell}: {out}");
    }
    for (cell, want) in [
        ("inf", "`inf` is no finite number"),
        ("-Infinity", "`-Infinity` is no finite number"),
        ("1e400", "`1e400` is too large"),
        ("\"1,234.5\"", "thousands separators"),
        ("12%", "percent"),
        ("$5.10", "currency"),
        ("(3)", "parentheses"),
        ("abc", "`abc` is no finite number"),
        ("-", "leave the cell empty"),
    ] {
        let e = fit(&f, &plain(Some(cell), ","), "--label y --missing impute").failed();
        assert!(e.contains("column `a`: row 3: ") && e.contains(want) && e.contains("--drop"), "{cell}: {e}");
    }
    // A column in which every number is written in such a way.
    let percent: String = (0..40).map(|i| format!("{i}%,{}\n", i % 7)).collect();
    assert!(fit(&f, &format!("p,b\n{percent}"), "").failed().contains("row 1: `0%`"));
}

/// One `inf` or `None` among 1,000 numbers; today's control has p = 0.015 for a = 1000.
#[test]
fn a_far_value_has_a_small_p_value_beside_a_missing_one() {
    let f = Folder::new();
    let z = Rng::new(9).normals(2000);
    let text = |cell: &str| {
        let row = |i: usize| {
            if i == 500 { format!("{cell},{:.3}\n", z[1]) } else { format!("{:.3},{:.3}\n", z[2 * i], z[2 * i + 1]) }
        };
        "a,b\n".to_owned() + &(0..1000).map(row).collect::<String>()
    };
    assert!(fit(&f, &text("inf"), "").failed().contains("column `a`: row 501: `inf`"));
    fit(&f, &text("None"), "--missing impute").well();
    let far = f.write("far.csv", "a,b\n1000,0\n0.5,0\nNone,0\n");
    let out = scores(&f, &far, "");
    let p: Vec<f64> = out.lines().skip(1).map(|l| l.split(',').nth(2).unwrap().parse().unwrap()).collect();
    assert!(p[0] < 0.03 && p[1] > 0.2 && p[2] > 0.2, "{out}");
    let e =
        sconce("detect score --model @ --data @", &[&f.path("m.safetensors"), &f.write("x.csv", "a,b\ninf,0\n")], "")
            .failed();
    assert!(e.contains("row 1") && e.contains("`inf` is no finite number"), "{e}");
}

#[test]
fn columns_of_names_that_do_not_come_again_and_dates() {
    let f = Folder::new();
    let stamp = |i: usize| format!("2024-01-{:02} {:02}:{:02}:{:02}", 1 + i / 1440 % 28, i / 60 % 24, i % 60, i % 59);
    let table = |n: usize, cell: &dyn Fn(usize) -> String| {
        "t,a\n".to_owned() + &(0..n).map(|i| format!("{},{}\n", cell(i), i * 37 % 101)).collect::<String>()
    };
    let e = fit(&f, &table(60, &|i| format!("user{i}")), "").failed();
    assert!(e.contains("column `t`: has 60 different names in 60 rows") && e.contains("--drop COLUMN"), "{e}");
    // 20,000 of them.
    let many = table(20_000, &stamp);
    let e = fit(&f, &many, "").failed();
    assert!(
        e.contains("column `t`") && e.contains("dates such as `2024-01-01 00:00:00`") && e.contains("--dates COLUMN"),
        "{e}"
    );
    let e = fit(&f, &many, "--category t").failed();
    assert!(e.contains("column `t`: has more than 10000 different names"), "{e}");
    fit(&f, &many, "--drop t").well();
    let out = fit(&f, &many, "--dates t").well().out;
    assert!(out.lines().nth(1).unwrap().contains("date") && out.contains("2024-01-01 to 2024-01-14"), "{out}");
    // The hour of the day and the weekday are features: office hours from Monday to Friday.
    let office = |i: usize| format!("2024-03-{:02}T{:02}:30", 4 + i % 5 + i / 300 % 2 * 7, 9 + i % 8);
    fit(&f, &table(600, &office), "--dates t --seed 1").well();
    let data = f.write("new.csv", "t,a\n2024-03-06T11:30,50\n2024-03-09T11:30,50\n2024-03-06T03:30,50\n");
    let score: Vec<f64> =
        scores(&f, &data, "").lines().skip(1).map(|l| l.split(',').nth(1).unwrap().parse().unwrap()).collect();
    assert!(score[1] > score[0] + 1.0 && score[2] > score[0] + 1.0, "{score:?}");
    let model = f.path("m.safetensors");
    let e = sconce("detect score --model @", &[&model], "t,a\nyesterday,50\n").failed();
    assert!(e.contains("`yesterday` is no date"), "{e}");
    // Dates whose day and month may be swapped are not guessed.
    let e = fit(&f, &table(60, &|i| format!("{:02}/{:02}/2024", 1 + i % 12, 1 + i % 28)), "--dates t").failed();
    assert!(e.contains("row 1") && e.contains("write it as 2024-01-31"), "{e}");
    assert!(fit(&f, &table(60, &|i| format!("{:02}:{:02}", i % 24, i)), "").failed().contains("times of day"));
    // A text in more than half of the rows beside numbers that are all different.
    let unknown = |i: usize| if i % 5 < 3 { "unknown".to_owned() } else { format!("{i}.5") };
    let e = fit(&f, &table(100, &unknown), "").failed();
    assert!(e.contains("column `t`: row 1: `unknown`") && e.contains("40 of the 100 cells are numbers"), "{e}");
}

/// Separators, decimal commas, columns without a name, ends of lines, names twice: all give the scores of the plain table.
#[test]
fn the_same_table_in_other_layouts() {
    let f = Folder::new();
    let base = plain(None, ",");
    let data = f.write("base.csv", &base);
    fit_with(&f, &data, "--label y").well();
    let want = scores(&f, &data, "--label y");
    let lines =
        |edit: &dyn Fn(usize, &str) -> String| base.lines().enumerate().map(|(i, l)| edit(i, l)).collect::<String>();
    let comma = |text: String| text.replace('.', ",");
    for (name, text, words, note) in [
        ("semicolon", plain(None, ";"), "", "semicolons"),
        ("decimal comma", comma(plain(None, ";")), "", "semicolons, numbers have a decimal comma"),
        ("tabs", plain(None, "\t"), "", "tabs"),
        ("tabs, decimal comma", comma(plain(None, "\t")), "", "decimal comma"),
        ("pipes", plain(None, "|"), "", "pipes"),
        ("said", plain(None, ";"), "--delimiter semicolon --decimal point", "semicolons"),
        ("spaces", plain(None, " "), "--delimiter space", "spaces"),
        ("index", lines(&|i, l| if i == 0 { format!(",{l}\n") } else { format!("{},{l}\n", i - 1) }), "", "index"),
        (
            "pandas again",
            lines(&|i, l| if i == 0 { format!("Unnamed: 0,{l}\n") } else { format!("{},{l}\n", 7 * i) }),
            "",
            "index",
        ),
        (
            "named index",
            lines(&|i, l| if i == 0 { format!("\"\",{l}\n") } else { format!("\"row {i}\",{l}\n") }),
            "",
            "index",
        ),
        ("comma at the end", lines(&|_, l| format!("{l},\n")), "", ""),
        ("comma at the end of rows", lines(&|i, l| if i == 0 { format!("{l}\n") } else { format!("{l},\n") }), "", ""),
        ("crlf", lines(&|_, l| format!("{l}\r\n")), "", ""),
        ("mark", format!("\u{feff}{base}"), "", ""),
        (
            "dropped twice",
            lines(&|i, l| if i == 0 { format!("id,id,{l}\n") } else { format!("x{i},{i},{l}\n") }),
            "--drop id",
            "",
        ),
    ] {
        let data = f.write("other.csv", &text);
        let fitted = fit_with(&f, &data, &format!("--label y {words}")).well();
        assert!(note.is_empty() || fitted.err.contains(note), "{name}: {}", fitted.err);
        assert_eq!(scores(&f, &data, &format!("--label y {words}")), want, "{name}");
        // The same detector on the plain table, and on the stream.
        assert_eq!(scores(&f, &f.path("base.csv"), "--label y"), want, "{name}");
        if !name.contains("decimal") {
            let out = sconce(&format!("detect score --model @ --label y {words}"), &[&f.path("m.safetensors")], &text)
                .well()
                .out;
            assert_eq!(out, want, "{name} as a stream");
        }
    }
    // Text after thousands of numbers, in a column that is dropped.
    let late: String = (0..10_030)
        .map(|i| if i < 10_020 { format!("{i},{}\n", i % 97) } else { format!("TX{i},{}\n", i % 97) })
        .collect();
    let late = format!("id,a\n{late}");
    assert!(fit(&f, &late, "").failed().contains("column `id`: row 10021: `TX10020`"));
    fit(&f, &late, "--drop id").well();
}

#[test]
fn what_is_no_table_and_what_cannot_be_guessed() {
    let f = Folder::new();
    let message = |text: &str, words: &str| fit(&f, text, words).failed();
    let semicolon = plain(None, ";");
    let e = message(&semicolon, "--label y --delimiter ,");
    assert!(e.contains("one column `a;b;y`") && e.contains("--delimiter semicolon"), "{e}");
    assert!(message(&plain(None, " "), "--label y").contains("--delimiter space"));
    let json: String = rows().iter().map(|r| format!("{{\"a\":{},\"b\":{},\"y\":{}}}\n", r[0], r[1], r[2])).collect();
    assert!(message(&json, "--label y").contains("JSON: convert it to CSV"));
    assert!(message(&format!("# a comment\n{}", plain(None, ",")), "--label y").contains("comment; remove it"));
    assert!(message("a,a,y\n1,2,0\n", "--label y").contains("column `a` is named twice"));
    assert!(message("a,,y\n1,2,0\n", "--label y").contains("column 2 has no name, and `2` in it"));
    assert!(message("a,b\n0,1,2\n1,2,3\n", "").contains("lack the name of a column"));
    let e = message("a;b\n1,234;2\n5,678;3\n", "");
    assert!(e.contains("`1,234`") && e.contains("--decimal comma"), "{e}");
    let bytes = |bytes: &[u8]| {
        let path = f.path("b.csv");
        std::fs::write(&path, bytes).unwrap();
        fit_with(&f, &path, "").failed()
    };
    let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain(plain(None, ",").bytes().flat_map(|b| [b, 0])).collect();
    assert!(bytes(&wide).contains("UTF-16: save it in UTF-8"));
    assert!(bytes(b"a,b\n1,K\xf6ln\n").contains("save the table in UTF-8"));
    assert!(bytes(b"PAR1\x15\x04").contains("read_parquet") && bytes(b"").contains("no name for a column"));
    assert!(bytes(b"a\0b\n").contains("binary"));
}

/// Decimal commas in labels and streams, Excel's line with the separator, points between thousands.
#[test]
fn decimal_commas_everywhere() {
    let f = Folder::new();
    let (model, data) = (f.path("m.safetensors"), f.write("base.csv", &plain(None, ",")));
    fit_with(&f, &data, "--label y").well();
    let want = scores(&f, &data, "--label y");
    let text = plain(None, ";").replace('.', ",").replace(";0\n", ";0,0\n").replace(";1\n", ";1,0\n");
    for (text, words) in
        [(text.clone(), ""), (text.clone(), "--normal 0,0"), (format!("sep=;\r\n{text}"), "--normal 0")]
    {
        let (data, words) = (f.write("other.csv", &text), format!("--label y {words}"));
        fit_with(&f, &data, &words).well();
        assert_eq!(scores(&f, &data, &words), want, "{words}");
        let stream = |more: &str| sconce(&format!("detect score --model @ {words} {more}"), &[&model], &text);
        assert_eq!(stream("--decimal comma").well().out, want, "{words}");
        assert!(stream("").failed().contains("; --decimal comma reads 1,5 as 1.5"));
    }
    let with = |cell: &str| plain(Some("CELL"), ";").replace('.', ",").replace("CELL", cell);
    for words in ["", "--decimal comma"] {
        let e = fit(&f, &with("1.234"), &format!("--label y {words}")).failed();
        assert!(
            e.contains("row 3: column `a`: `1.234` seems to have a point between thousands") && e.contains("--drop"),
            "{e}"
        );
    }
    let e = fit(&f, &with("0.5"), "--label y").failed();
    assert!(e.contains("column `a`: row 1") && e.contains("--decimal comma"), "{e}");
    let e = fit(&f, &with("0.5"), "--label y --decimal comma").failed();
    assert!(e.contains("row 3: column `a`: `0.5` has a decimal point"), "{e}");
    let late = f.write("late.csv", &with("1.234"));
    assert!(
        sconce("detect score --model @ --data @ --label y", &[&model, &late], "").failed().contains("`1.234` seems")
    );
}

/// A first line of data, an index that was saved twice, names that begin as other files do, a workbook.
#[test]
fn first_lines_and_first_columns() {
    let f = Folder::new();
    let base = plain(None, ",");
    let (head, body) = base.split_once('\n').unwrap();
    let e = fit(&f, body, "").failed();
    assert!(e.contains("the first line seems to be data: add a line with the names of the columns"), "{e}");
    let data = f.write("base.csv", &base);
    fit_with(&f, &data, "--label y").well();
    let want = scores(&f, &data, "--label y");
    let e = sconce("detect score --model @", &[&f.path("m.safetensors")], body).failed();
    assert!(e.contains("the first line seems to be data"), "{e}");
    let rows: String = body.lines().enumerate().map(|(i, l)| format!("{i},{},{l}\n", 3 * i)).collect();
    let twice = f.write("twice.csv", &format!("Unnamed: 0.1,Unnamed: 0,{head}\n{rows}"));
    let fitted = fit_with(&f, &twice, "--label y").well();
    assert!(fitted.err.contains("the first 2 columns have no names"), "{}", fitted.err);
    assert_eq!(scores(&f, &twice, "--label y"), want);
    fit(&f, &base.replacen('a', "ORCHARD", 1), "--label y").well();
    let mut book = npz(&[("xl/workbook.xm", vec![0])], false);
    for at in 0..book.len() {
        if book[at..].starts_with(b"xl/workbook.xm.npy") {
            book[at..at + 18].copy_from_slice(b"xl/worksheets0.xml");
        }
    }
    let path = f.path("t.xlsx");
    std::fs::write(&path, book).unwrap();
    let e = fit_with(&f, &path, "").failed();
    assert!(e.contains("Excel") && e.contains("as CSV"), "{e}");
    // Words that begin as months do, and units.
    let cells = |cell: &dyn Fn(usize) -> String| {
        "c,a\n".to_owned() + &(0..60).map(|i| format!("{},{i}\n", cell(i))).collect::<String>()
    };
    assert!(fit(&f, &cells(&|i| format!("Market {}", i % 3)), "").well().out.contains("category"));
    let e = fit(&f, &cells(&|i| if i == 4 { "5 kg".to_owned() } else { i.to_string() }), "").failed();
    assert!(e.contains("row 5: `5 kg`") && e.contains("its unit `kg`"), "{e}");
}

#[test]
fn columns_of_arrays_are_categories_on_request() {
    let f = Folder::new();
    let x: Vec<u8> =
        (0..60).flat_map(|i| [f64::from(i * 7 % 11), f64::from(i % 3)]).flat_map(f64::to_le_bytes).collect();
    let path = f.path("x.npy");
    std::fs::write(&path, npy("<f8", false, "(60, 2)", &x)).unwrap();
    let out = fit_with(&f, &path, "--category x1").well().out;
    assert!(out.lines().any(|l| l.starts_with("x1") && l.contains("category  3: 0, 1, 2")), "{out}");
    // Options for text change nothing.
    let done = sconce("detect score --model @ --data @ --decimal comma", &[&f.path("m.safetensors"), &path], "").well();
    assert!(done.out.lines().count() == 61 && !done.err.contains("did not see"), "{}", done.err);
    assert!(fit_with(&f, &path, "--category x9").failed().contains("`x9` is not among"));
    assert!(fit_with(&f, &path, "--dates x1").failed().contains("--dates x1: arrays hold numbers"));
}

#[test]
fn compressed_files_by_content_and_pipes() {
    let f = Folder::new();
    let base = plain(None, ",");
    let data = f.write("base.csv", &base);
    fit_with(&f, &data, "--label y").well();
    let want = scores(&f, &data, "--label y");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(base.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    for name in ["t.csv.GZ", "t.csv", "t"] {
        let path = f.path(name);
        std::fs::write(&path, &gzip).unwrap();
        fit_with(&f, &path, "--label y").well();
        assert_eq!(scores(&f, &path, "--label y"), want, "{name}");
    }
    // Under the ending of an archive, and of a compressed file.
    for name in ["t.npz", "t.gz"] {
        assert_eq!(scores(&f, &f.write(name, &base), "--label y"), want, "{name}");
    }
    let model = f.path("m.safetensors");
    let out = sconce("detect fit --data /dev/stdin --label y --detector ecod --out @", &[&model], &base).well();
    assert!(out.out.contains("2 columns"), "{}", out.out);
    assert_eq!(sconce("detect score --model @ --data /dev/stdin --label y", &[&model], &base).well().out, want);
    // Process substitution of a shell.
    let line = format!(
        "'{}' detect score --model '{}' --data <(cat '{}') --label y --threshold contamination:0.1",
        env!("CARGO_BIN_EXE_sconce"),
        model.display(),
        data.display()
    );
    let done = Command::new("bash").args(["-c", &line]).output();
    // A machine without this shell has no process substitution.
    if let Ok(done) = done {
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(text.lines().count() == 61, "{text}{}", String::from_utf8_lossy(&done.stderr));
    }
    // A compressed stream.
    let mut child = support::start("detect score --model @ --label y", &[&model]);
    child.stdin.take().unwrap().write_all(&gzip).unwrap();
    assert_eq!(String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap(), want);
}

/// X (60, 2) and y in numpy's types; the bytes are those that numpy writes.
#[test]
fn arrays_of_any_type_and_order() {
    let f = Folder::new();
    let all = rows();
    let x = |write: &dyn Fn(f64) -> Vec<u8>| all.iter().flat_map(|r| [r[0], r[1]]).flat_map(write).collect::<Vec<u8>>();
    let y = |write: &dyn Fn(f64) -> Vec<u8>| all.iter().flat_map(|r| write(r[2])).collect::<Vec<u8>>();
    let le = |v: f64| v.to_le_bytes().to_vec();
    let columns: Vec<u8> = (0..2).flat_map(|j| all.iter().flat_map(move |r| r[j].to_le_bytes())).collect();
    let features = || npy("<f8", false, "(60, 2)", &x(&le));
    let labels = |descr: &str, shape: &str, write: &dyn Fn(f64) -> Vec<u8>| npy(descr, false, shape, &y(write));
    let whole = || labels("<i8", "(60,)", &|v| (v as i64).to_le_bytes().to_vec());
    let save = |name: &str, arrays: &[(&str, Vec<u8>)], deflate: bool| -> PathBuf {
        let path = f.path(name);
        std::fs::write(&path, npz(arrays, deflate)).unwrap();
        path
    };
    let plain = save("plain.npz", &[("X", features()), ("y", whole())], false);
    fit_with(&f, &plain, "--label y").well();
    let want = scores(&f, &plain, "--label y");
    let i8s = |v: f64| vec![v as i8 as u8];
    for (name, arrays, deflate, words) in [
        ("deflated", vec![("X", features()), ("y", whole())], true, ""),
        ("fortran", vec![("X", npy("<f8", true, "(60, 2)", &columns)), ("y", whole())], false, ""),
        (
            "big-endian",
            vec![("X", npy(">f8", false, "(60, 2)", &x(&|v| v.to_be_bytes().to_vec()))), ("y", whole())],
            true,
            "",
        ),
        (
            "(N, 1)",
            vec![("X", features()), ("y", labels("<i4", "(60, 1)", &|v| (v as i32).to_le_bytes().to_vec()))],
            false,
            "",
        ),
        ("bool", vec![("X", features()), ("y", labels("|b1", "(60,)", &i8s))], false, ""),
        (
            "u2",
            vec![("X", features()), ("y", labels(">u2", "(60,)", &|v| (v as u16).to_be_bytes().to_vec()))],
            false,
            "",
        ),
        ("i1", vec![("X", features()), ("y", labels("|i1", "(60,)", &i8s))], false, ""),
        ("f8", vec![("X", features()), ("y", labels("<f8", "(60,)", &le))], false, ""),
        (
            "-1 and 1",
            vec![("X", features()), ("y", labels("|i1", "(60,)", &|v| vec![(1.0 - 2.0 * v) as i8 as u8]))],
            false,
            "--normal 1",
        ),
        (
            "1 and -1",
            vec![("X", features()), ("y", labels("|i1", "(60,)", &|v| vec![(2.0 * v - 1.0) as i8 as u8]))],
            false,
            "--normal -1",
        ),
        (
            "strings beside",
            vec![("names", npy("<U2", false, "(1,)", &[0; 8])), ("X", features()), ("y", whole())],
            false,
            "",
        ),
        ("lower case", vec![("x", features()), ("Y", whole())], false, ""),
        ("other names", vec![("data", features()), ("label", whole())], false, ""),
        ("any name", vec![("p", features()), ("q", whole())], false, "--x-name p --y-name q"),
    ] {
        let path = save("t.npz", &arrays, deflate);
        fit_with(&f, &path, &format!("--label y {words}")).well();
        assert_eq!(scores(&f, &path, &format!("--label y {words}")), want, "{name}");
    }
    type Bytes = fn(f64) -> Vec<u8>;
    let types: [(&str, Bytes); 5] = [
        ("<f4", |v| (v as f32).to_le_bytes().to_vec()),
        ("<i2", |v| (v as i16).to_le_bytes().to_vec()),
        (">i4", |v| (v as i32).to_be_bytes().to_vec()),
        ("|u1", |v| vec![v.abs() as u8]),
        ("<f2", |_| vec![0, 0x3c]),
    ];
    for (descr, write) in types {
        let path = save("t.npz", &[("X", npy(descr, false, "(60, 2)", &x(&write))), ("y", whole())], false);
        let out = fit_with(&f, &path, "--label y").well().out;
        assert!(out.contains("2 columns"), "{descr}: {out}");
    }
    // One array has no labels.
    let single = f.path("x.npy");
    std::fs::write(&single, features()).unwrap();
    fit_with(&f, &single, "").well();
    assert_eq!(scores(&f, &single, "").lines().count(), 61);
    let message = |arrays: &[(&str, Vec<u8>)], words: &str| fit_with(&f, &save("t.npz", arrays, false), words).failed();
    assert!(fit_with(&f, &single, "--label y").failed().contains("numpy.savez"));
    let e = message(
        &[("X", features()), ("y", labels("|i1", "(60,)", &|v| vec![(1.0 - 2.0 * v) as i8 as u8]))],
        "--label y",
    );
    assert!(e.contains("neither 0 nor 1; say which labels are normal: the labels are [\"-1\", \"1\"]"), "{e}");
    let e = message(&[("X", npy("<f8", false, "(15, 4, 2)", &x(&le)))], "");
    assert!(e.contains("[15, 4, 2]") && e.contains("X.reshape(15, -1)"), "{e}");
    assert!(
        message(&[("p", features())], "").contains("--x-name")
            && message(&[("X", features())], "--label y").contains("--y-name")
    );
    assert!(message(&[("X", npy("|O", false, "(60, 2)", &x(&le)))], "").contains("Python objects"));
    let infinite = x(&|v| if v == all[1][0] { f64::INFINITY.to_le_bytes().to_vec() } else { le(v) });
    let e = message(&[("X", npy("<f8", false, "(60, 2)", &infinite))], "");
    assert!(e.contains("row 2, column `x0`: `inf` is no finite number"), "{e}");
    let gap = x(&|v| if v == all[1][0] { f64::NAN.to_le_bytes().to_vec() } else { le(v) });
    assert!(message(&[("X", npy("<f8", false, "(60, 2)", &gap))], "").contains("row 2, column `x0`: a missing value"));
}

/// Every set of the collection is a table. Skipped where the folder is not beside the repository.
#[test]
fn adbench_fits() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/adbench");
    let Ok(files) = std::fs::read_dir(&folder) else { return };
    let f = Folder::new();
    let mut count = 0;
    for file in files.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "npz")) {
        let out = fit_with(&f, &file, "--label y").well().out;
        assert!(out.contains("AUROC"), "{}: {out}", file.display());
        count += 1;
    }
    assert!(count > 0);
}
