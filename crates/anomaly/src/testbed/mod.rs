//! Detectors x data sets x seeds: runs all cells in parallel, resumes after an interruption, and ranks the detectors.

mod ranking;

pub use ranking::Ranking;

use crate::metrics::Ranked;
use crate::{Error, Method, Result, TrainingRows};
use candle_core::Tensor;
use rayon::prelude::*;
use sconce_tensor_core::Rng;
use sconce_tensor_core::store::{Digest, Fingerprint, Kept, Plain};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The training and test split of one cell.
#[derive(Clone, Debug)]
pub struct CellData {
    /// Training examples (N, D).
    pub train: Tensor,
    /// Whether each training example is a known anomaly.
    pub known: Vec<bool>,
    /// Test examples (M, D).
    pub test: Tensor,
    /// Whether each test example is an anomaly.
    pub truth: Vec<bool>,
}

/// Draws the split of a data set for a seed.
type Draw = Box<dyn Fn(&Rng) -> Result<CellData> + Send + Sync>;

/// Methods, data sets and seeds to run.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use sconce_anomaly::testbed::{CellData, Testbed};
/// use sconce_anomaly::{Ecod, Mahalanobis};
/// let draw = |rng: &sconce_tensor_core::Rng| {
///     let x = rng.normal((100, 2), 0.0, 1.0, DType::F64, &Device::Cpu)?;
///     let far = Tensor::new(&[[6f64, 6.0], [-6.0, 6.0]], &Device::Cpu)?;
///     let truth = (0..102).map(|i| i >= 100).collect();
///     Ok(CellData { known: vec![false; 100], test: Tensor::cat(&[&x, &far], 0)?, train: x, truth })
/// };
/// let bed = Testbed::new(vec![0, 1])
///     .method("ecod", Box::new(Ecod))
///     .method("mahalanobis", Box::new(Mahalanobis::default()))
///     .dataset("two far points", draw);
/// let outcomes = bed.run(&|_| {})?;
/// assert_eq!(outcomes.cells.len(), 4);
/// assert!(outcomes.mean("two far points", "mahalanobis") > Some(0.99));
/// # Ok::<(), sconce_anomaly::Error>(())
/// ```
pub struct Testbed {
    methods: Vec<(String, Box<dyn Method>)>,
    datasets: Vec<(String, Draw)>,
    seeds: Vec<u64>,
    folder: Option<(PathBuf, String)>,
    part: Option<(usize, usize)>,
}

/// One method on one data set with one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The data set.
    pub dataset: String,
    /// The method.
    pub method: String,
    /// The seed.
    pub seed: u64,
    /// The result.
    pub outcome: CellResult,
}

/// The result of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CellResult {
    /// The method was fitted and evaluated.
    Measured {
        /// Area under the receiver operating characteristic.
        auroc: f64,
        /// Average precision.
        average_precision: f64,
    },
    /// The error of the method or of the data set.
    Failed(String),
}

/// All cells, in the order of data sets, seeds and methods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestbedResults {
    /// The cells.
    pub cells: Vec<Cell>,
}

impl Testbed {
    /// A testbed with seeds, without methods and data sets.
    pub fn new(seeds: Vec<u64>) -> Self {
        Self { methods: Vec::new(), datasets: Vec::new(), seeds, folder: None, part: None }
    }

    /// Adds a method.
    #[must_use]
    pub fn method(mut self, name: impl Into<String>, method: Box<dyn Method>) -> Self {
        self.methods.push((name.into(), method));
        self
    }

    /// Adds a data set: `draw` makes the split for each seed.
    #[must_use]
    pub fn dataset(
        mut self,
        name: impl Into<String>,
        draw: impl Fn(&Rng) -> Result<CellData> + Send + Sync + 'static,
    ) -> Self {
        self.datasets.push((name.into(), Box::new(draw)));
        self
    }

    /// Stores every finished cell in a folder, and reuses the cells that are stored there. `fingerprint` identifies the data:
    /// cells with a different fingerprint, or of a method with a different configuration, are measured again.
    #[must_use]
    pub fn resuming(self, folder: impl Into<PathBuf>, fingerprint: impl Into<String>) -> Self {
        Self { folder: Some((folder.into(), fingerprint.into())), ..self }
    }

    /// Measures a part of the cells only, and returns those: of all cells in their order, the ones whose number leaves the remainder `index` when it
    /// is divided by `of`. Parts that have one folder, or whose folders are put together, make the whole.
    #[must_use]
    pub fn part(self, index: usize, of: usize) -> Self {
        Self { part: Some((index, of)), ..self }
    }

    /// Whether a cell is measured, by the number of its split among all splits and that of its method.
    fn has(&self, split: usize, method: usize) -> bool {
        self.part.is_none_or(|(index, of)| (split * self.methods.len() + method) % of.max(1) == index)
    }

    /// The names of the files of the cells that are measured, where there is a folder.
    pub fn files(&self) -> Vec<String> {
        let splits = self.datasets.iter().flat_map(|d| self.seeds.iter().map(move |s| (&d.0, *s)));
        let cells = splits.enumerate().flat_map(|(i, (d, s))| {
            let mine = self.methods.iter().enumerate().filter(move |(j, _)| self.has(i, *j));
            mine.map(move |(_, m)| file_name(d, &m.0, s))
        });
        cells.collect()
    }

    /// Measures all cells in parallel, and calls `on_cell` after each. A cell that fails is a [`CellResult::Failed`], not an
    /// error.
    ///
    /// # Errors
    /// No methods, data sets or seeds; two methods or data sets with the same name; a folder that cannot be written to.
    pub fn run(&self, on_cell: &(dyn Fn(&Cell) + Sync)) -> Result<TestbedResults> {
        let names = |all: Vec<&String>, what: &str| match (1..all.len()).find(|i| all[..*i].contains(&all[*i])) {
            _ if all.is_empty() => Err(Error::value("testbed", format!("no {what}"))),
            Some(i) => Err(Error::value("testbed", format!("two {what} are named `{}`", all[i]))),
            None => Ok(()),
        };
        names(self.methods.iter().map(|m| &m.0).collect(), "methods")?;
        names(self.datasets.iter().map(|d| &d.0).collect(), "data sets")?;
        if self.seeds.is_empty() {
            return Err(Error::value("testbed", "no seeds"));
        }
        if let Some((folder, _)) = &self.folder {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        let tasks: Vec<_> = self.datasets.iter().flat_map(|d| self.seeds.iter().map(move |s| (d, *s))).collect();
        let numbered = tasks.par_iter().enumerate();
        let cells = numbered.map(|(i, (d, s))| self.task((i, d), *s, on_cell)).collect::<Result<Vec<_>>>()?;
        Ok(TestbedResults { cells: cells.concat() })
    }

    fn task(
        &self,
        (split, dataset): (usize, &(String, Draw)),
        seed: u64,
        on_cell: &(dyn Fn(&Cell) + Sync),
    ) -> Result<Vec<Cell>> {
        let methods = self.methods.iter().enumerate().filter(|(j, _)| self.has(split, *j)).map(|(_, m)| m);
        let methods: Vec<&(String, Box<dyn Method>)> = methods.collect();
        let found: Vec<Option<Cell>> = methods.iter().map(|m| self.stored(&dataset.0, m, seed)).collect();
        let missing = found.iter().any(Option::is_none);
        let task = missing.then(|| (dataset.1)(&Rng::new(seed).stream("task")));
        let one = |(method, found): (&&(String, Box<dyn Method>), Option<Cell>)| -> Result<Cell> {
            let cell = match (found, &task) {
                (Some(cell), _) => return Ok(cell),
                (None, Some(Ok(task))) => self.cell(&dataset.0, method, seed, measure(&*method.1, task, seed)),
                (None, Some(Err(e))) => {
                    self.cell(&dataset.0, method, seed, Err(Error::value("data set", e.to_string())))
                }
                (None, None) => return Err(Error::value("testbed", "a cell without its task")),
            };
            self.keep(method, &cell)?;
            on_cell(&cell);
            Ok(cell)
        };
        methods.par_iter().zip(found).with_max_len(1).map(one).collect()
    }

    fn cell(&self, dataset: &str, method: &(String, Box<dyn Method>), seed: u64, outcome: Result<CellResult>) -> Cell {
        let outcome = outcome.unwrap_or_else(|e| CellResult::Failed(e.to_string()));
        Cell { dataset: dataset.to_owned(), method: method.0.clone(), seed, outcome }
    }

    fn path(&self, dataset: &str, method: &str, seed: u64) -> Option<PathBuf> {
        self.folder.as_ref().map(|f| f.0.join(file_name(dataset, method, seed)))
    }

    fn fingerprint(&self, dataset: &str, (name, method): &(String, Box<dyn Method>), seed: u64) -> Fingerprint {
        Fingerprint::new()
            .with("version", env!("CARGO_PKG_VERSION"))
            .with("data", self.folder.as_ref().map_or("", |f| f.1.as_str()))
            .with("dataset", dataset)
            .with("method", format!("{name} {method:?}"))
            .with("seed", seed)
    }

    /// A cell that was finished before. One of another configuration, or a damaged one, is measured again.
    fn stored(&self, dataset: &str, method: &(String, Box<dyn Method>), seed: u64) -> Option<Cell> {
        let path = self.path(dataset, &method.0, seed)?;
        let kept = Kept::<Plain<Cell>>::load(&path, &self.fingerprint(dataset, method, seed)).ok()??;
        Some(kept.value.0)
    }

    fn keep(&self, method: &(String, Box<dyn Method>), cell: &Cell) -> Result<()> {
        let Some(path) = self.path(&cell.dataset, &cell.method, cell.seed) else { return Ok(()) };
        // Another process may have measured it since: both must agree.
        if self.stored(&cell.dataset, method, cell.seed).is_some_and(|there| there != *cell) {
            let digest = |c: &Cell| Digest::new().bytes(format!("{c:?}").as_bytes()).hex();
            let there = self.stored(&cell.dataset, method, cell.seed).map_or_else(String::new, |c| digest(&c));
            return Err(Error::Conflict { path, there, ours: digest(cell) });
        }
        Kept::new(self.fingerprint(&cell.dataset, method, cell.seed), Plain(cell.clone())).save(&path)
    }
}

/// The name of a cell's file.
fn file_name(dataset: &str, method: &str, seed: u64) -> String {
    let plain = |t: &str| t.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '.', "_");
    format!("{}--{}--{seed}.json", plain(dataset), plain(method))
}

fn measure(method: &dyn Method, task: &CellData, seed: u64) -> Result<CellResult> {
    let fitted = method.fit(&TrainingRows::new(&task.train, Some(&task.known)), &Rng::new(seed))?;
    let scores = fitted.score(&task.test)?.to_vec1::<f64>()?;
    let ranked = Ranked::new(&scores, &task.truth)?;
    Ok(CellResult::Measured { auroc: ranked.auroc(), average_precision: ranked.average_precision() })
}

impl TestbedResults {
    /// The mean AUROC over the seeds with a measured cell; `None` without one.
    pub fn mean(&self, dataset: &str, method: &str) -> Option<f64> {
        let cells = self.cells.iter().filter(|c| c.dataset == dataset && c.method == method);
        let areas: Vec<f64> = cells
            .filter_map(|c| match c.outcome {
                CellResult::Measured { auroc, .. } => Some(auroc),
                CellResult::Failed(_) => None,
            })
            .collect();
        (!areas.is_empty()).then(|| areas.iter().sum::<f64>() / areas.len() as f64)
    }

    /// Names of methods or data sets, in the order of their first cells.
    fn names(&self, of: fn(&Cell) -> &String) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for c in &self.cells {
            if !names.contains(of(c)) {
                names.push(of(c).clone());
            }
        }
        names
    }

    /// The names of the methods.
    pub fn methods(&self) -> Vec<String> {
        self.names(|c| &c.method)
    }

    /// The names of the data sets.
    pub fn datasets(&self) -> Vec<String> {
        self.names(|c| &c.dataset)
    }

    /// Ranks the methods by their mean AUROC on each data set; a method without a measured cell is last on that data set, and a
    /// data set on which no method has one is left out.
    ///
    /// # Errors
    /// As [`Ranking::new`].
    pub fn ranking(&self) -> Result<Ranking> {
        let methods = self.methods();
        let row = |d: &String| methods.iter().map(|m| self.mean(d, m)).collect::<Vec<_>>();
        let rows = self.datasets().iter().map(row).filter(|row| row.iter().any(Option::is_some)).collect::<Vec<_>>();
        let last = |row: Vec<Option<f64>>| row.into_iter().map(|m| m.unwrap_or(f64::NEG_INFINITY)).collect();
        Ranking::new(methods, &rows.into_iter().map(last).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ecod, Hbos, Knn, KnnConfig, NetworkConfig, NeuralClassifier};
    use candle_core::{DType, Device};
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn task(rng: &Rng) -> Result<CellData> {
        let x = rng.normal((80, 2), 0.0, 1.0, DType::F64, &Device::Cpu)?;
        let far = rng.stream("far").normal((20, 2), 3.0, 1.0, DType::F64, &Device::Cpu)?;
        let truth = (0..100).map(|i| i >= 80).collect();
        Ok(CellData { known: vec![false; 80], test: Tensor::cat(&[&x, &far], 0)?, train: x, truth })
    }

    fn bed(neighbours: usize) -> Testbed {
        let knn = Knn::new(KnnConfig { neighbours, ..Default::default() }).unwrap();
        let net = NeuralClassifier::new(NetworkConfig { epochs: 1, ..Default::default() }).unwrap();
        Testbed::new(vec![0, 1])
            .method("ecod", Box::new(Ecod))
            .method("knn", Box::new(knn))
            .method("hbos", Box::new(Hbos::default()))
            .method("classifier", Box::new(net))
            .dataset("far", task)
            .dataset("broken", |_| Err(Error::value("rows", "there are none")))
    }

    #[test]
    fn every_cell_has_an_outcome_and_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let fresh = AtomicUsize::new(0);
        let run = |b: Testbed, print: &str| {
            fresh.store(0, Ordering::Relaxed);
            let all = b.resuming(dir.path(), print).run(&|_| {
                fresh.fetch_add(1, Ordering::Relaxed);
            });
            (all.unwrap(), fresh.load(Ordering::Relaxed))
        };
        let (first, n) = run(bed(3), "a");
        assert_eq!((first.cells.len(), n), (16, 16));
        assert!(first.mean("far", "knn").unwrap() > 0.9 && first.mean("far", "classifier").is_none());
        let failed = |d: &str, m: &str| {
            let c = first.cells.iter().find(|c| c.dataset == d && c.method == m).unwrap();
            format!("{:?}", c.outcome)
        };
        assert!(failed("far", "classifier").contains("needs known anomalies"));
        assert!(failed("broken", "ecod").contains("there are none"));
        assert_eq!(run(bed(3), "a"), (first.clone(), 0), "nothing is measured twice");
        assert_eq!(run(bed(4), "a").1, 4, "another configuration: only the cells of that method");
        assert_eq!(run(bed(4), "b").1, 16, "other data: all");
        // A truncated cell is measured again.
        let file = dir.path().join("far--ecod--1.json");
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
        assert_eq!(run(bed(4), "b").1, 1);
        // Parts in folders of their own have each cell once; together they are the whole.
        let (parts, mut names) = (tempfile::tempdir().unwrap(), Vec::new());
        let mut cells = 0;
        for index in 0..3 {
            let part = bed(3).part(index, 3).resuming(parts.path(), "a");
            names.extend(part.files());
            cells += part.run(&|_| {}).unwrap().cells.len();
        }
        names.sort();
        names.dedup();
        assert_eq!((cells, names.len()), (16, 16));
        assert_eq!(bed(3).resuming(parts.path(), "a").run(&|_| panic!("all are there")).unwrap(), first);
        let ranking = first.ranking().unwrap();
        assert_eq!(ranking.names.len(), 4);
        assert!(Testbed::new(vec![0]).dataset("far", task).run(&|_| {}).is_err());
        let twice = bed(3).method("ecod", Box::new(Ecod)).run(&|_| {}).unwrap_err().to_string();
        assert!(twice.contains("two methods are named `ecod`"));
    }
}
