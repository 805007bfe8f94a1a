//! Laws of the metrics, what they refuse, and the files they keep.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use sconce_gan::fidelity::{
    ClassImages, ClassWiseConfig, ClassifierLogits, Extractor, FeatureFunction, Features, FidConfig, Generated,
    HeldOut, ImageSpec, InceptionScoreConfig, KidConfig, Manifold, Moments, MsSsim, MsSsimConfig, Origin, PrdcConfig,
    Real, Resize, Source, Ssim, SsimConfig, Subsets, class_wise, diversity, fid, frechet, in_context, inception_score,
    kid, memorisation, nearest, prdc, realism,
};
use sconce_tensor_core::candle_core::{DType, Device, Tensor};
use sconce_tensor_core::nets::{SmallCnn, SmallCnnConfig};
use sconce_tensor_core::{Bounds, Error, Rng, ops};

fn source(split: &str) -> Source {
    Source { extractor: "e".to_owned(), resize: Resize::None, split: split.to_owned() }
}

fn normal(seed: u64, n: usize, d: usize, mean: f64) -> Features {
    let rows = Rng::new(seed).normal((n, d), mean, 1.0, DType::F64, &Device::Cpu).unwrap();
    Features::new(&rows, source(&format!("seed {seed}"))).unwrap()
}

fn mapped(x: &Features, f: impl Fn(&Tensor) -> Tensor) -> Features {
    Features::new(&f(x.rows()), x.source().clone()).unwrap()
}

fn fid_of(a: &Features, b: &Features) -> f64 {
    fid(Real(a), Generated(b), &FidConfig::default()).unwrap().value
}

fn kid_of(a: &Features, b: &Features) -> f64 {
    let all = KidConfig { subsets: Subsets::All };
    kid(Real(a), Generated(b), &all, &Rng::new(0)).unwrap().value.estimate
}

fn near(got: f64, want: f64, tolerance: f64) {
    assert!((got - want).abs() <= tolerance, "{got} {want}");
}

fn message<T>(r: Result<T, Error>) -> String {
    r.err().unwrap().to_string()
}

#[test]
fn laws_of_the_distances() {
    let (x, y) = (normal(0, 60, 5, 0.0), normal(1, 40, 5, 0.7));
    near(fid_of(&x, &x), 0.0, 1e-12);
    near(fid_of(&x, &y), fid_of(&y, &x), 1e-12);
    near(kid_of(&x, &y), kid_of(&y, &x), 1e-12);
    assert!(fid_of(&x, &y) > 0.5 && kid_of(&x, &y) > 0.0);
    // A rotation: a product of reflections.
    let reflect = |seed| {
        let v = Rng::new(seed).normals(5);
        let square: f64 = v.iter().map(|v| v * v).sum();
        let h = (0..25).map(|i| f64::from(u8::from(i / 5 == i % 5)) - 2.0 * v[i / 5] * v[i % 5] / square).collect();
        Tensor::from_vec(h, (5, 5), &Device::Cpu).unwrap()
    };
    let rotation = ops::matmul(&reflect(2), &reflect(3)).unwrap();
    let turn = |x: &Features| mapped(x, |t| ops::matmul(t, &rotation).unwrap());
    near(fid_of(&turn(&x), &turn(&y)), fid_of(&x, &y), 1e-11);
    near(kid_of(&turn(&x), &turn(&y)), kid_of(&x, &y), 1e-11);
    // FID is invariant to a common shift and scales with the square.
    let scale = |x: &Features| mapped(x, |t| t.affine(3.0, 10.0).unwrap());
    near(fid_of(&scale(&x), &scale(&y)), 9.0 * fid_of(&x, &y), 1e-9);
    // Equal singular covariances: 20 images of 30 features.
    let few = normal(4, 20, 30, 0.0);
    let config = FidConfig { few_samples: true };
    near(fid(Real(&few), Generated(&few), &config).unwrap().value, 0.0, 1e-5);
    // The order of the images does not matter beyond rounding.
    let back: Vec<usize> = (0..40).rev().collect();
    near(kid_of(&x, &y.select(&back, "").unwrap()), kid_of(&x, &y), 1e-12);
}

/// A covariance over more rows than a block and more features than a strip, against its definition.
#[test]
fn moments_over_several_blocks() {
    let (n, d) = (4500, 300);
    let rows = Rng::new(7).normal((n, d), 5.0, 1.0, DType::F32, &Device::Cpu).unwrap();
    let moments = Moments::of(&Features::new(&rows, source("wide")).unwrap()).unwrap();
    let values = rows.to_vec2::<f32>().unwrap();
    for (i, j) in [(0, 0), (0, 299), (255, 256), (256, 255), (299, 299), (17, 290)] {
        let mean = |j: usize| values.iter().map(|r| f64::from(r[j])).sum::<f64>() / n as f64;
        let (a, b) = (mean(i), mean(j));
        let covariance = values.iter().map(|r| (f64::from(r[i]) - a) * (f64::from(r[j]) - b)).sum::<f64>() / 4499.0;
        near(moments.mean()[i], a, 1e-12);
        near(moments.covariance()[i * d + j], covariance, 1e-12);
    }
}

/// n times the FID of two samples of N(0, I_8) is about 2 d + d (d + 1) / 2 = 52 at every n; the KID has no bias.
#[test]
fn the_bias_of_fid_is_one_over_n() {
    let (draws, d) = (100u64, 8);
    for n in [64usize, 256] {
        let of = |f: &dyn Fn(&Features, &Features) -> f64| -> Vec<f64> {
            (0..draws).map(|s| f(&normal(2 * s, n, d, 0.0), &normal(2 * s + 1, n, d, 0.0))).collect()
        };
        let moments = |v: &[f64]| {
            let mean = v.iter().sum::<f64>() / draws as f64;
            (mean, (v.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (draws - 1) as f64 / draws as f64).sqrt())
        };
        let (mean, error) = moments(&of(&fid_of));
        // Five standard errors; 2 is the difference that terms of higher order make at n = 64.
        near(n as f64 * mean, 52.0, 2.0 + 5.0 * n as f64 * error);
        assert!(n as f64 * error < 2.0);
        let (mean, error) = moments(&of(&kid_of));
        near(mean, 0.0, 5.0 * error);
    }
}

/// The jackknife's standard error is that of estimates over independent samples, for all images and for random subsets.
#[test]
fn the_standard_error_of_kid_is_the_spread_over_samples() {
    for subsets in [Subsets::All, Subsets::Random { count: 10, size: 30 }] {
        let config = KidConfig { subsets };
        let draw = |s: u64| {
            let (x, y) = (normal(2 * s, 60, 4, 0.0), normal(2 * s + 1, 50, 4, 0.6));
            let v = kid(Real(&x), Generated(&y), &config, &Rng::new(s)).unwrap().value;
            (v.estimate, v.standard_error.unwrap())
        };
        let (estimates, errors): (Vec<f64>, Vec<f64>) = (0..200).map(draw).unzip();
        let mean = estimates.iter().sum::<f64>() / 200.0;
        let spread = (estimates.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / 199.0).sqrt();
        let claimed = (errors.iter().map(|e| e * e).sum::<f64>() / 200.0).sqrt();
        // A standard deviation of 200 values is known to 5 %: four of these, and the jackknife's upward bias.
        assert!((0.8..1.4).contains(&(claimed / spread)), "{subsets:?}: {claimed} {spread}");
    }
}

#[test]
fn sides_swap_precision_and_recall() {
    let (a, b) = (Manifold::new(&normal(0, 70, 3, 0.0), 5).unwrap(), Manifold::new(&normal(1, 50, 3, 0.8), 5).unwrap());
    let of = |r: &Manifold, g: &Manifold| prdc(Real(r), Generated(g), &PrdcConfig::default()).unwrap().value;
    let (forth, back) = (of(&a, &b), of(&b, &a));
    assert_eq!((forth.precision, forth.recall), (back.recall, back.precision));
    assert!(forth.precision < 1.0 && forth.recall < 1.0 && forth.precision != forth.recall);
    // A collapsed generator: all images near one real image. Precision is 1, recall about 0, and not the other way round.
    let one = mapped(a.features(), |t| (t.narrow(0, 0, 1).unwrap().repeat((70, 1)).unwrap() + t * 1e-6).unwrap());
    let v = of(&a, &Manifold::new(&one, 5).unwrap());
    assert!(v.precision == 1.0 && v.recall <= 1.0 / 70.0 && v.coverage < 0.4, "{v:?}");
    // Real images as their own generated ones.
    let v = of(&a, &a);
    assert_eq!((v.precision, v.recall, v.coverage), (1.0, 1.0, 1.0));
}

#[test]
fn copies_are_found() {
    let (training, held_out, fresh) = (normal(0, 150, 4, 0.0), normal(1, 300, 4, 0.0), normal(2, 300, 4, 0.0));
    let copies = mapped(&training, |t| (t + 1e-3).unwrap());
    let of = |g: &Features| memorisation(Real(&training), HeldOut(&held_out), Generated(g)).unwrap();
    let score = of(&copies);
    near(score.value.median_ratio, 2e-3 / score.value.held_out_median, 1e-12);
    assert_eq!((score.value.share_below_first_percentile, score.value.held_out.n), (1.0, 300));
    let honest = of(&fresh).value;
    assert!((0.85..1.15).contains(&honest.median_ratio) && honest.share_below_first_percentile < 0.04, "{honest:?}");
    let found = nearest(&copies, &training).unwrap();
    assert!(found.iter().enumerate().all(|(i, n)| n.index == i && (n.distance - 2e-3).abs() < 1e-9));
    let e = message(memorisation(Real(&training), HeldOut(&training), Generated(&fresh)));
    assert!(e.contains("training images"), "{e}");
    // Numpy: quantiles of 0, 1, 2, .. 100 at .01 and .5.
    let line = |values: Vec<f64>| {
        Features::new(&Tensor::from_vec(values, (101, 1), &Device::Cpu).unwrap(), source("line")).unwrap()
    };
    let zero = line(vec![0.0; 101]);
    let away = line((0..101).map(|i| f64::from(i) + 0.5).collect());
    let v = memorisation(Real(&zero), HeldOut(&away), Generated(&away)).unwrap().value;
    assert_eq!((v.held_out_first_percentile, v.held_out_median, v.median_ratio), (1.5, 50.5, 1.0));
    near(v.share_below_first_percentile, 1.0 / 101.0, 1e-15);
    near(v.expected_share, 2.0 / 102.0, 1e-15);
}

/// Of few held-out images the 1st percentile is near their minimum, below which more than 1 % of new images are.
#[test]
fn the_expected_share_is_that_of_fresh_images() {
    // Distances to the one training image are uniform.
    let line = |seed, n: usize| {
        let x = Rng::new(seed).uniform((n, 1), 0.0..1.0, DType::F64, &Device::Cpu).unwrap();
        Features::new(&x, source("line")).unwrap()
    };
    let zero = Features::new(&Tensor::zeros((1, 1), DType::F64, &Device::Cpu).unwrap(), source("line")).unwrap();
    for (held_out, want) in [(1, 0.5), (10, 0.0991), (50, 0.0292), (300, 0.0133)] {
        let draw =
            |s: u64| memorisation(Real(&zero), HeldOut(&line(2 * s, held_out)), Generated(&line(2 * s + 1, 500)));
        let all: Vec<_> = (0..400).map(|s| draw(s).unwrap().value).collect();
        near(all[0].expected_share, want, 5e-5);
        let shares: Vec<f64> = all.iter().map(|v| v.share_below_first_percentile).collect();
        let mean = shares.iter().sum::<f64>() / 400.0;
        let error = (shares.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / 399.0 / 400.0).sqrt();
        near(mean, all[0].expected_share, 4.0 * error);
    }
}

/// Training images each once are no measure of a generator that gives them back at random: its images repeat.
#[test]
fn the_row_of_copies_is_that_of_a_generator_that_copies() {
    let (real, training, made) = (normal(0, 1500, 16, 0.0), normal(1, 100, 16, 0.0), normal(2, 1000, 16, 0.0));
    let score = |Real(r): Real<&Features>, Generated(g): Generated<&Features>| {
        let (r, g) = (Manifold::new(r, 5).unwrap(), Manifold::new(g, 5).unwrap());
        prdc(Real(&r), Generated(&g), &PrdcConfig::default())
    };
    let once = score(Real(&real), Generated(&training)).unwrap().value;
    let rows: Vec<usize> = Rng::new(7).below(1000, 100).into_iter().map(|i| i as usize).collect();
    let copying = score(Real(&real), Generated(&training.select(&rows, "a generator").unwrap())).unwrap().value;
    let row = in_context(Real(&real), Real(&training), Generated(&made), &Rng::new(3), score).copies.unwrap();
    assert_eq!(row.context.generated.as_ref().unwrap().n, 1000);
    assert!(once.recall > 0.7 && copying.recall < 0.05 && row.value.recall < 0.05, "{once:?} {copying:?} {row:?}");
    near(row.value.coverage, copying.coverage, 0.01);
}

#[test]
fn rows_without_distances_are_refused() {
    let x = Tensor::from_vec(vec![0.0, 1.0, 1e154, 1e154, 0.0, -1e154], (3, 2), &Device::Cpu).unwrap();
    let (huge, small) = (Features::new(&x, source("huge")).unwrap(), normal(0, 9, 2, 0.0));
    for e in [
        message(Manifold::new(&huge, 1)),
        message(nearest(&small, &huge)),
        message(realism(Real(&Manifold::new(&small, 2).unwrap()), Generated(&huge), 2)),
    ] {
        assert!(e.contains("`huge`") && e.contains("row 1 is too large"), "{e}");
    }
    let x = (x * 0.1).unwrap();
    let far = nearest(&small, &Features::new(&x, source("large")).unwrap()).unwrap();
    assert!(far.iter().all(|n| n.index == 0 && n.distance.is_finite()));
}

#[test]
fn results_do_not_depend_on_threads() {
    let (x, y) = (normal(0, 1100, 20, 0.0), normal(1, 300, 20, 0.3));
    let all = || {
        let manifold = |f| Manifold::new(f, 5).unwrap();
        let scores = prdc(Real(&manifold(&x)), Generated(&manifold(&y)), &PrdcConfig::default()).unwrap();
        let kid = kid(Real(&x), Generated(&y), &KidConfig { subsets: Subsets::All }, &Rng::new(0)).unwrap();
        (fid_of(&x, &y), kid, scores, nearest(&x, &y).unwrap())
    };
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let one = pool(1).install(all);
    assert_eq!(one, pool(3).install(all));
    // The scores as JSON.
    let text = serde_json::to_string(&one.1).unwrap();
    assert!(text.contains("\"standard_error\"") && text.contains("\"split\":\"seed 1\""), "{text}");
    assert_eq!(serde_json::from_str::<sconce_gan::fidelity::Score<sconce_gan::fidelity::Kid>>(&text).unwrap(), one.1);
}

#[test]
fn classes_and_context() {
    let (x, y) = (normal(0, 90, 4, 0.0), normal(1, 60, 4, 0.5));
    let labels = |n: u32, cut: u32| (0..n).map(|i| if i < cut { 7 } else { 2 }).collect::<Vec<u32>>();
    let (lx, ly) = (labels(90, 60), labels(60, 56));
    let of = |config: &ClassWiseConfig| class_wise(Real((&x, &lx)), Generated((&y, &ly)), config, &Rng::new(0));
    let found = of(&ClassWiseConfig::default()).unwrap();
    assert_eq!(found.classes.iter().map(|c| c.class).collect::<Vec<_>>(), [2, 7]);
    // Class 2 has 4 generated images of 4 features: no FID, so no mean either.
    assert!(found.classes[0].fid.is_none() && found.mean_fid.is_none());
    assert!(found.classes[0].prefer_kid && !found.classes[1].prefer_kid);
    let seven = fid_of(
        &x.select(&(0..60).collect::<Vec<_>>(), "").unwrap(),
        &y.select(&(0..56).collect::<Vec<_>>(), "").unwrap(),
    );
    assert_eq!(found.classes[1].fid.as_ref().unwrap().value, seven);
    near(found.mean_kid, found.classes.iter().map(|c| c.kid.value.estimate / 2.0).sum(), 1e-15);
    let few = ClassWiseConfig { fid: FidConfig { few_samples: true }, ..ClassWiseConfig::default() };
    assert!(of(&few).unwrap().mean_fid.is_some());
    let e = message(class_wise(Real((&x, &lx[..3])), Generated((&y, &ly)), &few, &Rng::new(0)));
    assert!(e.contains("90 real images, 3 labels"), "{e}");
    let e = message(class_wise(Real((&x, &[2; 90])), Generated((&y, &ly)), &few, &Rng::new(0)));
    assert!(e.contains("class 7"), "{e}");

    let training = normal(3, 30, 4, 0.0);
    let metric = |r: Real<&Features>, g: Generated<&Features>| fid(r, g, &FidConfig::default());
    let all = in_context(Real(&x), Real(&training), Generated(&y), &Rng::new(0), metric);
    let n = |s: sconce_gan::Result<sconce_gan::fidelity::Score<f64>>| {
        let context = s.unwrap().context;
        (context.real.unwrap().n, context.generated.unwrap().n)
    };
    assert_eq!((n(all.generated), n(all.real_against_real), n(all.copies)), ((90, 60), (30, 60), (90, 60)));
    // A row that fails leaves the others: 4 real images of 64 are left.
    let (real, few) = (normal(4, 64, 4, 0.0), normal(5, 4, 4, 0.0));
    let all = in_context(Real(&real), Real(&few), Generated(&y), &Rng::new(0), metric);
    assert_eq!(n(all.generated), (64, 60));
    assert!(message(all.real_against_real).contains("4 real images are fewer than D + 1 = 5"));
    assert_eq!(n(all.copies), (64, 60));
    let all = in_context(Real(&few), Real(&few), Generated(&y), &Rng::new(0), metric);
    assert!(message(all.real_against_real).contains("1 to 3 of 4 rows, got 60"));
    let ten = y.select(&(0..10).collect::<Vec<_>>(), "ten").unwrap();
    let all = in_context(Real(&x), Real(&training), Generated(&ten), &Rng::new(0), metric);
    assert_eq!(n(all.real_against_real), (80, 10));
}

#[test]
fn similarity_of_images() {
    let images = |seed| Rng::new(seed).uniform((6, 2, 28, 28), 0.0..1.0, DType::F32, &Device::Cpu).unwrap();
    let (a, b) = (images(0), images(1));
    let measure = MsSsim::new(&MsSsimConfig::scales(2, 7).unwrap()).unwrap();
    for scales in [0, 6] {
        assert!(message(MsSsimConfig::scales(scales, 7)).contains("in 1..=5"), "{scales}");
    }
    let (forth, back) = (measure.compare(&a, &b).unwrap(), measure.compare(&b, &a).unwrap());
    forth.iter().zip(&back).for_each(|(f, b)| near(*f, *b, 1e-12));
    measure.compare(&a, &a).unwrap().iter().for_each(|v| near(*v, 1.0, 1e-12));
    // More noise, less similarity.
    let noisy = |share: f64| ((&a * (1.0 - share)).unwrap() + (&b * share).unwrap()).unwrap();
    let at = |share| measure.compare(&a, &noisy(share)).unwrap()[0];
    assert!(1.0 > at(0.1) && at(0.1) > at(0.3) && at(0.3) > at(0.6));
    // Constant images: the luminance term alone, to the power of the last weight; the five weights sum to 1.0001 before scaling.
    let flat = |v: f64| Tensor::full(v, (1, 1, 28, 28), &Device::Cpu).unwrap();
    let luminance: f64 = (2.0 * 0.2 * 0.6 + 1e-4) / (0.04 + 0.36 + 1e-4);
    near(Ssim::new(&SsimConfig::default()).unwrap().compare(&flat(0.2), &flat(0.6)).unwrap()[0], luminance, 1e-12);
    near(measure.compare(&flat(0.2), &flat(0.6)).unwrap()[0], luminance.powf(0.2856 / (0.0448 + 0.2856)), 1e-12);

    // Two classes: one of copies, one of independent noise; one image alone.
    let copies = a.narrow(0, 0, 1).unwrap().repeat((3, 1, 1, 1)).unwrap();
    let all = Tensor::cat(&[&copies, &b], 0).unwrap();
    let of = |labels: &[u32], pairs| {
        let side = ClassImages { images: &all, labels, resize: Resize::None, split: "s" };
        diversity(&Origin::Generated(side), &measure, pairs, &Rng::new(5))
    };
    let same = of(&[0, 0, 0, 1, 2, 3, 4, 5, 6], 20).unwrap();
    assert!((same.value.ms_ssim - 1.0).abs() < 1e-12 && same.context.real.is_none());
    let mixed = of(&[0, 0, 0, 1, 1, 1, 1, 1, 1], 300).unwrap().value;
    // A third of the pairs are copies; pairs of noise have about the similarity of two noise images.
    near(mixed.ms_ssim, 1.0 / 3.0 + 2.0 / 3.0 * forth.iter().sum::<f64>() / 6.0, 0.12);
    assert_eq!(mixed, of(&[0, 0, 0, 1, 1, 1, 1, 1, 1], 300).unwrap().value);
    assert!(message(of(&[0, 1, 2, 3, 4, 5, 6, 7, 8], 10)).contains("no class"));
    assert!(message(of(&[0, 1], 10)).contains("to go with the labels"));
    assert!(message(of(&[0; 9], 1)).contains("at least 2"));

    let e = message(MsSsim::new(&MsSsimConfig::default()).unwrap().compare(&a, &b));
    assert!(e.contains("at most 2 scales, at images of 28 pixels and a window of 11") && e.contains("5 scales"), "{e}");
    assert!(message(Ssim::new(&SsimConfig { window: 8, ..SsimConfig::default() })).contains("odd, got 8"));
    let wide = Ssim::new(&SsimConfig { window: 29, ..SsimConfig::default() }).unwrap();
    assert!(message(wide.compare(&a, &b)).contains("at most the shortest side"));
    assert!(measure.compare(&a, &b.narrow(0, 0, 3).unwrap()).is_err());
    assert!(
        message(MsSsim::new(&MsSsimConfig { weights: vec![], ..MsSsimConfig::default() })).contains("at least one")
    );
    let five = MsSsimConfig::default();
    let at = |side| {
        let x = Tensor::zeros((1, 1, side, side), DType::F32, &Device::Cpu).unwrap();
        MsSsim::new(&five).unwrap().compare(&x, &x)
    };
    assert!(at(175).is_err() && at(176).is_ok());
}

#[test]
fn what_is_refused() {
    let rows = |values: &[f64], shape: (usize, usize)| Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
    let e = message(Features::new(&rows(&[1.0, 2.0, f64::NAN, 3.0], (2, 2)), source("s")));
    assert!(e.contains("features of `s` by `e`") && e.contains("flat index 2"), "{e}");
    assert!(Features::new(&Tensor::zeros((0, 3), DType::F64, &Device::Cpu).unwrap(), source("s")).is_err());
    assert!(Features::new(&Tensor::zeros(3, DType::F64, &Device::Cpu).unwrap(), source("s")).is_err());

    let (x, y) = (normal(0, 8, 3, 0.0), normal(1, 8, 3, 0.0));
    let few = x.select(&[0, 1, 2], "few").unwrap();
    let e = message(fid(Real(&x), Generated(&few), &FidConfig::default()));
    assert!(e.contains("3 generated images are fewer than D + 1 = 4") && e.contains("Use `kid`"), "{e}");
    let one = x.select(&[0], "one").unwrap();
    assert!(message(fid(Real(&one), Generated(&x), &FidConfig { few_samples: true })).contains("at least 2 images"));
    assert!(
        message(kid(Real(&one), Generated(&x), &KidConfig::default(), &Rng::new(0))).contains("1 real, 8 generated")
    );
    let none = KidConfig { subsets: Subsets::Random { count: 0, size: 5 } };
    assert!(message(kid(Real(&x), Generated(&y), &none, &Rng::new(0))).contains("at least 1, got 0"));
    assert!(message(Manifold::new(&few, 3)).contains("below the 3 images, got 3"));
    let manifold = Manifold::new(&x, 3).unwrap();
    let e = message(prdc(Real(&manifold), Generated(&manifold), &PrdcConfig::default()));
    assert!(e.contains("PrdcConfig.density_neighbours") && e.contains("got 5"), "{e}");
    let splits = InceptionScoreConfig { splits: 9, ..InceptionScoreConfig::default() };
    assert!(message(inception_score(Generated(&x), &splits, &Rng::new(0))).contains("1 to the 8 images, got 9"));

    let other = |s: Source| Features::new(y.rows(), s).unwrap();
    let named = other(Source { extractor: "f".to_owned(), ..source("s") });
    assert!(message(fid(Real(&x), Generated(&named), &FidConfig::default())).contains("extractor `e`"));
    let resized = other(Source { resize: Resize::Rule("nearest".to_owned()), ..source("s") });
    assert!(message(kid(Real(&x), Generated(&resized), &KidConfig::default(), &Rng::new(0))).contains("resize rule"));
    let wide = normal(1, 8, 4, 0.0);
    assert!(message(fid(Real(&x), Generated(&wide), &FidConfig::default())).contains("width `3`"));
    assert!(nearest(&x, &wide).is_err() && x.select(&[8], "s").is_err() && x.select(&[], "s").is_err());
    assert!(x.split(8, &Rng::new(0)).is_err());

    let parts = |n, m: &[f64], c: &[f64]| Moments::from_parts(n, m.to_vec(), c.to_vec(), source("s"));
    assert!(message(parts(5, &[0.0; 2], &[1.0, 0.5, 0.4, 1.0])).contains("not symmetric"));
    assert!(parts(5, &[0.0; 2], &[1.0; 3]).is_err() && parts(1, &[0.0], &[1.0]).is_err());
    assert!(message(parts(5, &[f64::NAN], &[1.0])).contains("not finite"));
    let negative = parts(5, &[0.0], &[-1.0]).unwrap();
    assert!(
        message(frechet(Real(&negative), Generated(&negative), &FidConfig::default())).contains("negative variance")
    );
}

fn unit(side: usize) -> ImageSpec {
    ImageSpec { channels: 1, height: side, width: side, range: Bounds::UNIT }
}

#[test]
fn extractors_state_what_they_take() {
    let cfg =
        SmallCnnConfig { input: (1, 8, 8), classes: 3, channels: (2, 2), kernel: 3, hidden: 4, ..Default::default() };
    let net = SmallCnn::new(cfg, Rng::new(0), DType::F32, &Device::Cpu).unwrap();
    let logits = ClassifierLogits::new("small cnn, seed 0, logits", &net, (1, 8, 8));
    let images = Rng::new(1).uniform((10, 1, 8, 8), 0.0..1.0, DType::F32, &Device::Cpu).unwrap();
    let of = |images: &Tensor, batch| Features::extract(&logits, images, Resize::None, "s", batch);
    let (all, parts) = (of(&images, 10).unwrap(), of(&images, 3).unwrap());
    assert_eq!((all.len(), all.width(), all.source().extractor.as_str()), (10, 3, "small cnn, seed 0, logits"));
    assert_eq!(all.rows().to_vec2::<f32>().unwrap(), parts.rows().to_vec2::<f32>().unwrap());
    let score =
        inception_score(Generated(&all), &InceptionScoreConfig { splits: 2, shuffle: true }, &Rng::new(0)).unwrap();
    assert_eq!((score.context.real, score.context.generated.unwrap().n), (None, 10));

    assert!(message(of(&images.narrow(2, 0, 7).unwrap(), 4)).contains("(N, 1, 8, 8)"));
    assert!(message(of(&(&images * 255.0).unwrap(), 4)).contains("the extractor takes [0, 1]"));
    assert!(message(of(&images.to_dtype(DType::U8).unwrap(), 4)).contains("scale them to [0, 1]"));
    assert!(message(of(&images.narrow(0, 0, 0).unwrap(), 4)).contains("N at least 1"));
    assert!(message(of(&(&images / 0.0).unwrap(), 4)).contains("flat index"));
    assert!(message(of(&images, 0)).contains("at least 1, got 0"));
    let lazy = FeatureFunction::new("lazy", unit(8), |x: &Tensor| Ok(x.narrow(0, 0, 1)?.flatten_from(1)?));
    assert!(message(Features::extract(&lazy, &images, Resize::None, "s", 4)).contains("one row for each image"));
}

#[test]
fn kept_moments_are_those_of_their_images() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("reference.safetensors");
    let images = Rng::new(1).uniform((20, 1, 2, 2), 0.0..1.0, DType::F32, &Device::Cpu).unwrap();
    let pixels =
        |gain: f64| FeatureFunction::new("pixels", unit(2), move |x: &Tensor| Ok((x.flatten_from(1)? * gain)?));
    let one = pixels(1.0);
    let cached = |e: &dyn Extractor, images: &Tensor, resize| Moments::cached(&path, e, images, resize, "test", 6);
    let first = cached(&one, &images, Resize::None).unwrap();
    let again = cached(&one, &images, Resize::None).unwrap();
    assert_eq!((first.mean(), first.covariance(), first.n()), (again.mean(), again.covariance(), 20));
    assert_eq!((first.source(), first.width()), (again.source(), 4));
    let straight = Moments::of(&Features::extract(&one, &images, Resize::None, "test", 20).unwrap()).unwrap();
    assert_eq!(straight.covariance(), again.covariance());
    // It was read, not computed: an extractor that fails beyond the first images is not asked.
    let broken = FeatureFunction::new("pixels", unit(2), |x: &Tensor| match x.dim(0)? {
        6 | 2 => Ok(x.flatten_from(1)?),
        n => Err(Error::value("batch", n.to_string())),
    });
    assert!(cached(&broken, &images, Resize::None).is_ok());

    let e = message(cached(&one, &images, Resize::Rule("nearest, 4 to 2".to_owned())));
    assert!(e.contains("`resize`") && !e.contains("`images`"), "{e}");
    let moved = images.narrow(0, 1, 19).unwrap();
    assert!(message(cached(&one, &moved, Resize::None)).contains("`images`"));
    let other = FeatureFunction::new("pixels 2", unit(2), |x: &Tensor| Ok(x.flatten_from(1)?));
    assert!(message(cached(&other, &images, Resize::None)).contains("`extractor`"));
    // Other weights under the same name.
    let e = message(cached(&pixels(1.1), &images, Resize::None));
    assert!(e.contains("other features under the name `pixels`"), "{e}");
}
