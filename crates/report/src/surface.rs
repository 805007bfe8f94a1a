//! A grid as a surface in perspective.

use crate::canvas::{Anchor, Canvas, width, wrap};
use crate::colours::{ink, rgb, viridis};
use crate::contours::Grid;
use crate::drawing::{Drawing, Sizes};
use crate::error::Result;
use crate::frame::Scale;
use crate::heat::{bar, bar_room};
use plotters::style::Color;

/// The turn about the vertical axis and the tilt towards the reader, in radians.
const YAW: f64 = 0.65;
const PITCH: f64 = 0.5;
/// The height of the box; its sides are 1.
const HEIGHT: f64 = 0.62;
const SIZES: Sizes = Sizes { wide: (736.0, 600.0), narrow: (360.0, 350.0) };

/// Turns a place in the unit box into pixels.
#[derive(Clone, Copy)]
struct View {
    left: f64,
    top: f64,
    scale: f64,
}

impl View {
    /// On a plane whose unit is the side of the box: to the right and down. Larger x and y are nearer.
    fn flat(x: f64, y: f64, z: f64) -> (f64, f64) {
        let (x, y) = (x - 0.5, y - 0.5);
        let (right, depth) = (x * YAW.cos() - y * YAW.sin(), x * YAW.sin() + y * YAW.cos());
        (right, depth * PITCH.sin() - z * HEIGHT * PITCH.cos())
    }

    /// The largest that fits between the edges.
    fn new(left: f64, right: f64, top: f64, bottom: f64) -> Self {
        let corners = (0..8).map(|i| Self::flat(f64::from(i & 1), f64::from(i >> 1 & 1), f64::from(i >> 2)));
        let (mut lo, mut hi) = ((f64::INFINITY, f64::INFINITY), (f64::NEG_INFINITY, f64::NEG_INFINITY));
        for (x, y) in corners {
            lo = (lo.0.min(x), lo.1.min(y));
            hi = (hi.0.max(x), hi.1.max(y));
        }
        let scale = ((right - left) / (hi.0 - lo.0)).min((bottom - top) / (hi.1 - lo.1));
        let spare = (right - left - scale * (hi.0 - lo.0)) / 2.0;
        Self { left: left + spare - lo.0 * scale, top: top - lo.1 * scale, scale }
    }

    fn at(self, x: f64, y: f64, z: f64) -> (f64, f64) {
        let (right, down) = Self::flat(x, y, z);
        (self.left + self.scale * right, self.top + self.scale * down)
    }
}

/// A grid as a surface in perspective, with a colour bar. The titles are those of x, y and the height, with their units.
///
/// # Errors
/// A range of values that is too large to draw.
pub fn surface(grid: &Grid, (x, y, z): (&str, &str, &str)) -> Result<Drawing> {
    let (sx, sy) = (Scale::exact("x", grid.x.iter().copied())?, Scale::exact("y", grid.y.iter().copied())?);
    let sz = grid.values()?;
    Drawing::new("a surface", &format!("{z} over {x} and {y}, in perspective"), &SIZES, |canvas| {
        let ((w, h), font) = (canvas.size, canvas.font);
        let rows = sz.ticks(4);
        let side = rows.iter().map(|t| width(&t.1, font)).fold(0.0, f64::max) + 12.0;
        // The near corner divides the width: x lies to its left, y to its right.
        let place = |under: f64| View::new(side.max(24.0), w - 24.0, font * 2.2, h - bar_room(canvas.font) - under);
        let corner = place(font * 2.0).at(1.0, 1.0, 0.0).0;
        let titles = [wrap(x, corner - 24.0, font), wrap(y, w - corner - 24.0, font)];
        let lines = titles.iter().map(Vec::len).max().unwrap_or(0) as f64;
        let view = place(font * (1.6 + 1.25 * lines));
        walls(canvas, view, &rows, sz)?;
        sides(canvas, view, (sx, sy), &titles)?;
        canvas.text(z, (2.0, 4.0 + font * 0.6), Anchor::Start, ink(1.0))?;
        patches(canvas, view, grid, (sx, sy, sz))?;
        let frame = crate::frame::Frame { left: 24.0, right: w - 24.0, top: 0.0, bottom: 0.0, x: sx, y: sy };
        bar(canvas, &frame, sz, z)
    })
}

/// The floor, the two far walls, and the ticks of the height at the left edge.
fn walls(canvas: &Canvas<'_>, view: View, rows: &[(f64, String)], sz: Scale) -> Result<()> {
    let floor = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.0, 0.0)].map(|(x, y)| view.at(x, y, 0.0));
    canvas.path(&floor, ink(0.35), 1.0)?;
    for (v, text) in rows {
        let share = sz.share(*v);
        let line = [view.at(0.0, 1.0, share), view.at(0.0, 0.0, share), view.at(1.0, 0.0, share)];
        canvas.path(&line, ink(0.15), 1.0)?;
        canvas.text(text, (line[0].0 - 6.0, line[0].1), Anchor::End, ink(0.8))?;
    }
    for (x, y) in [(0.0, 1.0), (0.0, 0.0), (1.0, 0.0)] {
        canvas.path(&[view.at(x, y, 0.0), view.at(x, y, 1.0)], ink(0.35), 1.0)?;
    }
    Ok(())
}

/// Ticks and titles of x (the near left edge) and y (the near right edge).
fn sides(canvas: &Canvas<'_>, view: View, (sx, sy): (Scale, Scale), titles: &[Vec<String>; 2]) -> Result<()> {
    let (w, font) = (canvas.size.0, canvas.font);
    let (corner, bottom) = view.at(1.0, 1.0, 0.0);
    for (along_x, scale, lines) in [(true, sx, &titles[0]), (false, sy, &titles[1])] {
        let (anchor, sign) = if along_x { (Anchor::End, -1.0) } else { (Anchor::Start, 1.0) };
        let place = |s: f64| if along_x { view.at(s, 1.0, 0.0) } else { view.at(1.0, s, 0.0) };
        for (v, text) in scale.ticks(4) {
            let (px, py) = place(scale.share(v));
            canvas.path(&[(px, py), (px + sign * 3.0, py + 4.0)], ink(0.5), 1.0)?;
            canvas.text(&text, (px + sign * 7.0, py + 6.0 + font * 0.4), anchor, ink(0.8))?;
        }
        // Under its edge, below all labels.
        let half = lines.iter().map(|l| width(l, font)).fold(0.0, f64::max) / 2.0;
        let (lo, hi) = if along_x { (2.0, corner - 14.0) } else { (corner + 14.0, w - 2.0) };
        let middle = place(0.5).0.clamp(lo + half, (hi - half).max(lo + half));
        for (i, line) in lines.iter().enumerate() {
            let at = (middle, bottom + font * (2.0 + 1.25 * i as f64));
            canvas.text(line, at, Anchor::Middle, ink(1.0))?;
        }
    }
    Ok(())
}

/// The surface, from the farthest patch to the nearest.
fn patches(canvas: &Canvas<'_>, view: View, grid: &Grid, (sx, sy, sz): (Scale, Scale, Scale)) -> Result<()> {
    let (nx, ny) = (grid.x.len(), grid.y.len());
    let at = |i: usize, j: usize| view.at(sx.share(grid.x[i]), sy.share(grid.y[j]), sz.share(grid.z[j * nx + i]));
    for j in 0..ny - 1 {
        for i in 0..nx - 1 {
            let corners = [(i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)];
            let mean = corners.iter().map(|c| sz.share(grid.z[c.1 * nx + c.0])).sum::<f64>() / 4.0;
            let [r, g, b] = viridis(mean);
            let points = corners.map(|(i, j)| at(i, j));
            canvas.polygon(&points, rgb(&format!("#{r:02x}{g:02x}{b:02x}")))?;
            let closed: Vec<(f64, f64)> = points.iter().chain([&points[0]]).copied().collect();
            canvas.path(&closed, rgb("#101418").mix(0.25), 0.6)?;
        }
    }
    Ok(())
}
