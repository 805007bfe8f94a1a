//! `cargo xtask oracle`: our attacks beside those of the field's libraries, on one network and the same images.

use crate::terminal::say;
use anyhow::Result;
use sconce_tests::oracle::Oracle;
use std::time::Instant;
use xtask::cli;

/// Prints the table; 1 where a row disagrees.
pub fn main(args: &cli::Oracle) -> Result<u8> {
    let oracle = Oracle::load()?;
    say(&format!("measured with {}; on the left theirs, on the right ours", oracle.versions));
    say("library      attack               norm  eps    images  robust accuracy           mean perturbation");
    let (mut bad, mut none) = (0, Vec::new());
    for theirs in &oracle.rows {
        let name = format!("{} {} {}", theirs.library, theirs.attack, theirs.norm);
        let asked = args.filter.is_empty() || args.filter.iter().any(|f| name.contains(f.as_str()));
        if !asked || args.at_most.is_some_and(|n| theirs.examples > n) {
            continue;
        }
        let started = Instant::now();
        let Some(r) = oracle.measure(theirs)? else {
            none.push(name);
            continue;
        };
        let verdict = if r.agrees() { "agrees" } else { "DIFFERS" };
        bad += usize::from(!r.agrees());
        say(&format!(
            "{:<12} {:<20} {:<5} {:<6} {:>6}  {:.3}  {:.3} (+-{:.3})   {:.5}  {:.5} (+-{:.1} %)  {verdict}; {} [{:.1} s]",
            theirs.library,
            theirs.attack,
            theirs.norm,
            theirs.eps,
            theirs.examples,
            theirs.robust,
            r.robust,
            r.robust_tolerance,
            theirs.mean,
            r.mean,
            100.0 * r.mean_tolerance,
            r.reason,
            started.elapsed().as_secs_f64(),
        ));
    }
    if !none.is_empty() {
        say(&format!("without a counterpart here: {}", none.join(", ")));
    }
    say(&format!("{bad} rows differ"));
    Ok(u8::from(bad > 0))
}
