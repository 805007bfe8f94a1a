//! The few messages of an ONNX file (onnx.proto, IR version 8, operator set 13) that a network of convolutions needs, for writing.

use anyhow::Result;
use candle_core::Tensor;
use prost::Message;

const FLOAT: i32 = 1;
const INT: i32 = 2;
const INTS: i32 = 7;

#[derive(Clone, PartialEq, Message)]
pub struct Model {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSet>,
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSet {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Constant>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<Port>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<Port>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, optional, tag = "3")]
    i: Option<i64>,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    kind: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Constant {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Port {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Message)]
struct Kind {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorKind>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorKind {
    #[prost(int32, tag = "1")]
    element: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    dims: Vec<Dim>,
}

/// A number, or the name of a number that is known later.
#[derive(Clone, PartialEq, Message)]
struct Dim {
    #[prost(int64, optional, tag = "1")]
    value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
}

/// An attribute with a list of numbers.
pub fn ints(name: &str, values: &[usize]) -> Attribute {
    let ints = values.iter().map(|v| *v as i64).collect();
    Attribute { name: name.to_owned(), i: None, ints, kind: INTS }
}

/// An attribute with one number.
pub fn int(name: &str, value: usize) -> Attribute {
    Attribute { name: name.to_owned(), i: Some(value as i64), ints: Vec::new(), kind: INT }
}

impl Graph {
    /// Adds a constant.
    pub fn constant(&mut self, name: &str, t: &Tensor) -> Result<()> {
        let raw_data = t.flatten_all()?.to_vec1::<f32>()?.iter().flat_map(|v| v.to_le_bytes()).collect();
        let dims = t.dims().iter().map(|d| *d as i64).collect();
        self.initializer.push(Constant { dims, data_type: FLOAT, name: name.to_owned(), raw_data });
        Ok(())
    }

    /// Adds a node; returns the name of its output.
    pub fn node(&mut self, op: &str, inputs: &[&str], attribute: Vec<Attribute>) -> String {
        let output = format!("v{}", self.node.len());
        let input = inputs.iter().map(|&i| i.to_owned()).collect();
        self.node.push(Node { input, output: vec![output.clone()], op_type: op.to_owned(), attribute });
        output
    }

    /// The file's bytes; shapes are those of one example and of its outputs.
    pub fn encode(mut self, (input, example): (&str, &[usize]), (output, outputs): (&str, &[usize])) -> Vec<u8> {
        let port = |name: &str, rest: &[usize]| {
            let batch = Dim { value: None, name: Some("batch".to_owned()) };
            let rest = rest.iter().map(|d| Dim { value: Some(*d as i64), name: None });
            let shape = Some(Shape { dims: std::iter::once(batch).chain(rest).collect() });
            let kind = Some(Kind { tensor: Some(TensorKind { element: FLOAT, shape }) });
            Port { name: name.to_owned(), kind }
        };
        "network".clone_into(&mut self.name);
        self.input = vec![port(input, example)];
        self.output = vec![port(output, outputs)];
        let set = OperatorSet { domain: String::new(), version: 13 };
        Model { ir_version: 8, graph: Some(self), opset_import: vec![set] }.encode_to_vec()
    }
}
