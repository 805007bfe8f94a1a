//! The sections of the report.

use super::Seed;
use super::arms::ARMS;
use super::config::Config;
use super::flat::Flat;
use super::kink::Smooth;
use super::linear::{Found, Point};
use super::turns::Turn;
use crate::pages::{cell, difference};
use crate::results::Results;
use anyhow::Result;
use sconce_report::{Cell, Curve, Page, field};

pub fn write(cfg: &Config, r: &Results, page: &mut Page) -> Result<()> {
    linear(cfg, r, page)?;
    flat(r, page)?;
    entropy(cfg, r, page)?;
    network(cfg, r, page)
}

fn curve(name: &str, points: Vec<(f64, f64)>) -> Curve {
    Curve::new(name, points)
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
        "The model is logistic regression on {} Gaussian examples in two dimensions, eps {}. Two weight vectors lie at a distance h on both \
         sides of the line where the first weight is 0; the Lipschitz ratio is the distance of their gradients divided by h. For a smooth \
         loss it stays below a constant; at a kink it grows like 1 / h. The L-infinity loss has a kink there, and none where no weight \
         changes its sign; the L2 loss has one at w = 0 only.",
        cfg.linear.examples, cfg.linear.eps
    ));
    let over = |f: fn(&Point) -> f64| {
        let at = |i: usize| mean(all.iter().map(|s| f(&s.points[i])));
        (0..cfg.linear.distances.len()).map(|i| (log(cfg.linear.distances[i]), log(at(i)))).collect::<Vec<_>>()
    };
    page.plot(
        "The Lipschitz ratio of the gradient over the distance, both axes logarithmic.",
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
        "attack, L2",
        "attack, Linf",
        "gradient, L2",
        "bound, L2",
        "gradient, Linf",
        "Linf, same signs",
        "Linf, smoothed",
    ];
    page.table(&head, rows.collect());
    let axes = ("first weight", "second weight");
    page.row(&[
        (
            field(&all[0].fields[0], 0.13, axes)?,
            "The gradient of the adversarial loss, L2: it is continuous except at 0.",
        ),
        (field(&all[0].fields[1], 0.13, axes)?, "L-infinity: it jumps across both axes."),
    ]);
    Ok(())
}

fn flat(r: &Results, page: &mut Page) -> Result<()> {
    let all: Vec<Flat> = serde_json::from_value(r.series["toy"].clone())?;
    page.heading("Flat in the input, less smooth in the weights");
    page.text(
        "The loss is l = theta.x - k norm(x)^2 / 2 with x in a ball. While the best x lies inside, it is theta / k, and its Lipschitz constant \
         in theta is 1 / k: the flatter the loss (small k), the larger. Near a fixed theta the constraint binds once k is small, and then the \
         constraint determines the constant. The best x is found by projected gradient ascent.",
    );
    let rows = all.iter().map(|f| {
        vec![
            format!("{}", f.curvature),
            format!("{:.4}", f.interior),
            format!("{:.4}", f.bound),
            format!("{:.4}{}", f.fixed, if f.binds { " (the ball binds)" } else { "" }),
        ]
    });
    page.table(&["curvature k", "Lipschitz ratio of the best x, inside", "K", "near a fixed theta"], rows.collect());
    Ok(())
}

fn entropy(cfg: &Config, r: &Results, page: &mut Page) -> Result<()> {
    let all: Vec<Smooth> = serde_json::from_value(r.series["entropy"].clone())?;
    page.heading("EntropySGD's objective");
    page.text(&format!(
        "The loss is a kink, L(s) = {} |s|, in F(t) = -log of the integral of exp(-L(s) - gamma (t - s)^2 / 2). We compute the second \
         derivative of F by differences of the gradient (quadrature), and its largest value by the formula |gamma - gamma^2 Var|. The raw \
         loss has no second derivative at 0.",
        cfg.entropy.slope
    ));
    let curves: Vec<Curve> = all.iter().map(|s| curve(&format!("gamma {}", s.gamma), s.curve.clone())).collect();
    page.plot("The second derivative of F.", "t", "second derivative", &curves)?;
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
        "The network has two layers with {} tanh units, adversarially trained on {} images of {} (L-infinity {}, PGD with {} steps). Shown is \
         the largest Lipschitz ratio of the gradient between neighbouring weights along random directions through the trained weights, for the \
         clean loss and for attacks of one step with the same L2 norm.",
        n.hidden, n.data.train, n.data.name, n.eps, n.attack_steps
    ));
    let over = |f: fn(&Turn) -> f64| {
        let at = |i: usize| mean(all.iter().map(|s| f(&s.1[i])));
        (0..n.distances.len()).map(|i| (log(n.distances[i]), log(at(i)))).collect::<Vec<_>>()
    };
    page.plot(
        "The Lipschitz ratio of the gradient over the distance, both axes logarithmic.",
        "log10 of the distance",
        "log10 of the ratio",
        &[curve("L-infinity", over(|t| t.linf)), curve("L2", over(|t| t.l2)), curve("clean", over(|t| t.clean))],
    )?;
    page.heading("Adversarial training by EntropySGD and its controls");
    page.text(&format!(
        "A plain run has {} epochs of SGD; all arms of a seed start from the same weights and see the same batches. A walk takes {} gradients, \
         each with its own attack. Robust accuracy is measured under PGD with {} steps on {} test images, and on {} training images; the \
         Lipschitz ratio is that of the gradient under an L-infinity attack of one step at distance {}.",
        n.epochs, n.inner_steps, n.test_steps, n.data.test, n.examples, n.distances[0]
    ));
    let rows = ARMS.iter().map(|a| {
        let get = |k: &str| cell(r.metrics.get(&format!("{}.{k}", a.key())));
        let gradients = r.metrics.get(&format!("{}.gradients", a.key())).map_or(0.0, |s| s.mean);
        vec![
            Cell::from(a.title()),
            format!("{gradients:.0}").into(),
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
        "Lipschitz ratio of the gradient",
    ];
    page.table(&head, rows.collect());
    let rows = [
        ("gain.epochs", "EntropySGD over SGD, equal steps"),
        ("gain.epochs_to_long", "the same over SGD with as many gradients"),
        ("gain.gradients", "EntropySGD over SGD, equal gradients"),
        ("gain.to_average", "EntropySGD (equal steps) over the mean of SGD's weights"),
        ("gain.to_noise", "EntropySGD (equal gradients) over walks with noise alone"),
    ];
    let rows = rows.iter().map(|(k, t)| vec![Cell::from(*t), difference(r.metrics.get(*k))]).collect();
    page.table(&["robust accuracy, paired by seed", "difference"], rows);
    Ok(())
}
