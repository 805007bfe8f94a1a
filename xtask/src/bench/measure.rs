//! One row: rounds in which both sides and the peak take turns.

use super::interval::{self, median};
use super::results::{Round, Row};
use super::runner::{Runner, Started};
use super::sides::Sides;
use anyhow::{Context, Result, bail, ensure};
use xtask::workloads::{PEAK, Same, Workload};

/// Milliseconds that one turn should take, about.
const TURN: f64 = 250.0;
/// Milliseconds that one turn of the peak should take, about: two products on a laptop.
const PEAK_TURN: f64 = 100.0;
/// Steps that take longer, in milliseconds, are not warmed up, and are measured in as few rounds as give an interval.
const SLOW: f64 = 1000.0;
/// The fewest rounds that give an interval.
pub const FEWEST: usize = 6;

/// The large product on two sides, ours and the reference, in processes that live as long as the bench: what the machine can do at the
/// moment is the faster of the two. The reference has none of our code in it, so that its times can be compared between two runs of the bench.
pub struct Peak {
    ours: Runner,
    reference: Runner,
    flops: f64,
    steps: usize,
}

impl Peak {
    pub fn start(sides: &Sides<'_>) -> Result<Self> {
        let dir = sides.exchange(&PEAK, "peak")?;
        let (mut ours, flops) = sides.ours(&PEAK, &dir)?;
        let mut reference = match sides.peer(&PEAK, &dir)?.map_or_else(|| sides.candle(&PEAK, &dir), Ok)? {
            Started::Ready(runner, _) => runner,
            Started::Missing(why) => bail!("{why}"),
        };
        let a = ours.turn(1, 1)?;
        let b = reference.turn(1, 1)?;
        compare(PEAK.same, &a.loss, &b.loss, reference.name())?;
        let steps = ((PEAK_TURN / median(a.ms).max(median(b.ms))) as usize).clamp(1, 50);
        Ok(Self { ours, reference, flops, steps })
    }

    /// The name of the reference.
    pub fn reference(&self) -> &str {
        self.reference.name()
    }

    /// Milliseconds of ours and of the reference.
    fn turn(&mut self, ours_first: bool) -> Result<(f64, f64)> {
        let (ours, reference, n) = (&mut self.ours, &mut self.reference, self.steps);
        let ms = |r: &mut Runner| r.turn(1, n).map(|t| median(t.ms));
        if ours_first {
            let a = ms(ours)?;
            Ok((a, ms(reference)?))
        } else {
            let b = ms(reference)?;
            Ok((ms(ours)?, b))
        }
    }
}

fn compare(same: Same, ours: &[f64], peer: &[f64], name: &str) -> Result<()> {
    for (i, (a, b)) in ours.iter().zip(peer).enumerate() {
        ensure!(same.holds(*a, *b), "losses differ at step {i}: ours {a}, {name} {b}");
    }
    Ok(())
}

/// Steps until there are two of each side whose losses agree (one where it is slow); the time of one step of the slower side.
fn first_steps(workload: &Workload, ours: &mut Runner, peer: Option<&mut Runner>) -> Result<f64> {
    let mut peer = peer;
    let mut slowest = 0.0;
    for _ in 0..2 {
        let a = ours.turn(0, 1)?;
        slowest = median(a.ms);
        if let Some(r) = peer.as_mut() {
            let b = r.turn(0, 1)?;
            slowest = slowest.max(median(b.ms));
            compare(workload.same, &a.loss, &b.loss, r.name())?;
        }
        if slowest > SLOW {
            break;
        }
    }
    Ok(slowest)
}

/// Measures a workload.
pub fn measure(sides: &Sides<'_>, peak: &mut Peak, workload: &Workload) -> Result<Row> {
    let dir = sides.exchange(workload, "exchange")?;
    let (mut ours, flops) = sides.ours(workload, &dir)?;
    let (mut theirs, absent) = match sides.peer(workload, &dir)? {
        Some(Started::Ready(runner, _)) => (Some(runner), None),
        Some(Started::Missing(why)) => (None, Some(why)),
        None => (None, None),
    };
    let slowest = first_steps(workload, &mut ours, theirs.as_mut())?;
    let slow = slowest > SLOW;
    let (warm, n) = if slow { (0, 1) } else { (1, ((TURN / slowest) as usize).clamp(1, 50)) };
    let rounds = if slow { sides.args.rounds.min(FEWEST) } else { sides.args.rounds };
    let mut all = Vec::new();
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // Every other round runs backwards: a machine that drifts favours neither side.
        let forwards = round % 2 == 0;
        let before = if forwards { Some(peak.turn(false)?) } else { None };
        let mut own = |to: &mut Vec<f64>| -> Result<f64> {
            let ms = ours.turn(warm, n)?.ms;
            to.extend(&ms);
            Ok(median(ms))
        };
        let mut ours_ms = if forwards { Some(own(&mut a)?) } else { None };
        let peer_ms = match &mut theirs {
            Some(r) => {
                let ms = r.turn(warm, n)?.ms;
                b.extend(&ms);
                Some(median(ms))
            }
            None => None,
        };
        if !forwards {
            ours_ms = Some(own(&mut a)?);
        }
        let (peak_ours_ms, peak_reference_ms) = before.map_or_else(|| peak.turn(true), Ok)?;
        let ours_ms = ours_ms.context("each round has a turn of ours")?;
        all.push(Round { ours_ms, peer_ms, peak_ours_ms, peak_reference_ms });
    }
    let per_round = |f: &dyn Fn(&Round) -> f64| all.iter().map(f).collect::<Vec<f64>>();
    let of_peak = |r: &Round| r.peak_ours_ms.min(r.peak_reference_ms);
    let ratios: Vec<f64> = all.iter().filter_map(|r| r.peer_ms.map(|p| p / r.ours_ms)).collect();
    let ours_ms = median(a);
    Ok(Row {
        workload: workload.name.to_owned(),
        device: sides.args.device.clone(),
        threads: sides.args.threads(),
        machine: super::machine(),
        reference: peak.reference().to_owned(),
        peer: theirs.as_ref().map(|r| r.name().to_owned()),
        ours_ms,
        peer_ms: theirs.is_some().then(|| median(b)),
        ratio: (!ratios.is_empty()).then(|| median(ratios.clone())),
        ratio_95: interval::of_median(ratios).map(|e| [e.low, e.high]),
        gflops: flops / ours_ms / 1e6,
        peak_gflops: median(per_round(&|r| peak.flops / of_peak(r) / 1e6)),
        share_of_peak: median(per_round(&|r| flops / r.ours_ms / (peak.flops / of_peak(r)))),
        ours_mib: ours.stop()?,
        peer_mib: theirs.map(Runner::stop).transpose()?,
        note: absent,
        rounds: all,
    })
}
