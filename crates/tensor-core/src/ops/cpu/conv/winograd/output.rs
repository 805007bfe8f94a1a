//! The transform of the sums back to results.
#![allow(unsafe_code)]

use super::strips::{Strip, Window};
use super::transform::{Maps, both};
use crate::ops::cpu::element::Element;
use crate::ops::cpu::tile::load;
use pulp::{Simd, WithSimd};

/// The results of the tiles of a strip, channels innermost.
pub(super) struct OutputTransform<'a, T, const N: usize, const M: usize> {
    pub(super) strip: &'a Strip,
    pub(super) window: &'a Window,
    /// Positions between results, and the phase of these.
    pub(super) step: usize,
    pub(super) first: (usize, usize),
    /// From the strip's first tile on; the distances of points and of tiles.
    pub(super) sums: (&'a [T], usize, usize),
    /// Of whole vectors.
    pub(super) bias: &'a [T],
    pub(super) copy: &'a mut [T],
}

#[allow(clippy::needless_range_loop)] // fixed indices keep the vectors in registers
impl<T: Element, const N: usize, const M: usize> WithSimd for OutputTransform<'_, T, N, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { strip, window, step: apart, first, sums: (sums, step, row), bias, copy } = self;
        let (lanes, maps, zero) = (T::lanes::<S>(), Maps::new::<S, T>(s), T::splat(s, T::ZERO));
        let (outputs, one, across) = (bias.len(), T::splat(s, T::ONE), window.columns.len());
        assert!(sums.len() >= (N * N - 1) * step + strip.len() * row && outputs <= row);
        assert!(outputs.is_multiple_of(lanes) && copy.len() >= window.positions() * outputs);
        let mut at = 0;
        for y in strip.rows.clone() {
            for x in strip.columns.clone() {
                let at_y = y * M * apart + first.0 - window.rows.start;
                let at_x = x * M * apart + first.1 - window.columns.start;
                let high = window.rows.len().saturating_sub(at_y).div_ceil(apart).min(M);
                let wide = across.saturating_sub(at_x).div_ceil(apart).min(M);
                for c in (0..outputs).step_by(lanes) {
                    let mut u = [[zero; N]; N];
                    for e in 0..N * N {
                        // SAFETY: the assertions above bound these.
                        u[e / N][e % N] = unsafe { load::<S, T>(sums.as_ptr().add(e * step + at * row + c)) };
                    }
                    let r = both(
                        &u,
                        zero,
                        #[inline(always)]
                        |u| maps.result::<S, T, N, M>(s, u),
                    );
                    // SAFETY: whole vectors of the bias.
                    let b = unsafe { load::<S, T>(bias.as_ptr().add(c)) };
                    for i in 0..high {
                        for j in 0..wide {
                            // SAFETY: a position inside the window, and a whole vector of its channels.
                            unsafe {
                                let to = copy
                                    .as_mut_ptr()
                                    .add(((at_y + i * apart) * across + at_x + j * apart) * outputs + c);
                                to.cast::<T::V<S>>().write_unaligned(T::fma(s, one, r[i][j], b));
                            }
                        }
                    }
                }
                at += 1;
            }
        }
    }
}
