//! A network written with plain candle-nn: its gradients are checked, it is trained plainly and adversarially by the engine, and both
//! are evaluated under attack.
//!
//! `cargo run --release -p sconce-attacks --features candle-nn --example evaluate_candle_model`

use candle_core::{DType, Device, Tensor};
use candle_nn::{Conv2dConfig, Module as _, VarBuilder, VarMap, conv2d, linear};
use sconce_attacks::training::Madry;
use sconce_attacks::{EvaluationConfig, Norm, Pgd, PgdConfig, Result, Suite, evaluate};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::nn::CandleModule;
use sconce_tensor_core::optim::Adam;
use sconce_tensor_core::train::{CrossEntropy, Objective, TrainConfig, Trainer, accuracy};
use sconce_tensor_core::{Rng, ops};

const CLASSES: usize = 4;

/// Noisy images of four classes with two features: one quarter is brighter than the others, which survives small perturbations, and
/// there is a faint pattern, which tells the class as well and does not. Plain training uses both.
fn images(n: usize, seed: u64) -> Result<Labelled> {
    let y: Vec<u32> = (0..n).map(|i| (i % CLASSES) as u32).collect();
    let noise = Rng::new(seed).uniforms(n * 64);
    let signs = Rng::new(99).stream("pattern").below(CLASSES * 64, 2);
    let pixel = |k: usize| {
        let (class, row, column) = (k / 64 % CLASSES, k / 8 % 8, k % 8);
        let bright = if row / 4 * 2 + column / 4 == class { 0.25 } else { 0.0 };
        let pattern = 0.2 * (signs[class * 64 + k % 64] as f64 - 0.5);
        (0.2 + 0.4 * noise[k] + bright + pattern) as f32
    };
    let x = Tensor::from_vec((0..n * 64).map(pixel).collect::<Vec<f32>>(), (n, 1, 8, 8), &Device::Cpu)?;
    Labelled::new(x, &y, CLASSES)
}

/// The network, as a user of candle-nn writes it. `ops::max_pool2d` stands for candle's own, whose gradient is wrong.
fn network(ours: bool) -> Result<CandleModule> {
    let vars = VarMap::new();
    let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
    let conv = conv2d(1, 8, 3, Conv2dConfig { padding: 1, ..Default::default() }, vb.pp("conv"))?;
    let (fc1, fc2) = (linear(8 * 4 * 4, 32, vb.pp("fc1"))?, linear(32, CLASSES, vb.pp("fc2"))?);
    let net = CandleModule::new(&vars, CLASSES, move |x, _train| {
        let x = conv.forward(x)?;
        let x = if ours { ops::max_pool2d(&x, ops::Pool2dSpec::default())? } else { x.max_pool2d(2)? };
        fc2.forward(&fc1.forward(&x.relu()?.flatten_from(1)?)?.relu()?)
    })?;
    // candle-nn draws initial values from a generator that cannot be seeded.
    net.draw_initial_values(&Rng::new(0))?;
    Ok(net)
}

#[allow(clippy::print_stdout)]
fn main() -> Result<()> {
    let (train, test) = (images(320, 1)?, images(40, 2)?);
    // 1. Does the network have right gradients?
    let few = test.x().narrow(0, 0, 4)?;
    for warning in network(false)?.check_gradients(&few, &Rng::new(0))?.iter().take(1) {
        println!("with candle's pooling {warning}");
    }
    assert!(network(true)?.check_gradients(&few, &Rng::new(0))?.is_empty());

    // 2. Train it, plainly and against PGD, and evaluate both under the same suite.
    let eps = 0.1;
    let pgd = Pgd::new(PgdConfig { eps, steps: 5, ..PgdConfig::default() })?;
    let madry = Madry::new(&pgd);
    let mut robust = Vec::new();
    for (name, objective) in [("plain", &CrossEntropy as &dyn Objective), ("adversarial", &madry)] {
        let net = network(true)?;
        let config = TrainConfig { epochs: 12, batch_size: 40, ..TrainConfig::default() };
        Trainer::new(config, objective)?.fit(&net, &train, &mut Adam::with_lr(5e-3)?, &Rng::new(0))?;
        let config = EvaluationConfig { norm: Norm::Linf, eps: vec![eps], ..EvaluationConfig::default() };
        let found = evaluate(&net, test.x(), test.y(), &Suite::quick(), &config, None, &mut |_| Ok(()))?;
        println!("{name} training: clean accuracy {:.2}", accuracy(&net, &test, 40)?);
        for line in found.robust_accuracies()? {
            println!("  {line}");
            robust.push(line.robust.rate());
        }
    }
    assert!(robust[1] > robust[0], "adversarial training should raise robust accuracy: {robust:?}");
    Ok(())
}
