//! `completions` and `man`.

use crate::args::Cli;
use crate::program::Outcome;
use crate::terminal::Terminal;
use anyhow::{Context, Result};
use clap::CommandFactory;
use std::io::Write;
use std::path::Path;

/// Prints the completions for a shell.
pub(crate) fn completions(shell: clap_complete::Shell) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sconce", &mut script);
    std::io::stdout().write_all(&script).context("standard output")?;
    Ok(Outcome::Done)
}

/// Prints the manual page, or writes one page per command to a folder.
pub(crate) fn manual(out: Option<&Path>, terminal: &Terminal) -> Result<Outcome> {
    match out {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page)?;
            std::io::stdout().write_all(&page).context("standard output")?;
        }
        Some(folder) => {
            Terminal::folder("--out", folder)?;
            clap_mangen::generate_to(Cli::command(), folder).with_context(|| format!("{}", folder.display()))?;
            terminal.wrote(folder);
        }
    }
    Ok(Outcome::Done)
}
