//! The numbers as text and as JSON.

use super::measure::Measured;
use super::table::{Line, Shown, lines, of_kid};
use super::told::Told;
use super::warnings::warnings;
use crate::args::Fidelity;
use anyhow::Result;
use sconce_gan::fidelity::Resize;
use serde_json::{Value, json};
use std::fmt::Write;

/// A number with four digits after the point, or in powers of ten where that would hide it.
pub(crate) fn number(v: f64) -> String {
    let size = v.abs();
    if size != 0.0 && !(1e-3..1e6).contains(&size) { format!("{v:.2e}") } else { format!("{v:.4}") }
}

pub(super) fn cell(shown: &Shown) -> String {
    match shown {
        Shown::Number(v, None) => number(*v),
        Shown::Number(v, Some((lo, hi))) => format!("{} [{}, {}]", number(*v), number(*lo), number(*hi)),
        Shown::Refused(_) => "refused".to_owned(),
        Shown::Nothing => "-".to_owned(),
    }
}

/// Why metrics were refused: a line for each reason.
pub(super) fn refusals(m: &Measured) -> Vec<String> {
    let mut all: Vec<(String, Vec<&str>)> = Vec::new();
    for line in lines(m) {
        for (of, shown) in ["", " of the real images", " of the training images"].iter().zip(&line.cells) {
            let Shown::Refused(why) = shown else { continue };
            let why = format!("{of}: {why}");
            match all.iter_mut().find(|(known, _)| *known == why) {
                Some((_, metrics)) if metrics.contains(&line.metric) => {}
                Some((_, metrics)) => metrics.push(line.metric),
                None => all.push((why, vec![line.metric])),
            }
        }
    }
    all.into_iter().map(|(why, metrics)| format!("{}{why}", metrics.join(", "))).collect()
}

pub(super) fn resize(m: &Measured) -> &str {
    match &m.resize {
        Resize::None => "none",
        Resize::Rule(rule) => rule,
    }
}

/// What the numbers depend on.
pub(super) fn facts(m: &Measured) -> [(&'static str, String); 3] {
    let (real, generated, training) = m.images;
    let mut images = format!("{generated} generated, {real} real");
    if let Some(n) = training {
        images += &format!(", {n} training");
    }
    [
        ("features", format!("{} of each image: {}", m.features, m.extractor)),
        ("resizing", resize(m).to_owned()),
        ("images", images),
    ]
}

/// What the brackets of the table are.
const BRACKETS: &str = "brackets: 95 % intervals over the choice of images; those of precision, recall, coverage and the share of near ones take \
                        the images of the other side as given";

/// How to read the numbers and the columns.
pub(crate) fn reading(m: &Measured) -> Vec<String> {
    let (real, generated, training) = m.images;
    let part = generated.min(real / 2);
    let rest = real - part;
    let mut all = vec![
        BRACKETS.to_owned(),
        format!(
            "real images: {part} of them, chosen at random, are compared with the other {rest}. A perfect generator would get this at {part} against \
             {rest} images; the generated images are {generated} against {real}. FID falls and recall changes with both numbers"
        ),
    ];
    if let Some(n) = training {
        all.push(format!(
            "training images: {generated} draws with replacement from the {n} are compared with the real images. A generator that gives back its \
             training images at random would get this"
        ));
    }
    let near = m.memorisation.value().map_or_else(String::new, |v| {
        format!(
            ". Near ones are nearer than the 1st percentile of the {} real distances; without copies a share of about {:.3} is",
            v.held_out.n, v.expected_share
        )
    });
    all.push(format!(
        "distance ratio: median distance of generated images to their nearest of {}, over that of real images outside of them{near}",
        m.memorised
    ));
    all
}

/// Rows as text.
pub(crate) fn table(lines: &[Line]) -> String {
    let mut out = format!("{:<19} {:<27} {:<27} training images\n", "", "generated images", "real images");
    for line in lines {
        let [a, b, c] = line.cells.each_ref().map(cell);
        let _ = writeln!(out, "{:<19} {a:<27} {b:<27} {c}", line.metric);
    }
    out
}

/// The numbers as text for a terminal.
pub(super) fn text(m: &Measured) -> String {
    let mut out = table(&lines(m));
    for line in reading(m) {
        let _ = writeln!(out, "{line}");
    }
    if !m.classes.is_empty() {
        let _ = writeln!(
            out,
            "\n{:<19} {:<10} {:<6} {:<12} {:<33} KID of real images",
            "class", "generated", "real", "FID", "KID"
        );
        for c in &m.classes {
            let kid = |t: &Told<_>| t.value().map_or_else(|| "refused".to_owned(), |k| cell(&of_kid(k)));
            let fid = c.fid.map_or_else(|| "too few".to_owned(), number);
            let (kid, of_real) = (kid(&c.kid), kid(&c.kid_of_real));
            let _ = writeln!(out, "{:<19} {:<10} {:<6} {fid:<12} {kid:<33} {of_real}", c.class, c.generated, c.real);
        }
    }
    out.push('\n');
    for (what, fact) in facts(m) {
        let _ = writeln!(out, "{what}: {fact}");
    }
    for why in refusals(m) {
        let _ = writeln!(out, "refused: {why}");
    }
    if let Some(why) = &m.no_classes {
        let _ = writeln!(out, "no numbers by class: {why}");
    }
    out
}

/// The numbers as fields of a JSON object.
///
/// # Errors
/// A value that JSON does not have.
pub(super) fn fields(args: &Fidelity, m: &Measured) -> Result<Value> {
    let mut all = json!({
        "real": args.real, "generated": args.generated, "train": args.train, "seed": args.seed, "warnings": warnings(m),
    });
    if let (Value::Object(all), Value::Object(more)) = (&mut all, serde_json::to_value(m)?) {
        // `images` is said with names.
        let (real, generated, training) = m.images;
        all.extend(more);
        all.insert("images".to_owned(), json!({ "real": real, "generated": generated, "training": training }));
    }
    Ok(all)
}
