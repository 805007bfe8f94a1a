//! `detect fit|score|compare`: anomalies in tables.

pub(crate) mod compare;
mod evaluation;
mod fit;
mod method;
mod score;
mod table;

use crate::args::Detect;
use crate::program::Outcome;
use crate::terminal::Terminal;
use anyhow::Result;

/// Runs a verb.
pub(crate) fn main(args: &Detect, terminal: &mut Terminal) -> Result<Outcome> {
    match args {
        Detect::Fit(args) => fit::main(args, terminal),
        Detect::Score(args) => score::main(args, terminal),
        Detect::Compare(args) => compare::main(args, terminal),
    }
}
