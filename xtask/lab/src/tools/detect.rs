//! `cargo xtask detect`: the command of the anomaly crate, with the embedded table at hand.

use crate::places;
use anyhow::Result;
use clap::Parser;
use sconce_anomaly::cli;

/// What stands for the table that ships.
const EMBEDDED: &str = "shuttle:embedded";

/// Fits, scores or compares.
#[allow(clippy::print_stderr)]
pub fn main(words: &[String]) -> Result<u8> {
    let shuttle = places::workspace().join("datasets/embedded/shuttle/shuttle.csv.gz");
    let named = |w: &String| if w == EMBEDDED { shuttle.display().to_string() } else { w.clone() };
    let words = std::iter::once("cargo xtask detect".to_owned()).chain(words.iter().map(named));
    let args = match cli::Cli::try_parse_from(words) {
        Ok(args) => args,
        // Help and mistakes, in clap's own words.
        Err(e) => {
            let code = e.exit_code();
            e.print()?;
            return Ok(u8::try_from(code).unwrap_or(2));
        }
    };
    cli::run(&args, Box::new(std::io::stdin()), &mut std::io::stdout(), &|line| eprintln!("{line}"))?;
    Ok(0)
}
