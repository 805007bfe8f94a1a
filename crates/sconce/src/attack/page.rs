//! The result as a page.

use super::evaluate::Evaluated;
use super::text::UPPER_BOUND;
use super::threat::radius;
use crate::args::{Attack, Suite};
use anyhow::Result;
use sconce_attacks::{FlagKind, Norm, Status};
use sconce_report::{Cell, Curve, Estimate, Page, Tile, Tone, image, lines_within};
use sconce_tensor_core::stats::Proportion;
use std::path::Path;

/// A share with its interval.
fn estimate(p: Proportion) -> Estimate {
    let ci = p.wilson95();
    Estimate::with_interval(p.rate(), ci.lo, ci.hi)
}

fn status(done: &Evaluated) -> Cell {
    match &done.result.status {
        Status::Unchecked => Cell::toned("not checked", Tone::Open),
        Status::Sound => Cell::toned("no flags", Tone::Good),
        Status::Flagged(flags) => {
            let names: Vec<&str> = flags.iter().map(|f| f.kind.name()).collect();
            Cell::toned(&format!("flagged: {}", names.join(", ")), Tone::Bad)
        }
    }
}

/// The head of a page: what was evaluated, and the number that a reader looks for.
///
/// # Errors
/// Those of [`sconce_attacks::Evaluation::robust_accuracies`].
pub(crate) fn opening(kind: &str, args: &Attack, done: &Evaluated) -> Result<Page> {
    let name = args.model.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let lead = format!(
        "Architecture {}, {} examples of {}, suite {}.",
        done.told.arch,
        done.result.ledger.len(),
        data(args),
        done.result.suite
    );
    let mut page = Page::new(kind, &name, &lead);
    let all = done.result.robust_accuracies()?;
    let parts: Vec<String> = all
        .iter()
        .map(|r| format!("{} at {}", estimate_text(r.robust), radius(done.threats.norm, r.threat.eps())))
        .collect();
    let status = match &done.result.status {
        Status::Unchecked => "The checks were skipped, so nothing is known about how far to trust it.".to_owned(),
        Status::Sound => "No check raised a flag.".to_owned(),
        Status::Flagged(flags) => {
            format!("{} of {} checks raised a flag: it may be too optimistic.", flags.len(), FlagKind::ALL.len())
        }
    };
    page.summary(&format!(
        "Clean accuracy {}. Robust accuracy {}. {status}",
        estimate_text(done.result.clean_accuracy()),
        parts.join(", ")
    ));
    if args.suite == Suite::Quick {
        page.list(&[sentence(UPPER_BOUND)]);
    }
    Ok(page)
}

fn estimate_text(p: Proportion) -> String {
    let ci = p.wilson95();
    format!("{:.3} [{:.3}, {:.3}]", p.rate(), ci.lo, ci.hi)
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |c| c.to_uppercase().chain(letters).collect::<String>() + ".")
}

/// The data's name, without its folders.
fn data(args: &Attack) -> String {
    let path = Path::new(args.data.name());
    path.file_name().map_or_else(|| args.data.name().to_owned(), |n| n.to_string_lossy().into_owned())
}

/// Accuracy against the radius, adversarial images, classes and attacks.
///
/// # Errors
/// Those of [`sconce_attacks::Evaluation::robust_accuracies`] and of the drawings.
pub(crate) fn robustness(done: &Evaluated, page: &mut Page) -> Result<()> {
    page.heading("Robust accuracy");
    let all = done.result.robust_accuracies()?;
    let row = |what: String, p: Proportion, status: Cell| {
        let of = format!("{} of {}", p.hits, p.total);
        vec![Cell::from(what), Cell::estimate(Some(estimate(p))), Cell::from(of), status]
    };
    let mut rows = vec![row("clean".to_owned(), done.result.clean_accuracy(), Cell::from(""))];
    rows.extend(all.iter().map(|r| row(radius(done.threats.norm, r.threat.eps()), r.robust, status(done))));
    page.table(&["threat", "accuracy", "examples", "status"], rows);
    page.note("Brackets are Wilson's 95 % intervals; they cover the choice of the examples. A robust accuracy is an upper bound: a stronger attack can only lower it.");
    curve(done, page)?;
    pictures(done, page)?;
    classes(done, page);
    attacks(done, page);
    let differences = done.result.notes.iter().filter(|n| !n.starts_with("quick suite"));
    let notes: Vec<String> = differences.map(|n| sentence(n)).collect();
    if !notes.is_empty() {
        page.note(&format!("How this suite differs from the published one: {}", notes.join(" ")));
    }
    Ok(())
}

fn curve(done: &Evaluated, page: &mut Page) -> Result<()> {
    let scale = if done.threats.norm == Norm::Linf { 255.0 } else { 1.0 };
    let title = match done.threats.norm {
        Norm::Linf => "radius of the perturbation, L-infinity (n/255)",
        Norm::L2 => "radius of the perturbation, L2",
        Norm::L1 => "radius of the perturbation, L1",
    };
    let clean = (0.0, estimate(done.result.clean_accuracy()));
    let attacked = done.result.eps.iter().filter(|e| **e > 0.0);
    let points = attacked.map(|e| (e * scale, estimate(done.result.ledger.accuracy(*e))));
    let curve = Curve::with_intervals("", std::iter::once(clean).chain(points));
    let caption = "Accuracy against the radius; 0 is the clean accuracy. Bars are 95 % intervals.";
    page.figure(&lines_within(title, "accuracy", (0.0, 1.0), &[curve])?, caption);
    Ok(())
}

fn pictures(done: &Evaluated, page: &mut Page) -> Result<()> {
    if done.pictures.is_empty() {
        return Ok(());
    }
    page.subheading("Adversarial examples");
    let mut rows = Vec::new();
    for p in &done.pictures {
        if ![1, 3].contains(&p.shape.0) {
            return Ok(());
        }
        let change: Vec<f32> = p.adversarial.iter().zip(&p.clean).map(|(a, c)| a - c).collect();
        let most = change.iter().fold(f32::MIN_POSITIVE, |m, v| m.max(v.abs()));
        let shown: Vec<f32> = change.iter().map(|v| 0.5 + 0.5 * v / most).collect();
        let tile = |values: &[f32], caption: String| -> Result<Tile> {
            Ok(Tile { image: image(p.shape, values)?, alt: caption.clone(), caption })
        };
        let size = radius(done.threats.norm, p.distance);
        rows.push((
            format!("Example {}, a {}; fooled by {}", p.example, p.label, p.attack),
            vec![
                tile(&p.clean, format!("{} {:.0} %", p.before.0, 100.0 * p.before.1))?,
                tile(&shown, format!("{size}, shown {:.0} times larger", (0.5 / most).max(1.0)))?,
                tile(&p.adversarial, format!("{} {:.0} %", p.after.0, 100.0 * p.after.1))?,
            ],
        ));
    }
    page.image_grid(&["clean", "perturbation", "adversarial"], &rows);
    page.note("Under each image: the predicted class and its softmax probability. In the middle, grey is no change.");
    Ok(())
}

fn classes(done: &Evaluated, page: &mut Page) {
    page.subheading("By class");
    let ledger = &done.result.ledger;
    let of = |k: u32, hits: &[bool]| {
        let own: Vec<bool> = ledger.labels.iter().zip(hits).filter(|(l, _)| **l == k).map(|(_, h)| *h).collect();
        Proportion::of(&own)
    };
    let mut present: Vec<u32> = ledger.labels.clone();
    present.sort_unstable();
    present.dedup();
    let robust: Vec<Vec<bool>> = done.result.eps.iter().map(|e| ledger.robust(*e)).collect();
    let rows = present.iter().map(|&k| {
        let clean = of(k, &ledger.clean);
        let mut row = vec![Cell::from(done.examples.class(k as usize)), Cell::from(clean.total.to_string())];
        row.push(Cell::estimate(Some(estimate(clean))));
        row.extend(robust.iter().map(|r| Cell::estimate(Some(estimate(of(k, r))))));
        row
    });
    let radii: Vec<String> = done.result.eps.iter().map(|e| radius(done.threats.norm, *e)).collect();
    let head: Vec<&str> = ["class", "examples", "clean"].into_iter().chain(radii.iter().map(String::as_str)).collect();
    page.table(&head, rows.collect());
}

fn attacks(done: &Evaluated, page: &mut Page) {
    page.subheading("By attack, in the order in which they ran");
    let rows = done.result.ledger.entries.iter().map(|e| {
        let sum = |v: &[u32]| v.iter().map(|v| u64::from(*v)).sum::<u64>().to_string();
        let fooled = done.fooled(e);
        vec![
            e.attack.clone(),
            radius(done.threats.norm, e.eps),
            e.examples.len().to_string(),
            fooled.to_string(),
            sum(&e.forwards),
            sum(&e.gradients),
        ]
    });
    page.table(&["attack", "threat", "ran on", "fooled", "forward passes", "gradients"], rows.collect());
    page.note("An attack runs on the examples that no earlier attack fooled, so a small number fooled does not mean a weak attack.");
}

/// What the flags mean and what to do.
pub(crate) fn flags(done: &Evaluated, page: &mut Page) {
    let Status::Flagged(flags) = &done.result.status else { return };
    page.heading("Flags: why the number may be too optimistic");
    for f in flags {
        page.subheading(f.kind.name());
        page.summary(&sentence(f.detail.trim_end_matches('.')));
        page.markdown(f.kind.page());
    }
}

/// Where the numbers come from.
pub(crate) fn provenance(args: &Attack, done: &Evaluated, page: &mut Page) {
    let notes = &done.examples.notes;
    let from = [
        ("weights", format!("{} (sha256 {})", args.model.display(), done.weights)),
        ("data", format!("{}, {} examples", args.data.name(), done.result.ledger.len())),
        ("notes on the data", if notes.is_empty() { "none".to_owned() } else { notes.join("; ") }),
        ("seed", args.seed.to_string()),
        ("time", format!("{:.1} s", done.seconds)),
    ];
    crate::provenance::section(page, from, &done.device);
}

/// The whole page.
///
/// # Errors
/// Those of [`robustness`].
pub(crate) fn html(args: &Attack, done: &Evaluated) -> Result<String> {
    let mut page = opening("Sconce · robustness evaluation", args, done)?;
    robustness(done, &mut page)?;
    flags(done, &mut page);
    provenance(args, done, &mut page);
    Ok(page.close("Sconce: robustness"))
}
