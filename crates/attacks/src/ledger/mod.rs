//! The ledger: the result of every attack on every example, kept in one file that answers later questions without a new run.

mod file;
mod part;

pub use part::Part;

use crate::run::AttackResult;
use candle_core::Tensor;
use sconce_tensor_core::classifier::{self, host_logits};
use sconce_tensor_core::stats::{Interval, Proportion};
use sconce_tensor_core::store::{Digest, Fingerprint};
use sconce_tensor_core::{Classifier, Error, Norm, Result};

/// The results of one attack at one radius (infinite for a minimum-norm attack) on some of the examples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LedgerEntry {
    /// The name of the attack.
    pub attack: String,
    /// The radius; infinite for a minimum-norm attack.
    pub eps: f64,
    /// The attacked examples, by their row in the data.
    pub examples: Vec<u32>,
    /// Whether the attack fooled the model.
    pub reached: Vec<bool>,
    /// The size of the perturbation, in the ledger's norm.
    pub distance: Vec<f64>,
    /// The margin after the attack, in the logits' units.
    pub margin: Vec<f64>,
    /// Forward passes for each example.
    pub forwards: Vec<u32>,
    /// Gradients for each example.
    pub gradients: Vec<u32>,
}

impl LedgerEntry {
    /// Appends the result of the attack on one batch; `rows` are the rows of its examples in the data.
    pub(crate) fn record(&mut self, rows: &[u32], result: AttackResult) {
        self.examples.extend(rows);
        self.reached.extend(result.reached);
        self.distance.extend(result.distance);
        self.margin.extend(result.margin);
        self.forwards.extend(result.effort.iter().map(|e| e.forwards));
        self.gradients.extend(result.effort.iter().map(|e| e.gradients));
    }
}

/// The results of an evaluation, example by example.
#[derive(Clone, Debug, PartialEq)]
pub struct Ledger {
    /// Identifies model, data and suite. A ledger with another fingerprint is an error.
    pub fingerprint: Fingerprint,
    /// The norm of all distances.
    pub norm: Norm,
    /// The seed of all attacks.
    pub seed: u64,
    /// The true classes.
    pub labels: Vec<u32>,
    /// The margin at the clean inputs; positive where the prediction is correct.
    pub clean_margin: Vec<f64>,
    /// Whether the clean input is classified correctly.
    pub clean: Vec<bool>,
    /// The attacks that were run.
    pub entries: Vec<LedgerEntry>,
}

/// The robustness of two models on the same examples at the same radius.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedComparison {
    /// Examples on which both models are robust.
    pub both: usize,
    /// Examples on which only the first model is robust.
    pub first: usize,
    /// Examples on which only the second model is robust.
    pub second: usize,
    /// Examples on which neither model is robust.
    pub neither: usize,
    /// Robust accuracy of the first model minus that of the second.
    pub difference: f64,
    /// The 95 % confidence interval of the difference: the normal interval for paired proportions.
    pub ci95: Interval,
}

impl Ledger {
    /// A ledger without attacks. The model classifies the clean inputs, in batches of `batch_size`; the fingerprint
    /// contains `description`, the seed, the data and the clean logits.
    ///
    /// # Errors
    /// The model fails, or a logit is not finite.
    pub fn new(
        model: &dyn Classifier,
        x: &Tensor,
        labels: &Tensor,
        norm: Norm,
        seed: u64,
        description: &str,
        batch_size: usize,
    ) -> Result<Self> {
        let n = x.dim(0)?;
        let parts: Vec<Tensor> = (0..n)
            .step_by(batch_size.max(1))
            .map(|at| {
                let part = x.narrow(0, at, batch_size.max(1).min(n - at))?.contiguous()?.detach();
                Ok(classifier::logits(model, &part)?.detach())
            })
            .collect::<Result<_>>()?;
        let logits = Tensor::cat(&parts, 0)?;
        let y = labels.to_vec1::<u32>()?;
        let rows = host_logits(&logits)?;
        if n != y.len() || n == 0 {
            return Err(Error::shape("labels", format!("({n},), one for each input, and at least one"), labels.dims()));
        }
        if let Some((i, label)) = y.iter().enumerate().find(|(i, y)| **y as usize >= rows[*i].len()) {
            return Err(Error::value(
                "labels",
                format!("label {label} at index {i} is not below the {} classes", rows[i].len()),
            ));
        }
        let fingerprint = Fingerprint::new()
            .with("suite", description)
            .with("seed", seed)
            .with("data", Digest::new().tensor(x)?.tensor(labels)?.hex())
            .with("logits of the model", Digest::new().tensor(&logits)?.hex());
        Ok(Self {
            fingerprint,
            norm,
            seed,
            clean_margin: rows.iter().zip(&y).map(|(z, y)| crate::loss::margin(z, *y as usize)).collect(),
            clean: rows.iter().zip(&y).map(|(z, y)| crate::loss::arg_max(z) == *y as usize).collect(),
            labels: y,
            entries: Vec::new(),
        })
    }

    /// The number of examples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether the ledger has no examples.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The size of the smallest perturbation that fooled the model, for each example: 0 where the clean input is
    /// misclassified, infinite where no attack succeeded.
    pub fn smallest(&self) -> Vec<f64> {
        self.smallest_by(|_| true)
    }

    /// The same as [`Ledger::smallest`], over the entries for which `keep` is true.
    pub fn smallest_by(&self, keep: impl Fn(&LedgerEntry) -> bool) -> Vec<f64> {
        self.smallest_of(self.entries.iter().filter(|e| keep(e)))
    }

    fn smallest_of<'e>(&self, entries: impl Iterator<Item = &'e LedgerEntry>) -> Vec<f64> {
        let mut least: Vec<f64> = self.clean.iter().map(|c| if *c { f64::INFINITY } else { 0.0 }).collect();
        for e in entries {
            for ((&i, reached), d) in e.examples.iter().zip(&e.reached).zip(&e.distance) {
                if *reached {
                    least[i as usize] = least[i as usize].min(*d);
                }
            }
        }
        least
    }

    /// The index of the entry of an attack at a radius. An entry that does not exist yet is added, empty.
    pub(crate) fn entry_index(&mut self, attack: &str, eps: f64) -> usize {
        if let Some(at) = self.entries.iter().position(|e| e.attack == attack && e.eps == eps) {
            return at;
        }
        self.entries.push(LedgerEntry { attack: attack.to_owned(), eps, ..LedgerEntry::default() });
        self.entries.len() - 1
    }

    /// The examples that an entry attacks: those that are classified correctly and, if `survivors_only`, that no
    /// earlier entry fooled within `eps`.
    pub(crate) fn examples_to_attack(&self, entry: usize, eps: f64, survivors_only: bool) -> Vec<u32> {
        let before = if survivors_only { entry } else { 0 };
        let least = self.smallest_of(self.entries[..before].iter());
        least.iter().zip(0..).filter(|s| !within(*s.0, eps)).map(|s| s.1).collect()
    }

    /// The examples that no attack fooled within `eps`.
    pub fn robust(&self, eps: f64) -> Vec<bool> {
        self.smallest().into_iter().map(|d| !within(d, eps)).collect()
    }

    /// Robust accuracy at a radius. It is an upper bound: a success at a fixed radius counts at this radius and at larger
    /// ones only.
    pub fn accuracy(&self, eps: f64) -> Proportion {
        Proportion::of(&self.robust(eps))
    }

    /// Robust accuracy at a radius under one attack alone, over all examples. `None` if the attack was not run at this
    /// radius, or not on every example that is classified correctly (because it attacked survivors only).
    pub fn by_attack(&self, attack: &str, eps: f64) -> Option<Proportion> {
        let of_attack = |e: &LedgerEntry| e.attack == attack && (e.eps.is_infinite() || e.eps == eps);
        let mut attacked = vec![false; self.len()];
        self.entries
            .iter()
            .filter(|e| of_attack(e))
            .flat_map(|e| &e.examples)
            .for_each(|&i| attacked[i as usize] = true);
        if self.clean.iter().zip(&attacked).any(|(c, a)| *c && !a) {
            return None;
        }
        let robust: Vec<bool> = self.smallest_by(of_attack).into_iter().map(|d| !within(d, eps)).collect();
        Some(Proportion::of(&robust))
    }

    /// Compares the robust accuracies of two models on the same examples, example by example.
    ///
    /// # Errors
    /// The labels or the norms of the two ledgers differ.
    pub fn paired(&self, other: &Self, eps: f64) -> Result<PairedComparison> {
        if self.labels != other.labels || self.norm != other.norm {
            return Err(Error::value(
                "paired comparison",
                "both ledgers must have the same examples and the same norm",
            ));
        }
        let mut count = [[0usize; 2]; 2];
        for (a, b) in self.robust(eps).into_iter().zip(other.robust(eps)) {
            count[usize::from(a)][usize::from(b)] += 1;
        }
        let [[neither, second], [first, both]] = count;
        let n = self.len() as f64;
        let (b, c) = (first as f64, second as f64);
        let difference = (b - c) / n;
        let half = 1.959_963_984_540_054 * ((b + c - (b - c).powi(2) / n).max(0.0)).sqrt() / n;
        let ci95 = Interval { lo: difference - half, hi: difference + half };
        Ok(PairedComparison { both, first, second, neither, difference, ci95 })
    }
}

/// Whether a distance counts as inside a radius. Distances are measured on rounded images, so a few units in the last
/// place above the radius still count as inside.
pub(crate) fn within(distance: f64, eps: f64) -> bool {
    distance <= eps * (1.0 + 1e-6) + if eps > 0.0 { 1e-7 } else { 0.0 }
}
