//! Linear terms, and comparisons of them.

use super::syntax::{Node, Reader};
use sconce_tensor_core::Result;
use std::collections::BTreeMap;

/// How many variables were declared.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Declared {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}

/// A variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Variable {
    Input(usize),
    Output(usize),
}

impl Variable {
    /// The variable of a name such as `X_0`.
    pub(super) fn of(name: &str) -> Option<Self> {
        let index = |digits: &str| {
            let plain = digits.bytes().all(|b| b.is_ascii_digit()) && (digits.len() == 1 || !digits.starts_with('0'));
            if plain { digits.parse::<usize>().ok() } else { None }
        };
        match name.split_at_checked(2)? {
            ("X_", digits) => index(digits).map(Self::Input),
            ("Y_", digits) => index(digits).map(Self::Output),
            _ => None,
        }
    }
}

/// `sum of coefficient * variable + constant`.
#[derive(Clone, Debug, Default)]
pub(super) struct Linear {
    pub(super) terms: BTreeMap<Variable, f64>,
    pub(super) constant: f64,
}

/// `terms <= bound`, or `<`; where it stands.
#[derive(Clone, Debug)]
pub(super) struct Atom {
    pub(super) terms: Vec<(Variable, f64)>,
    pub(super) bound: f64,
    pub(super) strict: bool,
    pub(super) at: usize,
}

/// A number as SMT-LIB and the competition write it; not what else Rust takes for one.
fn number(word: &str) -> Option<f64> {
    let digits = word.trim_start_matches(['+', '-']);
    let plain = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') && word.len() - digits.len() <= 1;
    if plain { word.parse().ok() } else { None }
}

/// Adds `scale` times a term to a sum.
fn add(r: &Reader<'_>, known: Declared, node: &Node<'_>, scale: f64, sum: &mut Linear) -> Result<()> {
    let fault = |reason: String| r.fault(node.at(), reason);
    if let Some(word) = node.word() {
        if let Some(v) = number(word) {
            if !v.is_finite() {
                return Err(fault(format!("the number {word} is too large")));
            }
            sum.constant += scale * v;
            return Ok(());
        }
        let variable = Variable::of(word).filter(|v| match v {
            Variable::Input(i) => *i < known.inputs,
            Variable::Output(i) => *i < known.outputs,
        });
        let Some(variable) = variable else {
            return Err(fault(format!("`{word}` is neither a number nor a variable that was declared")));
        };
        *sum.terms.entry(variable).or_insert(0.0) += scale;
        return Ok(());
    }
    let Some((operator, all)) = node.call() else {
        return Err(fault("a term is needed: a number, a variable, or (+ ...), (- ...), (* ...), (/ ...)".to_owned()));
    };
    match (operator, all) {
        ("+", [_, ..]) => all.iter().try_for_each(|one| add(r, known, one, scale, sum)),
        ("-", [one]) => add(r, known, one, -scale, sum),
        ("-", [first, rest @ ..]) => {
            add(r, known, first, scale, sum)?;
            rest.iter().try_for_each(|one| add(r, known, one, -scale, sum))
        }
        ("*", [_, ..]) => {
            let mut factor = scale;
            let mut variable = None;
            for one in all {
                let of = linear(r, known, one)?;
                if of.terms.is_empty() {
                    factor *= of.constant;
                } else if variable.replace(of).is_some() {
                    return Err(fault("a product of two variables, which is not linear".to_owned()));
                }
            }
            let of = variable.unwrap_or(Linear { constant: 1.0, terms: BTreeMap::new() });
            of.terms.iter().for_each(|(v, a)| *sum.terms.entry(*v).or_insert(0.0) += factor * a);
            sum.constant += factor * of.constant;
            Ok(())
        }
        ("/", [over, under]) => {
            let by = linear(r, known, under)?;
            if !by.terms.is_empty() {
                return Err(r.fault(under.at(), "a division by a variable, which is not linear"));
            }
            if by.constant == 0.0 {
                return Err(r.fault(under.at(), "a division by 0"));
            }
            let of = linear(r, known, over)?;
            of.terms.iter().for_each(|(v, a)| *sum.terms.entry(*v).or_insert(0.0) += scale * (a / by.constant));
            sum.constant += scale * (of.constant / by.constant);
            Ok(())
        }
        ("+" | "-" | "*" | "/", _) => Err(fault(format!("`{operator}` with {} terms", all.len()))),
        _ => Err(fault(format!("`{operator}` is no operation of linear terms; these are + - * /"))),
    }
}

fn linear(r: &Reader<'_>, known: Declared, node: &Node<'_>) -> Result<Linear> {
    let mut sum = Linear::default();
    add(r, known, node, 1.0, &mut sum)?;
    Ok(sum)
}

/// `left <= right`, or `<`, from a comparison that starts at a byte.
pub(super) fn at_most(
    r: &Reader<'_>,
    known: Declared,
    (left, right): (&Node<'_>, &Node<'_>),
    strict: bool,
    at: usize,
) -> Result<Atom> {
    let mut sum = Linear::default();
    add(r, known, left, 1.0, &mut sum)?;
    add(r, known, right, -1.0, &mut sum)?;
    // 0 - constant, so that a bound of 0 is no -0.
    let (terms, bound) = (sum.terms.into_iter().filter(|t| t.1 != 0.0).collect::<Vec<_>>(), 0.0 - sum.constant);
    if !bound.is_finite() || terms.iter().any(|t| !t.1.is_finite()) {
        return Err(r.fault(at, "the numbers of this comparison are too large together"));
    }
    Ok(Atom { terms, bound, strict, at })
}
