//! The same networks in plain candle, for `--peer candle`.

use super::Work;
use super::exchange::read;
use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor, Var, backprop::GradStore};
use std::collections::HashMap;
use std::path::Path;
use xtask::workloads::Make;

type Vars = HashMap<String, Var>;

fn weight(p: &Vars, name: &str) -> Result<Tensor> {
    Ok(p.get(name).with_context(|| format!("no `{name}`"))?.as_tensor().clone())
}

fn linear(p: &Vars, name: &str, x: &Tensor) -> Result<Tensor> {
    let (w, b) = (weight(p, &format!("{name}.weight"))?, weight(p, &format!("{name}.bias"))?);
    Ok(x.matmul(&w.t()?)?.broadcast_add(&b)?)
}

fn small_cnn(p: &Vars, x: &Tensor) -> Result<Tensor> {
    let mut x = x.clone();
    for name in ["conv1", "conv2"] {
        let b = weight(p, &format!("{name}.bias"))?.reshape((1, (), 1, 1))?;
        x = x.conv2d(&weight(p, &format!("{name}.weight"))?, 2, 1, 1, 1)?.broadcast_add(&b)?;
        x = x.max_pool2d(2)?.relu()?;
    }
    linear(p, "fc2", &linear(p, "fc1", &x.flatten_from(1)?)?.relu()?)
}

fn unit(p: &Vars, name: &str, x: &Tensor, padding: usize, stride: usize) -> Result<Tensor> {
    let y = x.conv2d(&weight(p, &format!("{name}.conv.weight"))?, padding, stride, 1, 1)?;
    let mean = y.mean_keepdim((0, 2, 3))?;
    let centred = y.broadcast_sub(&mean)?;
    let var = centred.sqr()?.mean_keepdim((0, 2, 3))?;
    let at = |part: &str| Ok::<_, anyhow::Error>(weight(p, &format!("{name}.bn.{part}"))?.reshape((1, (), 1, 1))?);
    let xhat = centred.broadcast_div(&(var + 1e-5)?.sqrt()?)?;
    Ok(xhat.broadcast_mul(&at("weight")?)?.broadcast_add(&at("bias")?)?)
}

fn resnet(p: &Vars, x: &Tensor) -> Result<Tensor> {
    let mut x = unit(p, "stem", x, 1, 1)?.relu()?;
    for stage in 1..=4 {
        for i in 0..2 {
            let (name, stride) = (format!("stage{stage}.{i}"), if stage > 1 && i == 0 { 2 } else { 1 });
            let h = unit(p, &format!("{name}.1"), &x, 1, stride)?.relu()?;
            let h = unit(p, &format!("{name}.2"), &h, 1, 1)?;
            let skip = if stride == 2 { unit(p, &format!("{name}.shortcut"), &x, 0, 2)? } else { x };
            x = (h + skip)?.relu()?;
        }
    }
    linear(p, "fc", &x.mean((2, 3))?)
}

/// SGD with momentum 0.9 and step 0.01.
fn descend(p: &Vars, v: &mut HashMap<String, Tensor>, grads: &GradStore) -> Result<()> {
    for (name, w) in p {
        let Some(g) = grads.get(w) else { continue };
        let new = match v.get(name) {
            Some(v) => ((v * 0.9)? + g)?,
            None => g.clone(),
        };
        w.set(&(w.as_tensor() - (&new * 0.01)?)?)?;
        v.insert(name.clone(), new.detach());
    }
    Ok(())
}

/// A workload on plain candle, from what ours wrote to `dir`.
pub fn candle(make: Make, dir: &Path, device: &Device) -> Result<Work> {
    let mut all = read(dir, device)?;
    if make == Make::Matmul {
        let step = move || Ok(f64::from(all["a"].matmul(&all["b"])?.get(0)?.get(0)?.to_scalar::<f32>()?));
        return Ok(Work { flops: 0.0, step: Box::new(step) });
    }
    let (x, y) = (all.remove("x").context("x")?, all.remove("y").context("y")?);
    let trained = all.into_iter().filter(|(n, _)| !n.contains("running"));
    let p: Vars = trained.map(|(n, t)| Ok((n, Var::from_tensor(&t)?))).collect::<Result<_>>()?;
    let forward = match make {
        Make::SmallCnnTrain | Make::SmallCnnInputGradient => small_cnn,
        Make::ResNet18Train { .. } => resnet,
        _ => bail!("plain candle has no {make:?}"),
    };
    let input = make == Make::SmallCnnInputGradient;
    let mut v = HashMap::new();
    let step = move || {
        let x = if input { Var::from_tensor(&x)?.as_tensor().clone() } else { x.clone() };
        let mean = candle_nn::loss::cross_entropy(&forward(&p, &x)?, &y)?;
        let loss = if input { (mean * x.dim(0)? as f64)? } else { mean };
        let grads = loss.backward()?;
        if !input {
            descend(&p, &mut v, &grads)?;
        }
        super::images::number(&loss)
    };
    Ok(Work { flops: 0.0, step: Box::new(step) })
}
