//! Pictures of two dimensions: contours, a surface seen from aside, a field of arrows. All as SVG.

use crate::pages::plot::{INK, axes, rgb, viridis};
use anyhow::{Result, anyhow, ensure};
use contour::ContourBuilder;
use plotters::prelude::*;
use sconce_attacks::fourier::HeatMap;

/// Values on an even grid: `z` has a row for each of `y`.
#[derive(Clone, Debug)]
pub struct Map {
    pub x: Vec<f64>,
    pub y: Vec<f64>,
    pub z: Vec<f64>,
}

impl Map {
    /// Checks that the sizes fit and that there is something to see.
    pub fn new(x: Vec<f64>, y: Vec<f64>, z: Vec<f64>) -> Result<Self> {
        ensure!(x.len() >= 2 && y.len() >= 2 && z.len() == x.len() * y.len(), "a map of {}x{}", x.len(), y.len());
        ensure!(z.iter().all(|v| v.is_finite()), "a map with values that are not finite");
        Ok(Self { x, y, z })
    }

    fn range(&self) -> (f64, f64) {
        self.z.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)))
    }

    /// How high a value stands, in [0, 1].
    fn share(&self, v: f64) -> f64 {
        let (lo, hi) = self.range();
        if hi > lo { (v - lo) / (hi - lo) } else { 0.5 }
    }
}

/// The cells of a Fourier heat map as shares, low frequencies in the middle; where only half of the plane was measured, the other
/// half shows its mirror image.
pub fn frequencies(heat: &HeatMap) -> Vec<Option<f64>> {
    let (h, w) = heat.size;
    let mut cells = vec![None; h * w];
    let place = |l: usize, m: usize| (l + h / 2) % h * w + (m + w / 2) % w;
    let shares = || heat.directions.iter().zip(heat.correct.iter().map(|c| *c as f64 / heat.total as f64));
    for (&(l, m), share) in shares() {
        let mirror = place((h - l) % h, (w - m) % w);
        cells[mirror] = cells[mirror].or(Some(share));
    }
    // A measured direction wins over the mirror of another.
    for (&(l, m), share) in shares() {
        cells[place(l, m)] = Some(share);
    }
    cells
}

fn failed(e: &dyn std::fmt::Display) -> anyhow::Error {
    anyhow!("plot: {e}")
}

fn colour(share: f64) -> RGBColor {
    let [r, g, b] = viridis(share);
    RGBColor(r, g, b)
}

/// Takes the size and the ink from the page.
fn page_ink(svg: &str, (w, h): (u32, u32)) -> String {
    let svg = svg.replace("#010203", "currentColor");
    svg.replacen(&format!("width=\"{w}\" height=\"{h}\""), "class=\"plot\" role=\"img\"", 1)
}

fn edges(v: &[f64]) -> (f64, f64) {
    let (first, last) = (v[0], v[v.len() - 1]);
    (first.min(last), first.max(last))
}

/// A map as coloured cells under lines of equal value, `levels` of them.
pub fn contours(map: &Map, labels: (&str, &str), levels: usize) -> Result<String> {
    const SIZE: (u32, u32) = (420, 380);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let ((x0, x1), (y0, y1)) = (edges(&map.x), edges(&map.y));
        let (dx, dy) = ((x1 - x0) / (map.x.len() - 1) as f64, (y1 - y0) / (map.y.len() - 1) as f64);
        let mut chart = ChartBuilder::on(&root)
            .margin(8)
            .x_label_area_size(40)
            .y_label_area_size(52)
            .build_cartesian_2d(x0 - dx / 2.0..x1 + dx / 2.0, y0 - dy / 2.0..y1 + dy / 2.0)
            .map_err(|e| failed(&e))?;
        axes(&mut chart, labels, 0.0)?;
        let nx = map.x.len();
        let cell = |k: usize| {
            let (x, y) = (map.x[k % nx], map.y[k / nx]);
            // A little over the next cell, so that no seam shows.
            let corners = [(x - 0.5 * dx, y - 0.5 * dy), (x + 0.53 * dx, y + 0.53 * dy)];
            Rectangle::new(corners, colour(map.share(map.z[k])).filled())
        };
        chart.draw_series((0..map.z.len()).map(cell)).map_err(|e| failed(&e))?;
        let (lo, hi) = map.range();
        let thresholds: Vec<f64> =
            (1..=levels).map(|i| lo + (hi - lo) * i as f64 / (levels + 1) as f64).filter(|_| hi > lo).collect();
        // The library puts values at the middles of cells that start at the origin.
        let build = ContourBuilder::new(nx, map.y.len(), true)
            .x_origin(x0 - dx / 2.0)
            .y_origin(y0 - dy / 2.0)
            .x_step(dx)
            .y_step(dy);
        for line in build.lines(&map.z, &thresholds).map_err(|e| failed(&e))? {
            for string in &line.geometry().0 {
                let points: Vec<(f64, f64)> = string.0.iter().map(|c| (c.x, c.y)).collect();
                chart
                    .draw_series(std::iter::once(PathElement::new(points, WHITE.mix(0.8).stroke_width(1))))
                    .map_err(|e| failed(&e))?;
            }
        }
        root.present().map_err(|e| failed(&e))?;
    }
    Ok(page_ink(&svg, SIZE))
}

/// A map as a surface seen from aside.
pub fn surface(map: &Map) -> Result<String> {
    const SIZE: (u32, u32) = (420, 340);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let ((x0, x1), (y0, y1), (lo, hi)) = (edges(&map.x), edges(&map.y), map.range());
        let hi = if hi > lo { hi } else { lo + 1.0 };
        let mut chart =
            ChartBuilder::on(&root).margin(8).build_cartesian_3d(x0..x1, lo..hi, y0..y1).map_err(|e| failed(&e))?;
        chart.with_projection(|mut p| {
            p.pitch = 0.5;
            p.yaw = 0.6;
            p.scale = 0.85;
            p.into_matrix()
        });
        chart
            .configure_axes()
            .label_style(("sans-serif", 12).into_font().color(&INK))
            .axis_panel_style(TRANSPARENT)
            .light_grid_style(TRANSPARENT)
            .bold_grid_style(INK.mix(0.15))
            .draw()
            .map_err(|e| failed(&e))?;
        let nearest = |v: &[f64], at: f64| {
            let far = |i: &usize| (v[*i] - at).abs();
            (0..v.len()).min_by(|a, b| far(a).total_cmp(&far(b))).unwrap_or(0)
        };
        let height = |x: f64, y: f64| map.z[nearest(&map.y, y) * map.x.len() + nearest(&map.x, x)];
        let style = |z: &f64| colour(map.share(*z)).mix(0.9).filled();
        let series = SurfaceSeries::xoz(map.x.iter().copied(), map.y.iter().copied(), height).style_func(&style);
        chart.draw_series(series).map_err(|e| failed(&e))?;
        root.present().map_err(|e| failed(&e))?;
    }
    Ok(page_ink(&svg, SIZE))
}

/// Arrows at places, (x, y, dx, dy): the longest is as long as the distance of `spacing`; a dot marks the tail.
pub fn field(arrows: &[[f64; 4]], spacing: f64, labels: (&str, &str)) -> Result<String> {
    const SIZE: (u32, u32) = (420, 380);
    ensure!(!arrows.is_empty(), "a field without arrows");
    let longest = arrows.iter().fold(0.0, |m: f64, a| m.max(a[2].hypot(a[3])));
    let scale = if longest > 0.0 { spacing / longest } else { 0.0 };
    let range = |k: usize| {
        let (lo, hi) = arrows.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v[k]), b.max(v[k])));
        lo - spacing..hi + spacing
    };
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(8)
            .x_label_area_size(40)
            .y_label_area_size(52)
            .build_cartesian_2d(range(0), range(1))
            .map_err(|e| failed(&e))?;
        axes(&mut chart, labels, 0.12)?;
        let ink = rgb("#3b82c4");
        let shaft = |a: &[f64; 4]| {
            PathElement::new(vec![(a[0], a[1]), (a[0] + scale * a[2], a[1] + scale * a[3])], ink.stroke_width(1))
        };
        chart.draw_series(arrows.iter().map(shaft)).map_err(|e| failed(&e))?;
        chart.draw_series(arrows.iter().map(|a| Circle::new((a[0], a[1]), 2, ink.filled()))).map_err(|e| failed(&e))?;
        root.present().map_err(|e| failed(&e))?;
    }
    Ok(page_ink(&svg, SIZE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bowl_has_rings_a_surface_and_arrows() {
        let axis: Vec<f64> = (0..9).map(|i| f64::from(i) - 4.0).collect();
        let z = (0..81).map(|k| axis[k % 9].powi(2) + axis[k / 9].powi(2)).collect();
        let map = Map::new(axis.clone(), axis.clone(), z).unwrap();
        let svg = contours(&map, ("a", "b"), 3).unwrap();
        assert!(svg.matches("<rect").count() >= 81 && svg.matches("<polyline").count() >= 3, "{svg}");
        assert!(surface(&map).unwrap().matches("<polygon").count() >= 64);
        let arrows: Vec<[f64; 4]> = axis.iter().map(|x| [*x, 0.0, 2.0 * x, 0.0]).collect();
        assert!(field(&arrows, 0.8, ("a", "b")).unwrap().matches("<circle").count() == 9);
        assert!(Map::new(axis.clone(), axis, vec![0.0; 3]).is_err() && field(&[], 1.0, ("", "")).is_err());
    }
}
