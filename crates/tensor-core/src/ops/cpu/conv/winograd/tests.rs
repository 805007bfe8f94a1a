//! Against direct sums in 64 bits, and the bytes of an example.

use super::*;
use crate::ops::Rectifier;

fn numbers(n: usize, seed: u64) -> Vec<f32> {
    crate::Rng::new(seed).normals(n).into_iter().map(|z| z as f32).collect()
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

/// Elements of one image of all groups, and of its result.
fn image_len(geo: &Geometry) -> usize {
    geo.groups * geo.channels * geo.image.0 * geo.image.1
}

fn map_len(geo: &Geometry) -> usize {
    geo.groups * geo.out_channels * geo.out.0 * geo.out.1
}

/// The largest and the root mean square error, both relative to the root mean square of the result.
fn errors(got: &[f32], want: &[f64]) -> (f64, f64) {
    assert_eq!(got.len(), want.len());
    let rms = |v: &mut dyn Iterator<Item = f64>| (v.map(|x| x * x).sum::<f64>() / want.len() as f64).sqrt();
    let difference = || got.iter().zip(want).map(|(g, w)| f64::from(*g) - w);
    let scale = rms(&mut want.iter().copied());
    (difference().fold(0.0, |m: f64, d| m.max(d.abs())) / scale, rms(&mut difference()) / scale)
}

fn geometry(
    (batch, groups): (usize, usize),
    (channels, out_channels): (usize, usize),
    image: (usize, usize),
    r: usize,
    padding: (usize, usize),
) -> Geometry {
    let out = (image.0 + 2 * padding.0 + 1 - r, image.1 + 2 * padding.1 + 1 - r);
    let one = (1, 1);
    Geometry { batch, groups, channels, out_channels, image, kernel: (r, r), out, stride: one, padding, dilation: one }
}

/// 4x4 taps with stride 2.
fn strided(batch: usize, channels: (usize, usize), image: (usize, usize), padding: (usize, usize)) -> Geometry {
    let out = ((image.0 + 2 * padding.0 - 4) / 2 + 1, (image.1 + 2 * padding.1 - 4) / 2 + 1);
    Geometry { out, stride: (2, 2), ..geometry((batch, 1), channels, image, 4, padding) }
}

/// Odd and even sizes, no padding and the most, several groups, tiles past the border, and more tiles than one block.
fn cases() -> Vec<Geometry> {
    vec![
        geometry((3, 1), (17, 35), (9, 14), 3, (1, 1)),
        geometry((2, 2), (16, 16), (12, 8), 3, (0, 2)),
        geometry((19, 1), (64, 48), (8, 8), 3, (1, 1)),
        geometry((5, 1), (40, 16), (14, 13), 5, (2, 2)),
        geometry((2, 1), (33, 20), (10, 40), 5, (0, 4)),
        geometry((1, 1), (16, 16), (30, 150), 3, (1, 1)),
        geometry((6, 1), (144, 160), (4, 4), 3, (1, 1)),
        strided(3, (17, 33), (16, 32), (1, 1)),
        strided(2, (16, 24), (37, 50), (2, 0)),
        strided(5, (64, 16), (8, 8), (1, 1)),
        strided(2, (20, 40), (30, 31), (3, 1)),
    ]
}

fn factors(geo: &Geometry) -> [Vec<f32>; 4] {
    let weights = geo.groups * geo.out_channels * geo.channels * geo.taps();
    let size = |each: usize| geo.batch * each;
    [
        numbers(size(image_len(geo)), 1),
        numbers(weights, 2),
        numbers(size(map_len(geo)), 3),
        numbers(geo.groups * geo.out_channels, 4),
    ]
}

/// A direct sum of n products errs by 6e-8 sqrt(n) / 3 or so of its terms' size; twice to three times that is what the points allow.
#[test]
fn three_maps_agree_with_direct_sums_in_64_bits() {
    for geo in cases() {
        assert!(geo.plan().is_some(), "{geo:?}");
        let [x, w, gy, b] = factors(&geo);
        let (x6, w6, gy6, b6) = (wide(&x), wide(&w), wide(&gy), wide(&b));
        assert!(geo.winograd_weight_grad(&x6, &gy6).is_none(), "sums in 64 bits are direct");
        let inputs = wide(&numbers(geo.groups * geo.channels, 5));
        let inputs32: Vec<f32> = inputs.iter().map(|x| *x as f32).collect();
        for (name, got, want) in [
            ("forward", geo.forward(&x, &w, None, None), geo.forward(&x6, &w6, None, None)),
            ("biased", geo.forward(&x, &w, Some(&b), None), geo.forward(&x6, &w6, Some(&b6), None)),
            (
                "leaky",
                geo.forward(&x, &w, Some(&b), Some(Rectifier::leaky(0.1))),
                geo.forward(&x6, &w6, Some(&b6), Some(Rectifier::leaky(0.1))),
            ),
            ("to input", geo.input_grad(&gy, &w, None), geo.input_grad(&gy6, &w6, None)),
            ("to input, biased", geo.input_grad(&gy, &w, Some(&inputs32)), geo.input_grad(&gy6, &w6, Some(&inputs))),
            ("to weight", geo.weight_grad(&x, &gy), geo.weight_grad(&x6, &gy6)),
        ] {
            let (most, rms) = errors(&got, &want);
            assert!(most < 2e-5 && rms < 2e-6, "{name} {geo:?}: {most:.1e} {rms:.1e}");
        }
    }
}

#[test]
fn an_example_has_the_same_bytes_in_every_batch_and_for_any_number_of_threads() {
    for geo in cases() {
        let [x, w, gy, b] = factors(&geo);
        let all = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| {
                (geo.forward(&x, &w, Some(&b), None), geo.input_grad(&gy, &w, None), geo.weight_grad(&x, &gy))
            })
        };
        let (y, gx, gw) = all(1);
        for threads in [2, 5] {
            assert!(
                (&y, &gx, &gw) == (&all(threads).0, &all(threads).1, &all(threads).2),
                "{threads} threads, {geo:?}"
            );
        }
        let one = Geometry { batch: 1, ..geo };
        for i in 0..geo.batch {
            let part = |v: &[f32], len: usize| v[i * len..][..len].to_vec();
            let forward = one.forward(&part(&x, image_len(&geo)), &w, Some(&b), None);
            assert_eq!(forward, part(&y, map_len(&geo)), "image {i} of {geo:?}");
            let to_input = one.input_grad(&part(&gy, map_len(&geo)), &w, None);
            assert_eq!(to_input, part(&gx, image_len(&geo)), "gradient {i} of {geo:?}");
        }
    }
}
