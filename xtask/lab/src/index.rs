//! The page over all reproductions that were run here: target/reproduce/index.html.

use crate::reproduce;
use crate::results::Results;
use anyhow::Result;
use sconce_report::{Cell, Page, Tone};
use sconce_tensor_core::store::write_whole;
use std::path::Path;
use xtask::cli::Preset;
use xtask::verdicts::Verdict;

/// Writes the page from the results files under the folder. One that cannot be read is named in it.
///
/// # Errors
/// The page cannot be written.
pub fn write(folder: &Path) -> Result<()> {
    let lead = "Every reproduction that was run in this clone. A claim is supported, contradicted or undecided by the 95 % interval of the paired \
                difference over seeds.";
    let mut page = Page::new("Sconce", "Reproductions", lead);
    let (mut rows, mut broken) = (Vec::new(), Vec::new());
    for slug in reproduce::slugs()? {
        for preset in Preset::ALL {
            let place = Path::new(&slug).join(preset.name());
            let path = folder.join(&place).join("results.json");
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            let r: Results = match serde_json::from_str(&text) {
                Ok(r) => r,
                Err(e) => {
                    broken.push(format!("{}: {e}", path.display()));
                    continue;
                }
            };
            let count = |f: fn(&Verdict) -> bool| r.claims.iter().filter(|c| f(&c.verdict)).count();
            // What was not run as the recipe says has no colours, and says so.
            let as_it_stands =
                r.flags.iter().all(|f| !f.starts_with("The smallest form") && !f.starts_with("Not the recipe"));
            let toned = |n: usize, tone| {
                let tone = if as_it_stands { tone } else { Tone::Plain };
                if n > 0 { Cell::toned(&n.to_string(), tone) } else { Cell::from("0") }
            };
            let note = if as_it_stands { String::new() } else { r.flags[0].clone() };
            // Older results do not say what they are about.
            let title = if r.title.is_empty() { &slug } else { &r.title };
            let arxiv = match r.arxiv.as_str() {
                "" => Cell::from(""),
                number => Cell::link(number, &format!("https://arxiv.org/abs/{number}")),
            };
            rows.push(vec![
                Cell::link(title, &format!("{}/report.html", place.display())),
                arxiv,
                Cell::from(preset.name()),
                toned(count(|v| matches!(v, Verdict::Supported | Verdict::Exact)), Tone::Good),
                toned(count(|v| *v == Verdict::Contradicted), Tone::Bad),
                toned(count(|v| *v == Verdict::Undecided), Tone::Open),
                Cell::from(r.seeds.len().to_string()),
                Cell::from(format!("{:.0} s", r.wall_s)),
                Cell::from(r.device.as_str()),
                Cell::from(note),
            ]);
        }
    }
    let head =
        ["paper", "arXiv", "preset", "supported", "contradicted", "undecided", "seeds", "time", "device", "note"];
    page.table(&head, rows);
    if !broken.is_empty() {
        page.list(&broken);
    }
    Ok(write_whole(&folder.join("index.html"), page.close("Sconce: reproductions").as_bytes())?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("absum/quick");
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("results.json"), "{").unwrap();
        super::write(dir.path()).unwrap();
        let page = std::fs::read_to_string(dir.path().join("index.html")).unwrap();
        assert!(page.contains("absum/quick/results.json") && page.contains("contradicted"));
    }
}
