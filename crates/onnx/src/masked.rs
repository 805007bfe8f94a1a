//! What can be said of a model's gradient without running it.

use crate::graph::Graph;
use crate::node::Node;
use sconce_tensor_core::classifier::{Caveat, Effect};
use std::collections::HashSet;

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
    let steps = |n: &Node| match n.op.as_str() {
        "Round" | "Floor" | "Ceil" | "Sign" | "QuantizeLinear" => true,
        "Cast" => n.attributes().int("to", 0).is_ok_and(|to| WHOLE.contains(&to)),
        "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" => !chooses(graph, n),
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

/// Whether truth values only choose between branches, each of which has its gradient.
fn chooses(graph: &Graph, node: &Node) -> bool {
    let mut values: HashSet<&str> = node.outputs.iter().map(String::as_str).collect();
    for n in &graph.nodes {
        for i in 0..n.inputs.len() {
            match n.op.as_str() {
                _ if !values.contains(n.inputs[i].as_str()) => {}
                "Where" if i == 0 => {}
                "And" | "Or" | "Xor" | "Not" | "Identity" | "Reshape" | "Expand" | "Unsqueeze" => {
                    values.extend(n.outputs.iter().map(String::as_str));
                }
                _ => return false,
            }
        }
    }
    true
}
