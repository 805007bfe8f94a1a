//! An ONNX network: the gradient of ResNet-50 at its input. The file is written here, as exporters write it: batch norm is in the convolutions.

mod file;

use super::{Exchange, Work, images};
use anyhow::Result;
use candle_core::DType;
use file::{Graph, int, ints};
use sconce_onnx::{OnnxConfig, OnnxNet};
use sconce_tensor_core::Rng;

const BATCH: usize = 4;
const SIDE: usize = 224;
const CLASSES: usize = 1000;
/// Blocks of the four stages.
const BLOCKS: [usize; 4] = [3, 4, 6, 3];

/// The file while it grows, and the multiplications of one image.
struct Writer<'a> {
    graph: Graph,
    out: &'a mut Exchange,
    products: usize,
}

impl Writer<'_> {
    /// A weight with values for ReLU, `gain` times as large, and a bias.
    fn weights(&mut self, name: &str, shape: &[usize], gain: f64) -> Result<[String; 2]> {
        let names = [format!("{name}.weight"), format!("{name}.bias")];
        let fan: usize = shape[1..].iter().product();
        for (name, shape, std) in [(&names[0], shape, gain * (2.0 / fan as f64).sqrt()), (&names[1], &shape[..1], 0.01)]
        {
            if !self.out.kept() {
                continue;
            }
            let t = Rng::new(0).stream(name).normal(shape, 0.0, std, DType::F32, &self.out.device)?;
            self.graph.constant(name, &t)?;
            self.out.put(name, &t)?;
        }
        Ok(names)
    }

    /// A convolution from maps of a side; returns its output and that one's side.
    fn conv(
        &mut self,
        name: &str,
        (x, side): (&str, usize),
        (from, to): (usize, usize),
        (k, stride): (usize, usize),
        gain: f64,
    ) -> Result<(String, usize)> {
        let [w, b] = self.weights(name, &[to, from, k, k], gain)?;
        let side = side.div_ceil(stride);
        self.products += from * to * k * k * side * side;
        let attributes = vec![ints("kernel_shape", &[k; 2]), ints("strides", &[stride; 2]), ints("pads", &[k / 2; 4])];
        Ok((self.graph.node("Conv", &[x, &w, &b], attributes), side))
    }

    fn relu(&mut self, (x, side): (String, usize)) -> (String, usize) {
        (self.graph.node("Relu", &[&x], vec![]), side)
    }

    /// 1x1, 3x3 with the stride, 1x1 to four times the channels, and the shortcut. A small last gain keeps sums of many blocks small.
    fn block(
        &mut self,
        name: &str,
        (x, side): (String, usize),
        (from, width): (usize, usize),
        stride: usize,
    ) -> Result<(String, usize)> {
        let h = self.conv(&format!("{name}.conv1"), (&x, side), (from, width), (1, 1), 1.0)?;
        let h = self.relu(h);
        let h = self.conv(&format!("{name}.conv2"), (&h.0, h.1), (width, width), (3, stride), 1.0)?;
        let h = self.relu(h);
        let h = self.conv(&format!("{name}.conv3"), (&h.0, h.1), (width, 4 * width), (1, 1), 0.25)?;
        let skip = if from == 4 * width {
            x
        } else {
            self.conv(&format!("{name}.downsample"), (&x, side), (from, 4 * width), (1, stride), 0.7)?.0
        };
        let sum = self.graph.node("Add", &[&h.0, &skip], vec![]);
        Ok(self.relu((sum, h.1)))
    }
}

/// Writes the file where it is wanted; returns the multiplications of one image.
fn write(out: &mut Exchange) -> Result<usize> {
    let mut w = Writer { graph: Graph::default(), out, products: 0 };
    let x = w.conv("conv1", ("image", SIDE), (3, 64), (7, 2), 1.0)?;
    let x = w.relu(x);
    let pool = vec![ints("kernel_shape", &[3; 2]), ints("strides", &[2; 2]), ints("pads", &[1; 4])];
    let mut x = (w.graph.node("MaxPool", &[&x.0], pool), x.1.div_ceil(2));
    let mut from = 64;
    for (stage, blocks) in BLOCKS.into_iter().enumerate() {
        let width = 64 << stage;
        for i in 0..blocks {
            let stride = if stage > 0 && i == 0 { 2 } else { 1 };
            x = w.block(&format!("layer{}.{i}", stage + 1), x, (from, width), stride)?;
            from = 4 * width;
        }
    }
    let pooled = w.graph.node("GlobalAveragePool", &[&x.0], vec![]);
    let flat = w.graph.node("Flatten", &[&pooled], vec![int("axis", 1)]);
    let [weight, bias] = w.weights("fc", &[CLASSES, from], 0.7)?;
    let logits = w.graph.node("Gemm", &[&flat, &weight, &bias], vec![int("transB", 1)]);
    let Writer { graph, out, products } = w;
    if out.kept() {
        let bytes = graph.encode(("image", &[3, SIDE, SIDE]), (&logits, &[CLASSES]));
        std::fs::write(out.dir.join("resnet50.onnx"), bytes)?;
    }
    Ok(products + from * CLASSES)
}

/// The gradient of the summed cross-entropy at the input of 4 images of 224x224.
pub fn input_gradient(out: &mut Exchange) -> Result<Work> {
    let products = write(out)?;
    let (x, y) = (out.images(&[BATCH, 3, SIDE, SIDE])?, out.labels("y", BATCH, CLASSES as u64)?);
    let flops = 2.0 * 2.0 * (BATCH * products) as f64;
    if out.kept() {
        return Ok(Work { flops, step: Box::new(|| Ok(0.0)) });
    }
    let cfg = OnnxConfig { example: vec![3, SIDE, SIDE], device: out.device.clone(), ..OnnxConfig::default() };
    let net = OnnxNet::open(&out.dir.join("resnet50.onnx"), &cfg)?;
    Ok(images::input_gradient(net, x, y, flops))
}
