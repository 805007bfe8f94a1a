//! The sections of the report.

use super::config::{Arm, ArmName, Config};
use super::optimum::Path;
use crate::pages::{cell, estimate};
use crate::results::Results;
use anyhow::Result;
use sconce_report::{Cell, Curve, Page};

fn kinds() -> [(bool, &'static str, &'static str); 2] {
    [(false, "std", "Standard training"), (true, "at", "Adversarial training")]
}

pub fn write(cfg: &Config, r: &Results, page: &mut Page) -> Result<()> {
    page.heading("The optimum of free logits");
    optimum(cfg, r, page)?;
    for (adversarial, kind, title) in kinds() {
        page.heading(title);
        norms(cfg, r, page, adversarial, kind)?;
        columns(cfg, r, page, adversarial, kind);
        curve(cfg, r, page, adversarial, kind)?;
        flags(cfg, r, page, adversarial, kind);
    }
    Ok(())
}

fn optimum(cfg: &Config, r: &Results, page: &mut Page) -> Result<()> {
    let o = &cfg.optimum;
    page.text(&format!(
        "A network that can fit everything gives each example the vector that minimises its loss. Here that vector is free \
         ({} classes, one label, gradient descent with step {}): without a bound, and behind tanh, its norm grows for ever; \
         behind the bounded logit function, with label smoothing (alpha {}) and with logit squeezing (lambda {}) it ends \
         where theory says.",
        o.classes, o.step, o.alpha, o.lambda
    ));
    let paths: Vec<Path> = serde_json::from_value(r.series["optimum"].clone())?;
    let curve = |p: &Path| Curve::new(&p.name, p.points.iter().map(|q| ((q.0 as f64).log10(), q.1)));
    page.plot(
        "Norm of the free vector (the pre-logits) over the iterations.",
        "iterations (powers of ten)",
        "norm",
        &paths.iter().map(curve).collect::<Vec<_>>(),
    )?;
    let rows = paths.iter().filter_map(|p| {
        let end = p.points.last()?;
        let limit = p.limit.map_or_else(|| "infinite".to_owned(), |l| format!("{l:.3}"));
        Some(vec![p.name.clone(), format!("{:.3}", end.1), limit, format!("{:.3}", end.2)])
    });
    page.table(&["", "pre-logits reached", "pre-logits in theory", "logits reached"], rows.collect());
    Ok(())
}

fn title(a: &Arm) -> String {
    a.name.title().to_owned()
}

fn norms(cfg: &Config, r: &Results, page: &mut Page, adversarial: bool, kind: &str) -> Result<()> {
    let rows = |a: &Arm| -> Vec<(f64, f64, f64)> {
        let series = &r.series[&format!("{kind}.{}", a.name.name())]["norms_epoch_pre_post"];
        serde_json::from_value(series.clone()).unwrap_or_default()
    };
    for (caption, pick) in [("pre-logits, what goes into the function", 1), ("logits, what comes out of it", 2)] {
        let points = |a: &Arm| rows(a).into_iter().map(|v| (v.0, if pick == 1 { v.1 } else { v.2 }));
        let curve = |a: &Arm| Curve::new(title(a), points(a));
        let all: Vec<Curve> = cfg.arms(adversarial).map(curve).collect();
        let text = format!(
            "Mean norm of the {caption}, on {} training examples after each epoch; mean over the seeds. Arms without a \
             function have the same in both.",
            cfg.naive.norm_examples
        );
        page.plot(&text, "epoch", "mean norm", &all)?;
    }
    Ok(())
}

/// Both columns side by side.
fn columns(cfg: &Config, r: &Results, page: &mut Page, adversarial: bool, kind: &str) {
    page.text(&format!(
        "Accuracy at Linf radius {} on {} test images. First what a first evaluation would report, PGD with {} steps on the \
         cross-entropy of the outputs, and the trust flags that this network got. Then what an attacker finds who knows the \
         defence: the worst of all attacks, image by image; and each by itself: AutoAttack, PGD with {} steps on the margin, \
         on the pre-logits (around the function), on rescaled logits; a target class after the other; perturbations made on a \
         plain network. In brackets: 95 % interval over the seeds.",
        cfg.strong.eps, cfg.strong.examples, cfg.naive.steps, cfg.strong.steps
    ));
    let head = [
        "arm",
        "constant",
        "clean (all)",
        "naive PGD",
        "flags",
        "worst case",
        "AutoAttack",
        "margin",
        "pre-logits",
        "rescaled",
        "targeted",
        "transfer",
        "input gradient",
    ];
    let (first, then) = (
        ["clean", "under_naive"],
        [
            "worst",
            "auto_attack",
            "under_margin",
            "under_pre-logits",
            "under_rescaled",
            "under_targeted",
            "under_transfer",
            "gradient_norm",
        ],
    );
    let rows = cfg.arms(adversarial).map(|a| {
        let name = a.name.name();
        let value = match a.name {
            ArmName::Plain => "–".to_owned(),
            _ => {
                let choice = &r.series[&format!("{kind}.{name}.choice")];
                let among = choice["tried_value_clean_robust"].as_array().map_or(0, Vec::len);
                let of = if among > 1 { format!(" (of {among})") } else { String::new() };
                format!("{} {}{of}", a.name.constant(), choice["value"])
            }
        };
        let mut row = vec![Cell::from(a.name.title()), value.into()];
        let measured = |m: &&str| cell(r.metrics.get(&format!("{kind}.{m}.{name}")));
        row.extend(first.iter().map(measured));
        let flagged = r.series[&format!("{kind}.{name}")]["flags"].as_array().map_or(0, Vec::len);
        row.push(if flagged == 0 { "none".into() } else { format!("{flagged}, below").into() });
        row.extend(then.iter().map(measured));
        row
    });
    page.table(&head, rows.collect());
}

fn curve(cfg: &Config, r: &Results, page: &mut Page, adversarial: bool, kind: &str) -> Result<()> {
    let curves: Vec<Curve> = cfg
        .arms(adversarial)
        .map(|a| {
            let name = a.name.name();
            let clean = r.metrics.get(&format!("{kind}.clean.{name}")).map(|s| (0.0, s));
            let at = |eps: &f64| r.metrics.get(&format!("{kind}.naive_at_{eps}.{name}")).map(|s| (*eps, s));
            let found = clean.into_iter().chain(cfg.naive.eps.iter().filter_map(at));
            Curve::with_intervals(title(a), found.map(|f| (f.0, estimate(f.1))))
        })
        .collect();
    page.plot(
        "The naive column over the radius: PGD on the cross-entropy alone, all test images. An upper bound; see the table for \
         what is left of it. Bars are 95 % intervals over the seeds.",
        "Linf radius",
        "accuracy under naive PGD",
        &curves,
    )?;
    Ok(())
}

fn flags(cfg: &Config, r: &Results, page: &mut Page, adversarial: bool, kind: &str) {
    let mut rows = Vec::new();
    for a in cfg.arms(adversarial) {
        let series = r.series[&format!("{kind}.{}", a.name.name())]["flags"].as_array().cloned().unwrap_or_default();
        for (i, f) in series.iter().filter_map(|f| f.as_str()).enumerate() {
            rows.push(vec![if i == 0 { a.name.title() } else { "" }.to_owned(), f.to_owned()]);
        }
    }
    if rows.is_empty() {
        page.text("Trust flags: none for any arm and seed.");
        return;
    }
    page.text("Trust flags, seed by seed: why the naive numbers of these arms are not to be used by themselves.");
    page.table(&["arm", "flag"], rows);
}
