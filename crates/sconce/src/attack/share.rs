//! `attack --shard`: a share of the examples, as a ledger that `merge` joins with others.

use super::evaluate::work;
use crate::args::{Attack, Shard};
use crate::program::Outcome;
use crate::stop;
use crate::terminal::Terminal;
use anyhow::{Context, Result, bail};
use sconce_attacks::{Ledger, Part};
use std::path::{Path, PathBuf};

/// Attacks the examples of the share. The ledger grows in a file beside `out`, and comes to `out` when it is complete: what is there is never half of a
/// share.
///
/// # Errors
/// Those of an evaluation; another ledger at `out`.
pub(super) fn main(args: &Attack, (shard, out): (&Shard, &Path), terminal: &mut Terminal) -> Result<Outcome> {
    if out == Path::new("-") {
        bail!("--out -: a ledger is no text; name a file");
    }
    let share = shard.resolve(|name| std::env::var(name).ok()).map_err(anyhow::Error::msg)?;
    stop::listen()?;
    let grows = beside(out);
    terminal.output("--out", Some(out))?;
    // A share that is complete is read, and nothing is attacked again.
    let file = if out.exists() { out } else { &grows };
    let done = work(args, (Some(Part::new(share.index, share.of)?), Some(file)), false, terminal)?;
    let ledger = &done.result.ledger;
    keep(ledger, out)?;
    match std::fs::remove_file(&grows) {
        // Nothing was left to attack, so that no batch was kept.
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(e).with_context(|| format!("cannot remove {}", grows.display()));
        }
        _ => {}
    }
    let attacked = (0..ledger.len()).filter(|i| i % share.of == share.index).count();
    terminal.result(&format!("share {share}: {attacked} of {} examples", ledger.len()))?;
    terminal.wrote(out);
    Ok(Outcome::Done)
}

/// Where a ledger grows.
fn beside(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".growing");
    out.with_file_name(name)
}

/// Writes a ledger once: the same one from another process is fine.
///
/// # Errors
/// Another one is there.
pub(crate) fn keep(ledger: &Ledger, out: &Path) -> Result<()> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    ledger.save_once(out).with_context(|| format!("this ledger, made on `{}`, is another one", host.trim()))
}
