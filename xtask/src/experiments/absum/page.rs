//! The sections of the report.

use super::SOURCE_SEED;
use super::config::{ArmName, Config, Setting};
use super::stages::{self, Job};
use crate::html::{Page, Tile, cell, escape};
use crate::maps::frequencies;
use crate::pieces::Parts;
use crate::plot::{self, Curve};
use crate::results::Results;
use crate::run::Run;
use anyhow::Result;
use candle_core::Tensor;
use sconce_attacks::fourier::{HeatMap, SingleFourier, SingleFourierConfig};
use sconce_attacks::{Attack, ExampleRng, Goal, Rng};
use sconce_tensor_core::stats::Summary;

/// Bands of frequency `max(|l|, |m|)`, in periods per image (chosen by us).
pub const BANDS: [(&str, i64, i64); 3] = [("low", 0, 3), ("mid", 4, 9), ("high", 10, i64::MAX)];

pub fn write(cfg: &Config, run: &Run, r: &Results, page: &mut Page) -> Result<()> {
    for s in &cfg.settings {
        page.heading(&s.title);
        page.text(&format!(
            "Each arm's weight was chosen on {} validation images with seed {}: the best average accuracy under the waves \
             among those at most {} below the clean accuracy of no regularizer. Then each arm was trained with seeds {:?} \
             from the same first values. Main radius {}/255, by the {} of the wave, {} test images per direction. In brackets: \
             95 % interval over the seeds.",
            s.data.validation, r.seeds[0], cfg.selection.max_clean_drop, r.seeds, s.eps_255, cfg.sfa.normalisation.word(), cfg.sfa.examples
        ));
        table(cfg, s, r, page);
        plots(cfg, s, r, page)?;
        heat_maps(cfg, s, r, page)?;
        examples(cfg, s, run, r, page)?;
    }
    Ok(())
}

fn table(cfg: &Config, s: &Setting, r: &Results, page: &mut Page) {
    let measures =
        ["clean", "sfa_avg", "sfa_worst", "sfa_low", "sfa_mid", "sfa_high", "transfer", "noise", "at_clean", "at_pgd"];
    let titles = [
        "clean",
        "waves, average",
        "waves, worst",
        "low freq.",
        "mid",
        "high freq.",
        "transferred PGD",
        "high-freq. noise",
        "adv. trained: clean",
        "adv. trained: PGD",
    ];
    let used: Vec<usize> =
        (0..measures.len()).filter(|&i| r.metrics.contains_key(&format!("{}.{}.none", s.id, measures[i]))).collect();
    let mut head = vec!["arm", "weight"];
    head.extend(used.iter().map(|&i| titles[i]));
    head.push("step time");
    let rows = cfg.arms.iter().map(|a| {
        let arm = a.name.name();
        let lambda = match a.name {
            ArmName::None | ArmName::ZeroMean => "–".to_owned(),
            _ => r.series.get(&format!("{}.{arm}", s.id)).map_or_else(String::new, |v| v["lambda"].to_string()),
        };
        let mut row = vec![escape(a.name.title()), lambda];
        row.extend(used.iter().map(|&i| cell(r.metrics.get(&format!("{}.{}.{arm}", s.id, measures[i])))));
        let cost = r.timing.get(&format!("{}.step_cost.{arm}", s.id));
        row.push(cost.map_or_else(|| "–".to_owned(), |c| format!("{:.2} x", median(&c.values))));
        row
    });
    page.table(&head, rows.collect());
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
    let curves = |f: &dyn Fn(ArmName) -> (Vec<(f64, f64)>, Vec<f64>)| -> Vec<Curve> {
        let one = |a: ArmName| {
            let (points, spread) = f(a);
            Curve { name: a.title().to_owned(), points, spread, joined: true }
        };
        cfg.arms.iter().map(|a| one(a.name)).collect()
    };
    page.plot(
        "Every weight that was tried, on the validation split with the first seed: up and to the right is better.",
        "clean accuracy",
        "average accuracy under the waves",
        &curves(&|a| (tried(a, 2), Vec::new())),
    )?;
    let over_eps = |measure: &'static str| {
        curves(&move |a: ArmName| {
            let at = |eps: &f64| r.metrics.get(&format!("{}.{measure}_at_{eps}.{}", s.id, a.name())).map(|m| (*eps, m));
            let found: Vec<(f64, &Summary)> = cfg.sfa.curve_eps_255.iter().filter_map(at).collect();
            let spread = |m: &Summary| m.ci95.map_or(0.0, |c| (c.hi - c.lo) / 2.0);
            (found.iter().map(|(e, m)| (*e, m.mean)).collect(), found.iter().map(|(_, m)| spread(m)).collect())
        })
    };
    let every = cfg.sfa.curve_every_direction;
    page.plot(
        &format!("Average over one direction in {every}; bars are 95 % intervals over the seeds."),
        "radius of the wave (255ths)",
        "average accuracy",
        &over_eps("sfa_avg"),
    )?;
    page.plot(
        &format!("The worst of one direction in {every}; bars as above."),
        "radius of the wave (255ths)",
        "worst accuracy",
        &over_eps("sfa_worst"),
    )
}

/// Accuracy by frequency, low frequencies in the middle, all arms on one scale.
fn heat_maps(cfg: &Config, s: &Setting, r: &Results, page: &mut Page) -> Result<()> {
    let mut maps = Vec::new();
    for a in &cfg.arms {
        let heat = &r.series[&format!("{}.{}", s.id, a.name.name())]["heat"];
        let heat: HeatMap = serde_json::from_value(heat.clone())?;
        let cells = frequencies(&heat);
        maps.push((a.name, heat.size.1, cells));
    }
    let values = || maps.iter().flat_map(|m| m.2.iter().flatten());
    let (lo, hi) = values().fold((1f64, 0f64), |(a, b), v| (a.min(*v), b.max(*v)));
    let mut tiles = Vec::new();
    for (arm, w, cells) in &maps {
        let worst = cells.iter().flatten().fold(1f64, |a, v| a.min(*v));
        tiles.push(Tile {
            image: plot::heat(*w, cells, lo, hi.max(lo + 1e-6))?,
            caption: format!("{}; lowest {worst:.2}", arm.title()),
            alt: format!("accuracy under each Fourier direction, {}", arm.title()),
        });
    }
    page.text(
        "Accuracy under each direction (l down, m across), mean over the seeds, low frequencies in the middle. Where only half \
         the plane was measured, the other half shows its mirror image.",
    );
    page.scale(lo, hi);
    page.tiles(&tiles, false);
    Ok(())
}

/// What the perturbations look like, with what the plain network of the first seed makes of them.
fn examples(cfg: &Config, s: &Setting, run: &Run, r: &Results, page: &mut Page) -> Result<()> {
    let parts = s.data.load(&run.lookup, &run.device)?;
    let few = parts.test.slice(0, 3)?;
    let first = Job {
        cfg,
        setting: s,
        arm: ArmName::None,
        lambda: cfg.arms[0].lambdas[0],
        seed: r.seeds[0],
        adversarial: false,
    };
    let net = first.train(run, &parts, 0.0)?.value;
    let source = Job { seed: SOURCE_SEED, lambda: 0.0, ..first }.train(run, &parts, 0.0)?.value;
    let direction: (usize, usize) =
        serde_json::from_value(r.series[&format!("{}.none", s.id)]["worst_direction"]["seed 0"].clone())?;
    let wave = SingleFourier::new(SingleFourierConfig {
        direction,
        eps: s.eps_255 / 255.0,
        normalisation: cfg.sfa.normalisation(),
        random_signs: false,
    })?;
    let goal = Goal::Untargeted(few.y().clone());
    let rng = ExampleRng::new(Rng::new(0), vec![0, 1, 2]);
    let waved = wave.perturb(&*net, few.x(), &goal, &rng)?.x.clamp(0.0, 1.0)?;
    let rows: [(String, Tensor); 4] = [
        ("clean".to_owned(), few.x().clone()),
        (format!("wave {direction:?}, {}/255", s.eps_255), waved),
        (format!("high-frequency noise, {}/255", cfg.noise.rms_255), stages::noisy(cfg, &*source, &few)?),
        (format!("transferred PGD, {}/255", cfg.transfer.eps_255), stages::transferred(cfg, &*source, &few)?),
    ];
    page.text(
        "Test images as they are and perturbed, and what the network without a regularizer (first seed) makes of them.",
    );
    let names = class_names(&parts, s);
    let (_, c, h, w) = few.x().dims4()?;
    let mut tiles = Vec::new();
    for i in 0..3 {
        for (what, x) in &rows {
            let predicted = sconce_tensor_core::classifier::predict(&*net, x, 3)?[i] as usize;
            let values = x.get(i)?.flatten_all()?.to_vec1::<f32>()?;
            tiles.push(Tile {
                image: plot::image((c, h, w), &values)?,
                caption: format!("{what}: {}", names[predicted]),
                alt: format!("test image {i}, {what}"),
            });
        }
    }
    page.tiles(&tiles, true);
    Ok(())
}

fn class_names(parts: &Parts, s: &Setting) -> Vec<String> {
    let known = sconce_datasets::catalog::get(&s.data.name).map(|d| d.classes).unwrap_or_default();
    if known.len() == parts.test.classes() { known } else { (0..parts.test.classes()).map(|i| i.to_string()).collect() }
}
