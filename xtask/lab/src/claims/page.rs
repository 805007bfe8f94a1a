//! The claims in the report: headline, table of verdicts, forest plot.

use crate::pages::tone;
use crate::results::Results;
use anyhow::Result;
use sconce_report::{Cell, Estimate, ForestRow, Page, Tone, escape, forest};
use xtask::verdicts::{ComparisonResult, headline};

/// One comparison of a claim, under its name.
type Named<'a> = (String, &'a ComparisonResult);

/// Adds the claims to a report. `same` compares with the recorded run.
pub fn section(page: &mut Page, r: &Results, same: Option<&str>) -> Result<()> {
    page.summary(&format!("{} in this run.", headline(&r.claims)));
    same.iter().for_each(|s| page.note(s));
    page.heading("Claims");
    let rows = r.claims.iter().map(|c| {
        let [says, source, want] = [&c.text, &c.source, &c.want].map(|t| escape(t));
        let text = format!("{says}<br><span class=soft>{source}<br><code>{want}</code></span>");
        let ours: Vec<String> = c.comparisons.iter().map(|c| escape(&c.words())).collect();
        let more: Vec<String> = c.note.clone().into_iter().chain(c.seeds()).map(|t| escape(&t)).collect();
        vec![
            Cell::html(format!("<b>{}</b>", escape(&c.id))),
            Cell::toned(c.verdict.words(), tone(c.verdict)),
            Cell::html(text),
            Cell::html(format!("{}<br><span class=soft>{}</span>", ours.join("<br>"), more.join("<br>"))),
        ]
    });
    page.table(&["Claim", "Verdict", "What it says", "Our numbers"], rows.collect());
    let rows: Vec<Named<'_>> = r
        .claims
        .iter()
        .flat_map(|c| {
            let several = c.comparisons.len() > 1;
            let name = move |i: usize| if several { format!("{} ({})", c.id, i + 1) } else { c.id.clone() };
            c.comparisons.iter().enumerate().map(move |(i, p)| (name(i), p))
        })
        .collect();
    if !rows.is_empty() {
        forest_plot(page, &rows)?;
    }
    if !r.flags.is_empty() {
        page.note("What to know before using the numbers:");
        page.list(&r.flags);
    }
    Ok(())
}

fn forest_plot(page: &mut Page, rows: &[Named<'_>]) -> Result<()> {
    page.heading("Differences");
    let row = |(name, c): &Named<'_>| ForestRow {
        label: format!("{name}  {} 0", c.op),
        estimate: Estimate { mean: c.difference, interval: c.interval.map(|i| (i.lo, i.hi)) },
        tone: tone(c.verdict),
    };
    let legend = [(Tone::Good, "supported"), (Tone::Bad, "contradicted"), (Tone::Open, "undecided")];
    let all: Vec<ForestRow> = rows.iter().map(row).collect();
    let n = || rows.iter().map(|r| r.1.n);
    let values = match (n().min(), n().max()) {
        (Some(a), Some(b)) if a != b => format!("{a} to {b} values a row"),
        (a, _) => format!("{} values a row", a.unwrap_or_default()),
    };
    page.figure(
        &forest("difference (left minus right)", &all, &legend)?,
        &format!(
            "Each row is one comparison of a claim: the paired difference of its two sides, left minus right, with its 95 % interval \
             ({values}). After its name follows what is claimed of the difference. A claim is supported where the interval lies wholly on the \
             claimed side of 0. Exact comparisons and single values have no interval. Rows of very different size have separate axes."
        ),
    );
    Ok(())
}
