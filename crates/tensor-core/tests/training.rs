//! Training: exact resume, thread counts, what is refused.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::nets::{SmallCnn, SmallCnnConfig};
use sconce_tensor_core::optim::{
    Adam, AdamConfig, AverageConfig, Decay, Group, Optimizer, RmsProp, Schedule, Sgd, SgdConfig,
};
use sconce_tensor_core::train::augment::{Compose, HorizontalFlip, HorizontalFlipConfig, Mixup, MixupConfig};
use sconce_tensor_core::train::augment::{PaddedCrop, PaddedCropConfig};
use sconce_tensor_core::train::{Checkpoint, CrossEntropy, KeepBest, LossOutput, Objective, Observer};
use sconce_tensor_core::train::{Progress, Report, TrainConfig, Trainer};
use sconce_tensor_core::{Bounds, Classifier, Error, ExampleRng, Mode, Module, Network, Params, Result, Rng, Role};
use std::path::Path;

fn data() -> Labelled {
    let x = Rng::new(4).uniform((60, 1, 8, 8), 0.0..1.0, DType::F32, &Device::Cpu).unwrap();
    let y: Vec<u32> = Rng::new(5).below(60, 3).into_iter().map(|v| v as u32).collect();
    Labelled::new(x, &y, 3).unwrap()
}

fn net() -> SmallCnn {
    let cfg = SmallCnnConfig {
        input: (1, 8, 8),
        classes: 3,
        channels: (3, 4),
        kernel: 3,
        hidden: 8,
        batch_norm: true,
        normalize: None,
    };
    SmallCnn::new(cfg, Rng::new(0), DType::F32, &Device::Cpu).unwrap()
}

fn sgd() -> Sgd {
    Sgd::new(SgdConfig { lr: 0.05, momentum: 0.9, nesterov: true, weight_decay: 1e-3, decay: Decay::Decoupled })
        .unwrap()
}

fn config() -> TrainConfig {
    let schedule = Schedule::Cosine { warmup: 0.1 };
    TrainConfig { epochs: 4, batch_size: 16, schedule, ..TrainConfig::default() }
}

fn values(net: &SmallCnn) -> Vec<Vec<f32>> {
    net.params().iter().map(|p| p.var().flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect()
}

/// An observer that stops training after some steps, as a kill would.
struct Kill(usize);

impl Observer for Kill {
    fn step(&mut self, p: &Progress) -> Result<()> {
        if p.step == self.0 { Err(Error::value("test", "killed")) } else { Ok(()) }
    }
}

/// What a run is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sgd,
    /// AdamW with groups, clipping, EMA, augmentation, mixup, validation and early stopping.
    Everything,
    RmsProp,
}

fn train(kind: Kind, path: Option<(&Path, Option<usize>)>, kill: Option<usize>) -> (Vec<Vec<f32>>, Result<Report>) {
    let (net, data) = (net(), data());
    let validation = data.slice(40, 20).unwrap();
    let flip = HorizontalFlip::new(HorizontalFlipConfig::default()).unwrap();
    let crop = PaddedCrop::new(PaddedCropConfig { padding: 1, ..Default::default() }).unwrap();
    let augment = Compose::new(vec![Box::new(flip), Box::new(crop)]);
    let mut cfg = config();
    if kind == Kind::Everything {
        (cfg.clip, cfg.average) = (Some(0.5), Some(AverageConfig::ema(0.8)));
    }
    let mut killer = Kill(kill.unwrap_or(usize::MAX));
    let mut trainer = Trainer::new(cfg, &CrossEntropy).unwrap().observed_by(&mut killer);
    if let Some((path, every)) = path {
        let mut checkpoint = Checkpoint::new(path, "this run");
        if let Some(every) = every {
            checkpoint = checkpoint.every_steps(every).unwrap();
        }
        trainer = trainer.resuming(checkpoint);
    }
    let mut optimizer: Box<dyn Optimizer> = match kind {
        Kind::Sgd => Box::new(sgd()),
        Kind::RmsProp => Box::new(RmsProp::with_lr(1e-3).unwrap()),
        Kind::Everything => {
            trainer = trainer
                .augmented_by(&augment)
                .mixed_by(Mixup::new(MixupConfig { alpha: 0.4 }).unwrap())
                .validated_on(&validation)
                .keeping(KeepBest::lowest("loss").stop_after(3).unwrap());
            let adam = Adam::new(AdamConfig { lr: 3e-3, ..AdamConfig::adamw() }).unwrap();
            Box::new(adam.with_group(Group::biases_and_norms().weight_decay(0.0).unwrap()))
        }
    };
    let report = trainer.fit(&net, &data, &mut optimizer, &Rng::new(1));
    (values(&net), report)
}

#[test]
fn a_killed_run_ends_with_the_same_bytes() {
    for kind in [Kind::Sgd, Kind::Everything, Kind::RmsProp] {
        let (want, report) = train(kind, None, None);
        let report = report.unwrap();
        // Mixup draws other labels in each epoch: its loss is no measure.
        assert!(kind == Kind::Everything || report.epochs[3].loss < report.epochs[0].loss);
        for (kill, every) in [(1, None), (4, None), (7, Some(1)), (9, Some(2)), (16, Some(3)), (14, Some(5))] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("c.safetensors");
            assert!(train(kind, Some((&path, every)), Some(kill)).1.is_err());
            let (got, again) = train(kind, Some((&path, every)), None);
            assert_eq!(again.unwrap(), report, "{kind:?} killed at step {kill}");
            assert_eq!(got, want, "{kind:?} killed at step {kill}");
            // A finished run is put back without a step.
            let (got, again) = train(kind, Some((&path, every)), Some(1));
            assert_eq!((again.unwrap(), got), (report.clone(), want.clone()), "{kind:?}");
        }
    }
}

#[test]
fn a_checkpoint_in_the_middle_of_an_epoch_saves_its_steps() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.safetensors");
    assert!(train(Kind::Sgd, Some((&path, Some(1))), Some(7)).1.is_err());
    // Steps 1 to 6 are kept: the next one is step 7, not step 5 of the epoch's start.
    let mut first = None;
    let mut see = |p: &Progress| {
        first.get_or_insert(p.step);
    };
    let checkpoint = Checkpoint::new(&path, "this run").every_steps(1).unwrap();
    Trainer::new(config(), &CrossEntropy)
        .unwrap()
        .resuming(checkpoint)
        .observed_by(&mut see)
        .fit(&net(), &data(), &mut sgd(), &Rng::new(1))
        .unwrap();
    assert_eq!(first, Some(7));
}

#[test]
fn thread_counts_do_not_matter() {
    for kind in [Kind::Sgd, Kind::Everything] {
        let pool = |n: usize| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        let run = |n: usize| pool(n).install(|| train(kind, None, None).0);
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(5));
    }
}

#[test]
fn a_checkpoint_of_another_run_is_refused_key_by_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.safetensors");
    train(Kind::Sgd, Some((&path, None)), None).1.unwrap();
    let again = |name: &str, cfg: TrainConfig| {
        let trainer = Trainer::new(cfg, &CrossEntropy).unwrap().resuming(Checkpoint::new(&path, name));
        trainer.fit(&net(), &data(), &mut sgd(), &Rng::new(1)).map_err(|e| e.to_string())
    };
    let e = again("another run", config()).unwrap_err();
    assert!(e.contains("c.safetensors") && e.contains("`run`: found \"this run\", expected \"another run\""), "{e}");
    assert!(!e.contains("batch_size"), "only what differs: {e}");
    let e = again("this run", TrainConfig { batch_size: 8, ..config() }).unwrap_err();
    assert!(e.contains("`task.batch_size`: found 16, expected 8") && !e.contains("`run`"), "{e}");
    let e = again("this run", TrainConfig { epochs: 5, ..config() }).unwrap_err();
    assert!(e.contains("`epochs`: found 4, expected 5"), "{e}");
    // Another seed, another rule for the best epoch, another optimizer.
    let with = |seed: u64, keep: bool, optimizer: &mut dyn Optimizer| {
        let mut trainer = Trainer::new(config(), &CrossEntropy).unwrap().resuming(Checkpoint::new(&path, "this run"));
        let data = data();
        if keep {
            trainer = trainer.validated_on(&data).keeping(KeepBest::lowest("loss"));
        }
        trainer.fit(&net(), &data, optimizer, &Rng::new(seed)).unwrap_err().to_string()
    };
    assert!(with(2, false, &mut sgd()).contains("`rng`: found"));
    assert!(with(1, true, &mut sgd()).contains("`task.keep`: found"));
    assert!(with(1, false, &mut Adam::with_lr(0.05).unwrap()).contains("`task.optimizer`: found"));

    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let e = again("this run", config()).unwrap_err();
    assert!(e.contains("not a whole safetensors file"), "{e}");
    let mut damaged = bytes.clone();
    let middle = bytes.len() - 100;
    damaged[middle] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let e = again("this run", config()).unwrap_err();
    assert!(e.contains("was changed"), "{e}");
}

#[test]
fn validation_stops_early_and_keeps_the_best_epoch() {
    let (net, data) = (net(), data());
    let (train, validation) = (data.slice(0, 40).unwrap(), data.slice(40, 20).unwrap());
    let cfg = TrainConfig { epochs: 60, batch_size: 8, ..TrainConfig::default() };
    let mut adam = Adam::with_lr(0.01).unwrap();
    let report = Trainer::new(cfg, &CrossEntropy)
        .unwrap()
        .validated_on(&validation)
        .keeping(KeepBest::lowest("loss").stop_after(3).unwrap())
        .fit(&net, &train, &mut adam, &Rng::new(1))
        .unwrap();
    // Random labels: the validation loss has its best epoch early.
    let losses = report.history("loss");
    let best = report.best_epoch.unwrap();
    assert!(report.stopped_early && losses.len() == best + 3, "{report:?}");
    assert!(losses.iter().all(|l| *l >= losses[best - 1]));
    let now =
        sconce_tensor_core::train::Evaluate::evaluate(&sconce_tensor_core::train::HeldOut::new(&validation), &net)
            .unwrap();
    assert_eq!(now[1].1, losses[best - 1], "the network has the best epoch's weights");
    let e = Trainer::new(config(), &CrossEntropy)
        .unwrap()
        .keeping(KeepBest::lowest("loss"))
        .fit(&net, &train, &mut adam, &Rng::new(1))
        .unwrap_err();
    assert!(e.to_string().contains("no metric `loss`"), "{e}");
}

#[test]
fn a_schedule_scales_the_optimizers_rate_and_gives_it_back() {
    let mut sgd = sgd();
    Trainer::new(config(), &CrossEntropy).unwrap().fit(&net(), &data(), &mut sgd, &Rng::new(1)).unwrap();
    assert_eq!(sgd.lr(), 0.05);
    let mut kill = Kill(3);
    let stopped = Trainer::new(config(), &CrossEntropy).unwrap().observed_by(&mut kill);
    stopped.fit(&net(), &data(), &mut sgd, &Rng::new(1)).unwrap_err();
    assert_eq!(sgd.lr(), 0.05, "after an error too");
}

/// A network with a parameter that its output does not depend on.
struct Cut {
    params: Params,
}

impl Network for Cut {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let w = mode.tensor(self.params.get("used").unwrap().var());
        sconce_tensor_core::ops::linear(&x.flatten_from(1)?, &w, None)
    }

    fn outputs(&self) -> usize {
        3
    }
}

impl Module for Cut {
    fn params(&self) -> &Params {
        &self.params
    }
}

#[test]
fn a_parameter_without_a_gradient_is_named_and_nothing_moves() {
    let mut params = Params::new();
    for name in ["used", "forgotten.weight"] {
        params.add(name, Role::Weight, &Tensor::ones((3, 64), DType::F32, &Device::Cpu).unwrap()).unwrap();
    }
    let net = Cut { params };
    let e = Trainer::new(config(), &CrossEntropy).unwrap().fit(&net, &data(), &mut sgd(), &Rng::new(1));
    assert!(matches!(&e, Err(Error::NoGradient { name }) if name == "forgotten.weight"), "{e:?}");
    let used = net.params.get("used").unwrap().var().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(used.iter().all(|v| *v == 1.0));
}

#[test]
fn a_loss_that_is_not_finite_is_told_with_its_step() {
    struct Explode;
    impl Objective for Explode {
        fn loss(&self, net: &dyn Network, b: &sconce_tensor_core::data::Batch, r: &ExampleRng) -> Result<LossOutput> {
            let o = CrossEntropy.loss(net, b, r)?;
            Ok(LossOutput { loss: (o.loss / 0.0)?, ..o })
        }
    }
    let net = net();
    let before = values(&net);
    let e = Trainer::new(config(), &Explode).unwrap().fit(&net, &data(), &mut sgd(), &Rng::new(1));
    assert!(e.unwrap_err().to_string().contains("inf at step 0"));
    let weights = |v: &[Vec<f32>]| {
        net.params().iter().zip(v.to_vec()).filter(|p| p.0.role() != Role::Buffer).map(|p| p.1).collect::<Vec<_>>()
    };
    assert_eq!(weights(&values(&net)), weights(&before), "the weights stay as they were");
}

#[test]
fn frozen_mode_leaves_weights_and_statistics_alone() {
    let net = net();
    let before = values(&net);
    let x = data().x().narrow(0, 0, 4).unwrap();
    let logits = net.logits(&x).unwrap();
    assert_eq!(values(&net), before);
    assert!(!logits.track_op(), "nothing to differentiate: neither the input nor the weights are in the graph");
    let eval = net.forward(&x, Mode::Eval).unwrap();
    assert_eq!(eval.to_vec2::<f32>().unwrap(), logits.to_vec2::<f32>().unwrap());
    assert!(eval.track_op());
}

#[test]
fn bad_configurations_name_their_field() {
    let names = |e: Result<Sgd>| e.unwrap_err().to_string();
    let clip = TrainConfig { clip: Some(-1.0), ..config() };
    let e = Trainer::new(clip, &CrossEntropy).and_then(|t| t.fit(&net(), &data(), &mut sgd(), &Rng::new(0)));
    assert!(e.unwrap_err().to_string().contains("clip"));
    let cfg = SgdConfig::default();
    assert!(names(Sgd::new(SgdConfig { lr: f64::NAN, ..cfg })).contains("SgdConfig.lr"));
    assert!(names(Sgd::new(SgdConfig { momentum: 1.0, ..cfg })).contains("SgdConfig.momentum"));
    assert!(names(Sgd::new(SgdConfig { weight_decay: -1.0, ..cfg })).contains("SgdConfig.weight_decay"));
    assert!(names(Sgd::new(SgdConfig { momentum: 0.0, nesterov: true, ..cfg })).contains("nesterov"));
    let zero = TrainConfig { batch_size: 0, ..TrainConfig::default() };
    assert!(Trainer::new(zero, &CrossEntropy).err().unwrap().to_string().contains("TrainConfig.batch_size"));
    assert!(Bounds::new(1.0, 0.0).is_err() && Bounds::new(0.0, f64::NAN).is_err());
    let one = SmallCnnConfig { classes: 1, ..SmallCnnConfig::default() };
    let e = SmallCnn::new(one, Rng::new(0), DType::F32, &Device::Cpu).unwrap_err().to_string();
    assert!(e.contains("SmallCnnConfig.classes"), "{e}");
}
