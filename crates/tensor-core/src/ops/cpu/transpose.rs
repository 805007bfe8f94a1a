//! Transposition of small matrices, which all changes of layout use.
#![allow(unsafe_code)]

use super::element::Element;

/// `to[j * to_row + i] = from[i * from_row + j]` for i < rows, j < cols.
pub(crate) fn transpose<T: Element>(
    (rows, cols): (usize, usize),
    from: &[T],
    from_row: usize,
    to: &mut [T],
    to_row: usize,
) {
    if rows == 0 || cols == 0 {
        return;
    }
    assert!((cols - 1) * to_row + rows <= to.len(), "transpose bounds");
    // SAFETY: the assertion bounds every write.
    unsafe { transpose_to((rows, cols), from, from_row, to.as_mut_ptr(), to_row) }
}

/// [`transpose`] to elements of which others may be written by other threads.
///
/// # Safety
/// Every element named in [`transpose`] must be valid for writes.
#[inline]
pub(crate) unsafe fn transpose_to<T: Element>(
    (rows, cols): (usize, usize),
    from: &[T],
    from_row: usize,
    to: *mut T,
    to_row: usize,
) {
    if rows == 0 || cols == 0 {
        return;
    }
    assert!((rows - 1) * from_row + cols <= from.len(), "transpose bounds");
    #[cfg(target_arch = "x86_64")]
    if T::DTYPE == candle_core::DType::F32 && std::arch::is_x86_feature_detected!("avx512f") {
        // SAFETY: the type is f32, the machine has AVX-512, the assertion bounds the reads, and the caller vouches for the writes.
        let (from, to) = (from.as_ptr().cast::<f32>(), to.cast::<f32>());
        return unsafe { avx512::transpose(rows, cols, from, from_row, to, to_row) };
    }
    const BLOCK: usize = 8;
    for i0 in (0..rows).step_by(BLOCK) {
        for j0 in (0..cols).step_by(BLOCK) {
            for j in j0..cols.min(j0 + BLOCK) {
                for i in i0..rows.min(i0 + BLOCK) {
                    // SAFETY: the caller vouches for it.
                    unsafe { to.add(j * to_row + i).write(from[i * from_row + j]) }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    /// Elements ahead that are fetched early.
    const AHEAD: usize = 128;

    /// Transposes 16 vectors of 16: `$r[i][j]` becomes `$r[j][i]`. A macro, so that they stay in registers.
    macro_rules! turn {
        ($r:ident) => {
            let mut t = $r;
            for i in (0..16).step_by(2) {
                t[i] = _mm512_unpacklo_ps($r[i], $r[i + 1]);
                t[i + 1] = _mm512_unpackhi_ps($r[i], $r[i + 1]);
            }
            for i in (0..16).step_by(4) {
                $r[i] = _mm512_shuffle_ps::<0x44>(t[i], t[i + 2]);
                $r[i + 1] = _mm512_shuffle_ps::<0xee>(t[i], t[i + 2]);
                $r[i + 2] = _mm512_shuffle_ps::<0x44>(t[i + 1], t[i + 3]);
                $r[i + 3] = _mm512_shuffle_ps::<0xee>(t[i + 1], t[i + 3]);
            }
            for i in 0..4 {
                t[i] = _mm512_shuffle_f32x4::<0x88>($r[i], $r[i + 4]);
                t[i + 4] = _mm512_shuffle_f32x4::<0xdd>($r[i], $r[i + 4]);
                t[i + 8] = _mm512_shuffle_f32x4::<0x88>($r[i + 8], $r[i + 12]);
                t[i + 12] = _mm512_shuffle_f32x4::<0xdd>($r[i + 8], $r[i + 12]);
            }
            for i in 0..4 {
                $r[i] = _mm512_shuffle_f32x4::<0x88>(t[i], t[i + 8]);
                $r[i + 8] = _mm512_shuffle_f32x4::<0xdd>(t[i], t[i + 8]);
                $r[i + 4] = _mm512_shuffle_f32x4::<0x88>(t[i + 4], t[i + 12]);
                $r[i + 12] = _mm512_shuffle_f32x4::<0xdd>(t[i + 4], t[i + 12]);
            }
        };
    }

    /// # Safety
    /// The machine must have AVX-512F, and every element named in [`super::transpose`] must be in bounds.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn transpose(
        rows: usize,
        cols: usize,
        from: *const f32,
        from_row: usize,
        to: *mut f32,
        to_row: usize,
    ) {
        for i in (0..rows).step_by(16) {
            let height = (rows - i).min(16);
            for j in (0..cols).step_by(16) {
                let width = (cols - j).min(16);
                // SAFETY: the block lies inside both matrices.
                unsafe {
                    let (from, to) = (from.add(i * from_row + j), to.add(j * to_row + i));
                    if height == 16 && width == 16 {
                        whole(from, from_row, to, to_row);
                    } else {
                        part(height, width, from, from_row, to, to_row);
                    }
                }
            }
        }
    }

    /// A block of 16 by 16.
    ///
    /// # Safety
    /// As [`transpose`].
    #[target_feature(enable = "avx512f")]
    unsafe fn whole(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
        let mut r = [_mm512_setzero_ps(); 16];
        let mut at = from;
        for r in &mut r {
            // SAFETY: the caller vouches for the block; a prefetch never faults.
            unsafe {
                *r = _mm512_loadu_ps(at);
                // Rows are many and short for the machine's own prefetching, and often of one set of the first-level cache.
                _mm_prefetch::<_MM_HINT_T1>(at.wrapping_add(AHEAD).cast());
            }
            at = at.wrapping_add(from_row);
        }
        turn!(r);
        let mut at = to;
        for r in r {
            // SAFETY: the caller vouches for the block.
            unsafe { _mm512_storeu_ps(at, r) };
            at = at.wrapping_add(to_row);
        }
    }

    /// A smaller block.
    ///
    /// # Safety
    /// As [`transpose`]; both sizes at most 16.
    #[target_feature(enable = "avx512f")]
    unsafe fn part(rows: usize, cols: usize, from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
        let mut r = [_mm512_setzero_ps(); 16];
        let low = |n: usize| ((1u32 << n) - 1) as __mmask16;
        let (read, write) = (low(cols), low(rows));
        for (i, r) in r.iter_mut().enumerate().take(rows) {
            // SAFETY: masked lanes and rows past the block are not touched.
            *r = unsafe { _mm512_maskz_loadu_ps(read, from.add(i * from_row)) };
        }
        turn!(r);
        for (j, r) in r.iter().enumerate().take(cols) {
            // SAFETY: as above.
            unsafe { _mm512_mask_storeu_ps(to.add(j * to_row), write, *r) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::transpose;

    #[test]
    fn agrees_with_the_definition_and_touches_nothing_else() {
        for (rows, cols) in [(1, 1), (16, 16), (12, 9), (17, 33), (40, 3), (3, 40), (16, 48), (32, 16)] {
            let (from_row, to_row) = (cols + 3, rows + 5);
            let from: Vec<f32> = (0..(rows - 1) * from_row + cols).map(|i| i as f32).collect();
            let mut to = vec![-1f32; (cols - 1) * to_row + rows];
            transpose((rows, cols), &from, from_row, &mut to, to_row);
            for (at, v) in to.iter().enumerate() {
                let (j, i) = (at / to_row, at % to_row);
                let want = if i < rows { (i * from_row + j) as f32 } else { -1.0 };
                assert_eq!(*v, want, "{rows} {cols}: {j} {i}");
            }
        }
    }
}
