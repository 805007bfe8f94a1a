//! A task of your own: two losses on one trunk, each with its own head and optimizer, driven by the engine with a checkpoint.
//!
//! `cargo run --release -p sconce-tensor-core --example custom_task`

use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::nn::{Builder, Linear};
use sconce_tensor_core::optim::{Adam, UpdateConfig, Updater};
use sconce_tensor_core::store::{Fingerprint, State};
use sconce_tensor_core::train::{Checkpoint, Engine, StepContext, Task, shuffled};
use sconce_tensor_core::{Mode, Params, Result, Rng, ops};

const EXAMPLES: usize = 256;

/// From 8 numbers, predicts their sum with one head and the sign of the first with the other.
struct TwoHeads {
    params: Params,
    trunk: Linear,
    sum: Linear,
    sign: Linear,
    x: Tensor,
    sums: Tensor,
    signs: Tensor,
    /// One updater over all parameters would do here; two show that a task may have as many as it likes.
    trunk_and_sum: Updater<Adam>,
    sign_head: Updater<Adam>,
}

impl TwoHeads {
    fn new() -> Result<Self> {
        let mut params = Params::new();
        let mut b = Builder::new(&mut params, Rng::new(0), DType::F32, &Device::Cpu);
        let trunk = Linear::new(&mut b.scope("trunk"), 8, 32)?;
        let sum = Linear::new(&mut b.scope("sum"), 32, 1)?;
        let sign = Linear::new(&mut b.scope("sign"), 32, 2)?;
        let x = Rng::new(1).normal((EXAMPLES, 8), 0.0, 1.0, DType::F32, &Device::Cpu)?;
        let sums = x.sum_keepdim(1)?;
        let signs = x.narrow(1, 0, 1)?.squeeze(1)?.gt(0.0)?.to_dtype(DType::U32)?;
        let adam = || Updater::new(Adam::with_lr(5e-3)?, UpdateConfig::default());
        Ok(Self { params, trunk, sum, sign, x, sums, signs, trunk_and_sum: adam()?, sign_head: adam()? })
    }

    /// The parameters that each updater is for.
    fn groups(&self) -> (Params, Params) {
        let sign = |name: &str| name.starts_with("sign.");
        (self.params.subset(|p| !sign(p.name())), self.params.subset(|p| sign(p.name())))
    }
}

impl Task for TwoHeads {
    fn batches(&self, epoch: usize, rng: &Rng) -> Result<Vec<Vec<usize>>> {
        Ok(shuffled(EXAMPLES, 32, epoch, rng))
    }

    fn step(&mut self, at: &StepContext<'_>) -> Result<f64> {
        let rows = Tensor::from_iter(at.examples.iter().map(|i| *i as u32), &Device::Cpu)?;
        let pick = |t: &Tensor| t.index_select(&rows, 0);
        let hidden = ops::relu(&self.trunk.forward(&pick(&self.x)?, Mode::Train)?)?;
        let regression = ops::mse_loss(&self.sum.forward(&hidden, Mode::Train)?, &pick(&self.sums)?)?;
        let logits = self.sign.forward(&hidden, Mode::Train)?;
        let classification = ops::cross_entropy(&logits, &pick(&self.signs)?)?.mean_all()?;
        let loss = (regression + classification)?;
        // A loss that is not finite ends the run here, before anything is updated.
        let value = at.finite("sum of both losses", &loss)?;
        let mut gradients = ops::last_backward(&loss)?;
        let (first, second) = self.groups();
        self.trunk_and_sum.step(&first, &mut gradients, at.step, at.total)?;
        self.sign_head.step(&second, &mut gradients, at.step, at.total)?;
        Ok(value)
    }

    /// A checkpoint of another configuration is refused.
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new().with("examples", EXAMPLES).with("optimizer", self.trunk_and_sum.describe())
    }

    fn state(&self) -> Result<State> {
        State::default()
            .with("params", State::of(&(), &self.params)?)?
            .with("trunk and sum", self.trunk_and_sum.state()?)?
            .with("sign", self.sign_head.state()?)
    }

    fn restore(&mut self, mut state: State) -> Result<()> {
        self.params.restore(&state.take("params")?.into_tensors())?;
        let (first, second) = self.groups();
        self.trunk_and_sum.restore(&first, state.take("trunk and sum")?)?;
        self.sign_head.restore(&second, state.take("sign")?)
    }
}

#[allow(clippy::print_stdout)]
fn main() -> Result<()> {
    // With a file as its argument the run can be killed and started again: it ends with the same bytes.
    let file = std::env::args_os().nth(1).map(std::path::PathBuf::from);
    let checkpoint = file.map(|f| Checkpoint::new(f, "custom_task example").every_steps(20)).transpose()?;
    let mut task = TwoHeads::new()?;
    let report = Engine::new(30)?.resuming(checkpoint).run(&mut task, &Rng::new(0))?;
    let losses = report.losses();
    println!("loss of the first epoch {:.3}, of the last {:.3}", losses[0], losses[29]);
    assert!(losses[29] < 0.2 * losses[0]);
    Ok(())
}
