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
    [2.036709146759e00, -4.272791252944e-01],
    [2.028149689815e00, -4.606944474721e-01],
    [1.947771170965e00, -3.922022357575e-01],
    [1.894364830126e00, -3.713839934310e-01],
    [1.818276335109e00, -2.599128120953e-01],
    [1.971351856462e00, -3.804363879796e-01],
    [1.847120894161e00, -3.483790974879e-01],
    [1.754482377179e00, -2.085782577631e-01],
    [1.795338139799e00, -2.074432778542e-01],
    [1.621922040649e00, -1.147596338334e-01],
];
/// Sigma of each of [`LAYERS`], after the step.
const SIGMAS: [[f64; 5]; 10] = [
    [1.186588788663e00, 1.308252011860e00, 1.376694629100e00, 1.214859317049e00, 1.487250343999e00],
    [1.294961519521e00, 1.550188285647e00, 1.509927835030e00, 1.215019003036e00, 1.527070833789e00],
    [1.343237511244e00, 1.593497454337e00, 1.563873623160e00, 1.215091456390e00, 1.533096298621e00],
    [1.362252943876e00, 1.598419449999e00, 1.587241841156e00, 1.215164073557e00, 1.535487480370e00],
    [1.367851464997e00, 1.599896021214e00, 1.597814396611e00, 1.215285066120e00, 1.542183908610e00],
    [1.369913998104e00, 1.602744172039e00, 1.610946219209e00, 1.215539396354e00, 1.546989678626e00],
    [1.368749944754e00, 1.595511078757e00, 1.606049707301e00, 1.214985109595e00, 1.542129585693e00],
    [1.368195487844e00, 1.596263239873e00, 1.605834408890e00, 1.214813373163e00, 1.549697189335e00],
    [1.368953519272e00, 1.600153294037e00, 1.614084229928e00, 1.214441067594e00, 1.558196220260e00],
    [1.364963961462e00, 1.589271020021e00, 1.592806190400e00, 1.213061294271e00, 1.552378470953e00],
];
/// Sum, sum of squares and alternating sum of all weights, after the step.
const GENERATOR: [[f64; 3]; 10] = [
    [1.104367498478e02, 2.749022645707e02, 1.385686913620e01],
    [1.104352345996e02, 2.748710759877e02, 1.409137485674e01],
    [1.104423833134e02, 2.748445881518e02, 1.435009720475e01],
    [1.104696870803e02, 2.748260378118e02, 1.424869257525e01],
    [1.105520280978e02, 2.748068315509e02, 1.441704559131e01],
    [1.105332290513e02, 2.747782875423e02, 1.463456346056e01],
    [1.105780284648e02, 2.747663867435e02, 1.501639305852e01],
    [1.105596523395e02, 2.747416015079e02, 1.513504841436e01],
    [1.105307815537e02, 2.747187911346e02, 1.512031529433e01],
    [1.105082900510e02, 2.747292062349e02, 1.542817645104e01],
];
const DISCRIMINATOR: [[f64; 3]; 10] = [
    [-5.385674351544e00, 3.513857643502e01, -1.666688227350e-02],
    [-5.366198075586e00, 3.515092744292e01, -4.356408536735e-02],
    [-5.400156008250e00, 3.514835993422e01, -7.600356167645e-02],
    [-5.359774890619e00, 3.515495322112e01, -1.613242204241e-01],
    [-5.435834440403e00, 3.516856634407e01, -1.793631251291e-01],
    [-5.553370945662e00, 3.518723892119e01, 5.410086102490e-03],
    [-5.114602455610e00, 3.514015963031e01, 1.096121560653e-01],
    [-5.331554137814e00, 3.515093107382e01, 2.533749800069e-01],
    [-5.634124011568e00, 3.519300105225e01, 3.102950269110e-01],
    [-4.963370934064e00, 3.512410159106e01, 2.930288806636e-01],
];
/// Of the average of the generator's weights with decay 0.9.
const AVERAGE: [[f64; 3]; 1] = [[1.104877127406e02, 2.748168001397e02, 1.445438297347e01]];

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
