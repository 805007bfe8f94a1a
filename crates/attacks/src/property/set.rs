//! The pairs of inputs and outputs that a property forbids.

use sconce_tensor_core::{Error, Result};

/// `sum_i a_i X_i + sum_j b_j Y_j <= bound`, or `<`.
#[derive(Clone, Debug, PartialEq)]
pub struct Constraint {
    inputs: Vec<(usize, f64)>,
    outputs: Vec<(usize, f64)>,
    bound: f64,
    strict: bool,
}

impl Constraint {
    /// From the coefficients of inputs and outputs, each by its index.
    ///
    /// # Errors
    /// [`Error::Value`] for numbers that are not finite, an index that comes twice, or no coefficient.
    pub fn new(inputs: Vec<(usize, f64)>, outputs: Vec<(usize, f64)>, bound: f64, strict: bool) -> Result<Self> {
        let finite = inputs.iter().chain(&outputs).all(|t| t.1.is_finite()) && bound.is_finite();
        let twice = |terms: &[(usize, f64)]| {
            let mut at: Vec<usize> = terms.iter().map(|t| t.0).collect();
            at.sort_unstable();
            at.windows(2).any(|w| w[0] == w[1])
        };
        if !finite || (inputs.is_empty() && outputs.is_empty()) || twice(&inputs) || twice(&outputs) {
            let reason = format!(
                "the coefficients must be finite, of different inputs and outputs, and at least one; got {inputs:?} and {outputs:?} with the bound {bound}"
            );
            return Err(Error::value("constraint of a property", reason));
        }
        Ok(Self { inputs, outputs, bound, strict })
    }

    /// Coefficients of inputs, by their index.
    pub fn inputs(&self) -> &[(usize, f64)] {
        &self.inputs
    }

    /// Coefficients of outputs, by their index.
    pub fn outputs(&self) -> &[(usize, f64)] {
        &self.outputs
    }

    /// The right side.
    pub fn bound(&self) -> f64 {
        self.bound
    }

    /// Whether equality does not satisfy it.
    pub fn is_strict(&self) -> bool {
        self.strict
    }

    /// The left side minus the right: at most 0 where the constraint holds. Infinite for an index that `x` or `y` does not have.
    pub fn excess(&self, x: &[f64], y: &[f64]) -> f64 {
        let sum = |terms: &[(usize, f64)], values: &[f64]| -> f64 {
            terms.iter().map(|(i, a)| values.get(*i).map_or(f64::INFINITY, |v| a * v)).sum()
        };
        sum(&self.inputs, x) + sum(&self.outputs, y) - self.bound
    }

    /// Whether it holds, without tolerance.
    pub fn holds(&self, x: &[f64], y: &[f64]) -> bool {
        let e = self.excess(x, y);
        if self.strict { e < 0.0 } else { e <= 0.0 }
    }
}

/// A box of inputs with constraints that hold together.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    lower: Vec<f64>,
    upper: Vec<f64>,
    constraints: Vec<Constraint>,
}

impl Region {
    /// From the bounds of each input, both inclusive, and the constraints.
    ///
    /// # Errors
    /// [`Error::Value`] naming the first input whose bounds are not finite or contradict each other; [`Error::Shape`] for bounds of different
    /// lengths, or none.
    pub fn new(lower: Vec<f64>, upper: Vec<f64>, constraints: Vec<Constraint>) -> Result<Self> {
        if lower.is_empty() || lower.len() != upper.len() {
            let expected = format!("({},), at least one", lower.len());
            return Err(Error::shape("upper bounds of a property's inputs", expected, &[upper.len()]));
        }
        for (i, (lo, hi)) in lower.iter().zip(&upper).enumerate() {
            let reason = if !lo.is_finite() || !hi.is_finite() {
                format!("X_{i} must have finite bounds, got [{lo}, {hi}]")
            } else if lo > hi {
                format!("the bounds of X_{i} contradict each other: at least {lo} and at most {hi}")
            } else {
                continue;
            };
            return Err(Error::value("box of a property", reason));
        }
        Ok(Self { lower, upper, constraints })
    }

    /// The smallest value of each input.
    pub fn lower(&self) -> &[f64] {
        &self.lower
    }

    /// The largest value of each input.
    pub fn upper(&self) -> &[f64] {
        &self.upper
    }

    /// The constraints beside the box.
    pub fn constraints(&self) -> &[Constraint] {
        &self.constraints
    }

    /// Whether a pair of inputs and outputs lies in it, without tolerance.
    pub fn contains(&self, x: &[f64], y: &[f64]) -> bool {
        let inside = |(v, (lo, hi)): (&f64, (&f64, &f64))| lo <= v && v <= hi;
        x.len() == self.lower.len()
            && x.iter().zip(self.lower.iter().zip(&self.upper)).all(inside)
            && self.constraints.iter().all(|c| c.holds(x, y))
    }
}

/// A property of a network: no input with its outputs may lie in any of the regions.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    inputs: usize,
    outputs: usize,
    regions: Vec<Region>,
}

impl Property {
    /// From the number of outputs and the regions.
    ///
    /// # Errors
    /// [`Error::Value`] without regions or outputs, for regions of different numbers of inputs, and for constraints on inputs or outputs that there
    /// are not.
    pub fn new(outputs: usize, regions: Vec<Region>) -> Result<Self> {
        let bad = |reason: &str| Err(Error::value("property", reason));
        let Some(inputs) = regions.first().map(|r| r.lower.len()) else { return bad("there is no region") };
        let fits = |r: &Region| {
            let known =
                |c: &Constraint| c.inputs.iter().all(|t| t.0 < inputs) && c.outputs.iter().all(|t| t.0 < outputs);
            r.lower.len() == inputs && r.constraints.iter().all(known)
        };
        if outputs == 0 {
            return bad("there is no output");
        }
        if !regions.iter().all(fits) {
            return bad(
                "the regions differ in their number of inputs, or a constraint is about an input or output that there is not",
            );
        }
        Ok(Self { inputs, outputs, regions })
    }

    /// Reads a file's text in VNN-LIB 1.0, the SMT-LIB subset of the verification competition (VNN-COMP): `declare-const` of reals named
    /// `X_i` and `Y_i`, and assertions made of `and`, `or`, `not`, `<=`, `>=`, `<`, `>`, `=` and linear terms (`+`, `-`, `*`, `/`). Every input needs a
    /// lower and an upper bound in every case that the disjunctions leave; cases without points are left out.
    ///
    /// # Errors
    /// [`Error::Value`] with line and column.
    pub fn parse(text: &str) -> Result<Self> {
        super::vnnlib::read(text)
    }

    /// The number of inputs.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// The number of outputs.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The regions.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The first region in which inputs and outputs lie, without tolerance; none where they are allowed.
    pub fn violated(&self, x: &[f64], y: &[f64]) -> Option<usize> {
        self.regions.iter().position(|r| r.contains(x, y))
    }
}
