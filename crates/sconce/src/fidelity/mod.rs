//! `fidelity`: reads real and generated images, measures how they differ and whether they are copies, and writes the numbers with those to read them against.

mod classes;
mod extractor;
mod input;
mod measure;
mod page;
mod table;
mod text;
mod told;
mod warnings;

pub(crate) use extractor::Chosen;
pub(crate) use input::Compared;
pub(crate) use measure::{Measured, measure};
pub(crate) use table::lines;
pub(crate) use text::{reading, table as text_table};
pub(crate) use warnings::warnings;

use crate::args::Fidelity;
use crate::attack::device;
use crate::program::Outcome;
use crate::terminal::{Terminal, json};
use anyhow::Result;
use sconce_tensor_core::Rng;

/// Read, measure, write.
pub(crate) fn main(args: &Fidelity, terminal: &mut Terminal) -> Result<Outcome> {
    let json_file = terminal.output("--json", args.json.as_deref())?;
    let page_file = terminal.output("--html", args.html.as_deref())?;
    let device = device(&args.device)?;
    let compared = Compared::read(args)?;
    let (c, h, w) = compared.real.images.shape;
    terminal.note(&format!(
        "{} real and {} generated images of {c} x {h} x {w}{}",
        compared.real.images.len(),
        compared.generated.images.len(),
        compared.train.as_ref().map_or_else(String::new, |t| format!(", {} training images", t.images.len()))
    ));
    let chosen = Chosen::new(&args.extractor, compared.real.images.shape, &device)?;
    let measured = measure(&compared, &chosen, usize::try_from(args.batch)?, &Rng::new(args.seed), terminal)?;
    terminal.result(&text::text(&measured))?;
    for warning in warnings(&measured) {
        terminal.warn(&format!("warning: {warning}"));
    }
    terminal.write(json_file.as_ref(), || json("fidelity", text::fields(args, &measured)?))?;
    terminal.write(page_file.as_ref(), || page::html(args, &compared, &measured, terminal.seconds()))?;
    Ok(Outcome::Done)
}
