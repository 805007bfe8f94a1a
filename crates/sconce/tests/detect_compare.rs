//! `detect compare`, and tables in archives.
#![cfg(feature = "program")]
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod support;

use candle_core::{Device, Tensor};
use sconce_tensor_core::Rng;
use std::path::{Path, PathBuf};
use support::{Folder, Run, piped as sconce};

/// 150 rows of two columns, and whether each is an anomaly: every fifteenth, which is far from the others.
fn rows(seed: u64) -> (Tensor, Tensor) {
    let y: Vec<u8> = (0..150).map(|i| u8::from(i % 15 == 0)).collect();
    let z = Rng::new(seed).normals(300);
    let x: Vec<f64> = z.iter().enumerate().map(|(i, v)| v + 5.0 * f64::from(y[i / 2])).collect();
    (Tensor::from_vec(x, (150, 2), &Device::Cpu).unwrap(), Tensor::from_vec(y, 150, &Device::Cpu).unwrap())
}

fn csv((x, y): &(Tensor, Tensor)) -> String {
    let rows = x.to_vec2::<f64>().unwrap().into_iter().zip(y.to_vec1::<u8>().unwrap());
    "x0,x1,y\n".to_owned() + &rows.map(|(x, y)| format!("{},{},{y}\n", x[0], x[1])).collect::<String>()
}

/// The same rows as an archive and as text.
fn both(f: &Folder) -> (PathBuf, PathBuf) {
    let (archive, table) = (f.path("a.npz"), rows(0));
    Tensor::write_npz(&[("X", table.0.clone()), ("y", table.1.clone())], &archive).unwrap();
    (archive, f.write("b.csv", &csv(&table)))
}

#[test]
fn archives_are_tables() {
    let f = Folder::new();
    let (archive, text) = both(&f);
    let model = f.path("m.safetensors");
    sconce("detect fit --data @ --label y --detector mahalanobis --out @", &[&archive, &model], "").well();
    let score =
        |words: &str, file: &Path| sconce(&format!("detect score --model @ --data @ {words}"), &[&model, file], "");
    let (a, b) = (score("--label y", &archive).well(), score("--label y", &text).well());
    assert!(a.out == b.out && a.err.contains("150 rows") && a.err.contains("AUROC"), "{}", a.err);
    let bare = f.path("bare.npz");
    Tensor::write_npz(&[("X", rows(0).0)], &bare).unwrap();
    assert_eq!(score("", &bare).well().out, a.out);
    let e = score("", &archive).failed();
    assert!(e.contains(r#"["y"] are not among the 2"#), "{e}");
    let e = score("--label z --drop y", &archive).failed();
    assert!(e.contains("`z` is not in the header"), "{e}");
}

fn measured(done: &Run) -> usize {
    done.err.lines().filter(|l| l.starts_with("measured ")).count()
}

#[test]
fn a_comparison_is_written_and_continues() {
    let f = Folder::new();
    let (archive, text) = both(&f);
    let out = f.path("out");
    let words = "detect compare --data @ --data @ --label y --detectors knn,mahalanobis,ecod --seeds 2 --out @";
    let compare = |more: &str| sconce(&format!("{words} {more}"), &[&archive, &text, &out], "");
    let first = compare("-v").well();
    assert_eq!(measured(&first), 12, "{}", first.err);
    let rows: Vec<Vec<&str>> = first.out.lines().take(4).map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(
        (rows[0].clone(), rows[1][0], rows[3][0]),
        (vec!["AUROC", "knn", "mahalanobis", "ecod"], "a.npz", "mean")
    );
    assert_eq!(rows[1][1..], rows[2][1..], "the same rows from both files");
    assert!(rows[1][1].parse::<f64>().unwrap() > 0.95);
    assert!(
        first.out.contains("average precision")
            && first.out.contains("needs at least 5 tables, and this comparison has 2")
    );
    for name in ["compare.json", "report.html"] {
        assert!(first.out.contains(&format!("wrote {}", out.join(name).display())), "{}", first.out);
    }
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    for want in [
        "has the highest mean AUROC over 2 tables",
        "Average precision",
        "on one thread",
        "0 to 1",
        "b.csv",
        "sconce 0.",
    ] {
        assert!(page.contains(want), "{want}");
    }
    // Nothing is measured twice, and times are those of the first run.
    let again = compare("-v --json -").well();
    assert_eq!(measured(&again), 0);
    let told = again.json();
    assert_eq!(
        told.to_string(),
        std::fs::read_to_string(out.join("compare.json"))
            .map(|t| serde_json::from_str::<serde_json::Value>(&t).unwrap().to_string())
            .unwrap()
    );
    let cells = told["cells"].as_array().unwrap();
    assert!(cells.len() == 12 && cells.iter().all(|c| c["seconds"].as_f64() > Some(0.0)), "{told}");
    assert!(told["ranking"].is_null() && told["ranking_reason"].as_str().unwrap().contains("at least 5 tables"));
    let mean = &told["means"][0];
    assert_eq!((mean["table"].as_str(), mean["detector"].as_str()), (Some("a.npz"), Some("knn")));
    assert!(mean["auroc"]["ci95"][0].as_f64() <= mean["auroc"]["mean"].as_f64() && mean["seconds"].is_number());
    // A table that was changed in place, with the same size, is measured again; the other one is not.
    let changed = std::fs::read_to_string(&text).unwrap().replacen(",1\n", ",0\n", 1);
    std::fs::write(&text, changed).unwrap();
    assert_eq!(measured(&compare("-v").well()), 6);
}

#[test]
fn five_tables_are_tested() {
    let f = Folder::new();
    let tables: Vec<PathBuf> = (0..5).map(|i| f.write(&format!("t{i}.csv"), &csv(&rows(i)))).collect();
    let out = f.path("out");
    let words = format!("detect compare {} --label y --detectors knn,ecod --seeds 1 --out @", "--data @ ".repeat(5));
    let paths: Vec<&Path> = tables.iter().chain([&out]).map(PathBuf::as_path).collect();
    let done = sconce(&words, &paths, "").well();
    assert!(done.out.contains("mean rank by AUROC (1 is best)") && done.out.contains("(Friedman "), "{}", done.out);
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("critical difference 0.88") && page.contains("significantly at 5 %"));
    let told: serde_json::Value = serde_json::from_slice(&std::fs::read(out.join("compare.json")).unwrap()).unwrap();
    assert!(told["ranking"]["mean_ranks"].as_array().unwrap().len() == 2 && told["ranking_reason"].is_null());
}

#[test]
fn failures_are_listed_and_mistakes_are_told_first() {
    let f = Folder::new();
    let (_, text) = both(&f);
    let (small, out) = (f.write("small.csv", "x,y\n1,0\n2,0\n3,0\n4,1\n"), f.path("out"));
    let words = "detect compare --data @ --data @ --label y --detectors knn,hbos --seeds 1 --out @";
    let done = sconce(words, &[&small, &text, &out], "").well();
    assert!(
        done.out.contains("failed") && done.out.contains("knn failed on small.csv, seed 0: "),
        "{}{}",
        done.out,
        done.err
    );
    assert!(std::fs::read_to_string(out.join("report.html")).unwrap().contains(">Failures<"));
    let e = sconce(words, &[&text, &text, &out], "").failed();
    assert!(e.contains("two tables have the name"), "{e}");
    let message =
        |words: &str| sconce(&format!("detect compare --data @ --out @ {words}"), &[&text, &out], "").failed();
    assert!(message("").contains("--label is required"));
    assert!(message("--label y --detectors oracle").contains("no method `oracle`"));
    assert!(message("--label y --detectors knn,knn").contains("named twice"));
    assert!(message("--label y --test 1").contains("--test"));
    assert!(message("--label y --data - --data -").contains("standard input is one table"));
    assert!(message("--label y --data nofile").contains("no file `nofile`"));
}

#[test]
fn shares_of_a_comparison_are_merged_to_what_one_process_finds() {
    let f = Folder::new();
    let (archive, text) = both(&f);
    let compare = |out: &Path, more: &str| {
        let words = "detect compare --data @ --data @ --label y --detectors knn,mahalanobis,ecod --seeds 2 --out @";
        sconce(&format!("{words} {more}"), &[&archive, &text, out], "")
    };
    let cells = |out: &Path| -> Vec<(String, Vec<u8>)> {
        let files = std::fs::read_dir(out).unwrap().map(|e| e.unwrap().path());
        let named = |p: PathBuf| (p.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&p).unwrap());
        let mut all: Vec<_> = files.map(named).filter(|(n, _)| n.contains("--")).collect();
        all.sort();
        all
    };
    let single = f.path("single");
    let want = compare(&single, "-q").well().out;
    let share = |i: usize| f.path(&format!("share{i}"));
    for i in 1..=4 {
        let said = compare(&share(i), &format!("--shard {i}/4")).well().out;
        assert!(said.contains(&format!("share {i}/4: {} cells", [4, 4, 2, 2][i - 1])), "{said}");
    }
    let merge = |of: &[PathBuf], out: &Path| {
        let paths: Vec<&Path> = of.iter().map(PathBuf::as_path).chain([out]).collect();
        sconce(&format!("merge {} --out @", "@ ".repeat(of.len())), &paths, "")
    };
    let (all, merged): (Vec<PathBuf>, _) = ((1..=4).map(share).collect(), f.path("merged"));
    let hole = merge(&all[1..], &merged);
    assert!(hole.code == 4 && hole.err.contains("shares are missing: 1/4") && !merged.exists(), "{}", hole.err);
    merge(&all, &merged).well();
    assert_eq!(cells(&merged), cells(&single));
    let done = compare(&merged, "-v").well();
    // Seconds differ; nothing is measured again.
    assert_eq!((measured(&done), cells(&merged)), (0, cells(&single)));
    assert_eq!(done.out.lines().count(), want.lines().count());
    // A cell that contradicts another one, one that is gone, one that is damaged.
    let (name, bytes) = cells(&share(1))[0].clone();
    std::fs::remove_file(share(1).join(&name)).unwrap();
    let hole = merge(&all, &f.path("other"));
    assert!(hole.code == 4 && hole.err.contains(&name) && !f.path("other").exists(), "{}", hole.err);
    std::fs::write(share(1).join(&name), &bytes[..bytes.len() / 2]).unwrap();
    let e = merge(&all, &f.path("other")).failed();
    assert!(e.contains(&name) && !f.path("other").exists(), "{e}");
}
