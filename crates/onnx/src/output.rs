//! Which value of the graph is the logits.

use crate::graph::Graph;
use sconce_tensor_core::{Error, Result};

/// The last operation, which was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peeled {
    /// The probabilities of classes.
    Softmax,
    /// Their logarithms.
    LogSoftmax,
    /// Probabilities one by one.
    Sigmoid,
}

impl Peeled {
    /// The operator's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Softmax => "Softmax",
            Self::LogSoftmax => "LogSoftmax",
            Self::Sigmoid => "Sigmoid",
        }
    }
}

/// The name of the output that is meant: the one that is named, or the only or first one of floating-point numbers.
pub(crate) fn choose(graph: &Graph, named: Option<&str>) -> Result<String> {
    if let Some(name) = named {
        return Ok(name.to_owned());
    }
    let floats: Vec<&str> =
        graph.outputs.iter().filter(|p| p.element.contains("float")).map(|p| p.name.as_str()).collect();
    match floats[..] {
        [first, ..] => Ok(first.to_owned()),
        [] => {
            let all: Vec<String> = graph.outputs.iter().map(|p| format!("`{}` {}", p.name, p.describe())).collect();
            let reason = format!(
                "no output has floating-point numbers, only {}; name a value before them as the output",
                all.join(", ")
            );
            Err(Error::value("outputs", reason))
        }
    }
}

/// The end of a graph without its last operation.
#[derive(Clone, Debug)]
pub(crate) struct End {
    /// The value before it.
    pub(crate) value: String,
    /// The operation, with the axis that it normalises.
    pub(crate) peeled: Option<(Peeled, i64)>,
}

impl End {
    /// The end as it is.
    pub(crate) fn whole(output: &str) -> Self {
        Self { value: output.to_owned(), peeled: None }
    }

    /// Whether the operation is one over the classes of a result of some rank, (N, K) or (N, K, 1, ...).
    pub(crate) fn fits(&self, rank: usize) -> bool {
        self.peeled.is_none_or(|(p, axis)| {
            p == Peeled::Sigmoid || crate::node::axis(axis, rank).is_ok_and(|a| a + 1 == rank.min(2))
        })
    }
}

/// The value before a softmax or sigmoid at the end, and which of them it was. Attacks need what comes before: probabilities that round
/// to 0 and 1 have no gradient.
pub(crate) fn peel(graph: &Graph, output: &str) -> End {
    let mut at = output.to_owned();
    // Copies and other shapes of the same scores are passed over; a graph has no cycles.
    while let Some(node) = graph.maker(&at).filter(|n| n.domain.is_empty()) {
        let Some(from) = node.inputs.first().cloned() else { break };
        // Before operator set 13 all axes from this one on are normalised together, by default all but the first.
        let axis = node.attributes().int("axis", if node.opset < 13 { 1 } else { -1 }).unwrap_or(-1);
        let peeled = match node.op.as_str() {
            "Identity" | "Squeeze" | "Unsqueeze" | "Reshape" | "Flatten" | "Cast" => {
                at = from;
                continue;
            }
            "Softmax" => Peeled::Softmax,
            "LogSoftmax" => Peeled::LogSoftmax,
            "Sigmoid" => Peeled::Sigmoid,
            _ => break,
        };
        return End { value: from, peeled: Some((peeled, axis)) };
    }
    End::whole(output)
}
