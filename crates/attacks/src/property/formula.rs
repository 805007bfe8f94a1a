//! Assertions as a list of cases, each a list of comparisons that hold together.

use super::syntax::{Node, Reader};
use super::terms::{Atom, Declared, at_most};
use sconce_tensor_core::Result;

/// One case.
pub(super) type Case = Vec<Atom>;

/// Cases, and comparisons in all of them, that are kept; a small text may stand for very many.
const MOST_CASES: usize = 1 << 16;
const MOST_ATOMS: usize = 1 << 22;

/// Every case of the one with every case of the other.
///
/// # Errors
/// More cases than are kept.
pub(super) fn product(r: &Reader<'_>, at: usize, mut a: Vec<Case>, b: Vec<Case>) -> Result<Vec<Case>> {
    if let ([one], [other]) = (a.as_mut_slice(), b.as_slice()) {
        // In place: a conjunction may have a comparison for each input.
        one.extend_from_slice(other);
        return Ok(a);
    }
    let size = |cases: &[Case]| cases.iter().map(Vec::len).sum::<usize>();
    let atoms = size(&a).saturating_mul(b.len()).saturating_add(size(&b).saturating_mul(a.len()));
    if a.len().saturating_mul(b.len()) > MOST_CASES || atoms > MOST_ATOMS {
        let reason = format!("the disjunctions stand for more than {MOST_CASES} cases or {MOST_ATOMS} comparisons");
        return Err(r.fault(at, reason));
    }
    Ok(a.iter().flat_map(|a| b.iter().map(move |b| a.iter().chain(b).cloned().collect())).collect())
}

/// The cases of a formula, or of its negation. No case: it is false; a case without comparisons: it is true.
///
/// # Errors
/// What is no formula, with its place.
pub(super) fn cases(r: &Reader<'_>, known: Declared, node: &Node<'_>, negated: bool) -> Result<Vec<Case>> {
    let fault = |reason: String| Err(r.fault(node.at(), reason));
    if let Some(word) = node.word() {
        return match word {
            "true" | "false" if (word == "true") != negated => Ok(vec![Vec::new()]),
            "true" | "false" => Ok(Vec::new()),
            _ => fault(format!("`{word}` is no formula; (<= ...), (>= ...), (and ...), (or ...) are")),
        };
    }
    let Some((operator, all)) = node.call() else {
        return fault("a formula is needed: (<= ...), (>= ...), (and ...), (or ...)".to_owned());
    };
    // left <= right or left < right; of a > b the sides change.
    let compared = |left, right, strict, turned: bool| {
        at_most(r, known, if turned { (right, left) } else { (left, right) }, strict, node.at())
    };
    match operator {
        "not" if all.len() == 1 => cases(r, known, &all[0], !negated),
        "and" | "or" if !all.is_empty() => {
            if (operator == "and") != negated {
                let mut so_far = vec![Vec::new()];
                for one in all {
                    so_far = product(r, one.at(), so_far, cases(r, known, one, negated)?)?;
                }
                return Ok(so_far);
            }
            let mut so_far = Vec::new();
            for one in all {
                so_far.extend(cases(r, known, one, negated)?);
                if so_far.len() > MOST_CASES {
                    return Err(r.fault(one.at(), format!("more than {MOST_CASES} cases in one disjunction")));
                }
            }
            Ok(so_far)
        }
        "<=" | ">=" | "<" | ">" | "=" if all.len() >= 2 => {
            // A chain: each with its neighbour. Its negation is that one of these is false.
            let (mut held, mut broken) = (Vec::new(), Vec::new());
            for pair in all.windows(2) {
                let [left, right] = pair else { continue };
                let (turned, strict) = (operator.starts_with('>'), operator.len() == 1);
                match (operator, negated) {
                    ("=", false) => {
                        held.push(compared(left, right, false, false)?);
                        held.push(compared(left, right, false, true)?);
                    }
                    ("=", true) => {
                        broken.push(vec![compared(left, right, true, false)?]);
                        broken.push(vec![compared(left, right, true, true)?]);
                    }
                    (_, false) => held.push(compared(left, right, strict, turned)?),
                    (_, true) => broken.push(vec![compared(left, right, !strict, !turned)?]),
                }
            }
            Ok(if negated { broken } else { vec![held] })
        }
        "not" | "and" | "or" | "<=" | ">=" | "<" | ">" | "=" => {
            fault(format!("`{operator}` with {} arguments", all.len()))
        }
        _ => fault(format!("`{operator}` is no operation of formulas; these are and or not <= >= < > =")),
    }
}
