//! The transform of the source's tiles.
#![allow(unsafe_code)]

use super::kernels::padded;
use super::strips::{Strip, TileGrid, Window, lay};
use super::transform::{Maps, both};
use crate::ops::cpu::element::Element;
use crate::ops::cpu::tile::{self, VECTORS, lanes, load};
use pulp::{Arch, Simd, WithSimd};
use std::ops::Range;

/// The channels of one group in a batch of maps.
pub(super) struct GroupMaps<'a, T> {
    pub(super) image: &'a [T],
    pub(super) groups: usize,
    pub(super) group: usize,
    pub(super) channels: usize,
}

impl<T> GroupMaps<'_, T> {
    /// Of one image with maps of `size` elements.
    pub(super) fn of(&self, image: usize, size: usize) -> &[T] {
        &self.image[(image * self.groups + self.group) * self.channels * size..][..self.channels * size]
    }
}

/// Where transformed tiles lie: tile t, vector v of its channels and point e at
/// `e step + (t / panel) panel_step + (t % panel) row + (v / VECTORS) pair + (v % VECTORS) vector`.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    pub(super) step: usize,
    pub(super) panel: usize,
    pub(super) panel_step: usize,
    pub(super) row: usize,
    pub(super) pair: usize,
    pub(super) vector: usize,
}

impl Layout {
    /// `[panel of tiles][vector][tile]`: what a product reads as its left factor ([`tile::Left::Blocks`]).
    pub(super) fn panels<T: Element>(tiles: usize, vectors: usize) -> Self {
        let lanes = lanes::<T>();
        // As even as may be.
        let panel = tiles.div_ceil(tiles.div_ceil(tile::rows()).max(1));
        let vector = panel * lanes;
        let panel_step = vectors * vector;
        let step = tiles.div_ceil(panel) * panel_step + lanes;
        Self { step, panel, panel_step, row: lanes, pair: VECTORS * vector, vector }
    }

    /// `[pair of vectors][tile]`: what a product over the tiles reads as its right factor.
    pub(super) fn pairs<T: Element>(tiles: usize, vectors: usize) -> Self {
        let lanes = lanes::<T>();
        let (row, pair) = (VECTORS * lanes, tiles * VECTORS * lanes);
        let step = vectors.div_ceil(VECTORS) * pair + lanes;
        Self { step, panel: usize::MAX, panel_step: 0, row, pair, vector: lanes }
    }

    /// `[tile][channel]`: its left factor ([`tile::Left::Columns`]).
    pub(super) fn rows<T: Element>(tiles: usize, vectors: usize) -> Self {
        let (lanes, row) = (lanes::<T>(), padded::<T>(vectors));
        Self { step: tiles * row, panel: usize::MAX, panel_step: 0, row, pair: VECTORS * lanes, vector: lanes }
    }

    #[inline(always)]
    pub(super) fn at(&self, tile: usize, vector: usize) -> usize {
        let (panel, row) = (tile / self.panel, tile % self.panel);
        panel * self.panel_step + row * self.row + vector / VECTORS * self.pair + vector % VECTORS * self.vector
    }
}

/// Transforms the `P x P` inputs of some tiles ([`Maps::inward`]), which are tiles `first` and on of the layout. Vectors are those of
/// the channels of each phase of the grid's stride, phase after phase.
///
/// # Safety
/// The layout's place of these tiles must be valid for writes, and be no other task's.
pub(super) unsafe fn transform_tiles<T: Element, const P: usize, const N: usize>(
    grid: &TileGrid,
    origin: (isize, isize),
    planes: &GroupMaps<'_, T>,
    tiles: Range<usize>,
    (to, layout, mut first): (*mut T, Layout, usize),
) {
    let channels = planes.channels.next_multiple_of(lanes::<T>());
    for strip in grid.strips(tiles, channels) {
        let window = grid.reads(&strip, origin);
        let positions = window.positions();
        T::scratch((positions + 1) * channels, |copy| {
            copy[positions * channels..].fill(T::ZERO);
            let image = planes.of(strip.image, grid.source.0 * grid.source.1);
            lay(&window, (image, grid.source), planes.channels, (copy, channels));
            let (strip, window) = (&strip, &window);
            Arch::new().dispatch(InputTransform::<T, P, N> {
                grid,
                origin,
                strip,
                window,
                copy,
                channels,
                to,
                layout,
                first,
            });
        });
        first += strip.len();
    }
}

/// The transform of the tiles of a strip.
struct InputTransform<'a, T, const P: usize, const N: usize> {
    grid: &'a TileGrid,
    origin: (isize, isize),
    strip: &'a Strip,
    window: &'a Window,
    copy: &'a [T],
    channels: usize,
    /// Valid for writes of the tiles' place in the layout, which is no other task's.
    to: *mut T,
    layout: Layout,
    first: usize,
}

impl<T: Element, const P: usize, const N: usize> WithSimd for InputTransform<'_, T, P, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { grid, origin, strip, window, copy, channels, to, layout, first } = self;
        let (lanes, maps, zero) = (T::lanes::<S>(), Maps::new::<S, T>(s), T::splat(s, T::ZERO));
        let positions = window.positions();
        assert!(copy.len() >= (positions + 1) * channels && channels.is_multiple_of(lanes) && P == grid.inputs);
        let (vectors, stride) = (channels / lanes, grid.stride);
        let mut tile = first;
        for y in strip.rows.clone() {
            for x in strip.columns.clone() {
                for phase in 0..stride * stride {
                    let at = (origin.0 + (phase / stride) as isize, origin.1 + (phase % stride) as isize);
                    let inputs = grid.inputs(window, (y, x), at, positions);
                    for v in 0..vectors {
                        let mut d = [[zero; P]; P];
                        for i in 0..P {
                            for j in 0..P {
                                // SAFETY: a position of the copy, or the line of zeros after them, and a whole vector.
                                d[i][j] =
                                    unsafe { load::<S, T>(copy.as_ptr().add(inputs[i][j] * channels + v * lanes)) };
                            }
                        }
                        let u = both(
                            &d,
                            zero,
                            #[inline(always)]
                            |d| maps.inward::<S, T, P, N>(s, d),
                        );
                        let at = layout.at(tile, phase * vectors + v);
                        for e in 0..N * N {
                            // SAFETY: whoever made this vouches for the tiles' place.
                            unsafe {
                                let to = to.add(e * layout.step + at);
                                to.cast::<T::V<S>>().write_unaligned(u[e / N][e % N]);
                            }
                        }
                    }
                }
                tile += 1;
            }
        }
    }
}
