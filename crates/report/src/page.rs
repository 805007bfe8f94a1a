//! A self-contained HTML page.

use crate::cell::Cell;
use crate::colours::viridis;
use crate::drawing::Drawing;
use crate::error::{Result, finite};
use crate::estimate::number;
use crate::frame::trimmed;
use crate::images::Tile;
use crate::lines::{Curve, lines};
use std::fmt::Write;

/// A page that grows from top to bottom. It needs no other file; it is readable on light and on dark paper, on a phone and in print; and the
/// same calls give the same bytes.
#[derive(Clone, Debug)]
pub struct Page {
    body: String,
}

/// Text made safe for HTML, also inside of quoted attributes.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            other => safe.push(other),
        }
    }
    safe
}

impl Page {
    /// A page that starts with its kind (small, above), its title and what it is about.
    pub fn new(kind: &str, title: &str, lead: &str) -> Self {
        let [kind, title, lead] = [kind, title, lead].map(escape);
        Self { body: format!("<p class=soft>{kind}</p>\n<h1>{title}</h1>\n<p>{lead}</p>\n") }
    }

    /// The heading of a section.
    pub fn heading(&mut self, text: &str) {
        let _ = writeln!(self.body, "<h2>{}</h2>", escape(text));
    }

    /// A heading inside a section.
    pub fn subheading(&mut self, text: &str) {
        let _ = writeln!(self.body, "<h3>{}</h3>", escape(text));
    }

    /// A paragraph.
    pub fn text(&mut self, text: &str) {
        let _ = writeln!(self.body, "<p>{}</p>", escape(text));
    }

    /// Paragraphs and lists with the marks of Markdown for bold and italic words and for code.
    pub fn markdown(&mut self, text: &str) {
        self.body += &crate::markdown::html(text);
    }

    /// The most important sentence of the page, in larger type.
    pub fn summary(&mut self, text: &str) {
        let _ = writeln!(self.body, "<p class=summary>{}</p>", escape(text));
    }

    /// A paragraph in the small, soft type of captions.
    pub fn note(&mut self, text: &str) {
        let _ = writeln!(self.body, "<p class=soft>{}</p>", escape(text));
    }

    /// Addresses in one line, each with its text.
    pub fn links(&mut self, links: &[(&str, &str)]) {
        let one = |(text, address): &(&str, &str)| format!("<a href=\"{}\">{}</a>", escape(address), escape(text));
        let all: Vec<String> = links.iter().map(one).collect();
        let _ = writeln!(self.body, "<p class=soft>{}</p>", all.join(" · "));
    }

    /// A list of what a reader must know, in a box.
    pub fn list(&mut self, items: &[String]) {
        let items: String = items.iter().map(|t| format!("<li>{}</li>", escape(t))).collect();
        let _ = writeln!(self.body, "<ul class=box>{items}</ul>");
    }

    /// HTML as it is; the caller has escaped what is foreign in it.
    pub fn html(&mut self, html: &str) {
        self.body += html;
        self.body.push('\n');
    }

    /// A table; it scrolls inside its box where it is wider than the page. A table without any heading has no head.
    pub fn table<C: Into<Cell>>(&mut self, head: &[&str], rows: Vec<Vec<C>>) {
        self.body += "<div class=scroll><table>";
        if head.iter().any(|h| !h.is_empty()) {
            self.body += "<thead><tr>";
            head.iter().for_each(|h| self.body += &format!("<th>{}</th>", escape(h)));
            self.body += "</tr></thead>";
        }
        self.body += "<tbody>\n";
        for row in rows {
            self.body += "<tr>";
            row.into_iter().for_each(|cell| cell.into().write(&mut self.body));
            self.body += "</tr>\n";
        }
        self.body += "</tbody></table></div>\n";
    }

    /// Text as it is (a recipe, a command), folded under a summary until it is opened.
    pub fn details(&mut self, summary: &str, text: &str) {
        let (summary, text) = (escape(summary), escape(text));
        let _ = writeln!(self.body, "<details><summary>{summary}</summary><pre>{text}</pre></details>");
    }

    /// A figure as wide as the page, with its legend and its caption.
    pub fn figure(&mut self, drawing: &Drawing, caption: &str) {
        let (wide, narrow) = (drawing.wide().concat(), drawing.narrow().concat());
        let (legend, caption) = (drawing.legend_html(), escape(caption));
        let _ = writeln!(
            self.body,
            "<figure>{legend}<div class=wide>{wide}</div><div class=narrow>{narrow}</div><figcaption>{caption}</figcaption></figure>"
        );
    }

    /// Figures side by side, each with its caption; as many in a row as fit.
    pub fn row<S: AsRef<str>>(&mut self, figures: &[(Drawing, S)]) {
        let _ = write!(
            self.body,
            "<div class=row style=\"--n:{}\">",
            if [1, 2, 4].contains(&figures.len()) { 2 } else { 3 }
        );
        for (drawing, caption) in figures {
            let (legend, caption) = (drawing.legend_html(), escape(caption.as_ref()));
            let svg = drawing.narrow().concat();
            let _ = writeln!(self.body, "<figure>{legend}{svg}<figcaption>{caption}</figcaption></figure>");
        }
        self.body += "</div>\n";
    }

    /// A plot of curves with its caption: [`lines()`] and [`Page::figure`] in one.
    ///
    /// # Errors
    /// Those of [`lines()`].
    pub fn plot(&mut self, caption: &str, x: &str, y: &str, curves: &[Curve]) -> Result<()> {
        self.figure(&lines(x, y, curves)?, caption);
        Ok(())
    }

    /// The colour bar of the tiles that follow, from `lo` to `hi`; `title` says what the colours stand for, with its unit.
    ///
    /// # Errors
    /// An end that is not finite.
    pub fn scale(&mut self, title: &str, lo: f64, hi: f64) -> Result<()> {
        finite("scale", [lo, hi])?;
        let shares = [0.0, 0.25, 0.5, 0.75, 1.0];
        let stops = shares.map(|s| {
            let [r, g, b] = viridis(s);
            format!("rgb({r},{g},{b})")
        });
        let ticks = shares.map(|s| format!("<span>{}</span>", trimmed(&number(lo * (1.0 - s) + hi * s)))).concat();
        let _ = writeln!(
            self.body,
            "<div class=scale>{}<div class=bar style=\"background:linear-gradient(90deg,{})\"></div><div class=ticks>{ticks}</div></div>",
            escape(title),
            stops.join(",")
        );
        Ok(())
    }

    /// Pictures side by side: as many in a row as fit, or `columns`, where they belong together.
    pub fn tiles(&mut self, tiles: &[Tile], columns: Option<usize>) {
        self.body += &match columns {
            Some(n) => {
                let n = n.max(1);
                // A picture is not drawn larger than it can be read.
                format!("<div class=\"tiles fixed\" style=\"--n:{n};max-width:{}rem\">", 11 * n)
            }
            None => "<div class=tiles>".to_owned(),
        };
        tiles.iter().for_each(|t| self.tile(t));
        self.body += "</div>\n";
    }

    /// A grid of pictures with a heading for each column and a label for each row, for example clean, perturbation and adversarial.
    pub fn image_grid(&mut self, columns: &[&str], rows: &[(String, Vec<Tile>)]) {
        let n = rows.iter().map(|r| r.1.len()).chain([columns.len(), 1]).max().unwrap_or(1);
        let _ = write!(self.body, "<div class=\"tiles fixed grid\" style=\"--n:{n};max-width:{}rem\">", 11 * n);
        (0..n).for_each(|i| {
            let _ = write!(self.body, "<b>{}</b>", escape(columns.get(i).unwrap_or(&"")));
        });
        for (label, tiles) in rows {
            if !label.is_empty() {
                let _ = write!(self.body, "<p class=label>{}</p>", escape(label));
            }
            tiles.iter().for_each(|t| self.tile(t));
            self.body += &"<i></i>".repeat(n - tiles.len());
        }
        self.body += "</div>\n";
    }

    fn tile(&mut self, t: &Tile) {
        let [image, alt, caption] = [&t.image, &t.alt, &t.caption].map(|t| escape(t));
        let _ = write!(self.body, "<div><img src=\"{image}\" alt=\"{alt}\">{caption}</div>");
    }

    /// The whole page as HTML; `title` is that of the browser's window.
    pub fn close(self, title: &str) -> String {
        format!(
            "<!doctype html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width, \
             initial-scale=1\"><meta name=color-scheme content=\"light dark\"><title>{}</title>\n<style>\n{}</style></head>\n\
             <body>\n{}</body></html>\n",
            escape(title),
            include_str!("style.css"),
            self.body
        )
    }
}
