//! `merge`: what shares found, as one result.

use crate::args::Merge;
use crate::attack::keep_ledger;
use crate::detect::compare::shares;
use crate::program::Outcome;
use crate::terminal::Terminal;
use anyhow::{Context, Result, bail};
use sconce_attacks::{Ledger, Part};

/// Folders of a comparison, or ledgers.
pub(crate) fn main(args: &Merge, terminal: &mut Terminal) -> Result<Outcome> {
    match args.shares.iter().filter(|s| s.is_dir()).count() {
        0 => ledgers(args, terminal),
        n if n == args.shares.len() => shares::merge(&args.shares, &args.out, terminal),
        _ => bail!("files and folders: give the ledgers of one evaluation, or the folders of one comparison"),
    }
}

fn ledgers(args: &Merge, terminal: &mut Terminal) -> Result<Outcome> {
    terminal.output("--out", Some(&args.out))?;
    let parts = args.shares.iter().map(|path| Ok(Ledger::load(path)?)).collect::<Result<Vec<_>>>()?;
    for (path, part) in args.shares.iter().zip(&parts) {
        part.part().with_context(|| format!("{}: a ledger of all examples, not of a share", path.display()))?;
    }
    let missing: Vec<String> = Ledger::missing(&parts).iter().map(Part::to_string).collect();
    if !missing.is_empty() {
        return Ok(Outcome::Holes(format!("shares are missing: {}", missing.join(", "))));
    }
    let merged = Ledger::merge(&parts)?;
    keep_ledger(&merged, &args.out)?;
    let (examples, attacks) = (merged.len(), merged.entries.len());
    let out = args.out.display();
    terminal.result(&format!(
        "{examples} examples, {attacks} attacks at their radii; `attack ... --ledger {out}` judges them"
    ))?;
    terminal.wrote(&args.out);
    Ok(Outcome::Done)
}
