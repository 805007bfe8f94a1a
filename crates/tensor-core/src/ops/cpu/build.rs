//! New buffers, filled by all threads.
#![allow(unsafe_code)]

use super::element::Element;
use rayon::prelude::*;

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

/// Calls `f` for all runs, on all threads. One function for all kernels, which therefore is called through a pointer: rayon's splitting compiled
/// for each of them is more code than the kernels are.
pub(crate) fn each_run<T: Send>(of: &mut [T], run: usize, f: &(dyn Fn(usize, &mut [T]) + Sync)) {
    of.par_chunks_mut(run.max(1)).enumerate().for_each(|(i, run)| f(i, run));
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
