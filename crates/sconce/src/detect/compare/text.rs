//! The result as text and as JSON.

use super::judge::{Comparison, Mean};
use crate::args::Compare;
use sconce_anomaly::testbed::{CellResult, Ranking};
use sconce_tensor_core::stats::Summary;
use serde_json::{Value, json};
use std::fmt::Write;

/// A metric of a mean.
type Metric = fn(&Mean) -> Option<&Summary>;

/// Mean AUROC and average precision with a row for each table, and the test.
pub(super) fn text(done: &Comparison) -> String {
    let mut lines = table("AUROC", done, |m| m.auroc.as_ref());
    lines += "\n";
    lines += &table("average precision", done, |m| m.average_precision.as_ref());
    lines += "\n";
    lines += &failures(done);
    match &done.ranking {
        Err(why) => lines += &format!("no significance test: {why}\n"),
        Ok(r) => lines += &ranks(r),
    }
    lines
}

/// Why cells have no number, or one over fewer seeds.
fn failures(done: &Comparison) -> String {
    let mut lines = String::new();
    for m in done.means.iter().filter(|m| m.measured > 0 && m.measured < m.cells) {
        let _ = writeln!(lines, "* {} on {}: mean over {} of {} seeds", m.detector, m.table, m.measured, m.cells);
    }
    for f in done.failures() {
        let _ = writeln!(lines, "{} failed on {}, {}: {}", f.detector, f.table, f.seeds(), f.reason);
    }
    if lines.is_empty() { lines } else { lines + "\n" }
}

fn table(title: &str, done: &Comparison, metric: Metric) -> String {
    let several = done.tables.len() > 1;
    let mean = "mean".to_owned();
    let names = || done.tables.iter().chain(several.then_some(&mean));
    let first = names().map(|n| n.chars().count()).chain([title.len()]).max().unwrap_or(0);
    let wide = |d: &String| d.len().max(6);
    let mut lines = format!("{title:<first$}");
    for d in &done.detectors {
        let _ = write!(lines, "  {d:>w$}", w = wide(d));
    }
    for (i, name) in names().enumerate() {
        let _ = write!(lines, "\n{name:<first$}");
        for d in &done.detectors {
            let (value, some) = match i < done.tables.len() {
                true => {
                    let mean = done.of(d).nth(i);
                    (mean.and_then(metric).map(|s| s.mean), mean.is_some_and(|m| m.measured < m.cells))
                }
                false => (done.overall(d, metric), false),
            };
            let star = if some { "*" } else { "" };
            let cell = value.map_or_else(|| "failed".to_owned(), |v| format!("{v:.4}{star}"));
            let _ = write!(lines, "  {cell:>w$}", w = wide(d));
        }
    }
    lines + "\n"
}

fn ranks(r: &Ranking) -> String {
    let mut lines = "mean rank by AUROC (1 is best)\n".to_owned();
    for (name, rank) in r.names.iter().zip(&r.mean_ranks) {
        let _ = writeln!(lines, "{rank:>8.2}  {name}");
    }
    let differ = if r.friedman > r.friedman_quantile { "differ" } else { "do not differ" };
    lines
        + &format!(
            "the detectors {differ} significantly at 5 % (Friedman {:.2}, quantile {:.2}); mean ranks closer than {:.2} do not differ significantly \
             (Nemenyi)\n",
            r.friedman, r.friedman_quantile, r.critical_difference
        )
}

fn summary(s: Option<&Summary>) -> Value {
    s.map_or(Value::Null, |s| json!({ "mean": s.mean, "ci95": s.ci95.map(|i| [i.lo, i.hi]) }))
}

/// The fields of compare.json.
pub(super) fn fields(args: &Compare, done: &Comparison) -> Value {
    let cells = done.cells.iter().map(|(c, seconds)| {
        let mut cell = json!({ "table": c.dataset, "detector": c.method, "seed": c.seed });
        match &c.outcome {
            CellResult::Measured { auroc, average_precision } => {
                cell["auroc"] = json!(auroc);
                cell["average_precision"] = json!(average_precision);
                cell["seconds"] = json!(seconds);
            }
            CellResult::Failed(reason) => cell["failed"] = json!(reason),
        }
        cell
    });
    let means = done.means.iter().map(|m| {
        json!({
            "table": m.table,
            "detector": m.detector,
            "auroc": summary(m.auroc.as_ref()),
            "average_precision": summary(m.average_precision.as_ref()),
            "seconds": m.seconds.as_ref().map(|s| s.mean),
            "measured": m.measured,
        })
    });
    let ranking = done.ranking.as_ref().ok().map(|r| {
        json!({
            "detectors": r.names,
            "mean_ranks": r.mean_ranks,
            "friedman": r.friedman,
            "friedman_quantile": r.friedman_quantile,
            "critical_difference": r.critical_difference,
            "groups": r.groups(),
        })
    });
    json!({
        "tables": done.tables,
        "detectors": done.detectors,
        "seeds": (0..args.seeds).collect::<Vec<_>>(),
        "test": args.test,
        "labelled": args.labelled,
        "cells": cells.collect::<Vec<_>>(),
        "means": means.collect::<Vec<_>>(),
        "ranking": ranking,
        "ranking_reason": done.ranking.as_ref().err(),
    })
}
