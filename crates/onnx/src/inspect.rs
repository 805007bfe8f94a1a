//! What is in a file, also where it cannot run.

use crate::file::{self, Beside, of};
use crate::graph::{Graph, Port};
use crate::masked;
use crate::ops;
use crate::output::{End, Peeled, choose, peel};
use sconce_tensor_core::Result;
use sconce_tensor_core::classifier::Caveat;
use std::collections::BTreeMap;
use std::path::Path;

/// What is in an ONNX file.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The version of the file format.
    pub ir_version: i64,
    /// The operator sets, by domain (empty: that of ONNX), with their versions.
    pub opsets: Vec<(String, i64)>,
    /// The program that wrote the file, with its version.
    pub producer: String,
    /// The inputs.
    pub inputs: Vec<Port>,
    /// The outputs.
    pub outputs: Vec<Port>,
    /// The number of nodes of each operator, with whether it is supported.
    pub operators: BTreeMap<String, (usize, bool)>,
    /// The number of elements of all floating-point constants.
    pub parameters: usize,
    /// The nodes that cannot run, each with the reason.
    pub refused: Vec<String>,
    /// The value that is attacked, and the operation after it that is left out.
    pub output: Option<(String, Option<Peeled>)>,
    /// The nodes between the input and that value that mask or randomise the gradient.
    pub caveats: Vec<Caveat>,
    /// Why the file is no classifier that can be attacked, although every node of it may be supported.
    pub obstacles: Vec<String>,
}

impl Inspection {
    /// Reads a file.
    ///
    /// # Errors
    /// A file that is not a whole ONNX model, or constants that cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let mut model = file::read(path)?;
        let mut graph = Graph::read(&mut model, &Beside::of(path)).map_err(of(path))?;
        let text = |t: &Option<String>| t.clone().unwrap_or_default();
        let mut operators: BTreeMap<String, (usize, bool)> = BTreeMap::new();
        let mut refused = Vec::new();
        for n in &graph.nodes {
            operators.entry(n.operator()).or_insert((0, ops::supported(n).is_ok())).0 += 1;
            refused.extend(ops::compile(n).err().map(|e| e.to_string()));
        }
        let parameters = graph
            .constants
            .values()
            .map(|c| match c {
                file::Constant::Float(t) => t.elem_count(),
                file::Constant::Host(_) => 0,
            })
            .sum();
        let mut inspection = Self {
            ir_version: model.ir_version.unwrap_or(0),
            opsets: model.opset_import.iter().map(|o| (text(&o.domain), o.version.unwrap_or(0))).collect(),
            producer: format!("{} {}", text(&model.producer_name), text(&model.producer_version)).trim().to_owned(),
            inputs: graph.inputs.clone(),
            outputs: graph.outputs.clone(),
            operators,
            parameters,
            refused,
            output: None,
            caveats: Vec::new(),
            obstacles: Vec::new(),
        };
        if let Ok(named) = choose(&graph, None).map_err(|e| inspection.obstacles.push(e.to_string())) {
            let End { value: output, peeled } = peel(&graph, &named);
            let peeled = peeled.map(|p| p.0);
            if let Err(e) = graph.keep(std::slice::from_ref(&output)) {
                inspection.obstacles.push(e.to_string());
            }
            let truth = |name: &str| match graph.constants.get(name) {
                Some(file::Constant::Host(a)) => a.to_f64().first() == Some(&1.0),
                _ => false,
            };
            inspection.caveats = masked::caveats(&graph, &truth);
            inspection.output = Some((output, peeled));
            let used = graph.used();
            if used.len() != 1 {
                inspection.obstacles.push(format!("it needs {} inputs; a classifier has one", used.len()));
            }
            for p in used.iter().filter(|p| !p.element.contains("float") && p.element != "uint8") {
                inspection.obstacles.push(format!(
                    "its input `{}` has elements of {}; gradients need floating-point numbers",
                    p.name, p.element
                ));
            }
        }
        Ok(inspection)
    }

    /// Whether every node can run.
    pub fn is_supported(&self) -> bool {
        self.refused.is_empty()
    }
}
