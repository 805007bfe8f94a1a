//! Which jobs a share has.

use crate::jobs::{Plan, Planned, Rates};
use crate::terminal::clock;
use std::collections::HashMap;

/// For each job of the plan, the share that does it. It is a function of the plan, of the rates on record and of the number of shares: every
/// process finds the same.
///
/// Jobs go, in the order of the plan, to the share of the heaviest job that they need, as long as no share has much less to do; so chains stay
/// together, and what they wait for is on the same machine.
pub fn shares(plan: &Plan<'_>, recorded: &Rates, of: usize) -> Vec<usize> {
    let weights = weights(plan.jobs(), recorded);
    let at: HashMap<&str, usize> = plan.jobs().iter().enumerate().map(|(i, j)| (j.key(), i)).collect();
    let mut loads = vec![0.0; of.max(1)];
    let mut all = Vec::with_capacity(weights.len());
    for (job, weight) in plan.jobs().iter().zip(&weights) {
        let least = (0..loads.len()).fold(0, |best, s| if loads[s] < loads[best] { s } else { best });
        let needs = job.needs.iter().filter_map(|n| at.get(n.as_str()).copied());
        let heaviest = needs.max_by(|a, b| weights[*a].total_cmp(&weights[*b]).then(b.cmp(a)));
        let near = heaviest.map(|n| all[n]).filter(|s: &usize| loads[*s] <= loads[least] + weight);
        let share = near.unwrap_or(least);
        loads[share] += weight;
        all.push(share);
    }
    all
}

/// How long the plan takes on machines of one kind, by the weights of its jobs: each machine does its jobs in the order of the plan, and waits for what
/// they need.
fn span(plan: &Plan<'_>, recorded: &Rates, of: usize) -> f64 {
    let weights = weights(plan.jobs(), recorded);
    let mut free = vec![0.0f64; of.max(1)];
    let mut ends: HashMap<&str, f64> = HashMap::new();
    for ((job, weight), share) in plan.jobs().iter().zip(weights).zip(shares(plan, recorded, of)) {
        let ready = job.needs.iter().filter_map(|n| ends.get(n.as_str())).fold(0.0, |a: f64, b| a.max(*b));
        free[share] = free[share].max(ready) + weight;
        ends.insert(job.key(), free[share]);
    }
    free.into_iter().fold(0.0, f64::max)
}

/// What the whole plan takes on 1, 8 and 64 machines, and its longest job: none where no kind of job was timed.
pub fn on_paper(plan: &Plan<'_>, rates: &Rates) -> Option<String> {
    let weights = weights(plan.jobs(), rates);
    plan.jobs().iter().find(|j| j.cost > 0.0 && rates.contains_key(j.kind()))?;
    let longest = (0..weights.len()).fold(0, |best, i| if weights[i] > weights[best] { i } else { best });
    let on = |n: usize| clock(span(plan, rates, n));
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
