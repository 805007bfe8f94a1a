//! Several nodes as one pass over the data, where the result is the same up to rounding.

use crate::array::Array;
use crate::node::Node;
use crate::ops;
use crate::ops::Fused;
use crate::value::Run;
use sconce_tensor_core::Result;
use std::collections::{HashMap, HashSet};

/// What runs in one go, with the names of its inputs and outputs.
pub(crate) struct Stage {
    /// The node in messages; for several, the last one.
    pub(crate) place: String,
    pub(crate) inputs: Vec<String>,
    pub(crate) outputs: Vec<String>,
    pub(crate) run: Run,
    /// Whether each run may give another result.
    pub(crate) random: bool,
}

impl Stage {
    fn of(node: &Node, run: Run) -> Self {
        Self {
            place: node.place(),
            inputs: node.inputs.clone(),
            outputs: node.outputs.clone(),
            run,
            random: crate::masked::is_random(node, &|_| true),
        }
    }
}

/// All nodes as stages, one each.
///
/// # Errors
/// Every operator that is not supported, in one message.
pub(crate) fn plain(nodes: &[Node]) -> Result<Vec<Stage>> {
    nodes.iter().map(|n| Ok(Stage::of(n, ops::compile(n)?))).collect()
}

/// The nodes as stages, fused where a pattern is known. `weights` are the shapes of what is not in `constants`.
///
/// # Errors
/// As [`plain`].
pub(crate) fn fused(
    nodes: &[Node],
    constants: &HashMap<String, Array>,
    weights: &HashMap<String, Vec<usize>>,
    targets: &[String],
) -> Result<Vec<Stage>> {
    let view = View::new(nodes, constants, weights, targets);
    // By the last node of a pattern, because all inputs are there when it runs.
    let mut patterns: HashMap<usize, (Stage, Vec<usize>)> = HashMap::new();
    let mut taken: HashSet<usize> = HashSet::new();
    for (at, node) in nodes.iter().enumerate() {
        let found = match node.op.as_str() {
            _ if !node.domain.is_empty() => None,
            "Conv" => view.convolution(at)?,
            "Add" => view.sum(at),
            "MatMul" => view.affine(at),
            "Erf" => view.gelu(at),
            "Sigmoid" | "HardSigmoid" | "Softplus" => view.gated(at)?,
            "Clip" => view.hard_swish(at),
            _ => None,
        };
        if let Some((last, stage, members)) = found.filter(|f| f.2.iter().all(|m| !taken.contains(m))) {
            taken.extend(&members);
            patterns.insert(last, (stage, members));
        }
    }
    let mut stages = Vec::new();
    for (i, node) in nodes.iter().enumerate() {
        if let Some((stage, _)) = patterns.remove(&i) {
            stages.push(stage);
        } else if !taken.contains(&i) {
            stages.push(Stage::of(node, ops::compile(node)?));
        }
    }
    Ok(stages)
}

/// The last node of a pattern, its stage, and all nodes of it.
type Found = (usize, Stage, Vec<usize>);

/// The nodes with who reads what.
struct View<'a> {
    nodes: &'a [Node],
    constants: &'a HashMap<String, Array>,
    weights: &'a HashMap<String, Vec<usize>>,
    readers: HashMap<&'a str, Vec<usize>>,
    makers: HashMap<&'a str, usize>,
    targets: &'a [String],
}

impl<'a> View<'a> {
    fn new(
        nodes: &'a [Node],
        constants: &'a HashMap<String, Array>,
        weights: &'a HashMap<String, Vec<usize>>,
        targets: &'a [String],
    ) -> Self {
        let (mut readers, mut makers): (HashMap<&str, Vec<usize>>, HashMap<&str, usize>) = Default::default();
        for (i, n) in nodes.iter().enumerate() {
            n.inputs.iter().for_each(|v| readers.entry(v).or_default().push(i));
            makers.extend(n.outputs.iter().map(|v| (v.as_str(), i)));
        }
        Self { nodes, constants, weights, readers, makers, targets }
    }

    /// The only reader of a node's only result.
    fn next(&self, at: usize) -> Option<usize> {
        let [out] = &self.nodes[at].outputs[..] else { return None };
        match self.readers.get(out.as_str()).map(Vec::as_slice) {
            Some([one]) if !self.targets.contains(out) => Some(*one),
            _ => None,
        }
    }

    fn next_is(&self, at: usize, op: &str) -> Option<usize> {
        self.next(at).filter(|n| self.nodes[*n].op == op && self.nodes[*n].domain.is_empty())
    }

    /// The other input of a node with two.
    fn other(&self, at: usize, value: &str) -> Option<&'a str> {
        match &self.nodes[at].inputs[..] {
            [a, b] if a == value => Some(b),
            [a, b] if b == value => Some(a),
            _ => None,
        }
    }

    /// A constant of one number.
    fn number(&self, value: &str) -> Option<f64> {
        // One of more axes would change the rank of the result.
        let a = self.constants.get(value).filter(|a| a.len() == 1 && a.is_float() && a.shape().len() <= 1)?;
        a.to_f64().first().copied()
    }

    fn is(&self, value: &str, number: f64) -> bool {
        self.number(value).is_some_and(|v| (v - number).abs() <= 1e-6 * number.abs().max(1.0))
    }

    fn output(&self, at: usize) -> &'a str {
        self.nodes[at].outputs.first().map_or("", String::as_str)
    }

    /// A stage from one input, in place of some nodes.
    fn unary(&self, f: Fused, input: &str, last: usize, members: Vec<usize>) -> Found {
        let node = &self.nodes[last];
        let stage = Stage {
            place: node.place(),
            inputs: vec![input.to_owned()],
            outputs: node.outputs.clone(),
            run: ops::fused_activation(f),
            random: false,
        };
        (last, stage, members)
    }

    /// Convolution, then a batch normalisation, then ReLU: at least two of them.
    fn convolution(&self, at: usize) -> Result<Option<Found>> {
        let conv = &self.nodes[at];
        let norm = self
            .next_is(at, "BatchNormalization")
            .filter(|n| self.nodes[*n].inputs.first().is_some_and(|i| i == self.output(at)));
        let relu = self.next_is(norm.unwrap_or(at), "Relu");
        let Some(last) = relu.or(norm) else { return Ok(None) };
        let mut inputs = conv.inputs.clone();
        inputs.resize(3, String::new());
        if let Some(n) = norm {
            inputs.extend(self.nodes[n].inputs[1..].iter().cloned());
        }
        let run = ops::conv_with(conv, norm.map(|n| &self.nodes[n]), relu.is_some())?;
        let outputs = self.nodes[last].outputs.clone();
        let members = [Some(at), norm, relu].into_iter().flatten().collect();
        Ok(Some((last, Stage { place: conv.place(), inputs, outputs, run, random: false }, members)))
    }

    /// `max(a + b, 0)`.
    fn sum(&self, at: usize) -> Option<Found> {
        let last = self.next_is(at, "Relu")?;
        let (node, outputs) = (&self.nodes[at], self.nodes[last].outputs.clone());
        let stage =
            Stage { place: node.place(), inputs: node.inputs.clone(), outputs, run: ops::add_relu(), random: false };
        Some((last, stage, vec![at, last]))
    }

    /// A product with a matrix of weights, then the sum with a vector of its columns' length.
    fn affine(&self, at: usize) -> Option<Found> {
        let [x, w] = &self.nodes[at].inputs[..] else { return None };
        let [_, columns] = self.weights.get(w)?[..] else { return None };
        let last = self.next_is(at, "Add")?;
        let b = self.other(last, self.output(at)).filter(|b| self.weights.get(*b).is_some_and(|s| *s == [columns]))?;
        let (place, outputs) = (self.nodes[at].place(), self.nodes[last].outputs.clone());
        let inputs = vec![x.clone(), w.clone(), b.to_owned()];
        Some((last, Stage { place, inputs, outputs, run: ops::affine(), random: false }, vec![at, last]))
    }

    /// `x sigmoid(x)`, `x hard_sigmoid(x)`, `x tanh(softplus(x))`.
    fn gated(&self, at: usize) -> Result<Option<Found>> {
        let node = &self.nodes[at];
        let Some(x) = node.inputs.first().map(String::as_str) else { return Ok(None) };
        let (f, gate) = match node.op.as_str() {
            "Sigmoid" => (Fused::Silu, Some(at)),
            "Softplus" => (Fused::Mish, self.next_is(at, "Tanh")),
            _ => {
                let a = node.attributes();
                let sixth = (a.float("alpha", 0.2)? - 1.0 / 6.0).abs() < 1e-6 && a.float("beta", 0.5)? == 0.5;
                (Fused::HardSwish, sixth.then_some(at))
            }
        };
        let found = gate.and_then(|gate| {
            let last = self.next_is(gate, "Mul")?;
            let members = if gate == at { vec![at, last] } else { vec![at, gate, last] };
            (self.other(last, self.output(gate)) == Some(x)).then(|| self.unary(f, x, last, members))
        });
        Ok(found)
    }

    /// `x clip(x + 3, 0, 6) / 6`, as older exporters spell it.
    fn hard_swish(&self, at: usize) -> Option<Found> {
        let clip = &self.nodes[at];
        let (lo, hi) = (clip.inputs.get(1)?, clip.inputs.get(2)?);
        let add = *self.makers.get(clip.inputs.first()?.as_str())?;
        let is_sum = self.nodes[add].op == "Add" && self.next(add) == Some(at);
        if !is_sum || !self.is(lo, 0.0) || !self.is(hi, 6.0) {
            return None;
        }
        let x = self.nodes[add].inputs.iter().find(|i| self.number(i).is_none())?.as_str();
        if !self.is(self.other(add, x)?, 3.0) {
            return None;
        }
        let mul = self.next_is(at, "Mul").filter(|m| self.other(*m, self.output(at)) == Some(x))?;
        let last = self
            .next_is(mul, "Div")
            .filter(|d| self.nodes[*d].inputs.first().is_some_and(|i| i == self.output(mul)))?;
        self.is(self.nodes[last].inputs.get(1)?, 6.0)
            .then(|| self.unary(Fused::HardSwish, x, last, vec![add, at, mul, last]))
    }

    /// `x (1 + erf(x / sqrt 2)) / 2` with its factors in any order.
    fn gelu(&self, at: usize) -> Option<Found> {
        let inner = *self.makers.get(self.nodes[at].inputs.first()?.as_str())?;
        if self.next(inner) != Some(at) {
            return None;
        }
        let x = self.nodes[inner].inputs.iter().find(|i| self.number(i).is_none())?.as_str();
        let factor = self.other(inner, x)?;
        let scaled = match self.nodes[inner].op.as_str() {
            "Div" => {
                self.nodes[inner].inputs.first().is_some_and(|i| i == x) && self.is(factor, std::f64::consts::SQRT_2)
            }
            "Mul" => self.is(factor, std::f64::consts::FRAC_1_SQRT_2),
            _ => false,
        };
        let add =
            self.next_is(at, "Add").filter(|a| self.other(*a, self.output(at)).is_some_and(|o| self.is(o, 1.0)))?;
        let first = self.next_is(add, "Mul").filter(|_| scaled)?;
        let with = self.other(first, self.output(add))?;
        let mut members = vec![inner, at, add, first];
        // Half of x, made before.
        if let Some(half) =
            self.makers.get(with).copied().filter(|h| self.nodes[*h].op == "Mul" && self.next(*h) == Some(first))
            && self.other(half, x).is_some_and(|o| self.is(o, 0.5))
        {
            members.push(half);
            return Some(self.unary(Fused::Gelu, x, first, members));
        }
        let last = self.next_is(first, "Mul")?;
        let rest = self.other(last, self.output(first))?;
        members.push(last);
        let whole = (with == x && self.is(rest, 0.5)) || (self.is(with, 0.5) && rest == x);
        whole.then(|| self.unary(Fused::Gelu, x, last, members))
    }
}
