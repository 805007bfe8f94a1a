//! What stands in a table.

use crate::colours::Tone;
use crate::estimate::{Estimate, number};
use crate::page::escape;

/// One cell of a table. Text becomes a cell by `into()`, and is escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    html: String,
    class: &'static str,
}

/// A cell with more characters is given room on a phone.
const LONG: usize = 70;

impl Cell {
    /// HTML as it is; the caller has escaped what is foreign in it.
    pub fn html(html: impl Into<String>) -> Self {
        let html = html.into();
        let class = if html.len() > LONG { "long" } else { "" };
        Self { html, class }
    }

    /// A number with three decimals, or in powers of ten where that would hide it.
    pub fn number(value: f64) -> Self {
        Self { html: number(value), class: "n" }
    }

    /// A mean with its interval below it; a dash for none.
    pub fn estimate(estimate: Option<Estimate>) -> Self {
        Self::of(estimate, number)
    }

    /// A difference with its interval below it, all with signs; a dash for none.
    pub fn difference(estimate: Option<Estimate>) -> Self {
        Self::of(estimate, crate::estimate::signed)
    }

    fn of(estimate: Option<Estimate>, write: fn(f64) -> String) -> Self {
        let html = match estimate {
            None => "–".to_owned(),
            Some(Estimate { mean, interval: None }) => write(mean),
            Some(Estimate { mean, interval: Some((lo, hi)) }) => {
                format!("{}<br><span class=soft>[{}, {}]</span>", write(mean), write(lo), write(hi))
            }
        };
        Self { html, class: "n" }
    }

    /// Text that leads to an address.
    pub fn link(text: &str, address: &str) -> Self {
        Self { html: format!("<a href=\"{}\">{}</a>", escape(address), escape(text)), class: "" }
    }

    /// A word in the colour of its tone.
    pub fn toned(text: &str, tone: Tone) -> Self {
        Self { html: format!("<span class={}>{}</span>", tone.class(), escape(text)), class: "" }
    }

    pub(crate) fn write(&self, body: &mut String) {
        *body += "<td";
        if !self.class.is_empty() {
            *body += " class=";
            *body += self.class;
        }
        *body += ">";
        *body += &self.html;
        *body += "</td>";
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        // Short text that starts like a number is set as one.
        let start = text.starts_with(|c: char| c.is_ascii_digit() || "-+[".contains(c));
        let class = match text.chars().count() {
            n if n > LONG => "long",
            n if n < 24 && start => "n",
            _ => "",
        };
        Self { html: escape(text), class }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<&String> for Cell {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}
