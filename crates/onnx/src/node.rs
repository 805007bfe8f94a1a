//! One node with its attributes, as the operations read it.

use crate::array::Array;
use crate::file::{Beside, Constant, read_tensor};
use crate::proto;
use sconce_tensor_core::{Error, Result};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// A node of the graph.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Its name; for a node without one, that of its first output.
    pub(crate) name: String,
    pub(crate) op: String,
    /// Empty for the operators of ONNX itself.
    pub(crate) domain: String,
    /// The version of the operator set that its domain is imported with.
    pub(crate) opset: i64,
    /// Empty names stand for optional inputs that are left out.
    pub(crate) inputs: Vec<String>,
    pub(crate) outputs: Vec<String>,
    attributes: BTreeMap<String, proto::Attribute>,
    beside: Beside,
}

impl Node {
    pub(crate) fn new(node: &proto::Node, opsets: &BTreeMap<String, i64>, beside: &Beside) -> Self {
        let text = |t: &Option<String>| t.clone().unwrap_or_default();
        let domain = text(&node.domain);
        let domain = if domain == "ai.onnx" { String::new() } else { domain };
        let first = node.output.first().cloned().unwrap_or_default();
        Self {
            name: node.name.clone().filter(|n| !n.is_empty()).unwrap_or(first),
            op: text(&node.op_type),
            opset: opsets.get(&domain).copied().unwrap_or(1),
            domain,
            inputs: node.input.clone(),
            outputs: node.output.clone(),
            attributes: node.attribute.iter().map(|a| (text(&a.name), a.clone())).collect(),
            beside: beside.clone(),
        }
    }

    /// `Conv` or, in another domain, `com.microsoft::FusedConv`.
    pub(crate) fn operator(&self) -> String {
        if self.domain.is_empty() { self.op.clone() } else { format!("{}::{}", self.domain, self.op) }
    }

    /// The node in messages.
    pub(crate) fn place(&self) -> String {
        format!("node `{}` ({})", self.name, self.operator())
    }

    /// An error of this node.
    pub(crate) fn error(&self, reason: impl Into<String>) -> Error {
        Error::value(self.place(), reason)
    }

    /// How many outputs are used by name.
    pub(crate) fn wants(&self, output: usize) -> bool {
        self.outputs.get(output).is_some_and(|o| !o.is_empty())
    }

    /// Refuses outputs from the given number on.
    pub(crate) fn only(&self, outputs: usize) -> Result<()> {
        match self.outputs.iter().skip(outputs).find(|o| !o.is_empty()) {
            Some(o) => Err(self.error(format!("its output `{o}` is not supported; only the first {outputs} are"))),
            None => Ok(()),
        }
    }

    /// The attributes, to be read each by name.
    pub(crate) fn attributes(&self) -> Attributes<'_> {
        Attributes { node: self, read: RefCell::default() }
    }
}

/// Attributes that remember which of them were read: one that no code knows could change the result.
pub(crate) struct Attributes<'a> {
    node: &'a Node,
    read: RefCell<BTreeSet<&'static str>>,
}

impl Attributes<'_> {
    fn get(&self, name: &'static str, kind: i32) -> Result<Option<&proto::Attribute>> {
        self.read.borrow_mut().insert(name);
        let Some(a) = self.node.attributes.get(name) else { return Ok(None) };
        if a.ref_attr_name.as_deref().is_some_and(|n| !n.is_empty()) {
            return Err(self
                .node
                .error(format!("attribute `{name}` refers to one of a function, outside of any function")));
        }
        // Files of the first IR versions do not say the type.
        match a.kind {
            Some(k) if k != 0 && k != kind => {
                Err(self.node.error(format!("attribute `{name}` has type {k}, not {kind}")))
            }
            _ => Ok(Some(a)),
        }
    }

    /// Whether the attribute is there.
    pub(crate) fn has(&self, name: &'static str) -> bool {
        self.node.attributes.contains_key(name)
    }

    pub(crate) fn float(&self, name: &'static str, default: f64) -> Result<f64> {
        // A float's shortest digits: 1e-5 is meant, not its neighbour in 32 bits.
        let exact = |f: f32| f.to_string().parse().unwrap_or(f64::from(f));
        Ok(self.get(name, 1)?.map_or(default, |a| exact(a.f.unwrap_or(0.0))))
    }

    pub(crate) fn int(&self, name: &'static str, default: i64) -> Result<i64> {
        Ok(self.get(name, 2)?.map_or(default, |a| a.i.unwrap_or(0)))
    }

    /// An attribute that is 0 or 1.
    pub(crate) fn flag(&self, name: &'static str, default: bool) -> Result<bool> {
        Ok(self.int(name, i64::from(default))? != 0)
    }

    pub(crate) fn text(&self, name: &'static str, default: &str) -> Result<String> {
        let text = self.get(name, 3)?.map(|a| String::from_utf8_lossy(a.s.as_deref().unwrap_or_default()).into_owned());
        Ok(text.unwrap_or_else(|| default.to_owned()))
    }

    pub(crate) fn ints(&self, name: &'static str) -> Result<Option<Vec<i64>>> {
        Ok(self.get(name, 7)?.map(|a| a.ints.clone()))
    }

    pub(crate) fn floats(&self, name: &'static str) -> Result<Option<Vec<f64>>> {
        Ok(self.get(name, 6)?.map(|a| a.floats.iter().map(|f| f64::from(*f)).collect()))
    }

    pub(crate) fn tensor(&self, name: &'static str) -> Result<Option<Constant>> {
        let found = self.get(name, 4)?.and_then(|a| a.t.as_ref());
        found.map(|t| read_tensor(t, &self.node.beside)).transpose().map_err(|e| self.node.error(e.to_string()))
    }

    /// Sizes of at least `least`, one for each of `rank` axes.
    pub(crate) fn check(&self, name: &str, given: &[i64], rank: usize, least: i64) -> Result<Vec<usize>> {
        if given.len() != rank || given.iter().any(|v| *v < least || *v > i64::from(u32::MAX)) {
            let reason = format!("attribute `{name}` must be {rank} numbers of at least {least}, but is {given:?}");
            return Err(self.node.error(reason));
        }
        Ok(given.iter().map(|v| *v as usize).collect())
    }

    /// Refuses what was not read.
    pub(crate) fn finish(&self) -> Result<()> {
        let read = self.read.borrow();
        match self.node.attributes.keys().find(|k| !read.contains(k.as_str())) {
            Some(k) => {
                Err(self.node.error(format!("its attribute `{k}` is not known for operator set {}", self.node.opset)))
            }
            None => Ok(()),
        }
    }

    /// The error of the node.
    pub(crate) fn error(&self, reason: impl Into<String>) -> Error {
        self.node.error(reason)
    }
}

/// An axis of a tensor of some rank, counted from the end where it is negative.
pub(crate) fn axis(axis: i64, rank: usize) -> Result<usize> {
    let at = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(at)
        .ok()
        .filter(|a| *a < rank)
        .ok_or_else(|| Error::value("axis", format!("{axis} is outside of a tensor of {rank} axes")))
}

/// A constant as whole numbers on the host.
pub(crate) fn host(c: Constant) -> Result<Array> {
    match c {
        Constant::Host(a) => Ok(a),
        Constant::Float(t) => crate::value::Value::Tensor(t).to_array(),
    }
}
