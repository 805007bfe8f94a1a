//! Whether the robust accuracy is what was asked for.

use super::evaluate::Evaluated;
use super::threat::radius;
use crate::args::Attack;
use crate::program::Outcome;
use anyhow::Result;
use sconce_attacks::Status;

/// The robust accuracy at the smallest radius must be at least `--at-least`, without flags unless they are allowed.
///
/// # Errors
/// Those of [`sconce_attacks::Evaluation::robust_accuracies`].
pub(crate) fn judge(args: &Attack, done: &Evaluated) -> Result<Outcome> {
    let Some(least) = args.at_least else { return Ok(Outcome::Done) };
    let all = done.result.robust_accuracies()?;
    let Some(first) = all.first() else { return Ok(Outcome::Done) };
    let (rate, place) = (first.robust.rate(), radius(done.threats.norm, first.threat.eps()));
    if rate < least {
        let why = format!("--at-least {least}: the robust accuracy at {place} is {rate:.4}");
        return Ok(Outcome::Missed(why));
    }
    match &first.status {
        Status::Flagged(flags) if !args.allow_flags => {
            let names: Vec<&str> = flags.iter().map(|f| f.kind.name()).collect();
            Ok(Outcome::Missed(format!(
                "--at-least {least}: the robust accuracy at {place} is {rate:.4}, but it has flags ({}), so it may be too optimistic; \
                 --allow-flags lets it pass",
                names.join(", ")
            )))
        }
        _ => Ok(Outcome::Done),
    }
}
