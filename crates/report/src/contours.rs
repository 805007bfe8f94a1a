//! Values on an even grid, and lines of equal value over them.

use crate::colours::{rgb, viridis};
use crate::drawing::{Drawing, SQUARE};
use crate::error::{Error, Result, finite, some};
use crate::frame::{Frame, Scale};
use crate::heat::{bar, bar_room};
use crate::images::png;
use contour::ContourBuilder;
use plotters::style::Color;

/// Values on an evenly spaced grid of at least 2 x 2 places.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    pub(crate) x: Vec<f64>,
    pub(crate) y: Vec<f64>,
    pub(crate) z: Vec<f64>,
    range: Option<(f64, f64)>,
}

impl Grid {
    /// A grid with the values `z`: a row of `x.len()` values for each of `y`. `x` and `y` increase in even steps.
    ///
    /// # Errors
    /// Fewer than 2 places a side, values that are not finite, steps that are not even (by 1 %) or do not increase, or a wrong number of values.
    pub fn new(x: Vec<f64>, y: Vec<f64>, z: Vec<f64>) -> Result<Self> {
        for (what, axis) in [("x", &x), ("y", &y)] {
            some(what, axis)?;
            finite(what, axis.iter().copied())?;
            if axis.len() < 2 {
                return Err(Error::shape(what, "at least 2 places", "1"));
            }
            let step = (axis[axis.len() - 1] - axis[0]) / (axis.len() - 1) as f64;
            let even = |w: &[f64]| (w[1] - w[0] - step).abs() <= 0.01 * step;
            if step <= 0.0 || !step.is_finite() || !axis.windows(2).all(even) {
                return Err(Error::range(what, "it must increase in even steps"));
            }
        }
        some("z", &z)?;
        if z.len() != x.len() * y.len() {
            let expected = format!("{} x {} values", x.len(), y.len());
            return Err(Error::shape("z", expected, format!("{} values", z.len())));
        }
        finite("z", z.iter().copied())?;
        Ok(Self { x, y, z, range: None })
    }

    /// The same with a colour scale from `lo` to `hi`, so that several grids can be compared.
    ///
    /// # Errors
    /// A value outside of the range, or an end that is not finite.
    pub fn within(self, lo: f64, hi: f64) -> Result<Self> {
        finite("range", [lo, hi])?;
        if self.z.iter().any(|v| !(lo..=hi).contains(v)) {
            return Err(Error::range("range", format!("values lie outside of [{lo}, {hi}]")));
        }
        Ok(Self { range: Some((lo, hi)), ..self })
    }

    /// The scale of the values.
    pub(crate) fn values(&self) -> Result<Scale> {
        match self.range {
            Some((lo, hi)) => Scale::exact("range", [lo, hi]),
            None => Scale::exact("z", self.z.iter().copied()),
        }
    }

    /// The scales of the cells' edges in x and y, and of the values.
    pub(crate) fn scales(&self) -> Result<(Scale, Scale, Scale)> {
        let edges = |what: &str, v: &[f64]| {
            let (first, last) = (v[0], v[v.len() - 1]);
            let half = (last - first) / (v.len() - 1) as f64 / 2.0;
            Scale::exact(what, [first - half, last + half])
        };
        Ok((edges("x", &self.x)?, edges("y", &self.y)?, self.values()?))
    }
}

/// A grid as coloured cells under `levels` lines of equal value, with a colour bar. The titles are those of x, y and the values, with their units.
///
/// # Errors
/// A range of values that is too large to draw.
pub fn contours(grid: &Grid, (x, y, z): (&str, &str, &str), levels: usize) -> Result<Drawing> {
    let (sx, sy, sz) = grid.scales()?;
    let (nx, ny) = (grid.x.len(), grid.y.len());
    // The picture has y at its top, the grid at its bottom.
    let row = |j: usize| grid.z[j * nx..(j + 1) * nx].iter().flat_map(|v| viridis(sz.share(*v)));
    let address = png(nx, ny, &(0..ny).rev().flat_map(row).collect::<Vec<u8>>())?;
    // In shares of the range: the library compares with the thresholds, and any size of values is fine so.
    let shares: Vec<f64> = grid.z.iter().map(|v| sz.share(*v)).collect();
    let flat = grid.z.iter().all(|v| *v == grid.z[0]);
    let thresholds: Vec<f64> = (1..=levels).filter(|_| !flat).map(|i| i as f64 / (levels + 1) as f64).collect();
    // The library puts values at the middles of cells that start at the origin, each of size 1.
    let found =
        ContourBuilder::new(nx, ny, true).lines(&shares, &thresholds).map_err(|e| Error::draw("contours", e))?;
    Drawing::new("contours", &format!("{z} over {x} and {y}"), &SQUARE, |canvas| {
        let frame = Frame::axes(canvas, (sx, sy), (x, y), 0.0, bar_room(canvas.font))?;
        canvas.picture(&address, (frame.left, frame.top), (frame.right, frame.bottom));
        let place = |c: f64, n: usize, s: Scale| s.lo + c / n as f64 * (s.hi - s.lo);
        for line in &found {
            // The library closes lines along the border, where they are no lines of equal value.
            let inside = |c: f64, n: usize| c > 0.501 && c < n as f64 - 0.501;
            for string in &line.geometry().0 {
                for part in string.0.split(|c| !inside(c.x, nx) || !inside(c.y, ny)).filter(|p| p.len() > 1) {
                    let points: Vec<(f64, f64)> =
                        part.iter().map(|c| frame.at(place(c.x, nx, sx), place(c.y, ny, sy))).collect();
                    canvas.path(&points, rgb("#ffffff").mix(0.8), 1.2)?;
                }
            }
        }
        bar(canvas, &frame, sz, z)
    })
}
