//! `compare`.

use super::args::CompareArgs;
use super::data::{Data, read};
use super::fit::{part, preprocessed, with_code_size};
use crate::protocol::random_split;
use crate::testbed::{Cell, CellData, Testbed, TestbedResults};
use crate::{Error, Result, methods};
use candle_core::Tensor;
use sconce_tensor_core::{Rng, store};
use serde_json::Value;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

/// A table in memory; each seed splits it differently.
struct Source {
    x: Tensor,
    labels: Vec<Option<bool>>,
    test: f64,
    labelled: Option<usize>,
}

impl Source {
    /// A digest of all values and labels.
    fn digest(&self) -> Result<u64> {
        let mut hasher = DefaultHasher::new();
        self.x.flatten_all()?.to_vec1::<f64>()?.iter().for_each(|v| v.to_bits().hash(&mut hasher));
        self.labels.hash(&mut hasher);
        Ok(hasher.finish())
    }

    fn split(&self, rng: &Rng) -> Result<CellData> {
        let (test, mut train) = random_split(self.labels.len(), self.test, rng)?;
        let is_anomaly = |i: &u32| self.labels[*i as usize] == Some(true);
        if let Some(most) = self.labelled {
            let all: Vec<u32> = train.iter().copied().filter(is_anomaly).collect();
            let order = rng.stream("labelled").permutation(all.len());
            let kept: Vec<u32> = order.into_iter().take(most).map(|i| all[i]).collect();
            train.retain(|i| !is_anomaly(i) || kept.contains(i));
        }
        // A row without a label is ignored in the evaluation.
        let test: Vec<u32> = test.into_iter().filter(|i| self.labels[*i as usize].is_some()).collect();
        Ok(CellData {
            known: train.iter().map(is_anomaly).collect(),
            truth: test.iter().map(is_anomaly).collect(),
            train: part(&self.x, &train)?,
            test: part(&self.x, &test)?,
        })
    }
}

/// Runs all cells, writes `cells.json` and `ranks.svg`, and returns a table in lines of text; calls `on_cell` after each cell.
///
/// # Errors
/// An invalid table, label or configuration; a folder that cannot be written to.
pub fn compare(args: &CompareArgs, on_cell: &(dyn Fn(&Cell) + Sync)) -> Result<String> {
    if !(args.test > 0.0 && args.test < 1.0) {
        return Err(Error::config("--test", format!("must be in (0, 1), got {}", args.test)));
    }
    if args.table.label.is_none() {
        return Err(Error::config("--label", "is required: detectors are compared on labelled rows"));
    }
    let names: Vec<_> = args.data.iter().map(|p| p.file_name()).collect();
    if let Some(i) = (1..names.len()).find(|i| names[..*i].contains(&names[*i])) {
        let reason = format!(
            "two tables have the name of {}; results are stored by name, so rename one of them",
            args.data[i].display()
        );
        return Err(Error::config("--data", reason));
    }
    let mut all: Option<TestbedResults> = None;
    for path in &args.data {
        let one = dataset(args, path, on_cell)?;
        match &mut all {
            Some(all) => all.cells.extend(one.cells),
            None => all = Some(one),
        }
    }
    let Some(all) = all else { return Err(Error::config("--data", "needs at least one table")) };
    let json = serde_json::to_vec_pretty(&all).map_err(|e| Error::value("cells", e.to_string()))?;
    store::write_whole(&args.out.join("cells.json"), &json)?;
    let mut lines = table(&all);
    if args.detectors.len() > 1 {
        let ranking = all.ranking()?;
        let svg = args.out.join("ranks.svg");
        store::write_whole(&svg, ranking.diagram().as_bytes())?;
        lines += "\nmean rank (1 is best)\n";
        for (name, rank) in ranking.names.iter().zip(&ranking.mean_ranks) {
            lines += &format!("{rank:>8.2}  {name}\n");
        }
        let differ = if ranking.friedman > ranking.friedman_quantile { "differ" } else { "do not differ" };
        lines += &format!(
            "the detectors {differ} significantly at 5 % (Friedman {:.2}, quantile {:.2}); mean ranks closer than {:.2} do not differ \
             significantly (Nemenyi)\n{}\n",
            ranking.friedman,
            ranking.friedman_quantile,
            ranking.critical_difference,
            svg.display()
        );
    }
    Ok(lines)
}

fn dataset(args: &CompareArgs, path: &Path, on_cell: &(dyn Fn(&Cell) + Sync)) -> Result<TestbedResults> {
    let Data { table, labels } = read(path, &args.table, &args.preprocessing)?;
    let name = path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
    let (test, labelled) = (args.test, args.labelled);
    let source = Source { x: table.tensor()?, labels: labels.unwrap_or_default(), test, labelled };
    let print = format!("content {:016x}, test {test}, labelled {labelled:?}", source.digest()?);
    let mut bed = Testbed::new((0..args.seeds).collect()).resuming(&args.out, print);
    for d in &args.detectors {
        let method = preprocessed(
            methods::method(d, &with_code_size(d, Value::Null, table.schema()))?,
            &args.preprocessing,
            table.schema(),
        );
        bed = bed.method(d.clone(), method);
    }
    bed.dataset(name, move |rng| source.split(rng)).run(on_cell)
}

/// Mean AUROC, a row for each data set.
fn table(all: &TestbedResults) -> String {
    let (methods, datasets) = (all.methods(), all.datasets());
    let first = datasets.iter().map(String::len).max().unwrap_or(0).max(8);
    let mut lines = format!("{:<first$}", "AUROC");
    methods.iter().for_each(|m| lines += &format!("  {m:>w$}", w = m.len().max(6)));
    for d in &datasets {
        lines += &format!("\n{d:<first$}");
        for m in &methods {
            let cell = all.mean(d, m).map_or_else(|| "failed".to_owned(), |v| format!("{v:.4}"));
            lines += &format!("  {cell:>w$}", w = m.len().max(6));
        }
    }
    lines + "\n"
}
