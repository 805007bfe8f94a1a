//! Compares a network with what another program made of it: `compare_onnx MODEL.onnx VALUES.npz [REPEATS]`, with the arrays `x` (N, ...), `logits` (N, K),
//! `v` (N, K) and `grad`, the gradient of `sum(logits v)` at `x`. With REPEATS it prints the time of one gradient, too. Without arguments it compares the small
//! network of the tests.

use anyhow::{Context, Result};
use sconce_onnx::{OnnxConfig, OnnxNet};
use sconce_tensor_core::candle_core::{DType, Tensor, Var};
use sconce_tensor_core::formats::Arrays;
use sconce_tensor_core::{Mode, Network, ops};
use std::path::{Path, PathBuf};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn host(t: &Tensor) -> Result<Vec<f64>> {
    Ok(t.detach().flatten_all()?.to_dtype(DType::F64)?.to_vec1()?)
}

/// The largest difference over the largest value, and the norm of the difference over the norm.
fn deviation(ours: &Tensor, theirs: &Tensor) -> Result<(f64, f64)> {
    let (a, b) = (host(ours)?, host(theirs)?);
    anyhow::ensure!(a.len() == b.len(), "{} numbers, not {}", a.len(), b.len());
    let largest = |v: &mut dyn Iterator<Item = f64>| v.fold(0f64, |m, v| m.max(v.abs()));
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
    let difference = || a.iter().zip(&b).map(|(a, b)| a - b);
    let by_largest = largest(&mut difference()) / largest(&mut b.iter().copied());
    Ok((by_largest, norm(&mut difference()) / norm(&mut b.iter().copied())))
}

#[allow(clippy::print_stdout)] // a program
fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let Some(model) = args.next().map(PathBuf::from) else {
        return small();
    };
    let values = Arrays::open(args.next().context("VALUES.npz is missing")?.as_ref())?;
    let repeats: usize = args.next().map_or(Ok(0), |r| r.parse())?;
    let get = |name: &str| -> Result<Tensor> { Ok(values.get(name)?.to_dtype(DType::F32)?) };
    let (x, logits, v, grad) = (Var::from_tensor(&get("x")?)?, get("logits")?, get("v")?, get("grad")?);
    let net = OnnxNet::open(&model, &OnnxConfig { example: x.dims()[1..].to_vec(), ..OnnxConfig::default() })?;
    for note in net.notes() {
        println!("note: {note}");
    }
    let step = |x: &Var, v: &Tensor| -> Result<(Tensor, Tensor)> {
        let y = net.forward(x.as_tensor(), Mode::Frozen)?;
        let grads = ops::backward(&(&y * v)?.sum_all()?)?;
        Ok((y, grads.get(x).context("no gradient reaches the input")?.clone()))
    };
    let (y, g) = step(&x, &v)?;
    let ((a, b), (c, d)) = (deviation(&y, &logits)?, deviation(&g, &grad)?);
    println!("logits: {a:.1e} of the largest, {b:.1e} in norm; gradient: {c:.1e} of the largest, {d:.1e} in norm");
    if repeats > 0 {
        // A batch of 16, as other programs are timed with.
        let n = x.dim(0)?;
        let wide = |t: &Tensor| -> Result<Tensor> {
            Ok(Tensor::cat(&vec![t.clone(); 16usize.div_ceil(n)], 0)?.narrow(0, 0, 16)?)
        };
        let (x, v) = (Var::from_tensor(&wide(x.as_tensor())?)?, wide(&v)?);
        step(&x, &v)?;
        for _ in 0..repeats {
            let start = Instant::now();
            step(&x, &v)?;
            println!("gradient of 16: {:.3} s", start.elapsed().as_secs_f64());
        }
    }
    Ok(())
}

/// The small convolutional network of the tests.
#[allow(clippy::print_stdout)] // a program
fn small() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let values = sconce_tensor_core::candle_core::safetensors::load(
        folder.join("golden_onnx.safetensors"),
        &sconce_tensor_core::candle_core::Device::Cpu,
    )?;
    let get = |name: &str| values.get(name).with_context(|| format!("no `{name}`"));
    let x = get("cnn.x")?;
    let net = OnnxNet::open(
        &folder.join("cnn.script.onnx"),
        &OnnxConfig { example: x.dims()[1..].to_vec(), ..OnnxConfig::default() },
    )?;
    let (largest, _) = deviation(&net.forward(x, Mode::Frozen)?, get("cnn.logits")?)?;
    println!("the logits differ from PyTorch's by {largest:.1e} of the largest");
    anyhow::ensure!(largest < 1e-5, "that is too much");
    Ok(())
}
