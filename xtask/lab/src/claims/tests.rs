//! Claims from their text to their verdict, and the claims that ship.

use super::*;
use crate::places::workspace;
use sconce_tensor_core::stats::Summary;
use std::collections::BTreeMap;
use xtask::verdicts::SeedsNeeded;

fn metrics() -> Metrics {
    let of = |v: &[f64]| Summary::new(v.to_vec()).unwrap();
    // b is a less 2, 3 and 4: its interval is [0.516, 5.484].
    [("m.a", of(&[5.0, 7.0, 9.0])), ("m.b", of(&[3.0, 4.0, 5.0])), ("m.one", of(&[0.5])), ("m.zero", of(&[0.0; 3]))]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v))
        .collect()
}

fn text(holds: &str, rest: &str) -> String {
    format!("[[claim]]\nid = \"c\"\ntext = \"t\"\nsource = \"s\"\nholds = \"{holds}\"\n{rest}\n")
}

fn judged(holds: &str, rest: &str, preset: &str, left_out: &[String]) -> Judged {
    let claims = Claims::parse(&text(holds, rest)).unwrap();
    judge(&claims, &metrics(), &Scope { preset, recorded: false, left_out, caveats: &[] }).unwrap()
}

fn quick(holds: &str) -> ClaimResult {
    judged(holds, "presets = [\"quick\"]", "quick", &[]).claims.remove(0)
}

fn exact(holds: &str) -> Verdict {
    judged(holds, "presets = [\"quick\"]\nexact = true", "quick", &[]).claims[0].verdict
}

#[test]
fn a_comparison_is_decided_with_its_offset_and_its_factor() {
    use Verdict::*;
    let verdict = |holds: &str| quick(holds).verdict;
    assert_eq!(
        [verdict("m.a > m.b"), verdict("m.a < m.b"), verdict("m.b < m.a")],
        [Supported, Contradicted, Supported]
    );
    // The bound moves the interval to [-0.484, 4.484], and past 0 to [-5.484, -0.516].
    assert_eq!([verdict("m.a >= m.b + 1"), verdict("m.a - 6 >= m.b")], [Undecided, Contradicted]);
    // Seed by seed a - 2 b is -1, -1, -1.
    assert_eq!([verdict("m.a < m.b * 2"), verdict("m.a > m.b * 2")], [Supported, Contradicted]);
    // a is 7 with an interval of 7 +- 4.97.
    assert_eq!([verdict("m.a > 2"), verdict("13 > m.a"), verdict("m.a > 3")], [Supported, Supported, Undecided]);
    assert_eq!(
        [verdict("m.zero > 0"), verdict("m.zero >= 0"), verdict("m.one > 0")],
        [Undecided, Supported, Undecided]
    );
}

#[test]
fn several_comparisons_need_all() {
    let (supported, undecided, contradicted) = ("m.a > m.b", "m.a >= m.b + 1", "m.a < m.b");
    let both = |a: &str, b: &str| quick(&format!("{a} and {b}"));
    assert_eq!(both(supported, supported).verdict, Verdict::Supported);
    assert_eq!(both(undecided, contradicted).verdict, Verdict::Contradicted);
    let open = both(supported, undecided);
    // Mean 2, s = 1: 4 seeds (decide.rs).
    assert_eq!((open.verdict, open.seeds_needed), (Verdict::Undecided, Some(SeedsNeeded::Count(4))));
    assert_eq!(
        open.comparisons.iter().map(|c| c.verdict).collect::<Vec<_>>(),
        [Verdict::Supported, Verdict::Undecided]
    );
    assert!(open.words().ends_with("4 seeds would decide it at this mean and spread"), "{}", open.words());
}

#[test]
fn one_seed_says_so_and_an_identity_needs_no_seeds() {
    let one = quick("m.one > 0");
    assert!(one.words().contains("one seed") && one.comparisons[0].interval.is_none() && one.seeds_needed.is_none());
    assert_eq!([exact("m.one > 0"), exact("m.one < 0"), exact("m.zero > 0"), exact("m.a > m.b")], {
        use Verdict::*;
        [Exact, Contradicted, Contradicted, Exact]
    });
}

#[test]
fn a_misspelt_metric_is_named_with_the_nearest() {
    let found = judged("m.a > m.on", "presets = [\"quick\"]", "quick", &[]);
    assert_eq!(found.problems, ["claim `c`: no metric `m.on` in this run of the preset quick; did you mean `m.one`?"]);
    // It stays in the table.
    assert_eq!(found.claims.len(), 1);
}

#[test]
fn sides_of_different_length_are_a_problem_that_names_both() {
    let found = judged("m.a > m.one", "presets = [\"quick\"]", "quick", &[]);
    assert!(found.problems[0].contains("`m.a` has 3 values and `m.one` has 1"), "{:?}", found.problems);
}

#[test]
fn a_claim_of_another_preset_stays_in_the_table() {
    let found = judged("m.a > m.misspelt", "presets = [\"full\", \"paper\"]", "quick", &[]);
    assert_eq!((found.claims[0].verdict, found.problems.len()), (Verdict::NotMeasured, 0));
    assert_eq!(found.claims[0].words(), "measured in the preset full, paper");
    let found = judged("kdd.a > 0", "presets = [\"quick\"]", "quick", &["kdd".to_owned()]);
    assert_eq!((found.claims[0].verdict, found.problems.len()), (Verdict::NotMeasured, 0));
}

#[test]
fn a_claim_must_name_presets_that_exist() {
    let error = |holds: &str, rest: &str| format!("{:#}", Claims::parse(&text(holds, rest)).unwrap_err());
    for rest in ["", "presets = []"] {
        let e = error("m.a > 0", rest);
        assert!(e.contains("claim `c`: it names no preset") && e.contains("quick, full, paper"), "{e}");
    }
    let e = error("m.a > 0", "presets = [\"quik\"]");
    assert!(e.contains("claim `c`: no preset `quik`: there are quick, full, paper"), "{e}");
    assert!(error("m.a > 0", "preset = [\"quick\"]").contains("unknown field `preset`"));
    assert!(error("m.a = 0", "presets = [\"quick\"]").contains("claim `c`: `m.a = 0` has no comparison"));
    let twice = text("m.a > 0", "presets = [\"quick\"]").repeat(2);
    assert!(format!("{:#}", Claims::parse(&twice).unwrap_err()).contains("two claims have the id `c`"));
}

#[derive(Deserialize)]
struct Recorded {
    metrics: BTreeMap<String, serde_json::Value>,
    timing: BTreeMap<String, serde_json::Value>,
    claims: Vec<ClaimResult>,
}

/// Every claims.toml parses, and what a recorded preset measures has the metrics that its claims name. Only data that the recorded run left out
/// as a whole may be missing.
#[test]
fn the_claims_that_ship_name_metrics_that_exist() {
    let mut checked = 0;
    for folder in std::fs::read_dir(workspace().join("xtask/recipes")).unwrap().map(|f| f.unwrap().path()) {
        let claims = Claims::load(&folder.join("claims.toml")).unwrap();
        for preset in Preset::ALL.iter().filter(|p| **p == p.claims()) {
            let path = folder.join("results").join(format!("{}.json", preset.name()));
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            let recorded: Recorded = serde_json::from_str(&text).unwrap();
            let names: Vec<&String> = recorded.metrics.keys().chain(recorded.timing.keys()).collect();
            let ids: Vec<&str> = recorded.claims.iter().map(|c| c.id.as_str()).collect();
            let ours: Vec<&str> = claims.claim.iter().map(|c| c.id.as_str()).collect();
            assert_eq!(ids, ours, "{}: run `cargo xtask report --rejudge`", path.display());
            let now = recorded::again(&text, &claims, |_| None).unwrap().0;
            assert!(
                now == text,
                "{}: its verdicts are not those of claims.toml: run `cargo xtask report --rejudge`",
                path.display()
            );
            for c in claims.claim.iter().filter(|c| c.presets.iter().any(|p| p == preset.name())) {
                for m in c.comparisons().unwrap().iter().flat_map(Comparison::metrics) {
                    let part = m.split('.').next().unwrap();
                    let left_out = preset.name() != "quick" && !names.iter().any(|n| n.split('.').next() == Some(part));
                    let there = names.iter().any(|n| *n == m);
                    assert!(there || left_out, "{}: claim `{}`: no metric `{m}`", path.display(), c.id);
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 100, "{checked}");
}
