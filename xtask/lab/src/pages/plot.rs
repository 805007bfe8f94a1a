//! Pictures for reports: line plots as SVG, heat maps and images as PNG.

use anyhow::{Result, anyhow};
use base64::Engine;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::FontTransform;

/// Colours that read on light and on dark paper, in the order in which series take them.
pub const COLOURS: [&str; 8] = ["#8a8f98", "#3b82c4", "#d08a1d", "#2f9e63", "#9a6dd0", "#c9557b", "#4aa5a5", "#a5814a"];

/// One curve.
#[derive(Clone, Debug)]
pub struct Curve {
    /// The name in the legend.
    pub name: String,
    /// Points from left to right.
    pub points: Vec<(f64, f64)>,
    /// Half the height of each point's interval, or empty.
    pub spread: Vec<f64>,
    /// Whether the points are joined.
    pub joined: bool,
}

/// This stands for the text colour in plotters' output and is replaced by `currentColor`.
pub const INK: RGBColor = RGBColor(1, 2, 3);

pub fn rgb(hex: &str) -> RGBColor {
    let part = |i: usize| u8::from_str_radix(hex.get(i..i + 2).unwrap_or("80"), 16).unwrap_or(128);
    RGBColor(part(1), part(3), part(5))
}

/// A plot's area with its two axes.
pub type Plane<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Draws axes with their names, and lines between them of the given strength.
pub fn axes(chart: &mut Plane<'_, '_>, (x, y): (&str, &str), lines: f64) -> Result<()> {
    let text = |size: i32| ("sans-serif", size).into_font().color(&INK);
    let label = |v: &f64| {
        let text = format!("{v:.3}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        // What is 0 but for rounding.
        if text == "-0" { "0".to_owned() } else { text.to_owned() }
    };
    chart
        .configure_mesh()
        .x_label_formatter(&label)
        .x_desc(x)
        .y_desc(y)
        .label_style(text(13))
        .axis_desc_style(text(14).transform(FontTransform::None))
        .axis_style(INK.mix(0.5))
        .bold_line_style(INK.mix(lines))
        .light_line_style(TRANSPARENT)
        .draw()
        .map_err(|e| anyhow!("plot: {e}"))
}

/// A plot of curves; colours follow the curves' order. The legend is the caller's.
pub fn lines(x_label: &str, y_label: &str, curves: &[Curve]) -> Result<String> {
    let all = || curves.iter().flat_map(|c| c.points.iter());
    let ends = || {
        let bar = |c: &Curve, i: usize| c.spread.get(i).copied().unwrap_or(0.0);
        curves
            .iter()
            .flat_map(move |c| c.points.iter().enumerate().map(move |(i, p)| (p.0, p.1 - bar(c, i), p.1 + bar(c, i))))
    };
    let range = |low: fn((f64, f64, f64)) -> f64, high: fn((f64, f64, f64)) -> f64| {
        let (lo, hi) = ends().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), e| (a.min(low(e)), b.max(high(e))));
        let pad = ((hi - lo) * 0.06).max(1e-3);
        lo - pad..hi + pad
    };
    if all().next().is_none() {
        return Err(anyhow!("a plot without points"));
    }
    let mut svg = String::new();
    {
        let failed = |e: &dyn std::fmt::Display| anyhow!("plot: {e}");
        let root = SVGBackend::with_string(&mut svg, (560, 340)).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(8)
            .x_label_area_size(40)
            .y_label_area_size(56)
            .build_cartesian_2d(range(|e| e.0, |e| e.0), range(|e| e.1, |e| e.2))
            .map_err(|e| failed(&e))?;
        axes(&mut chart, (x_label, y_label), 0.12)?;
        for (i, c) in curves.iter().enumerate() {
            let colour = rgb(COLOURS[i % COLOURS.len()]);
            if c.joined {
                let line = LineSeries::new(c.points.iter().copied(), colour.stroke_width(2));
                chart.draw_series(line).map_err(|e| failed(&e))?;
            }
            let bars =
                c.points.iter().zip(&c.spread).map(|(&(x, y), s)| {
                    PathElement::new(vec![(x, y - s), (x, y + s)], colour.mix(0.7).stroke_width(1))
                });
            chart.draw_series(bars).map_err(|e| failed(&e))?;
            // Dots mark what was measured; on a dense curve they would hide it.
            let dots = c
                .points
                .iter()
                .filter(|_| !c.joined || c.points.len() <= 60)
                .map(|&p| Circle::new(p, 4, colour.filled()));
            chart.draw_series(dots).map_err(|e| failed(&e))?;
        }
        root.present().map_err(|e| failed(&e))?;
    }
    // The size is the page's to choose.
    let svg = svg.replace("#010203", "currentColor");
    Ok(svg.replacen("width=\"560\" height=\"340\"", "class=\"plot\" role=\"img\"", 1))
}

/// A picture of `width` x `height` RGB bytes as a `data:` address.
pub fn png(width: usize, height: usize, rgb: &[u8]) -> Result<String> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(rgb)?;
    Ok(format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(bytes)))
}

/// The colour of a share in [0, 1]: five anchors of the perceptually even map "viridis", joined straight.
pub fn viridis(v: f64) -> [u8; 3] {
    const ANCHORS: [[f64; 3]; 5] =
        [[68.0, 1.0, 84.0], [59.0, 82.0, 139.0], [33.0, 145.0, 140.0], [94.0, 201.0, 98.0], [253.0, 231.0, 37.0]];
    let at = v.clamp(0.0, 1.0) * 4.0;
    let i = (at as usize).min(3);
    let t = at - i as f64;
    std::array::from_fn(|c| (ANCHORS[i][c] * (1.0 - t) + ANCHORS[i + 1][c] * t).round() as u8)
}

/// A grid of values as a picture on the colour scale from `lo` to `hi`; missing cells are grey.
pub fn heat(width: usize, cells: &[Option<f64>], lo: f64, hi: f64) -> Result<String> {
    let colour = |c: &Option<f64>| c.map_or([128, 128, 128], |v| viridis((v - lo) / (hi - lo)));
    let rgb: Vec<u8> = cells.iter().flat_map(colour).collect();
    png(width, cells.len() / width, &rgb)
}

/// An image with values in [0, 1], channel planes of rows, 1 or 3 channels.
pub fn image((c, h, w): (usize, usize, usize), values: &[f32]) -> Result<String> {
    let byte = |ch: usize, i: usize| (values[ch.min(c - 1) * h * w + i] * 255.0).round().clamp(0.0, 255.0) as u8;
    let rgb: Vec<u8> = (0..h * w).flat_map(|i| [byte(0, i), byte(1, i), byte(2, i)]).collect();
    png(w, h, &rgb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_its_curves_and_takes_the_pages_ink() {
        let c = Curve { name: "a".into(), points: vec![(0.0, 1.0), (1.0, 0.5)], spread: vec![0.1, 0.1], joined: true };
        let svg = lines("x", "y", &[c]).unwrap();
        assert!(svg.contains("currentColor") && !svg.contains("#010203") && svg.matches("<circle").count() == 2);
        assert!(lines("x", "y", &[]).is_err());
    }

    #[test]
    fn the_scale_ends_where_it_should() {
        assert_eq!((viridis(-1.0), viridis(1.0)), ([68, 1, 84], [253, 231, 37]));
        assert!(heat(2, &[Some(0.0), None, Some(1.0), Some(0.5)], 0.0, 1.0).unwrap().starts_with("data:image/png"));
    }
}
