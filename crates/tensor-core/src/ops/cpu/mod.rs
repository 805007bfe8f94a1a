//! The kernels of [`crate::ops`] on plain slices. They know no tensors and no graph, and they return no errors.
//!
//! Every kernel sums in an order that depends on the shape only, never on the number of threads, so results are bit-identical
//! for every number of threads. In convolutions and matrix products the result of an example is bit-identical in every batch.
//! `unsafe` code is allowed in this folder only.

pub(crate) mod build;
pub(crate) mod conv;
pub(crate) mod element;
pub(crate) mod elementwise;
mod erf;
pub(crate) mod lstm;
pub(crate) mod math;
pub(crate) mod matmul;
pub(crate) mod norm;
pub(crate) mod output;
pub(crate) mod pool;
pub(crate) mod resample;
pub(crate) mod rows;
mod sums;
pub(crate) mod threads;
mod tile;
mod transpose;
pub(crate) mod unary;
