//! The result as text and as JSON.

use super::evaluate::Evaluated;
use super::threat::{name, radius};
use crate::args::{Attack, Suite};
use anyhow::Result;
use sconce_attacks::Status;
use sconce_tensor_core::stats::Proportion;
use serde_json::{Value, json};
use std::fmt::Write;

/// What a reader of a quick number must know.
pub(crate) const UPPER_BOUND: &str = "the quick suite gives an upper bound: the true robust accuracy is probably lower";

/// The result as text for a terminal.
///
/// # Errors
/// Those of [`sconce_attacks::Evaluation::robust_accuracies`].
pub(crate) fn text(args: &Attack, done: &Evaluated) -> Result<String> {
    let mut out = format!("{:<18} accuracy   95 % interval      examples\n", "");
    let mut row = |what: &str, p: Proportion| {
        let ci = p.wilson95();
        let _ = writeln!(out, "{what:<18} {:<10.4} [{:.4}, {:.4}]   {} of {}", p.rate(), ci.lo, ci.hi, p.hits, p.total);
    };
    row("clean", done.result.clean_accuracy());
    for r in done.result.robust_accuracies()? {
        row(&radius(done.threats.norm, r.threat.eps()), r.robust);
    }
    let _ = writeln!(out, "suite: {}; status: {}", done.result.suite, done.result.status);
    if args.suite == Suite::Quick {
        let _ = writeln!(out, "note: {UPPER_BOUND}");
    }
    // Said already.
    for note in done.result.notes.iter().filter(|n| !n.starts_with("quick suite")) {
        let _ = writeln!(out, "note: {note}");
    }
    if let Status::Flagged(flags) = &done.result.status {
        for f in flags {
            let _ = writeln!(out, "flag: {f}");
        }
    }
    Ok(out)
}

/// The result as fields of a JSON object.
///
/// # Errors
/// Those of [`sconce_attacks::Evaluation::robust_accuracies`].
pub(crate) fn fields(args: &Attack, done: &Evaluated) -> Result<Value> {
    let flags: Vec<Value> = match &done.result.status {
        Status::Flagged(all) => {
            all.iter().map(|f| json!({ "name": f.kind.name(), "amount": f.amount, "detail": f.detail })).collect()
        }
        _ => Vec::new(),
    };
    let clean = done.result.clean_accuracy();
    let ci = clean.wilson95();
    let robust = done.result.robust_accuracies()?;
    let robust: Vec<Value> = robust
        .iter()
        .map(|r| {
            json!({
                "norm": name(r.threat.norm()), "eps": r.threat.eps(), "accuracy": r.robust.rate(),
                "ci95": [r.ci95.lo, r.ci95.hi], "robust": r.robust.hits, "examples": r.robust.total, "status": done.status(),
            })
        })
        .collect();
    let attacks = done.result.ledger.entries.iter().map(|e| {
        let sum = |v: &[u32]| v.iter().map(|v| u64::from(*v)).sum::<u64>();
        json!({
            "attack": e.attack, "eps": if e.eps.is_finite() { json!(e.eps) } else { json!("minimum norm") },
            "examples": e.examples.len(), "fooled": done.fooled(e),
            "forwards": sum(&e.forwards), "gradients": sum(&e.gradients),
        })
    });
    Ok(json!({
        "model": args.model, "sha256": done.weights, "weights": done.told.fields, "arch": done.told.arch, "activation": args.activation, "heads": args.heads, "data": args.data.name(), "suite": done.result.suite,
        "data_notes": done.examples.notes, "files": done.examples.files, "upper_bound": args.suite == Suite::Quick, "notes": done.result.notes, "seed": args.seed, "device": done.device,
        "seconds": done.seconds, "status": done.status(), "flags": flags,
        "clean": { "accuracy": clean.rate(), "ci95": [ci.lo, ci.hi], "correct": clean.hits, "examples": clean.total },
        "robust": robust, "attacks": attacks.collect::<Vec<_>>(),
    }))
}
