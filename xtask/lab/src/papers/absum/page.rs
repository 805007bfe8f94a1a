//! The sections of the report.

use super::config::{ArmName, Config, Setting};
use crate::jobs::Done;
use crate::pages::{cell, difference, estimate};
use crate::results::Results;
use anyhow::Result;
use sconce_attacks::fourier::HeatMap;
use sconce_report::{Band, Cell, Curve, Drawing, Estimate, Page, Tile, heat, image};
use sconce_tensor_core::stats::Summary;

pub fn write(cfg: &Config, r: &Results, done: &Done<'_>, page: &mut Page) -> Result<()> {
    for s in &cfg.settings {
        page.heading(&s.title);
        page.text(&format!(
            "Each arm's weight was chosen on {} validation images with the selection seeds {:?}: the best average accuracy under the \
             waves among those at most {} below the clean accuracy of no regularizer. Then each arm was trained with seeds {:?} \
             from the same first values. Main radius {}/255, by the {} of the wave, {} test images per direction. Retained: of the \
             images that a network classifies correctly without a wave, the share that stays correct (each network on its own such images, so one \
             that classifies fewer correctly keeps the easier ones: read it with clean accuracy). After each epoch: {} test images, one \
             direction in {}. In brackets: 95 % interval over the seeds.",
            s.data.validation, cfg.selection.seeds, cfg.selection.max_clean_drop, r.seeds, s.eps_255, cfg.sfa.normalisation.word(), cfg.sfa.examples,
            cfg.curve.examples, cfg.curve.every_direction
        ));
        table(cfg, s, r, page);
        matched(cfg, s, r, page);
        plots(cfg, s, r, page)?;
        heat_maps(cfg, s, r, page)?;
        examples(cfg, s, r, done, page)?;
    }
    Ok(())
}

fn table(cfg: &Config, s: &Setting, r: &Results, page: &mut Page) {
    let own = [
        ("clean", "clean"),
        ("sfa_avg", "waves, average"),
        ("sfa_worst", "waves, worst"),
        ("retained_avg", "retained, average"),
        ("retained_worst", "retained, worst"),
    ];
    measures(cfg, s, r, &own, true, page);
    page.text("The same networks by frequency of the wave, and under other perturbations.");
    let others = [
        ("sfa_low", "low freq."),
        ("sfa_mid", "mid"),
        ("sfa_high", "high freq."),
        ("transfer", "transferred PGD"),
        ("noise", "high-freq. noise"),
        ("at_clean", "adv. trained: clean"),
        ("at_pgd", "adv. trained: PGD"),
    ];
    measures(cfg, s, r, &others, false, page);
}

/// A row for each arm; with its weight and its cost where `whole`.
fn measures(cfg: &Config, s: &Setting, r: &Results, columns: &[(&str, &str)], whole: bool, page: &mut Page) {
    let used: Vec<&(&str, &str)> =
        columns.iter().filter(|c| r.metrics.contains_key(&format!("{}.{}.none", s.id, c.0))).collect();
    if used.is_empty() {
        return;
    }
    let mut head = vec!["arm"];
    head.extend(whole.then_some("weight"));
    head.extend(used.iter().map(|c| c.1));
    head.extend(whole.then_some("step time"));
    let rows = cfg.arms.iter().map(|a| {
        let arm = a.name.name();
        let lambda = match a.name {
            ArmName::None | ArmName::ZeroMean => "–".to_owned(),
            _ => r.series.get(&format!("{}.{arm}", s.id)).map_or_else(String::new, |v| v["lambda"].to_string()),
        };
        let cost = r.timing.get(&format!("{}.step_cost.{arm}", s.id));
        let cost = cost.map_or_else(|| "–".to_owned(), |c| format!("{:.2} x", median(&c.values)));
        let mut row = vec![Cell::from(a.name.title())];
        row.extend(whole.then(|| Cell::from(lambda)));
        row.extend(used.iter().map(|c| cell(r.metrics.get(&format!("{}.{}.{arm}", s.id, c.0)))));
        row.extend(whole.then(|| Cell::from(cost)));
        row
    });
    page.table(&head, rows.collect());
}

/// Absum and each other arm at the same clean accuracy.
fn matched(cfg: &Config, s: &Setting, r: &Results, page: &mut Page) {
    let absum = ArmName::Absum.name();
    let rows = cfg.arms.iter().filter_map(|a| {
        let other = a.name.name();
        let of = |what: &str, arm: &str| r.metrics.get(&format!("{}.matched_{what}_{other}.{arm}", s.id));
        let clean = of("clean", absum)?;
        let paired = |what| Summary::paired(of(what, absum)?, of(what, other)?).ok();
        let mut row = vec![Cell::from(a.name.title()), cell(Some(clean))];
        for what in ["avg", "retained"] {
            row.extend([cell(of(what, absum)), cell(of(what, other)), difference(paired(what).as_ref())]);
        }
        Some(row)
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return;
    }
    page.text(
        "At the same clean accuracy: each arm of a seed where its training first reaches the highest validation accuracy that both reach, between \
         epochs on a straight line. So one of the two was stopped early, when the rate of the schedule was higher than at its end: this \
         compares trajectories, not end points.",
    );
    let head = [
        "Absum and",
        "clean (validation)",
        "waves: Absum",
        "the other",
        "difference",
        "retained: Absum",
        "the other",
        "difference",
    ];
    page.table(&head, rows);
}

fn median(values: &[f64]) -> f64 {
    let mut v = values.to_vec();
    v.sort_by(f64::total_cmp);
    (v[(v.len() - 1) / 2] + v[v.len() / 2]) / 2.0
}

fn plots(cfg: &Config, s: &Setting, r: &Results, page: &mut Page) -> Result<()> {
    let tried = |arm: ArmName, column: usize| -> Vec<(f64, f64)> {
        let series = &r.series[&format!("{}.{}", s.id, arm.name())]["tried_lambda_clean_avg_worst"];
        let rows = series.as_array().cloned().unwrap_or_default();
        rows.iter().filter_map(|t| Some((t[1].as_f64()?, t[column].as_f64()?))).collect()
    };
    let curves = |f: &dyn Fn(ArmName) -> Vec<(f64, f64)>| -> Vec<Curve> {
        cfg.arms.iter().map(|a| Curve::new(a.name.title(), f(a.name))).collect()
    };
    page.plot(
        "Every weight that was tried, on the validation split, mean over the selection seeds: up and to the right is better.",
        "clean accuracy",
        "average accuracy under the waves",
        &curves(&|a| tried(a, 2)),
    )?;
    let epochs = |arm: ArmName| -> Vec<(f64, f64)> {
        let series = r.series.get(&format!("{}.epochs.{}", s.id, arm.name()));
        serde_json::from_value(series.cloned().unwrap_or_default()).unwrap_or_default()
    };
    page.plot(
        "Retained against clean accuracy, epoch by epoch, mean over the seeds.",
        "clean accuracy",
        "retained accuracy under the waves",
        &curves(&epochs),
    )?;
    let over_eps = |measure: &'static str| -> Vec<Curve> {
        let one = |a: ArmName| {
            let metric = |eps: &f64| r.metrics.get(&format!("{}.{measure}_at_{eps}.{}", s.id, a.name()));
            let at = |eps: &f64| -> Option<(f64, Estimate)> { Some((*eps, estimate(metric(eps)?))) };
            Curve::with_intervals(a.title(), cfg.sfa.curve_eps_255.iter().filter_map(at))
        };
        cfg.arms.iter().map(|a| one(a.name)).collect()
    };
    let every = cfg.sfa.curve_every_direction;
    page.plot(
        &format!("Mean over every {every}th Fourier direction; bars are 95 % intervals over the seeds."),
        "radius of the wave (n/255)",
        "average accuracy",
        &over_eps("sfa_avg"),
    )?;
    page.plot(
        &format!("The worst of every {every}th Fourier direction; bars as above."),
        "radius of the wave (n/255)",
        "worst accuracy",
        &over_eps("sfa_worst"),
    )?;
    Ok(())
}

/// Accuracy by frequency, low frequencies in the middle, all arms on one scale.
fn heat_maps(cfg: &Config, s: &Setting, r: &Results, page: &mut Page) -> Result<()> {
    let mut maps = Vec::new();
    for a in &cfg.arms {
        let heat = &r.series[&format!("{}.{}", s.id, a.name.name())]["heat"];
        let heat: HeatMap = serde_json::from_value(heat.clone())?;
        let cells = heat.centred();
        maps.push((a.name, heat.size, cells));
    }
    let values = || maps.iter().flat_map(|m| m.2.iter().flatten());
    let (lo, hi) = values().fold((1f64, 0f64), |(a, b), v| (a.min(*v), b.max(*v)));
    let mut drawings = Vec::new();
    for (arm, size, cells) in &maps {
        let worst = cells.iter().flatten().fold(1f64, |a, v| a.min(*v));
        drawings.push((fourier(*size, cells, (lo, hi))?, format!("{}; lowest {worst:.2}", arm.title())));
    }
    page.text(
        "Accuracy under each direction (l down, m across), mean over the seeds, low frequencies in the middle. Where only half \
         the plane was measured, the other half shows its mirror image.",
    );
    page.row(&drawings);
    Ok(())
}

/// A drawing of [`HeatMap::centred`] on the colour scale from `lo` to `hi`.
fn fourier((h, w): (usize, usize), cells: &[Option<f64>], (lo, hi): (f64, f64)) -> Result<Drawing> {
    let columns = Band::frequencies("m, across (cycles per image)", w);
    let rows = Band::frequencies("l, down (cycles per image)", h);
    Ok(heat(&columns, &rows, "accuracy", cells, Some((lo, hi)))?)
}

/// What the perturbations look like, with what the plain network of the first seed makes of them.
fn examples(cfg: &Config, s: &Setting, r: &Results, done: &Done<'_>, page: &mut Page) -> Result<()> {
    let images = done.output(&cfg.pictures(s, r.seeds[0]))?;
    page.text(
        "Test images as they are and perturbed, and what the network without a regularizer (first seed) makes of them.",
    );
    let classes = images.iter().flatten().map(|p| p.predicted + 1).max().unwrap_or(0).max(10);
    let names = s.data.class_names(classes);
    let mut tiles = Vec::new();
    for (i, picture) in images.iter().enumerate().flat_map(|(i, all)| all.iter().map(move |p| (i, p))) {
        tiles.push(Tile {
            image: image(picture.shape, &picture.values)?,
            caption: format!("{}: {}", picture.what, names[picture.predicted]),
            alt: format!("test image {i}, {}", picture.what),
        });
    }
    page.tiles(&tiles, Some(4));
    Ok(())
}
