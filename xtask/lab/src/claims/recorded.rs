//! Recorded results: verdicts decided again from their metrics, and a new run compared with them.

use super::{Claims, Metrics, Scope, judge};
use crate::jobs::Rates;
use crate::paper::Caveat;
use crate::places;
use crate::results::Results;
use crate::terminal::say;
use anyhow::{Context, Result, bail};
use sconce_tensor_core::store::write_whole;
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use xtask::verdicts::{ClaimResult, Verdict, headline};

/// Decides the claims of every recorded results file again, by the current claims.toml, and writes them back. Every other byte of
/// a file stays, but for the day of its commit where it had none.
pub fn rejudge(root: &Path) -> Result<u8> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for slug in std::fs::read_dir(root.join("xtask/recipes"))? {
        let results = slug?.path().join("results");
        if results.is_dir() {
            paths.extend(std::fs::read_dir(results)?.collect::<std::io::Result<Vec<_>>>()?.iter().map(|e| e.path()));
        }
    }
    paths.retain(|p| p.extension().is_some_and(|e| e == "json"));
    paths.sort();
    for path in paths {
        let folder = path.parent().and_then(Path::parent).unwrap_or(root);
        let claims = Claims::load(&folder.join("claims.toml"))?;
        let text = std::fs::read_to_string(&path)?;
        let date = |commit: &str| places::commit_date(root, commit);
        let (text, claims) = again(&text, &claims, date).with_context(|| format!("{}", path.display()))?;
        write_whole(&path, text.as_bytes())?;
        say(&format!("{}: {}", path.strip_prefix(root).unwrap_or(&path).display(), headline(&claims)));
    }
    Ok(0)
}

/// The text of a results file with its claims decided again.
pub(super) fn again(
    text: &str,
    claims: &Claims,
    date: impl Fn(&str) -> Option<String>,
) -> Result<(String, Vec<ClaimResult>)> {
    let old: Value = serde_json::from_str(text)?;
    let field = |key: &str| old.get(key).cloned().with_context(|| format!("no `{key}`"));
    let mut metrics: Metrics = serde_json::from_value(field("metrics")?)?;
    metrics.extend(serde_json::from_value::<Metrics>(field("timing")?)?);
    let preset: String = serde_json::from_value(field("preset")?)?;
    let commit: String = serde_json::from_value(field("commit")?)?;
    let caveats: Vec<Caveat> =
        old.get("caveats").map_or_else(|| Ok(Vec::new()), |c| serde_json::from_value(c.clone()))?;
    let left_out: Vec<String> =
        old.get("left_out").map_or_else(|| Ok(Vec::new()), |c| serde_json::from_value(c.clone()))?;
    // Results that name their code are of a time when every claim was measured.
    let recorded = old.get("code").is_none();
    let judged = judge(claims, &metrics, &Scope { preset: &preset, recorded, left_out: &left_out, caveats: &caveats })?;
    if !judged.problems.is_empty() {
        bail!("{}", judged.problems.join("\n"));
    }
    let mut new = serde_json::Map::new();
    for (key, value) in old.as_object().into_iter().flatten() {
        match key.as_str() {
            "claims" => new.insert(key.clone(), serde_json::to_value(&judged.claims)?),
            "commit_date" => continue,
            _ => new.insert(key.clone(), value.clone()),
        };
        if key == "commit" {
            let known = old.get("commit_date").cloned().filter(|d| !d.is_null());
            new.insert("commit_date".into(), known.or_else(|| Some(date(&commit)?.into())).unwrap_or(Value::Null));
        }
    }
    Ok((format!("{}\n", serde_json::to_string_pretty(&new)?), judged.claims))
}

/// Seconds per unit of cost of a recorded run, by kind of job; none where nothing is recorded.
pub fn rates(folder: &Path, preset: &str) -> Rates {
    let text = std::fs::read_to_string(folder.join("results").join(format!("{preset}.json"))).unwrap_or_default();
    let recorded: Option<Value> = serde_json::from_str(&text).ok();
    recorded.and_then(|r| serde_json::from_value(r.get("rates")?.clone()).ok()).unwrap_or_default()
}

/// What of a recorded results file a new run is compared with.
#[derive(Deserialize)]
struct Recorded {
    config: Value,
    seeds: Vec<u64>,
    claims: Vec<ClaimResult>,
}

/// Whether a run of a recipe as it stands has the verdicts of the recorded one; `None` where none is recorded.
pub fn compare(folder: &Path, results: &Results) -> Option<String> {
    let text = std::fs::read_to_string(folder.join("results").join(format!("{}.json", results.preset))).ok()?;
    let recorded: Recorded = match serde_json::from_str(&text) {
        Ok(found) => found,
        Err(e) => return Some(format!("not compared with the recorded run, run `cargo xtask report --rejudge`: {e}")),
    };
    let mut text = changes(&recorded.claims, &results.claims);
    if recorded.seeds != results.seeds {
        text += &format!(" (recorded with seeds {:?})", recorded.seeds);
    }
    if recorded.config != results.config {
        text += " (the recorded run has another configuration)";
    }
    Some(text)
}

/// `same verdicts as recorded`, or which changed.
fn changes(recorded: &[ClaimResult], found: &[ClaimResult]) -> String {
    let words = |v: Option<Verdict>| v.map_or("not recorded", Verdict::words);
    let before = |id: &str| recorded.iter().find(|c| c.id == id).map(|c| c.verdict);
    let changed: Vec<String> = found
        .iter()
        .filter(|c| before(&c.id) != Some(c.verdict))
        .map(|c| format!("{}: {} -> {}", c.id, words(before(&c.id)), c.verdict.words()))
        .collect();
    if changed.is_empty() {
        "same verdicts as recorded".to_owned()
    } else {
        format!("verdicts that differ from the recorded run: {}", changed.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIMS: &str = "[[claim]]\nid = \"c\"\ntext = \"t\"\nsource = \"s\"\nholds = \"a.x > 0.5\"\npresets = [\"quick\"]\n\
        [[claim]]\nid = \"new\"\ntext = \"t\"\nsource = \"s\"\nholds = \"b.x > 0\"\npresets = [\"quick\"]\n";
    const OLD: &str = r#"{
  "experiment": "e",
  "preset": "quick",
  "commit": "abc",
  "metrics": {
    "a.x": {
      "mean": 0.30000000000000004,
      "std": 0.1,
      "ci95": {
        "lo": 0.1,
        "hi": 1e-7
      },
      "values": [
        2.0,
        3.0,
        4.0
      ]
    }
  },
  "timing": {},
  "claims": [
    {
      "id": "c",
      "holds": true
    }
  ],
  "flags": []
}
"#;

    #[test]
    fn a_results_file_is_decided_again_and_keeps_its_metrics() {
        let claims = Claims::parse(CLAIMS).unwrap();
        let (text, found) = again(OLD, &claims, |c| Some(format!("day of {c}"))).unwrap();
        assert_eq!(found.iter().map(|c| c.verdict).collect::<Vec<_>>(), [Verdict::Supported, Verdict::NotRecorded]);
        assert_eq!(found[1].note.as_deref(), Some("the recorded run has no metric `b.x`"));
        let cut = |t: &str| t[t.find("\"metrics\"").unwrap()..t.find("\"claims\"").unwrap()].to_owned();
        assert_eq!(cut(&text), cut(OLD));
        assert!(text.contains("\"commit_date\": \"day of abc\"") && text.ends_with("\"flags\": []\n}\n"), "{text}");
        // Once more changes nothing.
        assert_eq!(again(&text, &claims, |_| None).unwrap().0, text);
    }

    #[test]
    fn changed_verdicts_are_named() {
        let claims = Claims::parse(CLAIMS).unwrap();
        let (_, recorded) = again(OLD, &claims, |_| None).unwrap();
        assert_eq!(changes(&recorded, &recorded), "same verdicts as recorded");
        let mut found = recorded.clone();
        found[0].verdict = Verdict::Undecided;
        assert!(changes(&recorded, &found).ends_with("recorded run: c: supported -> undecided"));
        assert!(changes(&recorded[..1], &recorded).ends_with("new: not recorded -> not in the recorded run"));
    }
}
