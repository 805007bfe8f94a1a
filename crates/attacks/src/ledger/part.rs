//! Ledgers of parts of the examples, and the ledger of all of them.

use super::{Ledger, LedgerEntry};
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Error, Result};
use std::collections::{BTreeMap, HashSet};
use std::fmt;

/// A part of the examples: those whose row in the data leaves the remainder `index` when it is divided by `of`.
///
/// What is found of an example does not depend on the others, so that the merged parts of an evaluation are the whole of it, bit by bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    index: usize,
    of: usize,
}

impl Part {
    /// Part `index`, counted from 0, of `of` parts.
    ///
    /// # Errors
    /// [`Error::Config`] for no parts, or an index that is not below their number.
    pub fn new(index: usize, of: usize) -> Result<Self> {
        require("Part.of", of >= 1, "at least 1", of)?;
        require("Part.index", index < of, "below the number of parts", index)?;
        Ok(Self { index, of })
    }

    /// Whether an example belongs to it.
    pub fn has(&self, row: u32) -> bool {
        row as usize % self.of == self.index
    }

    /// How many parts there are.
    pub fn of(&self) -> usize {
        self.of
    }

    /// Which one it is, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    fn parse(text: &str) -> Option<Self> {
        let (i, of) = text.split_once('/')?;
        Self::new(i.parse::<usize>().ok()?.checked_sub(1)?, of.parse().ok()?).ok()
    }
}

/// Counted from 1: `2/8`.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.of)
    }
}

/// The key of a part in the fingerprint of its ledger: no evaluation of all examples takes a part for the whole.
const KEY: &str = "part";

impl Ledger {
    /// Marks the ledger as that of a part.
    pub(crate) fn mark(&mut self, part: Part) {
        self.fingerprint = std::mem::take(&mut self.fingerprint).with(KEY, part.to_string());
    }

    /// The part of the examples that were attacked; `None` for all of them.
    pub fn part(&self) -> Option<Part> {
        self.fingerprint.text(KEY).and_then(Part::parse)
    }

    /// The parts that are missing among these ledgers, if they are parts of one evaluation.
    pub fn missing(parts: &[Self]) -> Vec<Part> {
        let there: HashSet<Part> = parts.iter().filter_map(Self::part).collect();
        let of = parts.first().and_then(Self::part).map_or(0, |p| p.of);
        (0..of).map(|index| Part { index, of }).filter(|p| !there.contains(p)).collect()
    }

    /// The ledger of an evaluation from those of all its parts, in any order; the same part twice is fine where both are the same. It is the ledger
    /// that one evaluation of all examples gives, bit by bit.
    ///
    /// # Errors
    /// [`Error::Value`]: a ledger of all examples, parts of another evaluation (model, data, suite, seed), another number of parts, a part that
    /// is missing or there twice with other results, or one in which an attack is missing.
    pub fn merge(parts: &[Self]) -> Result<Self> {
        let refuse = |why: String| Error::value("parts of a ledger", why);
        let mut by_part = BTreeMap::new();
        for ledger in parts {
            let part = ledger.part().ok_or_else(|| refuse("one of them is no part: it has all examples".to_owned()))?;
            match by_part.insert(part, ledger) {
                Some(other) if !same(other, ledger) => {
                    return Err(refuse(format!("part {part} is there twice, with different results")));
                }
                _ => {}
            }
        }
        let Some((first, one)) = by_part.first_key_value() else { return Err(refuse("there are none".to_owned())) };
        let whole = |l: &Self| l.fingerprint.clone().without(KEY);
        for (part, ledger) in &by_part {
            if part.of != first.of {
                return Err(refuse(format!("part {part} is one of {}, and part {first} one of {}", part.of, first.of)));
            }
            let difference = whole(ledger).difference(&whole(one));
            if !difference.is_empty() {
                let lines = difference.join("\n  ");
                return Err(refuse(format!("part {part} is of another evaluation than part {first}:\n  {lines}")));
            }
            if !same_examples(ledger, one) {
                return Err(refuse(format!("part {part} has other clean predictions than part {first}")));
            }
            if ledger.entries.iter().flat_map(|e| &e.examples).any(|row| !part.has(*row)) {
                return Err(refuse(format!("part {part} has examples of another part")));
            }
            let attacks = |l: &Self| l.entries.iter().map(|e| (e.attack.clone(), e.eps.to_bits())).collect::<Vec<_>>();
            if attacks(ledger) != attacks(one) {
                return Err(refuse(format!(
                    "part {part} has other attacks than part {first}: one of them is not finished"
                )));
            }
        }
        let missing: Vec<String> = Self::missing(parts).iter().map(Part::to_string).collect();
        if !missing.is_empty() {
            return Err(refuse(format!("missing: {}", missing.join(", "))));
        }
        let all: Vec<&Self> = by_part.values().copied().collect();
        let entries = (0..one.entries.len()).map(|i| join(&all.iter().map(|l| &l.entries[i]).collect::<Vec<_>>()));
        let merged = Self { fingerprint: whole(one), entries: entries.collect(), ..(*one).clone() };
        merged.complete().map_err(refuse)?;
        Ok(merged)
    }

    /// Whether every attack at a radius has what an evaluation attacks at least: the examples that no attack before it fooled.
    fn complete(&self) -> std::result::Result<(), String> {
        for (i, e) in self.entries.iter().enumerate().filter(|e| e.1.eps.is_finite()) {
            let attacked: HashSet<u32> = e.examples.iter().copied().collect();
            let open = self.examples_to_attack(i, e.eps, true).into_iter().find(|row| !attacked.contains(row));
            if let Some(row) = open {
                return Err(format!("`{}` at radius {} was not run on example {row}", e.attack, e.eps));
            }
        }
        Ok(())
    }
}

/// Whether two ledgers are the same, bit by bit.
fn same(a: &Ledger, b: &Ledger) -> bool {
    let entry = |a: &LedgerEntry, b: &LedgerEntry| {
        (&a.attack, a.eps.to_bits(), &a.examples, &a.reached, &a.forwards, &a.gradients)
            == (&b.attack, b.eps.to_bits(), &b.examples, &b.reached, &b.forwards, &b.gradients)
            && bits(&a.distance) == bits(&b.distance)
            && bits(&a.margin) == bits(&b.margin)
    };
    a.fingerprint == b.fingerprint
        && same_examples(a, b)
        && a.entries.len() == b.entries.len()
        && a.entries.iter().zip(&b.entries).all(|(a, b)| entry(a, b))
}

fn same_examples(a: &Ledger, b: &Ledger) -> bool {
    let facts = |l: &Ledger| (l.norm, l.seed, l.labels.clone(), l.clean.clone(), bits(&l.clean_margin));
    facts(a) == facts(b)
}

fn bits(v: &[f64]) -> Vec<u64> {
    v.iter().map(|v| v.to_bits()).collect()
}

/// The results of one attack on all examples, in the order of the data.
fn join(parts: &[&LedgerEntry]) -> LedgerEntry {
    let mut at: Vec<(u32, &LedgerEntry, usize)> =
        parts.iter().flat_map(|e| e.examples.iter().enumerate().map(move |(j, row)| (*row, *e, j))).collect();
    at.sort_by_key(|a| a.0);
    let first = parts.first().map_or_else(LedgerEntry::default, |e| LedgerEntry {
        attack: e.attack.clone(),
        eps: e.eps,
        ..LedgerEntry::default()
    });
    LedgerEntry {
        examples: at.iter().map(|a| a.0).collect(),
        reached: at.iter().map(|(_, e, j)| e.reached[*j]).collect(),
        distance: at.iter().map(|(_, e, j)| e.distance[*j]).collect(),
        margin: at.iter().map(|(_, e, j)| e.margin[*j]).collect(),
        forwards: at.iter().map(|(_, e, j)| e.forwards[*j]).collect(),
        gradients: at.iter().map(|(_, e, j)| e.gradients[*j]).collect(),
        ..first
    }
}
