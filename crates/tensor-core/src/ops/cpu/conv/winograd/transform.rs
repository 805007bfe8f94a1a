//! The three linear maps of Winograd's method and their adjoints, on vectors whose lanes are channels.
//!
//! With the points 0, ±[`A`], ±[`B`] and, of `n = 6` points, infinity: `y = At [(G g) * (Bt d)]` is the valid correlation of
//! n inputs `d` with `r` taps `g`, which has `m = n + 1 - r` results. In two dimensions each map is applied to the columns, then to the
//! rows.

use crate::ops::cpu::element::Element;
use pulp::Simd;

/// The points. Their powers, and so all entries of `At` and `Bt`, are exact in 32 bits; `A B` is close to 1, which keeps
/// the maps well conditioned (Barabasz et al., "Error analysis and improving the accuracy of Winograd convolution for deep neural
/// networks", 2020, on the choice of points; these by measurement of ours).
const A: f64 = 0.625;
const B: f64 = 1.5;
/// Points that are finite: 0 and these four.
const FINITE: usize = 5;

/// The maps' entries as vectors.
#[derive(Clone, Copy)]
pub(super) struct Maps<V> {
    one: V,
    minus: V,
    /// a, b and their negatives.
    points: [V; 2],
    negative: [V; 2],
    /// -a^2, -b^2.
    squares: [V; 2],
    /// `a^2 b^2` and `-(a^2 + b^2)`.
    product: V,
    sum: V,
    /// `a^i`, `b^i`.
    powers: [[V; 2]; FINITE],
    /// `1 / prod (p - q)` over the other points q, for 0, a, b.
    scales: [V; 3],
}

#[allow(clippy::needless_range_loop, clippy::manual_memcpy)] // fixed indices keep the vectors in registers
impl<V: Copy> Maps<V> {
    #[inline(always)]
    pub(super) fn new<S: Simd, T: Element<V<S> = V>>(s: S) -> Self {
        let v = |x: f64| T::splat(s, T::of_f64(x));
        let (a2, b2) = (A * A, B * B);
        Self {
            one: v(1.0),
            minus: v(-1.0),
            points: [v(A), v(B)],
            negative: [v(-A), v(-B)],
            squares: [v(-a2), v(-b2)],
            product: v(a2 * b2),
            sum: v(-(a2 + b2)),
            powers: std::array::from_fn(|i| [v(A.powi(i as i32)), v(B.powi(i as i32))]),
            scales: [v(1.0 / (a2 * b2)), v(1.0 / (2.0 * a2 * (a2 - b2))), v(1.0 / (2.0 * b2 * (b2 - a2)))],
        }
    }

    /// `Bt d`.
    #[inline(always)]
    fn data<S: Simd, T: Element<V<S> = V>, const N: usize>(&self, s: S, d: [V; N]) -> [V; N] {
        let fma = |a, b, c| T::fma(s, a, b, c);
        let [even_b, odd_b] = [fma(self.squares[1], d[2], d[4]), fma(self.squares[1], d[1], d[3])];
        let [even_a, odd_a] = [fma(self.squares[0], d[2], d[4]), fma(self.squares[0], d[1], d[3])];
        let mut v = [fma(self.product, d[0], fma(self.sum, d[2], d[4])); N];
        v[1] = fma(self.points[0], odd_b, even_b);
        v[2] = fma(self.negative[0], odd_b, even_b);
        v[3] = fma(self.points[1], odd_a, even_a);
        v[4] = fma(self.negative[1], odd_a, even_a);
        if N > FINITE {
            v[5] = fma(self.product, d[1], fma(self.sum, d[3], d[5]));
        }
        v
    }

    /// `sum_i p^i g_i` over the even i and over the odd ones, for p = a and p = b: `[[even, odd]; 2]`.
    #[inline(always)]
    fn halves<S: Simd, T: Element<V<S> = V>, const N: usize>(&self, s: S, g: [V; N]) -> [[V; 2]; 2] {
        let zero = T::splat(s, T::ZERO);
        let mut sums = [[zero; 2]; 2];
        for p in 0..2 {
            sums[p][0] = g[0];
            for i in 1..N {
                let from = if i == 1 { zero } else { sums[p][i % 2] };
                sums[p][i % 2] = T::fma(s, self.powers[i][p], g[i], from);
            }
        }
        sums
    }

    /// `Bt d` for `P = N` inputs, or `A g` for `P = m` gradients: the adjoint of [`Maps::result`].
    #[inline(always)]
    pub(super) fn inward<S: Simd, T: Element<V<S> = V>, const P: usize, const N: usize>(
        &self,
        s: S,
        d: [V; P],
    ) -> [V; N] {
        if P < N {
            return self.spread::<S, T, P, N>(s, d);
        }
        let mut all = [d[0]; N];
        for i in 1..N {
            all[i] = d[i];
        }
        self.data::<S, T, N>(s, all)
    }

    #[inline(always)]
    fn spread<S: Simd, T: Element<V<S> = V>, const P: usize, const N: usize>(&self, s: S, g: [V; P]) -> [V; N] {
        let [[even_a, odd_a], [even_b, odd_b]] = self.halves::<S, T, P>(s, g);
        let add = |x, y| T::fma(s, self.one, x, y);
        let sub = |x, y| T::fma(s, self.minus, y, x);
        let mut u = [g[0]; N];
        u[1] = add(even_a, odd_a);
        u[2] = sub(even_a, odd_a);
        u[3] = add(even_b, odd_b);
        u[4] = sub(even_b, odd_b);
        if N > FINITE {
            u[5] = g[P - 1];
        }
        u
    }

    /// `G g` for `R` taps.
    #[inline(always)]
    pub(super) fn kernel<S: Simd, T: Element<V<S> = V>, const R: usize, const N: usize>(
        &self,
        s: S,
        g: [V; R],
    ) -> [V; N] {
        self.scaled::<S, T, N>(s, self.spread::<S, T, R, N>(s, g))
    }

    #[inline(always)]
    fn scaled<S: Simd, T: Element<V<S> = V>, const N: usize>(&self, s: S, mut u: [V; N]) -> [V; N] {
        for i in 0..FINITE {
            u[i] = T::fma(s, self.scales[i.div_ceil(2)], u[i], T::splat(s, T::ZERO));
        }
        u
    }

    /// `At u`: `M` results.
    #[inline(always)]
    pub(super) fn result<S: Simd, T: Element<V<S> = V>, const N: usize, const M: usize>(
        &self,
        s: S,
        u: [V; N],
    ) -> [V; M] {
        let add = |x, y| T::fma(s, self.one, x, y);
        let sub = |x, y| T::fma(s, self.minus, y, x);
        let (sums, differences) = ([add(u[1], u[2]), add(u[3], u[4])], [sub(u[1], u[2]), sub(u[3], u[4])]);
        let mut y = [u[0]; M];
        for i in 0..M {
            let of = if i % 2 == 0 { sums } else { differences };
            let from = match i {
                0 => u[0],
                i if i + 1 == M && N > FINITE => u[N - 1],
                _ => T::splat(s, T::ZERO),
            };
            y[i] = T::fma(s, self.powers[i][0], of[0], T::fma(s, self.powers[i][1], of[1], from));
        }
        y
    }

    /// `Gt u`: the adjoint of [`Maps::kernel`].
    #[inline(always)]
    pub(super) fn gather<S: Simd, T: Element<V<S> = V>, const N: usize, const R: usize>(
        &self,
        s: S,
        u: [V; N],
    ) -> [V; R] {
        self.result::<S, T, N, R>(s, self.scaled::<S, T, N>(s, u))
    }
}

/// A map on columns of `P` and then on rows: `P x P -> Q x Q`. Loops alone, which are compiled for this machine's vectors.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // as above
pub(super) fn both<V: Copy, const P: usize, const Q: usize>(
    x: &[[V; P]; P],
    zero: V,
    f: impl Fn([V; P]) -> [V; Q],
) -> [[V; Q]; Q] {
    let mut half = [[zero; P]; Q];
    for j in 0..P {
        let mut column = [zero; P];
        for i in 0..P {
            column[i] = x[i][j];
        }
        let column = f(column);
        for i in 0..Q {
            half[i][j] = column[i];
        }
    }
    let mut y = [[zero; Q]; Q];
    for i in 0..Q {
        y[i] = f(half[i]);
    }
    y
}
