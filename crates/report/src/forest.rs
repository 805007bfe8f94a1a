//! A forest plot: effects with their intervals, one row each, and a line at 0.

use crate::canvas::{self, Anchor, Canvas, cut, width};
use crate::colours::{Tone, ink, rgb};
use crate::drawing::{Drawing, FONTS};
use crate::error::{Result, some};
use crate::estimate::Estimate;
use crate::frame::Scale;

/// One row of a forest plot.
#[derive(Clone, Debug, PartialEq)]
pub struct ForestRow {
    /// What is compared.
    pub label: String,
    /// The effect with its interval.
    pub estimate: Estimate,
    /// What the row says, as a colour.
    pub tone: Tone,
}

/// Rows on one axis differ in size by at most this factor: a shorter bar could not be seen.
const MOST_RATIO: f64 = 30.0;
const WIDE: f64 = 1024.0;
const NARROW: f64 = 360.0;
/// The height of a narrow row.
const HIGH: f64 = 60.0;
/// The longest label in pixels, wide; longer ones are cut.
const LABELS: f64 = 400.0;

fn size(r: &ForestRow) -> f64 {
    let (lo, hi) = r.estimate.ends();
    lo.abs().max(hi.abs())
}

/// Rows that can share an axis, from the smallest effects to the largest; within a panel the order stays.
fn panels(rows: &[ForestRow]) -> Vec<Vec<&ForestRow>> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|a, b| size(&rows[*a]).total_cmp(&size(&rows[*b])));
    let mut panels: Vec<Vec<usize>> = Vec::new();
    let mut first = 0.0;
    for i in order {
        let s = size(&rows[i]);
        // A row at 0 is visible on any axis.
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
    panels.into_iter().map(|p| p.into_iter().map(|i| &rows[i]).collect()).collect()
}

/// A forest plot of effects; `axis` is the title of the axis, with its unit. Rows of very different size (a factor of 30) have separate
/// panels, each with its own axis. `legend` explains the tones.
///
/// # Errors
/// No rows, or a value that is not finite.
pub fn forest(axis: &str, rows: &[ForestRow], legend: &[(Tone, &str)]) -> Result<Drawing> {
    some("rows", rows)?;
    for (i, r) in rows.iter().enumerate() {
        r.estimate.check("rows", i)?;
    }
    let (mut wide, mut narrow) = (Vec::new(), Vec::new());
    let labels = rows.iter().map(|r| width(&r.label, FONTS.0)).fold(0.0, f64::max).min(LABELS) + 16.0;
    let numbers = rows.iter().map(|r| width(&r.estimate.effect(), FONTS.0)).fold(0.0, f64::max) + 16.0;
    for panel in panels(rows) {
        let ends = panel.iter().flat_map(|r| <[f64; 2]>::from(r.estimate.ends())).chain([0.0]);
        let scale = Scale::around("rows", ends)?;
        let what = "a forest plot";
        let alt = format!("{axis}, {} rows", panel.len());
        let side = (labels, WIDE - numbers);
        let height = 26.0 * panel.len() as f64 + 58.0;
        wide.push(canvas::svg(what, &alt, (WIDE, height), FONTS.0, |c| one(c, axis, &panel, scale, side, true))?);
        let side = (10.0, NARROW - 12.0);
        let height = HIGH * panel.len() as f64 + 58.0;
        narrow.push(canvas::svg(what, &alt, (NARROW, height), FONTS.1, |c| one(c, axis, &panel, scale, side, false))?);
    }
    let drawing = Drawing { legend: Vec::new(), wide, narrow };
    Ok(drawing.with_legend(legend.iter().map(|(t, text)| ((*text).to_owned(), t.colour()))))
}

/// One panel. Wide, a row is one line: label, bar, numbers; narrow, it is three.
fn one(
    canvas: &Canvas<'_>,
    axis: &str,
    rows: &[&ForestRow],
    scale: Scale,
    (left, right): (f64, f64),
    wide: bool,
) -> Result<()> {
    let row = if wide { 26.0 } else { HIGH };
    let bottom = 6.0 + row * rows.len() as f64;
    let x = |v: f64| left + scale.share(v) * (right - left);
    let count = ((right - left) / (canvas.font * 6.0)).clamp(2.0, 7.0) as usize;
    // Narrow, a line across the rows is left out where text stands.
    let upright = |v: f64, colour, stroke| {
        let strips = if wide {
            vec![(6.0, bottom)]
        } else {
            (1..=rows.len()).map(|i| (6.0 + row * i as f64 - 23.0, 6.0 + row * i as f64)).collect()
        };
        strips.into_iter().try_for_each(|(a, b)| canvas.path(&[(x(v), a), (x(v), b)], colour, stroke))
    };
    for (v, text) in scale.ticks(count) {
        upright(v, ink(0.12), 1.0)?;
        canvas.path(&[(x(v), bottom), (x(v), bottom + 4.0)], ink(0.5), 1.0)?;
        let half = width(&text, canvas.font) / 2.0;
        let at = x(v).clamp(half, (canvas.size.0 - half).max(half));
        canvas.text(&text, (at, bottom + 6.0 + canvas.font * 0.6), Anchor::Middle, ink(0.8))?;
    }
    canvas.path(&[(left, bottom), (right, bottom)], ink(0.5), 1.0)?;
    upright(0.0, ink(0.8), 1.2)?;
    let most = (canvas.size.0 / (canvas.font * 0.56)) as usize;
    let title = cut(axis, most);
    let half = width(&title, canvas.font) / 2.0;
    let middle = ((left + right) / 2.0).clamp(half, (canvas.size.0 - half).max(half));
    canvas.text(&title, (middle, bottom + 40.0), Anchor::Middle, ink(1.0))?;
    for (i, r) in rows.iter().enumerate() {
        let top = 6.0 + row * i as f64;
        let colour = rgb(r.tone.colour());
        let effect = r.estimate.effect();
        let y = if wide { top + row / 2.0 } else { top + 45.0 };
        if wide {
            let label = cut(&r.label, (LABELS / (canvas.font * 0.56)) as usize);
            canvas.text(&label, (left - 12.0, y), Anchor::End, ink(1.0))?;
            canvas.text(&effect, (right + 12.0, y), Anchor::Start, ink(1.0))?;
        } else {
            canvas.text(&cut(&r.label, most), (2.0, top + 12.0), Anchor::Start, ink(1.0))?;
            canvas.text(&effect, (2.0, top + 28.0), Anchor::Start, ink(0.75))?;
        }
        if let Some((lo, hi)) = r.estimate.interval {
            canvas.path(&[(x(lo), y), (x(hi), y)], colour, 2.0)?;
            for end in [lo, hi] {
                canvas.path(&[(x(end), y - 5.0), (x(end), y + 5.0)], colour, 2.0)?;
            }
        }
        canvas.dot((x(r.estimate.mean), y), 4.6, colour)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(label: &str, mean: f64) -> ForestRow {
        let half = mean.abs() / 10.0;
        let estimate = if half > 0.0 { Estimate::with_interval(mean, mean - half, mean + half) } else { mean.into() };
        ForestRow { label: label.to_owned(), estimate, tone: Tone::Good }
    }

    #[test]
    fn rows_of_very_different_size_have_separate_axes() {
        let rows = [row("0", 5000.0), row("1", 0.02), row("2", 0.0), row("3", -4.0), row("4", 0.1)];
        let labels: Vec<String> =
            panels(&rows).iter().map(|p| p.iter().map(|r| r.label.as_str()).collect::<String>()).collect();
        assert_eq!(labels, ["124", "3", "0"]);
        assert_eq!(forest("difference", &rows, &[]).unwrap().wide().len(), 3);
    }

    #[test]
    fn a_row_has_its_point_its_bar_and_its_numbers() {
        let d =
            forest("difference (left minus right)", &[row("over-none", 0.02)], &[(Tone::Good, "supported")]).unwrap();
        for svg in [&d.wide()[0], &d.narrow()[0]] {
            for want in
                ["over-none", "difference (left minus right)", "+0.020 [+0.018, +0.022]", "#2F9E63", "currentColor"]
            {
                assert!(svg.contains(want), "{want} is not in {svg}");
            }
            assert_eq!(svg.matches("<circle").count(), 1);
        }
        assert!(forest("difference", &[row("exact", 0.0)], &[]).is_ok());
    }
}
