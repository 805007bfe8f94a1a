//! A forest plot: differences with their intervals, one row a comparison, and a line at 0.

use crate::pages::plot::{INK, rgb};
use anyhow::{Result, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use xtask::verdicts::{ComparisonResult, Verdict, number};

/// One row.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    /// The claim's name.
    pub label: String,
    /// Its difference.
    pub comparison: &'a ComparisonResult,
}

/// Rows of one axis differ in size by at most this factor: a shorter bar could not be seen.
const MOST_RATIO: f64 = 30.0;
const WIDTH: u32 = 900;
/// Left of the axis: names. Right of it: numbers.
const NAMES: u32 = 290;
const NUMBERS: u32 = 260;
const ROW: u32 = 24;
/// Under the rows: ticks and the axis' name.
const FOOT: u32 = 46;
const TOP: u32 = 6;

/// The colour of a verdict; it reads on light and on dark paper.
pub fn colour(v: Verdict) -> &'static str {
    match v {
        Verdict::Supported | Verdict::Exact => "#2f9e63",
        Verdict::Contradicted => "#c9557b",
        _ => "#d08a1d",
    }
}

/// The ends of what a row shows.
fn ends(c: &ComparisonResult) -> (f64, f64) {
    c.interval.map_or((c.difference, c.difference), |i| (i.lo, i.hi))
}

fn size(c: &ComparisonResult) -> f64 {
    let (lo, hi) = ends(c);
    lo.abs().max(hi.abs())
}

/// Rows that can share an axis, from the smallest differences to the largest; within a panel the order stays.
pub fn panels<'a>(rows: &[Row<'a>]) -> Vec<Vec<Row<'a>>> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|a, b| size(rows[*a].comparison).total_cmp(&size(rows[*b].comparison)));
    let mut panels: Vec<Vec<usize>> = Vec::new();
    let mut first = 0.0;
    for i in order {
        let s = size(rows[i].comparison);
        // What is 0 is seen on any axis.
        if first == 0.0 {
            first = s;
        }
        match panels.last_mut() {
            Some(last) if s <= first * MOST_RATIO => last.push(i),
            _ => {
                first = s;
                panels.push(vec![i]);
            }
        }
    }
    for p in &mut panels {
        p.sort_unstable();
    }
    panels.into_iter().map(|p| p.into_iter().map(|i| rows[i].clone()).collect()).collect()
}

/// One panel as SVG.
pub fn draw(rows: &[Row<'_>]) -> Result<String> {
    let failed = |e: &dyn std::fmt::Display| anyhow!("forest plot: {e}");
    let (lo, hi) =
        rows.iter().map(|r| ends(r.comparison)).fold((0.0_f64, 0.0_f64), |(a, b), (l, h)| (a.min(l), b.max(h)));
    let pad = if hi > lo { (hi - lo) * 0.05 } else { 1.0 };
    let height = TOP + ROW * rows.len() as u32 + FOOT;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin_top(TOP)
            .margin_left(NAMES)
            .margin_right(NUMBERS)
            .x_label_area_size(FOOT)
            .build_cartesian_2d(lo - pad..hi + pad, 0.0..rows.len() as f64)
            .map_err(|e| failed(&e))?;
        let text = |size: i32| ("sans-serif", size).into_font().color(&INK);
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_labels(6)
            .x_label_formatter(&|v| tick(*v, hi - lo))
            .x_desc("difference (left minus right)")
            .label_style(text(15))
            .axis_desc_style(text(15))
            .axis_style(INK.mix(0.5))
            .bold_line_style(INK.mix(0.12))
            .light_line_style(TRANSPARENT)
            .draw()
            .map_err(|e| failed(&e))?;
        let zero = PathElement::new(vec![(0.0, 0.0), (0.0, rows.len() as f64)], INK.mix(0.8).stroke_width(1));
        chart.draw_series([zero]).map_err(|e| failed(&e))?;
        let at = |pos: HPos| text(15).pos(Pos::new(pos, VPos::Center));
        for (i, r) in rows.iter().enumerate() {
            let (c, y) = (r.comparison, (rows.len() - i) as f64 - 0.5);
            let ink = rgb(colour(c.verdict));
            if let Some(e) = c.interval {
                let cap = |x: f64| PathElement::new(vec![(x, y - 0.18), (x, y + 0.18)], ink.stroke_width(2));
                let bar = PathElement::new(vec![(e.lo, y), (e.hi, y)], ink.stroke_width(2));
                chart.draw_series([bar, cap(e.lo), cap(e.hi)]).map_err(|e| failed(&e))?;
            }
            chart.draw_series([Circle::new((c.difference, y), 5, ink.filled())]).map_err(|e| failed(&e))?;
            let middle = (TOP + ROW * i as u32 + ROW / 2) as i32;
            let name = format!("{}  {} 0", r.label, c.op);
            root.draw(&Text::new(name, (NAMES as i32 - 12, middle), at(HPos::Right))).map_err(|e| failed(&e))?;
            let right = (WIDTH - NUMBERS) as i32 + 12;
            root.draw(&Text::new(c.effect(), (right, middle), at(HPos::Left))).map_err(|e| failed(&e))?;
        }
        root.present().map_err(|e| failed(&e))?;
    }
    let svg = svg.replace("#010203", "currentColor");
    Ok(svg.replacen(&format!("width=\"{WIDTH}\" height=\"{height}\""), "class=\"forest\" role=\"img\"", 1))
}

/// A label of the axis, with as many decimals as its range needs.
fn tick(v: f64, range: f64) -> String {
    if v.abs() < range * 1e-9 {
        return "0".to_owned();
    }
    if range < 5e-3 {
        return format!("{v:.1e}");
    }
    number(v).trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask::verdicts::Ends;

    fn comparison(difference: f64, half: f64) -> ComparisonResult {
        ComparisonResult {
            left: "1".into(),
            op: ">".into(),
            right: "0".into(),
            difference,
            interval: (half > 0.0).then_some(Ends { lo: difference - half, hi: difference + half }),
            n: 3,
            verdict: Verdict::Supported,
        }
    }

    #[test]
    fn rows_of_very_different_size_have_separate_axes() {
        let all = [5000.0, 0.02, 0.0, -4.0, 0.1].map(|d| comparison(d, d.abs() / 10.0));
        let rows: Vec<Row<'_>> =
            all.iter().enumerate().map(|(i, c)| Row { label: format!("{i}"), comparison: c }).collect();
        let labels: Vec<String> =
            panels(&rows).iter().map(|p| p.iter().map(|r| r.label.as_str()).collect::<String>()).collect();
        assert_eq!(labels, ["124", "3", "0"]);
    }

    #[test]
    fn a_row_has_its_point_its_bar_and_its_numbers() {
        let c = comparison(0.022, 0.01);
        let svg = draw(&[Row { label: "over-none".into(), comparison: &c }]).unwrap();
        for want in ["over-none", "difference (left minus right)", "+0.022 [+0.012, +0.032]", "#2F9E63", "currentColor"]
        {
            assert!(svg.contains(want), "{want} is not in {svg}");
        }
        assert_eq!(svg.matches("<circle").count(), 1);
        assert!(draw(&[Row { label: "exact".into(), comparison: &comparison(0.0, 0.0) }]).is_ok());
    }
}
