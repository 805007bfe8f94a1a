//! A field of arrows.

use crate::colours::rgb;
use crate::drawing::{Drawing, SQUARE};
use crate::error::{Error, Result, finite, some};
use crate::frame::{Frame, Scale};

/// Arrows at places, each `[x, y, dx, dy]`, with the titles of x and y. The longest arrow is `length` units of the axes long, the others in
/// proportion; a dot marks the start of each.
///
/// # Errors
/// No arrows, a value that is not finite, or a length that is not positive.
pub fn field(arrows: &[[f64; 4]], length: f64, (x, y): (&str, &str)) -> Result<Drawing> {
    some("arrows", arrows)?;
    for (i, a) in arrows.iter().enumerate() {
        if a.iter().any(|v| !v.is_finite()) {
            return Err(Error::NotFinite { what: "arrows".to_owned(), index: i });
        }
    }
    finite("length", [length])?;
    if length <= 0.0 {
        return Err(Error::range("length", format!("must be positive, got {length}")));
    }
    let longest = arrows.iter().fold(0.0, |m: f64, a| m.max(a[2].hypot(a[3])));
    finite("arrows", [longest])?;
    // First a share of the longest, which cannot overflow.
    let tip = |a: &[f64; 4], k: usize| a[k] + if longest > 0.0 { a[k + 2] / longest * length } else { 0.0 };
    let scale = |k: usize| Scale::around("arrows", arrows.iter().flat_map(|a| [a[k], tip(a, k)]));
    let scales = (scale(0)?, scale(1)?);
    Drawing::new("a field of arrows", &format!("arrows over {x} and {y}"), &SQUARE, |canvas| {
        let frame = Frame::axes(canvas, scales, (x, y), 0.12, 0.0)?;
        let colour = rgb("#3b82c4");
        for a in arrows {
            canvas.path(&[frame.at(a[0], a[1]), frame.at(tip(a, 0), tip(a, 1))], colour, 1.4)?;
            canvas.dot(frame.at(a[0], a[1]), 2.0, colour)?;
        }
        Ok(())
    })
}
