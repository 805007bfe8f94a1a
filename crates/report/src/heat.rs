//! A heat map: a grid of values as colours, with its axes and its colour bar.

use crate::canvas::{Anchor, Canvas, cut, width, wrap};
use crate::colours::{ink, rgb, viridis};
use crate::drawing::{Drawing, FONTS, SQUARE, Sizes};
use crate::error::{Error, Result, finite, some};
use crate::estimate::number;
use crate::frame::{Frame, Scale, ticks_width};
use crate::images::png;

/// What the columns or the rows of a heat map stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct Band {
    title: String,
    steps: Steps,
}

#[derive(Clone, Debug, PartialEq)]
enum Steps {
    Numbers { first: f64, last: f64, count: usize },
    Names(Vec<String>),
}

impl Band {
    /// `count` cells for evenly spaced numbers; `first` and `last` are those of the middles of the first and of the last cell.
    pub fn numbers(title: impl Into<String>, first: f64, last: f64, count: usize) -> Self {
        Self { title: title.into(), steps: Steps::Numbers { first, last, count } }
    }

    /// `count` cells for frequencies in cycles per image, 0 in the middle.
    pub fn frequencies(title: impl Into<String>, count: usize) -> Self {
        let first = -((count / 2) as f64);
        Self::numbers(title, first, first + count as f64 - 1.0, count)
    }

    /// One cell for each name.
    pub fn names<S: Into<String>>(title: impl Into<String>, names: impl IntoIterator<Item = S>) -> Self {
        Self { title: title.into(), steps: Steps::Names(names.into_iter().map(Into::into).collect()) }
    }

    fn count(&self) -> usize {
        match &self.steps {
            Steps::Numbers { count, .. } => *count,
            Steps::Names(names) => names.len(),
        }
    }

    /// The scale over the cells' edges.
    fn scale(&self, what: &str) -> Result<Scale> {
        if self.count() == 0 {
            return Err(Error::Empty { what: what.to_owned() });
        }
        match self.steps {
            Steps::Names(_) => Ok(Scale { lo: -0.5, hi: self.count() as f64 - 0.5 }),
            Steps::Numbers { first, last, count } => {
                finite(what, [first, last])?;
                if count > 1 && first >= last {
                    return Err(Error::range(
                        what,
                        format!("the first number ({first}) must be below the last ({last})"),
                    ));
                }
                let half = if count > 1 { (last / 2.0 - first / 2.0) / (count - 1) as f64 } else { 0.5 };
                Scale::exact(what, [first - half, last + half])
            }
        }
    }

    /// Places and labels of the ticks.
    fn ticks(&self, scale: Scale, count: usize) -> Vec<(f64, String)> {
        match &self.steps {
            Steps::Numbers { .. } => scale.ticks(count),
            Steps::Names(names) => names.iter().enumerate().map(|(i, n)| (i as f64, n.clone())).collect(),
        }
    }

    /// A label in the lines that fit under its cell.
    fn folded(&self, label: &str, room: f64, font: f64) -> Vec<String> {
        if self.named() { wrap(label, room, font) } else { vec![label.to_owned()] }
    }

    fn named(&self) -> bool {
        matches!(self.steps, Steps::Names(_))
    }
}

/// The least and the largest height of a row with a name, wide and narrow.
const CELLS: ((f64, f64), (f64, f64)) = ((22.0, 52.0), (19.0, 36.0));

/// The room that a colour bar takes.
pub(crate) fn bar_room(font: f64) -> f64 {
    18.0 + font * 3.05
}

/// Draws a colour bar under the frame, with its numbers and its title.
pub(crate) fn bar(canvas: &Canvas<'_>, frame: &Frame, scale: Scale, title: &str) -> Result<()> {
    let colours: Vec<u8> = (0..256).flat_map(|i| viridis(f64::from(i) / 255.0)).collect();
    let top = canvas.size.1 - bar_room(canvas.font) + 8.0;
    canvas.picture(&png(256, 1, &colours)?, (frame.left, top), (frame.right, top + 10.0));
    let x = |v: f64| frame.left + scale.share(v) * (frame.right - frame.left);
    let count = ((frame.right - frame.left) / (canvas.font * 6.0)).clamp(2.0, 6.0) as usize;
    for (v, text) in scale.ticks(count) {
        canvas.path(&[(x(v), top + 10.0), (x(v), top + 14.0)], ink(0.5), 1.0)?;
        canvas.text(&text, (x(v), top + 15.0 + canvas.font * 0.6), Anchor::Middle, ink(0.8))?;
    }
    let room = frame.right - frame.left;
    let title = cut(title, (room / (canvas.font * 0.56)) as usize);
    canvas.text(&title, ((frame.left + frame.right) / 2.0, top + 14.0 + canvas.font * 1.9), Anchor::Middle, ink(1.0))
}

fn checked(cells: &[Option<f64>], range: Option<(f64, f64)>) -> Result<Scale> {
    some("cells", cells)?;
    finite("cells", cells.iter().map(|c| c.unwrap_or(0.0)))?;
    match range {
        Some((lo, hi)) => {
            finite("range", [lo, hi])?;
            if lo > hi {
                return Err(Error::range("range", format!("it ends ({hi}) below its start ({lo})")));
            }
            Scale::exact("range", [lo, hi])
        }
        None => {
            let values: Vec<f64> = cells.iter().flatten().copied().collect();
            some("cells", &values)?;
            Scale::exact("cells", values)
        }
    }
}

/// Values as colours from `lo` to `hi` (others are clipped; `None` is grey), a picture without axes for [`crate::Tile`]: rows of `columns` cells, the first row at
/// the top.
///
/// # Errors
/// No cells, a value that is not finite, `lo > hi`, or a number of cells that is no multiple of `columns`.
pub fn heat_image(columns: usize, cells: &[Option<f64>], lo: f64, hi: f64) -> Result<String> {
    let scale = checked(cells, Some((lo, hi)))?;
    picture(columns, cells, scale)
}

fn picture(columns: usize, cells: &[Option<f64>], scale: Scale) -> Result<String> {
    if columns == 0 || !cells.len().is_multiple_of(columns) {
        return Err(Error::shape("cells", format!("a multiple of {columns} cells"), format!("{} cells", cells.len())));
    }
    let colour = |c: &Option<f64>| c.map_or([128, 128, 128], |v| viridis(scale.share(v)));
    png(columns, cells.len() / columns, &cells.iter().flat_map(colour).collect::<Vec<u8>>())
}

/// A heat map with a colour bar: `cells` row by row, the first row at the top, `None` (grey) where nothing was measured. `value` is the title of the
/// colour bar, with its unit; `range` its ends, or those of the values. Where rows and columns have names, cells show their numbers too, if there is
/// room.
///
/// # Errors
/// No cells, a value that is not finite, a range whose ends are in the wrong order, or a number of cells that is not columns times rows.
pub fn heat(
    columns: &Band,
    rows: &Band,
    value: &str,
    cells: &[Option<f64>],
    range: Option<(f64, f64)>,
) -> Result<Drawing> {
    let (nx, ny) = (columns.count(), rows.count());
    let (x, y) = (columns.scale("columns")?, rows.scale("rows")?);
    let scale = checked(cells, range)?;
    if nx.checked_mul(ny) != Some(cells.len()) {
        return Err(Error::shape("cells", format!("{ny} rows of {nx} cells"), format!("{} cells", cells.len())));
    }
    let address = picture(nx, cells, scale)?;
    let alt = format!("{value} by {} and {}", columns.title, rows.title);
    let size =
        |(w, h): (f64, f64), font, cell| (w, Labels::new((columns, rows), (x, y), w, font).height(h, font, cell));
    let sizes = Sizes { wide: size(SQUARE.wide, FONTS.0, CELLS.0), narrow: size(SQUARE.narrow, FONTS.1, CELLS.1) };
    Drawing::new("a heat map", &alt, &sizes, |canvas| {
        let font = canvas.font;
        let labels = Labels::new((columns, rows), (x, y), canvas.size.0, font);
        let Labels { down, across, left, room, turned, under, .. } = &labels;
        let foot = bar_room(canvas.font);
        let mut frame = Frame::new(canvas, *left, (x, y), (&columns.title, &rows.title), (*under, foot))?;
        canvas.picture(&address, (frame.left, frame.top), (frame.right, frame.bottom));
        // The first row is at the top.
        std::mem::swap(&mut frame.top, &mut frame.bottom);
        let bottom = frame.top;
        for (v, text) in down {
            canvas.text(text, (frame.left - 6.0, frame.at(x.lo, *v).1), Anchor::End, ink(0.8))?;
        }
        for (v, text) in across {
            let at = frame.at(*v, y.lo).0;
            if *turned {
                canvas.upward(text, (at, bottom + 6.0), ink(0.8))?;
            } else {
                canvas.path(&[(at, bottom), (at, bottom + 4.0)], ink(0.5), 1.0)?;
                for (i, line) in columns.folded(text, *room, font).iter().enumerate() {
                    let down = 6.0 + font * (0.6 + 1.2 * i as f64);
                    canvas.text(line, (at, bottom + down), Anchor::Middle, ink(0.8))?;
                }
            }
        }
        if columns.named() && rows.named() {
            numbers(canvas, &frame, (nx, ny), cells, scale)?;
        }
        bar(canvas, &frame, scale, value)
    })
}

/// The labels of both sides, and the room that they take.
struct Labels {
    down: Vec<(f64, String)>,
    across: Vec<(f64, String)>,
    /// From the left end of the drawing to the first column.
    left: f64,
    /// For the label of a column, across.
    room: f64,
    /// Names of columns are read from bottom to top.
    turned: bool,
    /// For the labels of the columns, down.
    under: f64,
    /// For both titles, down.
    around: f64,
    /// The number of rows with names.
    named: Option<usize>,
}

impl Labels {
    fn new((columns, rows): (&Band, &Band), (x, y): (Scale, Scale), w: f64, font: f64) -> Self {
        let short = |t: Vec<(f64, String)>, room: f64| -> Vec<(f64, String)> {
            t.into_iter().map(|(v, s)| (v, cut(&s, (room / (font * 0.56)) as usize))).collect()
        };
        let down = short(rows.ticks(y, 6), w * 0.35);
        let left = ticks_width(font, &down);
        let count = ((w - left) / (font * 6.0)).clamp(2.0, 7.0) as usize;
        let across = short(columns.ticks(x, count), 130.0);
        let longest = across.iter().map(|t| width(&t.1, font)).fold(0.0, f64::max);
        // Names go under their cells in two lines, or are turned where a word is wider than its cell.
        let room = (w - left - 14.0) / columns.count() as f64 - 6.0;
        let fits =
            |s: &str| s.split_whitespace().all(|word| width(word, font) <= room) && wrap(s, room, font).len() < 3;
        let turned = columns.named() && !across.iter().all(|t| fits(&t.1));
        let lines = across.iter().map(|t| columns.folded(&t.1, room, font).len()).max().unwrap_or(1) as f64;
        let under = if turned { longest + 4.0 } else { font * (0.2 + 1.2 * lines) };
        let titles = wrap(&rows.title, w - 8.0, font).len() + wrap(&columns.title, w - left - 8.0, font).len();
        let around = 24.0 + 1.25 * font * titles as f64;
        Self { down, across, left, room, turned, under, around, named: rows.named().then(|| rows.count()) }
    }

    /// The height of the drawing: `usual`, or that of as many rows of names, whose heights have these limits.
    fn height(&self, usual: f64, font: f64, (least, most): (f64, f64)) -> f64 {
        let Some(rows) = self.named else { return usual };
        let around = self.around + self.under + bar_room(font);
        around + rows as f64 * ((usual - around) / rows as f64).clamp(least, most)
    }
}

/// The numbers in the cells, where all of them fit.
fn numbers(
    canvas: &Canvas<'_>,
    frame: &Frame,
    (nx, ny): (usize, usize),
    cells: &[Option<f64>],
    scale: Scale,
) -> Result<()> {
    let room = ((frame.right - frame.left) / nx as f64, (frame.top - frame.bottom) / ny as f64);
    let texts: Vec<String> = cells.iter().map(|c| c.map_or(String::new(), number)).collect();
    if room.1 < canvas.font * 1.3 || texts.iter().any(|t| width(t, canvas.font) + 4.0 > room.0) {
        return Ok(());
    }
    for (k, (cell, text)) in cells.iter().zip(&texts).enumerate().filter(|(_, (c, _))| c.is_some()) {
        let dark = cell.is_some_and(|v| scale.share(v) > 0.6);
        let colour = rgb(if dark { "#101418" } else { "#ffffff" });
        canvas.text(text, frame.at((k % nx) as f64, (k / nx) as f64), Anchor::Middle, colour)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_with_names_are_as_high_as_text_and_not_much_higher() {
        let heights = |n: usize| {
            let names = |k: usize| (0..k).map(|i| format!("name {i}"));
            let cells: Vec<Option<f64>> = (0..3 * n).map(|i| Some(i as f64)).collect();
            let d =
                heat(&Band::names("column", names(3)), &Band::names("row", names(n)), "value", &cells, None).unwrap();
            [&d.wide()[0], &d.narrow()[0]].map(|svg| {
                let view = svg.split("viewBox=\"").nth(1).and_then(|s| s.split('"').next()).unwrap();
                view.split(' ').next_back().unwrap().parse::<f64>().unwrap() / 10.0
            })
        };
        let (one, ten, forty) = (heights(1), heights(10), heights(40));
        assert!(one[0] < 220.0 && one[1] < 200.0, "{one:?}");
        assert_eq!(ten, [SQUARE.wide.1, SQUARE.narrow.1]);
        assert!(forty[0] > 40.0 * CELLS.0.0 && forty[1] > 40.0 * CELLS.1.0, "{forty:?}");
    }
}
