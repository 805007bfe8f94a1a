//! Areas under the curve: of one test, and over turns and seeds.

use crate::paper::Measured;
use anyhow::Result;
use sconce_anomaly::metrics::Ranked;
use sconce_anomaly::protocol::TestSplit;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// Areas under the curve and average precisions, on known and on unknown anomalies, where the test has them.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Areas {
    pub known: Option<f64>,
    pub unknown: Option<f64>,
    pub known_precision: Option<f64>,
    pub unknown_precision: Option<f64>,
}

impl Areas {
    /// Normal rows against those of each role.
    pub fn of(scores: &[f64], tested: &TestSplit) -> Result<Self> {
        let against = |strange: &[u32]| -> Result<Option<Ranked>> {
            if strange.is_empty() {
                return Ok(None);
            }
            let rows = || tested.normal.iter().chain(strange);
            let part: Vec<f64> = rows().map(|i| scores[*i as usize]).collect();
            let truth: Vec<bool> = (0..part.len()).map(|i| i >= tested.normal.len()).collect();
            Ok(Some(Ranked::new(&part, &truth)?))
        };
        let (known, unknown) = (against(&tested.known)?, against(&tested.unknown)?);
        Ok(Self {
            known: known.as_ref().map(Ranked::auroc),
            unknown: unknown.as_ref().map(Ranked::auroc),
            known_precision: known.as_ref().map(Ranked::average_precision),
            unknown_precision: unknown.as_ref().map(Ranked::average_precision),
        })
    }
}

/// Areas by arm, then one entry a seed, of those turns that were run.
pub type ByArm = BTreeMap<String, Vec<Vec<Areas>>>;

/// Means over the turns, and how far the seeds are apart.
pub fn summaries(name: &str, all: &ByArm, m: &mut Measured) -> Result<()> {
    type Pick = fn(&Areas) -> Option<f64>;
    let measures: [(&str, Pick); 4] = [
        ("known", |a| a.known),
        ("unknown", |a| a.unknown),
        ("known_precision", |a| a.known_precision),
        ("unknown_precision", |a| a.unknown_precision),
    ];
    for (arm, seeds) in all {
        for (measure, pick) in measures {
            let values: Option<Vec<Vec<f64>>> = seeds.iter().map(|turns| turns.iter().map(pick).collect()).collect();
            let Some(values) = values else { continue };
            let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
            let means: Vec<f64> = values.iter().map(|turns| mean(turns)).collect();
            m.put(format!("{name}.{measure}.{arm}"), means)?;
            let turns = values[0].len();
            if turns > 1 {
                let lowest = values.iter().map(|t| t.iter().copied().fold(f64::INFINITY, f64::min)).collect();
                m.put(format!("{name}.lowest_{measure}.{arm}"), lowest)?;
            }
            if values.len() > 1 {
                let sd = |t: usize| {
                    let each: Vec<f64> = values.iter().map(|v| v[t]).collect();
                    let centre = mean(&each);
                    (each.iter().map(|v| (v - centre).powi(2)).sum::<f64>() / (each.len() - 1) as f64).sqrt()
                };
                let spread = mean(&(0..turns).map(sd).collect::<Vec<f64>>());
                m.put(format!("{name}.spread_{measure}.{arm}"), vec![spread])?;
            }
        }
    }
    Ok(())
}

/// Means over seeds, turn by turn: (known, unknown).
pub fn turn_by_turn(all: &ByArm) -> serde_json::Value {
    let mean = |seeds: &[Vec<Areas>], t: usize, pick: fn(&Areas) -> Option<f64>| {
        let found: Vec<f64> = seeds.iter().filter_map(|s| s.get(t).and_then(pick)).collect();
        (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
    };
    let rows = |seeds: &Vec<Vec<Areas>>| -> Vec<(Option<f64>, Option<f64>)> {
        (0..seeds[0].len()).map(|t| (mean(seeds, t, |a| a.known), mean(seeds, t, |a| a.unknown))).collect()
    };
    json!(all.iter().map(|(arm, seeds)| (arm, rows(seeds))).collect::<BTreeMap<_, _>>())
}
