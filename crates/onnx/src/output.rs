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
        graph.outputs.iter().filter(|p| p.element.starts_with("float")).map(|p| p.name.as_str()).collect();
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

/// The value before a softmax or sigmoid at the end, and which of them it was. Attacks need what comes before: probabilities that round
/// to 0 and 1 have no gradient.
pub(crate) fn peel(graph: &Graph, output: &str) -> (String, Option<Peeled>) {
    let mut at = output.to_owned();
    // Copies, and shapes that only add or drop axes of size 1 behind the classes, are passed over; a graph has no cycles.
    while let Some(node) = graph.maker(&at).filter(|n| n.domain.is_empty()) {
        let Some(from) = node.inputs.first().cloned() else { break };
        match node.op.as_str() {
            "Identity" => at = from,
            "Softmax" => return (from, Some(Peeled::Softmax)),
            "LogSoftmax" => return (from, Some(Peeled::LogSoftmax)),
            "Sigmoid" => return (from, Some(Peeled::Sigmoid)),
            _ => break,
        }
    }
    (output.to_owned(), None)
}
