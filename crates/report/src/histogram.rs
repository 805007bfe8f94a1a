//! Histograms, several over one axis.

use crate::colours::{rgb, series};
use crate::drawing::{BROAD, Drawing};
use crate::error::{Error, Result, finite, some};
use crate::frame::{Frame, Scale};
use plotters::style::Color;

/// The counts of one group.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Its name in the legend; no entry for an empty name.
    pub name: String,
    /// The edges of the bins, in increasing order: one more than counts.
    pub edges: Vec<f64>,
    /// How many values are in each bin, or their share, or their density; not negative.
    pub counts: Vec<f64>,
}

fn check(k: usize, h: &Histogram) -> Result<()> {
    let (edges, counts) = (format!("histograms[{k}].edges"), format!("histograms[{k}].counts"));
    some(&edges, &h.edges)?;
    some(&counts, &h.counts)?;
    finite(&edges, h.edges.iter().copied())?;
    finite(&counts, h.counts.iter().copied())?;
    if h.edges.len() != h.counts.len() + 1 {
        let expected = format!("{} edges, one more than counts", h.counts.len() + 1);
        return Err(Error::shape(&edges, expected, h.edges.len().to_string()));
    }
    if !h.edges.windows(2).all(|w| w[0] < w[1]) {
        return Err(Error::range(&edges, "must increase"));
    }
    if h.counts.iter().any(|c| *c < 0.0) {
        return Err(Error::range(&counts, "must not be negative"));
    }
    Ok(())
}

/// Histograms over one axis, transparent where they overlap; `x` and `y` are the titles of the axes, for example "score" and "share of rows".
///
/// # Errors
/// No histogram or no bins, a value that is not finite, edges that do not increase, negative counts, or other than one more edge than counts.
pub fn histogram(x: &str, y: &str, histograms: &[Histogram]) -> Result<Drawing> {
    some("histograms", histograms)?;
    histograms.iter().enumerate().try_for_each(|(k, h)| check(k, h))?;
    let sx = Scale::exact("histograms, edges", histograms.iter().flat_map(|h| h.edges.iter().copied()))?;
    let top =
        Scale::exact("histograms, counts", histograms.iter().flat_map(|h| h.counts.iter().copied()).chain([0.0]))?;
    // Bars stand on 0.
    let sy = Scale { lo: 0.0, hi: top.lo.max(top.hi) * 1.06 };
    let drawing = Drawing::new("a histogram", &format!("histogram of {x}"), &BROAD, |canvas| {
        let frame = Frame::axes(canvas, (sx, sy), (x, y), 0.12, 0.0)?;
        let several = histograms.len() > 1;
        for (k, h) in histograms.iter().enumerate() {
            let colour = rgb(series(k));
            let mut outline = vec![frame.at(h.edges[0], 0.0)];
            for (w, c) in h.edges.windows(2).zip(&h.counts) {
                let (a, b) = (frame.at(w[0], *c), frame.at(w[1], *c));
                outline.extend([a, b]);
            }
            outline.push(frame.at(h.edges[h.edges.len() - 1], 0.0));
            canvas.polygon(&outline, colour.mix(if several { 0.35 } else { 0.6 }))?;
            canvas.path(&outline, colour, 1.6)?;
        }
        Ok(())
    })?;
    let legend = histograms.iter().enumerate().map(|(i, h)| (h.name.clone(), series(i)));
    Ok(drawing.with_legend(legend.filter(|l| !l.0.is_empty())))
}
