//! Claims: what a paper says, as comparisons of metrics, and the verdicts on them.
//!
//! `holds = "a.b > c.d and e.f >= g.h - 0.01"`: comparisons of two terms joined by `and`. A term is a metric or a number, or a
//! metric plus, minus or times a number; `deviation(a.b)` is the distance of each seed's value to the mean over the seeds. The
//! 95 % interval of the paired difference decides (`decide.rs`), so a claim needs no margin for noise. `presets` names the
//! presets that measure the claim: there a missing metric is an error. `exact = true` marks an identity, which must
//! hold for every value.

mod decide;
mod page;
mod recorded;
mod term;

pub use page::section;
pub use recorded::{compare, rates as recorded_rates, rejudge};
pub use term::Metrics;

use crate::paper::Caveat;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::path::Path;
use term::Comparison;
use xtask::cli::Preset;
use xtask::verdicts::{ClaimResult, ComparisonResult, Ends, Verdict};

/// The file `claims.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// The claims, in the order in which they are shown.
    pub claim: Vec<Claim>,
}

/// One claim.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Its name.
    pub id: String,
    /// What the paper says, in words.
    pub text: String,
    /// Where the paper says it, or `chosen by us`.
    pub source: String,
    /// The comparisons.
    pub holds: String,
    /// The presets that measure it.
    #[serde(default)]
    pub presets: Vec<String>,
    /// Whether it is an identity, without noise from the seeds.
    #[serde(default)]
    pub exact: bool,
}

impl Claims {
    /// Reads the file and checks every claim.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{}", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let claims: Self = toml::from_str(text)?;
        for (i, c) in claims.claim.iter().enumerate() {
            c.check().with_context(|| format!("claim `{}`", c.id))?;
            if claims.claim[..i].iter().any(|other| other.id == c.id) {
                bail!("two claims have the id `{}`", c.id);
            }
        }
        Ok(claims)
    }
}

impl Claim {
    fn check(&self) -> Result<()> {
        let known: Vec<&str> = Preset::ALL.iter().filter(|p| **p == p.claims()).map(|p| p.name()).collect();
        if self.presets.is_empty() {
            bail!("it names no preset: add `presets = [...]` with those of {} that measure it", known.join(", "));
        }
        if let Some(p) = self.presets.iter().find(|p| !known.contains(&p.as_str())) {
            bail!("no preset `{p}`: there are {}", known.join(", "));
        }
        self.comparisons().map(drop)
    }

    fn comparisons(&self) -> Result<Vec<Comparison>> {
        self.holds.split(" and ").map(Comparison::parse).collect()
    }

    fn result(&self, verdict: Verdict, note: Option<String>) -> ClaimResult {
        ClaimResult {
            id: self.id.clone(),
            text: self.text.clone(),
            source: self.source.clone(),
            verdict,
            want: self.holds.clone(),
            comparisons: Vec::new(),
            seeds_needed: None,
            note,
        }
    }
}

/// Which run the metrics are of.
pub struct Scope<'a> {
    /// The preset.
    pub preset: &'a str,
    /// Whether the run was recorded, perhaps before the claim was written.
    pub recorded: bool,
    /// First parts of the names of metrics that the run left out, and said so: their data was not found.
    pub left_out: &'a [String],
    /// Choices that the claims about them must tell.
    pub caveats: &'a [Caveat],
}

/// Every claim with its verdict, and what is wrong with those that cannot be decided.
pub struct Judged {
    /// In the order of the file.
    pub claims: Vec<ClaimResult>,
    /// Missing metrics and sides that cannot be paired.
    pub problems: Vec<String>,
}

/// Decides every claim.
pub fn judge(claims: &Claims, metrics: &Metrics, scope: &Scope<'_>) -> Result<Judged> {
    let mut judged = Judged { claims: Vec::new(), problems: Vec::new() };
    for c in &claims.claim {
        let result = match one(c, metrics, scope) {
            Ok(result) => result,
            Err(e) => {
                let why = format!("{e:#}");
                judged.problems.push(format!("claim `{}`: {why}", c.id));
                c.result(Verdict::NotMeasured, Some(why))
            }
        };
        judged.claims.push(result);
    }
    Ok(judged)
}

fn one(c: &Claim, metrics: &Metrics, scope: &Scope<'_>) -> Result<ClaimResult> {
    if !c.presets.iter().any(|p| p == scope.preset) {
        return Ok(c.result(Verdict::NotMeasured, Some(format!("measured in the preset {}", c.presets.join(", ")))));
    }
    let parts = c.comparisons()?;
    let needed = || parts.iter().flat_map(Comparison::metrics);
    if let Some(data) = scope.left_out.iter().find(|d| needed().any(|m| m.split('.').next() == Some(d))) {
        return Ok(c.result(Verdict::NotMeasured, Some(format!("`{data}` was left out: its files were not found"))));
    }
    if let Some(name) = needed().find(|m| !metrics.contains_key(*m)) {
        if scope.recorded {
            return Ok(c.result(Verdict::NotRecorded, Some(format!("the recorded run has no metric `{name}`"))));
        }
        bail!("{}", missing(name, metrics, scope.preset));
    }
    let caveats: Vec<&str> =
        scope.caveats.iter().filter(|c| needed().any(|m| c.concerns(m))).map(|c| c.text.as_str()).collect();
    let mut decided = Vec::new();
    for p in &parts {
        decided.push(decide::decide(p.op, p.differences(metrics)?, c.exact)?);
    }
    let verdicts: Vec<Verdict> = decided.iter().map(|d| d.verdict).collect();
    let mut result = c.result(decide::all_of(&verdicts), (!caveats.is_empty()).then(|| caveats.join(" ")));
    for (p, d) in parts.iter().zip(&decided) {
        let (left, right) = p.shown(metrics);
        result.comparisons.push(ComparisonResult {
            left,
            op: p.op.to_owned(),
            right,
            difference: d.summary.mean,
            interval: d.summary.ci95.map(|c| Ends { lo: c.lo, hi: c.hi }),
            n: d.summary.values.len(),
            verdict: d.verdict,
        });
    }
    if result.verdict == Verdict::Undecided {
        let open: Vec<_> = decided.iter().filter(|d| d.verdict == Verdict::Undecided).map(|d| &d.summary).collect();
        result.seeds_needed = decide::seeds_for_all(&open);
        if open.iter().any(|s| s.values.len() < 2) {
            let note = result.note.iter().map(String::as_str).chain(["one seed: there is no interval"]);
            result.note = Some(note.collect::<Vec<_>>().join("; "));
        }
    }
    Ok(result)
}

/// What to say of a metric that is not there.
fn missing(name: &str, metrics: &Metrics, preset: &str) -> String {
    let likeness = |m: &&String| strsim::normalized_damerau_levenshtein(name, m);
    let nearest = metrics.keys().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let hint = nearest.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
    format!("no metric `{name}` in this run of the preset {preset}{hint}")
}

#[cfg(test)]
mod tests;
