//! The laws of every augmentation as one function; exact identities; frequencies; mixup; what is refused.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor, Var};
use sconce_tensor_core::nn::Normalize;
use sconce_tensor_core::train::augment::{
    Augment, ColourJitter, ColourJitterConfig, Compose, Cutout, CutoutConfig, HorizontalFlip, HorizontalFlipConfig,
    Mixup, MixupConfig, PadMode, PaddedCrop, PaddedCropConfig, QuarterTurns, VerticalFlip, VerticalFlipConfig,
    adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation, cutout_at, flip_horizontal, flip_vertical,
    padded_crop, rot90,
};
use sconce_tensor_core::{Error, ExampleRng, Result, Rng};

fn images(n: usize, c: usize, side: usize, dtype: DType) -> Tensor {
    Rng::new(3).uniform((n, c, side, side), 0.0..1.0, dtype, &Device::Cpu).unwrap()
}

fn bits(t: &Tensor) -> Vec<u64> {
    let v = t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    v.into_iter().map(f64::to_bits).collect()
}

fn values(t: &Tensor) -> Vec<f64> {
    bits(t).into_iter().map(f64::from_bits).collect()
}

fn keyed(epoch: u64, examples: &[u64]) -> ExampleRng {
    ExampleRng::new(Rng::new(9).stream(&format!("epoch {epoch}")), examples.to_vec())
}

fn flip(p: f64) -> Box<dyn Augment> {
    Box::new(HorizontalFlip::new(HorizontalFlipConfig { p }).unwrap())
}

fn upside(p: f64) -> Box<dyn Augment> {
    Box::new(VerticalFlip::new(VerticalFlipConfig { p }).unwrap())
}

fn crop(padding: usize, mode: PadMode) -> Box<dyn Augment> {
    Box::new(PaddedCrop::new(PaddedCropConfig { padding, mode }).unwrap())
}

fn cutout(size: usize) -> Box<dyn Augment> {
    Box::new(Cutout::new(CutoutConfig { size, fill: 0.5 }).unwrap())
}

fn jitter(brightness: f64, contrast: f64, saturation: f64, hue: f64) -> Box<dyn Augment> {
    Box::new(ColourJitter::new(ColourJitterConfig { brightness, contrast, saturation, hue }).unwrap())
}

/// What a member promises besides the contract.
struct Promise {
    random: bool,
    /// Images in [0, 1] stay there.
    unit: bool,
}

/// The contract of `Augment`.
fn keeps_the_laws(name: &str, a: &dyn Augment, promise: Promise, x: &Tensor) {
    let examples: Vec<u64> = (0..x.dim(0).unwrap() as u64).map(|i| 1000 + 7 * i).collect();
    let whole = a.apply(x, &keyed(0, &examples)).unwrap();
    assert_eq!((whole.dims(), whole.dtype()), (x.dims(), x.dtype()), "{name}: shape and type");
    assert!(!promise.unit || values(&whole).iter().all(|v| (0.0..=1.0).contains(v)), "{name}: range");
    assert_eq!(bits(&a.apply(x, &keyed(0, &examples)).unwrap()), bits(&whole), "{name}: a second call");

    // The same images in another memory layout.
    let strided = x.transpose(2, 3).unwrap().contiguous().unwrap().transpose(2, 3).unwrap();
    assert_eq!(bits(&a.apply(&strided, &keyed(0, &examples)).unwrap()), bits(&whole), "{name}: not contiguous");

    // An example in a batch of its own, and in a batch in another order.
    for (i, e) in examples.iter().enumerate() {
        let one = a.apply(&x.narrow(0, i, 1).unwrap(), &keyed(0, &[*e])).unwrap();
        assert_eq!(bits(&one), bits(&whole.narrow(0, i, 1).unwrap()), "{name}: example {i} alone");
    }
    let order = Rng::new(1).permutation(examples.len());
    let at = Tensor::from_iter(order.iter().map(|i| *i as u32), &Device::Cpu).unwrap();
    let shuffled: Vec<u64> = order.iter().map(|i| examples[*i]).collect();
    let other = a.apply(&x.index_select(&at, 0).unwrap(), &keyed(0, &shuffled)).unwrap();
    assert_eq!(bits(&other), bits(&whole.index_select(&at, 0).unwrap()), "{name}: another order");

    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let again = pool.install(|| a.apply(x, &keyed(0, &examples)).unwrap());
        assert_eq!(bits(&again), bits(&whole), "{name}: {threads} threads");
    }

    let next = a.apply(x, &keyed(1, &examples)).unwrap();
    assert_eq!(bits(&next) != bits(&whole), promise.random, "{name}: another epoch");

    let wrong = a.apply(x, &keyed(0, &examples[1..])).unwrap_err();
    assert!(matches!(wrong, Error::Shape { .. }), "{name}: {wrong}");
    assert!(matches!(a.apply(&x.flatten_from(2).unwrap(), &keyed(0, &examples)), Err(Error::Shape { .. })), "{name}");
    let none = x.narrow(0, 0, 0).unwrap();
    assert_eq!(a.apply(&none, &keyed(0, &[])).unwrap().dims(), none.dims(), "{name}: no images");
}

#[test]
fn every_augmentation_keeps_the_laws() {
    for (c, dtype) in [(3, DType::F32), (1, DType::F32), (3, DType::F64)] {
        let random = |name: &str, a: &dyn Augment| {
            keeps_the_laws(name, a, Promise { random: true, unit: true }, &images(12, c, 10, dtype));
        };
        random("horizontal flip", &*flip(0.5));
        random("vertical flip", &*upside(0.5));
        random("crop, zeros", &*crop(3, PadMode::Zeros));
        random("crop, reflect", &*crop(9, PadMode::Reflect));
        random("crop, edge", &*crop(12, PadMode::Edge));
        random("quarter turns", &QuarterTurns);
        random("cutout", &*cutout(5));
        random("jitter", &*jitter(0.4, 0.4, 0.4, 0.1));
        random("strong jitter", &*jitter(3.0, 2.0, 5.0, 0.5));
        random(
            "compose",
            &Compose::new(vec![flip(0.5), crop(2, PadMode::Zeros), jitter(0.4, 0.0, 0.2, 0.0), cutout(3)]),
        );
        let normalize = Normalize::new(vec![0.4; c], vec![0.2; c]).unwrap();
        keeps_the_laws("normalize", &normalize, Promise { random: false, unit: false }, &images(12, c, 10, dtype));
        keeps_the_laws(
            "no member",
            &Compose::new(vec![]),
            Promise { random: false, unit: true },
            &images(4, c, 5, dtype),
        );
    }
}

#[test]
fn zero_strength_is_the_identity() {
    for dtype in [DType::F32, DType::F64] {
        let x = images(9, 3, 7, dtype);
        let rng = keyed(0, &[4, 5, 6, 7, 8, 9, 10, 11, 12]);
        let none = [
            flip(0.0),
            upside(0.0),
            crop(0, PadMode::Zeros),
            crop(0, PadMode::Reflect),
            crop(0, PadMode::Edge),
            cutout(0),
            jitter(0.0, 0.0, 0.0, 0.0),
            Box::new(Compose::new(vec![flip(0.0), cutout(0)])),
        ];
        for (i, a) in none.iter().enumerate() {
            assert_eq!(bits(&a.apply(&x, &rng).unwrap()), bits(&x), "member {i}");
        }
        let one = [1.0; 9];
        for adjusted in [adjust_brightness(&x, &one), adjust_contrast(&x, &one), adjust_saturation(&x, &one)] {
            assert_eq!(bits(&adjusted.unwrap()), bits(&x));
        }
        assert_eq!(bits(&padded_crop(&x, 3, PadMode::Reflect, &[(3, 3); 9]).unwrap()), bits(&x));
    }
}

/// Applies `f` some times.
fn repeat(f: impl Fn(&Tensor) -> Result<Tensor>, times: usize, x: &Tensor) -> Tensor {
    (0..times).fold(x.clone(), |x, _| f(&x).unwrap())
}

#[test]
fn moves_that_return() {
    let x = images(3, 3, 6, DType::F32);
    assert_eq!(bits(&repeat(|x| flip_horizontal(x, &[true; 3]), 2, &x)), bits(&x));
    assert_eq!(bits(&repeat(|x| flip_vertical(x, &[true; 3]), 2, &x)), bits(&x));
    assert_eq!(bits(&repeat(|x| rot90(x, &[1; 3]), 4, &x)), bits(&x));
    assert_eq!(bits(&rot90(&x, &[4, 8, 0]).unwrap()), bits(&x));
    assert_eq!(bits(&repeat(|x| rot90(x, &[1; 3]), 3, &x)), bits(&rot90(&x, &[3; 3]).unwrap()));
    // Half a turn is both flips, and p = 1 always flips.
    let both = Compose::new(vec![flip(1.0), upside(1.0)]).apply(&x, &keyed(0, &[1, 2, 3])).unwrap();
    assert_eq!(bits(&both), bits(&rot90(&x, &[2; 3]).unwrap()));
    // Images that are not square.
    let wide = x.narrow(2, 0, 4).unwrap();
    let flipped = flip_vertical(&wide, &[true, false, true]).unwrap();
    assert_eq!(bits(&flipped.narrow(0, 1, 1).unwrap()), bits(&wide.narrow(0, 1, 1).unwrap()));
    assert_eq!(
        bits(&flipped.narrow(2, 0, 1).unwrap().narrow(0, 0, 1).unwrap()),
        bits(&wide.narrow(2, 3, 1).unwrap().narrow(0, 0, 1).unwrap())
    );
    assert!(matches!(rot90(&wide, &[0; 3]), Err(Error::Shape { .. })));
}

/// Ten thousand images of four different pixels tell which move each one got. Bounds are five standard deviations
/// of the binomial distribution.
#[test]
fn moves_have_the_stated_probabilities() {
    let n = 10_000usize;
    let x = Tensor::new(&[[[[0f32, 1.0], [2.0, 3.0]]]], &Device::Cpu).unwrap().repeat((n, 1, 1, 1)).unwrap();
    let rng = keyed(2, &(0..n as u64).collect::<Vec<_>>());
    let near = |count: usize, p: f64, what: &str| {
        let sd = (n as f64 * p * (1.0 - p)).sqrt();
        assert!((count as f64 - n as f64 * p).abs() < 5.0 * sd, "{what}: {count}");
    };
    let first = |a: &dyn Augment| -> Vec<f64> { values(&a.apply(&x, &rng).unwrap()).chunks(4).map(|c| c[0]).collect() };
    let count = |v: &[f64], value: f64| v.iter().filter(|f| **f == value).count();
    for p in [0.1, 0.5, 0.9] {
        near(count(&first(&*flip(p)), 1.0), p, "horizontal");
        near(count(&first(&*upside(p)), 2.0), p, "vertical");
    }
    let turned = first(&QuarterTurns);
    (0..4).for_each(|v| near(count(&turned, f64::from(v)), 0.25, "turns"));
    // Two flips of one composition are independent: a quarter of the images gets both.
    let twice = first(&Compose::new(vec![flip(0.5), flip(0.5)]));
    near(count(&twice, 1.0), 0.5, "two flips");
    // One of the nine offsets of a crop brings the last pixel to the first place.
    near(count(&first(&*crop(1, PadMode::Zeros)), 3.0), 1.0 / 9.0, "crops");
    // A square of one pixel falls on each of the four pixels alike.
    near(count(&first(&*cutout(1)), 0.5), 0.25, "cutout");
}

#[test]
fn jitter_orders_and_ranges() {
    // On a uniform grey image only brightness acts, so the result is the factor.
    let n = 2000usize;
    let x = Tensor::full(0.25f32, (n, 3, 2, 2), &Device::Cpu).unwrap();
    let rng = keyed(0, &(0..n as u64).collect::<Vec<_>>());
    let y = values(&jitter(0.4, 0.4, 0.4, 0.1).apply(&x, &rng).unwrap());
    let factors: Vec<f64> = y.chunks(12).map(|c| c[0] / 0.25).collect();
    assert!(factors.iter().all(|f| (0.599..1.401).contains(f)));
    let mean = factors.iter().sum::<f64>() / n as f64;
    // The standard deviation of a uniform of width 0.8 is 0.8 / sqrt(12).
    assert!((mean - 1.0).abs() < 5.0 * 0.8 / (12.0 * n as f64).sqrt(), "{mean}");
    assert!(factors.iter().any(|f| *f < 0.61) && factors.iter().any(|f| *f > 1.39));
    // A strength above 1 does not make the factor negative.
    assert!(values(&jitter(5.0, 0.0, 0.0, 0.0).apply(&x, &rng).unwrap()).iter().all(|v| *v >= 0.0));
    // One channel: saturation and hue do nothing.
    let grey = images(5, 1, 4, DType::F32);
    assert_eq!(bits(&jitter(0.0, 0.0, 0.9, 0.5).apply(&grey, &keyed(0, &[1, 2, 3, 4, 5])).unwrap()), bits(&grey));
}

#[test]
fn moves_pass_nan_and_infinities() {
    let x = Tensor::new(&[[[[f32::NAN, f32::INFINITY], [0.0, f32::NEG_INFINITY]]]], &Device::Cpu).unwrap();
    let y = values(&flip_horizontal(&x, &[true]).unwrap());
    assert!(y[0] == f64::INFINITY && y[1].is_nan() && y[2] == f64::NEG_INFINITY && y[3] == 0.0);
    assert!(values(&cutout_at(&x, &[(0, 0)], 1, 0.5).unwrap())[0] == 0.5);
    let n = Normalize::new(vec![0.5], vec![0.5]).unwrap();
    let y = values(&n.apply(&x, &keyed(0, &[0])).unwrap());
    assert!(y[0].is_nan() && y[1] == f64::INFINITY && y[2] == -1.0);
}

fn refused(r: Result<Tensor>, words: &[&str]) {
    let e = r.unwrap_err().to_string();
    assert!(words.iter().all(|w| e.contains(w)), "{e}");
}

#[test]
fn what_is_refused_is_named() {
    for p in [-0.1, 1.1, f64::NAN] {
        assert!(
            HorizontalFlip::new(HorizontalFlipConfig { p }).unwrap_err().to_string().contains("HorizontalFlipConfig.p")
        );
        assert!(VerticalFlip::new(VerticalFlipConfig { p }).unwrap_err().to_string().contains("VerticalFlipConfig.p"));
    }
    let fill = f64::INFINITY;
    assert!(Cutout::new(CutoutConfig { size: 1, fill }).unwrap_err().to_string().contains("CutoutConfig.fill"));
    let padding = usize::MAX;
    assert!(PaddedCrop::new(PaddedCropConfig { padding, ..Default::default() }).is_err());
    let zero = ColourJitterConfig { brightness: 0.0, contrast: 0.0, saturation: 0.0, hue: 0.0 };
    for (cfg, field) in [
        (ColourJitterConfig { brightness: -1.0, ..zero }, "ColourJitterConfig.brightness"),
        (ColourJitterConfig { contrast: f64::NAN, ..zero }, "ColourJitterConfig.contrast"),
        (ColourJitterConfig { saturation: f64::INFINITY, ..zero }, "ColourJitterConfig.saturation"),
        (ColourJitterConfig { hue: 0.6, ..zero }, "ColourJitterConfig.hue"),
    ] {
        assert!(ColourJitter::new(cfg).unwrap_err().to_string().contains(field));
    }
    for alpha in [-1.0, 1e-9, f64::NAN, f64::INFINITY] {
        assert!(Mixup::new(MixupConfig { alpha }).unwrap_err().to_string().contains("MixupConfig.alpha"));
    }

    let x = images(2, 3, 4, DType::F32);
    refused(flip_horizontal(&x, &[true]), &["(1, C, H, W)", "[2, 3, 4, 4]"]);
    refused(flip_horizontal(&x.to_dtype(DType::U8).unwrap(), &[true; 2]), &["U8", "to_dtype"]);
    refused(adjust_contrast(&x.to_dtype(DType::F16).unwrap(), &[1.0; 2]), &["F16"]);
    refused(padded_crop(&x, 4, PadMode::Reflect, &[(0, 0); 2]), &["above 4"]);
    refused(padded_crop(&x, 1, PadMode::Zeros, &[(0, 0), (3, 0)]), &["(3, 0) of image 1"]);
    refused(cutout_at(&x, &[(0, 0), (0, 4)], 2, 0.0), &["(0, 4) of image 1"]);
    refused(adjust_brightness(&x, &[1.0, -0.5]), &["-0.5 at index 1"]);
    refused(adjust_saturation(&x, &[f64::NAN, 1.0]), &["NaN at index 0"]);
    refused(adjust_hue(&x, &[0.0, 0.51]), &["0.51 at index 1"]);
    refused(adjust_contrast(&images(2, 2, 4, DType::F32), &[1.0; 2]), &["(N, 3, H, W)"]);
    for bad in [-0.01f32, 1.01, f32::NAN, f32::INFINITY] {
        let mut v = vec![0.5f32; 2 * 3 * 16];
        v[48 + 16 + 7] = bad;
        let x = Tensor::from_vec(v, (2, 3, 4, 4), &Device::Cpu).unwrap();
        refused(adjust_brightness(&x, &[1.0; 2]), &[&format!("{bad} at [1, 1, 1, 3]"), "[0, 1]"]);
        refused(jitter(0.1, 0.0, 0.0, 0.0).apply(&x, &keyed(0, &[0, 1])), &["ColourJitter"]);
    }
}

/// The largest distance of the empirical distribution from `cdf`.
fn kolmogorov(mut v: Vec<f64>, cdf: impl Fn(f64) -> f64) -> f64 {
    v.sort_by(f64::total_cmp);
    let n = v.len() as f64;
    let gap = |(i, v): (usize, &f64)| (cdf(*v) - i as f64 / n).abs().max((cdf(*v) - (i + 1) as f64 / n).abs());
    v.iter().enumerate().map(gap).fold(0.0, f64::max)
}

fn lambdas(alpha: f64, n: u64) -> Vec<f64> {
    let m = Mixup::new(MixupConfig { alpha }).unwrap();
    m.draw(50, &keyed(0, &(0..n).collect::<Vec<_>>())).into_iter().map(|(_, l)| l).collect()
}

/// Beta(1, 1) is the uniform and Beta(1/2, 1/2) the arcsine distribution. The bound 1.95 / sqrt(n) of the Kolmogorov
/// statistic is exceeded with probability 0.001. Means and variances stand within five standard errors.
#[test]
fn weights_follow_the_beta_distribution() {
    let n = 20_000u64;
    let bound = 1.95 / (n as f64).sqrt();
    let d = kolmogorov(lambdas(1.0, n), |v| v);
    assert!(d < bound, "uniform: {d}");
    let d = kolmogorov(lambdas(0.5, n), |v| 2.0 / std::f64::consts::PI * v.sqrt().asin());
    assert!(d < bound, "arcsine: {d}");
    for alpha in [0.1, 0.4, 1.0, 8.0] {
        let v = lambdas(alpha, n);
        let mean = v.iter().sum::<f64>() / n as f64;
        let want: f64 = 0.25 / (2.0 * alpha + 1.0);
        assert!((mean - 0.5).abs() < 5.0 * (want / n as f64).sqrt(), "alpha {alpha}: mean {mean}");
        let squares: Vec<f64> = v.iter().map(|v| (v - 0.5).powi(2)).collect();
        let var = squares.iter().sum::<f64>() / n as f64;
        let error = (squares.iter().map(|s| (s - var).powi(2)).sum::<f64>()).sqrt() / n as f64;
        assert!((var - want).abs() < 5.0 * error, "alpha {alpha}: variance {var}, not {want}");
    }
    assert!(lambdas(0.0, 100).iter().all(|l| *l == 1.0));
}

#[test]
fn mixup_is_keyed_by_example() {
    let m = Mixup::new(MixupConfig { alpha: 0.3 }).unwrap();
    let all = m.draw(40, &keyed(0, &(0..4000).collect::<Vec<_>>()));
    assert_eq!(m.draw(40, &keyed(0, &[17, 3])), [all[17], all[3]]);
    assert_ne!(m.draw(40, &keyed(1, &[17, 3])), [all[17], all[3]]);
    // Each of the 40 partners about 100 times: five standard deviations. The weight does not depend on the partner.
    let mut counts = [0usize; 40];
    all.iter().for_each(|(p, _)| counts[*p as usize] += 1);
    assert!(counts.iter().all(|c| (*c as f64 - 100.0).abs() < 5.0 * (100.0f64 * 39.0 / 40.0).sqrt()), "{counts:?}");
    assert_eq!(m.draw(7, &keyed(0, &[17]))[0].1, all[17].1);
    assert!(m.draw(40, &keyed(0, &[])).is_empty());
}

#[test]
fn mixing_by_hand() {
    let m = Mixup::new(MixupConfig::default()).unwrap();
    let d = &Device::Cpu;
    for dtype in [DType::F32, DType::F64] {
        let x = Tensor::new(&[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], d).unwrap().to_dtype(dtype).unwrap();
        let x2 = Tensor::new(&[[10.0, 20.0], [30.0, 40.0], [50.0, 60.0]], d).unwrap().to_dtype(dtype).unwrap();
        let (mixed, targets) = m.mix(&x, &x2, &[0, 1, 2], &[2, 1, 0], &[0.25, 0.5, 1.0], 3).unwrap();
        assert_eq!(values(&mixed), [7.75, 15.5, 16.5, 22.0, 5.0, 6.0]);
        assert_eq!(values(&targets), [0.25, 0.0, 0.75, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!((mixed.dtype(), targets.dtype()), (dtype, dtype));
    }
    // The gradient to x is the weight.
    let x = Var::from_tensor(&images(2, 1, 2, DType::F64)).unwrap();
    let (mixed, _) = m.mix(x.as_tensor(), &images(2, 1, 2, DType::F64), &[0, 0], &[0, 0], &[0.25, 0.75], 1).unwrap();
    let g = mixed.sum_all().unwrap().backward().unwrap();
    assert_eq!(values(g.get(&x).unwrap()), [0.25, 0.25, 0.25, 0.25, 0.75, 0.75, 0.75, 0.75]);

    let x = images(2, 1, 2, DType::F32);
    let mix = |y: &[u32], l: &[f64], p: &Tensor| m.mix(&x, p, y, &[0, 1], l, 2).map(|r| r.0);
    refused(mix(&[0, 2], &[0.5; 2], &x), &["y of mixup", "label 2 at index 1"]);
    refused(mix(&[0], &[0.5; 2], &x), &["y of mixup", "(2,)"]);
    refused(mix(&[0, 1], &[0.5, 1.5], &x), &["1.5 at index 1"]);
    refused(mix(&[0, 1], &[f64::NAN, 0.5], &x), &["NaN at index 0"]);
    refused(mix(&[0, 1], &[0.5], &x), &["x of mixup"]);
    refused(mix(&[0, 1], &[0.5; 2], &x.narrow(2, 0, 1).unwrap()), &["partner_x"]);
    refused(mix(&[0, 1], &[0.5; 2], &x.to_dtype(DType::F64).unwrap()), &["F32", "F64"]);
}
