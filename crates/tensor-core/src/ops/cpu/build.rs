//! New buffers, filled by all threads.
#![allow(unsafe_code)]

use super::element::Element;
use super::threads::each_run;

/// A vector of `len` elements made in runs of `run`: `f(i, slice)` gets the i-th run as zeros. The
/// zeros are written by the thread that fills the run, so that fresh pages are touched in parallel and
/// the run is in that thread's cache.
pub(crate) fn build<T: Element>(len: usize, run: usize, f: impl Fn(usize, &mut [T]) + Sync) -> Vec<T> {
    // SAFETY: the run is written before `f` sees it.
    unsafe {
        fill(len, 0, run, |i, slice: &mut [T]| {
            slice.fill(T::ZERO);
            f(i, slice);
        })
    }
}

/// The same without the zeros, and with capacity for `room` more elements.
///
/// # Safety
/// `f` must write every element of its slice, and read none before it has.
pub(crate) unsafe fn fill<T: Element>(
    len: usize,
    room: usize,
    run: usize,
    f: impl Fn(usize, &mut [T]) + Sync,
) -> Vec<T> {
    let mut out: Vec<T> = Vec::with_capacity(len + room);
    each_run(&mut out.spare_capacity_mut()[..len], run, &|i, slots| {
        // SAFETY: the caller's `f` writes before it reads, and `T` is a plain number: nothing is dropped.
        f(i, unsafe { std::slice::from_raw_parts_mut(slots.as_mut_ptr().cast::<T>(), slots.len()) });
    });
    // SAFETY: the runs cover all `len` slots, and each was written.
    unsafe { out.set_len(len) };
    out
}

/// A vector of `len` elements whose values are unspecified, with capacity for `room` more.
///
/// # Safety
/// Every element must be written before it is read.
#[allow(clippy::uninit_vec)] // the caller vouches for it, and `T` is a plain number
pub(crate) unsafe fn unwritten<T: Element>(len: usize, room: usize) -> Vec<T> {
    let mut all = Vec::with_capacity(len + room);
    // SAFETY: the capacity was just asked for; the caller writes each element before it is read, and plain numbers are not dropped.
    unsafe { all.set_len(len) };
    all
}

/// Cuts a buffer into parts of the given lengths.
pub(crate) fn split<T>(mut rest: &mut [T], lengths: impl Iterator<Item = usize>) -> Vec<&mut [T]> {
    let mut parts = Vec::new();
    for n in lengths {
        let (part, tail) = rest.split_at_mut(n);
        parts.push(part);
        rest = tail;
    }
    parts
}
