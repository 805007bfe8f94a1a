//! Waves, sweeps and noise against their Fourier forms.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor};
use sconce_attacks::fourier::{
    BandNoise, BandNoiseConfig, Directions, Normalisation, SingleFourier, SingleFourierConfig, Sweep, SweepConfig,
    pattern, signed_frequency,
};
use sconce_attacks::{Attack, ExampleRng, Goal, Rng, RunConfig, run};
use sconce_tensor_core::ops;

mod support;
use support::{cnn, images};

/// T7: the wave is what its Fourier form says, and an eigen-pattern of circular convolution.
#[test]
fn a_wave_is_real_and_its_norm_is_scaled_by_the_kernels_transform() {
    let n = 12;
    let k = Rng::new(5).normal((1, 1, 3, 3), 0.0, 1.0, DType::F64, &Device::Cpu).unwrap();
    let taps = k.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    for (l, m) in (0..n).flat_map(|l| (0..n).map(move |m| (l, m))) {
        let u = pattern(n, n, (l, m), Normalisation::Peak).unwrap();
        let peak = u.iter().fold(0f64, |p, v| p.max(v.abs()));
        assert!((peak - 1.0).abs() < 1e-12);
        let x = Tensor::from_vec(u.clone(), (1, 1, n, n), &Device::Cpu).unwrap();
        let wrap = |x: &Tensor, axis| Tensor::cat(&[x, &x.narrow(axis, 0, 2).unwrap()], axis).unwrap();
        let y = ops::conv2d(&wrap(&wrap(&x, 2), 3), &k, None, ops::Conv2dSpec::default()).unwrap();
        let norm = |t: &Tensor| t.sqr().unwrap().sum_all().unwrap().sqrt().unwrap().to_scalar::<f64>().unwrap();
        let angle = |i: usize| std::f64::consts::TAU * ((l * (i / 3) + m * (i % 3)) as f64) / n as f64;
        let (re, im) =
            (0..9).fold((0.0, 0.0), |(a, b), i| (a + taps[i] * angle(i).cos(), b + taps[i] * angle(i).sin()));
        // Where a frequency is its own mirror, cos and sin are not independent; the identity needs them to be.
        let own_mirror = (2 * l) % n == 0 && (2 * m) % n == 0;
        if !own_mirror || (l, m) == (0, 0) {
            assert!((norm(&y) / norm(&x) - f64::hypot(re, im)).abs() < 1e-12, "({l}, {m})");
        }
        // The L2 and sign forms are the same wave on other scales.
        let l2 = pattern(n, n, (l, m), Normalisation::L2).unwrap();
        assert!((l2.iter().map(|v| v * v).sum::<f64>() - 1.0).abs() < 1e-12);
        let sign = pattern(n, n, (l, m), Normalisation::Sign).unwrap();
        assert!(sign.iter().zip(&u).all(|(s, u)| s.abs() == 1.0 && s * u > -1e-9));
    }
}

#[test]
fn the_half_plane_has_each_frequency_once() {
    for (h, w) in [(28, 28), (5, 8), (1, 4)] {
        let half = Directions::HalfPlane.list(h, w).unwrap();
        let all: std::collections::BTreeSet<_> =
            half.iter().flat_map(|&(l, m)| [(l, m), ((h - l) % h, (w - m) % w)]).collect();
        assert_eq!(all.len(), h * w);
        let own = all.iter().filter(|&&(l, m)| ((h - l) % h, (w - m) % w) == (l, m)).count();
        assert_eq!(half.len(), (h * w - own) / 2 + own);
    }
    assert_eq!((signed_frequency(0, 28), signed_frequency(14, 28), signed_frequency(27, 28)), (0, 14, -1));
    assert!(Directions::Every(0).list(2, 2).is_err());
}

#[test]
fn a_sweep_counts_as_the_attack_does_in_every_batch() {
    let (net, x) = (cnn(), images(11));
    let y = Tensor::new(sconce_tensor_core::classifier::predict(&net, &x, 11).unwrap(), &Device::Cpu).unwrap();
    let sweep = |batch| {
        let run = RunConfig { batch_size: Some(batch), ..RunConfig::default() };
        let cfg = SweepConfig { eps: 0.4, directions: Directions::All, run, ..SweepConfig::default() };
        Sweep::new(cfg).unwrap().run(&net, &x, &y, |_, _| Ok(())).unwrap()
    };
    let map = sweep(11);
    assert_eq!(map, sweep(3));
    assert_eq!((map.directions.len(), map.total), (64, 11));
    for (i, &direction) in map.directions.iter().enumerate().step_by(7) {
        let wave = SingleFourier::new(SingleFourierConfig { direction, eps: 0.4, ..Default::default() }).unwrap();
        let r = run(&wave, &net, &x, &Goal::Untargeted(y.clone()), &RunConfig::default(), &Rng::new(0)).unwrap();
        assert_eq!(r.robust_accuracy().hits, map.correct[i], "{direction:?}");
    }
    let bands: f64 = [(0, 1), (2, 4)].iter().map(|&(a, b)| map.band(a, b).unwrap()).sum();
    assert!(bands > 0.0 && map.band(5, 9).is_none());
    assert!(map.worst().0 <= map.average());
}

#[test]
fn band_noise_has_its_size_and_its_frequencies() {
    let x = Tensor::full(0.5f64, (3, 1, 16, 16), &Device::Cpu).unwrap();
    let noise = BandNoise::new(BandNoiseConfig { eps: 0.1, from: 5, to: 6 }).unwrap();
    let goal = Goal::Untargeted(Tensor::zeros(3, DType::U32, &Device::Cpu).unwrap());
    let moved = noise.perturb(&cnn(), &x, &goal, &ExampleRng::new(Rng::new(2), vec![0, 1, 2])).unwrap().x;
    let d = (moved - x).unwrap().flatten_from(1).unwrap().to_vec2::<f64>().unwrap();
    for row in &d {
        let rms = (row.iter().map(|v| v * v).sum::<f64>() / 256.0).sqrt();
        assert!((rms - 0.1).abs() < 1e-12);
        let energy = |l: usize, m: usize| {
            let angle = |i: usize| std::f64::consts::TAU * (l * (i / 16) + m * (i % 16)) as f64 / 16.0;
            let c = (0..256).fold((0.0, 0.0), |(a, b), i| (a + row[i] * angle(i).cos(), b + row[i] * angle(i).sin()));
            c.0 * c.0 + c.1 * c.1
        };
        assert!(
            energy(0, 0) < 1e-20 && energy(2, 3) < 1e-20 && energy(7, 0) < 1e-20 && energy(5, 1) + energy(6, 6) > 1e-6
        );
    }
    assert_ne!(d[0], d[1]);
}
