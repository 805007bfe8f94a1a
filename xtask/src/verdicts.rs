//! Verdicts on claims, as results files hold them and as people read them.

use serde::{Deserialize, Serialize};

/// What the 95 % interval of the difference says about a claim or about one of its comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The interval lies wholly on the claimed side of 0.
    Supported,
    /// The interval lies wholly on the other side of 0, or an exact claim fails.
    Contradicted,
    /// The interval covers 0, or there is none.
    Undecided,
    /// A deterministic comparison that holds for every value. It counts as supported.
    Exact,
    /// The preset does not measure it.
    NotMeasured,
    /// A recorded run that is older than the claim lacks a metric.
    NotRecorded,
}

impl Verdict {
    /// The words in tables.
    pub fn words(self) -> &'static str {
        match self {
            Self::Supported => "supported",
            Self::Contradicted => "contradicted",
            Self::Undecided => "undecided",
            Self::Exact => "exact",
            Self::NotMeasured => "not measured in this preset",
            Self::NotRecorded => "not in the recorded run",
        }
    }

    /// Whether the run reached the claim and its numbers do not support it.
    pub fn fails(self) -> bool {
        matches!(self, Self::Contradicted | Self::Undecided)
    }
}

/// The ends of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ends {
    /// Lower end.
    pub lo: f64,
    /// Upper end.
    pub hi: f64,
}

/// One comparison of a claim: the paired difference of its two sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparisonResult {
    /// The left side.
    pub left: String,
    /// `>`, `<`, `>=` or `<=`.
    pub op: String,
    /// The right side.
    pub right: String,
    /// Mean over the seeds of left minus right, with the offsets and factors of the claim.
    pub difference: f64,
    /// Student's 95 % interval of that mean; none for one value and in an exact claim.
    pub interval: Option<Ends>,
    /// Values in the mean: one per seed.
    pub n: usize,
    /// Its verdict.
    pub verdict: Verdict,
}

/// The number of seeds that would decide a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SeedsNeeded {
    /// This many.
    Count(usize),
    /// More than were tried.
    Beyond(Beyond),
}

/// Past the largest number that is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Beyond {
    /// More than 1000.
    #[serde(rename = "more than 1000")]
    Thousand,
}

impl SeedsNeeded {
    /// The number, or "more than 1000".
    pub fn words(self) -> String {
        match self {
            Self::Count(n) => n.to_string(),
            Self::Beyond(Beyond::Thousand) => "more than 1000".to_owned(),
        }
    }
}

/// One claim with its verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimResult {
    /// Its name.
    pub id: String,
    /// What the paper says, in words.
    pub text: String,
    /// Where the paper says it.
    pub source: String,
    /// What our numbers say about it.
    pub verdict: Verdict,
    /// The comparisons as the claim spells them.
    pub want: String,
    /// Our numbers, comparison by comparison; none where the claim was not reached.
    pub comparisons: Vec<ComparisonResult>,
    /// For an undecided claim: the seeds that it would take for the interval to leave 0, at the mean and spread seen.
    pub seeds_needed: Option<SeedsNeeded>,
    /// Why there is no interval, or why the claim was not reached.
    pub note: Option<String>,
}

/// A number with three decimals, or in powers of ten where that would hide it.
pub fn number(v: f64) -> String {
    let size = v.abs();
    if size != 0.0 && !(1e-3..1e6).contains(&size) { format!("{v:.1e}") } else { format!("{v:.3}") }
}

/// The same with its sign.
pub fn signed(v: f64) -> String {
    if v < 0.0 { number(v) } else { format!("+{}", number(v)) }
}

impl ComparisonResult {
    /// `+0.022 [-0.006, +0.050]`.
    pub fn effect(&self) -> String {
        let ends = self.interval.map(|i| format!(" [{}, {}]", signed(i.lo), signed(i.hi)));
        format!("{}{}", signed(self.difference), ends.unwrap_or_default())
    }

    /// Both sides and the difference.
    pub fn words(&self) -> String {
        let interval = self.interval.map(|i| format!(", 95 % interval [{}, {}]", signed(i.lo), signed(i.hi)));
        let (difference, interval) = (signed(self.difference), interval.unwrap_or_default());
        format!("{} vs {} (claim: {}): difference {difference}{interval}", self.left, self.right, self.op)
    }
}

impl ClaimResult {
    /// All that our numbers say, in one line.
    pub fn words(&self) -> String {
        let mut parts: Vec<String> = self.comparisons.iter().map(ComparisonResult::words).collect();
        parts.extend(self.note.clone());
        parts.extend(self.seeds());
        parts.join("; ")
    }

    /// How many seeds an undecided claim would take.
    pub fn seeds(&self) -> Option<String> {
        Some(format!("{} seeds would decide it at this mean and spread", self.seeds_needed?.words()))
    }
}

/// `7 supported (2 exact), 1 contradicted, 3 undecided`, and what was not reached.
pub fn headline<'a>(claims: impl IntoIterator<Item = &'a ClaimResult>) -> String {
    let mut count = [0_usize; 6];
    claims.into_iter().for_each(|c| count[c.verdict as usize] += 1);
    let [supported, contradicted, undecided, exact, not_measured, not_recorded] = count;
    let exactly = if exact > 0 { format!(" ({exact} exact)") } else { String::new() };
    let mut text =
        format!("{} supported{exactly}, {contradicted} contradicted, {undecided} undecided", supported + exact);
    for (n, verdict) in [(not_measured, Verdict::NotMeasured), (not_recorded, Verdict::NotRecorded)] {
        if n > 0 {
            text += &format!(", {n} {}", verdict.words());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_three_decimals_would_hide() {
        assert_eq!(
            [0.0, 0.0123, -2.14e-5, 1234.5, 1e30].map(number),
            ["0.000", "0.012", "-2.1e-5", "1234.500", "1.0e30"]
        );
        assert_eq!([0.5, -0.5, 4e-4].map(signed), ["+0.500", "-0.500", "+4.0e-4"]);
    }

    #[test]
    fn results_files_hold_a_count_or_more_than_1000() {
        for (value, json) in
            [(SeedsNeeded::Count(14), "14"), (SeedsNeeded::Beyond(Beyond::Thousand), "\"more than 1000\"")]
        {
            assert_eq!(serde_json::to_string(&value).unwrap(), json);
            assert_eq!(serde_json::from_str::<SeedsNeeded>(json).unwrap(), value);
        }
    }

    #[test]
    fn the_headline_counts_exact_as_supported_and_names_what_was_not_reached() {
        let claim = |verdict| ClaimResult {
            id: String::new(),
            text: String::new(),
            source: String::new(),
            verdict,
            want: String::new(),
            comparisons: Vec::new(),
            seeds_needed: None,
            note: None,
        };
        use Verdict::*;
        let all = [Supported, Exact, Undecided, Contradicted, Supported, NotMeasured].map(claim);
        assert_eq!(headline(&all), "3 supported (1 exact), 1 contradicted, 1 undecided, 1 not measured in this preset");
        assert_eq!(headline(&all[..1]), "1 supported, 0 contradicted, 0 undecided");
    }
}
