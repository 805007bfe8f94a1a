//! `augment`: trains a GAN on a target and an outer set of images, and writes images of the target's classes.

mod input;
mod judge;
mod networks;
mod text;
mod train;
mod write;

use crate::args::Augment;
use crate::attack::device;
use crate::fidelity::Chosen;
use crate::program::Outcome;
use crate::terminal::{Terminal, json};
use anyhow::{Result, bail};
use input::Input;
use networks::Networks;
use sconce_tensor_core::Rng;
use write::Place;

/// Read, train, write, judge.
pub(crate) fn main(args: &Augment, terminal: &mut Terminal) -> Result<Outcome> {
    let model_file = terminal.output("--model-out", args.model_out.as_deref())?;
    if model_file.is_some_and(|o| o.is_stdout()) {
        bail!("--model-out -: a generator is no text; name a file");
    }
    let json_file = terminal.output("--json", args.json.as_deref())?;
    let sources = [("--target", Some(&args.target)), ("--outer", args.outer.as_ref())];
    let place = Place::new(&args.out, &sources.map(|(option, s)| (option, s.map_or("", String::as_str))))?;
    let device = device(&args.device)?;
    let input = Input::read(args)?;
    input.describe(args, terminal);
    let chosen = Chosen::new(&args.extractor, input.target.images.shape, &device)?;

    place.open()?;
    let rng = Rng::new(args.seed);
    let mut networks = Networks::new(args, &input, &rng, &device)?;
    let course = train::run(args, &input, &mut networks, &place, &rng, &device, terminal)?;
    let made = networks.sample(&input, usize::try_from(args.per_class)?, &rng)?;
    let made = input.target.like("--out", args.out.display().to_string(), made);
    // What took long is safe before it is measured.
    place.write(&made)?;
    if let Some(path) = &args.model_out {
        networks.save(path)?;
        terminal.wrote(path);
    }
    let judged = judge::judge(&input, &made, &chosen, &course, &rng, terminal)?;

    terminal.result(&text::text(&input, &made, &judged))?;
    for warning in &judged.warnings {
        terminal.warn(&format!("warning: {warning}"));
    }
    terminal.write(json_file.as_ref(), || json("augment", text::fields(args, &input, &made, &course, &judged)?))?;
    place.close()?;
    terminal.wrote(&args.out);
    Ok(Outcome::Done)
}
