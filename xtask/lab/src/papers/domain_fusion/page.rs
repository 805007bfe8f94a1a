//! The sections of the report.

use super::config::{COPIES, Config, HALVES, JOINT_LABELS, PRETRAINED, REAL, REAL_4N};
use super::show::{Show, Shown};
use super::toy::Rings;
use crate::jobs::Done;
use crate::pages::{cell, estimate};
use crate::pieces::bytes_text::from_text;
use crate::results::Results;
use anyhow::Result;
use sconce_datasets::catalog;
use sconce_report::{Cell, Curve, Page, Tile, image, lines_within};
use sconce_tensor_core::train::{EpochReport, Report};

pub fn write(cfg: &Config, r: &Results, done: &Done<'_>, page: &mut Page) -> Result<()> {
    accuracies(cfg, r, page)?;
    fidelity(cfg, r, page);
    samples(cfg, r, done, page)?;
    training(cfg, r, page)?;
    outers(cfg, r, page);
    toy(&done.output(&cfg.ring(r.seeds[0]))?, r, page)
}

/// Rows of the table of accuracies: the last part of the names of metrics, and the title.
fn rows(cfg: &Config) -> Vec<(String, String)> {
    let mut rows = vec![(REAL.to_owned(), "real images alone".to_owned())];
    rows.extend(cfg.arms.iter().map(|a| (a.name.clone(), a.title.clone())));
    for (name, title) in [
        (PRETRAINED, "no GAN: classifier trained on the outer data first"),
        (JOINT_LABELS, "no GAN: classifier of both label sets"),
        (REAL_4N, "no GAN: four times as many real images"),
    ] {
        rows.push((name.to_owned(), title.to_owned()));
    }
    rows
}

fn accuracies(cfg: &Config, r: &Results, page: &mut Page) -> Result<()> {
    page.heading("What a classifier gains");
    let c = &cfg.classifier;
    let weights: Vec<String> = c.weights.iter().map(f64::to_string).collect();
    page.text(&format!(
        "Test accuracy of the target's classifier, a mean over {} classifiers for each GAN; in brackets the 95 % interval over {} seeds, each with a subset of \
         its own. Every classifier takes {} steps with {} real images (rounded up to whole epochs). A batch of generated images, or of outer ones with both label sets, joins \
         each step at a weight that is chosen on {} validation images of the target among 0, {}; at 0 it is the classifier of real images alone. The one that \
         is trained on the outer data first has as many steps on them before.",
        c.repeats,
        r.seeds.len(),
        c.steps,
        c.batch,
        cfg.target.validation * cfg.target.classes.len(),
        weights.join(", ")
    ));
    let sizes: Vec<String> = cfg.sizes.iter().map(|n| format!("n = {n}")).collect();
    let of = |n: usize, what: &str, name: &str| r.metrics.get(&format!("n{n}.{what}.{name}"));
    let head: Vec<&str> = std::iter::once("trained with").chain(sizes.iter().map(String::as_str)).collect();
    let row = |(name, title): &(String, String)| {
        let own = cfg.sizes.iter().map(|n| cell(of(*n, "accuracy", name)));
        std::iter::once(Cell::from(title)).chain(own).collect::<Vec<_>>()
    };
    page.table(&head, rows(cfg).iter().map(row).collect());
    if cfg.sizes.len() > 1 {
        let curve = |(name, title): &(String, String)| {
            let points = cfg.sizes.iter().filter_map(|n| Some((*n as f64, estimate(of(*n, "accuracy", name)?))));
            Curve::with_intervals(title.clone(), points)
        };
        let curves: Vec<Curve> = rows(cfg).iter().map(curve).collect();
        page.plot("Accuracy against the number of real images.", "real images n", "test accuracy", &curves)?;
    }
    page.text("The same at each weight, the weight that was chosen (mean over the seeds), and the accuracy of a classifier of generated images alone.");
    let weights: Vec<String> = c.weights.iter().map(|w| format!("weight {w}")).collect();
    let mut head = vec!["GAN", "n"];
    head.extend(weights.iter().map(String::as_str));
    head.extend(["chosen weight", "generated alone"]);
    let mut body = Vec::new();
    for (n, arm) in cfg.sizes.iter().flat_map(|n| cfg.arms.iter().map(move |a| (*n, a))) {
        let mut row = vec![Cell::from(&arm.title), Cell::from(n.to_string())];
        row.extend(c.weights.iter().map(|w| cell(of(n, &format!("accuracy_at_{w}"), &arm.name))));
        row.extend([cell(of(n, "weight", &arm.name)), cell(of(n, "accuracy_alone", &arm.name))]);
        body.push(row);
    }
    page.table(&head, body);
    Ok(())
}

fn fidelity(cfg: &Config, r: &Results, page: &mut Page) {
    page.heading("Fidelity, with the rows it is read against");
    let accuracy = r.series.get("evaluator.accuracy").and_then(serde_json::Value::as_f64).unwrap_or(f64::NAN);
    page.text(&format!(
        "Generated images ({} of each class) against {} target images of each class that no GAN saw. FID, KID, precision, recall, density and coverage are of the \
         {} features of a classifier's hidden layer (trained on all training images of the target's classes; test accuracy {accuracy:.3}); images are not \
         resized. Two rows tell what the numbers mean: the training images, repeated to the number of the generated ones, are what a copying GAN gets; one half of the \
         reference against the other is what a perfect one gets with {} images on each side: with fewer images FID is higher, by an amount proportional to \
         1 / images, and recall is another.",
        cfg.gan.samples,
        cfg.target.reference,
        cfg.evaluator.hidden,
        cfg.target.reference / 2 * cfg.target.classes.len()
    ));
    page.text(
        "Memorisation is the median distance in pixels to the nearest training image, over that of validation images: below 1 is copying, and poor images are far from all real ones. Copied is the share \
         that is nearer to a training image than 99 % of the validation images. MS-SSIM (2 scales, window 7) of pairs of one class: lower is more varied.",
    );
    let columns = [
        ("fid", "FID"),
        ("kid", "KID"),
        ("worst_class_kid", "KID of the worst class"),
        ("precision", "precision"),
        ("recall", "recall"),
        ("density", "density"),
        ("coverage", "coverage"),
        ("memorisation", "memorisation"),
        ("copied", "copied"),
        ("similarity", "MS-SSIM"),
        ("inception", "inception score"),
    ];
    let mut all: Vec<(String, String)> = cfg.arms.iter().map(|a| (a.name.clone(), a.title.clone())).collect();
    all.push((COPIES.to_owned(), "the n training images, repeated".to_owned()));
    all.push((HALVES.to_owned(), "half of the reference against the other".to_owned()));
    for n in &cfg.sizes {
        page.subheading(&format!("n = {n}"));
        // In tables that fit a page.
        for part in [&columns[..3], &columns[3..7], &columns[7..]] {
            let head: Vec<&str> = std::iter::once("images (their number)").chain(part.iter().map(|c| c.1)).collect();
            let row = |(name, title): &(String, String)| {
                let images = r.metrics.get(&format!("n{n}.images.{name}")).map_or(f64::NAN, |s| s.mean);
                let own = part.iter().map(|c| cell(r.metrics.get(&format!("n{n}.{}.{name}", c.0))));
                std::iter::once(Cell::from(format!("{title} ({images:.0})"))).chain(own).collect::<Vec<_>>()
            };
            page.table(&head, all.iter().map(row).collect());
        }
    }
}

fn tile(shown: &Shown, text: &str, alt: &str) -> Result<Tile> {
    let values: Vec<f32> = from_text(text)?.into_iter().map(|v| v as f32).collect();
    Ok(Tile { image: image(shown.shape, &values)?, caption: String::new(), alt: alt.to_owned() })
}

/// The names of the target's classes, or their numbers.
fn class_names(cfg: &Config) -> Vec<String> {
    let known = catalog::get(&cfg.target.name).map(|d| d.classes).unwrap_or_default();
    let name = |c: &u8| known.get(usize::from(*c)).cloned().unwrap_or_else(|| c.to_string());
    cfg.target.classes.iter().map(name).collect()
}

fn samples(cfg: &Config, r: &Results, done: &Done<'_>, page: &mut Page) -> Result<()> {
    page.heading("Samples");
    page.text(&format!(
        "n = {}, first seed. Left: a real training image of the class. Then generated images, not selected, each with the training image that is nearest to it in pixels.",
        cfg.looked_at()
    ));
    let names = class_names(cfg);
    let columns = ["real", "1", "nearest", "2", "nearest", "3", "nearest", "4", "nearest"];
    let mut between = Vec::new();
    for arm in &cfg.arms {
        let shown = done.output(&Show { train: cfg.train(arm, cfg.looked_at(), r.seeds[0])? })?;
        page.subheading(&arm.title);
        let mut grid = Vec::new();
        for ((name, pairs), real) in names.iter().zip(&shown.classes).zip(&shown.real) {
            let mut tiles = vec![tile(&shown, real, &format!("a real image: {name}"))?];
            for (own, near) in pairs {
                tiles.push(tile(&shown, own, &format!("generated: {name}"))?);
                tiles.push(tile(&shown, near, "its nearest training image")?);
            }
            grid.push((name.clone(), tiles));
        }
        page.image_grid(&columns, &grid);
        between.push((arm.title.clone(), shown));
    }
    page.subheading("Between two noise vectors");
    page.text("A great circle from one noise vector to another at a fixed class: a generator that copies jumps from one training image to the next.");
    for (title, shown) in &between {
        page.text(title);
        let mut grid = Vec::new();
        for (name, path) in names.iter().zip(&shown.between) {
            let tiles = path.iter().map(|t| tile(shown, t, &format!("between two samples: {name}")));
            grid.push((name.clone(), tiles.collect::<Result<Vec<_>>>()?));
        }
        page.image_grid(&["from", "", "", "", "", "", "", "to"], &grid);
    }
    Ok(())
}

/// A metric of each epoch of the last phase, first seed.
fn history(r: &Results, n: usize, arm: &str, metric: &str) -> Vec<(f64, f64)> {
    let phases = r.series.get(&format!("n{n}.epochs.{arm}")).cloned().unwrap_or_default();
    let phases: Vec<(String, Report)> = serde_json::from_value(phases).unwrap_or_default();
    let epochs: &[EpochReport] = phases.last().map_or(&[], |p| &p.1.epochs);
    epochs.iter().enumerate().filter_map(|(i, e)| Some((i as f64 + 1.0, e.metric(metric)?))).collect()
}

fn training(cfg: &Config, r: &Results, page: &mut Page) -> Result<()> {
    page.heading("Training");
    let n = cfg.looked_at();
    let curves = |metric: &str| -> Vec<Curve> {
        cfg.arms.iter().map(|a| Curve::new(a.title.clone(), history(r, n, &a.name, metric))).collect()
    };
    page.text(&format!(
        "The phase with the target, n = {n}, first seed; an epoch is {} generator steps. In every arm the discriminator sees the target equally often \
         (with repetitions): {:.0} images in all. Rates and target weights differ by arm; how they were chosen stands in the recipe. The FID of an epoch is of {} images of each class at fixed noise.",
        cfg.gan.steps,
        cfg.arms.first().and_then(|a| r.metrics.get(&format!("n{n}.exposure.{}", a.name))).map_or(f64::NAN, |s| s.mean),
        cfg.gan.watched
    ));
    page.plot("FID over the epochs.", "epoch", "FID", &curves("fid"))?;
    let mut balance = Vec::new();
    for a in &cfg.arms {
        let (train, held) = (history(r, n, &a.name, "score.train"), history(r, n, &a.name, "score.held_out"));
        let gap: Vec<(f64, f64)> = train.iter().zip(&held).map(|(a, b)| (a.0, a.1 - b.1)).collect();
        balance.push(Curve::new(a.title.clone(), gap));
    }
    page.plot(
        "The discriminator's mean score of training images less that of held-out real ones: it grows where the discriminator memorises.",
        "epoch",
        "score of training less held-out",
        &balance,
    )?;
    for (metric, caption) in [
        ("accuracy.real", "real images that it takes for real"),
        ("accuracy.fake", "generated images that it takes for generated"),
    ] {
        let drawing = lines_within("epoch", "share", (0.0, 1.0), &curves(metric))?;
        page.figure(&drawing, &format!("The discriminator's share of {caption}, augmented as in training."));
    }
    let row = |a: &super::Arm| {
        let of = |what: &str| cell(r.metrics.get(&format!("n{n}.{what}.{}", a.name)));
        let weight = if a.target_weight < 1.0 { format!("{}", a.target_weight) } else { "–".to_owned() };
        vec![
            Cell::from(&a.title),
            Cell::from(a.lr.to_string()),
            Cell::from(weight),
            of("exposure"),
            of("steps"),
            of("gap"),
            of("sigma_class"),
        ]
    };
    page.table(
        &[
            "arm",
            "rate",
            "target weight",
            "target images seen",
            "generator steps",
            "score of training less held-out",
            "spectral norm of the class vectors",
        ],
        cfg.arms.iter().map(row).collect(),
    );
    Ok(())
}

fn outers(cfg: &Config, r: &Results, page: &mut Page) {
    page.heading("Choosing the outer data");
    page.text(
        "Before any GAN is trained, with the extractor of the reproduction, which saw more target images than a user has: the FID between the n target images and the outer set (low: related), the mean MS-SSIM of pairs of one outer class (low: \
         varied), and their product. The ingredients are recalled, the paper's formula is unknown to us. The sets differ in their numbers of images and of classes, too.",
    );
    let mut body = Vec::new();
    for (n, o) in cfg.sizes.iter().flat_map(|n| cfg.outers.iter().map(move |o| (n, o))) {
        let of = |what: &str| cell(r.metrics.get(&format!("n{n}.outer_{what}.{}", o.name)));
        body.push(vec![
            Cell::from(&o.title),
            Cell::from(n.to_string()),
            of("distance"),
            of("similarity"),
            of("product"),
        ]);
    }
    page.table(&["outer set", "n", "FID", "MS-SSIM", "product"], body);
    let ranks: Vec<Vec<Cell>> = cfg
        .sizes
        .iter()
        .filter(|n| r.metrics.contains_key(&format!("n{n}.rank_correlation.product")))
        .map(|n| {
            let of = |what: &str| cell(r.metrics.get(&format!("n{n}.rank_correlation.{what}")));
            vec![Cell::from(n.to_string()), of("distance"), of("similarity"), of("product")]
        })
        .collect();
    if !ranks.is_empty() {
        page.text("Rank correlation over the outer sets of each score with the accuracy of Domain Fusion: a score that chooses well is at -1.");
        page.table(&["n", "FID", "MS-SSIM", "product"], ranks);
    }
}

fn toy(rings: &Rings, r: &Results, page: &mut Page) -> Result<()> {
    page.heading("In two dimensions");
    page.text(
        "Sixteen Gaussians on a ring: four are the target with a few points each, twelve the outer data with many. All classes share the generator's trunk, so \
         that what the outer modes teach of a mode's shape can reach the target's. First seed.",
    );
    let flat = |p: &[[f64; 2]]| p.iter().map(|p| (p[0], p[1])).collect::<Vec<_>>();
    let mut figures = Vec::new();
    for arm in &rings.arms {
        let mut curves = Vec::new();
        if arm.name != "target-only" {
            curves.push(Curve::new("outer data", flat(&rings.outer)).scattered());
        }
        curves.push(Curve::new("generated", flat(&arm.points)).scattered());
        curves.push(Curve::new("target data", flat(&rings.target)).scattered());
        figures.push((sconce_report::lines("x", "y", &curves)?, arm.name.clone()));
    }
    page.row(&figures);
    page.text("Mean over the target's modes of the Fréchet distance of generated points to the true Gaussian, in closed form; last, that of the Gaussians fitted to the training points.");
    let row = |name: &str| vec![Cell::from(name), cell(r.metrics.get(&format!("toy.distance.{name}")))];
    let names = rings.arms.iter().map(|a| a.name.as_str()).chain(["fitted"]);
    page.table(&["arm", "distance"], names.map(row).collect());
    Ok(())
}
