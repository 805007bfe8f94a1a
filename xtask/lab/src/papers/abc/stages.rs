//! The stages of `abc`: fitting arms on what training sees, and scoring the test.

use super::config::{Arm, Divergence, ImageSet, TableSet, TableSource};
use crate::pieces::Source;
use crate::run::{Run, Stage};
use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use rayon::prelude::*;
use sconce_anomaly::metrics::Ranked;
use sconce_anomaly::protocol::{Amounts, Roles, TestSplit, TrainingSplit, random_split};
use sconce_anomaly::{Method, TrainingRows};
use sconce_datasets::{Images, Lookup, Split, catalog, embedded, kdd};
use sconce_tensor_core::Rng;
use sconce_tensor_core::table::{Column, Kind, Schema, Table};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Rows with their classes.
pub struct Rows {
    pub x: Tensor,
    pub classes: Vec<u32>,
}

impl Rows {
    fn part(&self, rows: &[u32]) -> Result<Self> {
        let x = self.x.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)?;
        Ok(Self { x, classes: rows.iter().map(|i| self.classes[*i as usize]).collect() })
    }
}

/// A table's rows, the names of their classes, and its columns.
pub struct TableRows {
    pub rows: Rows,
    pub names: Vec<String>,
    pub schema: Schema,
}

/// Both parts of a data set.
pub struct Sets {
    pub train: Rows,
    pub test: Rows,
}

/// Scores of all test rows, in f32's precision, and the seconds of fitting.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scored {
    pub arm: String,
    pub scores: Vec<f64>,
    pub fit_s: f64,
}

/// Areas under the curve and average precisions, on known and on unknown anomalies, where the test has them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Areas {
    pub known: Option<f64>,
    pub unknown: Option<f64>,
    pub known_precision: Option<f64>,
    pub unknown_precision: Option<f64>,
}

fn flat(images: &Images) -> Result<Rows> {
    let data = images.to_labelled(&Device::Cpu)?;
    Ok(Rows { x: data.x().flatten_from(1)?, classes: data.labels()? })
}

impl ImageSet {
    pub fn load(&self, lookup: &Lookup) -> Result<Sets> {
        let read = |split| -> Result<Rows> {
            let images = match (self.source, self.name.as_str()) {
                (Source::Embedded, "fashion-mnist") => embedded::fashion_mnist(split)?,
                (Source::Embedded, other) => bail!("images: only fashion-mnist is embedded, not `{other}`"),
                (Source::Files, name) => lookup.load(&catalog::get(name)?, split)?,
            };
            flat(&images)
        };
        Ok(Sets { train: read(Split::Train)?, test: read(Split::Test)? })
    }
}

impl TableSet {
    /// All rows; none where optional files are not there.
    pub fn load(&self, lookup: &Lookup) -> Result<Option<TableRows>> {
        let (table, names, classes) = match self.source {
            TableSource::Shuttle => {
                let (x, anomaly) = embedded::shuttle()?;
                let column = |i| Column { name: format!("reading {i}"), kind: Kind::Number };
                let schema = Schema::new((1..=x.dim(1)?).map(column).collect())?;
                let table = Table::new(schema, x.flatten_all()?.to_vec1()?)?;
                let names = ["normal", "anomaly"].map(String::from).to_vec();
                (table, names, anomaly.into_iter().map(u32::from).collect())
            }
            TableSource::Kdd99 => {
                let paths = match lookup.files("kdd99", &["kddcup.data_10_percent", "corrected"]) {
                    Ok(paths) => paths,
                    Err(sconce_datasets::Error::NotFound { .. }) => return Ok(None),
                    Err(e) => return Err(e.into()),
                };
                let paths: Vec<&std::path::Path> = paths.iter().map(AsRef::as_ref).collect();
                let found = kdd::read(&paths)?;
                (found.table, found.names, found.classes)
            }
        };
        let table = table.without(&self.drop).with_context(|| format!("tables.{}.drop", self.name))?;
        let mut rows = Rows { x: table.tensor()?, classes };
        if self.distinct {
            let bits = |(row, class): (&[f64], &u32)| (row.iter().map(|v| v.to_bits()).collect::<Vec<u64>>(), *class);
            let values = rows.x.flatten_all()?.to_vec1::<f64>()?;
            let mut seen = std::collections::HashSet::new();
            let each = values.chunks_exact(rows.x.dim(1)?).zip(&rows.classes).enumerate();
            let kept: Vec<u32> = each.filter(|(_, r)| seen.insert(bits(*r))).map(|(i, _)| i as u32).collect();
            rows = rows.part(&kept)?;
        }
        Ok(Some(TableRows { rows, names, schema: table.schema().clone() }))
    }

    /// Roles of classes by their names.
    pub fn roles(&self, names: &[String]) -> Result<Roles> {
        let of = |role: &[String]| -> Result<Vec<u32>> {
            let at = |n: &String| {
                let found = names.iter().position(|m| m == n);
                Ok(found.with_context(|| format!("tables.{}: no class `{n}` among {names:?}", self.name))? as u32)
            };
            role.iter().map(at).collect()
        };
        Ok(Roles { normal: of(&self.normal)?, known: of(&self.known)?, unknown: of(&self.unknown)? })
    }

    /// The two parts of a seed.
    pub fn parts(&self, all: &Rows, seed: u64) -> Result<Sets> {
        let (train, test) = random_split(all.classes.len(), self.train, &Rng::new(seed).stream("parts"))?;
        Ok(Sets { train: all.part(&train)?, test: all.part(&test)? })
    }

    pub fn amounts(&self) -> Amounts {
        Amounts { normals: Some(self.normals).filter(|n| *n > 0), labelled: self.labelled, contamination: 0.0 }
    }
}

/// What training sees of a seed: the examples, and which are known.
fn drawn(sets: &Sets, roles: &Roles, amounts: &Amounts, seed: u64) -> Result<(Tensor, Vec<bool>)> {
    let TrainingSplit { rows, known } =
        roles.training_split(&sets.train.classes, amounts, &Rng::new(seed).stream("seen"))?;
    Ok((sets.train.x.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)?, known))
}

/// Fits arms side by side and scores the test.
pub fn score(
    run: &Run,
    (name, units): (&str, f64),
    sets: &Sets,
    (roles, amounts): (&Roles, &Amounts),
    arms: &[(&Arm, Box<dyn Method>)],
    seed: u64,
) -> Result<Stage<Vec<Scored>>> {
    run.stage(&format!("{name}-seed{seed}"), units, |bar| {
        let (x, known) = drawn(sets, roles, amounts, seed)?;
        let done = std::sync::atomic::AtomicUsize::new(0);
        let one = |(arm, method): &(&Arm, Box<dyn Method>)| -> Result<Scored> {
            let started = Instant::now();
            let train = TrainingRows::new(&x, Some(&known));
            let fitted = method.fit(&train, &Rng::new(seed)).with_context(|| format!("arm `{}`", arm.name))?;
            let fit_s = started.elapsed().as_secs_f64();
            let scores = fitted.score(&sets.test.x)?.to_vec1::<f64>()?;
            bar.at(done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1, arms.len());
            Ok(Scored { arm: arm.name.clone(), scores, fit_s })
        };
        // One job at a time for each thread, in order of the list.
        arms.par_iter().with_max_len(1).map(one).collect()
    })
}

impl Areas {
    /// Normal rows against those of each role.
    pub fn of(scores: &[f64], tested: &TestSplit) -> Result<Self> {
        let against = |strange: &[u32]| -> Result<Option<Ranked>> {
            if strange.is_empty() {
                return Ok(None);
            }
            let rows = || tested.normal.iter().chain(strange);
            let part: Vec<f64> = rows().map(|i| scores[*i as usize]).collect();
            let truth: Vec<bool> = (0..part.len()).map(|i| i >= tested.normal.len()).collect();
            Ok(Some(Ranked::new(&part, &truth)?))
        };
        let (known, unknown) = (against(&tested.known)?, against(&tested.unknown)?);
        Ok(Self {
            known: known.as_ref().map(Ranked::auroc),
            unknown: unknown.as_ref().map(Ranked::auroc),
            known_precision: known.as_ref().map(Ranked::average_precision),
            unknown_precision: unknown.as_ref().map(Ranked::average_precision),
        })
    }
}

/// One arm after some epochs; no numbers where training ended in a loss that is not finite.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trained {
    pub arm: String,
    pub epochs: usize,
    /// Mean score of the known anomalies that training saw, and of its normal examples.
    pub known: Option<f64>,
    pub normal: Option<f64>,
    /// Areas under the curve of the test.
    pub known_area: Option<f64>,
    pub unknown_area: Option<f64>,
}

/// Every arm at every length of training; each longer one starts anew and goes the same way.
pub fn diverge(
    run: &Run,
    cfg: &Divergence,
    units: f64,
    set: &ImageSet,
    sets: &Sets,
    seed: u64,
) -> Result<Stage<Vec<Trained>>> {
    run.stage(&format!("divergence-seed{seed}"), units, |bar| {
        let roles = set.turns()?.swap_remove(0);
        let (x, known) = drawn(sets, &roles, &set.amounts(), seed)?;
        let tested = roles.test_split(&sets.test.classes)?;
        let done = std::sync::atomic::AtomicUsize::new(0);
        let jobs: Vec<(&Arm, usize)> =
            cfg.epochs.iter().rev().flat_map(|e| cfg.arms.iter().map(move |a| (a, *e))).collect();
        let one = |(arm, epochs): &(&Arm, usize)| -> Result<Trained> {
            let mut arm = (*arm).clone();
            arm.config["network"]["epochs"] = (*epochs).into();
            let fitted = arm.method()?.fit(&TrainingRows::new(&x, Some(&known)), &Rng::new(seed));
            bar.at(done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1, jobs.len());
            let none = Trained {
                arm: arm.name,
                epochs: *epochs,
                known: None,
                normal: None,
                known_area: None,
                unknown_area: None,
            };
            let fitted = match fitted {
                Ok(f) => f,
                Err(e) if e.to_string().contains("training loss") => return Ok(none),
                Err(e) => return Err(e.into()),
            };
            let seen = fitted.score(&x)?.to_vec1::<f64>()?;
            let mean = |which: bool| {
                let part: Vec<f64> = seen.iter().zip(&known).filter(|(_, k)| **k == which).map(|(s, _)| *s).collect();
                Some(part.iter().sum::<f64>() / part.len() as f64)
            };
            let areas = Areas::of(&fitted.score(&sets.test.x)?.to_vec1::<f64>()?, &tested)?;
            Ok(Trained {
                known: mean(true),
                normal: mean(false),
                known_area: areas.known,
                unknown_area: areas.unknown,
                ..none
            })
        };
        jobs.par_iter().with_max_len(1).map(one).collect()
    })
}
