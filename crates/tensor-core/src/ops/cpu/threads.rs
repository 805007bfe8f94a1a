//! Work for all threads of rayon's pool.
//!
//! Each function here is compiled once or once for each type and takes what is to be done through a pointer: rayon's splitting, compiled
//! for each kernel, is more code than the kernels are.
#![allow(unsafe_code)]

use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};

/// Parts for each thread that work is handed out in at least, where there are so many. Left to itself rayon would hand out a quarter or
/// an eighth at a time, and with few threads the last one would be waited for.
const PARTS: usize = 16;

/// Calls `f` for `0..count`.
pub(crate) fn each(count: usize, f: &(dyn Fn(usize) + Sync)) {
    let most = count / (PARTS * rayon::current_num_threads());
    (0..count).into_par_iter().with_max_len(most.max(1)).for_each(f);
}

/// Calls `f` for each of some parts, with its place among them.
pub(crate) fn each_of<P: Send>(parts: Vec<P>, f: &(dyn Fn(usize, P) + Sync)) {
    let parts: Vec<_> = parts.into_iter().map(|p| Mutex::new(Some(p))).collect();
    each(parts.len(), &|i| {
        let part = parts[i].lock().unwrap_or_else(PoisonError::into_inner).take();
        part.into_iter().for_each(|p| f(i, p));
    });
}

/// Calls `f` for all runs of `run` elements, the last one shorter if need be.
pub(crate) fn each_run<T: Send>(of: &mut [T], run: usize, f: &(dyn Fn(usize, &mut [T]) + Sync)) {
    let (run, len, to) = (run.max(1), of.len(), Shared(of.as_mut_ptr()));
    each(len.div_ceil(run), &|i| {
        let at = i * run;
        // SAFETY: the runs lie side by side in `of`, and each is one call's.
        f(i, unsafe { std::slice::from_raw_parts_mut(to.at(at), run.min(len - at)) });
    });
}

/// `f(0)`, `f(1)` and so on, `run` of them at a time.
pub(crate) fn gather<R: Send>(count: usize, run: usize, f: &(dyn Fn(usize) -> R + Sync)) -> Vec<R> {
    let mut all = Vec::with_capacity(count);
    let run = run.max(1);
    each_run(&mut all.spare_capacity_mut()[..count], run, &|i, slots| {
        slots.iter_mut().enumerate().for_each(|(j, slot)| {
            slot.write(f(i * run + j));
        });
    });
    // SAFETY: the runs cover all slots, and each was written.
    unsafe { all.set_len(count) };
    all
}

/// A pointer that tasks write disjoint parts through.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(pub(crate) *mut T);
// SAFETY: each task writes, and reads, elements of its own.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Shared<T> {}

impl<T> Shared<T> {
    /// The address of element `i`.
    pub(crate) fn at(&self, i: usize) -> *mut T {
        self.0.wrapping_add(i)
    }
}
