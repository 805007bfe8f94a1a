//! An ONNX file as a classifying network.

use crate::file::{self, Beside, of};
use crate::form::Form;
use crate::graph::{Graph, Port};
use crate::model::{Model, ModelConfig};
use crate::output::{End, Peeled, choose, peel};
use crate::scores::{columns, differ, rows};
use crate::value::{MOST_ELEMENTS, Value, within};
use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::classifier::{Caveat, Effect};
use sconce_tensor_core::nn::Normalize;
use sconce_tensor_core::{Bounds, Error, Mode, Module, Network, Params, Result, Rng};
use std::path::{Path, PathBuf};

/// The order of an image's axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Channels first, as PyTorch has it.
    Nchw,
    /// Channels last, as TensorFlow has it.
    Nhwc,
}

/// How a file becomes a classifier of examples.
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `example` | empty | the shape of one example of the data, such as (3, 224, 224) | not empty |
/// | `output` | none | the output, or any value of the graph; none: the first with floating-point numbers | |
/// | `layout` | none | the order of axes that the model expects; none: read off its input's shape | |
/// | `range` | none | the interval that [0, 1] of the data is mapped to; none: [0, 1], or [0, 255] for an input of bytes | finite, increasing |
/// | `normalize` | none | means and deviations of channels, in [0, 1] | not with `range` |
/// | `raw` | false | the outputs as the file has them: no operation at the end is left out, and one output is one | |
/// | `fuse` | true | several nodes as one pass | |
/// | `dtype`, `device` | f32, CPU | | f32 or f64 |
#[derive(Clone, Debug)]
pub struct OnnxConfig {
    /// The shape of one example of the data.
    pub example: Vec<usize>,
    /// The output, or any value of the graph.
    pub output: Option<String>,
    /// The order of axes that the model expects.
    pub layout: Option<Layout>,
    /// The interval that [0, 1] of the data is mapped to.
    pub range: Option<(f64, f64)>,
    /// Means and deviations of channels.
    pub normalize: Option<Normalize>,
    /// The outputs as the file has them.
    pub raw: bool,
    /// Several nodes as one pass.
    pub fuse: bool,
    /// The type of all floating-point numbers.
    pub dtype: DType,
    /// The device.
    pub device: Device,
}

impl Default for OnnxConfig {
    fn default() -> Self {
        let ModelConfig { fuse, dtype, device, .. } = ModelConfig::default();
        Self {
            example: Vec::new(),
            output: None,
            layout: None,
            range: None,
            normalize: None,
            raw: false,
            fuse,
            dtype,
            device,
        }
    }
}

/// How the examples of one batch reach the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Batch {
    /// Any number at once.
    Any,
    /// This many at once; the last ones are repeated to fill them.
    Fixed(usize),
    /// One example, repeated this many times: the outputs of one depend on the others.
    Alone(usize),
}

/// An ONNX file as a [`Network`]: a [`Classifier`](sconce_tensor_core::Classifier) of images in [0, 1] whose gradients reach the input and the weights.
///
/// A Softmax, LogSoftmax or Sigmoid at the end is left out, so that the outputs are logits. A network with one output z is two classes
/// with the logits (0, z). Normalisation layers keep the file's statistics in every [`Mode`].
pub struct OnnxNet {
    model: Model,
    input: Port,
    output: String,
    features: Option<String>,
    form: Form,
    batch: Batch,
    outputs: usize,
    /// The number of axes of the output.
    rank: usize,
    raw: bool,
    peeled: Option<Peeled>,
    notes: Vec<String>,
    files: Vec<PathBuf>,
}

impl OnnxNet {
    /// Reads a file and tries it on two examples.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field; a file that is not a whole ONNX model or has operators that are not supported; more than one
    /// input; examples that do not fit the input; an output that is not one row of scores for each example.
    pub fn open(path: &Path, cfg: &OnnxConfig) -> Result<Self> {
        if cfg.example.is_empty() || cfg.example.contains(&0) {
            return Err(Error::config(
                "OnnxConfig.example",
                format!("must be the shape of one example, got {:?}", cfg.example),
            ));
        }
        if let Some((lo, hi)) = cfg.range {
            Bounds::new(lo, hi).map_err(|e| Error::config("OnnxConfig.range", e.to_string()))?;
        }
        if cfg.range.is_some_and(|r| r != (0.0, 1.0)) && cfg.normalize.is_some() {
            return Err(Error::config(
                "OnnxConfig.range",
                "cannot be given together with `normalize`, which is in [0, 1]",
            ));
        }
        let (mut file, beside) = (file::read(path)?, Beside::of(path));
        let graph = Graph::read(&mut file, &beside).map_err(of(path))?;
        Ok(Self { files: beside.files(), ..Self::build(graph, cfg).map_err(of(path))? })
    }

    fn build(graph: Graph, cfg: &OnnxConfig) -> Result<Self> {
        let named = choose(&graph, cfg.output.as_deref())?;
        let end = if cfg.raw { End::whole(&named) } else { peel(&graph, &named) };
        if end.peeled.is_none() {
            return Self::ending(graph, cfg, &named, &end);
        }
        let net = Self::ending(graph.clone(), cfg, &named, &end);
        // A softmax over anything but the classes is part of the function.
        match net {
            Ok(net) if end.fits(net.rank) => Ok(net),
            _ => Self::ending(graph, cfg, &named, &End::whole(&named)),
        }
    }

    fn ending(mut graph: Graph, cfg: &OnnxConfig, named: &str, end: &End) -> Result<Self> {
        let mut notes = Vec::new();
        if cfg.output.is_none() && graph.outputs.len() > 1 {
            let all: Vec<&str> = graph.outputs.iter().map(|p| p.name.as_str()).collect();
            notes.push(format!("of the outputs {all:?}, `{named}` is taken"));
        }
        let (output, peeled) = (end.value.clone(), end.peeled.map(|p| p.0));
        if let Some(p) = peeled {
            notes.push(format!("the {} at the end is left out: attacks need the values before it", p.name()));
        }
        graph.keep(std::slice::from_ref(&output))?;
        let used = graph.used();
        let [input] = &used[..] else {
            let all: Vec<String> = used.iter().map(|p| format!("`{}` {}", p.name, p.describe())).collect();
            let reason =
                format!("the output `{output}` needs {} inputs ({}); a classifier has one", used.len(), all.join(", "));
            return Err(Error::value("inputs", reason));
        };
        let input = input.clone();
        graph.inputs.retain(|p| p.name == input.name);
        let form = Form::new(&input, cfg, &mut notes)?;
        let features = features(&graph, &output);
        let model =
            ModelConfig { outputs: vec![output.clone()], fuse: cfg.fuse, dtype: cfg.dtype, device: cfg.device.clone() };
        let model = Model::build(graph, &model)?;
        let batch = match input.shape.first() {
            Some(Ok(n)) => Batch::Fixed(*n),
            _ => Batch::Any,
        };
        let mut net = Self {
            model,
            input,
            output,
            features,
            form,
            batch,
            outputs: 0,
            rank: 0,
            raw: cfg.raw,
            peeled,
            notes,
            files: Vec::new(),
        };
        net.probe(cfg)?;
        Ok(net)
    }

    /// Finds the number of outputs, and how many examples can run at once.
    fn probe(&mut self, cfg: &OnnxConfig) -> Result<()> {
        let shape = |n: usize| [&[n], self.form.example.as_slice()].concat();
        within(&shape(1), MOST_ELEMENTS)?;
        let x = Rng::new(0).stream("onnx-probe").uniform(shape(2), 0.0..1.0, cfg.dtype, &cfg.device)?;
        let n = match self.batch {
            Batch::Fixed(n) => n,
            _ => 1,
        };
        if within(&shape(n), MOST_ELEMENTS).is_err() {
            let reason = format!("the graph has a batch size of {n} built in, which is too large");
            return Err(Error::value("input", reason));
        }
        // Both examples, each with copies of itself.
        let one =
            |i: usize| -> Result<Tensor> { self.raw(&Tensor::cat(&vec![x.narrow(0, i, 1)?; n], 0)?, Mode::Frozen) };
        let alone = [one(0)?, one(1)?];
        (self.outputs, self.rank) = (columns(&alone[0], n, &self.output)?, alone[0].rank());
        let row = |y: &Tensor, of: usize, i: usize| -> Result<Tensor> {
            Ok(rows(y, of, self.outputs, &self.output)?.narrow(0, i, 1)?)
        };
        let alone = [row(&alone[0], n, 0)?, row(&alone[1], n, 0)?];
        // Side by side, the second one as often as there is room.
        let mixed = match self.batch {
            Batch::Any => self.raw(&x, Mode::Frozen).and_then(|y| Ok([row(&y, 2, 0)?, row(&y, 2, 1)?])),
            _ if n == 1 => Ok(alone.clone()),
            _ => {
                let second = Tensor::cat(&vec![x.narrow(0, 1, 1)?; n - 1], 0)?;
                let y = self.raw(&Tensor::cat(&[x.narrow(0, 0, 1)?, second], 0)?, Mode::Frozen)?;
                Ok([row(&y, n, 0)?, row(&y, n, 1)?])
            }
        };
        let depends = match &mixed {
            Ok(mixed) if self.is_deterministic() => differ(&mixed[0], &alone[0])? || differ(&mixed[1], &alone[1])?,
            _ => false,
        };
        let mut note = |text: String| self.notes.push(text);
        match (self.batch, mixed) {
            (Batch::Any, Err(_)) => {
                self.batch = Batch::Fixed(1);
                note("the graph works for one example at a time only, so each runs alone".to_owned());
            }
            _ if depends => {
                self.batch = Batch::Alone(n);
                note(
                    "the outputs of an example depend on the other examples of its batch, so each runs alone"
                        .to_owned(),
                );
            }
            (Batch::Fixed(1), _) => {
                note("the graph has a batch size of 1 built in, so each example runs alone, which is slow; export it with a dynamic batch".to_owned());
            }
            (Batch::Fixed(n), _) => {
                note(format!("the graph has a batch size of {n} built in: examples run in batches of {n}"))
            }
            _ => {}
        }
        if self.outputs == 1 && !self.raw {
            let from = if self.peeled.is_some() {
                ""
            } else {
                ", taken as a logit (a probability would be wrong here: name the value before it)"
            };
            note(format!("one output is two classes: the second one where it is above 0{from}"));
        }
        Ok(())
    }

    fn is_deterministic(&self) -> bool {
        !self.model.caveats().iter().any(|c| c.effect == Effect::Random)
    }

    /// What is worth knowing of how the file was read, one sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The files beside the model that weights were read from.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The operation at the end that was left out.
    pub fn peeled(&self) -> Option<Peeled> {
        self.peeled
    }

    /// The input as the file declares it.
    pub fn input(&self) -> &Port {
        &self.input
    }

    /// The graph's output for examples that are prepared and fit its batch.
    fn raw(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.value(&self.output, x, mode)
    }

    fn value(&self, name: &str, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let given = [(self.input.name.as_str(), Value::Tensor(self.form.prepare(x)?))];
        match self.model.values(&given, &[name], mode)?.pop() {
            Some(Value::Tensor(t)) => Ok(t),
            Some(v) => {
                Err(Error::value("output", format!("`{name}` has {} values, not floating-point numbers", v.kind())))
            }
            None => Err(Error::value("output", format!("no node makes `{name}`"))),
        }
    }

    /// A value of the graph, (N, D), for any number of examples.
    fn batched(
        &self,
        name: &str,
        x: &Tensor,
        mode: Mode,
        take: impl Fn(&Tensor, usize) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let n = x.dim(0)?;
        let (size, alone) = match self.batch {
            Batch::Any => return take(&self.value(name, x, mode)?, n),
            Batch::Fixed(b) => (b, false),
            Batch::Alone(b) => (b, true),
        };
        let step = if alone { 1 } else { size };
        let mut all = Vec::with_capacity(n.div_ceil(step));
        for at in (0..n).step_by(step) {
            let given = step.min(n - at);
            let part = x.narrow(0, at, given)?;
            let full = if given == size {
                part
            } else {
                // Copies of one example are part of its function; those that fill the last batch are not.
                let last = part.narrow(0, given - 1, 1)?;
                let last = if alone { last } else { last.detach() };
                Tensor::cat(&[&[part], vec![last; size - given].as_slice()].concat(), 0)?
            };
            all.push(take(&self.value(name, &full, mode)?, size)?.narrow(0, 0, given)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Tensor::cat(&all, 0)? })
    }

    fn check(&self, x: &Tensor) -> Result<()> {
        let fits = x.rank() > 0 && x.dims()[1..] == self.form.example && x.dims()[0] > 0;
        let expected =
            || format!("(N, {})", self.form.example.iter().map(usize::to_string).collect::<Vec<_>>().join(", "));
        if fits { Ok(()) } else { Err(Error::shape("input", expected(), x.dims())) }
    }
}

impl std::fmt::Debug for OnnxNet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("OnnxNet");
        shown.field("input", &self.input).field("output", &self.output).field("outputs", &self.outputs);
        shown.field("weights", &self.model.params().count()).finish_non_exhaustive()
    }
}

impl Module for OnnxNet {
    fn params(&self) -> &Params {
        self.model.params()
    }
}

impl Network for OnnxNet {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.check(x)?;
        let y = self.batched(&self.output, x, mode, |y, n| rows(y, n, self.outputs, &self.output))?;
        // One score is that of the second class against 0.
        Ok(if self.outputs == 1 && !self.raw { Tensor::cat(&[y.zeros_like()?, y], 1)? } else { y })
    }

    fn features(&self, x: &Tensor) -> Result<Tensor> {
        self.check(x)?;
        let name = self.features.as_ref().ok_or_else(|| Error::Unsupported {
            what: "penultimate features",
            reason: "the last node is no matrix product with weights; use the outputs".to_owned(),
        })?;
        self.batched(name, x, Mode::Frozen, |y, n| match y.dims() {
            [rows, _] if *rows == n => Ok(y.clone()),
            got => Err(Error::shape("penultimate features", format!("({n}, D)"), got)),
        })
    }

    fn outputs(&self) -> usize {
        if self.raw { self.outputs } else { self.outputs.max(2) }
    }

    fn gradient_caveats(&self) -> Vec<Caveat> {
        self.model.caveats().to_vec()
    }
}

/// The input of the last matrix product, if the output is one with weights of the file.
fn features(graph: &Graph, output: &str) -> Option<String> {
    let node = graph.maker(output)?;
    let weight = |n: &crate::node::Node| n.inputs.get(1).is_some_and(|w| graph.constants.contains_key(w));
    let product = match node.op.as_str() {
        "Gemm" | "MatMul" => node,
        "Add" => node.inputs.iter().filter_map(|i| graph.maker(i)).find(|n| n.op == "MatMul")?,
        _ => return None,
    };
    weight(product).then(|| product.inputs[0].clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto;

    /// A graph of one node after another, each with integer attributes.
    fn chain(nodes: &[(&str, &[(&str, i64)])], opset: i64) -> Result<OnnxNet> {
        let some = |t: &str| Some(t.to_owned());
        let attribute = |(name, i): &(&str, i64)| proto::Attribute {
            name: some(name),
            i: Some(*i),
            kind: Some(2),
            ..Default::default()
        };
        let made: Vec<proto::Node> = nodes
            .iter()
            .enumerate()
            .map(|(i, (op, attributes))| proto::Node {
                input: vec![format!("v{i}")],
                output: vec![format!("v{}", i + 1)],
                op_type: some(op),
                attribute: attributes.iter().map(attribute).collect(),
                ..Default::default()
            })
            .collect();
        let port = |name: String| {
            let tensor = proto::TensorType { element: Some(1), shape: None };
            proto::ValueInfo { name: Some(name), kind: Some(proto::Type { tensor: Some(tensor) }) }
        };
        let graph = proto::Graph {
            input: vec![port("v0".to_owned())],
            output: vec![port(format!("v{}", nodes.len()))],
            node: made,
            ..Default::default()
        };
        let opset_import = vec![proto::OperatorSet { domain: None, version: Some(opset) }];
        let mut model = proto::Model { graph: Some(graph), opset_import, ..Default::default() };
        let graph = Graph::read(&mut model, &Beside::of(Path::new("m.onnx")))?;
        OnnxNet::build(graph, &OnnxConfig { example: vec![4], dtype: DType::F64, ..OnnxConfig::default() })
    }

    fn host(t: &Tensor) -> Vec<f64> {
        t.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn only_a_softmax_over_the_classes_is_left_out() {
        for (axis, opset, peeled) in [(1, 13, true), (-1, 13, true), (0, 13, false), (1, 11, true), (0, 11, false)] {
            let net = chain(&[("Neg", &[]), ("Softmax", &[("axis", axis)])], opset).unwrap();
            assert_eq!(net.peeled().is_some(), peeled, "axis {axis} of set {opset}");
        }
        // Over the classes of (N, 4, 1), whose last axis has one element.
        let wide: (&str, &[(&str, i64)]) = ("Flatten", &[("axis", 1)]);
        assert!(chain(&[wide, ("Softmax", &[])], 13).unwrap().peeled().is_some());
    }

    /// Over the batch, an example's outputs depend on the others, so each runs alone.
    #[test]
    fn an_example_whose_outputs_depend_on_its_batch_runs_alone() {
        let net = chain(&[("Neg", &[]), ("Softmax", &[("axis", 0)])], 13).unwrap();
        assert!(net.notes().iter().any(|n| n.contains("runs alone")), "{:?}", net.notes());
        let x = Rng::new(1).normal((3, 4), 0.0, 1.0, DType::F64, &Device::Cpu).unwrap();
        let y = net.forward(&x, Mode::Frozen).unwrap();
        assert_eq!((y.dims(), host(&y)), (&[3, 4][..], vec![1.0; 12]));
    }

    /// The gradient of a deeper graph would overflow the stack.
    #[test]
    fn a_graph_that_is_too_deep_is_refused() {
        let nodes: Vec<(&str, &[(&str, i64)])> = vec![("Neg", &[]); 5_000];
        let e = chain(&nodes, 13).unwrap_err().to_string();
        assert!(e.contains("5000 nodes deep"), "{e}");
    }
}
