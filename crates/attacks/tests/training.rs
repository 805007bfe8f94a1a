//! Adversarial training: the objectives by hand, what they leave alone, what they keep.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor};
use sconce_attacks::training::{Awp, Madry, Mart, RobustAccuracy, Trades, TradesConfig};
use sconce_attacks::{
    Attack, Classifier, Error, ExampleRng, Goal, Norm, Perturbed, Pgd, PgdConfig, Result, Rng, Threat,
};
use sconce_tensor_core::data::{Batch, Labelled};
use sconce_tensor_core::nets::{SmallCnn, SmallCnnConfig};
use sconce_tensor_core::optim::{Sgd, SgdConfig};
use sconce_tensor_core::train::{Checkpoint, CrossEntropy, EpochReport, KeepBest, Objective, TrainConfig, Trainer};
use sconce_tensor_core::{Mode, Module, Network, ops};

use std::sync::atomic::{AtomicUsize, Ordering};

mod support;
use support::trained;

fn rng(n: usize) -> ExampleRng {
    ExampleRng::new(Rng::new(5), (0..n as u64).collect())
}

fn batch(n: usize) -> (SmallCnn, Batch) {
    let (net, x, y) = trained(n);
    (net, Batch { x, y, indices: (0..n as u64).collect(), targets: None, step: 0 })
}

fn number(t: &Tensor) -> f64 {
    t.to_dtype(DType::F64).unwrap().to_scalar().unwrap()
}

fn pgd(eps: f64) -> Pgd {
    Pgd::new(PgdConfig { eps, steps: 3, ..PgdConfig::default() }).unwrap()
}

fn bits(net: &SmallCnn) -> Vec<u32> {
    net.params().iter().flat_map(|p| still(p.var())).collect()
}

fn still(t: &Tensor) -> Vec<u32> {
    t.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().map(|v| v.to_bits()).collect()
}

#[test]
fn without_a_radius_every_objective_is_about_clean_inputs() {
    let (net, b) = batch(8);
    let z = net.forward(&b.x, Mode::Train).unwrap();
    let ce = number(&ops::cross_entropy(&z, &b.y).unwrap().mean_all().unwrap());
    let none = pgd(0.0);
    let trades = Trades::new(TradesConfig { attack: PgdConfig { eps: 0.0, ..Default::default() }, beta: 6.0 }).unwrap();
    let (madry, mixed) = (Madry::new(&none), Madry::with_clean(&none, 0.5).unwrap());
    for (name, objective) in [("madry", &madry as &dyn Objective), ("mixed", &mixed), ("trades", &trades)] {
        let loss = number(&objective.loss(&net, &b, &rng(8)).unwrap().loss);
        assert!((loss - ce).abs() < 1e-6, "{name}: {loss} and {ce}");
    }
    // MART by hand: the boosted cross-entropy alone, since the divergence is 0.
    let p = ops::log_softmax(&z).unwrap().exp().unwrap().to_vec2::<f32>().unwrap();
    let y = b.y.to_vec1::<u32>().unwrap();
    let boosted = p.iter().zip(&y).map(|(p, y)| {
        let rival = p.iter().enumerate().filter(|e| e.0 != *y as usize).map(|e| *e.1).fold(0.0, f32::max);
        -f64::from(p[*y as usize]).ln() - (1.0001 - f64::from(rival)).ln()
    });
    let want = boosted.sum::<f64>() / 8.0;
    let mart = Mart::new(&none, 5.0).unwrap();
    let got = number(&mart.loss(&net, &b, &rng(8)).unwrap().loss);
    assert!((got - want).abs() < 1e-5, "{got} and {want}");
}

#[test]
fn attacked_losses_are_larger_and_trades_is_what_its_formula_says() {
    let (net, b) = batch(8);
    let attack = pgd(0.1);
    let loss = |o: &dyn Objective| number(&o.loss(&net, &b, &rng(8)).unwrap().loss);
    assert!(loss(&Madry::new(&attack)) > loss(&CrossEntropy) * 1.5);
    let trades = Trades::new(TradesConfig {
        attack: PgdConfig { eps: 0.1, steps: 3, random_start: false, ..Default::default() },
        beta: 3.0,
    });
    let out = trades.unwrap().loss(&net, &b, &rng(8)).unwrap();
    let rows = |t: &Tensor| ops::log_softmax(t).unwrap().to_dtype(DType::F64).unwrap().to_vec2::<f64>().unwrap();
    let (p, q) = (rows(&out.clean_logits.unwrap()), rows(&out.logits));
    let y = b.y.to_vec1::<u32>().unwrap();
    let want: f64 = (0..8)
        .map(|i| {
            let apart: f64 = p[i].iter().zip(&q[i]).map(|(p, q)| p.exp() * (p - q)).sum();
            (-p[i][y[i] as usize] + 3.0 * apart) / 8.0
        })
        .sum();
    assert!((number(&out.loss) - want).abs() < 1e-5 && want > loss(&CrossEntropy));
}

/// The attack sees running statistics and leaves them; one training pass moves them once.
#[test]
fn attacks_leave_running_statistics_alone() {
    let cfg = SmallCnnConfig {
        input: (1, 8, 8),
        classes: 4,
        channels: (3, 4),
        kernel: 3,
        hidden: 8,
        batch_norm: true,
        ..Default::default()
    };
    let make = || SmallCnn::new(cfg.clone(), Rng::new(0), DType::F32, &Device::Cpu).unwrap();
    let (attacked, plain) = (make(), make());
    let (_, b) = batch(8);
    let attack = pgd(0.1);
    let x = attack.perturb(&attacked, &b.x, &sconce_attacks::Goal::Untargeted(b.y.clone()), &rng(8)).unwrap().x;
    for (p, q) in attacked.params().iter().zip(plain.params().iter()) {
        assert_eq!(still(&p.var().as_detached_tensor()), still(&q.var().as_detached_tensor()), "{}", p.name());
    }
    Madry::new(&attack).loss(&attacked, &b, &rng(8)).unwrap();
    plain.forward(&x.clamp(0.0, 1.0).unwrap(), Mode::Train).unwrap();
    for (p, q) in attacked.params().iter().zip(plain.params().iter()) {
        let (p, q) = (p.var().as_detached_tensor(), q.var().as_detached_tensor());
        let d = (p - q).unwrap().abs().unwrap().max_all().unwrap();
        assert!(number(&d) < 1e-6);
    }
}

#[test]
fn awp_looks_from_worse_weights_and_puts_them_back() {
    let (net, b) = batch(8);
    let before: Vec<Vec<u32>> = net.params().iter().map(|p| still(&p.var().as_detached_tensor())).collect();
    let attack = pgd(0.05);
    let madry = Madry::new(&attack);
    let plain = number(&madry.loss(&net, &b, &rng(8)).unwrap().loss);
    let awp = Awp::new(&madry, 0.05, 0).unwrap();
    let out = awp.loss(&net, &b, &rng(8)).unwrap();
    assert!(number(&out.loss) > plain, "{} and {plain}", number(&out.loss));
    let moved = net.params().iter().zip(&before).filter(|(p, b)| still(&p.var().as_detached_tensor()) != **b).count();
    assert_eq!(moved, 4, "two kernels and two weight matrices");
    // By the share gamma of their own norm.
    ops::backward(&out.loss).unwrap();
    awp.after_backward(&net).unwrap();
    for (p, b) in net.params().iter().zip(&before) {
        assert_eq!(&still(&p.var().as_detached_tensor()), b, "{}", p.name());
    }
    // In the warm-up it is the objective itself.
    let awp = Awp::new(&madry, 0.05, 1).unwrap();
    assert_eq!(number(&awp.loss(&net, &b, &rng(8)).unwrap().loss), plain);
    assert!(Awp::new(&madry, -1.0, 0).is_err());
}

fn data() -> Labelled {
    let (_, x, y) = trained(60);
    Labelled::new(x, &y.to_vec1::<u32>().unwrap(), 4).unwrap()
}

#[test]
fn adversarial_training_makes_robust_and_the_best_epoch_is_kept() {
    let data = data();
    let (train, held_out) = (data.slice(0, 40).unwrap(), data.slice(40, 20).unwrap());
    let (attack, check) = (pgd(0.1), pgd(0.1));
    let net = support::cnn();
    let madry = Madry::new(&attack);
    let mut sgd = Sgd::new(SgdConfig { lr: 0.1, ..Default::default() }).unwrap();
    let cfg = TrainConfig { epochs: 25, batch_size: 10, ..Default::default() };
    let measure = RobustAccuracy::new(&check, &held_out, 0);
    let trainer = Trainer::new(cfg.clone(), &madry)
        .unwrap()
        .evaluated_by(&measure)
        .keeping(KeepBest::highest("robust").then_highest("clean"));
    let report = trainer.fit(&net, &train, &mut sgd, &Rng::new(1)).unwrap();
    let of = |e: &EpochReport| (e.metric("robust").unwrap(), e.metric("clean").unwrap());
    let best = of(&report.epochs[report.best_epoch.unwrap() - 1]);
    assert!(report.epochs.len() == 25 && report.epochs.iter().all(|e| of(e) <= best));
    assert!(best.0 > 0.5 && best.1 >= best.0, "{best:?}");
    // The network has the weights of the best epoch: measured again they give its accuracy.
    let goal = sconce_attacks::Goal::Untargeted(held_out.y().clone());
    let rng = Rng::new(0).stream("validation");
    let found = sconce_attacks::run(&check, &net, held_out.x(), &goal, &Default::default(), &rng).unwrap();
    assert_eq!(found.robust_accuracy().rate(), best.0);
    // Plain training is less robust.
    let plain = support::cnn();
    let mut sgd = Sgd::new(SgdConfig { lr: 0.1, ..Default::default() }).unwrap();
    Trainer::new(cfg, &CrossEntropy).unwrap().fit(&plain, &train, &mut sgd, &Rng::new(1)).unwrap();
    let judged = sconce_attacks::run(&check, &plain, held_out.x(), &goal, &Default::default(), &rng).unwrap();
    assert!(judged.robust_accuracy().rate() < best.0, "{} and {}", judged.robust_accuracy().rate(), best.0);
}

/// An attack whose third call fails, as a kill in the middle of an epoch's measurement would.
struct Stops<'a>(&'a Pgd, AtomicUsize);

impl Attack for Stops<'_> {
    fn threat(&self) -> Threat {
        self.0.threat()
    }

    fn perturb(&self, model: &dyn Classifier, x: &Tensor, goal: &Goal, rng: &ExampleRng) -> Result<Perturbed> {
        if self.1.fetch_add(1, Ordering::Relaxed) == 2 {
            return Err(Error::value("stop", "here"));
        }
        self.0.perturb(model, x, goal, rng)
    }
}

#[test]
fn a_run_that_is_stopped_while_an_epoch_is_measured_misses_no_epoch() {
    let data = data();
    let (train, held_out) = (data.slice(0, 40).unwrap(), data.slice(40, 20).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let check = pgd(0.1);
    let fit = |name: &str, attack: &dyn Attack| {
        let net = support::cnn();
        let mut sgd = Sgd::new(SgdConfig { lr: 0.1, ..Default::default() }).unwrap();
        let cfg = TrainConfig { epochs: 6, batch_size: 10, ..Default::default() };
        let measure = RobustAccuracy::new(attack, &held_out, 0);
        let trainer = Trainer::new(cfg, &CrossEntropy)
            .unwrap()
            .evaluated_by(&measure)
            .keeping(KeepBest::highest("robust").then_highest("clean"))
            .resuming(Checkpoint::new(dir.path().join(name), "test").every_steps(2).unwrap());
        trainer.fit(&net, &train, &mut sgd, &Rng::new(1)).ok().map(|report| (report, bits(&net)))
    };
    let whole = fit("whole", &check);
    let stops = Stops(&check, AtomicUsize::new(0));
    assert!(whole.is_some() && fit("stopped", &stops).is_none());
    assert_eq!(fit("stopped", &stops), whole);
}

#[test]
fn fast_training_is_one_long_step_from_a_random_start() {
    let cfg = PgdConfig::fast(Norm::Linf, 0.1);
    assert!(cfg.random_start && cfg.steps == 1 && (cfg.step_size.of(cfg.eps) - 0.125).abs() < 1e-12);
    assert!(Madry::with_clean(&pgd(0.1), 1.0).is_err() && Mart::new(&pgd(0.1), f64::NAN).is_err());
}
