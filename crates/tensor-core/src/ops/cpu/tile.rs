//! The innermost kernel: a small tile of a matrix product, held in registers.
//!
//! Each element of the tile is one chain of fused multiply-adds in the order of the sum. The chain starts at zero, at a bias,
//! or at the present value of the result. So results are bit-identical for every size of the tile and for every partition
//! into blocks, and on all machines with fused multiply-add.
#![allow(unsafe_code)]

use super::element::Element;
use pulp::{Arch, Simd, WithSimd};

/// Vectors per row of a tile.
pub(crate) const VECTORS: usize = 2;
/// The most rows of a tile on any machine.
pub(crate) const MAX_ROWS: usize = 12;

/// The most lanes of a vector on any machine.
pub(crate) const MAX_LANES: usize = 16;

/// Elements of the largest tile on any machine.
pub(crate) const MOST: usize = MAX_ROWS * VECTORS * MAX_LANES;

/// Rows of a tile that the machine's registers hold.
pub(crate) const fn max_rows<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { MAX_ROWS } else { 6 }
}

/// [`max_rows`] on this machine.
pub(crate) fn rows() -> usize {
    struct Rows;
    impl WithSimd for Rows {
        type Output = usize;
        fn with_simd<S: Simd>(self, _: S) -> usize {
            max_rows::<S>()
        }
    }
    Arch::new().dispatch(Rows)
}

/// Elements of a vector on this machine.
pub(crate) fn lanes<T: Element>() -> usize {
    struct Lanes<T>(std::marker::PhantomData<T>);
    impl<T: Element> WithSimd for Lanes<T> {
        type Output = usize;
        fn with_simd<S: Simd>(self, _: S) -> usize {
            T::lanes::<S>()
        }
    }
    Arch::new().dispatch(Lanes::<T>(std::marker::PhantomData))
}

/// Where the sums of a tile start.
#[derive(Clone, Copy)]
pub(crate) enum Start<T> {
    /// At zero.
    Zero,
    /// At `bias[i]` for row i.
    Bias(*const T),
    /// At `bias[j]` for element j of every row, over the valid parts of the vectors side by side.
    Columns(*const T),
    /// At the present value of the result.
    Result,
}

/// Where element (i, k) of the factor that is broadcast lies.
#[derive(Clone, Copy)]
pub(crate) enum Left<'a> {
    /// At `i + k rows`.
    Packed,
    /// At `i + steps[k]`.
    Columns(&'a [usize]),
    /// At `i lanes + steps[k]`.
    Blocks(&'a [usize]),
}

const PACKED: u8 = 0;
const COLUMNS: u8 = 1;
const BLOCKS: u8 = 2;

/// `c[i, j] = start + sum_k a[i, k] b[offset_k + j]` for the rows of a tile and its one or two vectors.
#[derive(Clone, Copy)]
pub(crate) struct Tile<'a, T> {
    /// The factor that is broadcast.
    pub(crate) a: *const T,
    pub(crate) left: Left<'a>,
    /// The factor read in vectors: vector j of step k at `offsets[k] + j * b_vector`.
    pub(crate) b: *const T,
    pub(crate) offsets: &'a [usize],
    pub(crate) b_vector: usize,
    /// The result: row i, vector j at `i * c_row + j * c_vector`.
    pub(crate) c: *mut T,
    pub(crate) c_row: usize,
    pub(crate) c_vector: usize,
    /// Elements of each vector that are written.
    pub(crate) valid: [usize; VECTORS],
    pub(crate) start: Start<T>,
    /// The address of the next tile's result, which is prefetched; it need not be valid.
    pub(crate) next: *const T,
    /// What tiles after this one read: one cache line with each step is fetched into the second-level cache, from here on. The addresses need
    /// not be valid.
    pub(crate) ahead: *const T,
}

struct Fixed<'a, T, const R: usize, const V: usize, const LEFT: u8>(Tile<'a, T>);

/// A whole vector from an address.
///
/// # Safety
/// The address must be valid for reads of a vector.
#[inline(always)]
pub(crate) unsafe fn load<S: Simd, T: Element>(p: *const T) -> T::V<S> {
    // SAFETY: the caller vouches for it.
    unsafe { p.cast::<T::V<S>>().read_unaligned() }
}

// A tile with parts of vectors goes through memory, `edge`; one of whole vectors goes straight from and to the result.
#[allow(clippy::needless_range_loop)] // fixed indices keep the tile in registers
impl<T: Element, const R: usize, const V: usize, const LEFT: u8> Fixed<'_, T, R, V, LEFT> {
    /// The sums as they start.
    ///
    /// # Safety
    /// As [`run`].
    #[inline(always)]
    unsafe fn begin<S: Simd>(&self, s: S, full: bool) -> [[T::V<S>; V]; R] {
        let Tile { c, c_row, c_vector, valid, start, .. } = self.0;
        let lanes = T::lanes::<S>();
        let mut acc = [[T::splat(s, T::ZERO); V]; R];
        // SAFETY: every address below is one that `run`'s caller vouches for.
        unsafe {
            match start {
                Start::Zero => {}
                Start::Bias(bias) => {
                    for i in 0..R {
                        acc[i] = [T::splat(s, *bias.add(i)); V];
                    }
                }
                Start::Columns(bias) => {
                    let mut v = [T::splat(s, T::ZERO); V];
                    for j in 0..V {
                        v[j] = T::load_part(s, bias.add(j * lanes), valid[j]);
                    }
                    acc = [v; R];
                }
                Start::Result => {
                    let mut edge = [[T::splat(s, T::ZERO); V]; R];
                    let (from, row, vector) = if full {
                        (c.cast_const(), c_row, c_vector)
                    } else {
                        for (i, row) in edge.iter_mut().enumerate() {
                            for (j, v) in row.iter_mut().enumerate() {
                                *v = T::load_part(s, c.add(i * c_row + j * c_vector), valid[j]);
                            }
                        }
                        (edge.as_ptr().cast(), V * lanes, lanes)
                    };
                    for i in 0..R {
                        for j in 0..V {
                            acc[i][j] = load::<S, T>(from.add(i * row + j * vector));
                        }
                    }
                }
            }
        }
        acc
    }

    /// Writes the sums to the result.
    ///
    /// # Safety
    /// As [`run`].
    #[inline(always)]
    unsafe fn finish<S: Simd>(&self, s: S, full: bool, acc: [[T::V<S>; V]; R]) {
        let Tile { c, c_row, c_vector, valid, .. } = self.0;
        let lanes = T::lanes::<S>();
        let mut edge = [[T::splat(s, T::ZERO); V]; R];
        // SAFETY: every address below is one that `run`'s caller vouches for.
        unsafe {
            let (to, row, vector) =
                if full { (c, c_row, c_vector) } else { (edge.as_mut_ptr().cast(), V * lanes, lanes) };
            for i in 0..R {
                for j in 0..V {
                    to.add(i * row + j * vector).cast::<T::V<S>>().write_unaligned(acc[i][j]);
                }
            }
            if !full {
                for (i, row) in edge.iter().enumerate() {
                    for (j, v) in row.iter().enumerate() {
                        T::store_part(s, c.add(i * c_row + j * c_vector), valid[j], *v);
                    }
                }
            }
        }
    }
}

impl<T: Element, const R: usize, const V: usize, const LEFT: u8> WithSimd for Fixed<'_, T, R, V, LEFT> {
    type Output = ();

    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // fixed indices keep the tile in registers
    fn with_simd<S: Simd>(self, s: S) {
        let Tile { a, left, b, offsets, b_vector, c_row, c_vector, valid, next, ahead, .. } = self.0;
        let steps = match left {
            Left::Packed => &[],
            Left::Columns(steps) | Left::Blocks(steps) => steps,
        };
        let row = if LEFT == BLOCKS { T::lanes::<S>() } else { 1 };
        let full = valid[..V].iter().all(|v| *v == T::lanes::<S>());
        // SAFETY: every address below is one that `run`'s caller vouches for.
        unsafe {
            let mut acc = self.begin(s, full);
            for i in 0..R {
                for j in 0..V {
                    prefetch::<_, { FIRST }>(next.wrapping_add(i * c_row + j * c_vector));
                }
            }
            let mut pa = a;
            for (k, &offset) in offsets.iter().enumerate() {
                let from = b.add(offset);
                prefetch::<_, { SECOND }>(ahead.wrapping_add(k * line::<T>()));
                if LEFT != PACKED {
                    pa = a.add(*steps.get_unchecked(k));
                }
                let mut v = [T::splat(s, T::ZERO); V];
                for j in 0..V {
                    v[j] = load::<S, T>(from.add(j * b_vector));
                }
                for i in 0..R {
                    let x = T::splat(s, *pa.add(i * row));
                    for j in 0..V {
                        acc[i][j] = T::fma(s, x, v[j], acc[i][j]);
                    }
                }
                if LEFT == PACKED {
                    pa = pa.add(R);
                }
            }
            self.finish(s, full, acc);
        }
    }
}

/// Elements of a cache line.
pub(super) const fn line<T>() -> usize {
    64 / size_of::<T>()
}

/// Into the first-level cache.
pub(super) const FIRST: i32 = 3;
/// Into the second-level cache.
pub(super) const SECOND: i32 = 2;

/// Asks for the cache line of an address, which need not be valid.
#[inline(always)]
pub(super) fn prefetch<T, const LEVEL: i32>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<LEVEL>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Computes a tile of `rows` rows and `vectors` vectors.
///
/// # Safety
/// Reads of `a` and of whole vectors of `b`, and reads and writes of the valid elements of `c`, as [`Tile`] says
/// where they lie, must be in bounds; a bias must have `rows` elements, or as many as are valid of a row; `left` as many steps as `offsets`.
#[inline(always)]
pub(crate) unsafe fn run<S: Simd, T: Element>(s: S, rows: usize, vectors: usize, tile: Tile<'_, T>) {
    let left = match tile.left {
        Left::Packed => PACKED,
        Left::Columns(_) => COLUMNS,
        Left::Blocks(_) => BLOCKS,
    };
    macro_rules! sizes {
        ($($r:literal)*) => {
            match (rows, vectors, left) {
                $(($r, 1, PACKED) => fixed::<S, T, $r, 1, PACKED>(s, tile),
                  ($r, 2, PACKED) => fixed::<S, T, $r, 2, PACKED>(s, tile),
                  ($r, 1, COLUMNS) => fixed::<S, T, $r, 1, COLUMNS>(s, tile),
                  ($r, 2, COLUMNS) => fixed::<S, T, $r, 2, COLUMNS>(s, tile),
                  ($r, 1, BLOCKS) => fixed::<S, T, $r, 1, BLOCKS>(s, tile),
                  ($r, 2, BLOCKS) => fixed::<S, T, $r, 2, BLOCKS>(s, tile),)*
                _ => unreachable!("no tile of {rows} rows and {vectors} vectors"),
            }
        };
    }
    sizes!(1 2 3 4 5 6 7 8 9 10 11 12)
}

/// A tile whose size is known. Sizes that the machine's registers do not hold are not compiled for it.
#[inline(always)]
fn fixed<S: Simd, T: Element, const R: usize, const V: usize, const LEFT: u8>(s: S, tile: Tile<'_, T>) {
    if const { R <= max_rows::<S>() } {
        s.vectorize(Fixed::<T, R, V, LEFT>(tile));
    } else {
        unreachable!("a tile of {R} rows");
    }
}

/// Rows partitioned into panels of at most [`max_rows`], as evenly as possible.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panels {
    pub(crate) rows: usize,
    pub(crate) count: usize,
}

impl Panels {
    pub(crate) fn new(rows: usize, most: usize) -> Self {
        Self { rows, count: rows.div_ceil(most).max(1) }
    }

    /// First row of a panel.
    pub(crate) fn first(&self, panel: usize) -> usize {
        let (base, extra) = (self.rows / self.count, self.rows % self.count);
        panel * base + panel.min(extra)
    }

    /// Rows of each panel times `each`: the lengths of their parts of a buffer.
    pub(crate) fn lengths(&self, each: usize) -> impl Iterator<Item = usize> {
        let this = *self;
        (0..this.count).map(move |p| this.height(p) * each)
    }

    /// Rows of a panel.
    pub(crate) fn height(&self, panel: usize) -> usize {
        self.first(panel + 1) - self.first(panel)
    }
}
