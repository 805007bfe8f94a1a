//! Colours that are readable on light and on dark paper.

use plotters::style::{Color, RGBAColor, RGBColor};

/// The colours of series, in their order; the ninth series has the colour of the first.
pub const COLOURS: [&str; 8] = ["#3b82c4", "#d08a1d", "#2f9e63", "#9a6dd0", "#c9557b", "#4aa5a5", "#a5814a", "#8a8f98"];

/// What a row or a word says, as a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be: green.
    Good,
    /// Not as it should be: red.
    Bad,
    /// Not decided: amber.
    Open,
    /// Says nothing of the kind: grey.
    Plain,
}

impl Tone {
    /// Its colour in drawings, as `#rrggbb`.
    pub fn colour(self) -> &'static str {
        match self {
            Self::Good => "#2f9e63",
            Self::Bad => "#c9557b",
            Self::Open => "#d08a1d",
            Self::Plain => "#8a8f98",
        }
    }

    /// Its class in the style sheet: `good`, `bad`, `open` or `plain`.
    pub fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Open => "open",
            Self::Plain => "plain",
        }
    }
}

/// This stands for the text colour while a drawing is made; it becomes `currentColor`.
const INK: RGBColor = RGBColor(1, 2, 3);
/// The same as it is written.
pub(crate) const INK_HEX: &str = "\"#010203\"";

/// The text colour of the page with an opacity in [0, 1].
pub(crate) fn ink(opacity: f64) -> RGBAColor {
    INK.mix(opacity)
}

/// A colour written as `#rrggbb`.
pub(crate) fn rgb(hex: &str) -> RGBAColor {
    let part = |i: usize| u8::from_str_radix(hex.get(i..i + 2).unwrap_or("80"), 16).unwrap_or(128);
    RGBColor(part(1), part(3), part(5)).mix(1.0)
}

/// The colour of series `i`.
pub(crate) fn series(i: usize) -> &'static str {
    COLOURS[i % COLOURS.len()]
}

/// The colour of a share in [0, 1], as red, green and blue: five anchors of the perceptually uniform map "viridis", interpolated
/// linearly. Shares outside are clipped, and NaN is 0.
pub fn viridis(share: f64) -> [u8; 3] {
    const ANCHORS: [[f64; 3]; 5] =
        [[68.0, 1.0, 84.0], [59.0, 82.0, 139.0], [33.0, 145.0, 140.0], [94.0, 201.0, 98.0], [253.0, 231.0, 37.0]];
    let at = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) * 4.0 };
    let i = (at as usize).min(3);
    let t = at - i as f64;
    std::array::from_fn(|c| (ANCHORS[i][c] * (1.0 - t) + ANCHORS[i + 1][c] * t).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_ends_where_it_should() {
        assert_eq!((viridis(-1.0), viridis(1.0)), ([68, 1, 84], [253, 231, 37]));
        assert_eq!(viridis(f64::NAN), viridis(0.0));
    }
}
