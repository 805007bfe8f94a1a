//! Layers and networks: spectral norm against golden values and SVD, conditional batch norm, heads, sides, standing statistics.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use faer::Mat;
use sconce_gan::nets::{
    ConditionalBatchNorm2d, Conditioning, DcganDiscriminator, DcganGenerator, Discriminator, DiscriminatorConfig,
    Generator, GeneratorConfig, NewRows, Pass, ResNetDiscriminator, ResNetGenerator, SpectralWeight, Widths,
    initialise_class_rows, standing_statistics,
};
use sconce_tensor_core::candle_core::{DType, Device, Tensor};
use sconce_tensor_core::gradcheck::GradCheck;
use sconce_tensor_core::nn::{Builder, Init};
use sconce_tensor_core::{Mode, Module, Params, Rng, Role, ops};
use std::collections::HashMap;

const CPU: Device = Device::Cpu;

fn values(t: &Tensor) -> Vec<f64> {
    t.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

fn near(got: &[f64], want: &[f64], tolerance: f64) {
    let good = got.len() == want.len() && got.iter().zip(want).all(|(g, w)| (g - w).abs() <= tolerance);
    assert!(good, "{got:?} {want:?}");
}

fn normal(seed: u64, shape: &[usize]) -> Tensor {
    Rng::new(seed).normal(shape, 0.0, 1.0, DType::F64, &CPU).unwrap()
}

fn weight(shape: &[usize], seed: u64) -> (Params, SpectralWeight) {
    let mut params = Params::new();
    let mut b = Builder::new(&mut params, Rng::new(seed), DType::F64, &CPU);
    let w = SpectralWeight::new(&mut b, Role::Kernel, shape, Init::Normal(1.0), true).unwrap();
    (params, w)
}

fn set(params: &Params, name: &str, value: &Tensor) {
    params.get(name).unwrap().var().set(value).unwrap();
}

/// By `specs/scripts/gan_golden.py`: W = [[3, 1, 0], [0, 2, -1]], u0 = (1, 1) / sqrt 2.
#[test]
fn spectral_norm_golden() {
    let (params, w) = weight(&[2, 3], 0);
    set(&params, "weight", &Tensor::new(&[[3f64, 1.0, 0.0], [0.0, 2.0, -1.0]], &CPU).unwrap());
    let start = || set(&params, "u", &Tensor::new(&[0.5f64.sqrt(); 2], &CPU).unwrap());
    start();
    for sigma in [3.187145233095, 3.256858177071, 3.268965490540, 3.270943016298, 3.271262697331, 3.271314289520] {
        w.tensor(Mode::Train).unwrap();
        near(&[w.sigma().unwrap().unwrap()], &[sigma], 1e-11);
    }
    start();
    let c = Tensor::new(&[[1f64, -1.0, 0.5], [2.0, 0.0, 1.0]], &CPU).unwrap();
    let normed = w.tensor(Mode::Train).unwrap();
    near(&values(&normed), &[0.941281234645, 0.313760411548, 0.0, 0.0, 0.627520823096, -0.313760411548], 1e-11);
    let grads = ops::backward(&(normed * c).unwrap().sum_all().unwrap()).unwrap();
    let got = values(grads.get(params.get("weight").unwrap().var()).unwrap());
    let want = [0.255235153436, -0.372285669661, 0.176388625145, 0.593381089197, -0.034139733899, 0.325140322848];
    near(&got, &want, 1e-11);
}

#[test]
fn spectral_norm_is_the_singular_value_from_the_start_and_moves_in_training_only() {
    for (seed, shape) in [[7, 3, 2, 2], [4, 8, 3, 3], [9, 1, 1, 1]].into_iter().enumerate() {
        let (params, w) = weight(&shape, seed as u64);
        let (rows, columns) = (shape[0], shape[1] * shape[2] * shape[3]);
        let flat = values(params.get("weight").unwrap().var());
        let svd = Mat::from_fn(rows, columns, |i, j| flat[i * columns + j]).singular_values().unwrap();
        near(&[w.sigma().unwrap().unwrap()], &[svd[0]], 1e-8 * svd[0]);
        let before = params.snapshot().unwrap();
        let evaluated = w.tensor(Mode::Eval).unwrap();
        near(&values(&evaluated), &flat.iter().map(|v| v / svd[0]).collect::<Vec<_>>(), 1e-8);
        w.tensor(Mode::Frozen).unwrap();
        for (name, value) in &before {
            assert_eq!(values(value), values(params.get(name).unwrap().var()), "`{name}` stays in evaluation");
        }
        // At the singular vectors, the derivative of sigma is that with u and v constant.
        GradCheck { step: 1e-5, tolerance: 1e-5 }
            .check(&[params.get("weight").unwrap().var().as_detached_tensor()], |v| {
                let m = v[0].reshape((rows, columns))?;
                let (u, r) = (params.get("u").unwrap().var(), params.get("v").unwrap().var());
                let sigma = (ops::matmul(&m, &r.as_detached_tensor().reshape((columns, 1))?)?
                    * u.as_detached_tensor().reshape((rows, 1))?)?;
                Ok(m.broadcast_div(&sigma.sum_all()?)?.sqr()?.sum_all()?)
            })
            .unwrap();
    }
    // Scaling the weight leaves the result; in training u moves where it is not settled.
    let (params, w) = weight(&[5, 4], 3);
    let once = values(&w.tensor(Mode::Eval).unwrap());
    let var = params.get("weight").unwrap().var();
    set(&params, "weight", &(var.as_detached_tensor() * 7.0).unwrap());
    near(&values(&w.tensor(Mode::Eval).unwrap()), &once, 1e-12);
    set(&params, "u", &normal(1, &[5]));
    w.tensor(Mode::Train).unwrap();
    let u = values(params.get("u").unwrap().var());
    near(&[u.iter().map(|v| v * v).sum()], &[1.0], 1e-12);
}

#[test]
fn conditional_batch_norm() {
    let mut params = Params::new();
    let mut b = Builder::new(&mut params, Rng::new(0), DType::F64, &CPU);
    let norm = ConditionalBatchNorm2d::new(&mut b, 3, 2).unwrap();
    let (x, y) = (normal(1, &[4, 3, 2, 2]), Tensor::new(&[0u32, 1, 1, 0], &CPU).unwrap());
    let plain = |x: &Tensor| {
        let (one, zero) = (Tensor::ones(3, DType::F64, &CPU).unwrap(), Tensor::zeros(3, DType::F64, &CPU).unwrap());
        ops::batch_norm_train(x, &one, &zero, 1e-5).unwrap()
    };
    near(&values(&norm.forward(&x, &y, Pass::Train).unwrap()), &values(&plain(&x)), 1e-14);
    let (scale, shift) = (normal(2, &[2, 3]), normal(3, &[2, 3]));
    set(&params, "class.scale", &scale);
    set(&params, "class.shift", &shift);
    // Both classes share the statistics of the batch.
    let rows = |t: &Tensor| t.index_select(&y, 0).unwrap().reshape((4, 3, 1, 1)).unwrap();
    let want = plain(&x).broadcast_mul(&rows(&scale)).unwrap().broadcast_add(&rows(&shift)).unwrap();
    near(&values(&norm.forward(&x, &y, Pass::Train).unwrap()), &values(&want), 1e-14);

    let e = norm.forward(&x, &y, Pass::Sample).unwrap_err().to_string();
    assert!(e.contains("standing_statistics"), "{e}");
    // Two batches: their moments' means.
    let other = (normal(4, &[4, 3, 2, 2]) * 2.0).unwrap();
    norm.forward(&x, &y, Pass::Collect(1)).unwrap();
    norm.forward(&other, &y, Pass::Collect(2)).unwrap();
    let moments = [&x, &other].map(|x| ops::channel_moments(x).unwrap());
    let mean = |a: &Tensor, b: &Tensor| values(&((a + b).unwrap() / 2.0).unwrap());
    near(&values(params.get("mean").unwrap().var()), &mean(&moments[0].0, &moments[1].0), 1e-14);
    near(&values(params.get("var").unwrap().var()), &mean(&moments[0].1, &moments[1].1), 1e-14);
    // A sample does not depend on its batch.
    let all = norm.forward(&x, &y, Pass::Sample).unwrap();
    let one = norm.forward(&x.narrow(0, 1, 1).unwrap(), &y.narrow(0, 1, 1).unwrap(), Pass::Sample).unwrap();
    assert_eq!(values(&all.narrow(0, 1, 1).unwrap()), values(&one));
    norm.forward(&x, &y, Pass::Train).unwrap();
    assert!(norm.forward(&x, &y, Pass::Sample).is_err(), "training drops them");
}

fn generators(cfg: &GeneratorConfig) -> [Box<dyn Generator>; 2] {
    [
        Box::new(DcganGenerator::new(cfg.clone(), Rng::new(0), DType::F32, &CPU).unwrap()),
        Box::new(ResNetGenerator::new(cfg.clone(), Rng::new(0), DType::F32, &CPU).unwrap()),
    ]
}

fn discriminators(cfg: &DiscriminatorConfig) -> [Box<dyn Discriminator>; 2] {
    [
        Box::new(DcganDiscriminator::new(cfg.clone(), Rng::new(0), DType::F32, &CPU).unwrap()),
        Box::new(ResNetDiscriminator::new(cfg.clone(), Rng::new(0), DType::F32, &CPU).unwrap()),
    ]
}

/// What every generator keeps: the shape and range of its images, samples that do not depend on the batch.
#[test]
fn laws_of_generators() {
    for (side, channels, widths) in [
        (8, 1, Widths::Doubling),
        (14, 1, Widths::Doubling),
        (28, 1, Widths::Constant),
        (11, 3, Widths::Doubling),
        (64, 3, Widths::Constant),
    ] {
        let cfg = GeneratorConfig { channels, side, classes: 3, noise: 5, width: 2, widths };
        for g in generators(&cfg) {
            let z = normal(1, &[4, 5]).to_dtype(DType::F32).unwrap();
            let y = Tensor::new(&[0u32, 2, 1, 1], &CPU).unwrap();
            let x = g.generate(&z, &y, Pass::Train).unwrap();
            assert_eq!(x.dims(), [4, channels, side, side]);
            let range = g.range().unwrap();
            assert!(values(&x).iter().all(|v| (range.lo()..=range.hi()).contains(v)));
            assert!(g.generate(&z, &y, Pass::Sample).is_err());
            standing_statistics(&*g, &vec![vec![0, 1, 2, 0]; 3], &Rng::new(2)).unwrap();
            let all = g.generate(&z, &y, Pass::Sample).unwrap();
            let one = g.generate(&z.narrow(0, 3, 1).unwrap(), &y.narrow(0, 3, 1).unwrap(), Pass::Sample).unwrap();
            assert_eq!(values(&all.narrow(0, 3, 1).unwrap()), values(&one), "side {side}");
            // Every weight is reached by the gradient.
            let grads =
                ops::backward(&g.generate(&z, &y, Pass::Train).unwrap().sqr().unwrap().mean_all().unwrap()).unwrap();
            assert!(g.params().trainable().all(|p| grads.get(p.var()).is_some()));
            assert!(
                g.generate(&z, &Tensor::new(&[0u32, 3, 1, 1], &CPU).unwrap(), Pass::Train).is_err(),
                "a class too many"
            );
        }
    }
}

/// What every discriminator keeps: one score an example that depends on that example only, evaluation that moves nothing, frozen blocks.
#[test]
fn laws_of_discriminators() {
    for (side, conditioning, spectral_norm) in [
        (8, Conditioning::Projection, true),
        (14, Conditioning::Auxiliary, true),
        (28, Conditioning::None, false),
        (64, Conditioning::Projection, false),
    ] {
        let cfg = DiscriminatorConfig {
            side,
            classes: 3,
            width: 2,
            conditioning,
            spectral_norm,
            plain_blocks: 1,
            ..DiscriminatorConfig::default()
        };
        for mut d in discriminators(&cfg) {
            let x = Rng::new(1).uniform((3, 1, side, side), -1.0..1.0, DType::F32, &CPU).unwrap();
            let y = Tensor::new(&[0u32, 2, 1], &CPU).unwrap();
            let before = d.params().snapshot().unwrap();
            let scores = d.score(&x, &y, Mode::Eval).unwrap();
            assert_eq!(scores.realness.dims(), [3]);
            assert_eq!(scores.classes.is_some(), conditioning == Conditioning::Auxiliary);
            let one = d.score(&x.narrow(0, 1, 1).unwrap(), &y.narrow(0, 1, 1).unwrap(), Mode::Frozen).unwrap();
            assert_eq!(values(&one.realness)[0], values(&scores.realness)[1]);
            assert!(before.iter().all(|(n, v)| values(v) == values(d.params().get(n).unwrap().var())));
            assert!(d.score(&x.narrow(2, 0, side - 1).unwrap(), &y, Mode::Eval).is_err());

            d.freeze(1).unwrap();
            let trainable = d.trainable();
            let under = |prefix: &str| trainable.iter().any(|p| p.name().starts_with(prefix));
            assert!(!under("block0.") && under("block1.") && under("head."));
            let scores = d.score(&x, &y, Mode::Train).unwrap();
            let mut loss = scores.realness.sqr().unwrap().mean_all().unwrap();
            if let Some(c) = scores.classes {
                loss = (loss + c.sqr().unwrap().mean_all().unwrap()).unwrap();
            }
            let grads = ops::backward(&loss).unwrap();
            for p in d.params().trainable() {
                assert_eq!(grads.get(p.var()).is_some(), trainable.get(p.name()).is_some(), "{}", p.name());
            }
            let blocks = d.blocks();
            assert!(d.freeze(blocks + 1).is_err());
        }
    }
}

/// Test D2 of the specification: phi = (1, 2), w = (3, -1), e = (0.5, 0.25): w.phi + e.phi = 2. Images of ones through a block of weights
/// chosen so that phi is known.
#[test]
fn projection_is_the_sum_of_both_products() {
    let cfg =
        DiscriminatorConfig { side: 8, classes: 4, width: 2, spectral_norm: false, ..DiscriminatorConfig::default() };
    let d = DcganDiscriminator::new(cfg, Rng::new(0), DType::F64, &CPU).unwrap();
    // The features are the sum over 4x4 positions of the biases of the last block, of which there are four.
    let last = d.params().get("block1.weight").unwrap().var().as_detached_tensor().zeros_like().unwrap();
    set(d.params(), "block1.weight", &last);
    set(d.params(), "block1.bias", &(Tensor::new(&[1f64, 2.0, 0.0, 0.0], &CPU).unwrap() / 16.0).unwrap());
    set(d.params(), "head.score.weight", &Tensor::new(&[[3f64, -1.0, 5.0, 5.0]], &CPU).unwrap());
    let mut rows = [[7f64; 4]; 4];
    rows[2] = [0.5, 0.25, 9.0, 9.0];
    set(d.params(), "head.class.weight", &Tensor::new(&rows, &CPU).unwrap());
    let x = Tensor::ones((1, 1, 8, 8), DType::F64, &CPU).unwrap();
    let at = |y: u32| values(&d.score(&x, &Tensor::new(&[y], &CPU).unwrap(), Mode::Eval).unwrap().realness);
    near(&at(2), &[2.0], 1e-12);
    near(&at(0), &[1.0 + 21.0], 1e-12);
    // Rows of other classes get no gradient.
    let score = d.score(&x, &Tensor::new(&[2u32], &CPU).unwrap(), Mode::Train).unwrap().realness;
    let grads = ops::backward(&score.sum_all().unwrap()).unwrap();
    let g = grads.get(d.params().get("head.class.weight").unwrap().var()).unwrap();
    assert_eq!(values(g), [vec![0.0; 8], vec![1.0, 2.0, 0.0, 0.0], vec![0.0; 4]].concat());
}

#[test]
fn rows_of_new_classes() {
    let cfg = DiscriminatorConfig { side: 8, classes: 5, width: 2, ..DiscriminatorConfig::default() };
    let d = DcganDiscriminator::new(cfg, Rng::new(0), DType::F64, &CPU).unwrap();
    let g = DcganGenerator::new(
        GeneratorConfig { side: 8, classes: 5, width: 2, ..GeneratorConfig::default() },
        Rng::new(0),
        DType::F64,
        &CPU,
    )
    .unwrap();
    for p in g.params().trainable() {
        p.var().set(&normal(7, p.var().dims())).unwrap();
    }
    let snapshot = |p: &Params| -> HashMap<String, Tensor> { p.snapshot().unwrap().into_iter().collect() };
    let (before_g, before_d) = (snapshot(g.params()), snapshot(d.params()));
    let mean = NewRows::MeanOf(2..5);
    initialise_class_rows(g.params(), 0..2, &mean, &Rng::new(1)).unwrap();
    initialise_class_rows(d.params(), 0..2, &NewRows::Fresh, &Rng::new(1)).unwrap();
    for (params, before) in [(g.params(), &before_g), (d.params(), &before_d)] {
        for p in params.trainable() {
            let (now, then) = (p.var().as_detached_tensor(), &before[p.name()]);
            if !p.name().contains("class.") {
                assert_eq!(values(&now), values(then), "{}", p.name());
                continue;
            }
            assert_eq!(
                values(&now.narrow(0, 2, 3).unwrap()),
                values(&then.narrow(0, 2, 3).unwrap()),
                "other classes stay"
            );
            assert_ne!(values(&now.narrow(0, 0, 2).unwrap()), values(&then.narrow(0, 0, 2).unwrap()));
        }
    }
    let scale = g.params().get("norm0.class.scale").unwrap().var();
    let want = before_g["norm0.class.scale"].narrow(0, 2, 3).unwrap().mean(0).unwrap();
    near(&values(&scale.get(1).unwrap()), &values(&want), 1e-14);
    initialise_class_rows(g.params(), 0..2, &NewRows::Fresh, &Rng::new(1)).unwrap();
    assert!(values(&scale.narrow(0, 0, 2).unwrap()).iter().all(|v| *v == 1.0));
    // The spectral norm of the changed table is right at once.
    let table = values(d.params().get("head.class.weight").unwrap().var());
    let (u, v) = (d.params().get("head.class.u").unwrap().var(), d.params().get("head.class.v").unwrap().var());
    let svd = Mat::from_fn(5, 4, |i, j| table[4 * i + j]).singular_values().unwrap();
    let m = Tensor::from_vec(table, (5, 4), &CPU).unwrap();
    let sigma =
        ops::matmul(&u.reshape((1, 5)).unwrap(), &ops::matmul(&m, &v.reshape((4, 1)).unwrap()).unwrap()).unwrap();
    near(&values(&sigma), &[svd[0]], 1e-8);
    assert!(initialise_class_rows(g.params(), 4..6, &NewRows::Fresh, &Rng::new(1)).is_err());
}
