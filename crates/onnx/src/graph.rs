//! The graph of a file: which nodes an output needs, in order, and which constants are weights.

use crate::array::Array;
use crate::file::{Beside, Constant, element_name, read_tensor};
use crate::node::Node;
use crate::proto;
use candle_core::Tensor;
use sconce_tensor_core::Role;
use sconce_tensor_core::{Error, Result};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// An input or output of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Its element type, such as `float32`.
    pub element: String,
    /// Its sizes; `Err` holds the name of one that is given at run time. Empty also where the file does not say.
    pub shape: Vec<Result<usize, String>>,
}

impl Port {
    fn read(v: &proto::ValueInfo) -> Self {
        let tensor = v.kind.as_ref().and_then(|k| k.tensor.as_ref());
        let dim = |d: &proto::Dimension| match d.value.map(usize::try_from) {
            Some(Ok(n)) if n > 0 => Ok(n),
            _ => Err(d.name.clone().unwrap_or_else(|| "?".to_owned())),
        };
        Self {
            name: v.name.clone().unwrap_or_default(),
            element: tensor.map_or_else(|| "no tensor".to_owned(), |t| element_name(t.element.unwrap_or(0))),
            shape: tensor.and_then(|t| t.shape.as_ref()).map(|s| s.dim.iter().map(dim).collect()).unwrap_or_default(),
        }
    }

    /// `float32 (N, 3, 224, 224)`.
    pub fn describe(&self) -> String {
        let sizes: Vec<String> =
            self.shape.iter().map(|d| d.as_ref().map_or_else(Clone::clone, usize::to_string)).collect();
        format!("{} ({})", self.element, sizes.join(", "))
    }
}

/// A constant that is trained, or kept with what is trained.
#[derive(Clone, Debug)]
pub(crate) struct Weight {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) value: Tensor,
}

/// A model's graph.
#[derive(Clone)]
pub(crate) struct Graph {
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    /// In an order in which they can run.
    pub(crate) nodes: Vec<Node>,
    pub(crate) constants: HashMap<String, Constant>,
}

impl Graph {
    /// Reads a model's graph with all its constants.
    ///
    /// # Errors
    /// Constants that cannot be read, names that are given twice, a cycle.
    pub(crate) fn read(model: &mut proto::Model, beside: &Beside) -> Result<Self> {
        let graph = model.graph.take().unwrap_or_default();
        let opsets: BTreeMap<String, i64> = model
            .opset_import
            .iter()
            .map(|o| {
                let domain = o.domain.clone().unwrap_or_default();
                (if domain == "ai.onnx" { String::new() } else { domain }, o.version.unwrap_or(1))
            })
            .collect();
        if !graph.sparse_initializer.is_empty() {
            return Err(Error::value("initialisers", "sparse ones are not supported; store them dense"));
        }
        let mut constants = HashMap::new();
        for t in graph.initializer {
            let name = t.name.clone().unwrap_or_default();
            if constants.insert(name.clone(), read_tensor(&t, beside)?).is_some() {
                return Err(Error::value("initialisers", format!("`{name}` is there twice")));
            }
        }
        let mut nodes = Vec::new();
        for node in graph.node.iter().map(|n| Node::new(n, &opsets, beside)) {
            match constant(&node)? {
                Some(value) => {
                    let name = node.outputs.first().cloned().unwrap_or_default();
                    constants.insert(name, value);
                }
                None => nodes.push(node),
            }
        }
        // Files of the first IR versions list constants among the inputs, too.
        let inputs = graph.input.iter().map(Port::read).filter(|p| !constants.contains_key(&p.name)).collect();
        let outputs = graph.output.iter().map(Port::read).collect();
        Ok(Self { inputs, outputs, nodes: sorted(nodes)?, constants })
    }

    /// The inputs that some node reads.
    pub(crate) fn used(&self) -> Vec<Port> {
        let read: HashSet<&str> = self.nodes.iter().flat_map(|n| &n.inputs).map(String::as_str).collect();
        self.inputs.iter().filter(|p| read.contains(p.name.as_str())).cloned().collect()
    }

    /// The node that makes a value.
    pub(crate) fn maker(&self, value: &str) -> Option<&Node> {
        self.nodes.iter().find(|n| n.outputs.iter().any(|o| o == value))
    }

    /// Drops all nodes and constants that some values do not need.
    ///
    /// # Errors
    /// A value that nobody makes, with the node that reads it.
    pub(crate) fn keep(&mut self, values: &[String]) -> Result<()> {
        let mut needed: HashSet<String> = values.iter().cloned().collect();
        let mut kept = Vec::new();
        for node in std::mem::take(&mut self.nodes).into_iter().rev() {
            if node.outputs.iter().any(|o| !o.is_empty() && needed.contains(o)) {
                needed.extend(node.inputs.iter().filter(|i| !i.is_empty()).cloned());
                kept.push(node);
            }
        }
        kept.reverse();
        self.nodes = kept;
        self.constants.retain(|name, _| needed.contains(name));
        // An output that nobody reads is not asked for.
        for node in &mut self.nodes {
            for o in &mut node.outputs {
                if !needed.contains(o.as_str()) {
                    o.clear();
                }
            }
            while node.outputs.len() > 1 && node.op != "Split" && node.outputs.last().is_some_and(String::is_empty) {
                node.outputs.pop();
            }
        }
        let given = self.inputs.iter().map(|p| p.name.as_str()).chain(self.constants.keys().map(String::as_str));
        let mut made: HashSet<&str> = given.collect();
        for node in &self.nodes {
            if let Some(i) = node.inputs.iter().find(|i| !i.is_empty() && !made.contains(i.as_str())) {
                return Err(node.error(format!(
                    "its input `{i}` is neither an input of the model, nor a constant, nor made by a node"
                )));
            }
            made.extend(node.outputs.iter().map(String::as_str));
        }
        Ok(())
    }

    /// The number of nodes on the longest path from the input.
    pub(crate) fn depth(&self) -> Option<usize> {
        let dependent = self.dependent();
        let mut depths: HashMap<&str, usize> = HashMap::new();
        for n in self.nodes.iter().filter(|n| n.outputs.iter().any(|o| dependent.contains(o))) {
            let depth = 1 + n.inputs.iter().filter_map(|i| depths.get(i.as_str())).max().copied().unwrap_or(0);
            depths.extend(n.outputs.iter().map(|o| (o.as_str(), depth)));
        }
        depths.into_values().max()
    }

    /// The values that depend on the input's values (not only on its shape).
    pub(crate) fn dependent(&self) -> HashSet<String> {
        let mut all: HashSet<String> = self.inputs.iter().map(|p| p.name.clone()).collect();
        for n in &self.nodes {
            if !matches!(n.op.as_str(), "Shape" | "Size") && n.inputs.iter().any(|i| all.contains(i)) {
                all.extend(n.outputs.iter().filter(|o| !o.is_empty()).cloned());
            }
        }
        all
    }

    /// The values that only numbers on the host are made from: shapes, scales, bounds.
    fn on_host(&self, dependent: &HashSet<String>) -> HashSet<String> {
        let mut all: HashSet<String> = HashSet::new();
        // Readers come after what they read.
        for n in self.nodes.iter().rev() {
            let made = n.outputs.iter().any(|o| all.contains(o) && !dependent.contains(o));
            let read = n.inputs.iter().enumerate().filter(|(i, v)| !v.is_empty() && (made || reads_on_host(n, *i)));
            all.extend(read.map(|(_, v)| v.clone()));
        }
        all
    }

    /// Takes the weights out of the constants; the others stay, on the host. In the order of their first use.
    ///
    /// # Errors
    /// candle's only.
    pub(crate) fn weights(&mut self) -> Result<(Vec<Weight>, HashMap<String, Array>)> {
        let dependent = self.dependent();
        // What comes before the first layer with weights prepares the input: it is not trained.
        let mut prepared: BTreeSet<&str> = self.inputs.iter().map(|p| p.name.as_str()).collect();
        let (mut roles, mut seen): (Vec<(String, Role)>, HashSet<&str>) = Default::default();
        let mut host = self.on_host(&dependent);
        for node in &self.nodes {
            let before = node.inputs.iter().all(|i| !dependent.contains(i) || prepared.contains(i.as_str()));
            let prepares = !matches!(
                node.op.as_str(),
                "Conv" | "ConvTranspose" | "Gemm" | "MatMul" | "BatchNormalization" | "LayerNormalization"
            );
            for (i, name) in node.inputs.iter().enumerate() {
                let Some(constant) = self.constants.get(name) else { continue };
                match role(node, i, constant) {
                    None => {
                        host.insert(name.clone());
                    }
                    Some(role) if seen.insert(name) => {
                        roles.push((name.clone(), if before && prepares { Role::Buffer } else { role }));
                    }
                    Some(_) => {}
                }
            }
            if before && prepares {
                prepared.extend(node.outputs.iter().map(String::as_str));
            }
        }
        let mut weights = Vec::new();
        for (name, role) in roles {
            if host.contains(&name) {
                continue;
            }
            if let Some(Constant::Float(value)) = self.constants.remove(&name) {
                weights.push(Weight { name, role, value });
            }
        }
        let rest = std::mem::take(&mut self.constants);
        let rest = rest.into_iter().map(|(n, c)| Ok((n, crate::node::host(c)?))).collect::<Result<_>>()?;
        Ok((weights, rest))
    }
}

/// Whether a node needs an input's numbers on the host.
fn reads_on_host(node: &Node, input: usize) -> bool {
    match node.op.as_str() {
        "Reshape" | "Expand" | "Tile" | "Slice" | "Unsqueeze" | "Squeeze" | "Split" | "Gather" | "GatherElements"
        | "Resize" | "Upsample" | "Pad" | "Clip" | "Dropout" => input > 0,
        "ScatterND" => input == 1,
        "ConstantOfShape" | "Range" => true,
        op => op.starts_with("Reduce") && input == 1,
    }
}

/// What a constant is for, by the node that reads it: none for numbers that stay on the host.
fn role(node: &Node, input: usize, constant: &Constant) -> Option<Role> {
    let Constant::Float(t) = constant else { return None };
    let layer = match (node.op.as_str(), input) {
        ("Conv" | "ConvTranspose", 1) => Some(Role::Kernel),
        ("Conv" | "ConvTranspose" | "Gemm", 2) => Some(Role::Bias),
        ("Gemm", 0 | 1) | ("MatMul", _) => Some(Role::Weight),
        ("BatchNormalization", 3 | 4) => Some(Role::Buffer),
        ("BatchNormalization" | "LayerNormalization" | "InstanceNormalization" | "GroupNormalization", 1)
        | ("PRelu", 1) => Some(Role::Scale),
        ("BatchNormalization" | "LayerNormalization" | "InstanceNormalization" | "GroupNormalization", 2) => {
            Some(Role::Shift)
        }
        _ => None,
    };
    if layer.is_some() || t.elem_count() <= 1 {
        return layer;
    }
    match (node.op.as_str(), input) {
        ("Resize" | "Upsample" | "Pad" | "Clip" | "Range" | "Dropout" | "QuantizeLinear" | "DequantizeLinear", i)
            if i > 0 =>
        {
            None
        }
        ("Pow", 1) | ("CastLike", 1) | ("Shape" | "Size", _) => None,
        ("Mul" | "Div", _) => Some(Role::Scale),
        ("Add" | "Sub", _) => Some(Role::Bias),
        _ => Some(Role::Weight),
    }
}

/// The value of a node that is a constant.
fn constant(node: &Node) -> Result<Option<Constant>> {
    if node.op != "Constant" || !node.domain.is_empty() {
        return Ok(None);
    }
    let a = node.attributes();
    let single = |v: Vec<f64>, shape: &[usize]| -> Result<Constant> {
        let v: Vec<f32> = v.into_iter().map(|v| v as f32).collect();
        Ok(Constant::Float(Tensor::from_vec(v, shape, &candle_core::Device::Cpu)?))
    };
    let value = if let Some(t) = a.tensor("value")? {
        t
    } else if a.has("value_float") {
        single(vec![a.float("value_float", 0.0)?], &[])?
    } else if let Some(v) = a.floats("value_floats")? {
        let n = v.len();
        single(v, &[n])?
    } else if a.has("value_int") {
        Constant::Host(Array::new(Vec::new(), crate::array::Data::Int(vec![a.int("value_int", 0)?]))?)
    } else if let Some(v) = a.ints("value_ints")? {
        Constant::Host(Array::ints(v))
    } else {
        return Err(node.error("a constant must be a dense tensor of numbers"));
    };
    a.finish()?;
    Ok(Some(value))
}

/// The nodes in an order in which each finds its inputs; mostly the file's.
fn sorted(nodes: Vec<Node>) -> Result<Vec<Node>> {
    let mut made: HashMap<&str, usize> = HashMap::new();
    for (i, n) in nodes.iter().enumerate() {
        for o in n.outputs.iter().filter(|o| !o.is_empty()) {
            if made.insert(o, i).is_some() {
                return Err(n.error(format!("`{o}` is made by another node, too")));
            }
        }
    }
    let sources: Vec<Vec<usize>> =
        nodes.iter().map(|n| n.inputs.iter().filter_map(|i| made.get(i.as_str()).copied()).collect()).collect();
    // Depth first without recursion: a file can be deeper than a stack.
    let (mut order, mut state) = (Vec::with_capacity(nodes.len()), vec![0u8; nodes.len()]);
    for start in 0..nodes.len() {
        let mut stack = vec![(start, 0)];
        while let Some((at, next)) = stack.pop() {
            if state[at] == 2 {
                continue;
            }
            state[at] = 1;
            match sources[at].get(next) {
                Some(s) if state[*s] == 1 => return Err(nodes[at].error("it depends on its own output")),
                Some(s) => stack.extend([(at, next + 1), (*s, 0)]),
                None => {
                    state[at] = 2;
                    order.push(at);
                }
            }
        }
    }
    let mut all: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|i| all[i].take()).collect())
}
