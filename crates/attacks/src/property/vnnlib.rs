//! VNN-LIB 1.0: declarations and assertions of a text, as a property.

use super::formula::{Case, cases, product};
use super::set::{Constraint, Property, Region};
use super::syntax::{Node, Reader};
use super::terms::{Atom, Declared, Variable};
use sconce_tensor_core::Result;

/// Bounds of inputs over all regions that are kept, and variables.
const MOST_BOUNDS: usize = 1 << 26;
/// Commands that say nothing about the property.
const WITHOUT_MEANING: [&str; 7] =
    ["set-logic", "set-info", "set-option", "check-sat", "get-model", "get-value", "exit"];

/// A box under way, with other constraints.
#[derive(Clone)]
struct Draft {
    lower: Vec<f64>,
    upper: Vec<f64>,
    constraints: Vec<Constraint>,
    /// A comparison of numbers that is false, by its place.
    never: Option<usize>,
}

impl Draft {
    /// Adds a comparison: a bound of one input, or another constraint.
    fn add(&mut self, atom: &Atom) -> Result<()> {
        match *atom.terms.as_slice() {
            [] => {
                let holds = if atom.strict { 0.0 < atom.bound } else { 0.0 <= atom.bound };
                self.never = self.never.or((!holds).then_some(atom.at));
                return Ok(());
            }
            [(Variable::Input(i), a)] => {
                // A bound of -0 is one of 0.
                let bound = atom.bound / a + 0.0;
                if a > 0.0 {
                    self.upper[i] = self.upper[i].min(if atom.strict { bound.next_down() } else { bound });
                } else {
                    self.lower[i] = self.lower[i].max(if atom.strict { bound.next_up() } else { bound });
                }
                // A quotient may be rounded: then the comparison itself counts too.
                if a.abs() == 1.0 {
                    return Ok(());
                }
            }
            _ => {}
        }
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        for (variable, a) in &atom.terms {
            match variable {
                Variable::Input(i) => inputs.push((*i, *a)),
                Variable::Output(i) => outputs.push((*i, *a)),
            }
        }
        self.constraints.push(Constraint::new(inputs, outputs, atom.bound, atom.strict)?);
        Ok(())
    }

    /// Why no point lies in it: a comparison that is false, or bounds that contradict each other.
    fn empty(&self) -> Option<String> {
        if self.never.is_some() {
            return Some("a comparison of numbers is false".to_owned());
        }
        let i = self.lower.iter().zip(&self.upper).position(|(lo, hi)| lo > hi)?;
        Some(format!(
            "the bounds of X_{i} contradict each other: at least {} and at most {}",
            self.lower[i], self.upper[i]
        ))
    }

    /// An input without a bound, and which it lacks.
    fn unbounded(&self) -> Option<(usize, &'static str)> {
        let lacks = |all: &[f64]| all.iter().position(|v| v.is_infinite());
        lacks(&self.lower).map(|i| (i, "lower")).or_else(|| lacks(&self.upper).map(|i| (i, "upper")))
    }
}

/// The declarations so far: each variable by its index.
#[derive(Default)]
struct Names {
    inputs: Vec<bool>,
    outputs: Vec<bool>,
}

impl Names {
    /// Adds `(declare-const NAME Real)`.
    fn declare(&mut self, r: &Reader<'_>, node: &Node<'_>, rest: &[Node<'_>]) -> Result<()> {
        let (name, kind) = match rest {
            [name, kind] => (name, kind),
            // declare-fun without arguments.
            [name, Node::List(none, _), kind] if none.is_empty() => (name, kind),
            _ => return Err(r.fault(node.at(), "a declaration is (declare-const NAME Real)")),
        };
        if kind.word() != Some("Real") {
            return Err(r.fault(kind.at(), "only variables of the type Real are read"));
        }
        let word = name.word().unwrap_or_default();
        let (all, i) = match Variable::of(word) {
            Some(Variable::Input(i)) => (&mut self.inputs, i),
            Some(Variable::Output(i)) => (&mut self.outputs, i),
            None => {
                return Err(r.fault(
                    name.at(),
                    format!(
                        "`{word}`: the names of variables are X_0, X_1, ... for inputs and Y_0, Y_1, ... for outputs"
                    ),
                ));
            }
        };
        if i >= MOST_BOUNDS {
            return Err(r.fault(name.at(), format!("`{word}`: more than {MOST_BOUNDS} variables")));
        }
        if all.len() <= i {
            all.resize(i + 1, false);
        }
        if std::mem::replace(&mut all[i], true) {
            return Err(r.fault(name.at(), format!("`{word}` was declared before")));
        }
        Ok(())
    }

    fn count(&self) -> Declared {
        Declared { inputs: self.inputs.len(), outputs: self.outputs.len() }
    }

    /// The declarations must have no gap.
    fn check(&self, r: &Reader<'_>, at: usize) -> Result<()> {
        for (letter, all) in [('X', &self.inputs), ('Y', &self.outputs)] {
            let missing = if all.is_empty() { Some(0) } else { all.iter().position(|d| !d) };
            if let Some(i) = missing {
                return Err(r.fault(at, format!("{letter}_{i} is not declared")));
            }
        }
        Ok(())
    }
}

/// Reads a text.
///
/// # Errors
/// As [`Property::parse`].
pub(super) fn read(text: &str) -> Result<Property> {
    let mut r = Reader::new(text);
    let (mut names, mut asserted) = (Names::default(), false);
    // What holds in every case, and the cases of the disjunctions.
    let (mut always, mut open): (Case, Vec<Case>) = (Vec::new(), vec![Vec::new()]);
    let mut last = 0;
    while let Some(node) = r.next()? {
        last = node.at();
        let Some((command, rest)) = node.call() else {
            return Err(r.fault(node.at(), "a command is needed: (declare-const ...) or (assert ...)"));
        };
        match command {
            "declare-const" | "declare-fun" => names.declare(&r, &node, rest)?,
            "assert" => {
                let [formula] = rest else { return Err(r.fault(node.at(), "an assertion is (assert FORMULA)")) };
                asserted = true;
                let found = cases(&r, names.count(), formula, false)?;
                match <[Case; 1]>::try_from(found) {
                    Ok([one]) => always.extend(one),
                    Err(several) => open = product(&r, formula.at(), open, several)?,
                }
            }
            "vnnlib-version" | "declare-network" | "declare-input" | "declare-output" => {
                return Err(r.fault(
                    node.at(),
                    format!("`{command}` is of VNN-LIB 2; version 1 is read: (declare-const X_0 Real)"),
                ));
            }
            _ if WITHOUT_MEANING.contains(&command) => {}
            _ => {
                return Err(
                    r.fault(node.at(), format!("the command `{command}` is not known; declare-const and assert are"))
                );
            }
        }
    }
    names.check(&r, last)?;
    if !asserted {
        return Err(r.fault(last, "there is no assertion"));
    }
    regions(&r, last, names.count(), &always, &open)
}

fn regions(r: &Reader<'_>, last: usize, known: Declared, always: &[Atom], open: &[Case]) -> Result<Property> {
    let mut base = Draft {
        lower: vec![f64::NEG_INFINITY; known.inputs],
        upper: vec![f64::INFINITY; known.inputs],
        constraints: Vec::new(),
        never: None,
    };
    always.iter().try_for_each(|a| base.add(a))?;
    if let Some(why) = base.empty() {
        return Err(r.fault(last, format!("no input satisfies the assertions: {why}")));
    }
    if known.inputs.saturating_mul(open.len()) > MOST_BOUNDS {
        return Err(r.fault(
            last,
            format!("{} inputs in {} cases; at most {MOST_BOUNDS} bounds are kept", known.inputs, open.len()),
        ));
    }
    let (mut all, mut why) = (Vec::new(), None);
    for case in open {
        let mut draft = base.clone();
        case.iter().try_for_each(|a| draft.add(a))?;
        if let Some(reason) = draft.empty() {
            why.get_or_insert(reason);
            continue;
        }
        if let Some((i, which)) = draft.unbounded() {
            let at = case.first().map_or(last, |a| a.at);
            let place = if open.len() > 1 { " in the case that starts here" } else { "" };
            return Err(r.fault(at, format!("X_{i} has no {which} bound{place}")));
        }
        all.push(Region::new(draft.lower, draft.upper, draft.constraints)?);
    }
    if all.is_empty() {
        let why = why.unwrap_or_else(|| "a disjunction without cases".to_owned());
        return Err(r.fault(last, format!("no input satisfies the assertions: {why}")));
    }
    Property::new(known.outputs, all)
}
