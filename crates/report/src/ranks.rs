//! Mean ranks with their critical difference.

use crate::canvas::{self, Anchor, Canvas, cut, width};
use crate::colours::{ink, rgb, series};
use crate::drawing::{Drawing, FONTS};
use crate::error::{Error, Result, finite, some};
use crate::frame::Scale;

const WIDE: f64 = 1024.0;
const NARROW: f64 = 360.0;
/// The longest name in pixels, wide; longer ones are cut.
const NAMES: f64 = 300.0;
/// From the top to the axis: the critical difference, the title and the numbers.
const AXIS: f64 = 82.0;
/// From one bar to the next.
const BAR: f64 = 9.0;
/// The height of a row with a name, wide and narrow.
const ROWS: (f64, f64) = (24.0, 42.0);
/// The most numbers on the axis.
const MOST_TICKS: usize = 20;

/// What is drawn; the scale runs from the best possible mean rank to the worst.
struct Ranks<'a> {
    axis: &'a str,
    rows: &'a [(String, f64)],
    groups: &'a [(usize, usize)],
    critical: f64,
    scale: Scale,
}

/// A critical-difference diagram: names on an axis of mean ranks, from the best (rank 1) to the worst, with a bar over each group of names that
/// do not differ significantly. `axis` is the title of the axis; `rows` are names with their mean ranks in ascending order; `groups` are the
/// first and the last row of each group; `critical` is the difference of mean ranks that is significant.
///
/// Wide, the names stand on both sides of the axis, as in Demsar (2006), Journal of Machine Learning Research 7; narrow, each name has a row.
///
/// # Errors
/// Fewer than two rows; a value that is not finite; mean ranks that are not in ascending order or not between 1 and the number of rows; a group that
/// is not two rows or more; a critical difference that is not positive.
pub fn ranks(axis: &str, rows: &[(String, f64)], groups: &[(usize, usize)], critical: f64) -> Result<Drawing> {
    some("rows", rows)?;
    finite("rows", rows.iter().map(|r| r.1))?;
    finite("critical", [critical])?;
    let k = rows.len();
    if k < 2 {
        return Err(Error::shape("rows", "at least two rows", "one"));
    }
    let worst = k as f64;
    if rows.windows(2).any(|w| w[0].1 > w[1].1) || rows[0].1 < 1.0 || rows[k - 1].1 > worst {
        return Err(Error::range("rows", format!("mean ranks must be in ascending order and between 1 and {k}")));
    }
    if let Some((a, b)) = groups.iter().find(|(a, b)| a >= b || *b >= k) {
        return Err(Error::range("groups", format!("({a}, {b}) must be two different rows in their order, below {k}")));
    }
    if critical <= 0.0 {
        return Err(Error::range("critical", format!("must be positive, got {critical}")));
    }
    let all = Ranks { axis, rows, groups, critical, scale: Scale { lo: 1.0, hi: worst } };
    let said: Vec<String> = rows.iter().map(label).collect();
    let (what, alt) = ("a critical-difference diagram", format!("{axis}: {}", said.join(", ")));
    let height = AXIS + 20.0 + BAR * groups.len() as f64 + ROWS.0 * k.div_ceil(2) as f64;
    let wide = canvas::svg(what, &alt, (WIDE, height), FONTS.0, |c| all.sides(c))?;
    let height = AXIS + 14.0 + ROWS.1 * k as f64;
    let narrow = canvas::svg(what, &alt, (NARROW, height), FONTS.1, |c| all.list(c))?;
    Ok(Drawing { legend: Vec::new(), wide: vec![wide], narrow: vec![narrow] })
}

fn label((name, rank): &(String, f64)) -> String {
    format!("{name} ({rank:.2})")
}

/// The same, cut to a width by its name alone.
fn fitted(row: &(String, f64), room: f64, canvas: &Canvas<'_>) -> String {
    let rank = label(&(String::new(), row.1));
    let most = (room - width(&rank, canvas.font)) / width("m", canvas.font);
    format!("{}{rank}", cut(&row.0, most.max(1.0) as usize))
}

impl Ranks<'_> {
    /// The axis with its title and numbers, and the length of the critical difference above it.
    fn head(&self, canvas: &Canvas<'_>, x: &dyn Fn(f64) -> f64) -> Result<()> {
        let (k, w) = (self.rows.len(), canvas.size.0);
        let (left, right) = (x(1.0), x(self.scale.hi));
        // Cut at the end of the axis.
        let end = x((1.0 + self.critical).min(self.scale.hi));
        canvas.path(&[(left, 14.0), (end, 14.0)], ink(0.8), 2.0)?;
        for at in [left, end] {
            canvas.path(&[(at, 10.0), (at, 18.0)], ink(0.8), 2.0)?;
        }
        let text = format!("critical difference {:.2}", self.critical);
        // Where there is no room on its right, it is under it.
        let beside = end + 8.0 + width(&text, canvas.font) <= w;
        let (at, anchor) = if beside { ((end + 8.0, 14.0), Anchor::Start) } else { ((end, 28.0), Anchor::End) };
        canvas.text(&text, at, anchor, ink(0.8))?;
        let title = cut(self.axis, (w / width("m", canvas.font)) as usize);
        let half = width(&title, canvas.font) / 2.0;
        let middle = ((left + right) / 2.0).clamp(half.min(w / 2.0), (w - half).max(w / 2.0));
        canvas.text(&title, (middle, 46.0), Anchor::Middle, ink(1.0))?;
        canvas.path(&[(left, AXIS), (right, AXIS)], ink(0.5), 1.0)?;
        for rank in (1..=k).step_by(k.div_ceil(MOST_TICKS)) {
            let at = x(rank as f64);
            canvas.path(&[(at, AXIS - 4.0), (at, AXIS)], ink(0.5), 1.0)?;
            canvas.text(&rank.to_string(), (at, AXIS - 6.0 - canvas.font * 0.6), Anchor::Middle, ink(0.8))?;
        }
        Ok(())
    }

    /// The better half of the names on the left, top to bottom; the other on the right, bottom to top.
    fn sides(&self, canvas: &Canvas<'_>) -> Result<()> {
        let (k, w) = (self.rows.len(), canvas.size.0);
        let margin = self.rows.iter().map(|r| width(&label(r), canvas.font)).fold(0.0, f64::max).min(NAMES) + 20.0;
        let x = |rank: f64| margin + self.scale.share(rank) * (w - 2.0 * margin);
        self.head(canvas, &x)?;
        for (i, (a, b)) in self.groups.iter().enumerate() {
            let y = AXIS + 10.0 + BAR * i as f64;
            canvas.path(&[(x(self.rows[*a].1) - 4.0, y), (x(self.rows[*b].1) + 4.0, y)], ink(0.8), 4.0)?;
        }
        let top = AXIS + 10.0 + BAR * self.groups.len() as f64;
        let half = k.div_ceil(2);
        for (i, row) in self.rows.iter().enumerate() {
            let (edge, text, anchor, line) = if i < half {
                (margin - 10.0, margin - 14.0, Anchor::End, i)
            } else {
                (w - margin + 10.0, w - margin + 14.0, Anchor::Start, k - 1 - i)
            };
            let (at, y) = (x(row.1), top + ROWS.0 * (line as f64 + 0.5));
            canvas.path(&[(at, AXIS), (at, y), (edge, y)], ink(0.6), 1.0)?;
            canvas.dot((at, AXIS), 4.0, rgb(series(0)))?;
            canvas.text(&fitted(row, NAMES, canvas), (text, y), anchor, ink(1.0))?;
        }
        Ok(())
    }

    /// One row for each name, and the groups as upright bars at the right.
    fn list(&self, canvas: &Canvas<'_>) -> Result<()> {
        let w = canvas.size.0;
        let bars = BAR * self.groups.len() as f64;
        let (left, right) = (10.0, (w - 18.0 - bars).max(w / 2.0));
        let x = |rank: f64| left + self.scale.share(rank) * (right - left);
        self.head(canvas, &x)?;
        let y = |i: usize| AXIS + ROWS.1 * (i as f64 + 1.0) - 8.0;
        for (i, row) in self.rows.iter().enumerate() {
            canvas.path(&[(left, y(i)), (right, y(i))], ink(0.2), 1.0)?;
            canvas.dot((x(row.1), y(i)), 4.6, rgb(series(0)))?;
            canvas.text(&fitted(row, right - 2.0, canvas), (2.0, y(i) - 17.0), Anchor::Start, ink(1.0))?;
        }
        for (i, (a, b)) in self.groups.iter().enumerate() {
            // Many groups share the room.
            let at = w - 6.0 - BAR * i as f64 * ((w - 24.0 - right) / bars).min(1.0);
            canvas.path(&[(at, y(*a) - 4.0), (at, y(*b) + 4.0)], ink(0.8), 4.0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(n: usize) -> Vec<(String, f64)> {
        (0..n).map(|i| (format!("m{i}"), 1.0 + i as f64)).collect()
    }

    #[test]
    fn every_name_stands_with_its_rank_and_every_group_has_a_bar() {
        let named = [("a<b".to_owned(), 1.0), ("m1".to_owned(), 2.0), ("m2".to_owned(), 3.0)];
        let alone = ranks("mean rank", &named, &[], 0.61).unwrap();
        let joined = ranks("mean rank", &named, &[(0, 1), (1, 2)], 0.61).unwrap();
        let lines = |svg: &str| svg.matches("<polyline").count();
        for (one, two) in [(&alone.wide()[0], &joined.wide()[0]), (&alone.narrow()[0], &joined.narrow()[0])] {
            for want in ["\na&lt;b (1.00)", "\nm2 (3.00)", "\ncritical difference 0.61", "\nmean rank"] {
                assert!(one.contains(want), "{want:?} is not in {one}");
            }
            assert_eq!((one.matches("<circle").count(), lines(two) - lines(one)), (3, 2));
        }
    }

    #[test]
    fn twenty_and_more_names_have_room() {
        for n in [2, 20, 60] {
            let groups: Vec<(usize, usize)> = (1..n).map(|i| (i - 1, i)).collect();
            assert!(ranks("mean rank", &rows(n), &groups, 100.0).is_ok(), "{n}");
        }
    }
}
