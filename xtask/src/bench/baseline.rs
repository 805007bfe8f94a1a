//! Rows beside those of an earlier run of ours.
//!
//! Machines drift, and two runs are not interleaved. So a time counts in units of the reference's large product of the same round, which
//! has none of our code in it: what slows both slows neither.

use super::interval::{self, Estimate};
use super::results::{Results, Row};

/// Changes that two starts of one program show: pages and heaps lie elsewhere each time, and all rounds of a row share a start.
const STARTS: f64 = 0.03;

/// What a row says beside the earlier one.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    NoChange(Estimate),
    Slower(Estimate),
    Faster(Estimate),
    NotCompared(String),
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = |v: f64| 100.0 * (v - 1.0);
        match self {
            Self::NoChange(e) => write!(f, "no change detected [{:+.0}, {:+.0}] %", percent(e.low), percent(e.high)),
            Self::Slower(e) => {
                write!(f, "slower by {:.0} % [{:.0}, {:.0}]", percent(e.value), percent(e.low), percent(e.high))
            }
            Self::Faster(e) => {
                write!(f, "faster by {:.0} % [{:.0}, {:.0}]", -percent(e.value), -percent(e.high), -percent(e.low))
            }
            Self::NotCompared(why) => write!(f, "not compared: {why}"),
        }
    }
}

/// Compares a row with the one of its name in an earlier run.
pub fn compare(now: &Row, earlier: &Results) -> Verdict {
    let Some(then) = earlier.rows.iter().find(|r| r.workload == now.workload) else {
        return Verdict::NotCompared("the baseline has no such row".to_owned());
    };
    let other = [
        (then.device != now.device, format!("device {}", then.device)),
        (then.threads != now.threads, format!("{} threads", then.threads)),
        (then.machine != now.machine, format!("another processor, {},", then.machine)),
        // A product of another library is another unit.
        (then.reference != now.reference, format!("the peak of {}", then.reference)),
    ];
    if let Some((_, what)) = other.into_iter().find(|(differs, _)| *differs) {
        return Verdict::NotCompared(format!("{what} in the baseline"));
    }
    let units = |row: &Row| row.rounds.iter().map(|r| r.ours_ms / r.peak_reference_ms).collect::<Vec<f64>>();
    match interval::of_change(&units(now), &units(then)) {
        None => Verdict::NotCompared("too few rounds for an interval".to_owned()),
        Some(e) if e.low > 1.0 + STARTS => Verdict::Slower(e),
        Some(e) if e.high < 1.0 - STARTS => Verdict::Faster(e),
        Some(e) => Verdict::NoChange(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::Round;

    /// A row whose steps take so many times the reference's product, on a machine of some speed that wavers.
    fn row(units: f64, speed: f64) -> Row {
        let round = |i: usize| {
            let at = 1.0 + 0.01 * ((7 * i) % 5) as f64;
            let reference = 100.0 * speed * (1.0 + 0.2 * (i % 3) as f64);
            Round {
                ours_ms: units * at * reference,
                peer_ms: None,
                peak_ours_ms: reference,
                peak_reference_ms: reference,
            }
        };
        Row {
            workload: "one".into(),
            device: "cpu".into(),
            threads: 2,
            machine: "this".into(),
            reference: "candle".into(),
            peer: None,
            ours_ms: 1.0,
            peer_ms: None,
            ratio: None,
            ratio_95: None,
            gflops: 0.0,
            peak_gflops: 1.0,
            share_of_peak: 0.0,
            ours_mib: 0.0,
            peer_mib: None,
            note: None,
            rounds: (0..9).map(round).collect(),
        }
    }

    fn said(now: &Row, then: Row) -> String {
        compare(now, &Results { rows: vec![then], failed: vec![] }).to_string()
    }

    #[test]
    fn a_machine_of_half_the_speed_is_no_change() {
        assert_eq!(said(&row(2.0, 2.0), row(2.0, 1.0)), "no change detected [-2, +2] %");
        assert!(
            said(&row(2.2, 2.0), row(2.0, 1.0)).starts_with("slower by 10 % [8, 1"),
            "{}",
            said(&row(2.2, 2.0), row(2.0, 1.0))
        );
        assert!(
            said(&row(1.8, 0.5), row(2.0, 1.0)).starts_with("faster by 10 % [8, 1"),
            "{}",
            said(&row(1.8, 0.5), row(2.0, 1.0))
        );
    }

    #[test]
    fn what_was_measured_otherwise_is_not_compared() {
        let now = row(2.0, 1.0);
        let with = |f: &dyn Fn(&mut Row)| {
            let mut then = row(2.0, 1.0);
            f(&mut then);
            said(&now, then)
        };
        assert_eq!(with(&|r| r.threads = 8), "not compared: 8 threads in the baseline");
        assert_eq!(with(&|r| r.device = "cuda:0".into()), "not compared: device cuda:0 in the baseline");
        assert_eq!(with(&|r| r.reference = "torch".into()), "not compared: the peak of torch in the baseline");
        assert_eq!(with(&|r| r.rounds.truncate(1)), "not compared: too few rounds for an interval");
        assert_eq!(with(&|r| r.workload = "two".into()), "not compared: the baseline has no such row");
    }

    #[test]
    fn a_file_is_read_as_it_was_written() -> anyhow::Result<()> {
        let (dir, all) = (tempfile::tempdir()?, Results { rows: vec![row(2.0, 1.0)], failed: vec![] });
        let path = dir.path().join("rows.json");
        all.write(&path)?;
        all.write(&path)?;
        assert_eq!(Results::read(&path)?, all);
        assert_eq!(std::fs::read_dir(dir.path())?.count(), 1, "nothing is left beside it");
        std::fs::write(&path, "[]")?;
        assert!(Results::read(&path).is_err_and(|e| e.to_string().contains("no results file")));
        Ok(())
    }
}
