//! What is measured of a network.

use super::config::{Noise, PgdRecipe, Sfa};
use crate::pieces::train;
use anyhow::Result;
use candle_core::Tensor;
use sconce_attacks::fourier::{BandNoise, BandNoiseConfig, Directions, HeatMap, Sweep, SweepConfig};
use sconce_attacks::{Attack, ExampleRng, Goal, Pgd, PgdConfig, RunConfig, StepSize, geometry, run};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::{Classifier, Network, Rng};

/// Examples in one forward pass.
pub const BATCH: usize = 125;

/// Bands of frequency `max(|l|, |m|)`, in periods per image (chosen by us).
pub const BANDS: [(&str, i64, i64); 3] = [("low", 0, 3), ("mid", 4, 9), ("high", 10, i64::MAX)];

/// The attack of a recipe.
pub fn pgd(p: &PgdRecipe) -> Result<Pgd> {
    let step = StepSize::Absolute(p.step_255 / 255.0);
    Ok(Pgd::new(PgdConfig { eps: p.eps_255 / 255.0, steps: p.steps, step_size: step, ..PgdConfig::default() })?)
}

fn batches() -> RunConfig {
    RunConfig { batch_size: Some(BATCH), ..RunConfig::default() }
}

/// The share of inputs that the model classifies as the data is labelled.
pub fn accuracy(model: &dyn Classifier, x: &Tensor, data: &Labelled) -> Result<f64> {
    train::accuracy(model, x, data, BATCH)
}

/// Accuracy along the directions at one radius.
pub fn sweep(
    sfa: &Sfa,
    net: &dyn Network,
    data: &Labelled,
    eps_255: f64,
    directions: Directions,
    watch: &dyn Fn(usize, usize),
) -> Result<HeatMap> {
    Ok(heat(sfa, net, data, eps_255, directions, watch)?)
}

/// The same with the error of the core.
pub fn heat(
    sfa: &Sfa,
    net: &dyn Network,
    data: &Labelled,
    eps_255: f64,
    directions: Directions,
    watch: &dyn Fn(usize, usize),
) -> sconce_tensor_core::Result<HeatMap> {
    let normalisation = sfa.normalisation();
    let sweep = Sweep::new(SweepConfig { eps: eps_255 / 255.0, normalisation, directions, run: batches() })?;
    sweep.run(net, data.x(), data.y(), |done, all| {
        watch(done, all);
        Ok(())
    })
}

/// Test inputs attacked on an independently trained network: all of them, also those that it gets wrong
/// as they are, since it is other networks that will see them.
pub fn transferred(transfer: &PgdRecipe, source: &dyn Network, test: &Labelled) -> Result<Tensor> {
    perturbed(&pgd(transfer)?, source, test, Rng::new(0).stream("transfer"))
}

/// Test inputs with high-frequency noise.
pub fn noisy(n: &Noise, source: &dyn Network, test: &Labelled) -> Result<Tensor> {
    let noise = BandNoise::new(BandNoiseConfig { eps: n.rms_255 / 255.0, from: n.from, to: n.to })?;
    perturbed(&noise, source, test, Rng::new(0).stream("noise"))
}

fn perturbed(attack: &dyn Attack, source: &dyn Network, test: &Labelled, rng: Rng) -> Result<Tensor> {
    let mut parts = Vec::new();
    for at in (0..test.len()).step_by(BATCH) {
        let part = test.slice(at, BATCH.min(test.len() - at))?;
        let x = part.x().contiguous()?;
        let rng = ExampleRng::new(rng, (at as u64..(at + part.len()) as u64).collect());
        let moved = attack.perturb(source, &x, &Goal::Untargeted(part.y().contiguous()?), &rng)?.x;
        parts.push(geometry::project(&moved, &x, attack.threat(), source.input_bounds())?.detach());
    }
    Ok(Tensor::cat(&parts, 0)?)
}

/// Clean and robust accuracy under an attack.
pub fn robust(attack: &PgdRecipe, net: &dyn Network, test: &Labelled, seed: u64) -> Result<(f64, f64)> {
    let goal = Goal::Untargeted(test.y().clone());
    let found = run(&pgd(attack)?, net, test.x(), &goal, &batches(), &Rng::new(seed).stream("evaluation"))?;
    Ok((found.clean_accuracy().rate(), found.robust_accuracy().rate()))
}
