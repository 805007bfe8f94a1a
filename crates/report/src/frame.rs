//! Axes: ranges, round ticks, and the frame that turns values into pixels.

use crate::canvas::{Anchor, Canvas, width, wrap};
use crate::colours::ink;
use crate::error::{Error, Result};

/// An interval of values that are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    pub(crate) lo: f64,
    pub(crate) hi: f64,
}

impl Scale {
    /// The range of finite values, as it is; a range of a single value is widened, so that its length is never 0.
    pub(crate) fn exact(what: &str, values: impl IntoIterator<Item = f64>) -> Result<Self> {
        let (lo, hi) = values.into_iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        if !(hi - lo).is_finite() || lo.abs().max(hi.abs()) > 1e300 {
            return Err(Error::range(what, "the values are too far apart; they must lie between -1e300 and 1e300"));
        }
        let size = lo.abs().max(hi.abs());
        if hi - lo > size * 1e-9 {
            return Ok(Self { lo, hi });
        }
        let half = if size > 1e-300 { size * 0.1 } else { 0.5 };
        Ok(Self { lo: lo - half, hi: hi + half })
    }

    /// The range with a margin of 6 % on both sides.
    pub(crate) fn around(what: &str, values: impl IntoIterator<Item = f64>) -> Result<Self> {
        let s = Self::exact(what, values)?;
        let pad = (s.hi - s.lo) * 0.06;
        Ok(Self { lo: s.lo - pad, hi: s.hi + pad })
    }

    /// Where a value stands, 0 at the low end and 1 at the high end.
    pub(crate) fn share(self, v: f64) -> f64 {
        (v - self.lo) / (self.hi - self.lo)
    }

    /// Round values, about `count` of them, with their labels.
    pub(crate) fn ticks(self, count: usize) -> Vec<(f64, String)> {
        let raw = (self.hi - self.lo) / count.max(1) as f64;
        let power = 10f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|f| f * power).find(|s| *s >= raw * 0.999);
        let step = step.unwrap_or(raw);
        let slack = 1e-9 * (self.hi - self.lo);
        let (first, last) = (((self.lo - slack) / step).ceil(), ((self.hi + slack) / step).floor());
        let many = (last - first).clamp(0.0, 100.0) as usize;
        (0..=many).map(|i| (first + i as f64) * step).map(|v| (v, label(v, step, self))).collect()
    }
}

/// A tick's label, with the decimals that its step needs.
fn label(v: f64, step: f64, scale: Scale) -> String {
    let size = scale.lo.abs().max(scale.hi.abs());
    if v.abs() < step * 1e-6 {
        return "0".to_owned();
    }
    // The digits between the largest value and the step.
    let digits = (size.log10().floor() - step.log10().floor()).clamp(0.0, 12.0) as usize;
    if size >= 1e6 || step < 1e-5 {
        // As many as the step needs, and no zeros behind them.
        let text = format!("{v:.*e}", digits + 1);
        return text.split_once('e').map_or(text.clone(), |(m, e)| format!("{}e{e}", trimmed(m)));
    }
    trimmed(&format!("{v:.6}")).to_owned()
}

/// A number without the zeros behind its point.
pub(crate) fn trimmed(text: &str) -> &str {
    if text.contains('.') && !text.contains('e') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// A rectangle of pixels with a scale on each side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
    pub(crate) x: Scale,
    pub(crate) y: Scale,
}

impl Frame {
    pub(crate) fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (
            self.left + self.x.share(x) * (self.right - self.left),
            self.bottom - self.y.share(y) * (self.bottom - self.top),
        )
    }

    /// Draws both axes with ticks and titles, and faint lines of the opacity `grid`. The title of y stands over the axis, so that it can be
    /// read without turning one's head. `foot` pixels under the axes are left for something else.
    pub(crate) fn axes(
        canvas: &Canvas<'_>,
        (x, y): (Scale, Scale),
        (x_title, y_title): (&str, &str),
        grid: f64,
        foot: f64,
    ) -> Result<Self> {
        let (w, h) = canvas.size;
        let rows = y.ticks(if h > 330.0 { 6 } else { 5 });
        let left = ticks_width(canvas.font, &rows);
        let columns = x.ticks(((w - left) / (canvas.font * 6.5)).clamp(2.0, 9.0) as usize);
        let frame = Self::new(canvas, left, (x, y), (x_title, y_title), (canvas.font * 1.4, foot))?;
        for (v, text) in &rows {
            let (_, at) = frame.at(x.lo, *v);
            canvas.path(&[(frame.left, at), (frame.right, at)], ink(grid), 1.0)?;
            canvas.text(text, (frame.left - 6.0, at), Anchor::End, ink(0.8))?;
        }
        for (v, text) in &columns {
            let (at, _) = frame.at(*v, y.lo);
            canvas.path(&[(at, frame.top), (at, frame.bottom)], ink(grid), 1.0)?;
            canvas.path(&[(at, frame.bottom), (at, frame.bottom + 4.0)], ink(0.5), 1.0)?;
            canvas.text(text, (at, frame.bottom + 6.0 + canvas.font * 0.6), Anchor::Middle, ink(0.8))?;
        }
        let corner = [(frame.left, frame.top), (frame.left, frame.bottom), (frame.right, frame.bottom)];
        canvas.path(&corner, ink(0.5), 1.0)?;
        Ok(frame)
    }

    /// The place of a frame, with the titles of both axes drawn: `under` pixels are for the labels of x, `foot` for something below the title of x.
    pub(crate) fn new(
        canvas: &Canvas<'_>,
        left: f64,
        (x, y): (Scale, Scale),
        (x_title, y_title): (&str, &str),
        (under, foot): (f64, f64),
    ) -> Result<Self> {
        let ((w, h), line) = (canvas.size, canvas.font * 1.25);
        let (above, below) = (wrap(y_title, w - 8.0, canvas.font), wrap(x_title, w - left - 8.0, canvas.font));
        let top = 4.0 + line * above.len() as f64 + 8.0;
        let titles = line * below.len() as f64;
        let bottom = h - foot - titles - 12.0 - under;
        let frame = Self { left, top, right: w - 14.0, bottom, x, y };
        for (i, text) in above.iter().enumerate() {
            canvas.text(text, (2.0, 4.0 + line * (i as f64 + 0.5)), Anchor::Start, ink(1.0))?;
        }
        let middle = (frame.left + frame.right) / 2.0;
        for (i, text) in below.iter().enumerate() {
            let at = h - foot - titles - 2.0 + line * (i as f64 + 0.5);
            canvas.text(text, (middle, at), Anchor::Middle, ink(1.0))?;
        }
        Ok(frame)
    }
}

/// The room that the labels of the y axis need, in pixels.
pub(crate) fn ticks_width(font: f64, ticks: &[(f64, String)]) -> f64 {
    ticks.iter().map(|t| width(&t.1, font)).fold(0.0, f64::max) + 14.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(lo: f64, hi: f64) -> Vec<String> {
        Scale { lo, hi }.ticks(5).into_iter().map(|t| t.1).collect()
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(labels(0.0, 1.0), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        assert_eq!(labels(-0.3, 0.2), ["-0.3", "-0.2", "-0.1", "0", "0.1", "0.2"]);
        assert_eq!(labels(0.0, 3e6), ["0", "1e6", "2e6", "3e6"]);
        assert_eq!(labels(0.0, 4e-6), ["0", "1e-6", "2e-6", "3e-6", "4e-6"]);
        for (lo, hi) in [(1e-280, 2e-280), (-1e299, 1e299), (1.0, 1.0 + 1e-8)] {
            let n = Scale { lo, hi }.ticks(5).len();
            assert!((1..=12).contains(&n), "{n} ticks from {lo} to {hi}");
        }
    }

    #[test]
    fn equal_values_have_a_range() {
        for v in [0.0, 0.5, -3.0, 1e17, 1e-200] {
            let s = Scale::around("y", [v, v]).unwrap();
            assert!(s.lo < v && v < s.hi && (s.share(v) - 0.5).abs() < 1e-6, "{v}: {s:?}");
        }
        assert!(Scale::exact("y", [-1e308, 1e308]).is_err());
    }
}
