//! Metrics of generated images from features: 10,000 rows of 2,048 on each side.

use super::{Exchange, Work};
use anyhow::Result;
use candle_core::{DType, Tensor};
use sconce_gan::fidelity::{
    Features, FidConfig, Generated, Manifold, PrdcConfig, Real, Resize, Source, fid as frechet, prdc as quality,
};
use sconce_tensor_core::Rng;

const ROWS: usize = 10_000;
const WIDTH: usize = 2048;
const PARTS: usize = 10;
/// Of all four scores: the peer takes one number.
const NEIGHBOURS: usize = 5;

fn features(out: &mut Exchange, name: &str, std: f64) -> Result<Features> {
    let source = Source { extractor: "normals".into(), resize: Resize::None, split: name.into() };
    // A part at a time: what drawing needs must not count as what the metric needs.
    let part = |i: usize| {
        let rng = Rng::new(1).stream(name).at(i as u64);
        Ok(rng.normal((ROWS / PARTS, WIDTH), 0.0, std, DType::F32, &out.device)?)
    };
    let rows = Tensor::cat(&(0..PARTS).map(part).collect::<Result<Vec<_>>>()?, 0)?;
    out.put(name, &rows)?;
    Ok(Features::new(&rows, source)?)
}

fn both(out: &mut Exchange) -> Result<[Features; 2]> {
    Ok([features(out, "real", 1.0)?, features(out, "generated", 1.01)?])
}

pub fn fid(out: &mut Exchange) -> Result<Work> {
    let [real, generated] = both(out)?;
    let step = move || Ok(frechet(Real(&real), Generated(&generated), &FidConfig::default())?.value);
    Ok(Work { flops: 2.0 * 2.0 * (ROWS * WIDTH * WIDTH) as f64, step: Box::new(step) })
}

pub fn prdc(out: &mut Exchange) -> Result<Work> {
    let [real, generated] = both(out)?;
    let config = PrdcConfig { precision_neighbours: NEIGHBOURS, density_neighbours: NEIGHBOURS };
    let step = move || {
        let (real, generated) = (Manifold::new(&real, NEIGHBOURS)?, Manifold::new(&generated, NEIGHBOURS)?);
        let v = quality(Real(&real), Generated(&generated), &config)?.value;
        Ok(v.precision + v.recall + v.density + v.coverage)
    };
    Ok(Work { flops: 3.0 * 2.0 * (ROWS * ROWS * WIDTH) as f64, step: Box::new(step) })
}
