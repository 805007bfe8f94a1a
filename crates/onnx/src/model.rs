//! A graph of any inputs and outputs, as a function.

use crate::array::Array;
use crate::file::{self, Beside, of};
use crate::fuse;
use crate::graph::{Graph, Port, Weight};
use crate::masked;
use crate::program::Program;
use crate::value::{Context, Value};
use candle_core::{DType, Device};
use sconce_tensor_core::classifier::Caveat;
use sconce_tensor_core::{Error, Mode, Params, Result};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// How the graph of a file runs.
#[derive(Clone, Debug)]
pub struct ModelConfig {
    /// The outputs to compute; empty: all of them.
    pub outputs: Vec<String>,
    /// Whether several nodes become one pass over the data where a pattern is known. The result is the same up to rounding.
    pub fuse: bool,
    /// The type of all floating-point numbers, f32 or f64, whatever the file says.
    pub dtype: DType,
    /// The device.
    pub device: Device,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self { outputs: Vec::new(), fuse: true, dtype: DType::F32, device: Device::Cpu }
    }
}

/// An ONNX file as a differentiable function of its inputs and of its weights.
///
/// Nodes that the chosen outputs do not need are dropped, so that they may be of any kind. All floating-point numbers are of one type.
pub struct Model {
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    params: Params,
    program: Program,
    caveats: Vec<Caveat>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Model");
        shown.field("inputs", &self.inputs).field("outputs", &self.outputs);
        shown.field("weights", &self.params.count()).finish_non_exhaustive()
    }
}

impl Model {
    /// Reads a file.
    ///
    /// # Errors
    /// A file that is not a whole ONNX model, no output of a name, an operator that is not supported: with the file, the node and what
    /// to do.
    pub fn open(path: &Path, cfg: &ModelConfig) -> Result<Self> {
        let mut file = file::read(path)?;
        let graph = Graph::read(&mut file, &Beside::of(path)).map_err(of(path))?;
        Self::build(graph, cfg).map_err(of(path))
    }

    pub(crate) fn build(mut graph: Graph, cfg: &ModelConfig) -> Result<Self> {
        if !matches!(cfg.dtype, DType::F32 | DType::F64) {
            return Err(Error::config("ModelConfig.dtype", format!("must be F32 or F64, got {:?}", cfg.dtype)));
        }
        let names: Vec<String> = graph.outputs.iter().map(|p| p.name.clone()).collect();
        let wanted = if cfg.outputs.is_empty() { names } else { cfg.outputs.clone() };
        for name in &wanted {
            let there = graph.maker(name).is_some()
                || graph.constants.contains_key(name)
                || graph.inputs.iter().any(|p| p.name == *name);
            if !there {
                let known: Vec<&str> = graph.outputs.iter().map(|p| p.name.as_str()).collect();
                return Err(Error::value("output", format!("no node makes `{name}`; the outputs are {known:?}")));
            }
        }
        graph.keep(&wanted)?;
        // The first node of each operator.
        let mut seen = HashSet::new();
        let unsupported = graph.nodes.iter().filter_map(|n| Some((n, crate::ops::supported(n).err()?)));
        let unsupported: Vec<String> = unsupported
            .filter(|(n, _)| seen.insert(n.operator()))
            .map(|(n, why)| format!("{} (first at node `{}`): {why}", n.operator(), n.name))
            .collect();
        if !unsupported.is_empty() {
            return Err(Error::value("operators that are not supported", unsupported.join("; ")));
        }
        let outputs = wanted.iter().map(|name| port(&graph, name)).collect();
        // Where an output is a constant, it must survive as one.
        let (weights, host) = graph.weights()?;
        let caveats = masked::caveats(&graph, &|name| host.get(name).is_some_and(is_true));
        if let Some(depth) = graph.depth().filter(|d| *d > DEEPEST) {
            let reason = format!(
                "the graph is {depth} nodes deep; the gradient of more than {DEEPEST} needs more stack than a thread has"
            );
            return Err(Error::value("nodes", reason));
        }
        let shapes = weights.iter().map(|w| (w.name.clone(), w.value.dims().to_vec())).collect();
        let stages =
            if cfg.fuse { fuse::fused(&graph.nodes, &host, &shapes, &wanted)? } else { fuse::plain(&graph.nodes)? };
        let mut params = Params::new();
        let mut vars = Vec::new();
        for Weight { name, role, value } in weights {
            let value = value.to_dtype(cfg.dtype)?.to_device(&cfg.device)?;
            let var = params.add(name.as_str(), role, &value)?;
            vars.push((name, var));
        }
        let context = Context { dtype: cfg.dtype, device: cfg.device.clone(), draws: Default::default() };
        let inputs: Vec<String> = graph.inputs.iter().map(|p| p.name.clone()).collect();
        let host: HashMap<String, Value> = host.into_iter().map(|(n, a)| (n, a.into())).collect();
        let program = Program::new(stages, &inputs, host, vars, context)?;
        Ok(Self { inputs: graph.inputs, outputs, params, program, caveats })
    }

    /// The inputs, in order.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// The outputs that are computed, in order.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// The weights, by the names of the file.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The nodes that mask or randomise the gradient.
    pub fn caveats(&self) -> &[Caveat] {
        &self.caveats
    }

    /// The outputs for inputs by name.
    ///
    /// # Errors
    /// An input that is missing or unknown; an error of a node, by its name.
    pub fn run(&self, inputs: &[(&str, Value)], mode: Mode) -> Result<Vec<Value>> {
        let names: Vec<&str> = self.outputs.iter().map(|p| p.name.as_str()).collect();
        self.values(inputs, &names, mode)
    }

    /// Any values of the graph.
    pub(crate) fn values(&self, inputs: &[(&str, Value)], names: &[&str], mode: Mode) -> Result<Vec<Value>> {
        let mut given = Vec::new();
        for port in &self.inputs {
            let found = inputs.iter().find(|(n, _)| *n == port.name);
            let (_, value) = found.ok_or_else(|| Error::value("inputs", format!("`{}` is missing", port.name)))?;
            let value = match value {
                Value::Tensor(t) => Value::Tensor(t.to_dtype(self.program.context().dtype)?),
                v => v.clone(),
            };
            given.extend(self.program.slot(&port.name).map(|slot| (slot, value)));
        }
        if let Some((n, _)) = inputs.iter().find(|(n, _)| !self.inputs.iter().any(|p| p.name == *n)) {
            return Err(Error::value("inputs", format!("the model has no input `{n}`")));
        }
        let slot =
            |n: &&str| self.program.slot(n).ok_or_else(|| Error::value("output", format!("no node makes `{n}`")));
        let targets = names.iter().map(slot).collect::<Result<Vec<_>>>()?;
        self.program.run(given, &targets, mode)
    }
}

/// The longest path of nodes whose gradient is computed: candle's graph is walked and dropped by recursion.
const DEEPEST: usize = 4_000;

/// What is known of a value by name; for one inside the graph only its name.
fn port(graph: &Graph, name: &str) -> Port {
    let known = graph.outputs.iter().chain(&graph.inputs).find(|p| p.name == name).cloned();
    known.unwrap_or_else(|| Port { name: name.to_owned(), element: "float32".to_owned(), shape: Vec::new() })
}

fn is_true(a: &Array) -> bool {
    a.to_f64().first() == Some(&1.0)
}
