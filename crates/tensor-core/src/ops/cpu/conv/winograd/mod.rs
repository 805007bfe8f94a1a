//! Winograd's method: a correlation of 3x3 taps on tiles of 4x4 results by 36 products of matrices, one for each element of the
//! transformed tiles, instead of 144 multiplications for each pair of channels; of 5x5 taps on 2x2 results by 36 instead of 100;
//! of 4x4 taps with stride 2, which are 2x2 taps on each of four phases, on 4x4 results by 4 x 25 instead of 256.
//!
//! Lavin & Gray, "Fast algorithms for convolutional neural networks", 2016 (arXiv 1509.09308). In 32 bits only: with the points of
//! `transform` the error is one to three times that of the direct sum (`tests`, against sums in 64 bits, which stay direct). The choice
//! between the two depends on the sizes of one example, and a tile's sums on the tile alone; so an example's bytes do not depend on
//! the batch or on the number of threads. A value that is not finite spreads to its whole tile.
#![allow(unsafe_code)]

mod by_outputs;
mod by_tiles;
mod correlate;
mod input;
mod kernels;
mod output;
mod strips;
mod to_weight;
mod transform;

#[cfg(test)]
mod tests;

use super::Geometry;
use crate::ops::Rectifier;
use crate::ops::cpu::element::Element;
use crate::ops::cpu::elementwise::Rectify;
use correlate::{Phase, TiledCorrelation};
use strips::TileGrid;

/// Channels below which the transforms cost more than the products save.
const FEW: usize = 16;

/// The sizes of the method for one convolution.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Taps of each phase of the stride along an axis, results of a tile, and points: `n = m + r - 1`.
    r: usize,
    m: usize,
    n: usize,
    stride: usize,
}

impl Plan {
    /// Points of a tile in both dimensions.
    fn points(&self) -> usize {
        self.n * self.n
    }
}

/// Runs `$body` for the plan's points N, taps R and results M of a tile.
macro_rules! sizes {
    ($plan:expr, |$n:ident, $r:ident, $m:ident| $body:expr) => {
        match $plan.r {
            2 => sizes!(5, 2, 4, |$n, $r, $m| $body),
            3 => sizes!(6, 3, 4, |$n, $r, $m| $body),
            _ => sizes!(6, 5, 2, |$n, $r, $m| $body),
        }
    };
    ($points:literal, $taps:literal, $results:literal, |$n:ident, $r:ident, $m:ident| $body:expr) => {{
        const $n: usize = $points;
        const $r: usize = $taps;
        const $m: usize = $results;
        // Not every body needs all three.
        let _ = ($n, $r, $m);
        $body
    }};
}
use sizes;

impl Geometry {
    /// The method's sizes where it applies and pays, for all three maps together; never in 64 bits.
    fn plan(&self) -> Option<Plan> {
        let (k, stride) = (self.kernel.0, self.stride.0);
        let square = self.kernel == (k, k) && self.stride == (stride, stride) && self.dilation == (1, 1);
        if !square || self.channels.min(self.out_channels) < FEW {
            return None;
        }
        let (r, m) = match (k, stride) {
            (3, 1) => (3, 4),
            (5, 1) => (5, 2),
            (4, 2) => (2, 4),
            _ => return None,
        };
        let plan = Plan { r, m, n: m + r - 1, stride };
        // Multiplications, with those for results past the border.
        let work = |map: (usize, usize)| map.0.div_ceil(m) * map.1.div_ceil(m) * plan.points() * stride * stride;
        let direct = self.out.0 * self.out.1 * k * k;
        let image = (self.image.0.div_ceil(stride), self.image.1.div_ceil(stride));
        let pays = work(self.out).max(work(image)) * 3 <= direct * 2;
        (pays && self.padding.0 < k && self.padding.1 < k).then_some(plan)
    }

    /// [`Geometry::forward`], where the method pays.
    pub(super) fn winograd_forward<T: Element>(
        &self,
        x: &[T],
        w: &[T],
        bias: Option<&[T]>,
        rectify: Option<Rectifier>,
    ) -> Option<Vec<T>> {
        // Known when compiled, so that no code is generated for 64 bits.
        if const { size_of::<T>() != 4 } {
            return None;
        }
        let plan = self.plan()?;
        let (c, o, taps) = (self.channels, self.out_channels, self.taps());
        let origin = (-(self.padding.0 as isize), -(self.padding.1 as isize));
        let correlation = TiledCorrelation {
            plan,
            grid: self.source_grid(plan),
            batch: self.batch,
            groups: self.groups,
            channels: c,
            outputs: o,
            phases: vec![Phase { origin, first: (0, 0), taps: self.phase_taps(plan) }],
            steps: (c * taps, taps),
            rectify: rectify.map(Rectify::new),
        };
        Some(correlation.run(x, w, bias))
    }

    /// [`Geometry::input_grad`], where the method pays: for each phase of the stride the correlation of `gy` with its taps in reverse.
    pub(super) fn winograd_input_grad<T: Element>(&self, gy: &[T], w: &[T], bias: Option<&[T]>) -> Option<Vec<T>> {
        // Known when compiled, so that no code is generated for 64 bits.
        if const { size_of::<T>() != 4 } {
            return None;
        }
        let plan = self.plan()?;
        let (c, o, taps) = (self.channels, self.out_channels, self.taps());
        let phase = |(first, of, order): ((usize, usize), super::Taps, Vec<usize>)| {
            // The taps' offsets fall with their numbers, so the last has the least.
            let origin = of.offsets[of.offsets.len() - 1];
            Phase { origin, first, taps: vec![order.into_iter().rev().collect()] }
        };
        let correlation = TiledCorrelation {
            plan,
            grid: TileGrid {
                source: self.out,
                out: self.image,
                m: plan.m,
                inputs: plan.n,
                stride: 1,
                step: plan.stride,
            },
            batch: self.batch,
            groups: self.groups,
            channels: o,
            outputs: c,
            phases: self.phases().flatten().map(phase).collect(),
            steps: (taps, c * taps),
            rectify: None,
        };
        Some(correlation.run(gy, w, bias))
    }

    /// Tiles of the result, which read the image.
    fn source_grid(&self, plan: Plan) -> TileGrid {
        TileGrid { source: self.image, out: self.out, m: plan.m, inputs: plan.n, stride: plan.stride, step: 1 }
    }

    /// The numbers of each phase's taps in a kernel.
    fn phase_taps(&self, plan: Plan) -> Vec<Vec<usize>> {
        let (r, s) = (plan.r, plan.stride);
        let taps = |y: usize, x: usize| (0..r * r).map(|t| (t / r * s + y) * self.kernel.1 + t % r * s + x).collect();
        (0..s * s).map(|phase| taps(phase / s, phase % s)).collect()
    }
}
