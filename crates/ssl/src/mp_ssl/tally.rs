//! Means over the steps of an epoch, and the largest certificate.

use crate::weighting::Record;
use crate::{Error, Result};
use sconce_tensor_core::store::State;

/// Sums over steps, weighted by examples, in the order of [`Tally::metrics`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tally {
    sums: Vec<f64>,
    examples: f64,
    /// The largest certificate of the steps; none where the method has none.
    certificate: Option<f64>,
}

/// The measured numbers of a step with their names.
fn entries(record: &Record, accuracies: &[f64]) -> Vec<(String, f64)> {
    let names = &record.tasks;
    let mut all = Vec::new();
    let mut each = |what: &str, values: &[f64]| {
        all.extend(names.iter().zip(values).map(|(n, v)| (format!("{what}.{n}"), *v)));
    };
    each("loss", &record.losses);
    each("accuracy", accuracies);
    each("weight", &record.weights);
    if let Some(g) = &record.geometry {
        each("norm", &g.norms);
        each("descent", &g.descent);
        for (i, a) in names.iter().enumerate() {
            let pair = |(j, b): (usize, &String)| (format!("cosine.{a}.{b}"), g.cosines[i * names.len() + j]);
            all.extend(names.iter().enumerate().skip(i + 1).map(pair));
        }
        all.push(("direction_norm".to_owned(), g.direction_norm));
        all.push(("pareto_residual".to_owned(), g.pareto_residual));
    }
    all
}

impl Tally {
    /// Adds a step of some examples.
    pub(super) fn add(&mut self, record: &Record, accuracies: &[f64], examples: usize) {
        let weight = examples.max(1) as f64;
        let entries = entries(record, accuracies);
        self.sums.resize(entries.len(), 0.0);
        self.sums.iter_mut().zip(&entries).for_each(|(s, e)| *s += e.1 * weight);
        self.examples += weight;
        self.certificate = self.certificate.into_iter().chain(record.residual).reduce(f64::max);
    }

    /// The means, named after a step of the same run, and a new start.
    pub(super) fn take(&mut self, like: Option<&Record>) -> Vec<(String, f64)> {
        let done = std::mem::take(self);
        let Some(record) = like else { return Vec::new() };
        let names = entries(record, &record.losses).into_iter().map(|e| e.0);
        let means = names.zip(done.sums.iter().map(|s| s / done.examples));
        means.chain(done.certificate.map(|c| ("certificate".to_owned(), c))).collect()
    }

    pub(super) fn state(&self, last: Option<&Record>) -> Result<State> {
        State::new(&(&self.sums, self.examples, self.certificate, last), Vec::<(String, _)>::new())
    }

    /// Takes back the sums; returns the last step.
    pub(super) fn restore(&mut self, state: &State) -> Result<Option<Record>> {
        let (sums, examples, certificate, last): (Vec<f64>, f64, Option<f64>, Option<Record>) = state.values()?;
        if last.is_none() && !sums.is_empty() {
            return Err(Error::value("state", "has sums of an epoch without a step"));
        }
        (self.sums, self.examples, self.certificate) = (sums, examples, certificate);
        Ok(last)
    }
}
