//! A drawing in two sizes, with its legend.

use crate::canvas::{self, Canvas};
use crate::error::Result;
use crate::page::escape;
use std::fmt::Write;

/// A figure as SVG in two sizes: one for a screen or for paper, one for a phone or for several figures side by side. Text has the size of
/// the page's text in both.
///
/// Its lines have the colour of the text around them (`currentColor`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawing {
    pub(crate) legend: Vec<(String, String)>,
    pub(crate) wide: Vec<String>,
    pub(crate) narrow: Vec<String>,
}

/// The sizes of one kind of figure: width and height in pixels, wide and narrow.
pub(crate) struct Sizes {
    pub(crate) wide: (f64, f64),
    pub(crate) narrow: (f64, f64),
}

/// Figures as wide as the page.
pub(crate) const BROAD: Sizes = Sizes { wide: (1024.0, 400.0), narrow: (360.0, 290.0) };
/// Figures about as high as wide.
pub(crate) const SQUARE: Sizes = Sizes { wide: (736.0, 640.0), narrow: (360.0, 360.0) };

/// Sizes of text, wide and narrow, in pixels.
pub(crate) const FONTS: (f64, f64) = (14.0, 12.5);

impl Drawing {
    /// Draws both sizes.
    pub(crate) fn new(
        what: &'static str,
        alt: &str,
        sizes: &Sizes,
        draw: impl Fn(&Canvas<'_>) -> Result<()>,
    ) -> Result<Self> {
        Ok(Self {
            legend: Vec::new(),
            wide: vec![canvas::svg(what, alt, sizes.wide, FONTS.0, &draw)?],
            narrow: vec![canvas::svg(what, alt, sizes.narrow, FONTS.1, &draw)?],
        })
    }

    /// Adds a legend: names with their colours as `#rrggbb`.
    pub(crate) fn with_legend(mut self, legend: impl IntoIterator<Item = (String, &'static str)>) -> Self {
        self.legend = legend.into_iter().map(|(name, colour)| (name, colour.to_owned())).collect();
        self
    }

    /// The SVG for a screen or for paper, one per panel. Only [`crate::forest()`] can have several panels.
    pub fn wide(&self) -> &[String] {
        &self.wide
    }

    /// The SVG for a phone or for several figures side by side, one per panel.
    pub fn narrow(&self) -> &[String] {
        &self.narrow
    }

    /// Its legend as HTML, empty for none.
    pub(crate) fn legend_html(&self) -> String {
        let mut html = String::new();
        if !self.legend.is_empty() {
            html += "<div class=legend>";
            for (name, colour) in &self.legend {
                let _ = write!(html, "<span><i style=\"background:{colour}\"></i>{}</span>", escape(name));
            }
            html += "</div>";
        }
        html
    }
}
