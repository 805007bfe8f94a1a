//! The critical-difference diagram.

use super::Ranking;
use std::fmt::Write;

const WIDTH: f64 = 640.0;
/// Margin for names on both sides.
const MARGIN: f64 = 190.0;
const AXIS: f64 = 48.0;
const LINE: f64 = 20.0;

pub(super) fn svg(r: &Ranking) -> String {
    let k = r.names.len();
    let x = |rank: f64| MARGIN + (rank - 1.0) / (k as f64 - 1.0) * (WIDTH - 2.0 * MARGIN);
    let groups = r.groups();
    let names = AXIS + 14.0 + 8.0 * groups.len() as f64;
    let half = k.div_ceil(2);
    let height = names + LINE * half as f64 + 16.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\" fill=\"currentColor\" stroke=\"currentColor\" role=\"img\">"
    );
    let mut line = |(x1, y1): (f64, f64), (x2, y2): (f64, f64), width: f64| {
        let _ =
            write!(out, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke-width=\"{width}\"/>");
    };
    line((x(1.0), AXIS), (x(k as f64), AXIS), 1.0);
    (1..=k).for_each(|i| line((x(i as f64), AXIS - 5.0), (x(i as f64), AXIS), 1.0));
    // The length of the critical difference, cut at the end of the axis.
    let yard = (1.0 + r.critical_difference).min(k as f64);
    line((x(1.0), 18.0), (x(yard), 18.0), 2.0);
    for (i, (a, b)) in groups.iter().enumerate() {
        let y = AXIS + 10.0 + 8.0 * i as f64;
        line((x(r.mean_ranks[*a]) - 3.0, y), (x(r.mean_ranks[*b]) + 3.0, y), 4.0);
    }
    // The better half is named on the left, top to bottom; the other on the right, bottom to top.
    let place = |i: usize| if i < half { (MARGIN - 10.0, i) } else { (WIDTH - MARGIN + 10.0, k - 1 - i) };
    for (i, rank) in r.mean_ranks.iter().enumerate() {
        let (edge, row) = place(i);
        let y = names + LINE * row as f64 + 8.0;
        line((x(*rank), AXIS), (x(*rank), y), 1.0);
        line((x(*rank), y), (edge, y), 1.0);
    }
    let mut text = |(x, y): (f64, f64), anchor: &str, words: &str| {
        let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = write!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" stroke=\"none\">{words}</text>");
    };
    (1..=k).for_each(|i| text((x(i as f64), AXIS - 9.0), "middle", &i.to_string()));
    text((x(yard) + 6.0, 22.0), "start", &format!("critical difference {:.2}", r.critical_difference));
    for (i, (name, rank)) in r.names.iter().zip(&r.mean_ranks).enumerate() {
        let (edge, row) = place(i);
        let (at, anchor) = if i < half { (edge - 4.0, "end") } else { (edge + 4.0, "start") };
        text((at, names + LINE * row as f64 + 12.0), anchor, &format!("{name} ({rank:.2})"));
    }
    out + "</svg>"
}
