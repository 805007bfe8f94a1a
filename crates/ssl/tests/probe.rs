//! Probes: golden values, optimality of the linear probe, and the trunk as they found it.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use sconce_ssl::probe::{
    Few, Knn, KnnConfig, LinearLoss, LinearProbe, LinearProbeConfig, Pixels, Pooling, ProbeNet, SgdProbe,
    SgdProbeConfig, extract, few_labels,
};
use sconce_ssl::trunk::Trunk;
use sconce_tensor_core::candle_core::{DType, Device, Tensor};
use sconce_tensor_core::classifier::predict;
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::gradcheck::GradCheck;
use sconce_tensor_core::nn::{BatchNorm2d, Builder, Conv2d};
use sconce_tensor_core::ops::{self, Conv2dSpec, Pool2dSpec};
use sconce_tensor_core::{Classifier, Mode, Module, Params, Result, Rng};

fn tensor(v: Vec<f64>, shape: &[usize]) -> Tensor {
    Tensor::from_vec(v, shape, &Device::Cpu).unwrap()
}

fn values(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn close(got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() <= tolerance), "{got:?} {want:?}");
}

/// Two blocks of a convolution, batch normalisation and ReLU.
struct Tiny {
    params: Params,
    layers: Vec<(Conv2d, BatchNorm2d)>,
}

impl Tiny {
    /// A trunk whose running statistics are those of a training step.
    fn new(dtype: DType) -> Self {
        let mut params = Params::new();
        let mut build = Builder::new(&mut params, Rng::new(1), dtype, &Device::Cpu);
        let mut layer = |name: &str, from, to| {
            let mut b = build.scope(name);
            let conv = Conv2d::new(&mut b.scope("conv"), from, to, 3, Conv2dSpec::same(3)).unwrap();
            (conv, BatchNorm2d::new(&mut b.scope("bn"), to).unwrap())
        };
        let layers = vec![layer("block1", 3, 4), layer("block2", 4, 6)];
        let net = Self { params, layers };
        net.blocks(&images(40, dtype).0, Mode::Train).unwrap();
        net
    }
}

impl Module for Tiny {
    fn params(&self) -> &Params {
        &self.params
    }
}

impl Trunk for Tiny {
    fn blocks(&self, x: &Tensor, mode: Mode) -> Result<Vec<Tensor>> {
        let mut maps = vec![];
        let mut x = x.clone();
        for (conv, norm) in &self.layers {
            x = ops::avg_pool2d(&conv.forward_norm(&x, norm, None, true, mode)?, Pool2dSpec::default())?;
            maps.push(x.clone());
        }
        Ok(maps)
    }

    fn channels(&self) -> Vec<usize> {
        vec![4, 6]
    }
}

/// Images (N, 3, 12, 12) of three classes: noise with one brighter channel.
fn images(n: usize, dtype: DType) -> (Tensor, Vec<u32>) {
    let y: Vec<u32> = (0..n).map(|i| (i * i + i / 5) as u32 % 3).collect();
    let noise = Rng::new(7).uniforms(n * 3 * 144);
    let pixel = |(i, v): (usize, f64)| 0.7 * v + if (i / 144) % 3 == y[i / 432] as usize { 0.15 } else { 0.0 };
    let x = noise.into_iter().enumerate().map(pixel).collect();
    (tensor(x, &[n, 3, 12, 12]).to_dtype(dtype).unwrap(), y)
}

/// Three overlapping classes in `d` dimensions; the features have different means and scales, and the last one is constant.
fn overlapping(n: usize, d: usize, seed: u64) -> Labelled {
    let y: Vec<u32> = Rng::new(seed).below(n, 3).into_iter().map(|c| c as u32).collect();
    let noise = Rng::new(seed).stream("noise").normals(n * d);
    let feature = |(i, v): (usize, f64)| match (i / d, i % d) {
        (_, j) if j == d - 1 => 5.0,
        (row, j) => 10.0 + (j + 1) as f64 * (v + if j % 3 == y[row] as usize { 1.0 } else { 0.0 }),
    };
    Labelled::new(tensor(noise.into_iter().enumerate().map(feature).collect(), &[n, d]), &y, 3).unwrap()
}

fn probe(loss: LinearLoss, strengths: &[f64]) -> LinearProbe {
    let cfg = LinearProbeConfig {
        loss,
        strengths: strengths.to_vec(),
        patience: strengths.len(),
        tolerance: 1e-9,
        ..Default::default()
    };
    LinearProbe::new(cfg).unwrap()
}

/// Golden values of specs/scripts/ssl_golden.py (section "kNN probe").
#[test]
fn votes_of_neighbours() {
    let bank = tensor(vec![1.0, 0.0, 0.9, 0.1, 0.0, 1.0, -0.2, 1.0, 0.7, 0.7, 1.0, 0.2], &[6, 2]);
    let bank = Labelled::new(bank, &[0, 0, 1, 1, 2, 2], 3).unwrap();
    let queries = tensor(vec![0.8, 0.5, 0.1, 1.0], &[2, 2]);
    let votes = |k, temperature| {
        let knn = Knn::new(KnnConfig { k, temperature, standardize: false }).unwrap();
        (values(&knn.votes(&bank, &queries).unwrap()), knn.predict(&bank, &queries).unwrap())
    };
    let (found, labels) = votes(3, 0.1);
    close(&found, &[0.223068047, 0.0, 0.776931953, 0.0, 0.938687376, 0.061312624], 1e-9);
    assert_eq!(labels, [2, 1]);
    close(&votes(5, 0.1).0[..3], &[0.311468049, 0.004788861, 0.683743090], 1e-9);
    close(&votes(5, 0.07).0[..3], &[0.246944802, 0.000836324, 0.752218874], 1e-9);
    close(&votes(5, 0.5).0[..3], &[0.412550922, 0.103383949, 0.484065130], 1e-9);
    // Far below the range of exp(1 / t).
    assert_eq!(votes(6, 1e-4).1, [2, 1]);
}

#[test]
fn neighbours_at_ties_of_zeros_and_with_standardised_features() {
    let knn = |k, standardize| Knn::new(KnnConfig { k, temperature: 0.1, standardize }).unwrap();
    // Equal votes of classes 2 and 1: the smaller class. Equal similarities: the smaller index.
    let bank = Labelled::new(tensor(vec![1.0, 0.0, 2.0, 0.0], &[2, 2]), &[2, 1], 3).unwrap();
    let query = tensor(vec![3.0, 0.0], &[1, 2]);
    assert_eq!(knn(2, false).predict(&bank, &query).unwrap(), [1]);
    assert_eq!(knn(1, false).predict(&bank, &query).unwrap(), [2]);
    let zero = knn(2, false).votes(&bank, &tensor(vec![0.0, 0.0], &[1, 2])).unwrap();
    close(&values(&zero), &[0.0, 0.5, 0.5], 0.0);
    // A shift and a positive scale of each feature, and the batch of the query, change nothing.
    let data = overlapping(600, 5, 1);
    let (train, test) = (data.slice(0, 300).unwrap(), data.slice(300, 300).unwrap());
    let all = knn(7, true).votes(&train, test.x()).unwrap();
    let one = knn(7, true).votes(&train, &test.x().narrow(0, 271, 1).unwrap()).unwrap();
    assert_eq!(values(&all)[271 * 3..272 * 3], values(&one));
    let moved = |d: &Labelled| Labelled::new(((d.x() * 3.0).unwrap() + 4.0).unwrap(), &d.labels().unwrap(), 3).unwrap();
    close(&values(&knn(7, true).votes(&moved(&train), moved(&test).x()).unwrap()), &values(&all), 1e-9);
    let result = knn(7, true).evaluate(&train, &test).unwrap();
    assert!(result.accuracy.rate() > 0.5 && result.config.k == 7 && result.accuracy.total == 300);

    let e = knn(301, true).votes(&train, test.x()).unwrap_err().to_string();
    assert!(e.contains("at most the 300 training examples"), "{e}");
    assert!(Knn::new(KnnConfig { temperature: 0.0, ..Default::default() }).is_err());
}

/// Golden values of tests/golden/probe.py.
#[test]
fn linear_probes_of_a_small_table() {
    let x = (0..30).flat_map(|i| (1..5).map(move |j| (1.0 + f64::from(i * j)).sin())).collect();
    let y: Vec<u32> = (0..30).map(|i| (i * i + i / 7) % 3).collect();
    let data = Labelled::new(tensor(x, &[30, 4]), &y, 3).unwrap();
    let golden = [
        (
            LinearLoss::CrossEntropy,
            1e-3,
            1.008054028719,
            [0.819858401, -0.599587575, -0.220270826, -0.215478992, 0.293419259, -0.077940267],
        ),
        (
            LinearLoss::CrossEntropy,
            1e-1,
            1.029231578416,
            [0.645352758, -0.437191578, -0.20816118, -0.132960398, 0.231114619, -0.098154221],
        ),
        (
            LinearLoss::Squares,
            1e-3,
            0.303537164312,
            [0.616299702, 0.148444603, 0.235255695, 0.277900006, 0.435563939, 0.286536056],
        ),
        (
            LinearLoss::Squares,
            1e-1,
            0.306061742375,
            [0.594570139, 0.164535993, 0.240893868, 0.285488192, 0.426590433, 0.287921375],
        ),
    ];
    for (loss, strength, value, logits) in golden {
        let fit = probe(loss, &[strength]).fit(&data, &data).unwrap();
        assert!((fit.chosen().loss - value).abs() < 1e-11 && fit.chosen().gradient_norm <= 1e-9, "{:?}", fit.chosen());
        let found = values(&fit.head.logits(data.x()).unwrap());
        close(&[&found[..3], &found[21..24]].concat(), &logits, 1e-7);
    }
}

/// The loss of the formula, written out, has no slope at the solution in any parameter; it is strictly convex in the weights, so this
/// is the minimum. More features than examples, and a feature that is constant.
#[test]
fn the_solution_is_the_minimum() {
    let data = overlapping(25, 40, 3);
    let fit = probe(LinearLoss::CrossEntropy, &[1e-2]).fit(&data, &data).unwrap();
    let (weight, bias) = fit.head.folded();
    let (x, y) = (values(data.x()), data.labels().unwrap());
    let sd: Vec<f64> = (0..40)
        .map(|j| {
            let mean = x.iter().skip(j).step_by(40).sum::<f64>() / 25.0;
            (x.iter().skip(j).step_by(40).map(|v| (v - mean).powi(2)).sum::<f64>() / 25.0).sqrt()
        })
        .collect();
    let loss = |w: &[f64], b: &[f64]| {
        let row = |(x, y): (&[f64], &u32)| {
            let z: Vec<f64> = (0..3).map(|c| b[c] + (0..40).map(|j| w[c * 40 + j] * x[j]).sum::<f64>()).collect();
            z.iter().map(|z| z.exp()).sum::<f64>().ln() - z[*y as usize]
        };
        // The penalty is on the weights of standardised features.
        let penalty: f64 = w.iter().enumerate().map(|(i, w)| (w * sd[i % 40]).powi(2)).sum();
        x.chunks(40).zip(&y).map(row).sum::<f64>() / 25.0 + 0.005 * penalty
    };
    let (w, b) = (values(weight), values(bias));
    assert!((loss(&w, &b) - fit.chosen().loss).abs() < 1e-9);
    let slope = |at: usize| {
        let moved = |by: f64| {
            let (mut w, mut b) = (w.clone(), b.clone());
            if at < 120 {
                w[at] += by / sd[at % 40].max(1.0)
            } else {
                b[at - 120] += by
            }
            loss(&w, &b)
        };
        (moved(1e-4) - moved(-1e-4)) / 2e-4
    };
    for i in 0..123 {
        assert!(slope(i).abs() < 1e-7, "{i}: {}", slope(i));
    }
    assert!((0..3).all(|c| w[c * 40 + 39] == 0.0), "the constant feature is left out");
    let shifted = tensor(vec![1e6; 25], &[25, 1]);
    let moved = Tensor::cat(&[&data.x().narrow(1, 0, 39).unwrap(), &shifted], 1).unwrap();
    assert_eq!(fit.head.predict(&moved).unwrap(), fit.head.predict(data.x()).unwrap());
}

#[test]
fn the_strength_is_chosen_on_validation_and_a_failure_is_an_error() {
    let data = overlapping(400, 6, 5);
    let (train, validation) = (data.slice(0, 100).unwrap(), data.slice(100, 300).unwrap());
    for loss in [LinearLoss::CrossEntropy, LinearLoss::Squares] {
        let fit = probe(loss, &[1e-3, 10.0, 1e-1]).fit(&train, &validation).unwrap();
        assert_eq!(fit.tried.iter().map(|t| t.strength).collect::<Vec<_>>(), [10.0, 1e-1, 1e-3]);
        let best = fit.tried.iter().map(|t| t.validation.hits).max().unwrap();
        let first = fit.tried.iter().find(|t| t.validation.hits == best).unwrap();
        assert_eq!(fit.chosen(), first);
        assert_eq!(fit.head.accuracy(&validation).unwrap(), first.validation);
        assert_eq!(fit.at_end_of_grid(), first.strength != 1e-1);
        // A warm start does not change the answer.
        let alone = probe(loss, &[first.strength]).fit(&train, &validation).unwrap();
        close(&values(alone.head.folded().0), &values(fit.head.folded().0), 1e-6);
        assert!(!alone.at_end_of_grid());
    }
    // The path ends after one strength that is no better.
    let cfg = LinearProbeConfig { strengths: vec![1.0, 1e-1, 1e-2, 1e-3, 1e-4], ..Default::default() };
    let all =
        LinearProbe::new(LinearProbeConfig { patience: 5, ..cfg.clone() }).unwrap().fit(&train, &validation).unwrap();
    let short = LinearProbe::new(cfg).unwrap().fit(&train, &validation).unwrap();
    let rates: Vec<usize> = all.tried.iter().map(|t| t.validation.hits).collect();
    let first_no_better = (1..5).find(|i| rates[*i] <= rates[..*i].iter().copied().max().unwrap()).unwrap();
    assert!(all.tried.len() == 5 && first_no_better < 4, "{rates:?}");
    assert_eq!(short.tried, all.tried[..=first_no_better]);
    let cfg = LinearProbeConfig { steps: 2, ..Default::default() };
    let e = LinearProbe::new(cfg).unwrap().fit(&train, &validation).unwrap_err().to_string();
    assert!(e.contains("no convergence in 2 steps") && e.contains("larger strength"), "{e}");
    for strengths in [vec![], vec![1.0, 0.0], vec![f64::NAN]] {
        let e = LinearProbe::new(LinearProbeConfig { strengths, ..Default::default() }).unwrap_err().to_string();
        assert!(e.contains("LinearProbeConfig.strengths"), "{e}");
    }
}

#[test]
fn the_same_bytes_for_any_number_of_threads() {
    let data = overlapping(300, 9, 2);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let fit = probe(LinearLoss::CrossEntropy, &[1e-3]).fit(&data, &data).unwrap();
            let votes = Knn::new(KnnConfig::default()).unwrap().votes(&data, data.x()).unwrap();
            let sgd = SgdProbe::new(SgdProbeConfig { epochs: 2, ..SgdProbeConfig::rotnet() }).unwrap();
            let sgd = sgd.fit(&data, &Rng::new(0)).unwrap();
            [values(fit.head.folded().0), values(&votes), values(sgd.folded().0)]
        })
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn few_labels_are_stratified_and_nested() {
    let labels: Vec<u32> = (0..300).map(|i| u32::from(i % 3 == 0)).collect();
    let rng = Rng::new(4);
    let of = |few| few_labels(&labels, 2, few, &rng).unwrap();
    let (small, large) = (of(Few::PerClass(5)), of(Few::PerClass(20)));
    assert_eq!(small.iter().filter(|i| labels[**i] == 0).count(), 5);
    assert_eq!((small.len(), large.len()), (10, 40));
    assert!(small.iter().all(|i| large.contains(i)) && large.is_sorted());
    assert_ne!(small, few_labels(&labels, 2, Few::PerClass(5), &Rng::new(5)).unwrap());
    let share = of(Few::Share(0.1));
    assert_eq!(share.iter().filter(|i| labels[**i] == 1).count(), 10);
    assert_eq!((share.len(), of(Few::Share(1e-3)).len(), of(Few::Share(1.0)).len()), (30, 2, 300));
    for (few, reason) in [
        (Few::PerClass(0), "at least 1"),
        (Few::Share(1.5), "in (0, 1]"),
        (Few::PerClass(101), "class 1, which has 100"),
    ] {
        let e = few_labels(&labels, 2, few, &rng).unwrap_err().to_string();
        assert!(e.contains(reason), "{e}");
    }
}

#[test]
fn a_probe_leaves_the_trunk_as_it_was() {
    let trunk = Tiny::new(DType::F32);
    let bits = || -> Vec<Vec<u32>> {
        let of = |(_, t): (String, Tensor)| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        trunk.params().snapshot().unwrap().into_iter().map(|p| of(p).iter().map(|v| v.to_bits()).collect()).collect()
    };
    let before = bits();
    let (x, y) = images(60, DType::F32);
    let blocks = [(0, Pooling::default()), (1, Pooling::average(24).unwrap())];
    let features = extract(&trunk, &x, &blocks, 25).unwrap();
    assert_eq!((features[0].dims(), features[1].dims()), (&[60, 4, 6, 6][..], &[60, 6, 2, 2][..]));
    for f in &features {
        let data = Labelled::new(f.clone(), &y, 3).unwrap();
        let fit = LinearProbe::new(Default::default()).unwrap().fit(&data, &data).unwrap();
        let attacked = ProbeNet::new(&trunk, 0, blocks[0].1, fit.head);
        drop(attacked.unwrap().logits(&x));
        Knn::new(KnnConfig::default()).unwrap().evaluate(&data, &data).unwrap();
        SgdProbe::new(SgdProbeConfig { epochs: 1, ..SgdProbeConfig::rotnet() })
            .unwrap()
            .fit(&data, &Rng::new(0))
            .unwrap();
    }
    assert_eq!(bits(), before);
    // One batch or many: the same bytes.
    let whole = extract(&trunk, &x, &blocks, 60).unwrap();
    assert!(features.iter().zip(&whole).all(|(a, b)| values(a) == values(b)));
    // They are those of evaluation mode, which training mode's are not.
    let pooled = |mode| values(&blocks[0].1.apply(&trunk.blocks(&x, mode).unwrap()[0]).unwrap());
    assert_eq!(values(&features[0]), pooled(Mode::Frozen));
    assert_ne!(values(&features[0]), pooled(Mode::Train));

    let e = extract(&trunk, &x, &[(2, Pooling::default())], 10).unwrap_err().to_string();
    assert!(e.contains("`block` must be below the trunk's 2 blocks"), "{e}");
    let e = extract(&trunk, &(x * f64::NAN).unwrap(), &blocks, 10).unwrap_err().to_string();
    assert!(e.contains("features of block 0"), "{e}");
}

#[test]
fn the_trunk_with_its_head_is_a_classifier() {
    let trunk = Tiny::new(DType::F64);
    let (x, y) = images(50, DType::F64);
    for (block, pooling) in [(0, Pooling::Maxima { side: 3 }), (1, Pooling::default())] {
        let features = extract(&trunk, &x, &[(block, pooling)], 50).unwrap().remove(0);
        let data = Labelled::new(features, &y, 3).unwrap();
        let fit = LinearProbe::new(Default::default()).unwrap().fit(&data, &data).unwrap();
        let net = ProbeNet::new(&trunk, block, pooling, fit.head.clone()).unwrap();
        close(&values(&net.logits(&x).unwrap()), &values(&fit.head.logits(data.x()).unwrap()), 1e-10);
        assert_eq!(predict(&net, &x, 20).unwrap(), fit.head.predict(data.x()).unwrap());
        assert!(net.classes() == 3 && fit.head.accuracy(&data).unwrap().rate() > 0.9);
        let some = x.narrow(0, 0, 2).unwrap();
        let labels = Tensor::new(&y[..2], &Device::Cpu).unwrap();
        GradCheck::default()
            .check(&[some], |x| Ok(ops::cross_entropy(&net.logits(&x[0])?, &labels)?.sum_all()?))
            .unwrap();
        assert!(ProbeNet::new(&trunk, 2, pooling, fit.head).is_err());
    }
    // In f32 the predictions are the same.
    let (trunk, x) = (Tiny::new(DType::F32), x.to_dtype(DType::F32).unwrap());
    let features = extract(&trunk, &x, &[(1, Pooling::default())], 50).unwrap().remove(0);
    let data = Labelled::new(features, &y, 3).unwrap();
    let fit = LinearProbe::new(Default::default()).unwrap().fit(&data, &data).unwrap();
    let net = ProbeNet::new(&trunk, 1, Pooling::default(), fit.head.clone()).unwrap();
    assert_eq!(predict(&net, &x, 20).unwrap(), fit.head.predict(data.x()).unwrap());
}

#[test]
fn pooled_sizes() {
    let map = |c, side| Tensor::zeros((1, c, side, side), DType::F32, &Device::Cpu).unwrap();
    let count = |p: Pooling, c, side| p.apply(&map(c, side)).unwrap().elem_count();
    // Maps of AlexNet (RotNet's, DeepCluster's) for 224 x 224 images: the numbers of features of the papers' probes.
    let rotnet = [(64, 55), (192, 27), (384, 13), (256, 13), (256, 13)];
    let of = |p: [Pooling; 5], maps: [(usize, usize); 5]| -> Vec<usize> {
        p.iter().zip(maps).map(|(p, (c, side))| count(*p, c, side)).collect()
    };
    assert_eq!(of(Pooling::ROTNET_ALEXNET, rotnet), [9216, 9408, 9600, 9216, 9216]);
    let deep_cluster = [(96, 55), (256, 27), (384, 13), (384, 13), (256, 13)];
    assert_eq!(of(Pooling::DEEP_CLUSTER_ALEXNET, deep_cluster), [9600, 9216, 9600, 9600, 9216]);
    // The default: the largest grid of at most 1,024.
    let default = Pooling::default();
    let sizes = [(16, 14), (32, 7), (64, 7), (3, 28), (2000, 7), (8, 3)].map(|(c, side)| count(default, c, side));
    assert_eq!(sizes, [16 * 64, 32 * 25, 64 * 16, 3 * 18 * 18, 2000, 72]);
    let constant = default.apply(&(map(64, 7) + 2.0).unwrap()).unwrap();
    assert!(values(&constant).iter().all(|v| (v - 2.0).abs() < 1e-6));
    let vectors = tensor(vec![1.0; 6], &[2, 3]);
    assert_eq!(default.apply(&vectors).unwrap().dims(), [2, 3]);
    assert!(default.apply(&vectors.unsqueeze(0).unwrap()).is_err() && Pooling::average(0).is_err());
    let e = extract(&Pixels::new(3), &map(2, 4), &[(0, default)], 1).unwrap_err().to_string();
    assert!(e.contains("(N, 3, H, W)"), "{e}");
}

#[test]
fn probes_by_sgd() {
    let rotnet = SgdProbeConfig::rotnet();
    // The rates of the released code: 0.01, 0.002, 0.0004, 0.00008 from epochs 0, 5, 15, 25 on.
    let rate = |epoch: usize| rotnet.sgd.lr * rotnet.schedule.factor(epoch * 260, 35 * 260);
    close(&[0, 4, 5, 14, 15, 24, 25, 34].map(rate), &[1e-2, 1e-2, 2e-3, 2e-3, 4e-4, 4e-4, 8e-5, 8e-5], 1e-12);
    let (x, y) = images(180, DType::F32);
    let features = extract(&Pixels::new(3), &x, &[(0, Pooling::Maxima { side: 4 })], 60).unwrap().remove(0);
    let all = Labelled::new(features, &y, 3).unwrap();
    let (train, test) = (all.slice(0, 120).unwrap(), all.slice(120, 60).unwrap());
    for cfg in [
        SgdProbeConfig { batch_size: 16, ..rotnet },
        SgdProbeConfig { batch_size: 16, ..SgdProbeConfig::deep_cluster() },
    ] {
        let sgd = SgdProbe::new(cfg).unwrap();
        let head = sgd.fit(&train, &Rng::new(0)).unwrap();
        assert!(head.accuracy(&test).unwrap().rate() > 0.6, "{:?}", head.accuracy(&test));
        assert_eq!(values(head.folded().0), values(sgd.fit(&train, &Rng::new(0)).unwrap().folded().0));
        // Vectors of the same features, channel by channel, are another input but fit as well.
        let flat = Labelled::new(train.x().flatten_from(1).unwrap(), &train.labels().unwrap(), 3).unwrap();
        assert!(sgd.fit(&flat, &Rng::new(0)).unwrap().accuracy(&flat).unwrap().rate() > 0.6);
    }
    assert!(SgdProbe::new(SgdProbeConfig { batch_size: 1, ..SgdProbeConfig::rotnet() }).is_err());
    assert!(SgdProbe::new(SgdProbeConfig { epochs: 0, ..SgdProbeConfig::rotnet() }).is_err());
}
