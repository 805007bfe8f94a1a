//! What can be said of a model's gradient without running it.

use crate::graph::Graph;
use crate::node::Node;
use sconce_tensor_core::classifier::{Caveat, Effect};
use std::collections::{HashMap, HashSet};

/// The casts to types without a fraction, by their numbers.
const WHOLE: [i64; 9] = [2, 3, 4, 5, 6, 7, 9, 12, 13];

/// Whether a node draws random numbers; `training` says whether an input that switches training is on.
pub(crate) fn is_random(node: &Node, training: &dyn Fn(&str) -> bool) -> bool {
    match node.op.as_str() {
        "Dropout" => node.inputs.get(2).is_some_and(|i| !i.is_empty() && training(i)),
        op => op.starts_with("Random"),
    }
}

/// The nodes between input and outputs that mask or randomise the gradient, in the graph's order. `training` says whether a constant is
/// true.
pub(crate) fn caveats(graph: &Graph, training: &dyn Fn(&str) -> bool) -> Vec<Caveat> {
    let dependent = graph.dependent();
    let choices = choices(graph, &dependent);
    let steps = |n: &Node| match n.op.as_str() {
        "Round" | "Floor" | "Ceil" | "Sign" | "Mod" | "QuantizeLinear" => true,
        "Cast" => n.attributes().int("to", 0).is_ok_and(|to| WHOLE.contains(&to)),
        "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" => {
            n.outputs.iter().any(|o| choices.get(o.as_str()) != Some(&true))
        }
        _ => false,
    };
    let caveat = |n: &Node, effect| Caveat { place: format!("{} at node `{}`", n.operator(), n.name), effect };
    let mut all = Vec::new();
    for n in &graph.nodes {
        if is_random(n, training) {
            all.push(caveat(n, Effect::Random));
        } else if steps(n) && n.inputs.iter().any(|i| dependent.contains(i)) {
            all.push(caveat(n, Effect::Masked));
        }
    }
    all
}

/// For each value that a node reads, whether it only chooses between branches of which one at least has a gradient.
fn choices<'a>(graph: &'a Graph, dependent: &HashSet<String>) -> HashMap<&'a str, bool> {
    let mut only: HashMap<&str, bool> = HashMap::new();
    // Readers come after what they read.
    for n in graph.nodes.iter().rev() {
        let passed = n.outputs.iter().filter(|o| !o.is_empty()).all(|o| only.get(o.as_str()) == Some(&true));
        for (i, v) in n.inputs.iter().enumerate() {
            let chooses = match n.op.as_str() {
                "Where" if i == 0 => n.inputs.iter().skip(1).any(|b| dependent.contains(b)),
                "And" | "Or" | "Xor" | "Not" | "Identity" | "Reshape" | "Expand" | "Unsqueeze" => passed,
                _ => false,
            };
            only.entry(v).and_modify(|all| *all &= chooses).or_insert(chooses);
        }
    }
    only
}
