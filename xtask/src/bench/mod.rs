//! Measures this workspace against a peer in the same call, taking turns.
//!
//! Each workload runs in two processes, ours and the peer's, which read the same first values and the same inputs. In each round both take
//! a turn, and so does the large product that stands for what the machine can do, so that a busy machine slows all of them. A ratio is the
//! median of the rounds' ratios with the interval of its order statistics; the losses are compared first.

mod baseline;
mod interval;
mod measure;
mod results;
mod runner;
mod sides;

use crate::shell;
use anyhow::{Result, ensure};
use measure::{FEWEST, Peak, measure};
use results::{Failed, Results, Row};
use sides::Sides;
use xtask::cli::Bench;
use xtask::workloads::{ALL, Workload};

/// The processor's name where the system tells it, and its kind elsewhere.
fn machine() -> String {
    let told = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name =
        told.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name.to_owned()));
    name.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn line(row: &Row) -> String {
    let show = |v: Option<f64>, digits: usize| v.map_or("-".to_owned(), |v| format!("{v:.digits$}"));
    let interval = row.ratio_95.map_or("-".to_owned(), |[low, high]| format!("[{low:.2}, {high:.2}]"));
    format!(
        "{:<28} {:>10.3} {:>10} {:>7} {:>14} {:>8.0} {:>5.0}% {:>9.0} {:>9}",
        row.workload,
        row.ours_ms,
        show(row.peer_ms, 3),
        show(row.ratio, 2),
        interval,
        row.gflops,
        100.0 * row.share_of_peak,
        row.ours_mib,
        show(row.peer_mib, 0)
    )
}

/// Runs the workloads whose names contain the filter; exit code 2 where the peer is not installed, 1 where a workload failed.
#[allow(clippy::print_stderr)]
pub fn main(args: &Bench) -> Result<u8> {
    let peer = match sides::installed(args)? {
        Ok(peer) => peer,
        Err(missing) => {
            eprintln!(
                "error: the peer is not installed: {missing}\n       give a Python with PyTorch by --python PATH"
            );
            return Ok(2);
        }
    };
    let wanted: Vec<&Workload> = ALL
        .iter()
        .filter(|w| args.filter.is_empty() || args.filter.iter().any(|f| w.name.contains(f.as_str())))
        .collect();
    let names = || ALL.iter().map(|w| w.name).collect::<Vec<_>>();
    ensure!(!wanted.is_empty(), "no workload matches {:?}; there are {:?}", args.filter, names());
    // Read first: it may be the file that this run replaces.
    let earlier = args.baseline.as_deref().map(Results::read).transpose()?;
    let scratch = shell::target()?.join("bench");
    std::fs::create_dir_all(&scratch)?;
    let file =
        args.out.clone().unwrap_or_else(|| scratch.join(format!("{}.json", peer.map_or("alone", sides::Peer::name))));
    let sides = Sides::new(args, peer, &scratch)?;
    let mut peak = Peak::start(&sides)?;

    say!(
        "{} threads, {} rounds; peak: the faster of our matrix product and that of {}, beside each row",
        args.threads(),
        args.rounds,
        peak.reference()
    );
    if args.rounds < FEWEST {
        say!("fewer than {FEWEST} rounds give no 95 % interval");
    }
    say!(
        "\n{:<28} {:>10} {:>10} {:>7} {:>14} {:>8} {:>6} {:>9} {:>9}",
        "workload",
        "ours ms",
        "peer ms",
        "ratio",
        "95 %",
        "GFLOP/s",
        "peak",
        "ours MiB",
        "peer MiB"
    );
    let mut results = Results::default();
    for workload in wanted {
        match measure(&sides, &mut peak, workload) {
            Ok(row) => {
                let beside =
                    earlier.as_ref().map_or_else(String::new, |e| format!("   {}", baseline::compare(&row, e)));
                say!("{}{beside}", line(&row));
                if let Some(note) = &row.note {
                    say!("{:<28} no peer: {note}", "");
                }
                results.rows.push(row);
            }
            Err(e) => {
                say!("{:<28} failed: {e:#}", workload.name);
                results.failed.push(Failed { workload: workload.name.to_owned(), reason: format!("{e:#}") });
            }
        }
        results.write(&file)?;
    }
    say!("\n{}", file.display());
    Ok(u8::from(!results.failed.is_empty()))
}
