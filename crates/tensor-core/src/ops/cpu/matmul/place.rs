//! Where the result of a product lies.

use std::ops::Range;

/// Element (i, j) of a result is at `i * row` plus the place of column j. The columns are those of a matrix, side by side, or the
/// positions of a batch of maps, image after image and line after line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) row: usize,
    pub(crate) maps: Option<Maps>,
}

/// Positions of a batch of maps, or some of them: those of a grid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Maps {
    /// Lines, and positions of each.
    pub(crate) size: (usize, usize),
    /// The place of the first, and the distances of images, of lines and of positions.
    pub(crate) first: usize,
    pub(crate) image: usize,
    pub(crate) line: usize,
    pub(crate) position: usize,
}

impl Maps {
    fn at(&self, column: usize) -> usize {
        let (h, w) = self.size;
        let (line, x) = (column / w, column % w);
        self.first + line / h * self.image + line % h * self.line + x * self.position
    }
}

impl Place {
    /// A matrix with rows of `n`.
    pub(crate) fn matrix(n: usize) -> Self {
        Self { row: n, maps: None }
    }

    /// The places of some columns in rising order; `None` for a matrix, whose columns are in their own places.
    pub(super) fn columns(&self, range: Range<usize>) -> Option<Vec<usize>> {
        self.maps.map(|maps| range.map(|j| maps.at(j)).collect())
    }
}
