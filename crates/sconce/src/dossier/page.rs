//! The report.

use super::curvature::Spectrum;
use super::measure::Geometry;
use super::summary::Reading;
use crate::args::Dossier;
use crate::attack::{Evaluated, flags, opening, provenance, robustness};
use anyhow::Result;
use sconce_report::{Band, Cell, Curve, Estimate, Grid, Page, Tone, contours, heat, lines_within, surface};

/// The smallest density that is drawn.
const LEAST: f64 = 1e-8;

/// The whole page.
///
/// # Errors
/// Those of the drawings.
pub(super) fn html(args: &Dossier, done: &Evaluated, g: &Geometry, readings: &[Reading]) -> Result<String> {
    let mut page = opening("Sconce · dossier of a checkpoint", &args.attack, done)?;
    let rows = readings.iter().map(|r| {
        let tone = if r.level == "not defined" { Tone::Open } else { Tone::Plain };
        vec![Cell::from(r.question), Cell::from(r.value.as_str()), Cell::toned(r.level, tone), Cell::from(r.limits)]
    });
    page.table(&["in five lines", "value", "level", "what counts as low and as high (chosen by us)"], rows.collect());
    robustness(done, &mut page)?;
    flags(done, &mut page);
    page.note(&format!(
        "Curvature, landscape, smoothness and heat map use the first {} examples, in f64, with the running statistics of batch norm. The network has {} \
         weights of norm {:.3}. The adversarial loss uses {}.",
        g.examples, g.weights, g.norm, g.attack
    ));
    curvature(g, &mut page)?;
    landscape(g, &mut page)?;
    smooth(g, &mut page);
    fourier(g, &mut page)?;
    provenance(&args.attack, done, &mut page);
    let name = args.attack.model.display();
    Ok(page.close(&format!("Sconce: dossier of {name}")))
}

fn curvature(g: &Geometry, page: &mut Page) -> Result<()> {
    page.heading("Curvature in the weights");
    page.text(
        "Eigenvalues of the Hessian by Lanczos iteration, its trace by Hutch++. The attack of the adversarial loss is frozen. Eigenvalues grow when weights \
         shrink; those in units of the filters' norms are invariant to rescalings that do not change the network.",
    );
    let rows = [("clean", &g.clean), ("adversarial", &g.adversarial)].map(|(name, s): (&str, &Spectrum)| {
        let top: Vec<String> = s.top.iter().map(|(v, _)| format!("{v:.3}")).collect();
        vec![
            Cell::from(name),
            Cell::number(s.loss),
            Cell::number(s.gradient),
            Cell::from(top.join("; ")),
            Cell::number(s.top_in_filters),
            Cell::estimate(Some(Estimate::with_interval(s.trace, s.trace_ci95.0, s.trace_ci95.1))),
            Cell::from(format!("{:.1e}", s.disagreement)),
        ]
    });
    let head = [
        "loss",
        "value (nats)",
        "gradient norm",
        "largest eigenvalues",
        "largest, in filter units",
        "trace, 95 % t-interval",
        "relative error of a product",
    ];
    page.table(&head, rows.into());
    // Each node is drawn as a Gaussian of a fiftieth of the range.
    let spectrum = |name: &str, s: &Spectrum, lo: f64, hi: f64| {
        let width = ((hi - lo) / 50.0).max(f64::MIN_POSITIVE);
        let density = sconce_theory::hessian::SpectralDensity { nodes: s.density.clone() };
        let at = |i: i32| lo - 2.0 * width + f64::from(i) * (hi - lo + 4.0 * width) / 200.0;
        Curve::new(name, (0..=200).map(|i| (at(i), density.at(at(i), width).clamp(LEAST, 1e4).log10())))
    };
    let ends = || g.clean.density.iter().chain(&g.adversarial.density).map(|n| n.0);
    let (lo, hi) = (ends().fold(f64::INFINITY, f64::min), ends().fold(f64::NEG_INFINITY, f64::max));
    let curves = [spectrum("clean loss", &g.clean, lo, hi), spectrum("adversarial loss", &g.adversarial, lo, hi)];
    let drawing = lines_within("eigenvalue", "log10 of the spectral density", (-8.0, 4.0), &curves)?;
    page.figure(
        &drawing,
        "Spectral density by stochastic Lanczos quadrature; the vertical axis is the same in every dossier.",
    );
    let rows = g.layers.iter().map(|(n, v)| vec![n.clone(), format!("{v:.4}")]).collect();
    page.table(&["block of the adversarial loss's Hessian", "largest eigenvalue"], rows);
    Ok(())
}

fn landscape(g: &Geometry, page: &mut Page) -> Result<()> {
    page.heading("Loss landscape");
    page.text("Loss on a plane of two random filter-normalised directions through the weights, which are in the middle. A step of 1 moves each filter by its own norm. Both losses share one colour scale.");
    let all = || g.planes.iter().flatten().copied().filter(|v| v.is_finite());
    let (lo, hi) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    for (name, values) in [("Clean loss", &g.planes[0]), ("Adversarial loss, attack frozen", &g.planes[1])] {
        let titles = ("second direction (filter norms)", "first direction (filter norms)", "loss (nats)");
        let map = Grid::new(g.steps.clone(), g.steps.clone(), values.clone()).and_then(|m| m.within(lo, hi));
        match map {
            Ok(map) => page.row(&[
                (contours(&map, titles, 9)?, name),
                (surface(&map, titles)?, "The same surface in perspective."),
            ]),
            Err(e) => page.text(&format!("{name}: {e}.")),
        }
    }
    Ok(())
}

fn smooth(g: &Geometry, page: &mut Page) {
    let s = &g.smoothness;
    page.heading("Gradient smoothness");
    page.text(&format!(
        "The change of the gradient in the weights per distance: the largest ratio found between pairs of points in a ball of radius {:.4} around the weights \
         (a hundredth of their norm), and between an example and its adversarial copy. These are lower bounds on Lipschitz constants. With the attack \
         recomputed, the ratio also contains the change of the attack.",
        s.radius
    ));
    let rows = [
        ("clean loss, in the weights", s.clean),
        ("adversarial loss, attack frozen, in the weights", s.frozen),
        ("adversarial loss, attack recomputed, in the weights", s.recomputed),
        ("inside the perturbation ball of the inputs, mean of single examples", s.cross_mean),
        ("inside the perturbation ball of the inputs, largest of single examples", s.cross_largest),
        ("increase of an example's loss per distance under attack, largest", s.slope),
    ];
    page.table(&["", "change per distance"], rows.map(|(n, v)| vec![n.to_owned(), format!("{v:.4}")]).into());
    let chain = g.chain.map_or(String::new(), |c| {
        format!(" For the chain of all layers, the loss rises by at most {c:.3e} per distance in L2.")
    });
    page.text(&format!("Upper bounds on the Lipschitz constant of each layer, from spectral norms.{chain}"));
    let rows = g.lipschitz.iter().map(|(n, v)| vec![n.clone(), format!("{v:.4}")]).collect();
    page.table(&["layer", "Lipschitz constant at most"], rows);
}

fn fourier(g: &Geometry, page: &mut Page) -> Result<()> {
    page.heading("Fourier heat map");
    let (worst, (l, m)) = g.heat.worst();
    page.text(&format!(
        "Accuracy under a single wave of peak {:.4} in each direction of the frequency plane, low frequencies in the middle: {:.3} on average, {worst:.3} at ({l}, {m}); \
         without a wave {:.3}. The colour scale is the same in every dossier.",
        g.wave,
        g.heat.average(),
        g.heat.clean as f64 / g.heat.total as f64
    ));
    let (h, w) = g.heat.size;
    let columns = Band::frequencies("horizontal frequency (cycles per image)", w);
    let rows = Band::frequencies("vertical frequency (cycles per image)", h);
    let drawing = heat(&columns, &rows, "accuracy", &g.heat.centred(), Some((0.0, 1.0)))?;
    page.figure(&drawing, &format!("Accuracy under each Fourier wave; the lowest is {worst:.2}."));
    Ok(())
}
