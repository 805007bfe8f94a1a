//! Winograd's method: a correlation of 3x3 (5x5) taps on tiles of 4x4 (2x2) results by 36 products of matrices, one for
//! each element of the transformed tiles of 6x6, instead of 144 (100) multiplications for each pair of channels.
//!
//! Lavin & Gray, "Fast algorithms for convolutional neural networks", 2016 (arXiv 1509.09308). In 32 bits only: with the points of
//! `transform` the error is about twice that of the direct sum (tested below against 64 bits), in which the sums are direct and check
//! these. The choice between the two depends on the sizes of one example, and a tile's sums on the tile
//! alone; so an example's bytes do not depend on the batch or on the number of threads.
#![allow(unsafe_code)]

mod correlate;
mod kernels;
mod strips;
mod to_weight;
mod transform;

#[cfg(test)]
mod tests;

use super::Geometry;
use crate::ops::cpu::element::Element;
use correlate::Correlation;
use kernels::Kernels;
use strips::Grid;

/// Inputs of a tile along each axis.
const TILE: usize = 6;
/// Elements of a transformed tile.
const POINTS: usize = TILE * TILE;
/// Channels below which the transforms cost more than the products save.
const FEW: usize = 16;

impl Geometry {
    /// Whether the method applies, and pays: for all three maps together.
    pub(super) fn winograd<T: Element>(&self) -> bool {
        let r = self.kernel.0;
        let plain = self.stride == (1, 1) && self.dilation == (1, 1) && self.kernel == (r, r);
        if size_of::<T>() != 4 || !plain || !matches!(r, 3 | 5) || self.channels.min(self.out_channels) < FEW {
            return false;
        }
        // Results that the tiles compute for each that is wanted.
        let m = TILE + 1 - r;
        let (y, x) = (self.out.0.div_ceil(m), self.out.1.div_ceil(m));
        let (tiles, direct) = (y * x * POINTS, self.out.0 * self.out.1 * r * r);
        tiles * 3 <= direct * 2 && self.padding.0 < r && self.padding.1 < r
    }

    fn grid(&self, source: (usize, usize), out: (usize, usize), padding: (usize, usize)) -> Grid {
        let origin = (-(padding.0 as isize), -(padding.1 as isize));
        Grid { source, origin, out, m: TILE + 1 - self.kernel.0 }
    }

    /// [`Geometry::forward`].
    pub(super) fn winograd_forward<T: Element>(
        &self,
        x: &[T],
        w: &[T],
        bias: Option<&[T]>,
        slope: Option<f64>,
    ) -> Vec<T> {
        let (c, o, taps) = (self.channels, self.out_channels, self.taps());
        let kernels = |w: &[T]| Kernels::new(self.kernel.0, (o, c), false, w, (c * taps, taps));
        Correlation {
            grid: self.grid(self.image, self.out, self.padding),
            batch: self.batch,
            channels: c,
            groups: w.chunks_exact(o * c * taps).map(kernels).collect(),
            slope: slope.map(T::from_f64),
        }
        .run(x, bias)
    }

    /// [`Geometry::input_grad`]: the correlation of `gy` with the kernels turned by half.
    pub(super) fn winograd_input_grad<T: Element>(&self, gy: &[T], w: &[T], bias: Option<&[T]>) -> Vec<T> {
        let (c, o, taps, r) = (self.channels, self.out_channels, self.taps(), self.kernel.0);
        let kernels = |w: &[T]| Kernels::new(r, (c, o), true, w, (taps, c * taps));
        Correlation {
            grid: self.grid(self.out, self.image, (r - 1 - self.padding.0, r - 1 - self.padding.1)),
            batch: self.batch,
            channels: o,
            groups: w.chunks_exact(o * c * taps).map(kernels).collect(),
            slope: None,
        }
        .run(gy, bias)
    }
}
