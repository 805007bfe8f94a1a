//! All detectors on all tables with all seeds.

use super::timed::{Timed, Times};
use crate::args::{Compare, Share};
use crate::detect::method::method;
use crate::detect::table::{Data, Source, part, read};
use crate::terminal::Terminal;
use anyhow::Result;
use candle_core::Tensor;
use sconce_anomaly::protocol::stratified_split;
use sconce_anomaly::testbed::{Cell, CellData, Testbed, TestbedResults};
use sconce_tensor_core::store::Digest;
use sconce_tensor_core::{Error, Rng};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A table in memory; each seed splits it differently.
struct Labelled {
    x: Tensor,
    labels: Vec<Option<bool>>,
    test: f64,
    most: Option<usize>,
}

impl Labelled {
    /// A digest of all values and labels.
    fn digest(&self) -> Result<String> {
        let labels: Vec<u8> = self.labels.iter().map(|l| l.map_or(2, u8::from)).collect();
        Ok(Digest::new().tensor(&self.x)?.bytes(&labels).hex())
    }

    fn split(&self, rng: &Rng) -> Result<CellData, Error> {
        let anomaly: Vec<bool> = self.labels.iter().map(|l| *l == Some(true)).collect();
        let (test, mut train) = stratified_split(&anomaly, self.test, rng)?;
        let is_anomaly = |i: &u32| anomaly[*i as usize];
        if let Some(most) = self.most {
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

/// Measures every cell that the folder does not have, or those of a share, one table after the other. Returns the cells and the names of their files.
///
/// # Errors
/// An invalid table or label; a folder that cannot be written to.
pub(super) fn cells(
    args: &Compare,
    sources: &[Source],
    share: Option<Share>,
    times: &Arc<Times>,
    terminal: &Terminal,
) -> Result<(Vec<Cell>, Vec<String>)> {
    let (mut all, mut files) = (Vec::new(), Vec::new());
    for source in sources {
        let (results, names) = table(args, source, share, times, terminal)?;
        all.extend(results.cells);
        files.extend(names);
    }
    Ok((all, files))
}

fn table(
    args: &Compare,
    source: &Source,
    share: Option<Share>,
    times: &Arc<Times>,
    terminal: &Terminal,
) -> Result<(TestbedResults, Vec<String>)> {
    let Data { table, labels, notes } = read(source, &args.columns, &args.preprocessing)?;
    notes.iter().for_each(|note| terminal.note(note));
    let (test, most, name) = (args.test, args.labelled, source.short());
    let labelled = Labelled { x: table.tensor()?, labels: labels.unwrap_or_default(), test, most };
    let print = format!("content {}, stratified, test {test}, labelled {most:?}", labelled.digest()?);
    let mut bed = Testbed::new((0..args.seeds).collect()).resuming(&args.out, print);
    for d in &args.detectors {
        let method = method(d, &Value::Null, &args.preprocessing, table.schema())?;
        bed = bed.method(d.clone(), Box::new(Timed::new(method, (&name, d, args.seeds), times.clone())));
    }
    bed = bed.dataset(name.clone(), move |rng| labelled.split(rng));
    if let Some(share) = share {
        bed = bed.part(share.index, share.of);
    }
    let files = bed.files();
    let (total, done) = (files.len(), AtomicUsize::new(0));
    let on_cell = |c: &Cell| {
        let count = 1 + done.fetch_add(1, Ordering::Relaxed);
        terminal.detail(&format!("measured {} on {}, seed {}", c.method, c.dataset, c.seed));
        terminal.progress(&name, count, total);
    };
    let results = bed.run(&on_cell)?;
    // Some cells may have been in the folder.
    terminal.progress(&name, total, total);
    Ok((results, files))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn a_split_has_at_most_so_many_labelled_anomalies_and_evaluates_labelled_rows_only() {
        let n = 100;
        let labels: Vec<Option<bool>> = (0..n).map(|i| if i % 10 == 9 { None } else { Some(i % 3 == 0) }).collect();
        let x = Tensor::arange(0f64, f64::from(n), &Device::Cpu).unwrap().reshape((n as usize, 1)).unwrap();
        let all = |most| Labelled { x: x.clone(), labels: labels.clone(), test: 0.4, most };
        let of = |most| all(most).split(&Rng::new(3)).unwrap();
        let known = |c: &CellData| c.known.iter().filter(|k| **k).count();
        let (every, few) = (of(None), of(Some(2)));
        assert!(known(&every) > 10);
        assert_eq!((known(&few), few.truth.len()), (2, every.truth.len()));
        assert_eq!(few.train.dims()[0], every.train.dims()[0] - known(&every) + 2);
        let tested = few.test.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert!(tested.iter().zip(&few.truth).all(|(i, t)| labels[*i as usize] == Some(*t)));
        assert_ne!(
            all(None).digest().unwrap(),
            Labelled { labels: vec![None; n as usize], ..all(None) }.digest().unwrap()
        );
    }
}
