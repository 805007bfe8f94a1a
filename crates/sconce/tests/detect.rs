//! `detect fit` and `detect score` on tables.
#![cfg(feature = "program")]
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod support;

use sconce_anomaly::load;
use sconce_tensor_core::Rng;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use support::{Folder, Run, piped as sconce, start};

/// Small blue and large red objects; anomalies are small and red. The table has an id, missing values, and named labels.
fn things(n: usize) -> String {
    let z = Rng::new(7).normals(n);
    let row = |i: usize| {
        let (size, colour, label) = match i % 10 {
            9 => (1.0, "red", "odd"),
            k if k < 5 => (1.0, "blue", "fine"),
            _ => (9.0, "red", "good"),
        };
        let label = if i == 3 { "" } else { label };
        let size = if i == 4 { "?".to_owned() } else { format!("{:.3}", size + 0.2 * z[i]) };
        format!("{i},{size},{colour},{label}\n")
    };
    "id,size,colour,label\n".to_owned() + &(0..n).map(row).collect::<String>()
}

const FIT: &str = "detect fit --data @ --label label --normal fine,good --drop id --missing impute --out @";

fn fit(more: &str, data: &Path, model: &Path) -> Run {
    sconce(&format!("{FIT} {more}"), &[data, model], "")
}

fn score(more: &str, model: &Path, input: &str) -> Run {
    sconce(&format!("detect score --model @ {more}"), &[model], input)
}

/// A table of things with a detector fitted on it.
fn fitted(f: &Folder, n: usize, more: &str) -> (PathBuf, PathBuf) {
    let (data, model) = (f.write("things.csv", &things(n)), f.path("m.safetensors"));
    fit(more, &data, &model).well();
    (data, model)
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn names_gaps_and_labels_end_to_end() {
    let f = Folder::new();
    let (data, model, summary) = (f.write("things.csv", &things(400)), f.path("m.safetensors"), f.path("fit.json"));
    let words = format!("{FIT} --detector mahalanobis --set ridge=0.01 --json @");
    let said = sconce(&words, &[&data, &model, &summary], "").well().out;
    assert!(said.contains("2 columns") && said.contains("AUROC 1.0000"), "{said}");
    assert!(said.contains("colour  category  2: blue, red"), "{said}");
    assert!(said.ends_with(&format!("wrote {}\n", model.display())), "{said}");
    assert_eq!(load(&model).unwrap().schema().unwrap().columns().len(), 2);
    let told = json(&summary);
    assert_eq!(
        (told["schema"].as_u64(), told["detector"].as_str(), told["rows"].as_u64()),
        (Some(1), Some("mahalanobis"), Some(400))
    );
    assert_eq!(
        (told["columns"][1]["kind"].as_str(), told["columns"][0]["missing"].as_u64()),
        (Some("category"), Some(1))
    );
    assert_eq!((told["evaluation"]["auroc"].as_f64(), told["seed"].as_u64()), (Some(1.0), Some(0)));
    assert!(told["known_anomalies"].as_u64() > Some(20) && told["calibration_scores"].as_u64() > Some(40));
    // Columns in another order; a colour that training did not have.
    let done = score("", &model, "colour,size\nblue,1.1\nred,9.2\nred,1.0\ngreen,5\n,\n").well();
    let anomaly: Vec<&str> = done.out.lines().skip(1).map(|l| l.rsplit(',').next().unwrap()).collect();
    assert_eq!(anomaly, ["0", "0", "1", "1", "1"], "{}", done.out);
    assert!(
        done.err.contains("5 rows, 3 flagged as anomalous") && done.out.starts_with("row,score,p_value,anomaly\n1,")
    );
    let words = "detect score --model @ --data @ --label label --normal fine,good --drop id --threshold contamination:0.1 --format json --json @";
    let done = sconce(words, &[&model, &data, &summary], "").well();
    let last: serde_json::Value = serde_json::from_str(done.out.lines().last().unwrap()).unwrap();
    assert_eq!((last["row"].as_u64(), last["anomaly"].as_bool()), (Some(400), Some(true)));
    assert!(last["p_value"].as_f64().unwrap() < 0.05);
    let told = json(&summary);
    assert_eq!((told["rows"].as_u64(), told["anomalies"].as_u64()), (Some(400), Some(40)), "the tenth that is strange");
    assert_eq!((told["evaluation"]["auroc"].as_f64(), told["evaluation"]["rows"].as_u64()), (Some(1.0), Some(399)));
    assert!(told["threshold"]["above"].is_number() && done.err.contains("AUROC 1.0000"), "{told}");
}

#[test]
fn a_reconstruction_explains_itself() {
    let f = Folder::new();
    let set = "--set network.epochs=60 --set network.hidden=[8,1] --set network.lr=0.01";
    let (data, model) = (f.write("things.csv", &things(400)), f.path("m.safetensors"));
    let said = fit(&format!("--detector abc {set}"), &data, &model).well().out;
    assert!(said.contains("known anomalies") && !said.contains("does not learn"), "{said}");
    let out = score("--explain 1", &model, "size,colour\n60,red\n").well().out;
    assert!(out.lines().nth(1).unwrap().contains(",1,\"size "), "{out}");
    // By default the code is narrower than the three features.
    let one = f.path("one.safetensors");
    fit("--detector autoencoder --set network.epochs=1", &data, &one).well();
    let saved = String::from_utf8_lossy(&std::fs::read(&one).unwrap()).into_owned();
    assert!(saved.contains("300,100,1]"), "{}", &saved[..1500]);
    // From standard input, with the same seed, the same bytes.
    let again = f.path("same.safetensors");
    let words = format!("{} --detector abc {set}", FIT.replacen('@', "-", 1));
    sconce(&words, &[&again], &things(400)).well();
    assert_eq!(std::fs::read(&model).unwrap(), std::fs::read(&again).unwrap());
}

/// In a stream, each row's line is written before the next row is read.
#[test]
fn a_stream_is_scored_line_by_line() {
    let f = Folder::new();
    let (_, model) = fitted(&f, 200, "--detector knn");
    for data in ["", "--data -"] {
        let mut child = start(&format!("detect score --model @ {data}"), &[&model]);
        let (mut rows, mut lines) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
        rows.write_all(b"size,colour\n").unwrap();
        for (i, row) in ["1,blue\n", "2,red\n", "3,blue\n"].into_iter().enumerate() {
            rows.write_all(row.as_bytes()).unwrap();
            if i == 0 {
                assert_eq!(lines.next().unwrap().unwrap(), "row,score,p_value,anomaly");
            }
            let line = lines.next().unwrap().unwrap();
            assert!(line.starts_with(&format!("{},", i + 1)), "{line}");
        }
        drop(rows);
        assert!(lines.next().is_none() && child.wait().unwrap().success());
    }
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let f = Folder::new();
    let (_, model) = fitted(&f, 200, "--detector hbos");
    let many = "size,colour\n".to_owned() + &"1,blue\n".repeat(50_000);
    let data = f.write("many.csv", &many);
    let mut child = start("detect score --model @ --data @", &[&model, &data]);
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(
        (first.as_str(), child.wait().unwrap().code(), err.as_str()),
        ("row,score,p_value,anomaly\n", Some(0), "")
    );
}

#[test]
fn results_and_notes_do_not_mix() {
    let f = Folder::new();
    let (data, model) = (f.write("things.csv", &things(200)), f.path("m.safetensors"));
    let quiet = fit("--detector hbos -q", &data, &model).well();
    assert!(quiet.err.is_empty() && quiet.out.contains("AUROC"), "{}", quiet.err);
    // JSON alone on standard output.
    let told = fit("--detector hbos --json -", &data, &model).well();
    assert!(told.json()["command"] == "detect fit" && told.err.contains("fitted on"), "{}", told.err);
    let (scores, rows) = (f.path("scores.csv"), "size,colour\n1,blue\n9,red\n");
    let told = sconce("detect score --model @ --out @ --json -", &[&model, &scores], rows).well();
    assert_eq!((told.json()["rows"].as_u64(), told.json()["evaluation"].is_null()), (Some(2), true));
    let written = std::fs::read_to_string(&scores).unwrap();
    assert_eq!(written, score("--out -", &model, rows).well().out, "a file and standard output hold the same");
    // A summary in a file does not add to the scores.
    let summary = f.path("score.json");
    let done = sconce("detect score --model @ --json @ -q", &[&model, &summary], rows).well();
    assert_eq!((done.out, done.err.as_str(), json(&summary)["failed"].as_u64()), (written, "", Some(0)));
    assert!(score("--json -", &model, rows).failed().contains("name a file for them with --out"));
}

#[test]
fn what_ships_is_a_table_like_others() {
    let f = Folder::new();
    let (model, shuttle) = (f.path("m.safetensors"), Path::new("shuttle:embedded"));
    let words = "detect fit --data @ --label anomaly --detector hbos --out @";
    let said = sconce(words, &[shuttle, &model], "").well().out;
    assert!(said.contains("9 columns") && said.contains("held-out rows: AUROC 0.9"), "{said}");
    let scores = f.path("scores.csv");
    let words = "detect score --model @ --data @ --label anomaly --out @";
    let done = sconce(words, &[&model, shuttle, &scores], "").well();
    assert!(done.err.contains("49097 rows"), "{}", done.err);
    assert_eq!(done.out, format!("wrote {}\n", scores.display()));
    assert_eq!(std::fs::read_to_string(&scores).unwrap().lines().count(), 49_098);
}

#[test]
fn bad_rows_are_named_or_left_out() {
    let f = Folder::new();
    let (data, model) = (f.write("things.csv", &things(200)), f.path("m.safetensors"));
    let strict = FIT.replace("impute", "refuse");
    let e = sconce(&strict, &[&data, &model], "").failed();
    assert!(e.contains("things.csv: row 5, column `size`: a missing value; --missing impute"), "{e}");
    assert!(!model.exists(), "nothing is saved");
    fit("--detector hbos", &data, &model).well();
    let message = |words: &str, input: &str| score(words, &model, input).failed();
    let bad = "size,colour\n1,blue\nlarge,red\n2\n3,red\n";
    let e = message("", bad);
    assert!(e.contains("row 2") && e.contains("column `size`: `large` is no finite number"), "{e}");
    let done = score("--keep-going", &model, bad).well();
    assert_eq!(done.out.lines().nth(2).unwrap(), "2,,,");
    let warnings: Vec<&str> = done.err.lines().collect();
    assert!(warnings[0].starts_with("row 2") && warnings[1].starts_with("row 3"), "{warnings:?}");
    assert!(done.err.contains("2 rows, 1 flagged as anomalous, 2 could not be scored"), "{warnings:?}");
    assert!(message("", "size\n1\n").contains(r#"["colour"]"#));
    let e = message("", "size,colour,weight\n1,red,3\n");
    assert!(e.contains(r#"["weight"] are not among the 2"#) && e.contains("--drop"), "{e}");
    assert!(message("--threshold contamination:0.1", "size,colour\n").contains("needs --data"));
    assert!(message("--threshold p-value:7", "").contains("in (0, 1)"));
    assert!(message("--label y", "size,colour,y\n1,red,odd\n").contains("say which labels are normal"));
    // A file that ends in the middle is an error even so.
    let broken = f.path("broken.csv.gz");
    std::fs::write(&broken, [0x1f, 0x8b, 8, 0, 0]).unwrap();
    let e = sconce("detect score --model @ --data @ --keep-going", &[&model, &broken], "").failed();
    assert!(e.contains("broken.csv.gz"), "{e}");
}

#[test]
fn tables_that_cannot_be_fitted() {
    let f = Folder::new();
    let model = f.path("m.safetensors");
    let message = |text: &str, words: &str| {
        let data = f.write("t.csv", text);
        sconce(&format!("detect fit --data @ --out @ {words}"), &[&data, &model], "").failed()
    };
    assert!(message("a,b\n", "").contains("no rows after the header"));
    assert!(message("a,b\n1,2\n3\n", "").contains("byte 8"));
    assert!(message("a,y\n1,1\n2,1\n", "--label y").contains("all 2 rows are anomalies"));
    assert!(
        message("a,y\n1,ok\n2,bad\n", "--label y")
            .contains(r#"say which labels are normal: the labels are ["bad", "ok"]"#)
    );
    assert!(message("a,y\n1,0\n", "--label z").contains("`z` is not among"));
    assert!(message("a\n1\n", "--detector knn").contains("1 normal examples"));
    assert!(message("a\n1\n2\n", "--detector oracle").contains("no method `oracle`; choose one of abc"));
    assert!(message("a\n1\n2\n", "--set network.epoch=3").contains("unknown field `epoch`"));
    assert!(message("a\n1\n2\n", "--set epochs").contains("needs KEY=VALUE"));
    assert!(message("a\n1\n2\n3\n4\n5\n6\n", "--detector classifier").contains("needs known anomalies"));
    assert!(message("a\n1\n2\n", "--test 1").contains("--test"));
    assert!(message("a\n1\n2\n", "--calibration 0").contains("--calibration"));
    // A table without anomalies is accepted by methods that do not require them.
    let data = f.write("t.csv", "a,y\n1,0\n2,0\n3,0\n4,0\n5,0\n6,0\n");
    let words = "detect fit --data @ --out @ --label y --set network.epochs=1";
    let said = sconce(words, &[&data, &model], "").well().out;
    assert!(said.contains("no anomaly is known"), "{said}");
    // With so few held-out rows no p-value is below 0.05.
    assert!(score("", &model, "a\n99\n").well().err.contains("no row can be flagged"));
}

/// Mistakes in names and places are told before any data is read: here the data has no rows.
#[test]
fn outputs_are_opened_first_and_names_are_checked() {
    let f = Folder::new();
    let (empty, model, nowhere) = (f.write("empty.csv", ""), f.path("m.safetensors"), f.path("no/such/file"));
    let fit = |words: &str, paths: &[&Path]| sconce(&format!("detect fit {words}"), paths, "").failed();
    for (words, paths) in [
        ("--data @ --out @", [&empty, &nowhere, &model]),
        ("--data @ --json @ --out @", [&empty, &nowhere, &model]),
        ("--data - --json @ --out @", [&nowhere, &model, &model]),
    ] {
        let e = fit(words, &paths.map(PathBuf::as_path));
        assert!(e.contains("does not exist; create it first"), "{e}");
    }
    assert!(fit("--data @ --out -", &[&empty]).contains("name a file for it"));
    let e = fit("--data nofile.csv --out @", &[&model]);
    assert!(e.contains("no file `nofile.csv`") && e.contains("shuttle:embedded"), "{e}");
    let (data, model) = fitted(&f, 200, "--detector hbos");
    let e = sconce("detect score --model @ --data @ --out @", &[&model, &data, &nowhere], "").failed();
    assert!(e.contains("--out") && e.contains("does not exist"), "{e}");
    let e = sconce("detect score --model @ --data shuttle", &[&model], "").failed();
    assert!(e.contains("no file `shuttle`") && e.contains("shuttle:embedded"), "{e}");
    // The folder of a comparison cannot be inside of a file.
    let words = "detect compare --data @ --label y --out @";
    let e = sconce(words, &[&empty, &data.join("out")], "").failed();
    assert!(e.contains("--out: cannot create the folder"), "{e}");
}
