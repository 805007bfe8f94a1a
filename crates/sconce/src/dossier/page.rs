//! The report.

use super::Args;
use super::measure::{Geometry, Spectrum};
use crate::pages;
use anyhow::Result;
use sconce_attacks::{Evaluation, Status};
use sconce_report::{Curve, Grid, Page, contours, surface};

pub fn html(args: &Args, done: &Evaluation, g: &Geometry) -> Result<String> {
    let name = args.attack.model.display().to_string();
    let lead = format!(
        "{} on {}: {} weights of norm {:.3}. Robust accuracy on {} examples; curvature, landscape, smoothness and heat map on the first {}, \
         in f64, batch norm by its running statistics.",
        args.attack.arch,
        args.attack.data,
        g.weights,
        g.norm,
        done.ledger.len(),
        g.examples
    );
    let mut page = Page::new("Sconce · dossier of a model", &name, &lead);
    accuracy(done, &mut page)?;
    curvature(g, &mut page)?;
    smooth(g, &mut page);
    landscape(g, &mut page)?;
    fourier(g, &mut page)?;
    Ok(page.close(&format!("Sconce: dossier of {name}")))
}

fn accuracy(done: &Evaluation, page: &mut Page) -> Result<()> {
    page.heading("Robust accuracy");
    let clean = done.clean_accuracy();
    let ci = clean.wilson95();
    let row = |what: String, rate: f64, lo: f64, hi: f64, status: String| {
        vec![what, format!("{rate:.3}"), format!("[{lo:.3}, {hi:.3}]"), status]
    };
    let mut rows = vec![row("clean".into(), clean.rate(), ci.lo, ci.hi, String::new())];
    for r in done.robust_accuracies()? {
        let what = format!("{:?}, radius {:.5}", r.threat.norm(), r.threat.eps());
        rows.push(row(what, r.robust.rate(), r.ci95.lo, r.ci95.hi, r.status.to_string()));
    }
    page.table(&["", "accuracy", "95 % interval", "trust"], rows);
    page.text(&format!("Suite: {}.", done.suite));
    if let Status::Flagged(flags) = &done.status {
        flags.iter().for_each(|f| page.text(&format!("Flag {f}")));
    }
    done.notes.iter().for_each(|n| page.text(n));
    Ok(())
}

fn curvature(g: &Geometry, page: &mut Page) -> Result<()> {
    page.heading("Curvature in the weights");
    page.text(&format!(
        "Eigenvalues by Lanczos with full reorthogonalisation, trace by Hutch++, products by double backward passes, checked against \
         differences of gradients on one vector. The adversarial loss has its attack ({}, radius {:.5}) frozen. Raw numbers grow where weights \
         shrink; those in units of the filters do not change where a rescaling leaves the network as it is. Where the norm of the gradient is \
         not small, this is no minimum.",
        g.attack, g.eps
    ));
    let rows = [("clean", &g.clean), ("adversarial", &g.adversarial)].map(|(name, s): (&str, &Spectrum)| {
        let top: Vec<String> = s.top.iter().map(|(v, _)| format!("{v:.4}")).collect();
        vec![
            name.to_owned(),
            format!("{:.4}", s.loss),
            format!("{:.4}", s.gradient),
            top.join(" "),
            format!("{:.4}", s.top_in_filters),
            format!("{:.3} ± {:.3}", s.trace, s.trace_error),
            format!("{:.1e}", s.disagreement),
        ]
    });
    let head = [
        "loss",
        "value",
        "norm of the gradient",
        "largest eigenvalues",
        "largest in filters",
        "trace",
        "two routes differ by",
    ];
    page.table(&head, rows.into());
    // Every node a Gaussian of a fiftieth of the range.
    let spectrum = |name: &str, s: &Spectrum, lo: f64, hi: f64| {
        let width = (hi - lo) / 50.0;
        let density = sconce_theory::hessian::SpectralDensity { nodes: s.density.clone() };
        let at = |i: i32| lo - 2.0 * width + f64::from(i) * (hi - lo + 4.0 * width) / 200.0;
        Curve::new(name, (0..=200).map(|i| (at(i), density.at(at(i), width).max(1e-8).log10())))
    };
    let ends = || g.clean.density.iter().chain(&g.adversarial.density).map(|n| n.0);
    let (lo, hi) = (ends().fold(f64::INFINITY, f64::min), ends().fold(f64::NEG_INFINITY, f64::max));
    page.plot(
        "The density of the eigenvalues by stochastic Lanczos quadrature, on a scale of tens.",
        "eigenvalue",
        "log10 of the density",
        &[spectrum("clean", &g.clean, lo, hi), spectrum("adversarial", &g.adversarial, lo, hi)],
    )?;
    let rows = g.layers.iter().map(|(n, v)| vec![n.clone(), format!("{v:.4}")]).collect();
    page.table(&["block of the adversarial loss's Hessian", "largest eigenvalue"], rows);
    Ok(())
}

fn smooth(g: &Geometry, page: &mut Page) {
    let s = &g.smoothness;
    page.heading("Smoothness");
    page.text(&format!(
        "How fast the gradient in the weights turns: the largest ratio found between pairs in a ball of radius {:.4} about the weights (a \
         hundredth of their norm), and between an example and its attacked copy. Lower bounds on Lipschitz constants. With the attack made \
         anew the ratio also holds what the attack does.",
        s.radius
    ));
    let rows = [
        ("clean loss, in the weights", s.clean),
        ("adversarial loss, attack frozen, in the weights", s.frozen),
        ("adversarial loss, attack made anew, in the weights", s.anew),
        ("over the attacked ball of inputs, mean of single examples", s.cross_mean),
        ("over the attacked ball of inputs, largest of single examples", s.cross_largest),
    ];
    page.table(&["", "ratio"], rows.map(|(n, v)| vec![n.to_owned(), format!("{v:.4}")]).into());
    page.text(&format!(
        "Upper bounds from the layers' spectral norms.{} The steepest rise of an example's loss under attack is {:.4} per distance.",
        g.chain.map_or(String::new(), |c| format!(" As a chain, the loss rises by at most {c:.3e} per distance in L2.")),
        s.slope
    ));
    let rows = g.stretch.iter().map(|(n, v)| vec![n.clone(), format!("{v:.4}")]).collect();
    page.table(&["layer", "stretches by at most"], rows);
}

fn landscape(g: &Geometry, page: &mut Page) -> Result<()> {
    page.heading("Landscape");
    page.text("Two random filter-normalised directions, one step as long as each filter.");
    for (name, values) in [("Clean loss", &g.planes[0]), ("Adversarial loss, attack frozen", &g.planes[1])] {
        let titles = ("second direction (filter norms)", "first direction (filter norms)", "loss (nats)");
        match Grid::new(g.steps.clone(), g.steps.clone(), values.clone()) {
            Ok(map) => page.row(&[
                (contours(&map, titles, 9)?, name),
                (surface(&map, titles)?, "The same surface in perspective."),
            ]),
            Err(e) => page.text(&format!("{name}: {e}.")),
        }
    }
    Ok(())
}

fn fourier(g: &Geometry, page: &mut Page) -> Result<()> {
    page.heading("Fourier heat map");
    let cells = pages::frequencies(&g.heat);
    let (worst, (l, m)) = g.heat.worst();
    page.text(&format!(
        "Accuracy under a wave of peak {:.4} in each direction, low frequencies in the middle: {:.3} on average, {worst:.3} at ({l}, {m}).",
        g.wave,
        g.heat.average()
    ));
    let (lo, hi) = cells.iter().flatten().fold((1f64, 0f64), |(a, b), v| (a.min(*v), b.max(*v)));
    let caption = format!("Accuracy under each Fourier direction; the lowest is {worst:.2}.");
    page.figure(&pages::fourier(g.heat.size, &cells, (lo, hi))?, &caption);
    Ok(())
}
