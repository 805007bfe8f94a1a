//! New buffers, filled by all threads.
#![allow(unsafe_code)]

use super::element::Element;
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// A vector of `len` elements made in runs of `run`: `f(i, slice)` gets the i-th run as zeros. The
/// zeros are written by the thread that fills the run, so that fresh pages are touched in parallel and
/// the run is in that thread's cache.
pub(crate) fn build<T: Element>(len: usize, run: usize, f: impl Fn(usize, &mut [T]) + Sync) -> Vec<T> {
    build_with_room(len, 0, run, f)
}

/// The same, with capacity for `room` more.
pub(crate) fn build_with_room<T: Element>(
    len: usize,
    room: usize,
    run: usize,
    f: impl Fn(usize, &mut [T]) + Sync,
) -> Vec<T> {
    let mut out: Vec<T> = Vec::with_capacity(len + room);
    out.spare_capacity_mut()[..len].par_chunks_mut(run.max(1)).enumerate().for_each(|(i, slots)| {
        slots.fill(MaybeUninit::new(T::ZERO));
        // SAFETY: every slot of the run was written on the line above, and `T` is a plain number.
        let slice = unsafe { std::slice::from_raw_parts_mut(slots.as_mut_ptr().cast::<T>(), slots.len()) };
        f(i, slice);
    });
    // SAFETY: the runs cover all `len` slots, and each was written.
    unsafe { out.set_len(len) };
    out
}
