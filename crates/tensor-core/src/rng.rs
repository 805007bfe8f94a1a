//! Randomness as a value: a counter-based generator keyed by (seed, purpose, index).

use crate::Result;
use crate::ops::cpu::threads::each_run;
use candle_core::{DType, Device, Shape, Tensor};
use std::ops::Range;

/// A position in a counter-based random stream (Philox4x32-10).
///
/// An `Rng` is immutable: asking twice gives the same numbers. New numbers come from a new key,
/// [`Rng::stream`] (what for) or [`Rng::at`] (for which example, epoch, step). Nothing is hidden,
/// so nothing has to be saved: a run that is resumed asks for the same keys.
/// The host draws, on every device.
///
/// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
///
/// ```
/// use sconce_tensor_core::Rng;
/// let rng = Rng::new(7);
/// let noise = rng.stream("noise");
/// assert_eq!(noise.at(3).uniforms(4), noise.at(3).uniforms(4));
/// assert_ne!(noise.at(3).uniforms(4), noise.at(4).uniforms(4));
/// assert_ne!(noise.uniforms(4), rng.stream("weights").uniforms(4));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rng {
    key: u64,
    lane: u64,
}

const PHILOX_M: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const PHILOX_W: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

fn philox(mut ctr: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let p0 = u64::from(PHILOX_M[0]) * u64::from(ctr[0]);
        let p1 = u64::from(PHILOX_M[1]) * u64::from(ctr[2]);
        ctr = [(p1 >> 32) as u32 ^ ctr[1] ^ key[0], p1 as u32, (p0 >> 32) as u32 ^ ctr[3] ^ key[1], p0 as u32];
        key = [key[0].wrapping_add(PHILOX_W[0]), key[1].wrapping_add(PHILOX_W[1])];
    }
    ctr
}

/// Finaliser of SplitMix64: a bijection of 64-bit words.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn words(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

impl Rng {
    /// The root of a seed.
    pub const fn new(seed: u64) -> Self {
        Self { key: seed, lane: 0 }
    }

    /// An independent stream for a purpose. The lane (see [`Rng::at`]) is kept.
    pub fn stream(&self, purpose: &str) -> Self {
        // FNV-1a of the name, folded into the key.
        let name =
            purpose.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3));
        Self { key: mix(self.key ^ mix(name.wrapping_add(0x9E37_79B9_7F4A_7C15))), lane: self.lane }
    }

    /// The stream of the `index`-th example (epoch, step), counted from where this one stands:
    /// `rng.at(a).at(b) == rng.at(a + b)`. The 2^64 lanes of one key never overlap.
    pub const fn at(&self, index: u64) -> Self {
        Self { key: self.key, lane: self.lane.wrapping_add(index) }
    }

    fn block(&self, i: u64) -> [u32; 4] {
        let ([a, b], [c, d]) = (words(i), words(self.lane));
        philox([a, b, c, d], words(self.key))
    }

    /// The first `n` 64-bit words of the stream.
    pub fn bits(&self, n: usize) -> Vec<u64> {
        let pair = |i: u64| {
            let [a, b, c, d] = self.block(i);
            [u64::from(a) | u64::from(b) << 32, u64::from(c) | u64::from(d) << 32]
        };
        (0..n.div_ceil(2) as u64).flat_map(pair).take(n).collect()
    }

    /// `n` uniforms in [0, 1) with 53 random bits each.
    pub fn uniforms(&self, n: usize) -> Vec<f64> {
        self.bits(n).into_iter().map(|b| (b >> 11) as f64 * (1.0 / (1u64 << 53) as f64)).collect()
    }

    /// `n` standard normals (Box-Muller, both of each pair).
    pub fn normals(&self, n: usize) -> Vec<f64> {
        let u = self.uniforms(n.div_ceil(2) * 2);
        let pair = |u: &[f64]| {
            // 1 - u is in (0, 1], so the logarithm is finite.
            let (r, t) = ((-2.0 * (1.0 - u[0]).ln()).sqrt(), std::f64::consts::TAU * u[1]);
            [r * t.cos(), r * t.sin()]
        };
        u.chunks_exact(2).flat_map(pair).take(n).collect()
    }

    /// `n` integers below `bound`, without modulo bias beyond 2^-64 (multiply-shift).
    /// With `bound` 0 all are 0.
    pub fn below(&self, n: usize, bound: u64) -> Vec<u64> {
        self.bits(n).into_iter().map(|b| ((u128::from(b) * u128::from(bound)) >> 64) as u64).collect()
    }

    /// `n` values that are 0 with probability `p` (to 2^-32) and else `1 / (1 - p)`: a mask of dropout, four values a block.
    pub(crate) fn keeps(&self, n: usize, p: f64) -> Vec<f32> {
        const BLOCKS: usize = 1 << 12;
        let (below, keep) = ((p * 2f64.powi(32)) as u64, (1.0 / (1.0 - p)) as f32);
        let mut out = vec![0f32; n];
        each_run(&mut out, 4 * BLOCKS, &|i, run| {
            for (j, four) in run.chunks_mut(4).enumerate() {
                let words = self.block((i * BLOCKS + j) as u64);
                four.iter_mut().zip(words).for_each(|(o, w)| *o = if u64::from(w) < below { 0.0 } else { keep });
            }
        });
        out
    }

    /// A uniformly random permutation of `0..n` (Fisher-Yates).
    pub fn permutation(&self, n: usize) -> Vec<usize> {
        let mut p: Vec<usize> = (0..n).collect();
        for (i, b) in self.bits(n.saturating_sub(1)).into_iter().enumerate() {
            let i = n - 1 - i;
            p.swap(i, ((u128::from(b) * (i as u128 + 1)) >> 64) as usize);
        }
        p
    }

    /// A tensor of uniforms in `range`.
    ///
    /// # Errors
    /// candle's, where the tensor cannot be placed on `device`.
    pub fn uniform(&self, shape: impl Into<Shape>, range: Range<f64>, dtype: DType, device: &Device) -> Result<Tensor> {
        let shape = shape.into();
        let v = self.uniforms(shape.elem_count()).into_iter().map(|u| range.start + u * (range.end - range.start));
        place(v.collect(), shape, dtype, device)
    }

    /// A tensor of normals with the given mean and standard deviation.
    ///
    /// # Errors
    /// candle's, where the tensor cannot be placed on `device`.
    pub fn normal(
        &self,
        shape: impl Into<Shape>,
        mean: f64,
        std: f64,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let shape = shape.into();
        let v = self.normals(shape.elem_count()).into_iter().map(|z| mean + std * z);
        place(v.collect(), shape, dtype, device)
    }
}

fn place(values: Vec<f64>, shape: Shape, dtype: DType, device: &Device) -> Result<Tensor> {
    // Narrowed on the host, so that every device gets the same bytes.
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?)
}

/// The random streams of a batch: row `i` of the batch draws for example `examples[i]`.
///
/// Because each row has its example's own stream, what is drawn for an example does not depend on
/// the batch it sits in, nor on which other examples are still in it.
#[derive(Clone, Debug)]
pub struct ExampleRng {
    rng: Rng,
    examples: Vec<u64>,
}

impl ExampleRng {
    /// Streams for the given examples.
    pub fn new(rng: Rng, examples: Vec<u64>) -> Self {
        Self { rng, examples }
    }

    /// The examples, in the batch's order.
    pub fn examples(&self) -> &[u64] {
        &self.examples
    }

    /// The same purpose, for other examples.
    pub fn of_examples(&self, examples: Vec<u64>) -> Self {
        Self { rng: self.rng, examples }
    }

    /// The same examples, for another purpose.
    pub fn stream(&self, purpose: &str) -> Self {
        Self { rng: self.rng.stream(purpose), examples: self.examples.clone() }
    }

    /// The stream of one row.
    pub fn row(&self, i: usize) -> Rng {
        self.rng.at(self.examples[i])
    }

    /// A tensor (rows, `row_shape`...) of uniforms in `range`, each row from its example's stream.
    ///
    /// # Errors
    /// candle's, where the tensor cannot be placed on `device`.
    pub fn uniform(&self, row_shape: &[usize], range: Range<f64>, dtype: DType, device: &Device) -> Result<Tensor> {
        let width = range.end - range.start;
        self.rows(row_shape, dtype, device, |r, n| r.uniforms(n).into_iter().map(|u| range.start + u * width).collect())
    }

    /// A tensor (rows, `row_shape`...) of standard normals, each row from its example's stream.
    ///
    /// # Errors
    /// candle's, where the tensor cannot be placed on `device`.
    pub fn normal(&self, row_shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
        self.rows(row_shape, dtype, device, |r, n| r.normals(n))
    }

    fn rows(
        &self,
        row: &[usize],
        dtype: DType,
        device: &Device,
        draw: impl Fn(Rng, usize) -> Vec<f64>,
    ) -> Result<Tensor> {
        let n = row.iter().product();
        let values = (0..self.examples.len()).flat_map(|i| draw(self.row(i), n)).collect();
        let shape: Vec<usize> = std::iter::once(self.examples.len()).chain(row.iter().copied()).collect();
        place(values, shape.into(), dtype, device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of the Random123 distribution (kat_vectors, philox4x32 with 10 rounds).
    #[test]
    fn philox_known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let pi = philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]);
        assert_eq!(pi, [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    #[test]
    fn a_prefix_does_not_depend_on_how_much_is_drawn() {
        let r = Rng::new(3).stream("x").at(9);
        assert_eq!(r.uniforms(5), r.uniforms(50)[..5]);
        assert_eq!(r.normals(5), r.normals(50)[..5]);
    }

    #[test]
    fn moments_are_those_of_the_distribution() {
        let n = 200_000;
        let r = Rng::new(1);
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let u = r.uniforms(n);
        // Five standard errors on each side.
        assert!((mean(&u) - 0.5).abs() < 5.0 * (1.0 / 12.0f64).sqrt() / (n as f64).sqrt());
        let z = r.stream("z").normals(n);
        assert!(mean(&z).abs() < 5.0 / (n as f64).sqrt());
        let var = mean(&z.iter().map(|z| z * z).collect::<Vec<_>>());
        assert!((var - 1.0).abs() < 5.0 * 2f64.sqrt() / (n as f64).sqrt());
        let kurt = mean(&z.iter().map(|z| z.powi(4)).collect::<Vec<_>>());
        assert!((kurt - 3.0).abs() < 5.0 * 96f64.sqrt() / (n as f64).sqrt());
    }

    #[test]
    fn a_permutation_is_one_and_is_uniform() {
        let mut seen = [0usize; 6];
        for seed in 0..6000 {
            let p = Rng::new(seed).permutation(3);
            let mut q = p.clone();
            q.sort_unstable();
            assert_eq!(q, [0, 1, 2]);
            seen[p[0] * 2 + usize::from(p[1] > p[2])] += 1;
        }
        // Each of the 6 orders about 1000 times: five standard deviations.
        assert!(seen.iter().all(|&c| (c as f64 - 1000.0).abs() < 5.0 * (6000.0f64 * 5.0 / 36.0).sqrt()), "{seen:?}");
        assert!(Rng::new(0).permutation(0).is_empty());
    }

    #[test]
    fn rows_follow_their_examples() {
        let rng = Rng::new(5);
        let d = &Device::Cpu;
        let all = ExampleRng::new(rng, vec![10, 11, 12]).uniform(&[4], -1.0..1.0, DType::F32, d).unwrap();
        let one = ExampleRng::new(rng, vec![12]).uniform(&[4], -1.0..1.0, DType::F32, d).unwrap();
        assert_eq!(all.to_vec2::<f32>().unwrap()[2], one.to_vec2::<f32>().unwrap()[0]);
    }
}
