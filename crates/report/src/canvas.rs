//! Marks on a plane of pixels, as SVG.

use crate::colours::INK_HEX;
use crate::error::{Error, Result};
use crate::page::escape;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontTransform, RGBAColor};
use std::cell::RefCell;

/// The library's coordinates are whole: a pixel has this many of them.
const FINE: f64 = 10.0;
/// The library writes a font's size divided by this.
const FONT: f64 = 1.24;
/// The width of a character of average text, in units of the font's size.
const CHARACTER: f64 = 0.56;

/// Where a text stands, seen from its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// It starts at the point.
    Start,
    /// Its middle is at the point.
    Middle,
    /// It ends at the point.
    End,
}

/// A drawing of one size.
pub(crate) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
    images: RefCell<String>,
    what: &'static str,
    /// Width and height in pixels.
    pub(crate) size: (f64, f64),
    /// The size of text, in pixels.
    pub(crate) font: f64,
}

fn fine((x, y): (f64, f64)) -> (i32, i32) {
    ((x * FINE).round() as i32, (y * FINE).round() as i32)
}

/// Draws, and returns the SVG: its size is at most `size`, and it takes its ink from the page. `alt` is its text for those who do not see it.
pub(crate) fn svg(
    what: &'static str,
    alt: &str,
    (w, h): (f64, f64),
    font: f64,
    draw: impl FnOnce(&Canvas<'_>) -> Result<()>,
) -> Result<String> {
    let (pixels, mut text) = (((w * FINE) as u32, (h * FINE) as u32), String::new());
    let images = {
        let area = SVGBackend::with_string(&mut text, pixels).into_drawing_area();
        let canvas = Canvas { area, images: RefCell::default(), what, size: (w, h), font };
        draw(&canvas)?;
        canvas.area.present().map_err(|e| Error::draw(what, e))?;
        canvas.images.take()
    };
    let size = format!("width=\"{}\" height=\"{}\"", pixels.0, pixels.1);
    let ours = format!("class=\"plot\" role=\"img\" aria-label=\"{}\" style=\"max-width:{w}px\"", escape(alt));
    let text = text.replace(INK_HEX, "\"currentColor\"").replacen(&size, &ours, 1);
    // Under all other marks.
    Ok(text.replacen(">\n", &format!(">\n{images}"), 1))
}

/// The width that a text takes, in pixels, about.
pub(crate) fn width(text: &str, font: f64) -> f64 {
    text.chars().count() as f64 * font * CHARACTER
}

/// A text in lines of at most `room` pixels each; a longer word stands alone and is cut.
pub(crate) fn wrap(text: &str, room: f64, font: f64) -> Vec<String> {
    let most = ((room / (font * CHARACTER)) as usize).max(4);
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let word = cut(word, most);
        match lines.last_mut() {
            Some(l) if l.chars().count() + 1 + word.chars().count() <= most => *l += &format!(" {word}"),
            _ => lines.push(word),
        }
    }
    lines
}

/// A text of at most so many characters.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

impl Canvas<'_> {
    fn done<E: std::fmt::Display>(&self, drawn: std::result::Result<(), E>) -> Result<()> {
        drawn.map_err(|e| Error::draw(self.what, e))
    }

    /// A line through points.
    pub(crate) fn path(&self, points: &[(f64, f64)], colour: RGBAColor, width: f64) -> Result<()> {
        let points: Vec<(i32, i32)> = points.iter().copied().map(fine).collect();
        self.done(self.area.draw(&PathElement::new(points, colour.stroke_width((width * FINE) as u32))))
    }

    /// A filled area.
    pub(crate) fn polygon(&self, points: &[(f64, f64)], colour: RGBAColor) -> Result<()> {
        let points: Vec<(i32, i32)> = points.iter().copied().map(fine).collect();
        self.done(self.area.draw(&Polygon::new(points, colour.filled())))
    }

    /// A filled circle.
    pub(crate) fn dot(&self, at: (f64, f64), radius: f64, colour: RGBAColor) -> Result<()> {
        self.done(self.area.draw(&Circle::new(fine(at), (radius * FINE) as u32, colour.filled())))
    }

    /// A line of text whose middle is at the height of the point.
    pub(crate) fn text(&self, text: &str, at: (f64, f64), anchor: Anchor, colour: RGBAColor) -> Result<()> {
        self.write(text, at, anchor, colour, FontTransform::None)
    }

    /// A line of text that is read from bottom to top, and ends at the point.
    pub(crate) fn upward(&self, text: &str, at: (f64, f64), colour: RGBAColor) -> Result<()> {
        self.write(text, at, Anchor::End, colour, FontTransform::Rotate270)
    }

    fn write(&self, text: &str, at: (f64, f64), anchor: Anchor, colour: RGBAColor, turn: FontTransform) -> Result<()> {
        let h = match anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        let style = ("sans-serif", self.font * FINE * FONT).into_font().transform(turn).color(&colour);
        self.done(self.area.draw(&Text::new(text.to_owned(), fine(at), style.pos(Pos::new(h, VPos::Center)))))
    }

    /// A picture (a `data:` address) between two corners, with hard edges of its cells, under all other marks.
    pub(crate) fn picture(&self, address: &str, a: (f64, f64), b: (f64, f64)) {
        let ((x0, y0), (x1, y1)) = (fine(a), fine(b));
        *self.images.borrow_mut() += &format!(
            "<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" href=\"{}\"/>\n",
            x0.min(x1),
            y0.min(y1),
            (x1 - x0).abs(),
            (y1 - y0).abs(),
            escape(address)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_and_cut() {
        assert_eq!(wrap("one two three", 10.0 * CHARACTER * 7.0, 10.0), ["one two", "three"]);
        assert_eq!(cut("abcdef", 4), "abc…");
    }

    #[test]
    fn a_drawing_takes_the_ink_of_the_page_and_its_own_size() {
        let svg = svg("a test", "<alt>", (100.0, 50.0), 12.0, |c| {
            c.path(&[(0.0, 0.0), (10.0, 5.55)], crate::colours::ink(0.5), 1.5)?;
            c.text("#010203 <b>", (50.0, 25.0), Anchor::Middle, crate::colours::ink(1.0))
        });
        let svg = svg.unwrap();
        for want in [
            "viewBox=\"0 0 1000 500\"",
            "max-width:100px",
            "&lt;alt&gt;",
            "currentColor",
            "#010203 &lt;b&gt;",
            "100,56",
        ] {
            assert!(svg.contains(want), "{want} is not in {svg}");
        }
        assert!(!svg.contains("\"#010203\"") && !svg.contains("width=\"1000\""));
    }
}
