//! The sections of the report.

use super::Seed;
use super::config::Config;
use super::linear::{Flat, Found, Point, Smooth};
use super::network::{ARMS, Turn};
use crate::pages::html::{Page, cell};
use crate::pages::maps;
use crate::pages::plot::Curve;
use crate::results::Results;
use anyhow::Result;

pub fn write(cfg: &Config, r: &Results, page: &mut Page) -> Result<()> {
    linear(cfg, r, page)?;
    flat(r, page)?;
    entropy(cfg, r, page)?;
    network(cfg, r, page)
}

fn curve(name: &str, points: Vec<(f64, f64)>) -> Curve {
    Curve { name: name.to_owned(), points, spread: Vec::new(), joined: true }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (n, sum) = values.fold((0.0, 0.0), |(n, s), v| (n + 1.0, s + v));
    sum / n
}

fn log(v: f64) -> f64 {
    v.max(1e-12).log10()
}

fn linear(cfg: &Config, r: &Results, page: &mut Page) -> Result<()> {
    let all: Vec<Found> = serde_json::from_value(r.series["linear"].clone())?;
    page.heading("Linear model: the constraint decides");
    page.text(&format!(
        "Logistic regression on {} Gaussian examples in two dimensions, eps {}. Two weights at a distance h, on both sides of the line \
         where the first weight is 0: how far apart the gradients are, per unit of distance. A smooth loss keeps this below a constant; \
         a kink makes it grow like 1 / h. L-infinity has a kink there, and none where no weight changes its sign; L2 has one at w = 0 only.",
        cfg.linear.examples, cfg.linear.eps
    ));
    let over = |f: fn(&Point) -> f64| {
        let at = |i: usize| mean(all.iter().map(|s| f(&s.points[i])));
        (0..cfg.linear.distances.len()).map(|i| (log(cfg.linear.distances[i]), log(at(i)))).collect::<Vec<_>>()
    };
    page.plot(
        "The gradient's turn per distance, both on scales of tens.",
        "log10 of the distance",
        "log10 of the ratio",
        &[
            curve("L-infinity, across", over(|p| p.linf)),
            curve("L2, across", over(|p| p.l2)),
            curve("L-infinity, no change of sign", over(|p| p.linf_same)),
            curve("the bound for L2", over(|p| p.bound)),
            curve("L-infinity, smoothed by EntropySGD", over(|p| p.smoothed)),
        ],
    )?;
    let rows = cfg.linear.distances.iter().enumerate().map(|(i, h)| {
        let number = |f: fn(&Point) -> f64| format!("{:.4}", mean(all.iter().map(|s| f(&s.points[i]))));
        vec![
            format!("{h:e}"),
            number(|p| p.l2_attack),
            number(|p| p.linf_attack),
            number(|p| p.l2),
            number(|p| p.bound),
            number(|p| p.linf),
            number(|p| p.linf_same),
            number(|p| p.smoothed),
        ]
    });
    let head = [
        "distance",
        "attack turns, L2",
        "attack turns, Linf",
        "gradient, L2",
        "bound, L2",
        "gradient, Linf",
        "Linf, same signs",
        "Linf, smoothed",
    ];
    page.table(&head, rows.collect());
    let axes = ("first weight", "second weight");
    page.figures(&[
        (
            maps::field(&all[0].fields[0], 0.13, axes)?,
            "The gradient of the adversarial loss, L2: it turns smoothly but at 0.",
        ),
        (maps::field(&all[0].fields[1], 0.13, axes)?, "L-infinity: it jumps across both axes."),
    ]);
    Ok(())
}

fn flat(r: &Results, page: &mut Page) -> Result<()> {
    let all: Vec<Flat> = serde_json::from_value(r.series["toy"].clone())?;
    page.heading("Flat in the input, less smooth in the weights");
    page.text(
        "l = theta.x - k norm(x)^2 / 2 in a ball of x. While the best x is inside, it is theta / k and turns by 1 / k: the flatter the loss \
         (small k), the faster. About a fixed theta the ball binds once k is small, and from then on it is the ball that decides. Best x by \
         projected gradient ascent.",
    );
    let rows = all.iter().map(|f| {
        vec![
            format!("{}", f.curvature),
            format!("{:.4}", f.interior),
            format!("{:.4}", f.bound),
            format!("{:.4}{}", f.fixed, if f.binds { " (the ball binds)" } else { "" }),
        ]
    });
    page.table(&["curvature k", "turn of the best x, inside", "K", "about a fixed theta"], rows.collect());
    Ok(())
}

fn entropy(cfg: &Config, r: &Results, page: &mut Page) -> Result<()> {
    let all: Vec<Smooth> = serde_json::from_value(r.series["entropy"].clone())?;
    page.heading("EntropySGD's objective");
    page.text(&format!(
        "A kink, {} |t|, in F(t) = -log of the integral of exp(-L(s) - gamma (t - s)^2 / 2): its second derivative by differences of the \
         gradient (quadrature), and the largest by the formula |gamma - gamma^2 Var|. The raw loss has none at 0.",
        cfg.entropy.slope
    ));
    let curves: Vec<Curve> = all.iter().map(|s| curve(&format!("gamma {}", s.gamma), s.curve.clone())).collect();
    page.plot("F'' over t.", "t", "second derivative", &curves)?;
    let rows = all
        .iter()
        .map(|s| vec![format!("{}", s.gamma), format!("{:.4}", s.differences), format!("{:.4}", s.formula)])
        .collect();
    page.table(&["gamma", "largest, by differences", "largest, by the formula"], rows);
    Ok(())
}

fn network(cfg: &Config, r: &Results, page: &mut Page) -> Result<()> {
    let n = &cfg.network;
    let all: Vec<Seed> = serde_json::from_value(r.series["network"].clone())?;
    page.heading("A small network");
    page.text(&format!(
        "Two layers with {} tanh units, adversarially trained on {} images of {} (L-infinity {}, PGD of {} steps). Along random \
         directions through the trained weights, the largest turn of the gradient between neighbours, for the clean loss and for attacks \
         of one step with the same L2 norm.",
        n.hidden, n.data.train, n.data.name, n.eps, n.attack_steps
    ));
    let over = |f: fn(&Turn) -> f64| {
        let at = |i: usize| mean(all.iter().map(|s| f(&s.1[i])));
        (0..n.distances.len()).map(|i| (log(n.distances[i]), log(at(i)))).collect::<Vec<_>>()
    };
    page.plot(
        "The gradient's turn per distance, both on scales of tens.",
        "log10 of the distance",
        "log10 of the ratio",
        &[curve("L-infinity", over(|t| t.linf)), curve("L2", over(|t| t.l2)), curve("clean", over(|t| t.clean))],
    )?;
    page.heading("Adversarial training by EntropySGD and its controls");
    page.text(&format!(
        "{} epochs of SGD for a plain run, the same first weights and batches for all of a seed. A walk takes {} gradients, each with its own \
         attack. Robust accuracy under PGD of {} steps on {} test images, and on {} training images; the turn is that of the gradient with \
         an L-infinity attack of one step at distance {}.",
        n.epochs, n.inner_steps, n.test_steps, n.data.test, n.examples, n.distances[0]
    ));
    let rows = ARMS.iter().map(|a| {
        let get = |k: &str| cell(r.metrics.get(&format!("{}.{k}", a.key())));
        let gradients = r.metrics.get(&format!("{}.gradients", a.key())).map_or(0.0, |s| s.mean);
        vec![
            a.title().to_owned(),
            format!("{gradients:.0}"),
            get("clean"),
            get("robust"),
            get("robust_train"),
            get("turning"),
        ]
    });
    let head = [
        "trained by",
        "gradients",
        "clean accuracy",
        "robust accuracy",
        "robust, training images",
        "turn of the gradient",
    ];
    page.table(&head, rows.collect());
    let rows = [
        ("gain.epochs", "EntropySGD over SGD, equal steps"),
        ("gain.epochs_to_long", "the same over SGD with as many gradients"),
        ("gain.gradients", "EntropySGD over SGD, equal gradients"),
        ("gain.to_average", "EntropySGD (equal steps) over the mean of SGD's weights"),
        ("gain.to_noise", "EntropySGD (equal gradients) over walks with noise alone"),
    ];
    let rows = rows.iter().map(|(k, t)| vec![(*t).to_owned(), cell(r.metrics.get(*k))]).collect();
    page.table(&["robust accuracy, paired by seed", "difference"], rows);
    Ok(())
}
