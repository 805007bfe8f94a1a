//! The claims in the report: headline, table of verdicts, forest plot.

use crate::pages::forest::{self, Row};
use crate::pages::html::{Page, escape};
use crate::results::Results;
use anyhow::Result;
use xtask::verdicts::{Verdict, headline};

/// Adds the claims to a report. `same` compares with the recorded run.
pub fn section(page: &mut Page, r: &Results, same: Option<&str>) -> Result<()> {
    page.html(&format!("<p class=verdict><b>{}</b> in this run.</p>", escape(&headline(&r.claims))));
    same.iter().for_each(|s| page.html(&format!("<p class=soft>{}</p>", escape(s))));
    page.heading("Claims");
    let rows = r.claims.iter().map(|c| {
        let verdict = format!("<span class={}>{}</span>", class(c.verdict), c.verdict.words());
        let [says, source, want] = [&c.text, &c.source, &c.want].map(|t| escape(t));
        let text = format!("{says}<br><span class=soft>{source}<br><code>{want}</code></span>");
        let ours: Vec<String> = c.comparisons.iter().map(|c| escape(&c.words())).collect();
        let more: Vec<String> = c.note.clone().into_iter().chain(c.seeds()).map(|t| escape(&t)).collect();
        vec![
            format!("<b>{}</b>", escape(&c.id)),
            verdict,
            text,
            format!("{}<br><span class=soft>{}</span>", ours.join("<br>"), more.join("<br>")),
        ]
    });
    page.table(&["Claim", "Verdict", "What it says", "Our numbers"], rows.collect());
    let rows: Vec<Row> = r
        .claims
        .iter()
        .flat_map(|c| {
            let several = c.comparisons.len() > 1;
            c.comparisons.iter().enumerate().map(move |(i, p)| Row {
                label: if several { format!("{} ({})", c.id, i + 1) } else { c.id.clone() },
                comparison: p,
            })
        })
        .collect();
    if !rows.is_empty() {
        forest_plot(page, &rows)?;
    }
    if !r.flags.is_empty() {
        let items: String = r.flags.iter().map(|f| format!("<li>{}</li>", escape(f))).collect();
        page.html(&format!("<p class=soft>What to know before using the numbers:</p><ul class=flags>{items}</ul>"));
    }
    Ok(())
}

fn forest_plot(page: &mut Page, rows: &[Row<'_>]) -> Result<()> {
    page.heading("Differences");
    let legend: String = [Verdict::Supported, Verdict::Contradicted, Verdict::Undecided]
        .map(|v| format!("<span><i style=\"background:{}\"></i>{}</span>", forest::colour(v), v.words()))
        .concat();
    let panels = forest::panels(rows).iter().map(|p| forest::draw(p)).collect::<Result<Vec<_>>>()?;
    let n = || rows.iter().map(|r| r.comparison.n);
    let values = match (n().min(), n().max()) {
        (Some(a), Some(b)) if a != b => format!("{a} to {b} values a row"),
        (a, _) => format!("{} values a row", a.unwrap_or_default()),
    };
    page.html(&format!(
        "<figure><div class=legend>{legend}</div>{}<figcaption>Each row is one comparison of a claim: the paired difference of its \
         two sides, left minus right, with its 95 % interval ({values}). Behind its name stands what is claimed of the difference. A claim is supported where the \
         interval lies wholly on the claimed side of 0. Exact comparisons and single values have no interval. Rows of very different size have separate axes.</figcaption></figure>",
        panels.concat()
    ));
    Ok(())
}

fn class(v: Verdict) -> &'static str {
    match v {
        Verdict::Supported => "supported",
        Verdict::Contradicted => "contradicted",
        Verdict::Undecided => "undecided",
        Verdict::Exact => "exact",
        Verdict::NotMeasured => "not-measured",
        Verdict::NotRecorded => "not-recorded",
    }
}
