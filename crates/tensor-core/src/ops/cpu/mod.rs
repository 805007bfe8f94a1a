//! The kernels behind [`crate::ops`] on plain slices: no tensors, no graph, no errors.
//!
//! Every kernel splits its work by shape alone, never by the number of threads, and sums in a fixed
//! order, so its result has the same bytes for every thread count. Convolution and matrix products
//! treat each example alike whatever batch it sits in. This is the one room where `unsafe` is allowed.

pub(crate) mod build;
pub(crate) mod conv;
pub(crate) mod element;
pub(crate) mod elementwise;
pub(crate) mod lstm;
pub(crate) mod math;
pub(crate) mod matmul;
pub(crate) mod norm;
pub(crate) mod output;
pub(crate) mod pool;
pub(crate) mod resample;
mod tile;
mod transpose;
