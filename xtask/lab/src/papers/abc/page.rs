//! The sections of the report.

use super::config::{Arm, Config, ImageSet, TableSet};
use super::diverge::Trained;
use super::toy::{from_text, pixel};
use crate::pages::{cell, estimate};
use crate::results::Results;
use anyhow::Result;
use sconce_report::{Cell, Curve, Page, Tile, png, viridis};
use std::collections::BTreeMap;

pub fn write(cfg: &Config, r: &Results, page: &mut Page) -> Result<()> {
    page.heading("In two dimensions");
    toy(cfg, r, page)?;
    for set in &cfg.images {
        page.heading(&format!("{}: each class of anomalies held out in turn", title(&set.name)));
        images(set, r, page);
        sweep(set, r, page)?;
    }
    page.heading("Bounded and unbounded objectives");
    divergence(cfg, r, page)?;
    for set in cfg.tables.iter().filter(|s| r.metrics.keys().any(|k| k.starts_with(&format!("{}.", s.name)))) {
        page.heading(&title(&set.name));
        table(set, r, page);
    }
    Ok(())
}

fn title(name: &str) -> String {
    match name {
        "mnist" => "MNIST".to_owned(),
        "fashion-mnist" => "Fashion-MNIST".to_owned(),
        "kdd99" => "KDD'99".to_owned(),
        other => other[..1].to_uppercase() + &other[1..],
    }
}

fn toy(cfg: &Config, r: &Results, page: &mut Page) -> Result<()> {
    page.text(
        "Normal examples (black) lie on an arc with a gap. The known anomalies (red) are in the gap, where an autoencoder \
         interpolates and reconstructs them well; those of the test that no training saw (magenta) are outside, and nearer to \
         normal examples than to known anomalies. The colour is the share of normal training examples with a lower score than that \
         place: yellow is an anomaly, blue is normal.",
    );
    let series = &r.series["toy"];
    let points: Vec<String> = serde_json::from_value(series["points"].clone())?;
    let points = points.iter().filter_map(|p| {
        let numbers: Vec<f64> = p.split(' ').filter_map(|v| v.parse().ok()).collect();
        Some((*numbers.first()?, *numbers.get(1)?, *numbers.get(2)? as usize))
    });
    let maps: Vec<Vec<String>> = serde_json::from_value(series["maps"].clone())?;
    let side = cfg.toy.pixels;
    let mut tiles = Vec::new();
    for (arm, map) in cfg.toy.arms.iter().zip(&maps) {
        let mut rgb: Vec<[u8; 3]> = from_text(map)?.into_iter().map(viridis).collect();
        for (x, y, kind) in points.clone() {
            if let Some(at) = pixel((x, y), side) {
                rgb[at] = [[0, 0, 0], [220, 30, 40], [210, 40, 220]][kind.min(2)];
            }
        }
        let area = |which: &str| r.metrics.get(&format!("toy.{which}.{}", arm.name)).map_or(f64::NAN, |s| s.mean);
        tiles.push(Tile {
            image: png(side, side, &rgb.concat())?,
            caption: format!("{}; AUROC known {:.2}, unknown {:.2}", arm.name, area("known"), area("unknown")),
            alt: format!("decision map of {}", arm.name),
        });
    }
    page.scale("share of normal training examples with a lower score", 0.0, 1.0)?;
    page.tiles(&tiles, None);
    page.text("The maps are those of the first seed. The table is over all seeds; it gives the share of unknown anomalies with a higher score than 95 % of the normal training examples, too:");
    let rows = cfg.toy.arms.iter().map(|a| row(r, "toy", &a.name, &["known", "unknown", "found"]));
    page.table(&["arm", "AUROC known", "AUROC unknown", "unknown found"], rows.collect());
    Ok(())
}

fn row(r: &Results, set: &str, arm: &str, measures: &[&str]) -> Vec<Cell> {
    let mut cells = vec![Cell::from(arm)];
    cells.extend(measures.iter().map(|m| cell(r.metrics.get(&format!("{set}.{m}.{arm}")))));
    cells
}

fn seconds(r: &Results, set: &str, arm: &str) -> String {
    r.timing.get(&format!("{set}.fit_seconds.{arm}")).map_or_else(|| "–".to_owned(), |s| format!("{:.1}", s.mean))
}

fn images(set: &ImageSet, r: &Results, page: &mut Page) {
    let hidden = if set.contamination > 0.0 {
        format!(" {} % of what is taken as normal are anomalies of the known classes.", 100.0 * set.contamination)
    } else {
        String::new()
    };
    page.text(&format!(
        "The classes {:?} are normal and {:?} are anomalies. Each of {:?} in turn is unknown and the other anomalies are known: training sees \
         {} of their examples in all, with labels.{hidden} The test compares normal images with all of the known classes, and with all \
         of the unknown class. Values are means over the turns, with the 95 % interval over the seeds in brackets; the spread is the \
         standard deviation over seeds, averaged over the turns.",
        set.normal, set.anomalies, set.held_out, set.labelled
    ));
    let measures = [
        "known",
        "unknown",
        "lowest_unknown",
        "spread_known",
        "spread_unknown",
        "known_precision",
        "unknown_precision",
    ];
    let head = [
        "arm",
        "AUROC known",
        "AUROC unknown",
        "its lowest turn",
        "spread known",
        "spread unknown",
        "av. precision known",
        "unknown",
        "seconds to fit",
    ];
    let rows = set.arms.iter().map(|a| {
        let mut cells = row(r, &set.name, &a.name, &measures);
        cells.push(seconds(r, &set.name, &a.name).into());
        cells
    });
    page.table(&head, rows.collect());
    // (known, unknown) of each turn.
    type Turns = Vec<(Option<f64>, Option<f64>)>;
    let turns: BTreeMap<String, Turns> =
        serde_json::from_value(r.series[&format!("{}.turns", set.name)].clone()).unwrap_or_default();
    page.text("AUROC on the unknown class, turn by turn (mean over the seeds):");
    let head: Vec<String> =
        set.anomalies.iter().filter(|c| set.held_out.contains(c)).map(|c| format!("class {c}")).collect();
    let head: Vec<&str> = std::iter::once("arm").chain(head.iter().map(String::as_str)).collect();
    let rows = set.arms.iter().filter_map(|a| {
        let number = |v: &(Option<f64>, Option<f64>)| v.1.map_or_else(|| "–".to_owned(), |v| format!("{v:.3}"));
        Some(std::iter::once(a.name.clone()).chain(turns.get(&a.name)?.iter().map(number)).collect())
    });
    page.table(&head, rows.collect());
}

/// Curves over an amount, with the main setting's turns left out: other amounts may have had fewer turns.
fn sweep(set: &ImageSet, r: &Results, page: &mut Page) -> Result<()> {
    type Amount = (&'static str, &'static str, Vec<String>, fn(f64) -> f64);
    let amounts: [Amount; 2] = [
        (
            "labelled",
            "known anomalies in training (powers of ten)",
            set.sweep.labelled.iter().map(ToString::to_string).collect(),
            |v| v.max(1.0).log10(),
        ),
        (
            "contamination",
            "share of anomalies among those taken as normal",
            set.sweep.contamination.iter().map(ToString::to_string).collect(),
            |v| v,
        ),
    ];
    for (what, label, values, scale) in amounts.into_iter().filter(|a| a.2.len() > 1) {
        for measure in ["known", "unknown"] {
            let curve = |arm: &String| {
                let found = values.iter().filter_map(|v| {
                    let s = r.metrics.get(&format!("{}-{what}-{v}.{measure}.{arm}", set.name))?;
                    Some((scale(v.parse().ok()?), estimate(s)))
                });
                Curve::with_intervals(arm, found)
            };
            let text = format!(
                "AUROC on {measure} anomalies, {} turns; bars are 95 % intervals over the seeds.",
                set.sweep.turns.min(set.held_out.len())
            );
            page.plot(&text, label, "AUROC", &set.sweep.arms.iter().map(curve).collect::<Vec<_>>())?;
        }
    }
    Ok(())
}

fn divergence(cfg: &Config, r: &Results, page: &mut Page) -> Result<()> {
    page.text(
        "LRC's loss has no lower bound: it raises the residual of known anomalies without limit. ABC's loss is bounded: an anomaly that \
         is separated well no longer contributes. The plot shows the mean residual of the known anomalies that training saw, over the \
         length of training (the first turn above, all arms from the same initial weights):",
    );
    let all: Vec<Vec<Trained>> = serde_json::from_value(r.series["divergence"].clone())?;
    let curve = |a: &Arm| {
        let at = |e: &usize| {
            let found = all.iter().flatten().filter(|t| t.arm == a.name && t.epochs == *e);
            let values: Option<Vec<f64>> = found.map(|t| t.known).collect();
            values.filter(|v| !v.is_empty()).map(|v| (*e as f64, (v.iter().sum::<f64>() / v.len() as f64).log10()))
        };
        Curve::new(&a.name, cfg.divergence.epochs.iter().filter_map(at))
    };
    let curves: Vec<Curve> = cfg.divergence.arms.iter().map(curve).collect();
    page.plot(
        "Mean over the seeds; a missing point is a loss that was not finite for one of them.",
        "epochs",
        "residual (powers of ten)",
        &curves,
    )?;
    let longest = cfg.divergence.epochs.last().copied().unwrap_or(0);
    let rows = cfg.divergence.arms.iter().map(|a| {
        let ends: Vec<&Trained> = all.iter().flatten().filter(|t| t.arm == a.name && t.epochs == longest).collect();
        let mean = |pick: fn(&Trained) -> Option<f64>| {
            let found: Vec<f64> = ends.iter().filter_map(|t| pick(t)).collect();
            if found.is_empty() {
                return "–".to_owned();
            }
            let mean = found.iter().sum::<f64>() / found.len() as f64;
            if mean.abs() < 1e4 { format!("{mean:.3}") } else { format!("{mean:.1e}") }
        };
        vec![
            a.name.clone(),
            mean(|t| t.normal),
            mean(|t| t.known),
            mean(|t| t.known_area),
            mean(|t| t.unknown_area),
            format!("{} of {}", ends.iter().filter(|t| t.known.is_none()).count(), ends.len()),
        ]
    });
    page.text(&format!("After {longest} epochs, mean over the seeds:"));
    let head = ["arm", "residual, normal", "residual, known", "AUROC known", "AUROC unknown", "loss not finite"];
    page.table(&head, rows.collect());
    Ok(())
}

fn table(set: &TableSet, r: &Results, page: &mut Page) {
    page.text(&format!(
        "Each seed splits the table differently: {:.0} % of the rows are for training, the rest for the test; training sees {} known anomalies. \
         Features are scaled by the normal rows of the training part.{}",
        100.0 * set.train,
        set.labelled,
        if set.unknown.is_empty() { " All anomalies are of one kind here, so that none are unknown." } else { "" }
    ));
    let measures = ["known", "unknown", "known_precision", "spread_known"];
    let rows = set.arms.iter().map(|a| {
        let mut cells = row(r, &set.name, &a.name, &measures);
        cells.push(seconds(r, &set.name, &a.name).into());
        cells
    });
    let head = ["arm", "AUROC known", "AUROC unknown", "av. precision known", "spread known", "seconds to fit"];
    page.table(&head, rows.collect());
}
