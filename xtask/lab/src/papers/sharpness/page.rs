//! The sections of the report.

use super::config::Config;
use super::linear::Point;
use super::network::Measured;
use super::{place, plane};
use crate::pages::cell;
use crate::results::Results;
use anyhow::Result;
use sconce_report::{Cell, Curve, Grid, Page, contours, surface};
use serde::Deserialize;

#[derive(Deserialize)]
struct AtRadius {
    eps: f64,
    seeds: Vec<Measured>,
    /// The first seed's.
    plane: Vec<Option<f64>>,
}

pub fn write(cfg: &Config, r: &Results, page: &mut Page) -> Result<()> {
    page.heading("Logistic regression: Gaussian examples");
    linear(cfg, r, page, "linear")?;
    page.heading("Logistic regression: two classes of images");
    linear(cfg, r, page, "images")?;
    page.heading("A small network");
    network(cfg, r, page)
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (n, sum) = values.fold((0.0, 0.0), |(n, s), v| (n + 1.0, s + v));
    sum / n
}

fn curve(name: &str, points: Vec<(f64, f64)>) -> Curve {
    Curve::new(name, points)
}

fn linear(cfg: &Config, r: &Results, page: &mut Page, name: &str) -> Result<()> {
    let all: Vec<Vec<Point>> = serde_json::from_value(r.series[name].clone())?;
    let (what, shares) = match name {
        "linear" => {
            let l = &cfg.linear;
            (format!("There are {} examples in {} dimensions, and no penalty.", l.examples, l.dims), &l.radii)
        }
        _ => {
            let i = &cfg.images;
            (
                format!(
                    "The data are the classes {} and {} of {}, half of their images for each seed, projected on {} principal components; the L2 \
                     penalty is {}.",
                    i.classes.0, i.classes.1, i.data.name, i.components, i.l2
                ),
                &i.radii,
            )
        }
    };
    page.text(&format!(
        "{what} All values are those at the minimiser of each radius, which is given as a share of the critical radius (from there on, w = 0 \
         is the minimiser); they are means over the seeds."
    ));
    let at = |i: usize, f: &dyn Fn(&Point) -> f64| mean(all.iter().map(|p| f(&p[i])));
    let over = |f: &dyn Fn(&Point) -> f64| shares.iter().enumerate().map(|(i, s)| (*s, at(i, f))).collect::<Vec<_>>();
    let top = |v: &[f64]| v.last().copied().unwrap_or(f64::NAN);
    page.plot(
        "The largest eigenvalue: with the attack following the weights, with the attack frozen, and at the minimiser of \
         examples that random noise of the same norm has moved.",
        "radius, share of the critical one",
        "largest eigenvalue",
        &[
            curve("attack follows", over(&|p| top(&p.full))),
            curve("attack frozen", over(&|p| top(&p.frozen))),
            curve("random noise", over(&|p| top(&p.random))),
        ],
    )?;
    page.plot(
        "The same times the squared norm of the weights: sharpness in units of the weights.",
        "radius, share of the critical one",
        "norm(w)^2 times the largest eigenvalue",
        &[
            curve("attack follows", over(&|p| top(&p.full) * p.norm.powi(2))),
            curve("attack frozen", over(&|p| top(&p.frozen) * p.norm.powi(2))),
        ],
    )?;
    let rows = shares.iter().enumerate().map(|(i, s)| {
        let number = |f: &dyn Fn(&Point) -> f64| format!("{:.4}", at(i, f));
        vec![
            format!("{s:.2}"),
            number(&|p| p.eps),
            number(&|p| p.norm),
            number(&|p| p.full[0]),
            number(&|p| top(&p.full)),
            number(&|p| p.full.iter().sum()),
            number(&|p| p.frozen.iter().sum()),
            number(&|p| p.random.iter().sum()),
            number(&|p| top(&p.full) * p.norm.powi(2)),
        ]
    });
    let head = [
        "share",
        "eps",
        "norm of w",
        "smallest",
        "largest",
        "trace",
        "trace, frozen",
        "trace, random",
        "norm(w)^2 times largest",
    ];
    page.table(&head, rows.collect());
    let steps = &cfg.images.steps;
    let some: Vec<usize> = (0..shares.len()).filter(|i| i % 2 == 0).collect();
    let line = |i: &usize| {
        let points = steps.iter().enumerate().map(|(k, s)| (*s, at(*i, &|p| p.line[k]))).collect();
        curve(&format!("share {:.2}", shares[*i]), points)
    };
    page.plot(
        "The adversarial loss along random directions as long as w, less that at w.",
        "step, times norm(w)",
        "loss above that at w",
        &some.iter().map(line).collect::<Vec<_>>(),
    )?;
    let line = |i: &usize| {
        let points = steps.iter().enumerate().map(|(k, s)| (*s, at(*i, &|p| p.absolute_line[k]))).collect();
        curve(&format!("share {:.2}", shares[*i]), points)
    };
    page.plot(
        "The same along directions of one length for all radii, that of the plain minimiser: with smaller weights the same step \
         is relatively longer.",
        "step, times the norm of the plain minimiser",
        "loss above that at w",
        &some.iter().map(line).collect::<Vec<_>>(),
    )?;
    Ok(())
}

fn network(cfg: &Config, r: &Results, page: &mut Page) -> Result<()> {
    let n = &cfg.network;
    let all: Vec<AtRadius> = serde_json::from_value(r.series["network"].clone())?;
    page.text(&format!(
        "{:?}, trained against PGD in L2 with {} steps at each radius. Hessian and landscape are those of the loss on {} training images, in \
         f64; the Hessian by double backward passes, batch norm (where there is any) with its running statistics. The adversarial loss is \
         that at the training radius: its Hessian keeps the attack frozen, its landscape recomputes the attack at every grid point. Sharpness in units of \
         the filters is that of D H D with the norm of each filter on the diagonal of D: it is invariant to rescalings that do not change \
         the network.",
        n.net, n.attack_steps, n.examples
    ));
    let rows = n.radii.iter().enumerate().map(|(i, eps)| {
        let place = place(&n.radii, i);
        let mut row = vec![Cell::from(format!("{eps}"))];
        let keys = [
            "clean_accuracy",
            "norm",
            "clean_top",
            "clean_trace",
            "clean_top_in_filters",
            "top",
            "trace",
            "top_in_filters",
        ];
        row.extend(keys.iter().map(|k| cell(r.metrics.get(&format!("network.{k}.{place}")))));
        row
    });
    let head = [
        "eps",
        "clean accuracy",
        "norm of w",
        "clean: largest",
        "clean: trace",
        "clean: largest in filters",
        "adversarial: largest",
        "adversarial: trace",
        "adversarial: largest in filters",
    ];
    page.table(&head, rows.collect());
    type Pick = fn(&Measured) -> &Vec<f64>;
    let kinds: [(&str, Pick); 3] = [
        ("adversarial loss, attack recomputed, along filter-normalised random directions", |m| &m.adversarial_line),
        ("adversarial loss, attack recomputed, along directions of one length for all radii", |m| &m.absolute_line),
        ("clean loss, along filter-normalised random directions", |m| &m.clean_line),
    ];
    for (caption, pick) in kinds {
        let line = |a: &AtRadius| {
            let at = |k: usize| mean(a.seeds.iter().map(|m| pick(m)[k]));
            curve(&format!("eps {}", a.eps), n.steps.iter().enumerate().map(|(k, s)| (*s, at(k))).collect())
        };
        page.plot(
            &format!("The {caption}, less that at w; mean over directions and seeds."),
            "step",
            "loss above that at w",
            &all.iter().map(line).collect::<Vec<_>>(),
        )?;
    }
    let axis = plane::steps(n.plane);
    for a in &all {
        let Some(values) = a.plane.iter().copied().collect::<Option<Vec<f64>>>() else {
            page.text(&format!(
                "eps {}: the plane is not drawn, because the loss is not finite everywhere on it.",
                a.eps
            ));
            continue;
        };
        let map = Grid::new(axis.clone(), axis.clone(), values)?;
        let caption = format!(
            "eps {}: the adversarial loss, attack frozen, on a plane of two filter-normalised directions (first seed)",
            a.eps
        );
        let titles = ("second direction (filter norms)", "first direction (filter norms)", "adversarial loss (nats)");
        page.row(&[
            (contours(&map, titles, 9)?, caption.as_str()),
            (surface(&map, titles)?, "the same surface in perspective"),
        ]);
    }
    Ok(())
}
