//! The ledger's file.

use super::{Ledger, LedgerEntry, within};
use candle_core::{Device, Tensor};
use sconce_tensor_core::store::{Fingerprint, Keep, Kept, State};
use sconce_tensor_core::{Error, Norm, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::Path;

/// The plain values of a ledger.
#[derive(Serialize, Deserialize)]
struct Values {
    norm: String,
    seed: u64,
    /// The attacks of the entries, in order; their radii, which may be infinite, are a tensor.
    attacks: Vec<String>,
}

impl Ledger {
    /// Saves the ledger to one file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] with the path.
    pub fn save(&self, path: &Path) -> Result<()> {
        Kept::new(self.fingerprint.clone(), self.clone()).save(path)
    }

    /// Saves the ledger where there is no file yet; a second writer of the same ledger is fine.
    ///
    /// # Errors
    /// [`Error::Conflict`] where another file is there; [`Error::Io`] with the path.
    pub fn save_once(&self, path: &Path) -> Result<()> {
        Kept::new(self.fingerprint.clone(), self.clone()).save_once(path)
    }

    /// Loads what [`Ledger::save`] wrote.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Checkpoint`] with the path where the file is damaged, is not a ledger, or contradicts itself (an example that
    /// is robust although its clean input is misclassified, a success outside of its radius, a margin of the wrong sign).
    pub fn load(path: &Path) -> Result<Self> {
        let Kept { fingerprint, value } = Kept::<Self>::open(path)?;
        Ok(Self { fingerprint, ..value })
    }

    /// Loads the ledger of `expected`, if there is a file.
    ///
    /// # Errors
    /// As [`Ledger::load`]; [`Error::Checkpoint`] with what differs where the ledger is of another model, data set or suite.
    pub fn resume(path: &Path, expected: &Fingerprint) -> Result<Option<Self>> {
        let kept = Kept::<Self>::load(path, expected)?;
        Ok(kept.map(|Kept { fingerprint, value }| Self { fingerprint, ..value }))
    }
}

impl Keep for Ledger {
    fn to_state(&self) -> Result<State> {
        let flags =
            |v: &[bool]| -> Result<Tensor> { Ok(Tensor::from_iter(v.iter().map(|b| u8::from(*b)), &Device::Cpu)?) };
        let numbers = |v: &[f64]| -> Result<Tensor> { Ok(Tensor::from_slice(v, v.len(), &Device::Cpu)?) };
        let counts = |v: &[u32]| -> Result<Tensor> { Ok(Tensor::from_slice(v, v.len(), &Device::Cpu)?) };
        let radii: Vec<f64> = self.entries.iter().map(|e| e.eps).collect();
        let mut all = vec![
            ("labels".to_owned(), counts(&self.labels)?),
            ("clean".to_owned(), flags(&self.clean)?),
            ("clean_margin".to_owned(), numbers(&self.clean_margin)?),
            ("radii".to_owned(), numbers(&radii)?),
        ];
        for (i, e) in self.entries.iter().enumerate() {
            all.push((format!("{i}.examples"), counts(&e.examples)?));
            all.push((format!("{i}.reached"), flags(&e.reached)?));
            all.push((format!("{i}.distance"), numbers(&e.distance)?));
            all.push((format!("{i}.margin"), numbers(&e.margin)?));
            all.push((format!("{i}.forwards"), counts(&e.forwards)?));
            all.push((format!("{i}.gradients"), counts(&e.gradients)?));
        }
        let attacks = self.entries.iter().map(|e| e.attack.clone()).collect();
        State::new(&Values { norm: format!("{:?}", self.norm), seed: self.seed, attacks }, all)
    }

    fn from_state(state: State) -> Result<Self> {
        let Values { norm, seed, attacks } = state.values()?;
        let norm = match &norm[..] {
            "Linf" => Norm::Linf,
            "L2" => Norm::L2,
            "L1" => Norm::L1,
            other => return Err(Error::value("ledger", format!("there is no norm `{other}`"))),
        };
        let tensors = state.into_tensors();
        let get = |name: &str| tensors.get(name).ok_or_else(|| Error::value("ledger", format!("`{name}` is missing")));
        let flags =
            |name: &str| -> Result<Vec<bool>> { Ok(get(name)?.to_vec1::<u8>()?.into_iter().map(|b| b != 0).collect()) };
        let radii: Vec<f64> = get("radii")?.to_vec1()?;
        if radii.len() != attacks.len() {
            return Err(Error::value("ledger", format!("{} radii for {} attacks", radii.len(), attacks.len())));
        }
        let mut ledger = Self {
            fingerprint: Fingerprint::new(),
            norm,
            seed,
            clean: flags("clean")?,
            clean_margin: get("clean_margin")?.to_vec1()?,
            labels: get("labels")?.to_vec1()?,
            entries: Vec::new(),
        };
        for (i, (attack, eps)) in attacks.into_iter().zip(radii).enumerate() {
            let entry = LedgerEntry {
                attack,
                eps,
                examples: get(&format!("{i}.examples"))?.to_vec1()?,
                reached: flags(&format!("{i}.reached"))?,
                distance: get(&format!("{i}.distance"))?.to_vec1()?,
                margin: get(&format!("{i}.margin"))?.to_vec1()?,
                forwards: get(&format!("{i}.forwards"))?.to_vec1()?,
                gradients: get(&format!("{i}.gradients"))?.to_vec1()?,
            };
            let n = entry.examples.len();
            let columns = [entry.reached.len(), entry.distance.len(), entry.margin.len(), entry.forwards.len()];
            let inside = entry.examples.iter().all(|&e| (e as usize) < ledger.len());
            if columns.iter().any(|&l| l != n) || entry.gradients.len() != n || !inside {
                return Err(Error::value("ledger", format!("the columns of entry {i} do not match")));
            }
            ledger.entries.push(entry);
        }
        if ledger.clean.len() != ledger.len() || ledger.clean_margin.len() != ledger.len() {
            return Err(Error::value("ledger", "its columns do not match"));
        }
        ledger
            .contradiction()
            .map_or(Ok(()), |why| Err(Error::value("ledger", format!("it contradicts itself: {why}"))))?;
        Ok(ledger)
    }
}

impl Ledger {
    /// What cannot be true of an evaluation, whoever wrote it.
    fn contradiction(&self) -> Option<String> {
        let sides = |correct: bool, margin: f64| if correct { margin >= 0.0 } else { margin <= 0.0 };
        if let Some(i) = (0..self.len()).find(|&i| !sides(self.clean[i], self.clean_margin[i])) {
            let word = if self.clean[i] { "correct" } else { "wrong" };
            return Some(format!("example {i} is {word} with a margin of {}", self.clean_margin[i]));
        }
        let mut names = HashSet::new();
        for e in &self.entries {
            let what = format!("`{}` at radius {}", e.attack, e.eps);
            if e.eps.is_nan() || e.eps < 0.0 {
                return Some(format!("{what} is no radius"));
            }
            if !names.insert((&e.attack, e.eps.to_bits())) {
                return Some(format!("{what} is there twice"));
            }
            let mut seen = HashSet::new();
            for (j, &example) in e.examples.iter().enumerate() {
                let (reached, distance, margin) = (e.reached[j], e.distance[j], e.margin[j]);
                let why = if !seen.insert(example) {
                    "is there twice".to_owned()
                } else if !self.clean[example as usize] {
                    "was attacked although its clean input is misclassified".to_owned()
                } else if !(distance >= 0.0 && distance.is_finite()) || (reached && !within(distance, e.eps)) {
                    format!("has a perturbation of size {distance}")
                } else if !sides(!reached, margin) {
                    let word = if reached { "fooled" } else { "robust" };
                    format!("is {word} with a margin of {margin}")
                } else {
                    continue;
                };
                return Some(format!("example {example} of {what} {why}"));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::DType;
    use proptest::prelude::*;

    fn ledger() -> Ledger {
        let entry = |attack: &str, eps| LedgerEntry {
            attack: attack.to_owned(),
            eps,
            examples: vec![0, 2],
            reached: vec![true, false],
            distance: vec![0.1, 0.1],
            margin: vec![-1.0, 1.0],
            forwards: vec![3, 4],
            gradients: vec![1, 2],
        };
        Ledger {
            fingerprint: Fingerprint::new().with("suite", "s"),
            norm: Norm::L2,
            seed: 0,
            labels: vec![0, 1, 2],
            clean_margin: vec![1.0, -1.0, 2.0],
            clean: vec![true, false, true],
            entries: vec![entry("a", 0.2), entry("b", f64::INFINITY)],
        }
    }

    /// What is read answers every question.
    fn tried(path: &Path) {
        let Ok(l) = Ledger::load(path) else { return };
        for eps in [0.0, 0.2, f64::INFINITY] {
            assert_eq!(l.robust(eps).len(), l.len());
            let _ = (l.by_attack("a", eps), l.paired(&l, eps));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn changed_bytes(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("l");
            ledger().save(&path).unwrap();
            let mut bytes = std::fs::read(&path).unwrap();
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
            std::fs::write(&path, bytes).unwrap();
            tried(&path);
        }

        /// The checksum is right, and the content is not that of an evaluation.
        #[test]
        fn changed_states(
            which in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(),
            value in prop::sample::select(vec![f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300, 3.0, 4e9]),
            how in 0usize..5,
        ) {
            let State { mut tensors, values } = ledger().to_state().unwrap();
            let k = which.index(tensors.len());
            let t = &mut tensors[k].1;
            let mut all = t.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
            let i = at.index(all.len());
            match how {
                0 | 1 => all[i] = value,
                2 => all.truncate(i),
                _ => all.extend_from_within(..i),
            }
            // Of its type, or of another.
            let dtype = if how == 1 { DType::F64 } else { t.dtype() };
            *t = Tensor::new(all, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            if how == 4 {
                tensors.remove(k);
            }
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("l");
            Kept::new(Fingerprint::new(), State { tensors, values }).save(&path).unwrap();
            tried(&path);
        }
    }

    #[test]
    fn the_one_that_is_changed_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        ledger().save(&path).unwrap();
        assert_eq!(Ledger::load(&path).unwrap(), ledger());
    }
}
