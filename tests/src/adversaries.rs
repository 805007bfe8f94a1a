//! A task of two networks: a generator against a critic that takes three steps for each one of the generator.

use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::nn::{Builder, Linear};
use sconce_tensor_core::optim::{Adam, AdamConfig, UpdateConfig, Updater};
use sconce_tensor_core::store::State;
use sconce_tensor_core::train::{EpochEnd, StepContext, Task, shuffled};
use sconce_tensor_core::{Error, Mode, Params, Result, Rng, ops};

const EXAMPLES: usize = 200;
const CODE: usize = 8;
const CRITIC_STEPS: u64 = 3;

/// Points in the plane against points that a generator makes, by the hinge loss.
pub struct Adversaries {
    /// Of the generator and of the critic.
    pub params: [Params; 2],
    generator: [Linear; 2],
    critic: [Linear; 2],
    data: Tensor,
    updates: [Updater<Adam>; 2],
}

fn two(params: &mut Params, seed: u64, widths: [usize; 3]) -> Result<[Linear; 2]> {
    let mut b = Builder::new(params, Rng::new(seed), DType::F32, &Device::Cpu);
    let first = Linear::new(&mut b.scope("layer0"), widths[0], widths[1])?;
    Ok([first, Linear::new(&mut b.scope("layer1"), widths[1], widths[2])?])
}

fn hinge(score: Tensor, sign: f64) -> Result<Tensor> {
    Ok(ops::relu(&score.affine(sign, 1.0)?)?.mean_all()?)
}

impl Adversaries {
    /// Both networks with their first values.
    ///
    /// # Errors
    /// candle's only.
    pub fn new() -> Result<Self> {
        let (mut g, mut d) = (Params::new(), Params::new());
        let generator = two(&mut g, 0, [CODE, 64, 2])?;
        let critic = two(&mut d, 1, [2, 64, 1])?;
        let adam = AdamConfig { lr: 0.005, beta1: 0.5, ..AdamConfig::default() };
        let updater = || Updater::new(Adam::new(adam)?, UpdateConfig::default());
        let data = Rng::new(4).normal((EXAMPLES, 2), 0.0, 1.0, DType::F32, &Device::Cpu)?;
        Ok(Self { params: [g, d], generator, critic, data, updates: [updater()?, updater()?] })
    }

    /// The k-th points that are generated in a step.
    fn fake(&self, at: &StepContext<'_>, k: u64) -> Result<Tensor> {
        let rng = at.epoch_rng().stream("codes").at((CRITIC_STEPS + 1) * at.index as u64 + k);
        let codes = rng.normal((at.examples.len(), CODE), 0.0, 1.0, DType::F32, &Device::Cpu)?;
        self.generator[1].forward(&ops::relu(&self.generator[0].forward(&codes, Mode::Train)?)?, Mode::Train)
    }

    fn score(&self, x: &Tensor) -> Result<Tensor> {
        self.critic[1].forward(&ops::leaky_relu(&self.critic[0].forward(x, Mode::Train)?, 0.2)?, Mode::Train)
    }
}

impl Task for Adversaries {
    fn batches(&self, epoch: usize, rng: &Rng) -> Result<Vec<Vec<usize>>> {
        Ok(shuffled(EXAMPLES, 20, epoch, rng))
    }

    fn step(&mut self, at: &StepContext<'_>) -> Result<f64> {
        let rows = Tensor::from_iter(at.examples.iter().map(|i| *i as u32), &Device::Cpu)?;
        let real = self.data.index_select(&rows, 0)?;
        let mut sum = 0.0;
        for k in 0..CRITIC_STEPS {
            let fake = self.fake(at, k)?.detach();
            let loss = (hinge(self.score(&real)?, -1.0)? + hinge(self.score(&fake)?, 1.0)?)?;
            sum += at.finite("the critic's loss", &loss)?;
            self.updates[1].step(&self.params[1], &mut ops::last_backward(&loss)?, at.step, at.total)?;
        }
        let loss = self.score(&self.fake(at, CRITIC_STEPS)?)?.mean_all()?.neg()?;
        sum += at.finite("the generator's loss", &loss)?;
        self.updates[0].step(&self.params[0], &mut ops::last_backward(&loss)?, at.step, at.total)?;
        Ok(sum)
    }

    fn end_epoch(&mut self, _: usize) -> Result<EpochEnd> {
        let first = self.params[0].iter().next().ok_or_else(|| Error::value("generator", "no parameters"))?;
        let norm = first.var().sqr()?.sum_all()?.to_scalar::<f32>()?;
        Ok(EpochEnd { metrics: vec![("norm".to_owned(), f64::from(norm))], stop: false })
    }

    fn state(&self) -> Result<State> {
        let mut state = State::default();
        for (name, (p, u)) in ["generator", "critic"].iter().zip(self.params.iter().zip(&self.updates)) {
            state = state.with(name, State::of(&(), p)?)?.with(&format!("{name} update"), u.state()?)?;
        }
        Ok(state)
    }

    fn restore(&mut self, mut state: State) -> Result<()> {
        for (name, (p, u)) in ["generator", "critic"].iter().zip(self.params.iter().zip(&mut self.updates)) {
            p.restore(&state.take(name)?.into_tensors())?;
            u.restore(p, state.take(&format!("{name} update"))?)?;
        }
        Ok(())
    }
}
