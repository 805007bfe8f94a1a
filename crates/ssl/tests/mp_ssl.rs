//! The task of several pretext heads: its gradients, its log, kill and resume, and that heads learn what can be learned.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use sconce_ssl::mp_ssl::{MpSsl, MpSslConfig, PretextNet};
use sconce_ssl::pretext::*;
use sconce_ssl::transforms::{EnhancementKind, Image, Images};
use sconce_ssl::trunk::{ConvTrunk, ConvTrunkConfig, Supervised, Trunk};
use sconce_ssl::weighting::{Record, WeightingConfig};
use sconce_tensor_core::candle_core::{DType, Device, Tensor};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::optim::{Adam, AverageConfig, Optimizer, Sgd, SgdConfig, UpdateConfig};
use sconce_tensor_core::train::{Checkpoint, CrossEntropy, Engine, Observer, Progress, Report, TrainConfig, Trainer};
use sconce_tensor_core::{Classifier, Error, ExampleRng, Mode, Module, Params, Result, Rng, ops};
use std::path::Path;

fn boxed(task: impl Pretext + 'static) -> Box<dyn Pretext> {
    Box::new(task)
}

fn magnitudes(kind: EnhancementKind) -> Box<dyn Pretext> {
    boxed(Magnitudes::of(kind).unwrap())
}

fn rotation_and(others: Vec<Box<dyn Pretext>>) -> Mixture {
    let tasks = std::iter::once(boxed(Rotation)).chain(others).collect();
    Mixture::new(tasks).unwrap().augmented_by(vec![boxed(Flip)]).unwrap()
}

/// Images that are bright at the top, with a colour of saturation about 1/2.
fn images(n: u64, side: usize, channels: usize) -> Images {
    let one = |i: u64| {
        let u = Rng::new(11).at(i).uniforms(3 + channels * side * side);
        let byte = |p: usize| {
            let (channel, row) = (p / (side * side), p % (side * side) / side);
            let light = 190.0 - 120.0 * row as f64 / side as f64;
            (light * (0.6 + 0.4 * u[channel]) + 12.0 * u[3 + p]) as u8
        };
        Image::new(channels, side, side, (0..channels * side * side).map(byte).collect()).unwrap()
    };
    Images::from_images(&(0..n).map(one).collect::<Vec<_>>()).unwrap()
}

fn trunk(seed: u64) -> ConvTrunk {
    ConvTrunk::new(ConvTrunkConfig::plain(&[4, 6]), Rng::new(seed), DType::F32, &Device::Cpu).unwrap()
}

fn bits(params: &Params) -> Vec<u32> {
    let of = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    params.iter().flat_map(|p| of(p.var())).map(f32::to_bits).collect()
}

struct Kill(usize);

impl Observer for Kill {
    fn step(&mut self, p: &Progress) -> Result<()> {
        if p.step == self.0 { Err(Error::value("test", "killed")) } else { Ok(()) }
    }
}

struct Setting<'a> {
    mixture: &'a Mixture,
    weighting: &'a str,
    cfg: MpSslConfig,
    epochs: usize,
    path: Option<&'a Path>,
    kill: Option<usize>,
}

impl<'a> Setting<'a> {
    fn new(mixture: &'a Mixture, weighting: &'a str) -> Self {
        let cfg = MpSslConfig { batch_size: 5, ..Default::default() };
        Self { mixture, weighting, cfg, epochs: 2, path: None, kill: None }
    }

    /// The report, the log of the steps, and all parameters.
    fn run(&self, images: &Images, optimizer: impl Optimizer) -> (Result<Report>, Vec<Record>, Vec<u32>) {
        let (trunk, rng) = (trunk(0), Rng::new(9));
        let net = PretextNet::new(&trunk, self.mixture, 2, Rng::new(1)).unwrap();
        let method = self.weighting.parse::<WeightingConfig>().unwrap().build().unwrap();
        let mut log = Vec::new();
        let mut task = MpSsl::new(&net, self.mixture, images, method, optimizer, self.cfg.clone(), &rng)
            .unwrap()
            .validated_on(images)
            .logged_by(|r| log.push(r.clone()));
        let mut killer = Kill(self.kill.unwrap_or(usize::MAX));
        let checkpoint = self.path.map(|p| Checkpoint::new(p, "x").every_steps(1).unwrap());
        let mut engine = Engine::new(self.epochs).unwrap().resuming(checkpoint).observed_by(&mut killer);
        let report = engine.run(&mut task, &rng);
        drop(task);
        (report, log, bits(net.params()))
    }
}

#[test]
fn killed_at_every_step_it_ends_with_the_same_bytes() {
    let position = || boxed(PatchPosition::new(PatchPositionConfig { patch: 4, gap: 2, jitter: 1 }).unwrap());
    let hue = || boxed(Colourisation::new(ColourisationConfig { grid: 2, ..Default::default() }).unwrap());
    let two = rotation_and(vec![magnitudes(EnhancementKind::Sharpness)]);
    let views = rotation_and(vec![magnitudes(EnhancementKind::Color), position()]).all_of("rotation").unwrap();
    let cells = rotation_and(vec![hue()]);
    let images = images(12, 16, 3);
    let average = UpdateConfig { average: Some(AverageConfig::ema(0.5)), clip: Some(1.0), ..Default::default() };
    let other = MpSslConfig { batch_size: 5, update: average, weight_sum: Some(2.0), weighted_heads: true };
    for (mixture, weighting, cfg) in [
        (&two, "mgda", None),
        (&two, "dwa", None),
        (&two, "rlw", None),
        (&two, "famo", None),
        (&views, "mgda-l2", Some(&other)),
        (&cells, "uw", Some(&other)),
    ] {
        let mut setting = Setting::new(mixture, weighting);
        setting.cfg = cfg.cloned().unwrap_or(setting.cfg);
        let adam = || Adam::with_lr(0.01).unwrap();
        let (report, log, want) = setting.run(&images, adam());
        let report = report.unwrap();
        assert_eq!(log.len(), 6);
        for kill in 1..=6 {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("c");
            let killed = Setting { path: Some(&path), kill: Some(kill), cfg: setting.cfg.clone(), ..setting };
            killed.run(&images, adam()).0.unwrap_err();
            let again = Setting { path: Some(&path), cfg: setting.cfg.clone(), ..setting };
            let (resumed, rest, got) = again.run(&images, adam());
            assert_eq!((resumed.unwrap(), got), (report.clone(), want.clone()), "{weighting}, killed at {kill}");
            assert_eq!(rest[..], log[log.len() - rest.len()..], "{weighting}, killed at {kill}");
        }
    }
}

#[test]
fn a_checkpoint_of_another_configuration_is_refused() {
    let mixture = rotation_and(vec![magnitudes(EnhancementKind::Sharpness)]);
    let other = rotation_and(vec![boxed(Magnitudes::new(EnhancementKind::Sharpness, &[0.0, 1.0, 3.0, 7.0]).unwrap())]);
    let (images, dir) = (images(6, 8, 3), tempfile::tempdir().unwrap());
    let path = dir.path().join("c");
    let at = |mixture, weighting| Setting { path: Some(&path), ..Setting::new(mixture, weighting) };
    let sgd = || Sgd::with_lr(0.1).unwrap();
    at(&mixture, "mgda").run(&images, sgd()).0.unwrap();
    for (setting, key) in [(at(&other, "mgda"), "task.mixture"), (at(&mixture, "equal"), "task.weighting.weighting")] {
        let e = setting.run(&images, sgd()).0.unwrap_err().to_string();
        assert!(e.contains(key), "{e}");
    }
}

/// One step of plain SGD against the gradient of the weighted sum of losses by one backward pass through everything.
#[test]
fn a_step_follows_the_weighted_sum_of_losses() {
    let mixture = rotation_and(vec![magnitudes(EnhancementKind::Color), magnitudes(EnhancementKind::Sharpness)]);
    let images = images(8, 12, 3);
    let plain = || Sgd::new(SgdConfig { lr: 0.5, momentum: 0.0, ..Default::default() }).unwrap();
    for weighted_heads in [false, true] {
        let cfg = MpSslConfig { batch_size: 8, weight_sum: Some(2.0), weighted_heads, ..Default::default() };
        let setting = Setting { cfg, epochs: 1, ..Setting::new(&mixture, "mgda") };
        let (report, log, got) = setting.run(&images, plain());
        let weights = &log[0].weights;
        assert!((weights.iter().sum::<f64>() - 2.0).abs() < 1e-12 && weights.iter().all(|w| *w >= 0.0), "{weights:?}");

        let (trunk, rng) = (trunk(0), Rng::new(9));
        let net = PretextNet::new(&trunk, &mixture, 2, Rng::new(1)).unwrap();
        // The run's keys of epoch 0.
        let epoch = Rng::new(rng.stream("epoch").at(0).bits(1)[0]);
        let examples: Vec<usize> = rng.stream("shuffle").at(0).permutation(8);
        let keys = ExampleRng::new(epoch.stream("examples"), examples.iter().map(|i| *i as u64).collect());
        let batch = mixture.batch(&images, &examples, &keys.stream("pretext"), DType::F32, &Device::Cpu).unwrap();
        let z = net.representation(&batch.x, Mode::Train).unwrap();
        let losses: Vec<Tensor> = (0..3)
            .map(|t| ops::cross_entropy(&net.logits(t, &z, Mode::Train).unwrap(), &batch.labels[t]).unwrap())
            .map(|l| l.mean_all().unwrap())
            .collect();
        let values: Vec<f64> = losses.iter().map(|l| f64::from(l.to_scalar::<f32>().unwrap())).collect();
        assert_eq!(values, log[0].losses);
        assert!((report.unwrap().epochs[0].loss - values.iter().sum::<f64>() / 3.0).abs() < 1e-12);
        let sum = losses.iter().zip(weights).map(|(l, w)| (l * *w).unwrap()).reduce(|a, b| (a + b).unwrap()).unwrap();
        let grads = ops::last_backward(&sum).unwrap();
        for p in net.params().trainable() {
            let task = net.tasks().position(|t| p.name().starts_with(&format!("head.{t}.")));
            let factor = task.map_or(1.0, |t| if weighted_heads { 1.0 } else { 1.0 / weights[t] });
            let step = (grads.get(p.var()).unwrap() * (0.5 * factor)).unwrap();
            p.var().set(&(p.var().as_detached_tensor() - step).unwrap()).unwrap();
        }
        for (got, want) in got.iter().zip(bits(net.params())) {
            let (got, want) = (f32::from_bits(*got), f32::from_bits(want));
            // The order of sums differs: a few units of f32.
            assert!((got - want).abs() <= 2e-5 * (1.0 + want.abs()), "{got} {want}");
        }
    }
}

#[test]
fn heads_learn_what_can_be_learned() {
    // On grey images the classes of colour are the same image.
    let mixture = rotation_and(vec![magnitudes(EnhancementKind::Brightness), magnitudes(EnhancementKind::Color)]);
    let grey = Images::from_images(
        &(0..96)
            .map(|i| {
                let one = images(96, 12, 1).get(i).unwrap();
                Image::new(3, 12, 12, one.bytes().repeat(3)).unwrap()
            })
            .collect::<Vec<_>>(),
    )
    .unwrap();
    let setting = Setting {
        epochs: 25,
        cfg: MpSslConfig { batch_size: 24, ..Default::default() },
        ..Setting::new(&mixture, "equal")
    };
    let sgd = Sgd::new(SgdConfig { lr: 0.1, momentum: 0.9, ..Default::default() }).unwrap();
    let last = setting.run(&grey, sgd).0.unwrap().epochs.pop().unwrap();
    let of = |name: &str| last.metric(name).unwrap();
    // Learned: less than half the loss of chance. Not to be learned: no less than chance (but for the noise of the last epoch's draws).
    let chance = 4f64.ln();
    for task in ["rotation", "brightness"] {
        let (train, held_out) = (of(&format!("loss.{task}")), of(&format!("validation.loss.{task}")));
        assert!(train < chance / 2.0 && held_out < chance / 2.0, "{task}: {last:?}");
        assert!(
            of(&format!("accuracy.{task}")) > 0.75 && of(&format!("validation.accuracy.{task}")) > 0.75,
            "{task}: {last:?}"
        );
    }
    assert!(of("loss.color") > chance - 0.1 && of("validation.loss.color") > chance - 0.1, "{last:?}");
    // Chance is 1/4; five standard errors of 96 draws.
    assert!((of("validation.accuracy.color") - 0.25).abs() < 5.0 * (0.25f64 * 0.75 / 96.0).sqrt(), "{last:?}");
    assert!((of("weight.color") - 1.0 / 3.0).abs() < 1e-12);
    for metric in ["norm.color", "descent.rotation", "cosine.rotation.color", "direction_norm", "pareto_residual"] {
        assert!(of(metric).is_finite(), "{metric}");
    }
}

#[test]
fn one_task_has_the_weight_one() {
    let images = images(10, 8, 3);
    for weighting in ["equal", "mgda"] {
        let (_, log, _) = Setting::new(&rotation_and(vec![]), weighting).run(&images, Sgd::with_lr(0.1).unwrap());
        assert!(log.iter().all(|r| r.weights == [1.0]), "{weighting}");
    }
}

#[test]
fn an_evaluation_leaves_the_network_as_it_is() {
    let (mixture, images) = (rotation_and(vec![magnitudes(EnhancementKind::Color)]), images(7, 8, 3));
    let trunk = trunk(3);
    let net = PretextNet::new(&trunk, &mixture, 1, Rng::new(0)).unwrap();
    let before = bits(net.params());
    let first = net.evaluate(&mixture, &images, &Rng::new(1)).unwrap();
    assert_eq!(first, net.evaluate(&mixture, &images, &Rng::new(1)).unwrap());
    assert_eq!(bits(net.params()), before);
    assert_eq!(
        first.iter().map(|m| m.0.as_str()).collect::<Vec<_>>(),
        ["loss.rotation", "loss.color", "accuracy.rotation", "accuracy.color"]
    );
}

#[test]
fn a_supervised_head_trains_the_same_trunk() {
    let trunk = trunk(0);
    let net = Supervised::new(&trunk, 2, Rng::new(0)).unwrap();
    // Rows or columns.
    let even = |n: usize| n.is_multiple_of(2);
    let stripes = |i: usize| (0..192).map(move |p| if even(if even(i) { p / 8 } else { p }) { 200 } else { 30 });
    let images = Images::new((3, 8, 8), (0..20).flat_map(stripes).collect()).unwrap();
    let x = images.to_unit(DType::F32, &Device::Cpu).unwrap();
    let data = Labelled::new(x, &[0, 1].repeat(10), 2).unwrap();
    let before = bits(trunk.params());
    let cfg = TrainConfig { epochs: 15, batch_size: 10, ..Default::default() };
    Trainer::new(cfg, &CrossEntropy)
        .unwrap()
        .fit(&net, &data, &mut Adam::with_lr(0.02).unwrap(), &Rng::new(0))
        .unwrap();
    assert_ne!(bits(trunk.params()), before);
    let found = net.logits(data.x()).unwrap().argmax(1).unwrap().to_vec1::<u32>().unwrap();
    assert_eq!(found, [0, 1].repeat(10));
    assert!(Supervised::new(&trunk, 1, Rng::new(0)).is_err());
}

#[test]
fn trunks() {
    let nin = ConvTrunk::new(ConvTrunkConfig::nin(), Rng::new(0), DType::F32, &Device::Cpu).unwrap();
    // 192 x 3 x 25 + 160 x 192 + 96 x 160, 192 x 96 x 25 + 2 x 192^2, and twice 192^2 x 9 + 2 x 192^2; two numbers a channel.
    let kernels = 14_400 + 30_720 + 15_360 + 460_800 + 73_728 + 2 * (331_776 + 73_728);
    assert_eq!(nin.params().count(), kernels + 2 * (192 + 160 + 96 + 9 * 192));
    let x = Tensor::zeros((1, 3, 32, 32), DType::F32, &Device::Cpu).unwrap();
    let shapes: Vec<Vec<usize>> = nin.blocks(&x, Mode::Frozen).unwrap().iter().map(|t| t.dims().to_vec()).collect();
    assert_eq!(shapes, [[1, 96, 16, 16], [1, 192, 8, 8], [1, 192, 8, 8], [1, 192, 8, 8]]);
    assert_eq!(nin.channels(), [96, 192, 192, 192]);
    let new = |cfg| ConvTrunk::new(cfg, Rng::new(0), DType::F32, &Device::Cpu);
    assert!(new(ConvTrunkConfig::plain(&[])).is_err() && new(ConvTrunkConfig::plain(&[4, 0])).is_err());
    let e = trunk(0).blocks(&Tensor::zeros((1, 1, 8, 8), DType::F32, &Device::Cpu).unwrap(), Mode::Frozen);
    assert!(e.unwrap_err().to_string().contains("(N, 3, H, W)"));
}

#[test]
fn mp_ssl_refuses() {
    let (mixture, images, trunk) = (rotation_and(vec![]), images(4, 8, 3), trunk(0));
    let net = PretextNet::new(&trunk, &mixture, 1, Rng::new(0)).unwrap();
    let equal = || "equal".parse::<WeightingConfig>().unwrap().build().unwrap();
    let with = |mixture: &Mixture, cfg| {
        let sgd = Sgd::with_lr(0.1).unwrap();
        MpSsl::new(&net, mixture, &images, equal(), sgd, cfg, &Rng::new(0)).map(|_| ()).unwrap_err().to_string()
    };
    let zero = MpSslConfig { batch_size: 0, ..Default::default() };
    assert!(with(&mixture, zero).contains("MpSslConfig.batch_size"));
    let sum = MpSslConfig { weight_sum: Some(0.0), ..Default::default() };
    assert!(with(&mixture, sum).contains("MpSslConfig.weight_sum"));
    let other = rotation_and(vec![magnitudes(EnhancementKind::Color)]);
    assert!(with(&other, MpSslConfig::default()).contains(r#"["rotation", "color"]"#));
    assert!(PretextNet::new(&trunk, &mixture, 0, Rng::new(0)).is_err());
}
