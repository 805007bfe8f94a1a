//! Golden values of the metrics, by `specs/scripts/gan_golden.py`: numpy in f64, where torch-fidelity 0.4.0, prdc 0.2, clean-fid 0.1.35 and
//! pytorch-msssim 1.0.0 give the same on the same inputs.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use sconce_gan::fidelity::{
    Features, FidConfig, Generated, InceptionScoreConfig, KidConfig, Manifold, Moments, MsSsim, MsSsimConfig,
    PrdcConfig, Real, Resize, Source, Ssim, SsimConfig, Subsets, fid, frechet, inception_score, kid, prdc, realism,
};
use sconce_tensor_core::Rng;
use sconce_tensor_core::candle_core::{DType, Device, Tensor};

fn source(split: &str) -> Source {
    Source { extractor: "sines".to_owned(), resize: Resize::None, split: split.to_owned() }
}

/// Rows `from..to` of an (8, 3) matrix whose element (i, j) is `f(i, j)`.
fn rows(from: usize, to: usize, f: impl Fn(f64, f64) -> f64) -> Features {
    let values: Vec<f64> =
        (from..to).flat_map(|i| (0..3).map(move |j| (i as f64, j as f64))).map(|(i, j)| f(i, j)).collect();
    Features::new(&Tensor::from_vec(values, (to - from, 3), &Device::Cpu).unwrap(), source("golden")).unwrap()
}

fn x(from: usize, to: usize) -> Features {
    rows(from, to, |i, j| (0.7 * (i + 1.0) * (j + 1.0) + 0.3 * j).sin())
}

fn y(from: usize, to: usize) -> Features {
    rows(from, to, |i, j| 1.1 * (0.5 * (i + 1.0) * (j + 1.0) + 0.4).sin() + 0.2)
}

fn near(got: f64, want: f64, tolerance: f64) {
    assert!((got - want).abs() <= tolerance, "{got} {want}");
}

#[test]
fn the_inputs_are_those_of_the_script() {
    let first = x(0, 1).rows().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    for (got, want) in first.iter().zip([0.644217687238, 0.991664810452, 0.427379880234]) {
        near(*got, want, 1e-12);
    }
}

#[test]
fn frechet_distance() {
    // Rows are 8, features 3; torch-fidelity is 1.8e-15 away, clean-fid 2.2e-15.
    let score = fid(Real(&x(0, 8)), Generated(&y(0, 8)), &FidConfig::default()).unwrap();
    near(score.value, 0.5164589218152553, 1e-13);
    let (a, b) = (Moments::of(&x(0, 8)).unwrap(), Moments::of(&y(0, 8)).unwrap());
    near(a.mean().iter().zip(b.mean()).map(|(a, b)| (a - b).powi(2)).sum(), 0.449482076554, 1e-12);
    let trace = |m: &Moments| (0..3).map(|i| m.covariance()[4 * i]).sum::<f64>();
    near(trace(&a), 1.856989995049, 1e-12);
    near(trace(&b), 2.117819994772, 1e-12);
    // Covariances with the divisor n.
    let biased = |m: &Moments| {
        let covariance = m.covariance().iter().map(|c| c * 7.0 / 8.0).collect();
        Moments::from_parts(8, m.mean().to_vec(), covariance, m.source().clone()).unwrap()
    };
    let score = frechet(Real(&biased(&a)), Generated(&biased(&b)), &FidConfig::default()).unwrap();
    near(score.value, 0.508086816158, 1e-12);
    // Three rows: covariances of rank 2. The script takes square roots of tiny eigenvalues.
    let singular = fid(Real(&x(0, 3)), Generated(&y(0, 3)), &FidConfig { few_samples: true }).unwrap();
    near(singular.value, 1.366268907178, 1e-7);
}

/// Closed forms of Gaussians.
#[test]
fn frechet_distance_of_given_moments() {
    let gaussian = |mean: &[f64], covariance: &[f64]| {
        Moments::from_parts(100, mean.to_vec(), covariance.to_vec(), source("gaussian")).unwrap()
    };
    for (a, b, want) in [
        ((vec![0.0], vec![1.0]), (vec![1.0], vec![4.0]), 2.0),
        ((vec![0.0; 2], vec![1.0, 0.0, 0.0, 4.0]), (vec![0.0; 2], vec![9.0, 0.0, 0.0, 16.0]), 8.0),
        ((vec![0.0; 2], vec![2.0, 0.5, 0.5, 1.0]), (vec![1.0, 2.0], vec![1.0, -0.3, -0.3, 3.0]), 5.929311854967774),
        ((vec![0.0; 2], vec![0.0; 4]), (vec![3.0, 4.0], vec![2.0, 0.5, 0.5, 1.0]), 28.0),
    ] {
        let (a, b) = (gaussian(&a.0, &a.1), gaussian(&b.0, &b.1));
        for (a, b) in [(&a, &b), (&b, &a)] {
            near(frechet(Real(a), Generated(b), &FidConfig::default()).unwrap().value, want, 1e-12);
        }
    }
}

#[test]
fn kernel_distance() {
    let all = KidConfig { subsets: Subsets::All };
    let rng = Rng::new(0);
    let value = |a: &Features, b: &Features, c: &KidConfig| kid(Real(a), Generated(b), c, &rng).unwrap().value;
    near(value(&x(0, 8), &y(0, 8), &all).estimate, -0.272606381589552, 1e-13);
    // With subsets of all images there is one subset.
    let whole = value(&x(0, 8), &y(0, 8), &KidConfig::default());
    assert_eq!((whole, whole.subsets, whole.subset_size), (value(&x(0, 8), &y(0, 8), &all), 1, (8, 8)));
    near(value(&x(0, 8), &y(0, 5), &all).estimate, 0.426822123008, 1e-12);
    near(value(&x(0, 8), &x(0, 8), &all).estimate, -0.713546885261, 1e-12);
    near(value(&x(0, 4), &x(4, 8), &all).estimate, 1.097797170294, 1e-12);
    // The mean over all subsets of 5 is the value of all 8: random ones are within five standard errors.
    let subsets = KidConfig { subsets: Subsets::Random { count: 1, size: 5 } };
    let (x, y) = (x(0, 8), y(0, 8));
    let draw = |seed| kid(Real(&x), Generated(&y), &subsets, &Rng::new(seed)).unwrap().value.estimate;
    let draws: Vec<f64> = (0..500).map(draw).collect();
    let mean = draws.iter().sum::<f64>() / 500.0;
    let spread = (draws.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 499.0).sqrt();
    near(mean, -0.272606381589552, 5.0 * spread / 500f64.sqrt());
    // One run of many subsets is such a mean, and says so.
    let subsets = KidConfig { subsets: Subsets::Random { count: 500, size: 5 } };
    let many = value(&x, &y, &subsets);
    assert_eq!((many.subsets, many.subset_size), (500, (5, 5)));
    near(many.estimate, -0.272606381589552, 5.0 * spread / 500f64.sqrt());
}

/// The jackknife by its definition: each image left out in turn.
#[test]
fn standard_error_of_the_kernel_distance() {
    let all = KidConfig { subsets: Subsets::All };
    let rng = Rng::new(0);
    let value = |a: &Features, b: &Features| kid(Real(a), Generated(b), &all, &rng).unwrap().value;
    let (x, y) = (x(0, 8), y(0, 5));
    let spread = |n: usize, without: &dyn Fn(&[usize]) -> f64| {
        let t: Vec<f64> = (0..n).map(|i| without(&(0..n).filter(|j| *j != i).collect::<Vec<_>>())).collect();
        let mean = t.iter().sum::<f64>() / n as f64;
        (n - 1) as f64 / n as f64 * t.iter().map(|t| (t - mean).powi(2)).sum::<f64>()
    };
    let of_x = spread(8, &|rows| value(&x.select(rows, "").unwrap(), &y).estimate);
    let of_y = spread(5, &|rows| value(&x, &y.select(rows, "").unwrap()).estimate);
    near(value(&x, &y).standard_error.unwrap(), (of_x + of_y).sqrt(), 1e-12);
    assert_eq!(value(&x, &y.select(&[0, 1], "").unwrap()).standard_error, None);
}

#[test]
fn inception_scores() {
    let logits = rows(0, 8, |i, j| 3.0 * (1.1 * i + 2.0 * j).sin());
    let score = |splits| {
        let config = InceptionScoreConfig { splits, shuffle: false };
        inception_score(Generated(&logits), &config, &Rng::new(0)).unwrap().value
    };
    near(score(1).mean, 2.204166997063, 1e-12);
    let two = score(2);
    near(two.splits[0], 2.189688569258, 1e-12);
    near(two.splits[1], 2.102918371644, 1e-12);
    near(two.mean, 2.146303470451, 1e-12);
    near(two.std, 0.043385098807, 1e-12);
    // A split of one image scores 1.
    score(8).splits.iter().for_each(|s| near(*s, 1.0, 1e-12));
    // Balanced certain predictions of 4 classes, uniform ones, and a case by hand.
    let of = |values: &[f64], classes: usize| {
        let rows = Tensor::from_slice(values, (values.len() / classes, classes), &Device::Cpu).unwrap();
        let rows = Features::new(&rows, source("logits")).unwrap();
        let config = InceptionScoreConfig { splits: 1, shuffle: true };
        inception_score(Generated(&rows), &config, &Rng::new(1)).unwrap().value.mean
    };
    let certain: Vec<f64> = (0..16).map(|i| if i / 4 == i % 4 { 800.0 } else { -800.0 }).collect();
    near(of(&certain, 4), 4.0, 1e-12);
    near(of(&[0.5; 12], 4), 1.0, 1e-12);
    let kl = |p: f64| p * (p / 0.55).ln() + (1.0 - p) * ((1.0 - p) / 0.45).ln();
    near(of(&[0.9f64, 0.1, 0.2, 0.8].map(f64::ln), 2), ((kl(0.9) + kl(0.2)) / 2.0).exp(), 1e-12);
}

#[test]
fn precision_recall_density_coverage() {
    let (real, generated) = (Manifold::new(&x(0, 8), 3).unwrap(), Manifold::new(&y(0, 8), 3).unwrap());
    for (k, want) in [(1, [0.875, 0.75, 1.5, 0.75]), (2, [1.0, 0.875, 1.25, 0.875]), (3, [1.0, 0.875, 0.875, 0.875])] {
        let config = PrdcConfig { precision_neighbours: k, density_neighbours: k };
        let v = prdc(Real(&real), Generated(&generated), &config).unwrap().value;
        let got = [v.precision, v.recall, v.density, v.coverage];
        got.iter().zip(want).for_each(|(got, want)| near(*got, want, 1e-15));
    }
    let want = [1.813797127, 2.126881523, 0.970656159, 1.807119511, 1.493496139, 1.735757492, 4.266069266, 2.143308153];
    let got = realism(Real(&real), Generated(&y(0, 8)), 3).unwrap().value;
    got.iter().zip(want).for_each(|(got, want)| near(*got, want, 1e-9));
}

/// Four equal points on both sides are in each other's balls of radius 0.
#[test]
fn ties_are_inside() {
    let points = rows(0, 4, |_, j| 0.1 + 0.3 * j);
    let manifold = Manifold::new(&points, 1).unwrap();
    let config = PrdcConfig { precision_neighbours: 1, density_neighbours: 1 };
    let v = prdc(Real(&manifold), Generated(&manifold), &config).unwrap().value;
    assert_eq!([v.precision, v.recall, v.density, v.coverage], [1.0, 1.0, 4.0, 1.0]);
    // A generated image at exactly the radius of a real one: real 0 and 1 at distance 1, generated at -1.
    let line = |values: &[f64]| {
        Features::new(&Tensor::from_slice(values, (values.len(), 1), &Device::Cpu).unwrap(), source("line")).unwrap()
    };
    let manifold = |values: &[f64]| Manifold::new(&line(values), 1).unwrap();
    let v = prdc(Real(&manifold(&[0.0, 1.0])), Generated(&manifold(&[-1.0, 50.0])), &config).unwrap().value;
    assert_eq!([v.precision, v.density, v.coverage], [0.5, 0.5, 0.5]);
    let realism = realism(Real(&manifold(&[0.0, 1.0])), Generated(&line(&[0.0, -1.0])), 1).unwrap().value;
    assert_eq!(realism, [f64::INFINITY, 1.0]);
}

/// Images A and B of a side, as (1, 1, side, side).
fn images(side: usize, a: f64, b: f64) -> (Tensor, Tensor) {
    let image = |f: &dyn Fn(f64, f64) -> f64| {
        let values: Vec<f64> = (0..side * side).map(|p| f((p / side) as f64, (p % side) as f64)).collect();
        Tensor::from_vec(values, (1, 1, side, side), &Device::Cpu).unwrap()
    };
    (
        image(&|r, c| 0.5 + 0.4 * (a * r + b * c).sin()),
        image(&|r, c| 0.5 + 0.35 * (a * r + b * c + 0.5).sin() + 0.05 * (1.9 * r).cos()),
    )
}

#[test]
fn structural_similarity() {
    let (a, b) = images(32, 0.5, 0.3);
    for (window, want) in [(11, 0.813691390888), (7, 0.802037089499)] {
        let ssim = Ssim::new(&SsimConfig { window, ..SsimConfig::default() }).unwrap();
        near(ssim.compare(&a, &b).unwrap()[0], want, 1e-12);
    }
    // The first was computed again from the formula with exact sums (Python's math.fsum), which give these digits.
    for (window, weights, want) in [(7, vec![0.5, 0.5], 0.8440873332877796), (5, vec![0.3, 0.4, 0.3], 0.844294208953)] {
        let config = MsSsimConfig { ssim: SsimConfig { window, ..SsimConfig::default() }, weights };
        let measure = MsSsim::new(&config).unwrap();
        near(measure.compare(&a, &b).unwrap()[0], want, 1e-12);
        // The mean over channels, image by image.
        let (x, y) = (Tensor::cat(&[&a, &b], 1).unwrap(), Tensor::cat(&[&b, &b], 1).unwrap());
        let both = Tensor::cat(&[&y, &x], 0).unwrap();
        let got = measure.compare(&both, &Tensor::cat(&[&y, &y], 0).unwrap()).unwrap();
        near(got[0], 1.0, 1e-15);
        near(got[1], (want + 1.0) / 2.0, 1e-12);
    }
    let (a, b) = images(176, 0.21, 0.13);
    let measure = MsSsim::new(&MsSsimConfig::default()).unwrap();
    near(measure.compare(&a, &b).unwrap()[0], 0.849775502403, 1e-12);
    // pytorch-msssim, whose window is f32.
    near(measure.compare(&a.to_dtype(DType::F32).unwrap(), &b).unwrap()[0], 0.849775649, 3e-7);
}
