//! The tiles of a correlation, and copies of the source's parts that they read, channels innermost.
#![allow(unsafe_code)]

use crate::ops::cpu::element::Element;
use crate::ops::cpu::transpose::transpose;
use std::ops::Range;

/// Elements of a strip's copy that should stay in the second-level cache.
const STRIP: usize = 1 << 16;
/// The most points of a tile along an axis.
pub(super) const MOST_POINTS: usize = 6;

/// How a correlation is cut into tiles of `m x m` results, or of `m x m` for each phase of a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct TileGrid {
    /// Rows and columns of the source, and of the result.
    pub(super) source: (usize, usize),
    pub(super) out: (usize, usize),
    /// Results of a tile, and the inputs they need of each phase, along each axis.
    pub(super) m: usize,
    pub(super) inputs: usize,
    /// Positions of the source between a tile's inputs: as many phases of the source are read.
    pub(super) stride: usize,
    /// Positions of the result between a tile's results: as many phases are written.
    pub(super) step: usize,
}

/// A rectangle of neighbouring tiles of one image.
#[derive(Clone, Debug)]
pub(super) struct Strip {
    pub(super) image: usize,
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
}

impl Strip {
    pub(super) fn len(&self) -> usize {
        self.rows.len() * self.columns.len()
    }
}

/// A rectangle of a map, copied row after row.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
}

impl Window {
    pub(super) fn positions(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    /// The position's number in the copy, or `None` outside.
    #[inline(always)]
    fn at(&self, y: isize, x: isize) -> Option<usize> {
        let inside = |r: &Range<usize>, i: isize| i >= r.start as isize && i < r.end as isize;
        (inside(&self.rows, y) && inside(&self.columns, x))
            .then(|| (y as usize - self.rows.start) * self.columns.len() + x as usize - self.columns.start)
    }
}

impl TileGrid {
    /// Rows and columns of tiles.
    pub(super) fn tiles(&self) -> (usize, usize) {
        let each = self.m * self.step;
        (self.out.0.div_ceil(each), self.out.1.div_ceil(each))
    }

    pub(super) fn per_image(&self) -> usize {
        self.tiles().0 * self.tiles().1
    }

    /// Cuts the tiles `range` of a batch into strips whose copies with `channels` channels are not too large.
    pub(super) fn strips(&self, range: Range<usize>, channels: usize) -> Vec<Strip> {
        let (high, wide) = self.tiles();
        let (across, tile) = (self.out.1.max(self.source.1), self.m * self.step.max(self.stride));
        let most_rows = (STRIP / (tile * across * channels)).max(1);
        let most_columns = (STRIP / (tile * tile * 2 * channels)).max(4);
        let mut strips = Vec::new();
        let mut t = range.start;
        while t < range.end {
            let (image, y, x) = (t / (high * wide), t / wide % high, t % wide);
            let left = range.end - t;
            let rows = (left / wide).min(high - y).min(most_rows);
            let strip = if x == 0 && rows > 0 && (rows > 1 || wide <= most_columns) {
                Strip { image, rows: y..y + rows, columns: 0..wide }
            } else {
                Strip { image, rows: y..y + 1, columns: x..(x + left.min(most_columns)).min(wide) }
            };
            t += strip.len();
            strips.push(strip);
        }
        strips
    }

    /// The part of the source that a strip reads, where `origin` is the position under the first input of the first tile.
    pub(super) fn reads(&self, strip: &Strip, origin: (isize, isize)) -> Window {
        let axis = |tiles: &Range<usize>, origin: isize, len: usize| {
            let clip = |i: usize| (i as isize + origin).clamp(0, len as isize) as usize;
            clip(tiles.start * self.m * self.stride)..clip(((tiles.end - 1) * self.m + self.inputs) * self.stride)
        };
        Window {
            rows: axis(&strip.rows, origin.0, self.source.0),
            columns: axis(&strip.columns, origin.1, self.source.1),
        }
    }

    /// The part of the result that a strip writes.
    pub(super) fn writes(&self, strip: &Strip) -> Window {
        let each = self.m * self.step;
        let axis = |tiles: &Range<usize>, len: usize| tiles.start * each..(tiles.end * each).min(len);
        Window { rows: axis(&strip.rows, self.out.0), columns: axis(&strip.columns, self.out.1) }
    }

    /// Where a tile's inputs of one phase are in the copy of a window; `outside` for those in the padding.
    #[inline(always)]
    pub(super) fn inputs(
        &self,
        window: &Window,
        (y, x): (usize, usize),
        (top, left): (isize, isize),
        outside: usize,
    ) -> [[usize; MOST_POINTS]; MOST_POINTS] {
        let at = |tile: usize, i: usize, first: isize| ((tile * self.m + i) * self.stride) as isize + first;
        let mut all = [[outside; MOST_POINTS]; MOST_POINTS];
        for (i, row) in all.iter_mut().enumerate().take(self.inputs) {
            for (j, to) in row.iter_mut().enumerate().take(self.inputs) {
                *to = window.at(at(y, i, top), at(x, j, left)).unwrap_or(outside);
            }
        }
        all
    }
}

/// Copies a window of an image `(channels, h, w)`, channels innermost and `step` elements between positions.
pub(super) fn lay<T: Element>(
    window: &Window,
    (image, (h, w)): (&[T], (usize, usize)),
    channels: usize,
    (to, step): (&mut [T], usize),
) {
    let wide = window.columns.len();
    if wide == 0 {
        return;
    }
    let mut part = |from: usize, at: usize, n: usize| {
        transpose((channels, n), &image[from..], h * w, &mut to[at * step..], step);
    };
    if wide == w {
        part(window.rows.start * w, 0, window.positions());
    } else {
        for (i, y) in window.rows.clone().enumerate() {
            part(y * w + window.columns.start, i * wide, wide);
        }
    }
}
