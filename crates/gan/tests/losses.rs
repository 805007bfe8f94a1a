//! Losses, augmentation, averages and controllers against golden values by `specs/scripts/gan_golden.py` (torch 2.15 in f64).
#![allow(clippy::unwrap_used)] // a test fails by panicking

use sconce_gan::loss::{
    Ada, AdaConfig, DiffAugment, DiffAugmentConfig, GanLoss, brightness, contrast, cutout, saturation, translate,
};
use sconce_gan::trainer::ema_decay;
use sconce_tensor_core::candle_core::{DType, Device, Tensor, Var};
use sconce_tensor_core::gradcheck::GradCheck;
use sconce_tensor_core::optim::Average;
use sconce_tensor_core::{ExampleRng, Params, Rng, Role, ops};

/// The script prints 9 to 12 digits.
const TOLERANCE: f64 = 1e-9;

fn near(got: &[f64], want: &[f64]) {
    let good = got.len() == want.len() && got.iter().zip(want).all(|(g, w)| (g - w).abs() <= TOLERANCE);
    assert!(good, "{got:?} {want:?}");
}

fn scores() -> (Var, Var) {
    let var = |v: [f64; 3]| Var::new(&v, &Device::Cpu).unwrap();
    (var([2.0, 0.5, -1.0]), var([-2.0, 0.5, 1.5]))
}

/// The loss, then its gradients to both scores.
fn check(loss: &Tensor, value: f64, (real, fake): (&Var, &Var), to_real: Option<[f64; 3]>, to_fake: [f64; 3]) {
    near(&[loss.to_scalar().unwrap()], &[value]);
    let grads = ops::backward(loss).unwrap();
    let of = |v: &Var| grads.get(v).unwrap().to_vec1::<f64>().unwrap();
    near(&of(fake), &to_fake);
    match to_real {
        Some(want) => near(&of(real), &want),
        None => assert!(grads.get(real).is_none()),
    }
}

#[test]
fn losses_and_their_gradients() {
    let third = 1.0 / 3.0;
    let (r, f) = scores();
    let at = (&r, &f);
    let d = |loss: GanLoss| loss.discriminator(&r, &f, None).unwrap();
    let g = |loss: GanLoss| loss.generator(Some(&r), &f, None).unwrap();
    check(&d(GanLoss::Hinge), 2.166666666667, at, Some([0.0, -third, -third]), [0.0, third, third]);
    check(&g(GanLoss::Hinge), 0.0, at, None, [-third; 3]);
    let to_real = Some([-0.039734307, -0.125846890, -0.243686193]);
    check(&d(GanLoss::NonSaturating), 1.572228318649, at, to_real, [0.039734307, 0.207486444, 0.272524825]);
    check(&g(GanLoss::NonSaturating), 0.934139424402, at, None, [-0.293599026, -0.125846890, -0.060808508]);
    check(&d(GanLoss::Wasserstein), -0.5, at, Some([-third; 3]), [third; 3]);
    check(&g(GanLoss::Wasserstein), 0.0, at, None, [-third; 3]);
    let to_real = Some([third, -third / 2.0, -2.0 * third]);
    check(&d(GanLoss::LeastSquares), 1.958333333333, at, to_real, [-2.0 * third, third / 2.0, 0.5]);
    check(&g(GanLoss::LeastSquares), 1.583333333333, at, None, [-1.0, -third / 2.0, third / 2.0]);
    let ninth = 1.0 / 9.0;
    let to_real = Some([-2.0 * ninth, -5.0 * ninth, -5.0 * ninth]);
    check(&d(GanLoss::RelativisticHinge), 1.833333333333, at, to_real, [2.0 * ninth, 5.0 * ninth, 5.0 * ninth]);
    assert!(GanLoss::RelativisticHinge.generator(None, &f, None).is_err());
    // The test D3 of the specification.
    let of = |v: [f64; 2]| Tensor::new(&v, &Device::Cpu).unwrap();
    let loss = GanLoss::Hinge.discriminator(&of([2.0, 0.5]), &of([-2.0, 0.5]), None).unwrap();
    near(&[loss.to_scalar().unwrap()], &[1.0]);
}

#[test]
fn losses_of_every_kind_are_exact_far_from_0_and_weighted() {
    let of = |v: &[f64]| Tensor::new(v, &Device::Cpu).unwrap();
    let (r, f) = (of(&[800.0, -800.0]), of(&[-800.0, 800.0]));
    let loss = GanLoss::NonSaturating.discriminator(&r, &f, None).unwrap();
    near(&[loss.to_scalar().unwrap()], &[800.0]);
    // Weights of 1/4 and 3/4 are those of an example that is there once and one that is there three times.
    let (r, f) = (of(&[2.0, -1.0]), of(&[0.3, 1.5]));
    let (r4, f4) = (of(&[2.0, -1.0, -1.0, -1.0]), of(&[0.3, 1.5, 1.5, 1.5]));
    let w = of(&[0.25, 0.75]);
    for loss in [
        GanLoss::Hinge,
        GanLoss::NonSaturating,
        GanLoss::Wasserstein,
        GanLoss::LeastSquares,
        GanLoss::RelativisticHinge,
    ] {
        let value = |l: sconce_gan::Result<Tensor>| l.unwrap().to_scalar::<f64>().unwrap();
        near(&[value(loss.discriminator(&r, &f, Some(&w)))], &[value(loss.discriminator(&r4, &f4, None))]);
        near(&[value(loss.generator(Some(&r), &f, Some(&w)))], &[value(loss.generator(Some(&r4), &f4, None))]);
        assert!(loss.discriminator(&r, &f, Some(&r4)).is_err());
    }
}

/// x[c, r, q] = ((16 c + 4 r + q) mod 7) / 3 - 1.
fn image() -> Tensor {
    let v: Vec<f64> = (0..48).map(|i| f64::from(i % 7) / 3.0 - 1.0).collect();
    Tensor::from_vec(v, (1, 3, 4, 4), &Device::Cpu).unwrap()
}

#[test]
fn augmentation_with_given_draws() {
    let x = image();
    let corner =
        |t: Tensor| -> Vec<f64> { (0..3).map(|c| t.get(0).unwrap().to_vec3::<f64>().unwrap()[c][0][0]).collect() };
    near(&corner(brightness(&x, &[0.8 - 0.5]).unwrap()), &[-0.7, -0.1 / 3.0, 1.9 / 3.0]);
    near(&corner(saturation(&x, &[2.0 * 0.25]).unwrap()), &[-2.0 / 3.0, -1.0 / 3.0, 0.0]);
    near(&corner(contrast(&x, &[0.25 + 0.5]).unwrap()), &[-0.755208333333, -0.255208333333, 0.244791666667]);
    let first = |t: Tensor| t.get(0).unwrap().get(0).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let (a, b) = (1.0 / 3.0, 2.0 / 3.0);
    let shifted = translate(&x, &[(1, -1)], 0.0).unwrap();
    near(&first(shifted), &[0.0, a, b, 1.0, 0.0, -b, -a, 0.0, 0.0, b, 1.0, -1.0, 0.0, 0.0, 0.0, 0.0]);
    // A square of 2 around (0, 4), the gap after the last column: clipped to one pixel.
    let cut = first(cutout(&x, &[(0, 4)], (2, 2), 9.0).unwrap());
    assert_eq!(
        cut.iter().map(|v| usize::from(*v == 9.0)).collect::<Vec<_>>(),
        [vec![0, 0, 0, 1], vec![0; 12]].concat()
    );
}

fn keyed(seed: u64, n: u64) -> ExampleRng {
    ExampleRng::new(Rng::new(seed), (0..n).collect())
}

#[test]
fn augmentation_is_differentiable_and_keyed_by_example() {
    let augment = DiffAugment::new(DiffAugmentConfig { padding: -1.0, ..DiffAugmentConfig::default() }).unwrap();
    let x = Rng::new(1).uniform((3, 2, 5, 6), -1.0..1.0, DType::F64, &Device::Cpu).unwrap();
    let c = Rng::new(2).normal((3, 2, 5, 6), 0.0, 1.0, DType::F64, &Device::Cpu).unwrap();
    let loss = |v: &[Tensor]| Ok((augment.apply(&v[0], &keyed(3, 3), 1.0)?.sqr()? * &c)?.sum_all()?);
    GradCheck::default().check(std::slice::from_ref(&x), loss).unwrap();
    let all = augment.apply(&x, &keyed(3, 3), 1.0).unwrap();
    let one = augment.apply(&x.narrow(0, 2, 1).unwrap(), &ExampleRng::new(Rng::new(3), vec![2]), 1.0).unwrap();
    let values = |t: Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    assert_eq!(values(all.narrow(0, 2, 1).unwrap()), values(one));
    assert_ne!(values(all), values(x.clone()));
    assert_eq!(values(augment.apply(&x, &keyed(3, 3), 0.0).unwrap()), values(x.clone()), "p 0 changes nothing");
    assert!(augment.apply(&x, &keyed(3, 2), 1.0).is_err() && augment.apply(&x, &keyed(3, 3), 1.5).is_err());
    assert!(DiffAugment::new(DiffAugmentConfig { cutout: 2.0, ..DiffAugmentConfig::default() }).is_err());
}

/// Draws have the ranges of the source: offsets in +-0.5, shifts in +-round(h / 8), half-side squares.
#[test]
fn augmentation_draws_its_whole_range() {
    let n = 4000;
    let none = DiffAugmentConfig {
        brightness: 0.0,
        saturation: 0.0,
        contrast: 0.0,
        translation: 0.0,
        cutout: 0.0,
        padding: -1.0,
    };
    let apply = |cfg, p| {
        let x = Tensor::zeros((n, 1, 14, 14), DType::F32, &Device::Cpu).unwrap();
        let y = DiffAugment::new(cfg).unwrap().apply(&x, &keyed(5, n as u64), p).unwrap();
        y.flatten_from(1).unwrap().to_vec2::<f32>().unwrap()
    };
    let bright = apply(DiffAugmentConfig { brightness: 0.5, ..none }, 1.0);
    let (lo, hi) = bright.iter().fold((0f32, 0f32), |(a, b), v| (a.min(v[0]), b.max(v[0])));
    assert!((-0.5..-0.49).contains(&lo) && (0.49..=0.5).contains(&hi), "{lo} {hi}");
    // A side of 14 moves by at most 2 rows: those that are lost are padding.
    let lost = |image: &Vec<f32>| image.chunks(14).filter(|row| row.iter().all(|v| *v == -1.0)).count();
    let moved = apply(DiffAugmentConfig { translation: 0.125, ..none }, 1.0);
    let mut counts = [0usize; 3];
    moved.iter().for_each(|i| counts[lost(i)] += 1);
    // Shifts of 0; +-1; +-2: 1/5, 2/5, 2/5. Five standard deviations.
    for (count, share) in counts.iter().zip([0.2, 0.4, 0.4]) {
        assert!((*count as f64 - n as f64 * share).abs() < 5.0 * (n as f64 * 0.24).sqrt(), "{counts:?}");
    }
    let cut = apply(DiffAugmentConfig { cutout: 0.5, ..none }, 0.25);
    let holes: Vec<usize> = cut.iter().map(|i| i.iter().filter(|v| **v == -1.0).count()).collect();
    assert_eq!((holes.iter().max(), holes.iter().filter(|h| **h > 0).min()), (Some(&49), Some(&16)));
    let share = holes.iter().filter(|h| **h > 0).count() as f64;
    assert!((share - n as f64 / 4.0).abs() < 5.0 * (n as f64 * 0.1875).sqrt(), "{share}");
}

#[test]
fn averages_and_controllers() {
    let mut params = Params::new();
    let w = params.add("w", Role::Weight, &Tensor::new(&[1f64], &Device::Cpu).unwrap()).unwrap();
    let mut ema = Average::exponential(0.9).unwrap();
    for v in [1.0, 2.0, 3.0, 5.0] {
        w.set(&Tensor::new(&[v], &Device::Cpu).unwrap()).unwrap();
        ema.update(&params).unwrap();
    }
    ema.swap(&params).unwrap();
    near(&w.to_vec1::<f64>().unwrap(), &[1.661]);
    near(&[ema_decay(500.0, 64).unwrap()], &[0.915099168]);
    assert!(ema_decay(0.0, 64).is_err());

    let mut ada = Ada::new(AdaConfig { images: 128.0, start: 0.25, ..AdaConfig::default() }).unwrap();
    for (r, want) in [(1.0 / 3.0, 0.0), (0.7, 0.5), (0.7, 1.0), (0.7, 1.0), (0.6, 1.0), (-1.0, 0.5)] {
        ada.update(r, 64);
        near(&[ada.probability()], &[want]);
    }
    assert!(Ada::new(AdaConfig { target: 1.0, ..AdaConfig::default() }).is_err());
}
