//! Tasks that are no classification: several losses on shared parameters, one loss without labels. Interrupted at every step they end
//! with the same bytes. (Two networks with an optimizer each: `tests/tests/killed.rs`.)
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{D, DType, Device, Tensor, Var};
use sconce_tensor_core::nn::{Builder, Linear};
use sconce_tensor_core::optim::{Adam, AverageConfig, Optimizer, Sgd, UpdateConfig, Updater};
use sconce_tensor_core::store::State;
use sconce_tensor_core::train::{
    Checkpoint, Engine, EpochEnd, KeepBest, LossTask, Observer, Progress, Report, StepContext, Stop, Task, shuffled,
};
use sconce_tensor_core::{Error, Mode, Module, Params, Result, Rng, ops};
use std::path::Path;

struct Kill(usize);

impl Observer for Kill {
    fn step(&mut self, p: &Progress) -> Result<()> {
        if p.step == self.0 { Err(Error::value("test", "killed")) } else { Ok(()) }
    }
}

fn bits(params: &Params) -> Vec<u32> {
    let of = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    params.iter().flat_map(|p| of(p.var())).map(f32::to_bits).collect()
}

fn normal(shape: (usize, usize), seed: u64) -> Tensor {
    Rng::new(seed).normal(shape, 0.0, 1.0, DType::F32, &Device::Cpu).unwrap()
}

/// A trunk with two heads.
struct TwoHeads {
    params: Params,
    trunk: Linear,
    heads: [Linear; 2],
}

impl Module for TwoHeads {
    fn params(&self) -> &Params {
        &self.params
    }
}

impl TwoHeads {
    fn new() -> Self {
        let mut params = Params::new();
        let mut b = Builder::new(&mut params, Rng::new(0), DType::F32, &Device::Cpu);
        let trunk = Linear::new(&mut b.scope("trunk"), 5, 8).unwrap();
        let heads = ["head0", "head1"].map(|h| Linear::new(&mut b.scope(h), 8, 1).unwrap());
        Self { params, trunk, heads }
    }
}

/// Two losses on one trunk. Each head follows its own loss; the trunk follows the sum of the two unit gradients of the
/// representation: what one optimizer on one sum of losses cannot say.
struct MultiTask {
    net: TwoHeads,
    x: Tensor,
    targets: [Tensor; 2],
    trunk: Updater<Sgd>,
    heads: Updater<Adam>,
}

impl MultiTask {
    fn new() -> Self {
        let cfg = UpdateConfig { average: Some(AverageConfig::ema(0.9)), ..UpdateConfig::default() };
        Self {
            net: TwoHeads::new(),
            x: normal((30, 5), 1),
            targets: [normal((30, 1), 2), normal((30, 1), 3)],
            trunk: Updater::new(Sgd::with_lr(0.02).unwrap(), cfg).unwrap(),
            heads: Updater::new(Adam::with_lr(0.01).unwrap(), UpdateConfig::default()).unwrap(),
        }
    }
}

impl Task for MultiTask {
    fn batches(&self, epoch: usize, rng: &Rng) -> Result<Vec<Vec<usize>>> {
        Ok(shuffled(30, 8, epoch, rng))
    }

    fn step(&mut self, at: &StepContext<'_>) -> Result<f64> {
        let rows = Tensor::from_iter(at.examples.iter().map(|i| *i as u32), &Device::Cpu)?;
        let z = ops::relu(&self.net.trunk.forward(&self.x.index_select(&rows, 0)?, Mode::Train)?)?;
        // The representation as a variable of its own: a loss's gradient ends there.
        let cut = Var::from_tensor(&z.detach())?;
        let mut total = 0.0;
        let mut direction: Option<Tensor> = None;
        for (i, (head, target)) in self.net.heads.iter().zip(&self.targets).enumerate() {
            let loss = ops::mse_loss(&head.forward(&cut, Mode::Train)?, &target.index_select(&rows, 0)?)?;
            total += at.finite("loss of a head", &loss)?;
            let mut grads = ops::last_backward(&loss)?;
            let g = grads.get(&cut).unwrap();
            let unit = g.broadcast_div(&(g.sqr()?.sum_all()?.sqrt()? + 1e-12)?)?;
            direction = Some(match direction {
                Some(d) => (d + unit)?,
                None => unit,
            });
            self.heads.step(&self.net.params.under(&format!("head{i}")), &mut grads, at.step, at.total)?;
        }
        let through = (z * direction.unwrap().detach())?.sum_all()?;
        self.trunk.step(&self.net.params.under("trunk"), &mut ops::last_backward(&through)?, at.step, at.total)?;
        Ok(total)
    }

    fn state(&self) -> Result<State> {
        State::default()
            .with("params", State::of(&(), &self.net.params)?)?
            .with("trunk", self.trunk.state()?)?
            .with("heads", self.heads.state()?)
    }

    fn restore(&mut self, mut state: State) -> Result<()> {
        self.net.params.restore(&state.take("params")?.into_tensors())?;
        self.trunk.restore(&self.net.params.under("trunk"), state.take("trunk")?)?;
        // Adam's moments are of both heads.
        self.heads.restore(&self.net.params.subset(|p| p.name().starts_with("head")), state.take("heads")?)
    }

    fn finish(&mut self) -> Result<()> {
        self.trunk.swap_average(&self.net.params.under("trunk"))
    }
}

fn run(task: &mut dyn Task, path: Option<&Path>, every: usize, kill: Option<usize>) -> Result<Report> {
    let mut killer = Kill(kill.unwrap_or(usize::MAX));
    let checkpoint = path.map(|p| Checkpoint::new(p, "x").every_steps(every).unwrap());
    Engine::new(3)?.resuming(checkpoint).observed_by(&mut killer).run(task, &Rng::new(9))
}

/// Kills at every step, resumes, and compares.
fn survives<T: Task>(new: impl Fn() -> T, bytes: impl Fn(&T) -> Vec<u32>, steps: usize) {
    let mut whole = new();
    let report = run(&mut whole, None, 1, None).unwrap();
    for every in [1, 3] {
        for kill in 1..=steps {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("c");
            run(&mut new(), Some(&path), every, Some(kill)).unwrap_err();
            let mut again = new();
            let resumed = run(&mut again, Some(&path), every, None).unwrap();
            assert_eq!((resumed, bytes(&again)), (report.clone(), bytes(&whole)), "killed at step {kill}");
        }
    }
}

/// Asks at a step that the run stops.
struct Ask(usize, Stop);

impl Observer for Ask {
    fn step(&mut self, p: &Progress) -> Result<()> {
        if p.step == self.0 {
            self.1.ask();
        }
        Ok(())
    }
}

#[test]
fn a_run_that_is_asked_to_stop_keeps_its_last_step() {
    let mut whole = MultiTask::new();
    let report = run(&mut whole, None, 1, None).unwrap();
    for step in 1..=12 {
        let dir = tempfile::tempdir().unwrap();
        let (path, stop) = (dir.path().join("c"), Stop::default());
        let mut ask = Ask(step, stop.clone());
        let checkpoint = Checkpoint::new(&path, "x").stopping_at(stop);
        let stopped = Engine::new(3).unwrap().resuming(checkpoint).observed_by(&mut ask);
        let e = { stopped }.run(&mut MultiTask::new(), &Rng::new(9)).unwrap_err();
        assert!(matches!(&e, Error::Stopped { path: p } if *p == path), "{e}");
        // What goes on does no step again.
        let mut again = MultiTask::new();
        let mut first = None;
        let mut watch = |p: &Progress| {
            first.get_or_insert(p.step);
        };
        let checkpoint = Checkpoint::new(&path, "x");
        let resumed =
            Engine::new(3).unwrap().resuming(checkpoint).observed_by(&mut watch).run(&mut again, &Rng::new(9));
        assert_eq!(
            (resumed.unwrap(), bits(&again.net.params)),
            (report.clone(), bits(&whole.net.params)),
            "step {step}"
        );
        assert_eq!(first, (step < 12).then_some(step + 1));
    }
}

#[test]
fn several_losses_on_shared_parameters() {
    survives(MultiTask::new, |t| bits(&t.net.params), 12);
    let mut task = MultiTask::new();
    let report = run(&mut task, None, 1, None).unwrap();
    assert!(report.epochs[2].loss < report.epochs[0].loss);
}

#[test]
fn one_loss_with_validation_and_the_best_epoch() {
    // The loss and its metric, without labels: y = x w by least squares.
    let (x, y) = (normal((30, 5), 1), normal((30, 1), 2));
    let trained = |path: Option<&Path>, kill| -> (Result<Report>, Vec<u32>) {
        let mut params = Params::new();
        let mut b = Builder::new(&mut params, Rng::new(0), DType::F32, &Device::Cpu);
        let w = Linear::new(&mut b, 5, 1).unwrap();
        let mut adam = Adam::with_lr(0.05).unwrap();
        let mut task = LossTask::shuffled(&params, &mut adam, 20, 6, |at| {
            let rows = Tensor::from_iter(at.examples.iter().map(|i| *i as u32), &Device::Cpu)?;
            ops::mse_loss(&w.forward(&x.index_select(&rows, 0)?, Mode::Train)?, &y.index_select(&rows, 0)?)
        })
        .unwrap()
        .measured_by(|_| {
            let found = w.forward(&x.narrow(0, 20, 10)?, Mode::Frozen)?;
            let error = (found - y.narrow(0, 20, 10)?)?.sqr()?.sum(D::Minus1)?.mean_all()?.to_scalar::<f32>()?;
            Ok(vec![("error".to_owned(), f64::from(error))])
        })
        .keeping(KeepBest::lowest("error"));
        let report = run(&mut task, path, 2, kill);
        drop(task);
        (report, bits(&params))
    };
    let (report, want) = trained(None, None);
    for kill in 1..=12 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c");
        trained(Some(&path), Some(kill)).0.unwrap_err();
        let (again, got) = trained(Some(&path), None);
        assert_eq!((again.unwrap(), got), (report.as_ref().unwrap().clone(), want.clone()), "killed at step {kill}");
    }
}

#[test]
fn what_a_task_gives_is_checked() {
    struct Odd(&'static str);
    impl Task for Odd {
        fn batches(&self, _: usize, _: &Rng) -> Result<Vec<Vec<usize>>> {
            Ok(if self.0 == "none" { vec![] } else { vec![vec![]] })
        }
        fn step(&mut self, _: &StepContext<'_>) -> Result<f64> {
            Ok(if self.0 == "loss" { f64::NAN } else { 1.0 })
        }
        fn end_epoch(&mut self, _: usize) -> Result<EpochEnd> {
            Ok(EpochEnd { metrics: vec![("m".to_owned(), f64::INFINITY)], stop: false })
        }
        fn state(&self) -> Result<State> {
            Ok(State::default())
        }
        fn restore(&mut self, _: State) -> Result<()> {
            Ok(())
        }
    }
    for (kind, want) in [
        ("none", "epoch 0 has no batches"),
        ("loss", "training loss: NaN at step 0 (epoch 0)"),
        ("metric", "metric `m`: inf after epoch 1"),
    ] {
        let e = run(&mut Odd(kind), None, 1, None).unwrap_err().to_string();
        assert!(e.contains(want), "{e}");
    }
    assert!(Engine::new(0).is_err() && Checkpoint::new("x", "y").every_steps(0).is_err());
}

#[test]
fn an_optimizer_in_a_box_is_an_optimizer() {
    let mut all: Vec<Box<dyn Optimizer>> =
        vec![Box::new(Sgd::with_lr(0.1).unwrap()), Box::new(Adam::with_lr(0.1).unwrap())];
    for o in &mut all {
        o.set_lr(0.5).unwrap();
        assert_eq!(o.lr(), 0.5);
    }
}
