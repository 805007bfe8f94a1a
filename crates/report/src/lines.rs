//! A plot of curves with error bars.

use crate::colours::{rgb, series};
use crate::drawing::{BROAD, Drawing};
use crate::error::{Error, Result, finite, some};
use crate::estimate::Estimate;
use crate::frame::{Frame, Scale};
use plotters::style::Color;

/// One curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Its name in the legend; no entry for an empty name.
    pub name: String,
    /// Its points, from left to right: x, and y with its interval.
    pub points: Vec<(f64, Estimate)>,
    /// Whether a line joins the points.
    pub joined: bool,
}

impl Curve {
    /// A curve of plain points, joined by a line.
    pub fn new(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self::with_intervals(name, points.into_iter().map(|(x, y)| (x, Estimate::from(y))))
    }

    /// A curve of estimates, joined by a line; their intervals are drawn as error bars.
    pub fn with_intervals(name: impl Into<String>, points: impl IntoIterator<Item = (f64, Estimate)>) -> Self {
        Self { name: name.into(), points: points.into_iter().collect(), joined: true }
    }

    /// The same points without a line between them.
    pub fn scattered(mut self) -> Self {
        self.joined = false;
        self
    }
}

/// A plot of curves over one x axis; `x` and `y` are the titles of the axes, with their units. A curve may be empty, but not all of them.
///
/// # Errors
/// No points, or a value that is not finite.
pub fn lines(x: &str, y: &str, curves: &[Curve]) -> Result<Drawing> {
    plot(x, y, None, curves)
}

/// The same with a y axis from `lo` to `hi`, so that several plots can be compared.
///
/// # Errors
/// As [`lines()`]; a value outside of the axis.
pub fn lines_within(x: &str, y: &str, (lo, hi): (f64, f64), curves: &[Curve]) -> Result<Drawing> {
    plot(x, y, Some((lo, hi)), curves)
}

fn plot(x: &str, y: &str, range: Option<(f64, f64)>, curves: &[Curve]) -> Result<Drawing> {
    let all: Vec<&(f64, Estimate)> = curves.iter().flat_map(|c| &c.points).collect();
    some("curves", &all)?;
    for (k, c) in curves.iter().enumerate() {
        finite(&format!("curves[{k}].points, x"), c.points.iter().map(|p| p.0))?;
        for (i, p) in c.points.iter().enumerate() {
            p.1.check(&format!("curves[{k}].points, y"), i)?;
        }
    }
    let scales = (
        Scale::around("curves, x", all.iter().map(|p| p.0))?,
        match range {
            None => Scale::around("curves, y", all.iter().flat_map(|p| <[f64; 2]>::from(p.1.ends())))?,
            Some((lo, hi)) => {
                finite("range", [lo, hi])?;
                if all.iter().flat_map(|p| <[f64; 2]>::from(p.1.ends())).any(|v| v < lo || v > hi) {
                    return Err(Error::range("range", format!("values lie outside of [{lo}, {hi}]")));
                }
                Scale::exact("range", [lo, hi])?
            }
        },
    );
    let drawing = Drawing::new("a plot of curves", &format!("{y} over {x}"), &BROAD, |canvas| {
        let frame = Frame::axes(canvas, scales, (x, y), 0.12, 0.0)?;
        for (i, c) in curves.iter().enumerate() {
            let colour = rgb(series(i));
            let at: Vec<(f64, f64)> = c.points.iter().map(|p| frame.at(p.0, p.1.mean)).collect();
            if c.joined && at.len() > 1 {
                canvas.path(&at, colour, 2.0)?;
            }
            for (p, (px, _)) in c.points.iter().zip(&at) {
                if let Some((lo, hi)) = p.1.interval {
                    let (a, b) = (frame.at(p.0, lo).1, frame.at(p.0, hi).1);
                    canvas.path(&[(*px, a), (*px, b)], colour.mix(0.75), 1.5)?;
                    for end in [a, b] {
                        canvas.path(&[(px - 3.0, end), (px + 3.0, end)], colour.mix(0.75), 1.5)?;
                    }
                }
            }
            // Dots mark what was measured; on a dense curve they would hide it.
            if !c.joined || at.len() <= 60 {
                at.iter().try_for_each(|p| canvas.dot(*p, 3.6, colour))?;
            }
        }
        Ok(())
    })?;
    Ok(drawing
        .with_legend(curves.iter().enumerate().map(|(i, c)| (c.name.clone(), series(i))).filter(|l| !l.0.is_empty())))
}
