//! Ten training steps of the trainer beside PyTorch: values of `golden/trajectory.py` (torch 2.15 in f64).
#![allow(clippy::unwrap_used, clippy::excessive_precision)] // a test fails by panicking

use sconce_gan::nets::{
    DcganDiscriminator, DcganGenerator, Discriminator, DiscriminatorConfig, Generator, GeneratorConfig, Pass, Scores,
};
use sconce_gan::trainer::{Domain, Domains, Gan, GanConfig};
use sconce_gan::{Error, Result};
use sconce_tensor_core::candle_core::{DType, Device, Tensor};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::optim::{Adam, AdamConfig, Schedule};
use sconce_tensor_core::train::{Engine, EpochReport, Observer};
use sconce_tensor_core::{Mode, Module, Params, Rng, Role};
use std::cell::Cell;

const CPU: Device = Device::Cpu;
const NOISE: usize = 6;
/// Labels of the real images of both domains, from 0, and of the generated ones.
const REAL: [[u32; 5]; 2] = [[0, 1, 0, 0, 0], [0, 1, 2, 0, 1]];
const FAKE: [u32; 8] = [1, 0, 1, 2, 3, 4, 3, 2];
const LAYERS: [&str; 5] = ["block0", "block1", "block2", "head.score", "head.class"];

/// Loss of the discriminator and of the generator, by step.
const LOSSES: [[f64; 2]; 10] = [
    [2.036709146758727e+00, -4.272791252943619e-01],
    [2.028149689815103e+00, -4.606944474720823e-01],
    [1.947771170965347e+00, -3.922022357574906e-01],
    [1.894364830125821e+00, -3.713839934310100e-01],
    [1.818276335109151e+00, -2.599128120953105e-01],
    [1.971351856462382e+00, -3.804363879795571e-01],
    [1.847120894160862e+00, -3.483790974879490e-01],
    [1.754482377178701e+00, -2.085782577630964e-01],
    [1.795338139798521e+00, -2.074432778542260e-01],
    [1.621922040648534e+00, -1.147596338334362e-01],
];
/// Sigma of each of [`LAYERS`], after the step.
const SIGMAS: [[f64; 5]; 10] = [
    [1.186588788663171e+00, 1.308252011860127e+00, 1.376694629100409e+00, 1.214859317049346e+00, 1.487250343998588e+00],
    [1.294961519521023e+00, 1.550188285646713e+00, 1.509927835029530e+00, 1.215019003035905e+00, 1.527070833789408e+00],
    [1.343237511244390e+00, 1.593497454337140e+00, 1.563873623160253e+00, 1.215091456390327e+00, 1.533096298620837e+00],
    [1.362252943876172e+00, 1.598419449999009e+00, 1.587241841155695e+00, 1.215164073556743e+00, 1.535487480370463e+00],
    [1.367851464996804e+00, 1.599896021213737e+00, 1.597814396610899e+00, 1.215285066120489e+00, 1.542183908609779e+00],
    [1.369913998103991e+00, 1.602744172038528e+00, 1.610946219209186e+00, 1.215539396353614e+00, 1.546989678625654e+00],
    [1.368749944753531e+00, 1.595511078756503e+00, 1.606049707301044e+00, 1.214985109595459e+00, 1.542129585692659e+00],
    [1.368195487843793e+00, 1.596263239873144e+00, 1.605834408890088e+00, 1.214813373163033e+00, 1.549697189334986e+00],
    [1.368953519271638e+00, 1.600153294037336e+00, 1.614084229928144e+00, 1.214441067594485e+00, 1.558196220259966e+00],
    [1.364963961461971e+00, 1.589271020021200e+00, 1.592806190399723e+00, 1.213061294271033e+00, 1.552378470952996e+00],
];
/// Sum, sum of squares and alternating sum of all weights, after the step.
const GENERATOR: [[f64; 3]; 10] = [
    [1.104367498478329e+02, 2.749022645706514e+02, 1.385686913619897e+01],
    [1.104352345996303e+02, 2.748710759877046e+02, 1.409137485673594e+01],
    [1.104423833134194e+02, 2.748445881518197e+02, 1.435009720475093e+01],
    [1.104696870803097e+02, 2.748260378118374e+02, 1.424869257525175e+01],
    [1.105520280977631e+02, 2.748068315508816e+02, 1.441704559131214e+01],
    [1.105332290513087e+02, 2.747782875422950e+02, 1.463456346056404e+01],
    [1.105780284648110e+02, 2.747663867435012e+02, 1.501639305851531e+01],
    [1.105596523395055e+02, 2.747416015079286e+02, 1.513504841436446e+01],
    [1.105307815536866e+02, 2.747187911345812e+02, 1.512031529432817e+01],
    [1.105082900509812e+02, 2.747292062348523e+02, 1.542817645103813e+01],
];
const DISCRIMINATOR: [[f64; 3]; 10] = [
    [-5.385674351544186e+00, 3.513857643501763e+01, -1.666688227350255e-02],
    [-5.366198075586162e+00, 3.515092744292338e+01, -4.356408536734868e-02],
    [-5.400156008249768e+00, 3.514835993422295e+01, -7.600356167645339e-02],
    [-5.359774890619438e+00, 3.515495322112313e+01, -1.613242204241203e-01],
    [-5.435834440403490e+00, 3.516856634407256e+01, -1.793631251291310e-01],
    [-5.553370945661551e+00, 3.518723892118648e+01, 5.410086102490386e-03],
    [-5.114602455609942e+00, 3.514015963031442e+01, 1.096121560653041e-01],
    [-5.331554137813585e+00, 3.515093107381533e+01, 2.533749800068925e-01],
    [-5.634124011568394e+00, 3.519300105224656e+01, 3.102950269110343e-01],
    [-4.963370934064418e+00, 3.512410159105665e+01, 2.930288806636083e-01],
];
/// Of the average of the generator's weights with decay 0.9.
const AVERAGE: [[f64; 3]; 1] = [[1.104877127406204e+02, 2.748168001396734e+02, 1.445438297347273e+01]];

/// Values in [-1, 1) from a name and an index.
fn hashed(name: &str, shape: &[usize], first: usize) -> Tensor {
    let p = name.bytes().fold(0u32, |p, c| p.wrapping_mul(31).wrapping_add(c.into()));
    let one = |i: usize| {
        let x = (i as u32 + 1).wrapping_mul(2654435761).wrapping_add(p);
        let x = (x ^ (x >> 15)).wrapping_mul(2246822519);
        let x = (x ^ (x >> 13)).wrapping_mul(3266489917);
        f64::from(x ^ (x >> 16)) / f64::from(1u32 << 31) - 1.0
    };
    Tensor::from_vec((first..first + shape.iter().product::<usize>()).map(one).collect(), shape, &CPU).unwrap()
}

fn fill(params: &Params) {
    for p in params.iter() {
        let (name, shape) = (p.name(), p.var().dims().to_vec());
        let h = hashed(name, &shape, 0);
        let value = match p.role() {
            Role::Scale => h.affine(0.2, 1.0),
            Role::Shift => h * 0.2,
            Role::Bias => h * 0.1,
            Role::Buffer if name.ends_with(".u") => {
                h.broadcast_div(&h.sqr().unwrap().sum_all().unwrap().sqrt().unwrap())
            }
            Role::Buffer => continue,
            _ => h * (2.0 / ((p.var().elem_count() / shape[0]) as f64).sqrt()),
        };
        p.var().set(&value.unwrap().to_dtype(p.var().dtype()).unwrap()).unwrap();
    }
}

/// The generator with noise and labels of the script in the place of the trainer's.
struct Scripted {
    inner: DcganGenerator,
    step: Cell<usize>,
}

impl Module for Scripted {
    fn params(&self) -> &Params {
        self.inner.params()
    }
}

impl Generator for Scripted {
    fn noise(&self) -> usize {
        NOISE
    }

    fn classes(&self) -> usize {
        self.inner.classes()
    }

    fn generate(&self, z: &Tensor, y: &Tensor, pass: Pass) -> Result<Tensor> {
        if pass != Pass::Train {
            return self.inner.generate(z, y, pass);
        }
        let step = self.step.replace(self.step.get() + 1);
        let noise = (hashed("noise", &[8, NOISE], step * 8 * NOISE) * 2.0)?.to_dtype(z.dtype())?;
        self.inner.generate(&noise, &Tensor::new(&FAKE, &CPU)?, pass)
    }
}

/// The discriminator with labels of the script for generated images.
struct Relabelled(DcganDiscriminator);

impl Module for Relabelled {
    fn params(&self) -> &Params {
        self.0.params()
    }
}

impl Discriminator for Relabelled {
    fn classes(&self) -> usize {
        self.0.classes()
    }

    fn score(&self, x: &Tensor, y: &Tensor, mode: Mode) -> Result<Scores> {
        let fake = Tensor::new(&FAKE, &CPU)?;
        match y.dim(0)? {
            16 => self.0.score(x, &Tensor::cat(&[&y.narrow(0, 0, 8)?, &fake], 0)?, mode),
            8 => self.0.score(x, &fake, mode),
            // What the trainer measures after an epoch.
            _ => self.0.score(x, y, mode),
        }
    }
}

fn flat(t: &Tensor) -> Vec<f64> {
    t.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

fn sums(params: &Params) -> [f64; 3] {
    let mut all: Vec<_> = params.trainable().collect();
    all.sort_by_key(|p| p.name());
    let w: Vec<f64> = all.iter().flat_map(|p| flat(p.var())).collect();
    let alternating = w.iter().enumerate().map(|(i, v)| if i % 2 == 0 { *v } else { -v }).sum();
    [w.iter().sum(), w.iter().map(|v| v * v).sum(), alternating]
}

/// `u' W v` of each layer.
fn sigmas(params: &Params) -> [f64; 5] {
    LAYERS.map(|layer| {
        let of = |n: &str| flat(params.get(&format!("{layer}.{n}")).unwrap().var());
        let (w, u, v) = (of("weight"), of("u"), of("v"));
        let row = |i: usize| w[i * v.len()..(i + 1) * v.len()].iter().zip(&v).map(|(a, b)| a * b).sum::<f64>();
        u.iter().enumerate().map(|(i, u)| u * row(i)).sum()
    })
}

/// Compares each step with the script's.
struct Beside<'a> {
    nets: [&'a Params; 2],
    worst: f64,
}

impl Beside<'_> {
    /// The largest difference of values so far, relative to the value, or to 1 where that is smaller.
    fn take(&mut self, got: &[f64], want: &[f64]) {
        for (g, w) in got.iter().zip(want) {
            let difference = (g - w).abs() / w.abs().max(1.0);
            // The larger of a number and NaN is the number.
            assert!(difference.is_finite(), "{g} and {w}");
            self.worst = self.worst.max(difference);
        }
    }
}

impl Observer for Beside<'_> {
    fn epoch(&mut self, report: &EpochReport) -> Result<()> {
        let step = report.epoch - 1;
        let loss = |name: &str| report.metric(name).ok_or_else(|| Error::value("test", name.to_owned()));
        self.take(&[loss("loss.discriminator")?, loss("loss.generator")?], &LOSSES[step]);
        let [g, d] = self.nets;
        self.take(&sigmas(d), &SIGMAS[step]);
        self.take(&sums(g), &GENERATOR[step]);
        self.take(&sums(d), &DISCRIMINATOR[step]);
        Ok(())
    }
}

/// The largest difference over ten steps.
fn run(dtype: DType) -> f64 {
    let g = GeneratorConfig { side: 14, classes: 5, noise: NOISE, width: 3, ..GeneratorConfig::default() };
    let d = DiscriminatorConfig { side: 14, classes: 5, width: 3, ..DiscriminatorConfig::default() };
    let g = Scripted { inner: DcganGenerator::new(g, Rng::new(0), dtype, &CPU).unwrap(), step: Cell::new(0) };
    let d = Relabelled(DcganDiscriminator::new(d, Rng::new(0), dtype, &CPU).unwrap());
    fill(g.params());
    fill(d.params());
    let x = hashed("real", &[8, 1, 14, 14], 0).to_dtype(dtype).unwrap();
    let data = |at, n, classes, labels: &[u32]| Labelled::new(x.narrow(0, at, n).unwrap(), &labels[..n], classes);
    let (target, outer) = (data(0, 3, 2, &REAL[0]).unwrap(), data(3, 5, 3, &REAL[1]).unwrap());
    // A batch is a pass over both, in orders that do not matter.
    let domains = Domains::new(vec![
        Domain { data: &target, first_class: 0, batch: 3, weight: 0.7 },
        Domain { data: &outer, first_class: 2, batch: 5, weight: 0.3 },
    ]);
    let adam =
        [1e-3, 2e-3].map(|lr| Adam::new(AdamConfig { lr, beta1: 0.0, beta2: 0.9, ..AdamConfig::default() }).unwrap());
    let cfg = GanConfig { steps: 1, schedule: Schedule::Constant, average: Some(0.9), ..GanConfig::default() };
    let rng = Rng::new(0);
    let mut gan = Gan::new(&g, &d, domains.unwrap(), adam, cfg, &rng).unwrap();
    let mut beside = Beside { nets: [g.params(), d.params()], worst: 0.0 };
    Engine::new(10).unwrap().observed_by(&mut beside).run(&mut gan, &rng).unwrap();
    assert_eq!(g.step.get(), 10);
    // The last step is followed by the averaged weights.
    beside.take(&sums(g.params()), &AVERAGE[0]);
    beside.worst
}

#[test]
fn ten_steps_beside_pytorch() {
    let (double, single) = (run(DType::F64), run(DType::F32));
    assert!(double < 1e-11, "f64: {double:e}");
    assert!(single < 1e-4, "f32: {single:e}");
}
