//! Detectors that cannot see say so: names that fitting did not see, principal components, few held-out scores, ties, explanations; and one
//! rule for labels.
#![cfg(feature = "program")]
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod support;

use sconce_tensor_core::Rng;
use std::path::Path;
use support::{Folder, Run, piped as sconce};

fn fit(f: &Folder, text: &str, words: &str) -> Run {
    let (data, model) = (f.write("t.csv", text), f.path("m.safetensors"));
    sconce(&format!("detect fit --data @ --out @ {words}"), &[&data, &model], "")
}

fn score(f: &Folder, text: &str, words: &str) -> Run {
    let (data, model) = (f.write("s.csv", text), f.path("m.safetensors"));
    sconce(&format!("detect score --model @ --data @ {words}"), &[&model, &data], "")
}

fn column(out: &str, at: usize) -> Vec<f64> {
    out.lines().skip(1).map(|l| l.split(',').nth(at).unwrap().parse().unwrap()).collect()
}

/// 400 rows of four protocols, the rarest in five of them; a state that is always the same.
fn protocols() -> String {
    let z = Rng::new(3).normals(400);
    let proto = |i: usize| match i % 80 {
        7 => "igmp",
        k if k % 10 == 3 => "icmp",
        k if k % 3 == 0 => "udp",
        _ => "tcp",
    };
    "proto,bytes,state\n".to_owned()
        + &(0..400).map(|i| format!("{},{:.2},ok\n", proto(i), 100.0 + 10.0 * z[i])).collect::<String>()
}

const NEW: &str = "proto,bytes,state\ntcp,100,ok\nudp,100,ok\nicmp,100,ok\nigmp,100,ok\nsctp,100,ok\nsctp,100,gone\n";

#[test]
fn an_unseen_name_is_at_least_as_strange_as_the_rarest_known_one() {
    let f = Folder::new();
    for detector in [
        "ecod",
        "copod",
        "hbos",
        "isolation-forest",
        "knn",
        "lof",
        "pca",
        "mahalanobis",
        "one-class-svm",
        "vae",
        "autoencoder",
        "deep-svdd",
    ] {
        let short = matches!(detector, "vae" | "autoencoder" | "deep-svdd");
        let set = if short { "--set network.epochs=3" } else { "" };
        fit(&f, &protocols(), &format!("--detector {detector} {set}")).well();
        let done = score(&f, NEW, "").well();
        let (s, p) = (column(&done.out, 1), column(&done.out, 2));
        assert!(s[4] >= s[3] && s[5] >= s[3] && p[4] <= p[3], "{detector}: {}", done.out);
        if matches!(detector, "ecod" | "copod" | "hbos" | "isolation-forest") {
            assert!(p[4] < 0.1, "{detector}: {}", done.out);
        }
        assert!(
            done.err.contains("2 rows have a name in column `proto` that fitting did not see (`sctp` is the first)"),
            "{}",
            done.err
        );
        assert!(done.err.contains("1 rows have a name in column `state`"), "{}", done.err);
        // The same alone as together with others.
        let alone = score(&f, "proto,bytes,state\nsctp,100,gone\n", "--json -").failed();
        assert!(alone.contains("--out"), "{alone}");
        let alone = score(&f, "proto,bytes,state\nsctp,100,gone\n", "").well();
        assert_eq!(column(&alone.out, 1)[0], s[5], "{detector}");
    }
    let summary = f.path("s.json");
    let words = format!("--json {}", summary.display());
    score(&f, NEW, &words).well();
    let told: serde_json::Value = serde_json::from_str(&f.read("s.json")).unwrap();
    assert_eq!((told["unseen"]["proto"].as_u64(), told["unseen"]["state"].as_u64()), (Some(2), Some(1)));
}

#[test]
fn principal_components_always_leave_something_to_see() {
    let f = Folder::new();
    let z = Rng::new(1).normals(2000);
    let rows: String = z.chunks(4).map(|r| format!("{:.4},{:.4},{:.4},{:.4},7\n", r[0], r[1], r[2], r[3])).collect();
    let probe = "a,b,c,d,e\n0,0,0,0,7\n50,0,0,0,7\n1000,-1000,1000,5,7\n";
    for set in ["", "--set variance=1", "--set score=weighted"] {
        fit(&f, &format!("a,b,c,d,e\n{rows}"), &format!("--detector pca {set}")).well();
        let done = score(&f, probe, "").well();
        let (s, p) = (column(&done.out, 1), column(&done.out, 2));
        assert!(s[2] > 100.0 * s[0] && p[2] < 0.02 && p[0] > 0.1, "{set}: {}", done.out);
    }
    // One column: the distance to the mean.
    let one: String = z[..200].iter().map(|v| format!("{v}\n")).collect();
    for set in ["", "--set score=weighted"] {
        fit(&f, &format!("x\n{one}"), &format!("--detector pca {set}")).well();
        let s = column(&score(&f, "x\n0\n30\n", "").well().out, 1);
        assert!(s[1] > 5.0 * s[0].max(0.1), "{set}: {s:?}");
    }
}

#[test]
fn few_held_out_scores_and_ties_are_told() {
    let f = Folder::new();
    let numbers = |n: usize| "a\n".to_owned() + &(0..n).map(|i| format!("{}\n", i % 10)).collect::<String>();
    let said = fit(&f, &numbers(90), "--detector ecod").well().err;
    assert!(said.contains("scores of 18 held-out normal rows are few") && said.contains("19 are needed"), "{said}");
    let said = fit(&f, &numbers(200), "--detector ecod").well().err;
    assert!(!said.contains("are few"), "{said}");
    // Half of the rows have the same score.
    let tied = "a\n".to_owned() + &"9\n".repeat(50) + &"4\n".repeat(50);
    let done = score(&f, &tied, "--threshold contamination:0.1").well();
    assert!(
        done.err.contains("asks for 10 of 100 rows, and 0 are flagged: 50 rows have the same score"),
        "{}",
        done.err
    );
}

#[test]
fn columns_explain_a_score_or_the_detector_says_that_it_cannot() {
    let f = Folder::new();
    let z = Rng::new(2).normals(1200);
    let rows: String = (0..300)
        .map(|i| format!("{:.4},{:.4},{:.4},{}\n", z[4 * i], z[4 * i + 1], z[4 * i + 2], ["u", "v"][i % 2]))
        .collect();
    let table = format!("a,b,c,d\n{rows}");
    // The residual of PCA sees only what the first components leave, which is not one column here.
    for detector in ["ecod", "copod", "hbos", "pca --set score=weighted", "mahalanobis", "isolation-forest"] {
        fit(&f, &table, &format!("--detector {detector}")).well();
        let out = score(&f, "a,b,c,d\n0,9,0,u\n0,0,-9,v\n", "--explain 1").well().out;
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[0], "row,score,p_value,anomaly,contributions");
        assert!(lines[1].contains(",\"b ") && lines[2].contains(",\"c "), "{detector}: {out}");
        let out = score(&f, "a,b,c,d\n0,9,0,u\n", "--explain 4 --format json").well().out;
        let told: serde_json::Value = serde_json::from_str(out.trim()).unwrap();
        let shares: f64 = told["contributions"].as_object().unwrap().values().map(|v| v.as_f64().unwrap().abs()).sum();
        assert!((shares - 1.0).abs() < 1e-9, "{detector}: {out}");
    }
    for detector in ["knn", "lof", "one-class-svm"] {
        fit(&f, &table, &format!("--detector {detector}")).well();
        let e = score(&f, "a,b,c,d\n0,9,0,u\n", "--explain 1").failed();
        assert!(
            e.contains("--explain") && e.contains("not sums over columns") && e.contains("ecod"),
            "{detector}: {e}"
        );
    }
}

/// Labels of 60 rows; every twelfth is anomalous.
fn labelled(normal: &str, anomalous: &str) -> String {
    let z = Rng::new(5).normals(60);
    let row = |i: usize| match i % 12 {
        11 => format!("{:.3},{anomalous}\n", z[i] + 9.0),
        _ => format!("{:.3},{normal}\n", z[i]),
    };
    "a,y\n".to_owned() + &(0..60).map(row).collect::<String>()
}

#[test]
fn fit_and_score_have_one_rule_for_labels() {
    let f = Folder::new();
    for (normal, anomalous, words) in [
        ("0", "1", ""),
        ("0.0", "1.0", ""),
        ("1", "-1", "--normal 1"),
        ("1.0", "-1.0", "--normal 1"),
        ("1", "-1", "--normal 1.0"),
        ("-1", "1", "--normal -1"),
        ("no", "yes", "--normal no"),
        ("False", "True", "--normal False"),
        ("ok", "2", "--normal ok"),
    ] {
        let text = labelled(normal, anomalous);
        let said = fit(&f, &text, &format!("--detector ecod --label y {words}")).well().out;
        assert!(said.contains("1 anomalies among 15 labelled rows"), "{normal} {words}: {said}");
        let done = score(&f, &text, &format!("--label y {words}")).well();
        assert!(done.err.contains("5 anomalies among 60 labelled rows"), "{normal} {words}: {}", done.err);
        let stream =
            sconce(&format!("detect score --model @ --label y {words}"), &[&f.path("m.safetensors")], &text).well();
        assert_eq!((stream.out, stream.err), (done.out, done.err), "as a stream");
    }
    for (normal, anomalous, words, want) in [
        ("no", "yes", "--normal No", "no row is `No`: the labels are [\"no\", \"yes\"]"),
        ("1", "-1", "", "say which labels are normal: the labels are [\"-1\", \"1\"]"),
        ("False", "True", "", "say which labels are normal: the labels are [\"False\", \"True\"]"),
        ("0", "1", "--normal 0,2", "no row is `2`"),
    ] {
        let text = labelled(normal, anomalous);
        for run in [
            fit(&f, &text, &format!("--detector ecod --label y {words}")),
            score(&f, &text, &format!("--label y {words}")),
        ] {
            let e = run.failed();
            assert!(e.contains(want), "{normal} {words}: {e}");
        }
        let e =
            sconce(&format!("detect score --model @ --label y {words}"), &[&f.path("m.safetensors")], &text).failed();
        assert!(e.contains(want.split(':').next().unwrap()), "{e}");
    }
}

#[test]
fn a_comparison_uses_what_was_measured_and_says_why_a_cell_failed() {
    let f = Folder::new();
    // One anomaly: it is in every test split.
    let rows: String = (1..=50).map(|i| format!("{},0\n", f64::from(i) / 100.0)).collect();
    let (data, out) = (f.write("one.csv", &format!("x,y\n{rows}9,1\n")), f.path("out"));
    let words = "detect compare --data @ --label y --detectors knn,ecod,classifier --seeds 12 --out @";
    let done = sconce(words, &[&data, &out], "").well();
    let row: Vec<&str> = done.out.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((row[0], row[1], row[3]), ("one.csv", "1.0000", "failed"), "{}", done.out);
    assert!(row[2].parse::<f64>().unwrap() > 0.9, "{}", done.out);
    let all = "seeds 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11";
    assert!(
        done.out.contains(&format!("classifier failed on one.csv, {all}: "))
            && done.out.contains("needs known anomalies"),
        "{}",
        done.out
    );
    let told: serde_json::Value = serde_json::from_slice(&std::fs::read(out.join("compare.json")).unwrap()).unwrap();
    assert_eq!((told["means"][0]["measured"].as_u64(), told["means"][2]["measured"].as_u64()), (Some(12), Some(0)));
    let page = std::fs::read_to_string(Path::new(&out).join("report.html")).unwrap();
    assert!(page.contains(">Failures<") && page.contains("0, 1, 2"));
}

/// Detectors that were saved before a score of PCA could be chosen and names were counted: the scores of that time.
#[test]
fn old_files_keep_their_meaning() {
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/old");
    let rows = "a,b,proto\n0,0,tcp\n3,-3,udp\n0.5,0.5,None\n0.5,0.5,sctp\n";
    for (name, want) in [
        (
            "pca",
            [0.000_448_834_163_996_708_47, 27.342_614_865_108_757, 0.002_048_034_902_022_395, 1.604_747_565_164_985_8],
        ),
        (
            "hbos",
            [-3.248_083_359_663_063, 2.739_421_265_987_896_7, -0.109_375_650_402_514_07, -1.420_278_737_559_332_2],
        ),
    ] {
        let out = sconce("detect score --model @", &[&old.join(format!("{name}.safetensors"))], rows).well().out;
        for (found, want) in column(&out, 1).iter().zip(want) {
            assert!((found - want).abs() < 1e-12, "{name}: {out}");
        }
    }
}
