//! Which jobs a share has.

use crate::jobs::{Plan, Planned, Rates};
use crate::terminal::clock;
use std::collections::{BTreeMap, HashMap};

/// For each job of the plan, the share that does it. It is a function of the plan, of the rates on record and of the number of shares: every
/// process finds the same.
pub fn shares(plan: &Plan<'_>, recorded: &Rates, of: usize) -> Vec<usize> {
    schedule(plan, &weights(plan.jobs(), recorded), of).0
}

/// Plays the work through on `of` machines of one kind: whichever job can start first starts, in the order of the plan, on the machine of the heaviest
/// job that it needs if that one is free by then, so that chains stay together. Returns the machine of each job, and when the last one ends.
fn schedule(plan: &Plan<'_>, weights: &[f64], of: usize) -> (Vec<usize>, f64) {
    let jobs = plan.jobs();
    let at: HashMap<&str, usize> = jobs.iter().enumerate().map(|(i, j)| (j.key(), i)).collect();
    let needs: Vec<Vec<usize>> =
        jobs.iter().map(|j| j.needs.iter().filter_map(|n| at.get(n.as_str()).copied()).collect()).collect();
    let mut waits: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut needed_by = vec![Vec::new(); jobs.len()];
    needs.iter().enumerate().for_each(|(i, of)| of.iter().for_each(|n| needed_by[*n].push(i)));
    let (mut free, mut share, mut end) = (vec![0.0f64; of.max(1)], vec![0; jobs.len()], vec![0.0f64; jobs.len()]);
    // Jobs whose needs have their place, in the order of the plan, with the time at which these end.
    let mut open: BTreeMap<usize, f64> = (0..jobs.len()).filter(|i| waits[*i] == 0).map(|i| (i, 0.0)).collect();
    while !open.is_empty() {
        let first = free.iter().copied().fold(f64::INFINITY, f64::min);
        let next = open.iter().fold(None, |best: Option<(usize, f64)>, (i, ready)| match best {
            Some((_, start)) if start <= ready.max(first) => best,
            _ => Some((*i, ready.max(first))),
        });
        let Some((job, start)) = next else { break };
        open.remove(&job);
        let heaviest = needs[job].iter().copied().max_by(|a, b| weights[*a].total_cmp(&weights[*b]).then(b.cmp(a)));
        let near = heaviest.map(|n| share[n]).filter(|m| free[*m] <= start);
        // Else the machine that has waited least, so that the others stay free for what starts earlier.
        let latest = |best: Option<usize>, m: usize| match best {
            Some(b) if free[m] > start || free[b] >= free[m] => Some(b),
            _ if free[m] <= start => Some(m),
            _ => best,
        };
        let machine = near.or_else(|| (0..free.len()).fold(None, latest)).unwrap_or(0);
        (share[job], end[job]) = (machine, start + weights[job]);
        free[machine] = end[job];
        for after in &needed_by[job] {
            waits[*after] -= 1;
            if waits[*after] == 0 {
                open.insert(*after, needs[*after].iter().fold(0.0, |t: f64, n| t.max(end[*n])));
            }
        }
    }
    (share, end.into_iter().fold(0.0, f64::max))
}

/// What the whole plan takes on 1, 8 and 64 machines, and its longest job: none where no kind of job was timed.
pub fn on_paper(plan: &Plan<'_>, rates: &Rates) -> Option<String> {
    let weights = weights(plan.jobs(), rates);
    plan.jobs().iter().find(|j| j.cost > 0.0 && rates.contains_key(j.kind()))?;
    let longest = (0..weights.len()).fold(0, |best, i| if weights[i] > weights[best] { i } else { best });
    let on = |n: usize| clock(schedule(plan, &weights, n).1);
    Some(format!(
        "on paper all of it takes {} on one machine, {} on 8 and {} on 64; the longest job is {}, {}",
        on(1),
        on(8),
        on(64),
        plan.jobs()[longest].key(),
        clock(weights[longest])
    ))
}

/// The work of each job: seconds where its kind is on record; else as if its kind were like the others.
fn weights(jobs: &[Planned<'_>], recorded: &Rates) -> Vec<f64> {
    let known: Vec<f64> =
        jobs.iter().filter(|j| j.cost > 0.0).filter_map(|j| Some(recorded.get(j.kind())? * j.cost)).collect();
    let typical = if known.is_empty() { 1.0 } else { known.iter().sum::<f64>() / known.len() as f64 };
    let mut kinds: HashMap<&str, (f64, f64)> = HashMap::new();
    for j in jobs {
        let kind = kinds.entry(j.kind()).or_default();
        *kind = (kind.0 + j.cost, kind.1 + 1.0);
    }
    let weight = |j: &Planned<'_>| match (recorded.get(j.kind()), kinds[j.kind()]) {
        (Some(rate), _) => rate * j.cost,
        (None, (sum, n)) if sum > 0.0 => typical * j.cost * n / sum,
        _ => 0.0,
    };
    jobs.iter().map(weight).collect()
}
