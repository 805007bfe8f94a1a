//! The result as text and as JSON.

use super::input::Input;
use super::judge::Judged;
use super::train::{Course, rate};
use crate::args::Augment;
use crate::fidelity::{lines, reading, text_table};
use crate::sets::Set;
use anyhow::Result;
use clap::ValueEnum;
use serde_json::{Value, json};
use std::fmt::Write;

/// The metrics of the closing table; `sconce fidelity` has all.
const SHOWN: [&str; 5] = ["KID", "coverage", "MS-SSIM of pairs", "distance ratio", "share of near ones"];

/// Images of each class: of the target, held out, made.
fn counts<'a>(input: &'a Input, made: &Set) -> Vec<(&'a str, usize, usize, usize)> {
    let held = input.held_out.as_ref().map_or_else(|| vec![0; input.target.classes.len()], Set::counts);
    let all = input.target.classes.iter().zip(input.target.counts()).zip(held).zip(made.counts());
    all.map(|(((class, target), held), made)| (class.as_str(), target, held, made)).collect()
}

/// The result for a terminal.
pub(super) fn text(input: &Input, made: &Set, judged: &Judged) -> String {
    let mut out = format!("{:<24} {:<8} {:<9} generated\n", "class", "target", "held out");
    for (class, target, held, made) in counts(input, made) {
        let _ = writeln!(out, "{class:<24} {target:<8} {held:<9} {made}");
    }
    let rows: Vec<_> = lines(&judged.measured).into_iter().filter(|l| SHOWN.contains(&l.metric)).collect();
    let (real, generated, _) = judged.measured.images;
    let _ = writeln!(
        out,
        "\n{generated} generated images against {real} {}; features: {}",
        judged.against, judged.measured.extractor
    );
    out += &text_table(&rows);
    for line in reading(&judged.measured) {
        let _ = writeln!(out, "{line}");
    }
    out
}

/// The result as fields of a JSON object.
///
/// # Errors
/// A value that JSON does not have.
pub(super) fn fields(args: &Augment, input: &Input, made: &Set, course: &[Course], judged: &Judged) -> Result<Value> {
    let classes: Vec<Value> = counts(input, made)
        .into_iter()
        .map(|(class, target, held, made)| json!({ "class": class, "target": target, "held_out": held, "generated": made }))
        .collect();
    Ok(json!({
        "target": args.target, "outer": args.outer, "out": args.out, "seed": args.seed, "width": args.width,
        "lr": rate(args), "target_weight": args.target_weight,
        "arm": args.arm.to_possible_value().map(|v| v.get_name().to_owned()),
        "resize": input.resize, "classes": classes, "phases": course, "against": judged.against, "fidelity": judged.measured,
        "warnings": judged.warnings,
    }))
}
