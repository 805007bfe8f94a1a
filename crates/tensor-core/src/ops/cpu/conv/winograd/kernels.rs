//! Transformed kernels, packed for the products.
#![allow(unsafe_code)]

use super::transform::{Maps, both};
use super::{Plan, sizes};
use crate::ops::cpu::element::{Element, Room};
use crate::ops::cpu::threads::{Shared, each};
use crate::ops::cpu::tile::{VECTORS, lanes, load};
use crate::ops::cpu::transpose::transpose;
use pulp::{Arch, Simd, WithSimd};

/// `G g Gt` of all kernels: `[point][panel of outputs][input][output]`, where a panel is [`VECTORS`] vectors wide. Inputs are
/// the channels of phase after phase.
pub(super) struct TransformedKernels<T: Element> {
    pub(super) outputs: usize,
    pub(super) channels: usize,
    /// Phases times channels.
    pub(super) inputs: usize,
    /// Elements from one point to the next.
    pub(super) step: usize,
    pub(super) data: Room<T>,
}

/// The distance of rows of some vectors of channels: one more, so that rows do not share a set of the cache.
pub(super) fn padded<T: Element>(vectors: usize) -> usize {
    (vectors + 1) * lanes::<T>()
}

impl<T: Element> TransformedKernels<T> {
    /// Of the taps `w[o output_step + c channel_step + tap]`: for each phase the taps whose numbers are given, row after row.
    pub(super) fn new(
        plan: Plan,
        (outputs, channels): (usize, usize),
        phases: &[Vec<usize>],
        w: &[T],
        steps: (usize, usize),
    ) -> Self {
        let panel = VECTORS * lanes::<T>();
        let (panels, inputs) = (outputs.div_ceil(panel), phases.len() * channels);
        // One more line, so that the points of one element do not share a set of the cache.
        let step = panels * inputs * panel + panel;
        let mut data = Room::new(plan.points() * step);
        let to = Shared(data.as_mut_ptr());
        let taps = phases.iter().flatten().max().map_or(0, |t| t + 1);
        assert!((outputs - 1) * steps.0 + (channels - 1) * steps.1 + taps <= w.len(), "kernels out of bounds");
        assert!(phases.iter().all(|p| p.len() == plan.r * plan.r), "kernels of another size");
        let run = channels.div_ceil(4).max(1);
        each(panels * 4, &|task| {
            let (at, first) = (task / 4, task % 4 * run);
            let channels = first.min(channels)..(first + run).min(channels);
            let source = Source { outputs, all: inputs / phases.len(), channels, phases, taps, w, steps };
            T::scratch(source.channels.len() * taps * panel, |laid| {
                source.lay(at * panel, laid);
                let to = to.at(at * inputs * panel);
                sizes!(plan, |N, R, M| Arch::new().dispatch(Transform::<T, N, R> { source: &source, laid, to, step }));
            });
        });
        Self { outputs, channels, inputs, step, data }
    }
}

struct Source<'a, T> {
    outputs: usize,
    /// Channels of the kernels, and those to transform.
    all: usize,
    channels: std::ops::Range<usize>,
    phases: &'a [Vec<usize>],
    /// Taps of a kernel that are read.
    taps: usize,
    w: &'a [T],
    steps: (usize, usize),
}

impl<T: Element> Source<'_, T> {
    /// The taps of one panel of outputs: `[channel][tap][output]`, zeros where there is no output.
    fn lay(&self, first: usize, to: &mut [T]) {
        let wide = VECTORS * lanes::<T>();
        let valid = wide.min(self.outputs - first);
        if valid < wide {
            to.fill(T::ZERO);
        }
        for (c, to) in self.channels.clone().zip(to.chunks_exact_mut(self.taps * wide)) {
            let from = &self.w[first * self.steps.0 + c * self.steps.1..];
            transpose((valid, self.taps), from, self.steps.0, to, wide);
        }
    }
}

/// One panel of outputs by some channels.
struct Transform<'a, T, const N: usize, const R: usize> {
    source: &'a Source<'a, T>,
    laid: &'a [T],
    /// The panel's place at point 0, and so at all points, which are `step` elements apart: valid for writes, and no other task's.
    to: *mut T,
    step: usize,
}

impl<T: Element, const N: usize, const R: usize> WithSimd for Transform<'_, T, N, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { source, laid, to, step } = self;
        let (lanes, maps, zero) = (T::lanes::<S>(), Maps::new::<S, T>(s), T::splat(s, T::ZERO));
        let panel = VECTORS * lanes;
        assert!(laid.len() >= source.channels.len() * source.taps * panel);
        for (at, c) in source.channels.clone().enumerate() {
            for (phase, order) in source.phases.iter().enumerate() {
                for v in 0..VECTORS {
                    let mut g = [[zero; R]; R];
                    for t in 0..R * R {
                        let from = (at * source.taps + order[t]) * panel + v * lanes;
                        // SAFETY: the assertion above bounds these: taps are below `taps`.
                        g[t / R][t % R] = unsafe { load::<S, T>(laid.as_ptr().add(from)) };
                    }
                    let u = both(
                        &g,
                        zero,
                        #[inline(always)]
                        |g| maps.kernel::<S, T, R, N>(s, g),
                    );
                    for e in 0..N * N {
                        // SAFETY: the panel's place at this point, as whoever made this says.
                        unsafe {
                            let to = to.add(e * step + (phase * source.all + c) * panel + v * lanes);
                            to.cast::<T::V<S>>().write_unaligned(u[e / N][e % N]);
                        }
                    }
                }
            }
        }
    }
}
