//! Transformed kernels, packed for the products.
#![allow(unsafe_code)]

use super::transform::{Maps, both};
use super::{Plan, sizes};
use crate::ops::cpu::element::{Element, Room};
use crate::ops::cpu::threads::{Shared, each};
use crate::ops::cpu::tile::{VECTORS, lanes, load};
use crate::ops::cpu::transpose::transpose;
use pulp::{Arch, Simd, WithSimd};
use std::ops::Range;

/// The kernels of a group: `w[o steps.0 + c steps.1 + tap]`, and for each phase of the stride the numbers of its taps, row after row.
pub(super) struct Kernels<'a, T> {
    pub(super) plan: Plan,
    pub(super) outputs: usize,
    pub(super) channels: usize,
    pub(super) taps: &'a [Vec<usize>],
    pub(super) w: &'a [T],
    pub(super) steps: (usize, usize),
}

/// `G g Gt` of all kernels: `[point][panel of outputs][input][output]`, where a panel is [`VECTORS`] vectors wide. Inputs are
/// the channels of phase after phase.
pub(super) struct TransformedKernels<T: Element> {
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

impl<T: Element> Kernels<'_, T> {
    /// Taps of a kernel, up to the last that is read.
    fn read(&self) -> usize {
        self.taps.iter().flatten().max().map_or(0, |t| t + 1)
    }

    /// Transforms all kernels.
    pub(super) fn transformed(&self) -> TransformedKernels<T> {
        let panel = VECTORS * lanes::<T>();
        let (panels, inputs) = (self.outputs.div_ceil(panel), self.taps.len() * self.channels);
        // One more line, so that the points of one element do not share a set of the cache.
        let step = panels * inputs * panel + panel;
        let mut data = Room::new(self.plan.points() * step);
        let to = Shared(data.as_mut_ptr());
        let run = self.channels.div_ceil(4).max(1);
        each(panels * 4, &|task| {
            let (at, first) = (task / 4, task % 4 * run);
            let channels = first.min(self.channels)..(first + run).min(self.channels);
            let to = to.at((at * inputs + channels.start) * panel);
            // SAFETY: the place of these kernels at all points, which no other task writes.
            unsafe { self.transform(at * panel, channels, (to, step, self.channels)) }
        });
        TransformedKernels { inputs, step, data }
    }

    /// Transforms some channels of a panel of outputs. At point e, channel c of a phase goes to
    /// `e step + (phase phase_step + c - channels.start) panel`.
    ///
    /// # Safety
    /// These places, each of a panel's outputs, must be valid for writes, and no other task's.
    pub(super) unsafe fn transform(
        &self,
        first: usize,
        channels: Range<usize>,
        (to, step, phase_step): (*mut T, usize, usize),
    ) {
        let (taps, plan) = (self.read(), self.plan);
        assert!(self.taps.iter().all(|p| p.len() == plan.r * plan.r), "kernels of another size");
        let last = |n: usize, step: usize| n.saturating_sub(1) * step;
        let end = last(self.outputs, self.steps.0) + last(self.channels, self.steps.1) + taps;
        assert!(end <= self.w.len() && channels.end <= self.channels, "kernels out of bounds");
        T::scratch(channels.len() * taps * VECTORS * lanes::<T>(), |laid| {
            self.lay(first, channels.clone(), laid);
            let laid = (&*laid, channels.len(), taps);
            sizes!(plan, |N, R, M| {
                Arch::new().dispatch(Transform::<T, N, R> { orders: self.taps, laid, to, step, phase_step });
            });
        });
    }

    /// The taps of one panel of outputs: `[channel][tap][output]`, zeros where there is no output.
    fn lay(&self, first: usize, channels: Range<usize>, to: &mut [T]) {
        let (wide, taps) = (VECTORS * lanes::<T>(), self.read());
        let valid = wide.min(self.outputs - first);
        if valid < wide {
            to.fill(T::ZERO);
        }
        for (c, to) in channels.zip(to.chunks_exact_mut(taps * wide)) {
            let from = &self.w[first * self.steps.0 + c * self.steps.1..];
            transpose((valid, taps), from, self.steps.0, to, wide);
        }
    }
}

/// Some channels of one panel of outputs.
struct Transform<'a, T, const N: usize, const R: usize> {
    orders: &'a [Vec<usize>],
    /// The taps, and the numbers of channels and of taps.
    laid: (&'a [T], usize, usize),
    /// As [`Kernels::transform`] says.
    to: *mut T,
    step: usize,
    phase_step: usize,
}

impl<T: Element, const N: usize, const R: usize> WithSimd for Transform<'_, T, N, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { orders, laid: (laid, channels, taps), to, step, phase_step } = self;
        let (lanes, maps, zero) = (T::lanes::<S>(), Maps::new::<S, T>(s), T::splat(s, T::ZERO));
        let panel = VECTORS * lanes;
        assert!(laid.len() >= channels * taps * panel);
        for c in 0..channels {
            for (phase, order) in orders.iter().enumerate() {
                for v in 0..VECTORS {
                    let mut g = [[zero; R]; R];
                    for t in 0..R * R {
                        let from = (c * taps + order[t]) * panel + v * lanes;
                        // SAFETY: the assertion above bounds these: an order's numbers are below `taps`.
                        g[t / R][t % R] = unsafe { load::<S, T>(laid.as_ptr().add(from)) };
                    }
                    let u = both(
                        &g,
                        zero,
                        #[inline(always)]
                        |g| maps.kernel::<S, T, R, N>(s, g),
                    );
                    for e in 0..N * N {
                        // SAFETY: the channel's place at this point, as whoever made this says.
                        unsafe {
                            let to = to.add(e * step + (phase * phase_step + c) * panel + v * lanes);
                            to.cast::<T::V<S>>().write_unaligned(u[e / N][e % N]);
                        }
                    }
                }
            }
        }
    }
}
