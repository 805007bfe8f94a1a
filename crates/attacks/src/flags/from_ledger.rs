//! Flags that the ledger of an evaluation shows.

use super::kind::{Flag, FlagKind};
use crate::ledger::{Ledger, LedgerEntry, within};
use crate::suite::{Access, Suite};
use sconce_tensor_core::stats::Proportion;
use std::collections::BTreeMap;

/// The share of examples above which a weaker attack raises a flag: AutoAttack's own limit for Square.
const SHARE: f64 = 0.002;

/// Adds a flag for each kind of attack without gradients (scores only, transfer) that fools examples which no gradient
/// attack fooled: more than one example in 500, and at least two. The flag names the first such radius.
pub fn from_ledger(ledger: &Ledger, suite: &Suite<'_>, eps: &[f64], found: &mut Vec<Flag>) {
    let has_gradients = suite.attacks.iter().any(|a| a.access == Access::WhiteBox);
    let kinds = [
        (Access::Scores, FlagKind::BlackBoxWins, "attacks that use only scores"),
        (Access::Transfer, FlagKind::TransferWins, "transfer attacks"),
    ];
    for (access, kind, attacks) in kinds {
        if !has_gradients || found.iter().any(|f| f.kind == kind) {
            continue;
        }
        for &radius in eps {
            let by_gradients = fooled_by(ledger, suite, Access::WhiteBox, radius);
            let by_others = fooled_by(ledger, suite, access, radius);
            let only_others = by_others.iter().zip(&by_gradients).filter(|(other, white)| **other && !**white).count();
            let share = only_others as f64 / ledger.len() as f64;
            if only_others >= 2 && share > SHARE {
                let detail = format!(
                    "at radius {radius:.5}, {attacks} fooled {only_others} of {} examples that no gradient attack fooled",
                    ledger.len()
                );
                found.push(Flag { kind, amount: share, detail });
                break;
            }
        }
    }
}

/// The share of the commonest label: the accuracy of a model that always predicts it. 0 where there is one label only, because then no model can be
/// better.
fn commonest(labels: &[u32]) -> f64 {
    let mut counts = BTreeMap::new();
    labels.iter().for_each(|l| *counts.entry(l).or_insert(0u32) += 1);
    match counts.values().max() {
        Some(most) if counts.len() > 1 => f64::from(*most) / labels.len() as f64,
        _ => 0.0,
    }
}

/// The clean accuracy is not above chance: the lower end of its 95 % interval (Wilson's) is at most 1 / `classes`, or at most the share of the
/// commonest of the `labels` where there are several.
pub fn chance_accuracy(clean: Proportion, labels: &[u32], classes: usize) -> Option<Flag> {
    let (uniform, constant) = (1.0 / classes.max(1) as f64, commonest(labels));
    let (ci, chance) = (clean.wilson95(), uniform.max(constant));
    if ci.lo > chance {
        return None;
    }
    let how = if ci.hi < chance { "below" } else { "not above" };
    let of = if constant > uniform {
        "(the share of the commonest label)".to_owned()
    } else {
        format!("for {classes} classes")
    };
    let detail = format!(
        "the clean accuracy is {how} chance: {} of {} correct, 95 % interval [{:.3}, {:.3}], chance {chance:.3} {of}",
        clean.hits, clean.total, ci.lo, ci.hi
    );
    Some(Flag { kind: FlagKind::ChanceAccuracy, amount: clean.rate(), detail })
}

/// Whether attacks with this access fooled each example within `eps`.
fn fooled_by(ledger: &Ledger, suite: &Suite<'_>, access: Access, eps: f64) -> Vec<bool> {
    let has_access = |e: &LedgerEntry| suite.attacks.iter().any(|a| a.name == e.attack && a.access == access);
    let smallest = ledger.smallest_by(has_access);
    smallest.into_iter().zip(&ledger.clean).map(|(d, clean)| *clean && within(d, eps)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_model_is_no_better_than_chance() {
        let labels: Vec<u32> = (0..100).map(|i| u32::from(i % 10 == 0)).collect();
        let of = |hits| chance_accuracy(Proportion { hits, total: 100 }, &labels, 2);
        let flag = of(90).map(|f| f.detail).unwrap_or_default();
        assert!(flag.contains("not above chance: 90 of 100") && flag.contains("0.900 (the share"), "{flag}");
        assert!(of(97).is_none());
        // No constant model is to be beaten where all labels are the same.
        assert!(chance_accuracy(Proportion { hits: 90, total: 100 }, &[1; 100], 2).is_none());
    }
}
