//! The report for people: one self-contained page.

use crate::pages::plot::{self, COLOURS, Curve, viridis};
use crate::results::Results;
use anyhow::Result;
use sconce_tensor_core::stats::Summary;
use std::fmt::Write;

/// A page that grows from top to bottom.
pub struct Page {
    body: String,
}

/// Text made safe for HTML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A mean with its interval below, as a cell of a table; a dash for none.
pub fn cell(s: Option<&Summary>) -> String {
    match s {
        None => "–".to_owned(),
        Some(Summary { mean, ci95: Some(ci), .. }) => {
            format!("{mean:.3}<br><span class=soft>[{:.3}, {:.3}]</span>", ci.lo, ci.hi)
        }
        Some(s) => format!("{:.3}", s.mean),
    }
}

/// One heat map or image with its caption.
pub struct Tile {
    /// A `data:` address.
    pub image: String,
    /// Under the image.
    pub caption: String,
    /// For those who do not see it.
    pub alt: String,
}

impl Page {
    /// A page that starts with its title and what it is about.
    pub fn new(title: &str, lead: &str, r: &Results) -> Self {
        Self::plain(&format!("reproduction · {} · preset {}", r.experiment, r.preset), title, lead)
    }

    /// A section's heading.
    pub fn heading(&mut self, text: &str) {
        let _ = write!(self.body, "<h2>{}</h2>", escape(text));
    }

    /// A paragraph.
    pub fn text(&mut self, text: &str) {
        let _ = write!(self.body, "<p>{}</p>", escape(text));
    }

    /// HTML as it is.
    pub fn html(&mut self, html: &str) {
        self.body += html;
    }

    /// A table; cells are HTML, short ones that start like a number are set as numbers.
    pub fn table(&mut self, head: &[&str], rows: Vec<Vec<String>>) {
        let _ = write!(self.body, "<div class=scroll><table><thead><tr>");
        head.iter().for_each(|h| self.body += &format!("<th>{}</th>", escape(h)));
        self.body += "</tr></thead><tbody>";
        for row in rows {
            self.body += "<tr>";
            for cell in row {
                let number = cell.len() < 60 && cell.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+');
                let _ = write!(self.body, "<td{}>{cell}</td>", if number { " class=n" } else { "" });
            }
            self.body += "</tr>";
        }
        self.body += "</tbody></table></div>";
    }

    /// A plot with its legend.
    pub fn plot(&mut self, caption: &str, x: &str, y: &str, curves: &[Curve]) -> Result<()> {
        let legend: String = curves
            .iter()
            .enumerate()
            .map(|(i, c)| format!("<span><i style=\"background:{}\"></i>{}</span>", COLOURS[i % 8], escape(&c.name)))
            .collect();
        let svg = plot::lines(x, y, curves)?;
        let _ = write!(
            self.body,
            "<figure><div class=legend>{legend}</div>{svg}<figcaption>{}</figcaption></figure>",
            escape(caption)
        );
        Ok(())
    }

    /// Pictures of [`crate::pages::maps`] side by side, each with its caption.
    pub fn figures(&mut self, figures: &[(String, &str)]) {
        self.body += "<div class=figures>";
        for (svg, caption) in figures {
            let _ = write!(self.body, "<figure>{svg}<figcaption>{}</figcaption></figure>", escape(caption));
        }
        self.body += "</div>";
    }

    /// The colour scale of the heat maps that follow.
    pub fn scale(&mut self, lo: f64, hi: f64) {
        let stops: Vec<String> = (0..=4)
            .map(|i| {
                let [r, g, b] = viridis(f64::from(i) / 4.0);
                format!("rgb({r},{g},{b})")
            })
            .collect();
        let _ = write!(
            self.body,
            "<div class=scale>{lo:.2}<span class=bar style=\"background:linear-gradient(90deg,{})\"></span>{hi:.2}</div>",
            stops.join(",")
        );
    }

    /// Pictures side by side, as many in a row as fit, or four where they belong together by fours.
    pub fn tiles(&mut self, tiles: &[Tile], by_fours: bool) {
        self.body += if by_fours { "<div class=\"tiles four\">" } else { "<div class=tiles>" };
        for t in tiles {
            let (alt, caption) = (escape(&t.alt), escape(&t.caption));
            let _ = write!(self.body, "<div><img src=\"{}\" alt=\"{alt}\">{caption}</div>", t.image);
        }
        self.body += "</div>";
    }

    /// Ends the page with the configuration and where the numbers come from.
    pub fn finish(mut self, r: &Results) -> Result<String> {
        self.heading("Configuration and provenance");
        let mut rows = vec![
            vec![
                "commit".to_owned(),
                format!("{} ({})", escape(&r.commit), r.commit_date.as_deref().unwrap_or("date unknown")),
            ],
            vec!["device".to_owned(), escape(&r.device)],
            vec!["seeds".to_owned(), format!("{:?}", r.seeds)],
            vec!["time".to_owned(), format!("{:.0} s of work", r.wall_s)],
        ];
        rows.extend(r.versions.iter().map(|(k, v)| vec![escape(k), escape(v)]));
        self.table(&["", ""], rows);
        let _ = write!(
            self.body,
            "<details><summary>The recipe with its overrides</summary><pre>{}</pre></details>",
            escape(&serde_json::to_string_pretty(&r.config)?)
        );
        Ok(self.close(&format!("Sconce: {} ({})", r.experiment, r.preset)))
    }

    /// A page that is no reproduction's: its title and what it is about.
    pub fn plain(kind: &str, title: &str, lead: &str) -> Self {
        let body =
            format!("<p class=soft>Sconce · {}</p><h1>{}</h1><p>{}</p>", escape(kind), escape(title), escape(lead));
        Self { body }
    }

    /// The whole page.
    pub fn close(self, title: &str) -> String {
        format!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width, \
             initial-scale=1\"><meta name=color-scheme content=\"light dark\"><title>{}</title><style>{}</style>\
             <body>{}</body></html>\n",
            escape(title),
            include_str!("report.css"),
            self.body
        )
    }
}
