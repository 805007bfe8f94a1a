//! What a search says, in the words of the competition.

use std::fmt;

/// An input with its outputs that a property forbids.
#[derive(Clone, Debug, PartialEq)]
pub struct Counterexample {
    /// The inputs, as they are printed. The network was given each of them rounded to f32; that is the number itself, except where the box has
    /// no number of f32 in it.
    pub inputs: Vec<f64>,
    /// The outputs of the network.
    pub outputs: Vec<f64>,
    /// The region of the property in which they lie.
    pub region: usize,
}

impl fmt::Display for Counterexample {
    /// `((X_0 0.5)`, then a line for each other input and each output, as the verification competition takes it since 2022. Every number has the
    /// digits that give the same number of f64 back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inputs = self.inputs.iter().enumerate().map(|(i, v)| ('X', i, v));
        let outputs = self.outputs.iter().enumerate().map(|(i, v)| ('Y', i, v));
        for (k, (letter, i, v)) in inputs.chain(outputs).enumerate() {
            f.write_str(if k == 0 { "(" } else { "\n " })?;
            write!(f, "({letter}_{i} {v})")?;
        }
        f.write_str(")")
    }
}

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A counterexample: the property does not hold.
    Violated(Counterexample),
    /// The budget is used up: nothing is known.
    Unknown,
    /// The caller ended the search: nothing is known.
    Timeout,
}

impl fmt::Display for Outcome {
    /// `sat` with the counterexample, `unknown` or `timeout`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Violated(example) => write!(f, "sat\n{example}"),
            Self::Unknown => f.write_str("unknown"),
            Self::Timeout => f.write_str("timeout"),
        }
    }
}

/// The result of a search, with its effort.
#[derive(Clone, Debug, PartialEq)]
pub struct Falsification {
    /// What was found.
    pub outcome: Outcome,
    /// Inputs that the network was given.
    pub forwards: u64,
    /// Gradients to an input.
    pub gradients: u64,
    /// The least amount by which a point missed a region: the largest excess among its constraints, in the outputs' units. Infinite before the
    /// first point.
    pub closest: f64,
}
