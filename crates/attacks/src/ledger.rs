//! The ledger: the result of every attack on every example, kept in one file that answers later questions without a new run.

use crate::loss::host_logits;
use crate::run::AttackResult;
use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::stats::{Interval, Proportion};
use sconce_tensor_core::{Classifier, Error, Norm, Result, store};
use std::collections::HashMap;
use std::path::Path;

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
    pub fingerprint: String,
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

/// FNV-1a over the bytes of tensors: enough to tell files apart, no protection.
fn digest(parts: &[&Tensor]) -> Result<u64> {
    let mut h = 0xCBF2_9CE4_8422_2325_u64;
    for t in parts {
        for v in t.flatten_all()?.to_dtype(DType::F64)?.to_device(&Device::Cpu)?.to_vec1::<f64>()? {
            h = (h ^ v.to_bits()).wrapping_mul(0x0100_0000_01B3);
        }
    }
    Ok(h)
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
            .map(|at| Ok(model.logits(&x.narrow(0, at, batch_size.min(n - at))?.contiguous()?.detach())?.detach()))
            .collect::<Result<_>>()?;
        let logits = Tensor::cat(&parts, 0)?;
        sconce_tensor_core::classifier::require_finite("logits", &logits)?;
        let y = labels.to_vec1::<u32>()?;
        let rows = host_logits(&logits)?;
        let fingerprint = format!(
            "{description}; seed {seed}; data {:016x}; logits {:016x}",
            digest(&[x, labels])?,
            digest(&[&logits])?
        );
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

    /// Saves the record to one safetensors file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] with the path.
    pub fn save(&self, path: &Path) -> Result<()> {
        let flags =
            |v: &[bool]| -> Result<Tensor> { Ok(Tensor::from_iter(v.iter().map(|b| u8::from(*b)), &Device::Cpu)?) };
        let numbers = |v: &[f64]| -> Result<Tensor> { Ok(Tensor::from_slice(v, v.len(), &Device::Cpu)?) };
        let counts = |v: &[u32]| -> Result<Tensor> { Ok(Tensor::from_slice(v, v.len(), &Device::Cpu)?) };
        let mut all = vec![
            ("labels".to_owned(), counts(&self.labels)?),
            ("clean".to_owned(), flags(&self.clean)?),
            ("clean_margin".to_owned(), numbers(&self.clean_margin)?),
        ];
        let mut text = format!("{:?}\n{}\n{}\n", self.norm, self.seed, self.fingerprint.replace('\n', " "));
        for (i, e) in self.entries.iter().enumerate() {
            text += &format!("{}\t{}\n", e.eps, e.attack);
            all.push((format!("{i}.examples"), counts(&e.examples)?));
            all.push((format!("{i}.reached"), flags(&e.reached)?));
            all.push((format!("{i}.distance"), numbers(&e.distance)?));
            all.push((format!("{i}.margin"), numbers(&e.margin)?));
            all.push((format!("{i}.forwards"), counts(&e.forwards)?));
            all.push((format!("{i}.gradients"), counts(&e.gradients)?));
        }
        store::save(path, all.iter().map(|(n, t)| (n.as_str(), t.clone())), &text)
    }

    /// Loads what [`Ledger::save`] wrote.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Checkpoint`] with the path where the file is not a whole ledger.
    pub fn load(path: &Path) -> Result<Self> {
        let (tensors, text) = store::load(path, &Device::Cpu)?;
        parse(&tensors, &text)
            .map_err(|e| Error::Checkpoint { path: path.to_owned(), reason: format!("no ledger: {e}") })
    }
}

/// Whether a distance counts as inside a radius. Distances are measured on rounded images, so a few units in the last
/// place above the radius still count as inside.
pub(crate) fn within(distance: f64, eps: f64) -> bool {
    distance <= eps * (1.0 + 1e-6) + if eps > 0.0 { 1e-7 } else { 0.0 }
}

fn parse(tensors: &HashMap<String, Tensor>, text: &str) -> Result<Ledger> {
    let get = |name: &str| tensors.get(name).ok_or_else(|| Error::value("ledger", format!("`{name}` is missing")));
    let flags =
        |name: &str| -> Result<Vec<bool>> { Ok(get(name)?.to_vec1::<u8>()?.into_iter().map(|b| b != 0).collect()) };
    let mut lines = text.lines();
    let mut line = || lines.next().ok_or_else(|| Error::value("ledger", "its text ends early"));
    let norm = match line()? {
        "Linf" => Norm::Linf,
        "L2" => Norm::L2,
        "L1" => Norm::L1,
        other => return Err(Error::value("ledger", format!("no norm `{other}`"))),
    };
    let seed = line()?.parse().map_err(|_| Error::value("ledger", "its seed is no number"))?;
    let fingerprint = line()?.to_owned();
    let labels = get("labels")?.to_vec1::<u32>()?;
    let mut ledger = Ledger {
        fingerprint,
        norm,
        seed,
        clean: flags("clean")?,
        clean_margin: get("clean_margin")?.to_vec1()?,
        labels,
        entries: Vec::new(),
    };
    for (i, line) in lines.enumerate() {
        let (eps, attack) =
            line.split_once('\t').ok_or_else(|| Error::value("ledger", format!("entry {i}: `{line}`")))?;
        let entry = LedgerEntry {
            attack: attack.to_owned(),
            eps: eps.parse().map_err(|_| Error::value("ledger", format!("entry {i}: radius `{eps}`")))?,
            examples: get(&format!("{i}.examples"))?.to_vec1()?,
            reached: flags(&format!("{i}.reached"))?,
            distance: get(&format!("{i}.distance"))?.to_vec1()?,
            margin: get(&format!("{i}.margin"))?.to_vec1()?,
            forwards: get(&format!("{i}.forwards"))?.to_vec1()?,
            gradients: get(&format!("{i}.gradients"))?.to_vec1()?,
        };
        let n = entry.examples.len();
        let whole = [entry.reached.len(), entry.distance.len(), entry.margin.len(), entry.forwards.len()];
        let inside = entry.examples.iter().all(|&e| (e as usize) < ledger.len());
        if whole.iter().any(|&l| l != n) || entry.gradients.len() != n || !inside {
            return Err(Error::value("ledger", format!("entry {i}: its columns do not go together")));
        }
        ledger.entries.push(entry);
    }
    if ledger.clean.len() != ledger.len() || ledger.clean_margin.len() != ledger.len() {
        return Err(Error::value("ledger", "its columns do not go together"));
    }
    Ok(ledger)
}
