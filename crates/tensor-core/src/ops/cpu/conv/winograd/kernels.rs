//! Transformed kernels, packed for the products.
#![allow(unsafe_code)]

use super::transform::{Maps, both};
use super::{POINTS, TILE};
use crate::ops::cpu::element::Element;
use crate::ops::cpu::tile::{VECTORS, lanes, load};
use crate::ops::cpu::transpose::transpose;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// `G g Gt` of all kernels: `[point][panel of outputs][input][output]`, where a panel is [`VECTORS`] vectors wide.
pub(super) struct Kernels<T> {
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    /// Elements from one point to the next.
    pub(super) step: usize,
    pub(super) data: Vec<T>,
}

/// A pointer that tasks write disjoint parts through.
#[derive(Clone, Copy)]
pub(super) struct Shared<T>(pub(super) *mut T);
// SAFETY: each task writes, and reads, elements of its own.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Shared<T> {}

impl<T> Shared<T> {
    pub(super) fn at(&self, i: usize) -> *mut T {
        self.0.wrapping_add(i)
    }
}

impl<T: Element> Kernels<T> {
    /// Of the kernels `w[o output_step + i input_step + tap]`, turned by half where `turned`.
    pub(super) fn new(
        r: usize,
        (outputs, inputs): (usize, usize),
        turned: bool,
        w: &[T],
        steps: (usize, usize),
    ) -> Self {
        let panel = VECTORS * lanes::<T>();
        let panels = outputs.div_ceil(panel);
        // One more line, so that the points of one element do not share a set of the cache.
        let step = panels * inputs * panel + panel;
        let mut data: Vec<T> = Vec::with_capacity(POINTS * step);
        let to = Shared(data.as_mut_ptr());
        let source = Source { r, outputs, inputs, turned, w, steps };
        assert!((outputs - 1) * steps.0 + (inputs - 1) * steps.1 + r * r <= w.len(), "kernels out of bounds");
        let run = inputs.div_ceil(4).max(1);
        (0..panels * 4).into_par_iter().for_each(|task| {
            let (panel, first) = (task / 4, task % 4 * run);
            let inputs = first.min(source.inputs)..(first + run).min(source.inputs);
            let to = to.at(panel * source.inputs * VECTORS * lanes::<T>());
            T::scratch(inputs.len() * r * r * VECTORS * lanes::<T>(), |taps| {
                source.lay(panel, inputs.clone(), taps);
                Arch::new().dispatch(Transform { source: &source, inputs, taps, to, step });
            });
        });
        // SAFETY: the tasks have written every panel; the line between points, which is not read, is plain numbers.
        unsafe {
            (0..POINTS).for_each(|e| data.as_mut_ptr().add((e + 1) * step - panel).write_bytes(0, panel));
            data.set_len(POINTS * step);
        }
        Self { outputs, inputs, step, data }
    }
}

struct Source<'a, T> {
    r: usize,
    outputs: usize,
    inputs: usize,
    turned: bool,
    w: &'a [T],
    steps: (usize, usize),
}

impl<T: Element> Source<'_, T> {
    /// The taps of one panel of outputs and some inputs: `[input][tap][output]`, zeros where there is no output.
    fn lay(&self, panel: usize, inputs: std::ops::Range<usize>, to: &mut [T]) {
        let (wide, taps) = (VECTORS * lanes::<T>(), self.r * self.r);
        let first = panel * wide;
        let valid = wide.min(self.outputs - first);
        if valid < wide {
            to.fill(T::ZERO);
        }
        for (i, to) in inputs.zip(to.chunks_exact_mut(taps * wide)) {
            let from = &self.w[first * self.steps.0 + i * self.steps.1..];
            transpose((valid, taps), from, self.steps.0, to, wide);
        }
    }
}

/// One panel of outputs by some inputs.
struct Transform<'a, T> {
    source: &'a Source<'a, T>,
    inputs: std::ops::Range<usize>,
    taps: &'a [T],
    /// The panel's place at point 0; points are `step` elements apart.
    to: *mut T,
    step: usize,
}

impl<T: Element> WithSimd for Transform<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        match self.source.r {
            3 => self.run::<S, 3>(s),
            _ => self.run::<S, 5>(s),
        }
    }
}

impl<T: Element> Transform<'_, T> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, s: S) {
        let Self { source, inputs, taps, to, step } = self;
        let (lanes, maps, zero) = (T::lanes::<S>(), Maps::new::<S, T>(s), T::splat(s, T::ZERO));
        let panel = VECTORS * lanes;
        assert!(taps.len() >= inputs.len() * R * R * panel);
        for (at, i) in inputs.enumerate() {
            for v in 0..VECTORS {
                let mut g = [[zero; R]; R];
                for t in 0..R * R {
                    let from = if source.turned { R * R - 1 - t } else { t };
                    // SAFETY: the assertion above bounds these.
                    g[t / R][t % R] =
                        unsafe { load::<S, T>(taps.as_ptr().add((at * R * R + from) * panel + v * lanes)) };
                }
                let u = both(
                    &g,
                    zero,
                    #[inline(always)]
                    |g| maps.kernel::<S, T, R>(s, g),
                );
                for e in 0..POINTS {
                    // SAFETY: the panel's place at this point, as the caller says.
                    unsafe {
                        let to = to.add(e * step + i * panel + v * lanes);
                        to.cast::<T::V<S>>().write_unaligned(u[e / TILE][e % TILE]);
                    }
                }
            }
        }
    }
}
