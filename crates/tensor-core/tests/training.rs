//! Training: exact resume, thread counts, what is refused.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::nets::{SmallCnn, SmallCnnConfig};
use sconce_tensor_core::optim::{Decay, Schedule, Sgd, SgdConfig};
use sconce_tensor_core::train::{CrossEntropy, EpochReport, Objective, Observer, Outcome, TrainConfig, Trainer};
use sconce_tensor_core::{Bounds, Classifier, Error, ExampleRng, Mode, Network, Params, Result, Rng, Role};
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
    TrainConfig { epochs: 4, batch_size: 16, schedule: Schedule::Cosine { warmup: 0.1 } }
}

fn values(net: &SmallCnn) -> Vec<Vec<f32>> {
    net.params().iter().map(|p| p.var().flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect()
}

/// An observer that stops training after some steps, as a kill would.
struct Kill(usize);

impl Observer for Kill {
    fn step(&mut self, p: sconce_tensor_core::train::Progress) -> Result<()> {
        if p.step == self.0 { Err(Error::value("test", "killed")) } else { Ok(()) }
    }

    fn epoch(&mut self, _: EpochReport, _: &dyn Network) -> Result<()> {
        Ok(())
    }
}

fn train(path: Option<&Path>, kill: Option<usize>) -> (Vec<Vec<f32>>, Result<Vec<f64>>) {
    let (net, mut sgd) = (net(), sgd());
    let mut trainer = Trainer::new(config(), &CrossEntropy).unwrap();
    if let Some(p) = path {
        trainer = trainer.resuming(p, "this run");
    }
    let losses = trainer.fit(&net, &data(), &mut sgd, &Rng::new(1), &mut Kill(kill.unwrap_or(usize::MAX)));
    (values(&net), losses)
}

#[test]
fn a_killed_run_ends_with_the_same_bytes() {
    let (want, losses) = train(None, None);
    let losses = losses.unwrap();
    assert!(losses[3] < losses[0]);
    for kill in [1, 4, 7, 9, 16] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.safetensors");
        assert!(train(Some(&path), Some(kill)).1.is_err());
        let (got, again) = train(Some(&path), None);
        assert_eq!(again.unwrap(), losses, "killed at step {kill}");
        assert_eq!(got, want, "killed at step {kill}");
    }
}

#[test]
fn thread_counts_do_not_matter() {
    let run =
        |n: usize| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(|| train(None, None).0);
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(5));
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.safetensors");
    train(Some(&path), None).1.unwrap();
    let other = Trainer::new(config(), &CrossEntropy).unwrap().resuming(&path, "another run");
    let e = other.fit(&net(), &data(), &mut sgd(), &Rng::new(1), &mut ()).unwrap_err().to_string();
    assert!(e.contains("c.safetensors") && e.contains("another configuration") && e.contains("this run"), "{e}");

    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let e = train(Some(&path), None).1.unwrap_err().to_string();
    assert!(e.contains("not a whole safetensors file"), "{e}");
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

    fn params(&self) -> &Params {
        &self.params
    }

    fn outputs(&self) -> usize {
        3
    }
}

#[test]
fn a_parameter_without_a_gradient_is_named_and_nothing_moves() {
    let mut params = Params::new();
    for name in ["used", "forgotten.weight"] {
        params.add(name, Role::Weight, &Tensor::ones((3, 64), DType::F32, &Device::Cpu).unwrap()).unwrap();
    }
    let net = Cut { params };
    let e = Trainer::new(config(), &CrossEntropy).unwrap().fit(&net, &data(), &mut sgd(), &Rng::new(1), &mut ());
    assert!(matches!(&e, Err(Error::NoGradient { name }) if name == "forgotten.weight"), "{e:?}");
    let used = net.params.get("used").unwrap().var().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(used.iter().all(|v| *v == 1.0));
}

#[test]
fn a_loss_that_is_not_finite_is_told_with_its_step() {
    struct Explode;
    impl Objective for Explode {
        fn loss(&self, net: &dyn Network, b: &sconce_tensor_core::data::Batch, r: &ExampleRng) -> Result<Outcome> {
            let o = CrossEntropy.loss(net, b, r)?;
            Ok(Outcome { loss: (o.loss / 0.0)?, ..o })
        }
    }
    let net = net();
    let before = values(&net);
    let e = Trainer::new(config(), &Explode).unwrap().fit(&net, &data(), &mut sgd(), &Rng::new(1), &mut ());
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
