//! Means over the seeds, and whether the detectors differ.

use super::timed::Times;
use anyhow::Result;
use sconce_anomaly::testbed::{Cell, CellResult, Ranking, TestbedResults};
use sconce_tensor_core::stats::Summary;

/// With fewer tables a test over tables has hardly any power.
pub(super) const LEAST_TABLES: usize = 5;

/// The result of a comparison.
pub(super) struct Comparison {
    pub(super) tables: Vec<String>,
    pub(super) detectors: Vec<String>,
    /// All cells, with the seconds of the fit where they are known.
    pub(super) cells: Vec<(Cell, Option<f64>)>,
    /// Table by table, in the order of the detectors.
    pub(super) means: Vec<Mean>,
    /// The test over tables, or why there is none.
    pub(super) ranking: std::result::Result<Ranking, String>,
}

/// One detector on one table, over the seeds whose cells were measured; `None` without any.
pub(super) struct Mean {
    pub(super) table: String,
    pub(super) detector: String,
    /// Measured cells, and all of them.
    pub(super) measured: usize,
    pub(super) cells: usize,
    pub(super) auroc: Option<Summary>,
    pub(super) average_precision: Option<Summary>,
    /// Of fitting, over the cells whose time is known.
    pub(super) seconds: Option<Summary>,
}

impl Comparison {
    /// Summarises cells.
    ///
    /// # Errors
    /// A metric that is not finite.
    pub(super) fn new(detectors: &[String], cells: Vec<Cell>, times: &Times) -> Result<Self> {
        let results = TestbedResults { cells };
        let (tables, detectors) = (results.datasets(), detectors.to_vec());
        let any = |t: &&String| {
            results.cells.iter().any(|c| c.dataset == **t && matches!(c.outcome, CellResult::Measured { .. }))
        };
        let ranking = match (tables.iter().filter(any).count(), detectors.len()) {
            (_, 1) => Err("a test compares at least two detectors".to_owned()),
            (n, _) if n < LEAST_TABLES => Err(format!(
                "a test of whether the detectors differ needs at least {LEAST_TABLES} tables, and this comparison has {n}{}",
                if n < tables.len() { " with a measurement" } else { "" }
            )),
            _ => Ok(results.ranking()?),
        };
        let seconds = |c: Cell| {
            let measured = matches!(c.outcome, CellResult::Measured { .. });
            let seconds = times.of(&c.dataset, &c.method, c.seed).filter(|_| measured);
            (c, seconds)
        };
        let cells: Vec<_> = results.cells.into_iter().map(seconds).collect();
        let pairs = tables.iter().flat_map(|t| detectors.iter().map(move |d| (t, d)));
        let means = pairs.map(|(t, d)| Mean::of(t, d, &cells)).collect::<Result<_>>()?;
        Ok(Self { tables, detectors, cells, means, ranking })
    }

    /// The means of one detector, in the order of the tables.
    pub(super) fn of<'a>(&'a self, detector: &'a str) -> impl Iterator<Item = &'a Mean> {
        self.means.iter().filter(move |m| m.detector == detector)
    }

    /// The mean over all tables of a detector's means; `None` where no cell of a table was measured.
    pub(super) fn overall(&self, detector: &str, of: fn(&Mean) -> Option<&Summary>) -> Option<f64> {
        let means: Option<Vec<f64>> = self.of(detector).map(|m| of(m).map(|s| s.mean)).collect();
        means.filter(|m| !m.is_empty()).map(|m| m.iter().sum::<f64>() / m.len() as f64)
    }

    /// Failed cells with their reasons: those of one detector on one table for one reason together, with their seeds.
    pub(super) fn failures(&self) -> Vec<Failure<'_>> {
        let mut all: Vec<Failure<'_>> = Vec::new();
        for (c, _) in &self.cells {
            let CellResult::Failed(reason) = &c.outcome else { continue };
            let same = |f: &&mut Failure<'_>| f.table == c.dataset && f.detector == c.method && f.reason == reason;
            match all.iter_mut().find(same) {
                Some(f) => f.seeds.push(c.seed),
                None => all.push(Failure { table: &c.dataset, detector: &c.method, seeds: vec![c.seed], reason }),
            }
        }
        all
    }

    /// What a reader looks for first, in one or two sentences.
    pub(super) fn summary(&self) -> String {
        let means = self.detectors.iter().filter_map(|d| Some((d, self.overall(d, |m| m.auroc.as_ref())?)));
        let Some((best, auroc)) = means.reduce(|a, b| if b.1 > a.1 { b } else { a }) else {
            return "Each detector failed with every seed on at least one table, so there is no mean over all tables."
                .to_owned();
        };
        let over = if self.tables.len() == 1 { String::new() } else { format!(" over {} tables", self.tables.len()) };
        let highest = match self.detectors.len() {
            1 => format!("{best} has a mean AUROC of {auroc:.3}{over}."),
            _ => format!("{best} has the highest mean AUROC{over}, {auroc:.3}."),
        };
        match &self.ranking {
            Err(why) => format!("{highest} No significance is stated: {why}."),
            Ok(r) => format!("{highest} {}", test(r)),
        }
    }
}

/// Why one detector could not be measured on one table.
pub(super) struct Failure<'a> {
    pub(super) table: &'a str,
    pub(super) detector: &'a str,
    pub(super) seeds: Vec<u64>,
    pub(super) reason: &'a str,
}

impl Failure<'_> {
    /// The seeds in words: `seed 0`, `seeds 0, 2`.
    pub(super) fn seeds(&self) -> String {
        let all: Vec<String> = self.seeds.iter().map(u64::to_string).collect();
        format!("seed{} {}", if all.len() == 1 { "" } else { "s" }, all.join(", "))
    }
}

/// What the test says, in a sentence.
fn test(r: &Ranking) -> String {
    if r.friedman <= r.friedman_quantile {
        return "The detectors do not differ significantly at 5 % (Friedman test).".to_owned();
    }
    let best = &r.names[0];
    let close = r.mean_ranks.iter().filter(|rank| **rank - r.mean_ranks[0] < r.critical_difference).count() - 1;
    let rest = match close {
        0 => "every other detector ranks significantly lower".to_owned(),
        _ => format!("it does not differ significantly from {}", r.names[1..=close].join(", ")),
    };
    format!(
        "The detectors differ significantly at 5 % (Friedman test). {best} has the best mean rank, {:.2}; {rest}.",
        r.mean_ranks[0]
    )
}

impl Mean {
    fn of(table: &str, detector: &str, cells: &[(Cell, Option<f64>)]) -> Result<Self> {
        let own = || cells.iter().filter(|(c, _)| c.dataset == table && c.method == detector);
        let metric = |of: fn(f64, f64) -> f64| -> Vec<f64> {
            let measured = own().filter_map(|(c, _)| match c.outcome {
                CellResult::Measured { auroc, average_precision } => Some(of(auroc, average_precision)),
                CellResult::Failed(_) => None,
            });
            measured.collect()
        };
        let mean = |values: Vec<f64>| (!values.is_empty()).then(|| Summary::new(values)).transpose();
        let areas = metric(|auroc, _| auroc);
        let seconds: Vec<f64> = own().filter_map(|(_, s)| *s).collect();
        Ok(Self {
            table: table.to_owned(),
            detector: detector.to_owned(),
            measured: areas.len(),
            cells: own().count(),
            auroc: mean(areas)?,
            average_precision: mean(metric(|_, precision| precision))?,
            seconds: if seconds.is_empty() { None } else { Some(Summary::new(seconds)?) },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Detector i has an AUROC of 0.9 - i / 10 on every table, plus a little for each of two seeds.
    fn comparison(detectors: usize, tables: usize, failed: Option<&str>) -> Comparison {
        let names: Vec<String> = (0..detectors).map(|i| format!("d{i}")).collect();
        let outcome = |i: usize, seed: u64| CellResult::Measured {
            auroc: 0.9 - 0.1 * i as f64 + 0.01 * seed as f64,
            average_precision: 0.5,
        };
        let cell = |t: usize, seed: u64, i: usize| Cell {
            dataset: format!("t{t}"),
            method: names[i].clone(),
            seed,
            outcome: match failed {
                Some(name) if t == 0 && (name == names[i] || name == format!("{} with seed {seed}", names[i])) => {
                    CellResult::Failed("too few rows".to_owned())
                }
                _ => outcome(i, seed),
            },
        };
        let cells = (0..tables).flat_map(|t| (0..2).flat_map(move |s| (0..detectors).map(move |i| (t, s, i))));
        let cells = cells.map(|(t, s, i)| cell(t, s, i)).collect();
        Comparison::new(&names, cells, &Times::open(std::path::Path::new("no such folder"), None)).unwrap()
    }

    #[test]
    fn a_test_needs_five_tables_and_two_detectors() {
        for (detectors, tables, why) in
            [(3, 4, "at least 5 tables, and this comparison has 4"), (1, 9, "two detectors")]
        {
            let c = comparison(detectors, tables, None);
            assert!(c.ranking.as_ref().unwrap_err().contains(why) && c.summary().contains(why), "{}", c.summary());
        }
        let c = comparison(3, 8, None);
        assert_eq!(c.ranking.as_ref().unwrap().names, ["d0", "d1", "d2"]);
        let summary = c.summary();
        assert!(summary.starts_with("d0 has the highest mean AUROC over 8 tables, 0.905. "), "{summary}");
        assert!(
            summary.ends_with("d0 has the best mean rank, 1.00; it does not differ significantly from d1."),
            "{summary}"
        );
    }

    #[test]
    fn means_are_over_the_measured_seeds() {
        let c = comparison(2, 2, Some("d0"));
        let auroc = |d: &str| c.of(d).map(|m| m.auroc.as_ref().map(|s| s.mean)).collect::<Vec<_>>();
        assert_eq!((auroc("d0")[0], c.overall("d0", |m| m.auroc.as_ref()), c.failures().len()), (None, None, 1));
        assert_eq!((c.failures()[0].seeds(), c.failures()[0].reason), ("seeds 0, 1".to_owned(), "too few rows"));
        let mean = c.overall("d1", |m| m.auroc.as_ref()).unwrap();
        assert!((mean - 0.805).abs() < 1e-12 && c.summary().starts_with("d1 has the highest"), "{mean}");
        assert!(comparison(1, 1, Some("d0")).summary().contains("failed with every seed on at least one table"));
        // One of two seeds: the mean is over the other one.
        let part = comparison(2, 2, Some("d0 with seed 1"));
        let mean = part.of("d0").next().unwrap();
        assert_eq!((mean.measured, mean.cells, mean.auroc.as_ref().map(|s| s.mean)), (1, 2, Some(0.9)));
        assert!(part.overall("d0", |m| m.auroc.as_ref()).is_some() && part.failures()[0].seeds() == "seed 1");
    }
}
