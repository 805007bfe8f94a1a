//! Trains one kind of task with a checkpoint, and writes its result: what `tests/killed.rs` starts and kills.

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device};
use sconce_activations::language::{
    AwdLstmConfig, Dropout, Head, LanguageModel, LanguageModelConfig, LanguageTrainConfig, LanguageTrainer,
};
use sconce_anomaly::{
    Method, NetworkConfig, Reconstruction, ReconstructionConfig, ReconstructionObjective, TrainingRows, save,
};
use sconce_attacks::training::{Madry, RobustAccuracy};
use sconce_attacks::{Pgd, PgdConfig};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::nets::{SmallCnn, SmallCnnConfig};
use sconce_tensor_core::optim::{Adam, AdamConfig, AverageConfig, Group, Schedule, Sgd, SgdConfig};
use sconce_tensor_core::train::augment::{HorizontalFlip, HorizontalFlipConfig};
use sconce_tensor_core::train::{Checkpoint, CrossEntropy, Engine, KeepBest, TrainConfig, Trainer};
use sconce_tensor_core::{Module, Rng, store};
use sconce_tests::Adversaries;
use std::path::Path;
use std::sync::Arc;

fn images() -> Result<Labelled> {
    let x = Rng::new(4).uniform((240, 1, 8, 8), 0.0..1.0, DType::F32, &Device::Cpu)?;
    let y: Vec<u32> = Rng::new(5).below(240, 3).into_iter().map(|v| v as u32).collect();
    Ok(Labelled::new(x, &y, 3)?)
}

fn cnn() -> Result<SmallCnn> {
    let cfg = SmallCnnConfig {
        input: (1, 8, 8),
        classes: 3,
        channels: (6, 8),
        kernel: 3,
        hidden: 24,
        batch_norm: true,
        normalize: None,
    };
    Ok(SmallCnn::new(cfg, Rng::new(0), DType::F32, &Device::Cpu)?)
}

fn classification(kind: &str, checkpoint: Checkpoint, out: &Path) -> Result<()> {
    let (net, data) = (cnn()?, images()?);
    let (train, validation) = (data.slice(0, 200)?, data.slice(200, 40)?);
    let pgd = Pgd::new(PgdConfig { eps: 0.1, steps: 3, ..PgdConfig::default() })?;
    let (madry, flip) = (Madry::new(&pgd), HorizontalFlip::new(HorizontalFlipConfig::default())?);
    let cfg = TrainConfig { batch_size: 20, schedule: Schedule::cosine(), ..TrainConfig::default() };
    match kind {
        "sgd" => {
            let mut sgd = Sgd::new(SgdConfig { nesterov: true, weight_decay: 1e-3, ..SgdConfig::default() })?;
            let trainer = Trainer::new(TrainConfig { epochs: 30, ..cfg }, &CrossEntropy)?.resuming(checkpoint);
            trainer.fit(&net, &train, &mut sgd, &Rng::new(1))?;
        }
        "adam" => {
            let groups = Group::biases_and_norms().weight_decay(0.0)?;
            let mut adam = Adam::new(AdamConfig::adamw())?.with_group(groups);
            let cfg = TrainConfig { epochs: 24, clip: Some(1.0), average: Some(AverageConfig::ema(0.9)), ..cfg };
            Trainer::new(cfg, &CrossEntropy)?
                .augmented_by(&flip)
                .validated_on(&validation)
                .keeping(KeepBest::lowest("loss"))
                .resuming(checkpoint)
                .fit(&net, &train, &mut adam, &Rng::new(1))?;
        }
        _ => {
            Trainer::new(TrainConfig { epochs: 8, ..cfg }, &madry)?
                .evaluated_by(&RobustAccuracy::new(&pgd, &validation, 0))
                .keeping(KeepBest::highest("robust").then_highest("clean"))
                .resuming(checkpoint)
                .fit(&net, &train, &mut Sgd::with_lr(0.05)?, &Rng::new(1))?;
        }
    }
    Ok(net.params().save(out)?)
}

fn language(checkpoint: Checkpoint, out: &Path) -> Result<()> {
    let dropout = Dropout { embedding: 0.1, input: 0.2, hidden: 0.1, output: 0.2, weight: 0.2, latent: 0.1 };
    let body = AwdLstmConfig { vocabulary: 20, embedding: 16, hidden: 24, layers: 2, output: 16, dropout };
    let cfg = LanguageModelConfig { body, head: Head::Single, tied: true, bias: true };
    let output = Arc::new(sconce_activations::Output::Sigsoftmax);
    let model = LanguageModel::new(cfg, output, Rng::new(0), DType::F32, &Device::Cpu)?;
    let text: Vec<u32> = Rng::new(7).below(1500, 20).into_iter().map(|w| w as u32).collect();
    // Random words: the validation loss stops falling soon, and averaging starts.
    let cfg = LanguageTrainConfig { epochs: 12, rows: 4, window: 12, lr: 5.0, non_monotone: 1, ..Default::default() };
    let history =
        LanguageTrainer::new(cfg)?.resuming(checkpoint).fit(&model, &text[..1200], &text[1200..], &Rng::new(3))?;
    anyhow::ensure!(history.epochs.iter().any(|e| e.averaged), "the run must reach averaging: {history:?}");
    Ok(model.save(out, "words")?)
}

fn autoencoder(checkpoint: &Checkpoint, out: &Path) -> Result<()> {
    let x = Rng::new(2).normal((600, 12), 0.0, 1.0, DType::F32, &Device::Cpu)?;
    let known: Vec<bool> = (0..600).map(|i| i % 9 == 0).collect();
    let network = NetworkConfig { hidden: vec![24, 6], epochs: 40, batch: 60, held_out: 0.2, ..Default::default() };
    let cfg = ReconstructionConfig { network, noise: 0.1, ..Default::default() };
    let rows = TrainingRows::new(&x, Some(&known)).resuming(checkpoint);
    let detector = Reconstruction::new(ReconstructionObjective::Abc, cfg)?.fit(&rows, &Rng::new(3))?;
    Ok(save(&*detector, out)?)
}

fn adversaries(checkpoint: Checkpoint, out: &Path) -> Result<()> {
    let mut task = Adversaries::new()?;
    Engine::new(40)?.resuming(checkpoint).run(&mut task, &Rng::new(1))?;
    let all = ["generator", "critic"].iter().zip(&task.params).flat_map(|(name, params)| {
        params.iter().map(move |p| (format!("{name}.{}", p.name()), p.var().as_detached_tensor()))
    });
    let all: Vec<_> = all.collect();
    Ok(store::save(out, all.iter().map(|(n, t)| (n.as_str(), t.clone())), "")?)
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [kind, checkpoint, out] = &args[..] else { bail!("usage: training-worker KIND CHECKPOINT OUT") };
    let out = Path::new(out);
    if kind == "writes" {
        let content = vec![std::process::id() as u8; 1 << 16];
        return Ok((0..10).try_for_each(|_| store::write_whole(out, &content))?);
    }
    let checkpoint = Checkpoint::new(checkpoint, "killed").every_steps(2)?;
    match kind.as_str() {
        "sgd" | "adam" | "adversarial" => classification(kind, checkpoint, out),
        "language" => language(checkpoint, out),
        "autoencoder" => autoencoder(&checkpoint, out),
        "two-networks" => adversaries(checkpoint, out),
        other => bail!("no task `{other}`"),
    }
    .with_context(|| format!("task `{kind}`"))
}
