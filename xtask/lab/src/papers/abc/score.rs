//! The jobs that fit arms on what training sees, and score the test.

use super::areas::Areas;
use super::config::{Arm, ImageSet, TableSet};
use super::sets::{Origin, Sets};
use crate::jobs::{Job, Work};
use anyhow::{Context, Result};
use rayon::prelude::*;
use sconce_anomaly::protocol::{Amounts, Roles};
use sconce_anomaly::{Method, TrainingRows};
use sconce_tensor_core::Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// An arm that was fitted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scored {
    pub arm: String,
    /// On the test, for each choice of unknown classes.
    pub areas: Vec<Areas>,
    /// Seconds of fitting.
    pub fit_s: f64,
}

/// An output without its seconds.
fn untimed(mut output: Value) -> Value {
    for scored in output.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        scored.remove("fit_s");
    }
    output
}

/// Fits arms side by side for the first of the turns, and tests them on all.
fn fit(
    work: &Work<'_>,
    sets: &Sets,
    (turns, amounts): (&[Roles], &Amounts),
    arms: &[(&Arm, Box<dyn Method>)],
    seed: u64,
) -> Result<Vec<Scored>> {
    let (x, known) = sets.drawn(turns.first().context("no turn")?, amounts, seed)?;
    let tested = turns.iter().map(|t| Ok(t.test_split(&sets.test.classes)?)).collect::<Result<Vec<_>>>()?;
    let (bar, done) = (work.bar(), AtomicUsize::new(0));
    let one = |(arm, method): &(&Arm, Box<dyn Method>)| -> Result<Scored> {
        let started = Instant::now();
        let train = TrainingRows::new(&x, Some(&known));
        let fitted = method.fit(&train, &Rng::new(seed)).with_context(|| format!("arm `{}`", arm.name))?;
        let fit_s = started.elapsed().as_secs_f64();
        let scores = fitted.score(&sets.test.x)?.to_vec1::<f64>()?;
        let areas = tested.iter().map(|t| Areas::of(&scores, t)).collect::<Result<_>>()?;
        bar.at(done.fetch_add(1, Ordering::Relaxed) + 1, arms.len());
        Ok(Scored { arm: arm.name.clone(), areas, fit_s })
    };
    // One arm at a time for each thread, in order of the list.
    arms.par_iter().with_max_len(1).map(one).collect()
}

/// Arms on images, with the known anomalies of a turn, or, where they do not depend on them, once for all turns.
#[derive(Clone, Serialize)]
pub struct Score<'a> {
    pub origin: Origin<'a>,
    /// The setting, and which turn.
    pub place: String,
    /// The arms are fitted for the first, and tested on all.
    pub turns: Vec<Roles>,
    pub amounts: Amounts,
    pub arms: Vec<&'a Arm>,
    pub seed: u64,
}

impl Job for Score<'_> {
    type Output = Vec<Scored>;

    fn key(&self) -> String {
        format!("score/{}/seed{}", self.place, self.seed)
    }

    fn cost(&self) -> f64 {
        self.arms.len() as f64
    }

    fn run(&self, work: &Work<'_>) -> Result<Vec<Scored>> {
        let sets = self.origin.load(work.site)?;
        let arms = self.arms.iter().map(|a| Ok((*a, a.method()?))).collect::<Result<Vec<_>>>()?;
        fit(work, &sets, (&self.turns, &self.amounts), &arms, self.seed)
    }

    fn agreed(&self, output: Value) -> Value {
        untimed(output)
    }
}

/// Amounts of an image set, with the arms that are compared under them.
pub struct Setting<'a> {
    /// The first part of the names of metrics.
    pub place: String,
    origin: Origin<'a>,
    turns: Vec<Roles>,
    amounts: Amounts,
    arms: Vec<&'a Arm>,
}

impl ImageSet {
    /// The main setting first, then those of the sweep.
    pub fn settings(&self) -> Result<Vec<Setting<'_>>> {
        let (sweep, amounts, origin) = (&self.sweep, self.amounts(), self.origin());
        let turns = self.turns()?;
        let few: Vec<Roles> = turns.iter().take(sweep.turns).cloned().collect();
        let some: Vec<&Arm> = self.arms.iter().filter(|a| sweep.arms.contains(&a.name)).collect();
        let swept = |what: String, amounts: Amounts| {
            let place = format!("{}-{what}", self.name);
            Setting { place, origin, turns: few.clone(), amounts, arms: some.clone() }
        };
        let labelled = sweep.labelled.iter().map(|n| (format!("labelled-{n}"), Amounts { labelled: *n, ..amounts }));
        let contamination = sweep.contamination.iter();
        let contamination =
            contamination.map(|c| (format!("contamination-{c}"), Amounts { contamination: *c, ..amounts }));
        let mut all =
            vec![Setting { place: self.name.clone(), origin, turns, amounts, arms: self.arms.iter().collect() }];
        all.extend(labelled.chain(contamination).map(|(what, amounts)| swept(what, amounts)));
        Ok(all)
    }
}

impl<'a> Setting<'a> {
    /// The jobs of a seed: first the arms that do not depend on known anomalies, then the others turn by turn.
    pub fn jobs(&self, seed: u64) -> Vec<Score<'a>> {
        // Hidden anomalies among the normals differ from turn to turn.
        let depends = |a: &Arm| a.uses_known() || self.amounts.contamination > 0.0;
        let job = |place: String, turns: &[Roles], known: bool| Score {
            origin: self.origin,
            place,
            turns: turns.to_vec(),
            amounts: self.amounts,
            arms: self.arms.iter().copied().filter(|a| depends(a) == known).collect(),
            seed,
        };
        let mut all = vec![job(format!("{}-unlabelled", self.place), &self.turns, false)];
        let turn = |t: usize| job(format!("{}/turn{t}", self.place), &self.turns[t..=t], true);
        all.extend((0..self.turns.len()).map(turn));
        all.retain(|j| !j.arms.is_empty());
        all
    }
}

/// Arms on a table, which every seed splits differently.
#[derive(Clone, Copy, Serialize)]
pub struct ScoreTable<'a> {
    pub table: &'a TableSet,
    pub seed: u64,
}

impl Job for ScoreTable<'_> {
    type Output = Vec<Scored>;

    fn key(&self) -> String {
        format!("table/{}/seed{}", self.table.name, self.seed)
    }

    fn cost(&self) -> f64 {
        self.table.arms.len() as f64
    }

    fn run(&self, work: &Work<'_>) -> Result<Vec<Scored>> {
        let set = self.table;
        let all = set.load(work.site)?;
        let roles = set.roles(&all.names)?;
        let sets = set.parts(&all.rows, self.seed)?;
        let arms = set.arms.iter().map(|a| Ok((a, set.method(a, &all.schema)?))).collect::<Result<Vec<_>>>()?;
        fit(work, &sets, (&[roles], &set.amounts()), &arms, self.seed)
    }

    fn agreed(&self, output: Value) -> Value {
        untimed(output)
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Config;
    use crate::jobs::Job;
    use crate::recipe::Recipe;
    use xtask::cli::Preset;

    #[test]
    fn arms_that_ignore_known_anomalies_are_fitted_once_unless_some_are_hidden() {
        let folder = crate::places::workspace().join("xtask/recipes/abc");
        let sweep = r#"images.0.sweep={ arms = ["abc", "knn"], labelled = [10], contamination = [0.1], turns = 1 }"#;
        let overrides = ["images.0.held_out=[3, 5]", sweep].map(str::to_owned);
        let cfg = Recipe::read(&folder, Preset::Quick, &overrides).unwrap().open::<Config>().unwrap();
        let settings = cfg.images[0].settings().unwrap();
        let keys = |i: usize| settings[i].jobs(0).iter().map(Job::key).collect::<Vec<_>>();
        let place = "score/fashion-mnist";
        let main = ["-unlabelled/seed0", "/turn0/seed0", "/turn1/seed0"].map(|k| format!("{place}{k}"));
        assert_eq!(keys(0), main);
        let labelled = ["-unlabelled/seed0", "/turn0/seed0"].map(|k| format!("{place}-labelled-10{k}"));
        assert_eq!(keys(1), labelled);
        assert_eq!(keys(2), [format!("{place}-contamination-0.1/turn0/seed0")]);
        let names = |i: usize, job: usize| settings[i].jobs(0)[job].arms.iter().map(|a| &*a.name).collect::<Vec<_>>();
        assert_eq!((names(1, 0), names(1, 1), names(2, 0)), (vec!["knn"], vec!["abc"], vec!["abc", "knn"]));
        assert_eq!(settings[0].jobs(0)[0].turns.len(), 2, "tested on both turns");
    }
}
