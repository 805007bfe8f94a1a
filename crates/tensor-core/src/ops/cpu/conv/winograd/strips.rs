//! The tiles of a correlation, and copies of the source's parts that they read, channels innermost.
#![allow(unsafe_code)]

use super::TILE;
use crate::ops::cpu::element::Element;
use crate::ops::cpu::transpose::transpose;
use std::ops::Range;

/// Elements of a strip's copy that should stay in the second-level cache.
const STRIP: usize = 1 << 16;

/// How one axis pair of a correlation of `r x r` taps is cut into tiles of `m = 7 - r` results.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    /// Rows and columns of the source.
    pub(super) source: (usize, usize),
    /// The source's position under the first tap of the first result: minus the padding.
    pub(super) origin: (isize, isize),
    /// Rows and columns of the result.
    pub(super) out: (usize, usize),
    /// Results of a tile along each axis.
    pub(super) m: usize,
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

/// A rectangle of a map, and how far its copy's rows are apart in positions.
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

impl Grid {
    /// Rows and columns of tiles.
    pub(super) fn tiles(&self) -> (usize, usize) {
        (self.out.0.div_ceil(self.m), self.out.1.div_ceil(self.m))
    }

    pub(super) fn per_image(&self) -> usize {
        self.tiles().0 * self.tiles().1
    }

    /// Cuts the tiles `range` of a batch into strips whose copies with `channels` channels are not too large.
    pub(super) fn strips(&self, range: Range<usize>, channels: usize) -> Vec<Strip> {
        let (high, wide) = self.tiles();
        let row = self.m * self.out.1.max(self.source.1) * channels;
        let (most_rows, most_columns) = ((STRIP / row).max(1), (STRIP / (TILE * self.m * channels)).max(4));
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

    /// The part of the source that a strip reads.
    pub(super) fn reads(&self, strip: &Strip) -> Window {
        let axis = |tiles: &Range<usize>, origin: isize, len: usize| {
            let clip = |i: isize| i.clamp(0, len as isize) as usize;
            let last = ((tiles.end - 1) * self.m + TILE) as isize;
            clip((tiles.start * self.m) as isize + origin)..clip(last + origin)
        };
        Window {
            rows: axis(&strip.rows, self.origin.0, self.source.0),
            columns: axis(&strip.columns, self.origin.1, self.source.1),
        }
    }

    /// The part of the result that a strip writes.
    pub(super) fn writes(&self, strip: &Strip) -> Window {
        let axis = |tiles: &Range<usize>, len: usize| tiles.start * self.m..(tiles.end * self.m).min(len);
        Window { rows: axis(&strip.rows, self.out.0), columns: axis(&strip.columns, self.out.1) }
    }

    /// Where the inputs of a tile are in the copy of a window; `outside` for those in the padding.
    #[inline(always)]
    pub(super) fn inputs(&self, window: &Window, (y, x): (usize, usize), outside: usize) -> [[usize; TILE]; TILE] {
        let (y, x) = ((y * self.m) as isize + self.origin.0, (x * self.m) as isize + self.origin.1);
        std::array::from_fn(|i| std::array::from_fn(|j| window.at(y + i as isize, x + j as isize).unwrap_or(outside)))
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
