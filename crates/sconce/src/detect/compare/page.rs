//! The result as a page.

use super::judge::{Comparison, Mean};
use crate::args::Compare;
use crate::provenance;
use anyhow::Result;
use sconce_anomaly::testbed::Ranking;
use sconce_report::{Band, Cell, Estimate, Page, heat, ranks};
use sconce_tensor_core::stats::Summary;

fn estimate(s: &Summary) -> Estimate {
    Estimate { mean: s.mean, interval: s.ci95.map(|i| (i.lo, i.hi)) }
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// The whole page.
///
/// # Errors
/// Those of the drawings.
pub(super) fn html(args: &Compare, done: &Comparison) -> Result<String> {
    let lead = format!(
        "{} on {}, {} each. Every seed draws another test split of {:.0} % of the anomalies and of the other rows; the detectors are fitted on the others. Higher is better: \
         AUROC is 0.5 for random scores, and average precision is then the share of anomalies.",
        count(done.detectors.len(), "detector"),
        count(done.tables.len(), "labelled table"),
        count(args.seeds as usize, "seed"),
        100.0 * args.test
    );
    let title = format!("Anomaly detectors on {}", count(done.tables.len(), "table"));
    let mut page = Page::new("Sconce · comparison of detectors", &title, &lead);
    page.summary(&done.summary());
    quality(args, done, &mut page)?;
    significance(done, &mut page)?;
    time(done, &mut page);
    failures(done, &mut page);
    let seeds = match args.seeds {
        1 => "0".to_owned(),
        n => format!("0 to {}", n - 1),
    };
    let data: Vec<String> = args.data.iter().map(|p| p.display().to_string()).collect();
    let label = args.columns.label.clone().unwrap_or_default();
    let from = [("tables", data.join(", ")), ("labels", format!("column {label}")), ("seeds", seeds)];
    provenance::section(&mut page, from, "cpu");
    Ok(page.close("Sconce: comparison of detectors"))
}

fn quality(args: &Compare, done: &Comparison, page: &mut Page) -> Result<()> {
    page.heading("AUROC");
    let cells: Vec<Option<f64>> = done.means.iter().map(|m| m.auroc.as_ref().map(|s| s.mean)).collect();
    if let Some(least) = cells.iter().flatten().copied().reduce(f64::min) {
        let (detectors, tables) = (Band::names("detector", &done.detectors), Band::names("table", &done.tables));
        let map = heat(&detectors, &tables, "mean AUROC over the seeds", &cells, Some((least.min(0.5), 1.0)))?;
        page.figure(&map, "Mean AUROC of each detector on each table; grey: no seed was measured.");
    }
    let interval = match args.seeds {
        1 => "One seed has no interval.",
        _ => {
            "Below each mean is its 95 % t-interval over the seeds. The seeds split the same rows, so it shows the spread over splits, not over new data; with few \
             seeds it can reach past 1."
        }
    };
    table(done, page, |m| m.auroc.as_ref());
    page.note(interval);
    page.heading("Average precision");
    table(done, page, |m| m.average_precision.as_ref());
    page.note(interval);
    Ok(())
}

/// Means of each detector on each table; the longer list is that of the rows.
fn table(done: &Comparison, page: &mut Page, metric: fn(&Mean) -> Option<&Summary>) {
    // The mean over tables is the last of them.
    let tables: Vec<&str> =
        done.tables.iter().map(String::as_str).chain((done.tables.len() > 1).then_some("mean")).collect();
    let detectors: Vec<&str> = done.detectors.iter().map(String::as_str).collect();
    let cell = |table: usize, detector: usize| match table < done.tables.len() {
        true => Cell::estimate(metric(&done.means[table * detectors.len() + detector]).map(estimate)),
        false => Cell::estimate(done.overall(detectors[detector], metric).map(Estimate::from)),
    };
    let turned = done.tables.len() > detectors.len();
    let (what, down, across) = if turned { ("table", &tables, &detectors) } else { ("detector", &detectors, &tables) };
    let place = |row: usize, column: usize| if turned { cell(row, column) } else { cell(column, row) };
    let row = |(i, name): (usize, &&str)| {
        std::iter::once(Cell::from(*name)).chain((0..across.len()).map(|k| place(i, k))).collect()
    };
    let head: Vec<&str> = std::iter::once(what).chain(across.iter().copied()).collect();
    page.table(&head, down.iter().enumerate().map(row).collect());
}

fn significance(done: &Comparison, page: &mut Page) -> Result<()> {
    page.heading("Do the detectors differ?");
    match &done.ranking {
        Err(why) => page.text(&format!("No answer is given: {why}.")),
        Ok(r) => {
            page.text(&verdict(r));
            let rows: Vec<(String, f64)> = r.names.iter().cloned().zip(r.mean_ranks.iter().copied()).collect();
            let axis = format!("mean rank by AUROC over {} tables (1 is best)", r.datasets);
            let caption = "Critical-difference diagram. A bar joins detectors whose mean ranks do not differ significantly. On a table where no seed was \
                           measured, the detector has the last rank.";
            page.figure(&ranks(&axis, &rows, &r.groups(), r.critical_difference)?, caption);
        }
    }
    Ok(())
}

fn verdict(r: &Ranking) -> String {
    let (sign, differ) =
        if r.friedman > r.friedman_quantile { ("above", "differ") } else { ("not above", "do not differ") };
    format!(
        "The detectors {differ} significantly at 5 %: the Friedman statistic, {:.2}, is {sign} its quantile {:.2}. Two detectors differ significantly \
         where their mean ranks are at least {:.2} apart (Nemenyi test).",
        r.friedman, r.friedman_quantile, r.critical_difference
    )
}

fn time(done: &Comparison, page: &mut Page) {
    page.heading("Time to fit");
    let rows = done.detectors.iter().map(|d| {
        let all: Vec<f64> = done.cells.iter().filter(|(c, _)| c.method == *d).filter_map(|(_, s)| *s).collect();
        let mean = (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64);
        let cell = |v: Option<f64>| v.map_or_else(|| Cell::from("–"), Cell::number);
        let (least, most) = (all.iter().copied().reduce(f64::min), all.iter().copied().reduce(f64::max));
        vec![Cell::from(d), cell(mean), cell(least), cell(most)]
    });
    page.table(&["detector", "mean (s)", "shortest (s)", "longest (s)"], rows.collect());
    page.note(
        "Seconds of one fit, with its preprocessing, on one thread. Fits run side by side on all cores, so they share memory and caches, and the \
         times are a little longer than those of a fit alone.",
    );
}

fn failures(done: &Comparison, page: &mut Page) {
    let rows: Vec<Vec<Cell>> = done
        .failures()
        .iter()
        .map(|f| vec![Cell::from(f.detector), Cell::from(f.table), Cell::from(f.seeds()), Cell::from(f.reason)])
        .collect();
    if !rows.is_empty() {
        page.heading("Failures");
        page.note("A mean is over the seeds that were measured.");
        page.table(&["detector", "table", "seeds", "reason"], rows);
    }
}
