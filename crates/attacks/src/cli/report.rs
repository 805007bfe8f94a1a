//! The result as text, JSON and HTML. Every accuracy is shown with its status.

use super::args::Args;
use crate::{Evaluation, Status};
use sconce_tensor_core::{Error, Result};
use serde_json::{Value, json};
use std::fmt::Write;

/// The result as text for a terminal.
///
/// # Errors
/// As [`Evaluation::robust_accuracies`].
pub fn text(done: &Evaluation) -> Result<String> {
    let clean = done.clean_accuracy();
    let ci = clean.wilson95();
    let mut out = format!(
        "clean accuracy   {:.4} [{:.4}, {:.4}] ({} of {})\n",
        clean.rate(),
        ci.lo,
        ci.hi,
        clean.hits,
        clean.total
    );
    for r in done.robust_accuracies()? {
        let _ = writeln!(out, "robust accuracy  {r}");
    }
    for note in &done.notes {
        let _ = writeln!(out, "note             {note}");
    }
    if let Status::Flagged(flags) = &done.status {
        for f in flags {
            let _ = writeln!(out, "flag             {f}");
        }
    }
    Ok(out)
}

fn status(done: &Evaluation) -> Value {
    match &done.status {
        Status::Unchecked => json!("not checked"),
        Status::Sound => json!("no flags"),
        Status::Flagged(_) => json!("flagged"),
    }
}

/// The result as JSON.
///
/// # Errors
/// As [`Evaluation::robust_accuracies`].
pub fn json(args: &Args, done: &Evaluation) -> Result<String> {
    let flags: Vec<Value> = match &done.status {
        Status::Flagged(all) => {
            all.iter().map(|f| json!({ "name": f.kind.name(), "amount": f.amount, "detail": f.detail })).collect()
        }
        _ => Vec::new(),
    };
    let clean = done.clean_accuracy();
    let ci = clean.wilson95();
    let robust: Vec<Value> = done
        .robust_accuracies()?
        .iter()
        .map(|r| {
            json!({
                "norm": format!("{:?}", r.threat.norm()), "eps": r.threat.eps(), "accuracy": r.robust.rate(),
                "ci95": [r.ci95.lo, r.ci95.hi], "robust": r.robust.hits, "examples": r.robust.total, "status": status(done),
            })
        })
        .collect();
    let attacks: Vec<Value> = done
        .ledger
        .entries
        .iter()
        .map(|e| {
            let sum = |v: &[u32]| v.iter().map(|v| u64::from(*v)).sum::<u64>();
            json!({
                "attack": e.attack, "eps": if e.eps.is_finite() { json!(e.eps) } else { json!("smallest") },
                "examples": e.examples.len(), "fooled": e.reached.iter().filter(|r| **r).count(),
                "forwards": sum(&e.forwards), "gradients": sum(&e.gradients),
            })
        })
        .collect();
    let all = json!({
        "model": args.model, "arch": args.arch, "data": args.data, "suite": done.suite, "notes": done.notes, "seed": args.seed,
        "version": env!("CARGO_PKG_VERSION"), "status": status(done), "flags": flags,
        "clean": { "accuracy": clean.rate(), "ci95": [ci.lo, ci.hi], "examples": clean.total },
        "robust": robust, "attacks": attacks,
    });
    serde_json::to_string_pretty(&all).map(|t| t + "\n").map_err(|e| Error::value("report", e.to_string()))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Wraps the text between two marks in a tag.
fn marked(text: &str, mark: &str, tag: &str) -> String {
    let piece = |(i, t): (usize, &str)| if i % 2 == 1 { format!("<{tag}>{t}</{tag}>") } else { t.to_owned() };
    text.split(mark).enumerate().map(piece).collect()
}

/// A documentation page as HTML: paragraphs, bold and italic words, code.
fn markdown(text: &str) -> String {
    let words = |p: &str| marked(&marked(&marked(p, "**", "b"), "*", "i"), "`", "code");
    text.trim().split("\n\n").map(|p| format!("<p>{}</p>", words(&escape(&p.replace('\n', " "))))).collect()
}

/// Robust accuracy over the radius, from the smallest perturbation that fooled each example.
fn curve(done: &Evaluation) -> String {
    let Some(&most) = done.eps.last().filter(|e| **e > 0.0) else { return String::new() };
    let (w, h) = (560.0, 220.0);
    let at =
        |eps: f64, rate: f64| format!("{:.1},{:.1}", 40.0 + eps / most * (w - 70.0), 10.0 + (1.0 - rate) * (h - 40.0));
    let mut points = vec![at(0.0, done.clean_accuracy().rate())];
    let mut marks = String::new();
    for &eps in &done.eps {
        let rate = done.ledger.accuracy(eps).rate();
        points.push(at(eps, rate));
        let place = at(eps, rate);
        let (x, y) = place.split_once(',').unwrap_or(("0", "0"));
        let _ = write!(
            marks,
            "<circle cx={x} cy={y} r=3 /><text x={x} y={:.0} text-anchor=middle>{eps:.4}</text>",
            h - 8.0
        );
    }
    let axes: String = [0.0, 0.5, 1.0]
        .iter()
        .map(|v| {
            let y = 10.0 + (1.0 - v) * (h - 40.0);
            format!("<text x=34 y={:.0} text-anchor=end>{v}</text><path d=\"M40 {y:.1}H{w}\" class=grid />", y + 4.0)
        })
        .collect();
    format!(
        "<svg viewBox=\"0 0 {w} {h}\" role=img aria-label=\"robust accuracy over the radius\">{axes}<polyline points=\"{}\" />{marks}</svg>",
        points.join(" ")
    )
}

/// The result as one HTML page without external files.
///
/// # Errors
/// As [`Evaluation::robust_accuracies`].
pub fn html(args: &Args, done: &Evaluation) -> Result<String> {
    let mut body = format!(
        "<p class=soft>Sconce · robustness evaluation</p><h1>{}</h1><p>{} on {}, {} examples, suite {}.</p>",
        escape(&args.model.display().to_string()),
        escape(&args.arch),
        escape(&args.data),
        done.ledger.len(),
        escape(&done.suite)
    );
    let class = if done.status == Status::Sound { "held" } else { "not" };
    let clean = done.clean_accuracy();
    let ci = clean.wilson95();
    let row = |what: &str, rate: f64, lo: f64, hi: f64, status: &str| {
        format!("<tr><td>{what}<td class=n>{rate:.3}<td class=n>[{lo:.3}, {hi:.3}]<td class={class}>{status}</tr>")
    };
    body += "<table><tr><th><th>accuracy<th>95 % interval<th>status</tr>";
    body += &row("clean", clean.rate(), ci.lo, ci.hi, "");
    for r in done.robust_accuracies()? {
        let what = format!("{:?}, radius {:.5}", r.threat.norm(), r.threat.eps());
        body += &row(&what, r.robust.rate(), r.ci95.lo, r.ci95.hi, &escape(&r.status.to_string()));
    }
    body += "</table>";
    body += &curve(done);
    body +=
        "<h2>Attacks</h2><table><tr><th>attack<th>radius<th>run on<th>fooled there<th>forward passes<th>gradients</tr>";
    for e in &done.ledger.entries {
        let eps = if e.eps.is_finite() { format!("{:.5}", e.eps) } else { "any (smallest found)".to_owned() };
        let sum = |v: &[u32]| v.iter().map(|v| u64::from(*v)).sum::<u64>();
        let fooled = e.reached.iter().filter(|r| **r).count();
        let _ = write!(
            body,
            "<tr><td>{}<td class=n>{eps}<td class=n>{}<td class=n>{fooled}<td class=n>{}<td class=n>{}</tr>",
            escape(&e.attack),
            e.examples.len(),
            sum(&e.forwards),
            sum(&e.gradients)
        );
    }
    body += "</table>";
    for note in &done.notes {
        let _ = write!(body, "<p class=soft>Note: {}.</p>", escape(note));
    }
    if let Status::Flagged(flags) = &done.status {
        body += "<h2>Flags</h2>";
        for f in flags {
            let _ = write!(
                body,
                "<h3>{}</h3><p><i>{}</i></p>{}",
                f.kind.name(),
                escape(&f.detail),
                markdown(f.kind.page())
            );
        }
    }
    Ok(format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width, initial-scale=1\">\
         <meta name=color-scheme content=\"light dark\"><title>Sconce: robustness</title><style>{}</style><body>{body}</body></html>\n",
        include_str!("report.css")
    ))
}
