//! The program on tables.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{Device, Tensor};
use sconce_anomaly::cli::{Cli, Command, Parser, ScoreSummary, compare, fit, score};
use sconce_anomaly::load;
use sconce_tensor_core::Rng;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }
}

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

fn command(words: &str, paths: &[&Path]) -> Command {
    let mut paths = paths.iter();
    let words = words.split_whitespace().map(|w| match w {
        "@" => paths.next().unwrap().display().to_string(),
        _ => w.to_owned(),
    });
    Cli::try_parse_from(std::iter::once("sconce-detect".to_owned()).chain(words)).unwrap().command
}

fn fitted(words: &str, paths: &[&Path]) -> Result<String, String> {
    match command(words, paths) {
        Command::Fit(args) => fit(&args).map_err(|e| e.to_string()),
        _ => panic!("no fit"),
    }
}

fn scored(words: &str, paths: &[&Path], input: &str) -> Result<(String, ScoreSummary, Vec<String>), String> {
    let Command::Score(args) = command(words, paths) else { panic!("no score") };
    let (mut out, mut warnings) = (Vec::new(), Vec::new());
    let input = std::io::Cursor::new(input.as_bytes().to_vec());
    let done = score(&args, Box::new(input), &mut out, &mut |w| warnings.push(w.to_owned()));
    done.map(|d| (String::from_utf8(out).unwrap(), d, warnings)).map_err(|e| e.to_string())
}

const FIT: &str = "fit --data @ --label label --normal fine,good --drop id --missing impute --out @";

#[test]
fn names_gaps_and_labels_end_to_end() {
    let f = Folder::new();
    let (data, model) = (f.write("things.csv", &things(400)), f.path("m.safetensors"));
    let said = fitted(&format!("{FIT} --detector mahalanobis --set ridge=0.01"), &[&data, &model]).unwrap();
    assert!(said.contains("2 columns") && said.contains("AUROC 1.0000"), "{said}");
    assert_eq!(load(&model).unwrap().schema().unwrap().columns().len(), 2);
    // Columns in another order; a colour that training did not have.
    let (out, done, _) =
        scored("score --model @", &[&model], "colour,size\nblue,1.1\nred,9.2\nred,1.0\ngreen,5\n,\n").unwrap();
    let anomaly: Vec<&str> = out.lines().skip(1).map(|l| l.rsplit(',').next().unwrap()).collect();
    assert_eq!((anomaly, done.rows, done.anomalies), (vec!["0", "0", "1", "1", "1"], 5, 3), "{out}");
    assert!(out.starts_with("row,score,p_value,anomaly\n1,"));
    let (out, done, _) = scored(
        "score --model @ --data @ --label label --normal fine,good --drop id --threshold contamination:0.1 --format json",
        &[&model, &data],
        "",
    )
    .unwrap();
    assert_eq!((done.rows, done.anomalies), (400, 40), "the tenth that is strange");
    assert!(
        done.evaluation.contains("AUROC 1.0000") && done.evaluation.contains("399 labelled rows"),
        "{}",
        done.evaluation
    );
    let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!((last["row"].as_u64(), last["anomaly"].as_bool()), (Some(400), Some(true)));
    assert!(last["p_value"].as_f64().unwrap() < 0.05);
}

#[test]
fn a_reconstruction_explains_itself() {
    let f = Folder::new();
    let (data, model) = (f.write("things.csv", &things(400)), f.path("m.safetensors"));
    let set = "--set network.epochs=60 --set network.hidden=[8,1] --set network.lr=0.01";
    let said = fitted(&format!("{FIT} --detector abc {set}"), &[&data, &model]).unwrap();
    assert!(said.contains("known anomalies") && !said.contains("does not learn"), "{said}");
    let (out, ..) = scored("score --model @ --explain 1", &[&model], "size,colour\n60,red\n").unwrap();
    assert!(out.lines().nth(1).unwrap().contains(",1,\"size "), "{out}");
    // By default the code is narrower than the three features.
    let one = f.path("one.safetensors");
    fitted(&format!("{FIT} --detector autoencoder --set network.epochs=1"), &[&data, &one]).unwrap();
    let saved = String::from_utf8_lossy(&std::fs::read(&one).unwrap()).into_owned();
    assert!(saved.contains("300,100,1]"), "{}", &saved[..1500]);
    let again = f.path("same.safetensors");
    fitted(&format!("{FIT} --detector abc {set}"), &[&data, &again]).unwrap();
    assert_eq!(std::fs::read(&model).unwrap(), std::fs::read(&again).unwrap(), "same seed, same bytes");
}

/// In a stream, each row's line is written before the next row is read.
#[test]
fn a_stream_is_scored_line_by_line() {
    struct Source {
        lines: Vec<&'static str>,
        written: Arc<Mutex<Vec<u8>>>,
        asked: usize,
    }
    impl Read for Source {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            let out = self.written.lock().unwrap().iter().filter(|b| **b == b'\n').count();
            // A line of header for the two first reads, then a line for each row before this one.
            assert!(out >= self.asked.saturating_sub(1), "{out} lines after {} reads", self.asked);
            let Some(line) = self.lines.get(self.asked) else { return Ok(0) };
            self.asked += 1;
            buf[..line.len()].copy_from_slice(line.as_bytes());
            Ok(line.len())
        }
    }
    struct Sink(Arc<Mutex<Vec<u8>>>);
    impl Write for Sink {
        fn write(&mut self, b: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(b);
            Ok(b.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let f = Folder::new();
    let (data, model) = (f.write("things.csv", &things(200)), f.path("m.safetensors"));
    fitted(&format!("{FIT} --detector knn"), &[&data, &model]).unwrap();
    let Command::Score(args) = command("score --model @", &[&model]) else { panic!("no score") };
    let written = Arc::new(Mutex::new(Vec::new()));
    let lines = vec!["size,colour\n", "1,blue\n", "2,red\n", "3,blue\n"];
    let source = Source { lines, written: written.clone(), asked: 0 };
    let done = score(&args, Box::new(source), &mut Sink(written.clone()), &mut |_| {}).unwrap();
    assert_eq!(done.rows, 3);
}

#[test]
fn bad_rows_are_named_or_left_out() {
    let f = Folder::new();
    let (data, model) = (f.write("things.csv", &things(200)), f.path("m.safetensors"));
    let strict = FIT.replace("impute", "refuse");
    let e = fitted(&strict, &[&data, &model]).unwrap_err();
    assert!(e.contains("things.csv: row 5, column `size`: a missing value; --missing impute"), "{e}");
    assert!(!model.exists(), "nothing is saved");
    fitted(&format!("{FIT} --detector hbos"), &[&data, &model]).unwrap();
    let message = |words: &str, input: &str| scored(&format!("score --model @ {words}"), &[&model], input).unwrap_err();
    let bad = "size,colour\n1,blue\nlarge,red\n2\n3,red\n";
    let e = message("", bad);
    assert!(e.contains("row 2") && e.contains("column `size`: `large` is no finite number"), "{e}");
    let (out, done, warnings) = scored("score --model @ --keep-going", &[&model], bad).unwrap();
    assert_eq!((out.lines().nth(2).unwrap(), done.rows, done.failed), ("2,,,", 2, 2));
    assert!(warnings[0].contains("row 2") && warnings[1].starts_with("row 3"), "{warnings:?}");
    assert!(message("", "size\n1\n").contains(r#"["colour"]"#));
    let e = message("", "size,colour,weight\n1,red,3\n");
    assert!(e.contains(r#"["weight"] are more than the 2"#) && e.contains("--drop"), "{e}");
    assert!(message("--threshold contamination:0.1", "size,colour\n").contains("needs --data"));
    assert!(message("--threshold p-value:7", "").contains("in (0, 1)"));
    assert!(message("--label y", "size,colour,y\n1,red,odd\n").contains("say which labels are normal"));
}

#[test]
fn tables_that_cannot_be_fitted() {
    let f = Folder::new();
    let model = f.path("m.safetensors");
    let message = |text: &str, words: &str| {
        let data = f.write("t.csv", text);
        fitted(&format!("fit --data @ --out @ {words}"), &[&data, &model]).unwrap_err()
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
    assert!(message("a\n1\n2\n3\n4\n5\n6\n", "--detector classifier").contains("needs known anomalies"));
    assert!(message("a\n1\n2\n", "--test 2").contains("--test"));
    // A table without anomalies is accepted by methods that do not require them.
    let data = f.write("t.csv", "a,y\n1,0\n2,0\n3,0\n4,0\n5,0\n6,0\n");
    let said = fitted("fit --data @ --out @ --label y --set network.epochs=1", &[&data, &model]).unwrap();
    assert!(said.contains("no anomaly is known"), "{said}");
}

#[test]
fn archives_and_comparisons() {
    let f = Folder::new();
    let x = Rng::new(0).normals(300);
    let y: Vec<u8> = (0..150).map(|i| u8::from(i % 15 == 0)).collect();
    let far = |i: usize| if (i / 2).is_multiple_of(15) { 5.0 } else { 0.0 };
    let x: Vec<f64> = x.iter().enumerate().map(|(i, v)| v + far(i)).collect();
    let path = f.path("a.npz");
    let x = Tensor::from_vec(x, (150, 2), &Device::Cpu).unwrap();
    let y = Tensor::from_vec(y, 150, &Device::Cpu).unwrap();
    Tensor::write_npz(&[("X", x.clone()), ("y", y.clone())], &path).unwrap();
    let rows = x.to_vec2::<f64>().unwrap().into_iter().zip(y.to_vec1::<u8>().unwrap());
    let csv = rows.map(|(x, y)| format!("{},{},{y}\n", x[0], x[1])).collect::<String>();
    let csv = f.write("b.csv", &format!("x0,x1,y\n{csv}"));
    // Fitted and scored as an archive, as text, and without labels.
    let model = f.path("m.safetensors");
    fitted("fit --data @ --label y --detector mahalanobis --out @", &[&path, &model]).unwrap();
    let scores = |file: &PathBuf| scored("score --model @ --data @ --label y", &[&model, file], "").unwrap();
    let (archive, text) = (scores(&path), scores(&csv));
    assert!(
        archive.0 == text.0 && archive.1.rows == 150 && archive.1.evaluation.contains("AUROC"),
        "{}",
        archive.1.evaluation
    );
    let bare = f.path("bare.npz");
    Tensor::write_npz(&[("X", x.clone())], &bare).unwrap();
    assert_eq!(scored("score --model @ --data @", &[&model, &bare], "").unwrap().0, archive.0);
    let e = scored("score --model @ --data @", &[&model, &path], "").unwrap_err();
    assert!(e.contains(r#"["y"] are more than the 2"#), "{e}");
    let out = f.path("out");
    let words = "compare --data @ --data @ --label y --detectors knn,mahalanobis,ecod --seeds 2 --out @";
    let Command::Compare(args) = command(words, &[&path, &csv, &out]) else { panic!("no compare") };
    let fresh = Mutex::new(0);
    let lines = compare(&args, &|_| *fresh.lock().unwrap() += 1).unwrap();
    assert_eq!(*fresh.lock().unwrap(), 12);
    let rows: Vec<Vec<&str>> = lines.lines().take(3).map(|l| l.split_whitespace().collect()).collect();
    assert_eq!((rows[0].clone(), rows[1][0]), (vec!["AUROC", "knn", "mahalanobis", "ecod"], "a.npz"));
    assert_eq!(rows[1][1..], rows[2][1..], "the same rows from both files");
    assert!(rows[1][1].parse::<f64>().unwrap() > 0.95);
    assert!(std::fs::read_to_string(out.join("ranks.svg")).unwrap().contains("critical difference"));
    assert_eq!(
        (compare(&args, &|_| panic!("measured twice")).unwrap(), out.join("cells.json").exists()),
        (lines, true)
    );
    // A table that was changed in place, with the same size, is measured again; the other one is not.
    let changed = std::fs::read_to_string(&csv).unwrap().replacen(",1\n", ",0\n", 1);
    std::fs::write(&csv, changed).unwrap();
    *fresh.lock().unwrap() = 0;
    compare(&args, &|_| *fresh.lock().unwrap() += 1).unwrap();
    assert_eq!(*fresh.lock().unwrap(), 6);
    let Command::Compare(twice) = command(words, &[&csv, &csv, &out]) else { panic!("no compare") };
    assert!(compare(&twice, &|_| {}).unwrap_err().to_string().contains("two tables have the name"));
}
