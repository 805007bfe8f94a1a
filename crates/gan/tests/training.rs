//! The trainer and the arms of Domain Fusion: exact resume, exposure, divergence, one step by hand, a toy that is learned.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use sconce_gan::domain_fusion::{Arm, DomainFusion, DomainFusionConfig, NewClasses, Phase, SampleConfig, sample};
use sconce_gan::loss::{AdaConfig, DiffAugment, DiffAugmentConfig, GanLoss, Penalty};
use sconce_gan::nets::{
    Conditioning, DcganDiscriminator, DcganGenerator, Discriminator, DiscriminatorConfig, Generator, GeneratorConfig,
    Pass, Scores,
};
use sconce_gan::trainer::{Domain, Domains, Gan, GanConfig};
use sconce_gan::{Error, Result};
use sconce_tensor_core::candle_core::{DType, Device, Tensor};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::nn::{Builder, Linear};
use sconce_tensor_core::optim::{Adam, AdamConfig, Schedule, Sgd};
use sconce_tensor_core::train::{Checkpoint, Engine, Observer, Progress, Report, StepContext, Task};
use sconce_tensor_core::{Mode, Module, Params, Rng, ops};
use std::path::Path;

const CPU: Device = Device::Cpu;

struct Kill(usize);

impl Observer for Kill {
    fn step(&mut self, p: &Progress) -> Result<()> {
        if p.step == self.0 { Err(Error::value("test", "killed")) } else { Ok(()) }
    }
}

/// Images of bars: class k is a bright row at 2 k.
fn bars(n: usize, classes: usize, seed: u64) -> Labelled {
    let noise = Rng::new(seed).uniform((n, 1, 8, 8), -1.0..-0.8, DType::F32, &CPU).unwrap();
    let labels: Vec<u32> = (0..n).map(|i| (i % classes) as u32).collect();
    let bright: Vec<f32> = (0..n * 64).map(|i| if i % 64 / 8 == 2 * (i / 64 % classes) { 1.5 } else { 0.0 }).collect();
    let x = (noise + Tensor::from_vec(bright, (n, 1, 8, 8), &CPU).unwrap()).unwrap();
    Labelled::new(x, &labels, classes).unwrap()
}

fn nets(classes: usize, conditioning: Conditioning) -> (DcganGenerator, DcganDiscriminator) {
    nets_of(2, classes, conditioning)
}

fn nets_of(width: usize, classes: usize, conditioning: Conditioning) -> (DcganGenerator, DcganDiscriminator) {
    let g = GeneratorConfig { side: 8, classes, noise: 4, width, ..GeneratorConfig::default() };
    let d = DiscriminatorConfig { side: 8, classes, width, conditioning, ..DiscriminatorConfig::default() };
    (
        DcganGenerator::new(g, Rng::new(1), DType::F32, &CPU).unwrap(),
        DcganDiscriminator::new(d, Rng::new(2), DType::F32, &CPU).unwrap(),
    )
}

fn adam() -> [Adam; 2] {
    [2e-3, 4e-3].map(|lr| Adam::new(AdamConfig { lr, beta1: 0.0, beta2: 0.9, ..AdamConfig::default() }).unwrap())
}

fn bits(params: &Params) -> Vec<u32> {
    params.iter().flat_map(|p| p.var().flatten_all().unwrap().to_vec1::<f32>().unwrap()).map(f32::to_bits).collect()
}

/// All that a run uses: two critic steps, a relativistic loss, augmentation under control, an auxiliary head, a grid, held-out examples.
fn cfg() -> GanConfig {
    GanConfig {
        loss: GanLoss::NonSaturating,
        critic_steps: 2,
        steps: 3,
        average: Some(0.5),
        augment: Some(DiffAugment::new(DiffAugmentConfig { padding: -1.0, ..DiffAugmentConfig::default() }).unwrap()),
        ada: Some(AdaConfig { images: 100.0, target: 0.0, ..AdaConfig::default() }),
        ..GanConfig::default()
    }
}

/// Phases of an arm with a checkpoint each; killed at a step of a phase, counted over all phases.
fn run(arm: Arm, folder: Option<&Path>, mut kill: Option<usize>) -> (Result<Vec<Report>>, Vec<u32>, Vec<f32>) {
    let (target, outer, held_out) = (bars(10, 2, 3), bars(21, 3, 4), bars(6, 2, 5));
    let fusion =
        DomainFusionConfig { arm, target_batch: 4, outer_batch: 3, epochs: 2, outer_epochs: 1, ..Default::default() };
    let fusion = DomainFusion::new(fusion, &target, &outer).unwrap();
    let (g, mut d) = nets(fusion.labels().classes(), Conditioning::Auxiliary);
    let mut shown = Vec::new();
    let mut all = || {
        let mut reports = Vec::new();
        for phase in fusion.phases()? {
            phase.enter(&g, &mut d, &Rng::new(6))?;
            let Phase { name, epochs, domains, .. } = phase;
            let show = |_, x: &Tensor| {
                shown = x.flatten_all()?.to_vec1()?;
                Ok(())
            };
            let rng = Rng::new(7);
            let gan = Gan::new(&g, &d, domains, adam(), cfg(), &rng)?;
            let mut gan = gan.held_out(&held_out, 0)?.sampled_every(2, vec![0, 1], show)?;
            let checkpoint = folder.map(|f| Checkpoint::new(f.join(name), "x").every_steps(2).unwrap());
            let steps = 3 * epochs;
            let here = kill.filter(|k| *k <= steps);
            kill = kill.and_then(|k| k.checked_sub(steps));
            let mut killer = Kill(here.unwrap_or(usize::MAX));
            reports.push(Engine::new(epochs)?.resuming(checkpoint).observed_by(&mut killer).run(&mut gan, &rng)?);
        }
        Ok(reports)
    };
    let result = all();
    (result, [bits(g.params()), bits(d.params())].concat(), shown)
}

#[test]
fn killed_and_resumed_it_ends_with_the_same_bytes() {
    for (arm, steps) in [(Arm::Joint, 6), (Arm::FreezeD { blocks: 1 }, 9)] {
        let (whole, bytes, shown) = run(arm, None, None);
        let whole = whole.unwrap();
        for kill in 1..=steps {
            let folder = tempfile::tempdir().unwrap();
            run(arm, Some(folder.path()), Some(kill)).0.unwrap_err();
            let (again, got, grid) = run(arm, Some(folder.path()), None);
            assert_eq!((&again.unwrap(), &got), (&whole, &bytes), "{arm:?} killed at step {kill}");
            // The last epoch's grid is shown again unless it was done before.
            assert!(grid == shown || grid.is_empty());
        }
        let last = &whole[whole.len() - 1].epochs[1];
        for name in [
            "loss.discriminator",
            "loss.generator",
            "score.train",
            "score.held_out",
            "accuracy.fake",
            "augment.p",
            "sigma.class",
        ] {
            assert!(last.metric(name).is_some(), "{name}");
        }
    }
}

#[test]
fn every_arm_sees_the_target_equally_often() {
    let (target, outer) = (bars(10, 2, 3), bars(21, 3, 4));
    let arms = [Arm::TargetOnly, Arm::Joint, Arm::FineTuned, Arm::FreezeD { blocks: 2 }];
    for (arm, classes, outer_images) in
        arms.into_iter().zip([2, 5, 5, 5]).zip([0, 1800, 900, 900]).map(|((a, b), c)| (a, b, c))
    {
        let cfg = DomainFusionConfig {
            arm,
            target_batch: 8,
            outer_batch: 6,
            epochs: 3,
            outer_epochs: 1,
            ..Default::default()
        };
        let fusion = DomainFusion::new(
            DomainFusionConfig { outer_epochs: 3, epochs: 6, outer_batch: 6, ..cfg },
            &target,
            &outer,
        )
        .unwrap();
        assert_eq!(fusion.labels().classes(), classes);
        let (mut of_target, mut of_outer) = (0, 0);
        for phase in fusion.phases().unwrap() {
            assert!(phase.domains.classes() <= classes);
            for (i, d) in phase.domains.iter().enumerate() {
                let images = phase.domains.exposure(i, phase.epochs * 50);
                if d.first_class == 0 { of_target += images } else { of_outer += images }
            }
        }
        assert_eq!((of_target, of_outer), (8 * 6 * 50, outer_images), "{arm:?}");
    }
    // A weight of 1 leaves the outer data out.
    let cfg = DomainFusionConfig { target_weight: 1.0, ..DomainFusionConfig::default() };
    assert_eq!(DomainFusion::new(cfg, &target, &outer).unwrap().phases().unwrap()[0].domains.iter().count(), 1);
    for bad in [0.0, 1.1, f64::NAN] {
        let cfg = DomainFusionConfig { target_weight: bad, ..DomainFusionConfig::default() };
        assert!(DomainFusion::new(cfg, &target, &outer).is_err());
    }
}

#[test]
fn fine_tuning_keeps_what_it_should() {
    let (target, outer) = (bars(10, 2, 3), bars(21, 3, 4));
    let cfg = DomainFusionConfig {
        arm: Arm::FreezeD { blocks: 1 },
        new_classes: NewClasses::MeanOuter,
        ..Default::default()
    };
    let fusion = DomainFusion::new(cfg, &target, &outer).unwrap();
    let (g, mut d) = nets(5, Conditioning::Projection);
    let phases = fusion.phases().unwrap();
    assert_eq!(phases.iter().map(|p| p.name).collect::<Vec<_>>(), ["outer", "target"]);
    phases[0].enter(&g, &mut d, &Rng::new(0)).unwrap();
    assert_eq!(d.trainable().iter().count(), d.params().iter().count());
    phases[1].enter(&g, &mut d, &Rng::new(0)).unwrap();
    let table = d.params().get("head.class.weight").unwrap().var().to_vec2::<f32>().unwrap();
    assert_eq!(table[0], table[1]);
    let (block, head) = ("block0.weight", "head.score.weight");
    let of = |name: &str| d.params().get(name).unwrap().var().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let before = (of(block), of(head));
    let rng = Rng::new(1);
    let mut gan =
        Gan::new(&g, &d, phases[1].domains.clone(), adam(), GanConfig { steps: 2, ..GanConfig::default() }, &rng)
            .unwrap();
    Engine::new(1).unwrap().run(&mut gan, &rng).unwrap();
    assert_eq!(of(block), before.0);
    assert_ne!(of(head), before.1);
}

#[test]
fn samples_are_balanced_in_the_unit_range_and_do_not_depend_on_the_batch() {
    let target = bars(10, 2, 3);
    let (g, d) = nets(5, Conditioning::Projection);
    let rng = Rng::new(1);
    let cfg = |batch| SampleConfig { classes: 2, per_class: 5, batch };
    assert!(sample(&g, cfg(3), &rng).is_err(), "no standing statistics");
    let domains = Domains::new(vec![Domain { data: &target, first_class: 0, batch: 4, weight: 1.0 }]).unwrap();
    let mut gan = Gan::new(&g, &d, domains, adam(), GanConfig { steps: 1, ..GanConfig::default() }, &rng).unwrap();
    Engine::new(1).unwrap().run(&mut gan, &rng).unwrap();
    let (a, b) = (sample(&g, cfg(3), &rng).unwrap(), sample(&g, cfg(10), &rng).unwrap());
    let pixels = |l: &Labelled| l.x().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(pixels(&a), pixels(&b));
    assert!(pixels(&a).iter().all(|v| (0.0..=1.0).contains(v)));
    assert_eq!((a.labels().unwrap(), a.classes()), ([0, 1].repeat(5), 2));
    assert!(sample(&g, SampleConfig { classes: 6, ..cfg(3) }, &rng).is_err());
}

/// Points on a line with a linear generator and discriminator: one step is computed by hand.
struct Line {
    params: Params,
    map: Linear,
}

impl Line {
    fn new(seed: u64) -> Self {
        let mut params = Params::new();
        let mut b = Builder::new(&mut params, Rng::new(seed), DType::F64, &CPU);
        let map = Linear::new(&mut b, 1, 1).unwrap();
        Self { params, map }
    }

    fn weights(&self) -> (f64, f64) {
        let of = |n: &str| self.params.get(n).unwrap().var().flatten_all().unwrap().to_vec1::<f64>().unwrap()[0];
        (of("weight"), of("bias"))
    }
}

impl Module for Line {
    fn params(&self) -> &Params {
        &self.params
    }
}

impl Generator for Line {
    fn noise(&self) -> usize {
        1
    }

    fn classes(&self) -> usize {
        1
    }

    fn generate(&self, z: &Tensor, _: &Tensor, pass: Pass) -> Result<Tensor> {
        self.map.forward(z, pass.mode())
    }
}

impl Discriminator for Line {
    fn classes(&self) -> usize {
        1
    }

    fn score(&self, x: &Tensor, _: &Tensor, mode: Mode) -> Result<Scores> {
        Ok(Scores { realness: self.map.forward(x, mode)?.squeeze(1)?, classes: None })
    }
}

fn line(x: f64) -> Labelled {
    Labelled::new(Tensor::new(&[[x], [x]], &CPU).unwrap(), &[0, 0], 1).unwrap()
}

#[test]
fn one_step_by_hand() {
    let (data, rng) = (line(3.0), Rng::new(5));
    let (g, d) = (Line::new(1), Line::new(2));
    let domains = || Domains::new(vec![Domain { data: &data, first_class: 0, batch: 1, weight: 1.0 }]).unwrap();
    // The noise is what the trainer draws: found from the generated point.
    let z = {
        let probe = Line::new(1);
        probe.params.get("weight").unwrap().var().set(&Tensor::new(&[[1f64]], &CPU).unwrap()).unwrap();
        probe.params.get("bias").unwrap().var().set(&Tensor::new(&[0f64], &CPU).unwrap()).unwrap();
        let seen = std::cell::Cell::new(0.0);
        struct Spy<'a>(Line, &'a std::cell::Cell<f64>);
        impl Module for Spy<'_> {
            fn params(&self) -> &Params {
                self.0.params()
            }
        }
        impl Discriminator for Spy<'_> {
            fn classes(&self) -> usize {
                1
            }
            fn score(&self, x: &Tensor, y: &Tensor, mode: Mode) -> Result<Scores> {
                if mode == Mode::Frozen && x.dims() == [1, 1] {
                    self.1.set(x.flatten_all()?.to_vec1::<f64>()?[0]);
                }
                self.0.score(x, y, mode)
            }
        }
        let spy = Spy(Line::new(2), &seen);
        let cfg = GanConfig { steps: 1, average: None, ..GanConfig::default() };
        let sgd = [Sgd::with_lr(1e-9).unwrap(), Sgd::with_lr(1e-9).unwrap()];
        Engine::new(1).unwrap().run(&mut Gan::new(&probe, &spy, domains(), sgd, cfg, &rng).unwrap(), &rng).unwrap();
        seen.get()
    };
    let ((a, b), (w, c)) = (g.weights(), d.weights());
    let cfg = GanConfig {
        loss: GanLoss::Wasserstein,
        steps: 1,
        average: None,
        schedule: Schedule::Constant,
        ..GanConfig::default()
    };
    let sgd = [Sgd::with_lr(0.1).unwrap(), Sgd::with_lr(0.2).unwrap()];
    let report = Engine::new(1).unwrap().run(&mut Gan::new(&g, &d, domains(), sgd, cfg, &rng).unwrap(), &rng).unwrap();
    let fake = a * z + b;
    // Loss w (fake - 3), whose derivative to w is fake - 3 and to c 0; then the generator's with the new w.
    let moved = w - 0.2 * (fake - 3.0);
    let near = |(got, want): (f64, f64)| assert!((got - want).abs() < 1e-12, "{got} {want}");
    let epoch = &report.epochs[0];
    near((epoch.metric("loss.discriminator").unwrap(), w * (fake - 3.0)));
    near((epoch.metric("score.real").unwrap(), 3.0 * w + c));
    near((epoch.metric("loss.generator").unwrap(), -(moved * fake + c)));
    near((d.weights().0, moved));
    near((d.weights().1, c));
    near((g.weights().0, a + 0.1 * moved * z));
    near((g.weights().1, b + 0.1 * moved));
    near((epoch.metric("score.train").unwrap(), 3.0 * moved + c));
}

#[test]
fn divergence_and_bad_inputs_are_named() {
    let rng = Rng::new(5);
    let run = |x: f64, lr: f64| {
        let data = line(x);
        let (g, d) = (Line::new(1), Line::new(2));
        let domains = Domains::new(vec![Domain { data: &data, first_class: 0, batch: 1, weight: 1.0 }]).unwrap();
        let sgd = [Sgd::with_lr(lr).unwrap(), Sgd::with_lr(lr).unwrap()];
        let cfg = GanConfig { loss: GanLoss::LeastSquares, steps: 50, ..GanConfig::default() };
        Engine::new(1)?.run(&mut Gan::new(&g, &d, domains, sgd, cfg, &rng)?, &rng)
    };
    let e = run(3.0, 1e80).unwrap_err();
    assert!(matches!(e, Error::NotFinite { .. }) && e.to_string().starts_with("loss of the "), "{e}");
    assert!(e.to_string().contains("at step ") && e.to_string().contains("epoch 0"), "{e}");

    let (g, d) = nets(2, Conditioning::None);
    let unit = Labelled::new(Tensor::rand(0f32, 1.0, (4, 1, 8, 8), &CPU).unwrap(), &[0, 1, 0, 1], 2).unwrap();
    let target = bars(10, 3, 3);
    let new = |data, cfg| {
        let domains = Domains::new(vec![Domain { data, first_class: 0, batch: 1, weight: 1.0 }]).unwrap();
        Gan::new(&g, &d, domains, adam(), cfg, &rng).err().map(|e| e.to_string()).unwrap_or_default()
    };
    let e = new(&unit, GanConfig::default());
    assert!(e.contains("to_signed") && e.contains("GanConfig.upper_half"), "{e}");
    // Light images are taken where they are meant, as held-out ones always; images outside of the range never are.
    let light = GanConfig { upper_half: true, ..GanConfig::default() };
    assert_eq!(new(&unit, light.clone()), "");
    let bytes = Labelled::new((unit.x() * 255.0).unwrap(), &[0, 1, 0, 1], 2).unwrap();
    let e = new(&bytes, light);
    assert!(e.contains("to_signed") && !e.contains("upper_half"), "{e}");
    let two = bars(10, 2, 3);
    let domains = Domains::new(vec![Domain { data: &two, first_class: 0, batch: 1, weight: 1.0 }]).unwrap();
    let gan = Gan::new(&g, &d, domains, adam(), GanConfig::default(), &rng).unwrap();
    assert!(gan.held_out(&unit, 0).unwrap().held_out(&bytes, 0).is_err());
    assert!(new(&target, GanConfig::default()).contains("at least the 3 of the domains"));
    let target = bars(10, 2, 3);
    assert!(new(&target, GanConfig { critic_steps: 0, ..GanConfig::default() }).contains("critic_steps"));
    assert!(
        new(&target, GanConfig { ada: Some(AdaConfig::default()), ..GanConfig::default() }).contains("needs `augment`")
    );
    assert!(
        new(&target, GanConfig { penalty: Some(Penalty::R1(1.0)), ..GanConfig::default() }).contains("DO_NOT_DETACH")
    );
}

/// Accuracies of least squares are about the middle of its targets; showing samples leaves the state of training as it is.
#[test]
fn accuracies_and_grids() {
    let (data, rng) = (line(3.0), Rng::new(5));
    let accuracy = |bias: f64, loss| {
        let (g, d) = (Line::new(1), Line::new(2));
        let set = |n: &str, v: Tensor| d.params.get(n).unwrap().var().set(&v).unwrap();
        set("weight", Tensor::new(&[[0f64]], &CPU).unwrap());
        set("bias", Tensor::new(&[bias], &CPU).unwrap());
        let domains = Domains::new(vec![Domain { data: &data, first_class: 0, batch: 1, weight: 1.0 }]).unwrap();
        let sgd = [Sgd::with_lr(1e-9).unwrap(), Sgd::with_lr(1e-9).unwrap()];
        let cfg = GanConfig { loss, steps: 1, average: None, ..GanConfig::default() };
        let mut gan = Gan::new(&g, &d, domains, sgd, cfg, &rng).unwrap();
        let report = Engine::new(1).unwrap().run(&mut gan, &rng).unwrap();
        ["accuracy.real", "accuracy.fake", "accuracy.train"].map(|n| report.epochs[0].metric(n).unwrap())
    };
    assert_eq!(accuracy(0.3, GanLoss::LeastSquares), [0.0, 1.0, 0.0]);
    assert_eq!(accuracy(0.7, GanLoss::LeastSquares), [1.0, 0.0, 1.0]);
    assert_eq!(accuracy(0.3, GanLoss::NonSaturating), [1.0, 0.0, 1.0]);

    let target = bars(10, 2, 3);
    let state = |shown: bool| {
        let (g, d) = nets(2, Conditioning::Projection);
        let domains = Domains::new(vec![Domain { data: &target, first_class: 0, batch: 4, weight: 1.0 }]).unwrap();
        let mut gan = Gan::new(&g, &d, domains, adam(), GanConfig { steps: 2, ..GanConfig::default() }, &rng).unwrap();
        if shown {
            gan = gan.sampled_every(1, vec![0, 1], |_, _| Ok(())).unwrap();
        }
        for step in 0..2 {
            let at = StepContext { epoch: 0, index: step, step, total: 4, examples: &[], rng };
            gan.step(&at).unwrap();
        }
        gan.end_epoch(1).unwrap();
        bits(g.params())
    };
    assert_eq!(state(true), state(false));
}

/// A small GAN learns where the bars of two classes are: the row of the class is the brightest of its samples.
#[test]
fn bars_are_learned() {
    let target = bars(40, 2, 3);
    let (g, d) = nets_of(8, 2, Conditioning::Projection);
    let rng = Rng::new(1);
    let domains = Domains::new(vec![Domain { data: &target, first_class: 0, batch: 16, weight: 1.0 }]).unwrap();
    let cfg = GanConfig { steps: 300, average: Some(0.98), ..GanConfig::default() };
    let mut gan = Gan::new(&g, &d, domains, adam(), cfg, &rng).unwrap();
    Engine::new(1).unwrap().run(&mut gan, &rng).unwrap();
    let samples = sample(&g, SampleConfig { classes: 2, per_class: 20, batch: 40 }, &rng).unwrap();
    let rows = samples.x().mean(3).unwrap().squeeze(1).unwrap().to_vec2::<f32>().unwrap();
    let brightest = |r: &Vec<f32>| (0..8).max_by(|a, b| r[*a].total_cmp(&r[*b])).unwrap();
    let right = rows.iter().enumerate().filter(|(i, r)| brightest(r) == 2 * (i % 2)).count();
    assert!(right >= 36, "{right} of 40");
}

/// R1 within a run: the process that keeps graphs trains, and its discriminator has smaller gradients.
#[test]
fn a_penalty_in_training() {
    const KEEP: &str = "CANDLE_GRAD_DO_NOT_DETACH";
    if std::env::var_os(KEEP).is_none() {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        let done = again.args(["--exact", "a_penalty_in_training"]).env(KEEP, "1").output().unwrap();
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let (target, rng) = (bars(10, 2, 3), Rng::new(1));
    let gradient = |penalty| {
        let g = nets(2, Conditioning::Projection).0;
        let d = DiscriminatorConfig {
            side: 8,
            classes: 2,
            width: 2,
            spectral_norm: false,
            ..DiscriminatorConfig::default()
        };
        let d = DcganDiscriminator::new(d, Rng::new(2), DType::F32, &CPU).unwrap();
        let domains = Domains::new(vec![Domain { data: &target, first_class: 0, batch: 8, weight: 1.0 }]).unwrap();
        let cfg = GanConfig { steps: 10, penalty, ..GanConfig::default() };
        Engine::new(1).unwrap().run(&mut Gan::new(&g, &d, domains, adam(), cfg, &rng).unwrap(), &rng).unwrap();
        let score = |x: &Tensor| Ok(d.score(x, target.y(), Mode::Eval)?.realness);
        let norms = sconce_gan::loss::gradient_norms(score, target.x()).unwrap();
        norms.mean_all().unwrap().to_scalar::<f32>().unwrap()
    };
    let none = gradient(None);
    for penalty in [Penalty::R1(100.0), Penalty::Wasserstein(0.1)] {
        let with = gradient(Some(penalty));
        assert!(with.is_finite() && (with < none || penalty != Penalty::R1(100.0)), "{with} {none}");
    }
    // A batch norm in the discriminator has no second derivative: an error.
    let normed = |x: &Tensor| {
        let (one, zero) = (Tensor::ones(1, DType::F32, &CPU)?, Tensor::zeros(1, DType::F32, &CPU)?);
        Ok(ops::batch_norm_train(x, &one, &zero, 1e-5)?.sqr()?.flatten_from(1)?.sum(1)?)
    };
    let w = sconce_tensor_core::candle_core::Var::new(1f32, &CPU).unwrap();
    let loss = sconce_gan::loss::r1(|x| normed(&x.broadcast_mul(&w)?), target.x(), 1.0, None).unwrap();
    assert!(ops::last_backward(&loss).is_err());
}
