//! Pages of reproductions: what the kit `sconce-report` does not know of results and verdicts.

use crate::paper::Entry;
use crate::results::Results;
use anyhow::Result;
use sconce_report::{Cell, Estimate, Page, Tone};
use sconce_tensor_core::stats::Summary;
use xtask::verdicts::Verdict;

/// The papers name the page by this path.
pub mod html {
    pub use sconce_report::Page;
}

/// The page of a reproduction, with its title, what it is about, and where the paper is.
pub fn reproduction(entry: &Entry, r: &Results) -> Page {
    let kind = format!("Sconce · reproduction · {} · preset {}", r.experiment, r.preset);
    let mut page = Page::new(&kind, entry.title, entry.lead);
    page.links(&[(&format!("The paper: arXiv {}", entry.arxiv), &format!("https://arxiv.org/abs/{}", entry.arxiv))]);
    page.note(&format!(
        "The recipe: xtask/recipes/{}/{}.toml, at the end of this page with its overrides.",
        r.experiment, r.preset
    ));
    page
}

/// Ends the page of a reproduction with the configuration and where the numbers come from.
pub fn finish(mut page: Page, r: &Results) -> Result<String> {
    page.heading("Configuration and provenance");
    let commit = format!("{} ({})", r.commit, r.commit_date.as_deref().unwrap_or("date unknown"));
    let mut rows = vec![
        ["commit".to_owned(), commit],
        ["device".to_owned(), r.device.clone()],
        ["seeds".to_owned(), format!("{:?}", r.seeds)],
        ["time".to_owned(), format!("{:.0} s of work", r.wall_s)],
    ];
    rows.extend(r.versions.iter().map(|(k, v)| [k.clone(), v.clone()]));
    page.table(&["", ""], rows.into_iter().map(Vec::from).collect());
    page.details("The recipe with its overrides", &serde_json::to_string_pretty(&r.config)?);
    Ok(page.close(&format!("Sconce: {} ({})", r.experiment, r.preset)))
}

/// A mean with its 95 % interval.
pub fn estimate(s: &Summary) -> Estimate {
    Estimate { mean: s.mean, interval: s.ci95.map(|c| (c.lo, c.hi)) }
}

/// The same as a cell of a table; a dash for none.
pub fn cell(s: Option<&Summary>) -> Cell {
    Cell::estimate(s.map(estimate))
}

/// The same for a difference, with signs.
pub fn difference(s: Option<&Summary>) -> Cell {
    Cell::difference(s.map(estimate))
}

/// The colour of a verdict.
pub fn tone(v: Verdict) -> Tone {
    match v {
        Verdict::Supported | Verdict::Exact => Tone::Good,
        Verdict::Contradicted => Tone::Bad,
        Verdict::Undecided => Tone::Open,
        Verdict::NotMeasured | Verdict::NotRecorded => Tone::Plain,
    }
}
