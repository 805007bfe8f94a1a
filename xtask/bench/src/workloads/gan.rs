//! A generator and a discriminator of DCGAN's size at 32x32: one step of each, batch 64.

use super::{Exchange, Work};
use candle_core::{DType, Tensor, Var};
use sconce_tensor_core::nn::{BatchNorm2d, Builder, Init, Mode};
use sconce_tensor_core::ops::{self, Conv2dSpec, ConvTranspose2dSpec, Rectifier};
use sconce_tensor_core::optim::{Adam, AdamConfig, Optimizer};
use sconce_tensor_core::store::State;
use sconce_tensor_core::train::{StepContext, Task};
use sconce_tensor_core::{Params, Result, Rng, Role};

const BATCH: usize = 64;
/// (from, to, stride, padding) of the generator's layers, kernel 4.
const UP: [(usize, usize, usize, usize); 4] = [(100, 256, 1, 0), (256, 128, 2, 1), (128, 64, 2, 1), (64, 3, 2, 1)];
/// Of the discriminator's.
const DOWN: [(usize, usize, usize, usize); 4] = [(3, 64, 2, 1), (64, 128, 2, 1), (128, 256, 2, 1), (256, 1, 1, 0)];

struct Layer {
    weight: Var,
    norm: Option<BatchNorm2d>,
    stride: usize,
    padding: usize,
}

fn layers(
    params: &mut Params,
    out: &Exchange,
    name: &str,
    sizes: &[(usize, usize, usize, usize)],
    up: bool,
) -> anyhow::Result<Vec<Layer>> {
    let mut build = Builder::new(params, Rng::new(0).stream(name), DType::F32, &out.device);
    let mut all = Vec::new();
    for (i, &(from, to, stride, padding)) in sizes.iter().enumerate() {
        let shape = if up { (from, to, 4, 4) } else { (to, from, 4, 4) };
        let mut b = build.scope(&format!("{name}{i}"));
        let weight = b.param("weight", Role::Kernel, shape, Init::fan_in(from * 16))?;
        // No normalisation at the images' end of either, nor on the score.
        let norm =
            if i + 1 < sizes.len() && (up || i > 0) { Some(BatchNorm2d::new(&mut b.scope("bn"), to)?) } else { None };
        all.push(Layer { weight, norm, stride, padding });
    }
    Ok(all)
}

fn generate(layers: &[Layer], z: &Tensor) -> Result<Tensor> {
    let mut x = z.clone();
    for l in layers {
        let (stride, padding) = ((l.stride, l.stride), (l.padding, l.padding));
        let spec = ConvTranspose2dSpec { stride, padding, ..ConvTranspose2dSpec::default() };
        x = ops::conv_transpose2d(&x, &l.weight, None, spec)?;
        x = match &l.norm {
            Some(norm) => norm.forward_rectified(&x, Rectifier::RELU, Mode::Train)?,
            None => x.tanh()?,
        };
    }
    Ok(x)
}

fn score(layers: &[Layer], x: &Tensor) -> Result<Tensor> {
    let mut x = x.clone();
    for (i, l) in layers.iter().enumerate() {
        let (stride, padding) = ((l.stride, l.stride), (l.padding, l.padding));
        let spec = Conv2dSpec { stride, padding, ..Conv2dSpec::default() };
        x = match &l.norm {
            Some(norm) => {
                norm.forward_rectified(&ops::conv2d(&x, &l.weight, None, spec)?, Rectifier::leaky(0.2), Mode::Train)?
            }
            None if i + 1 < layers.len() => ops::conv2d_rectified(&x, &l.weight, None, spec, Rectifier::leaky(0.2))?,
            None => ops::conv2d(&x, &l.weight, None, spec)?,
        };
    }
    Ok(x.flatten_all()?)
}

/// Mean of `log(1 + exp(sign z))`: the logistic loss.
fn softplus(z: &Tensor, sign: f64) -> Result<Tensor> {
    let z = (z * sign)?;
    let tail = ((z.abs()?.neg()?.exp()? + 1.0)?).log()?;
    Ok((ops::relu(&z)? + tail)?.mean_all()?)
}

/// Generator and discriminator with their optimizers.
struct Gan {
    params: [Params; 2],
    optimizers: [Adam; 2],
    up: Vec<Layer>,
    down: Vec<Layer>,
    z: Tensor,
    x: Tensor,
}

impl Task for Gan {
    fn batches(&self, _: usize, _: &Rng) -> Result<Vec<Vec<usize>>> {
        Ok(vec![(0..BATCH).collect()])
    }

    fn step(&mut self, at: &StepContext<'_>) -> Result<f64> {
        let ([pg, pd], [ag, ad]) = (&self.params, &mut self.optimizers);
        let fake = generate(&self.up, &self.z)?;
        let real = softplus(&score(&self.down, &self.x)?, -1.0)?;
        let loss = (real + softplus(&score(&self.down, &fake.detach())?, 1.0)?)?;
        let discriminator = at.finite("the discriminator's loss", &loss)?;
        ad.step(pd, &ops::last_backward(&loss)?)?;
        let fooled = softplus(&score(&self.down, &fake)?, -1.0)?;
        let generator = at.finite("the generator's loss", &fooled)?;
        ag.step(pg, &ops::last_backward(&fooled)?)?;
        Ok(discriminator + generator)
    }

    fn state(&self) -> Result<State> {
        let [pg, pd] = &self.params;
        let [ag, ad] = &self.optimizers;
        let state =
            State::default().with("generator", State::of(&(), pg)?)?.with("discriminator", State::of(&(), pd)?)?;
        state.with("generator's optimizer", ag.state()?)?.with("discriminator's optimizer", ad.state()?)
    }

    fn restore(&mut self, mut state: State) -> Result<()> {
        let ([pg, pd], [ag, ad]) = (&self.params, &mut self.optimizers);
        pg.restore(&state.take("generator")?.into_tensors())?;
        pd.restore(&state.take("discriminator")?.into_tensors())?;
        ag.restore(pg, state.take("generator's optimizer")?)?;
        ad.restore(pd, state.take("discriminator's optimizer")?)
    }
}

pub fn step(out: &mut Exchange) -> anyhow::Result<Work> {
    let (mut pg, mut pd) = (Params::new(), Params::new());
    let up = layers(&mut pg, out, "g", &UP, true)?;
    let down = layers(&mut pd, out, "d", &DOWN, false)?;
    out.put_params("", &pg)?;
    out.put_params("", &pd)?;
    let z = out.normal("z", &[BATCH, 100, 1, 1], 1.0)?;
    let x = out.images(&[BATCH, 3, 32, 32])?;
    let adam = || Adam::new(AdamConfig { lr: 2e-4, beta1: 0.5, ..AdamConfig::default() });
    let mut gan = Gan { params: [pg, pd], optimizers: [adam()?, adam()?], up, down, z, x };
    let step = move || {
        let at = StepContext { epoch: 0, index: 0, step: 0, total: 1, examples: &[], rng: Rng::new(0) };
        Ok(gan.step(&at)?)
    };
    let work = |sizes: &[(usize, usize, usize, usize)], sides: [usize; 4]| {
        let all = sizes.iter().zip(sides).map(|(&(from, to, ..), side)| 2 * from * to * 16 * side * side);
        all.sum::<usize>() as f64
    };
    // A layer's products are as many as its smaller map has positions.
    let (g, d) = (work(&UP, [1, 4, 8, 16]), work(&DOWN, [16, 8, 4, 1]));
    // Generator: forward and two gradients. Discriminator: three forward, three to the weight and three back
    // (the last pass's weight gradients are computed by both, as eager code does).
    Ok(Work { flops: BATCH as f64 * (3.0 * g + 9.0 * d), step: Box::new(step) })
}
