//! The sections of the report.

use super::Config;
use super::config::{PIXELS, RANDOM, SUPERVISED};
use super::show::Shown;
use crate::jobs::Done;
use crate::pages::cell;
use crate::results::Results;
use anyhow::Result;
use sconce_report::{Band, Cell, Curve, Page, Tile, heat, image, lines_within};

pub fn write(cfg: &Config, r: &Results, done: &Done<'_>, page: &mut Page) -> Result<()> {
    let shown: Vec<(String, Shown)> = cfg
        .looked_at(r.seeds[0])
        .into_iter()
        .map(|o| Ok((o.name().to_owned(), done.output(&cfg.show(o, r.seeds[0]))?)))
        .collect::<Result<_>>()?;
    mixed(cfg, &shown, page)?;
    probes(cfg, r, page)?;
    pretext(cfg, r, page)?;
    conflicts(cfg, r, page)?;
    neighbours(cfg, &shown, page)?;
    filters(cfg, &shown, page)
}

/// Rows of the tables of probes: name in metrics and title.
fn rows(cfg: &Config) -> Vec<(String, String)> {
    let known = [(RANDOM, "random trunk"), (SUPERVISED, "supervised trunk (first labels)")];
    let own = cfg.arms.iter().map(|a| (a.name.clone(), a.title.clone()));
    known.into_iter().map(|(n, t)| (n.to_owned(), t.to_owned())).chain(own).collect()
}

fn title(cfg: &Config, name: &str) -> String {
    rows(cfg).into_iter().find(|r| r.0 == name).map_or_else(|| name.to_owned(), |r| r.1)
}

fn mixed(cfg: &Config, shown: &[(String, Shown)], page: &mut Page) -> Result<()> {
    page.heading("The mixed images");
    let Some((name, show)) = shown.iter().rev().find(|s| !s.1.mixed.is_empty()) else { return Ok(()) };
    page.text(&format!(
        "Test images as the trunk of `{}` sees them in training: all tasks change the same image, and each head predicts its own class. Under each image: \
         the task, its class, and what the head of the first seed says.",
        title(cfg, name)
    ));
    let tiles = show.mixed.iter().map(|m| {
        let said = m.tasks.iter().map(|(task, label, found)| format!("{task} {label}: {found}"));
        let caption = said.collect::<Vec<_>>().join("; ");
        Ok(Tile { image: image(m.shape, &m.values)?, alt: caption.clone(), caption })
    });
    page.tiles(&tiles.collect::<Result<Vec<_>>>()?, Some(4));
    Ok(())
}

fn probes(cfg: &Config, r: &Results, page: &mut Page) -> Result<()> {
    page.heading("Probes of the frozen trunk");
    let p = &cfg.probe;
    page.text(&format!(
        "Test accuracy of linear probes: multinomial logistic regression on the pooled, standardised features of a block, solved to convergence, its penalty \
         chosen on {} validation images among {:?}; {} training and {} test images, clean and unrotated. In brackets: 95 % interval over {} seeds.",
        cfg.data.validation,
        p.strengths,
        p.train,
        cfg.data.test,
        r.seeds.len()
    ));
    let names = cfg.data.label_names();
    let columns: Vec<(String, String)> = p
        .blocks
        .iter()
        .flat_map(|b| names.iter().map(move |n| (format!("block{b}.{n}"), format!("block {b}: {n}"))))
        .collect();
    let all = rows(cfg);
    let mean = |place: &str, name: &str| r.metrics.get(&format!("{place}.{name}")).map(|s| s.mean);
    let cells: Vec<Option<f64>> = all.iter().flat_map(|a| columns.iter().map(move |c| mean(&c.0, &a.0))).collect();
    let across = Band::names("block and labels", columns.iter().map(|c| c.1.clone()));
    let down = Band::names("trunk", all.iter().map(|a| a.1.clone()));
    page.figure(
        &heat(&across, &down, "test accuracy", &cells, Some((0.0, 1.0)))?,
        "Linear probes, mean over the seeds.",
    );
    let head: Vec<&str> = std::iter::once("trunk").chain(columns.iter().map(|c| c.1.as_str())).collect();
    let row = |a: &(String, String)| {
        let own = columns.iter().map(|c| cell(r.metrics.get(&format!("{}.{}", c.0, a.0))));
        std::iter::once(Cell::from(&a.1)).chain(own).collect::<Vec<_>>()
    };
    page.table(&head, all.iter().map(row).collect());

    page.text(&format!(
        "Nearest neighbours ({} neighbours, cosine similarity, temperature {}) in the same standardised features; and the same probes of the images themselves.",
        p.neighbours, p.temperature
    ));
    let row = |a: &(String, String)| {
        let own = columns.iter().map(|c| cell(r.metrics.get(&format!("{}.{}", c.0.replacen('.', ".knn_", 1), a.0))));
        std::iter::once(Cell::from(&a.1)).chain(own).collect::<Vec<_>>()
    };
    page.table(&head, all.iter().map(row).collect());
    let head: Vec<&str> = std::iter::once("the images themselves").chain(names.iter().copied()).collect();
    let row = |what: &str, prefix: &str| {
        let own = names.iter().map(|n| cell(r.metrics.get(&format!("pixels.{prefix}{n}.{PIXELS}"))));
        std::iter::once(Cell::from(what)).chain(own).collect::<Vec<_>>()
    };
    page.table(&head, vec![row("linear probe", ""), row("nearest neighbours", "knn_")]);
    Ok(())
}

/// A metric of each epoch of the first seed.
fn history(r: &Results, arm: &str, metric: &str) -> Vec<(f64, f64)> {
    let epochs = r.series.get(&format!("epochs.{arm}"));
    let epochs: Vec<sconce_tensor_core::train::EpochReport> =
        serde_json::from_value(epochs.cloned().unwrap_or_default()).unwrap_or_default();
    epochs.iter().enumerate().filter_map(|(i, e)| Some((i as f64 + 1.0, e.metric(metric)?))).collect()
}

fn pretext(cfg: &Config, r: &Results, page: &mut Page) -> Result<()> {
    page.heading("The pretext tasks");
    page.text("How well the heads predict on validation images, and the weights of the tasks: of the last epoch, mean over the seeds.");
    let rows = cfg.arms.iter().map(|a| {
        let of = |what: &str| {
            let one = |t: &String| {
                let s = r.metrics.get(&format!("pretext.{what}_{t}.{}", a.name))?;
                Some(format!("{t} {:.3}", s.mean))
            };
            a.tasks.iter().filter_map(one).collect::<Vec<_>>().join("; ")
        };
        let augmented = if a.augment.is_empty() { "–".to_owned() } else { a.augment.join(", ") };
        vec![a.title.clone(), of("accuracy"), of("weight"), augmented]
    });
    page.table(&["arm", "accuracy of the heads", "weights", "only as augmentation"], rows.collect());
    let curves = |metric: &dyn Fn(&str) -> String| -> Vec<Curve> {
        let each = cfg.arms.iter().flat_map(|a| a.tasks.iter().map(move |t| (a, t)));
        each.map(|(a, t)| Curve::new(format!("{}: {t}", a.title), history(r, &a.name, &metric(t))))
            .filter(|c| !c.points.is_empty())
            .collect()
    };
    let rotation: Vec<Curve> = cfg
        .arms
        .iter()
        .filter(|a| a.tasks.iter().any(|t| t == "rotation"))
        .map(|a| Curve::new(a.title.clone(), history(r, &a.name, "validation.accuracy.rotation")))
        .collect();
    if rotation.iter().any(|c| !c.points.is_empty()) {
        let drawing = lines_within("epoch", "accuracy of the rotation head", (0.0, 1.0), &rotation)?;
        page.figure(&drawing, "The rotation head on validation images, first seed; chance is 0.25.");
    }
    let several: Vec<Curve> = curves(&|t| format!("weight.{t}")).into_iter().filter(moves).collect();
    if !several.is_empty() {
        page.plot(
            "Weights of the tasks over the epochs (means of their steps), first seed, for the arms whose weights move.",
            "epoch",
            "weight",
            &several,
        )?;
    }
    Ok(())
}

/// Whether a curve is not constant.
fn moves(c: &Curve) -> bool {
    let first = c.points.first().map(|p| p.1.mean);
    c.points.iter().any(|p| Some(p.1.mean) != first)
}

fn conflicts(cfg: &Config, r: &Results, page: &mut Page) -> Result<()> {
    let Some(arm) = cfg.arms.iter().max_by_key(|a| a.tasks.len()).filter(|a| a.tasks.len() > 1) else { return Ok(()) };
    page.heading("Conflicts between the tasks");
    page.text(&format!(
        "Cosines between the gradients of the tasks in the representation, arm `{}`, mean over the last epoch of the first seed. A negative cosine is a conflict: a \
         step for one task raises the loss of the other.",
        arm.title
    ));
    let cosine = |a: &String, b: &String| {
        let of = |x: &str, y: &str| history(r, &arm.name, &format!("cosine.{x}.{y}")).last().map(|p| p.1);
        if a == b { Some(1.0) } else { of(a, b).or_else(|| of(b, a)) }
    };
    let cells: Vec<Option<f64>> = arm.tasks.iter().flat_map(|a| arm.tasks.iter().map(move |b| cosine(a, b))).collect();
    let band = || Band::names("task", arm.tasks.clone());
    page.figure(&heat(&band(), &band(), "cosine", &cells, Some((-1.0, 1.0)))?, "The conflict matrix.");
    let curves: Vec<Curve> = arm
        .tasks
        .iter()
        .enumerate()
        .flat_map(|(i, a)| arm.tasks[i + 1..].iter().map(move |b| (a, b)))
        .map(|(a, b)| Curve::new(format!("{a} and {b}"), history(r, &arm.name, &format!("cosine.{a}.{b}"))))
        .collect();
    if curves.iter().any(|c| !c.points.is_empty()) {
        page.plot("The same over the epochs.", "epoch", "mean cosine", &curves)?;
    }
    Ok(())
}

fn neighbours(cfg: &Config, shown: &[(String, Shown)], page: &mut Page) -> Result<()> {
    page.heading("Nearest neighbours");
    page.text("Left: a test image. Then its nearest test images by the cosine of the features less their mean over the test images, the nearest first.");
    for (name, show) in shown {
        page.subheading(&title(cfg, name));
        let mut rows = Vec::new();
        for row in &show.neighbours {
            let tile = |(i, v): (usize, &Vec<f32>)| {
                let alt = if i == 0 { "query".to_owned() } else { format!("neighbour {i}") };
                Ok(Tile { image: image(show.shape, v)?, caption: String::new(), alt })
            };
            rows.push((String::new(), row.iter().enumerate().map(tile).collect::<Result<Vec<_>>>()?));
        }
        page.image_grid(&["query", "1", "2", "3", "4", "5"], &rows);
    }
    Ok(())
}

fn filters(cfg: &Config, shown: &[(String, Shown)], page: &mut Page) -> Result<()> {
    page.heading("Filters of the first layer");
    page.text("Each filter on its own scale: grey is 0.");
    for (name, show) in shown {
        let (shape, all) = &show.filters;
        if ![1, 3].contains(&shape.0) {
            continue;
        }
        page.subheading(&title(cfg, name));
        let tile = |(i, f): (usize, &Vec<f32>)| {
            let most = f.iter().fold(f32::MIN_POSITIVE, |m, v| m.max(v.abs()));
            let values: Vec<f32> = f.iter().map(|v| 0.5 + 0.5 * v / most).collect();
            Ok(Tile { image: image(*shape, &values)?, caption: String::new(), alt: format!("filter {i}") })
        };
        page.tiles(&all.iter().enumerate().map(tile).collect::<Result<Vec<_>>>()?, Some(8));
    }
    Ok(())
}
