//! MP-SSL: one trunk, several pretext tasks on one mixed batch.
//!
//! The images of a batch are changed by all tasks of a [`Mixture`](crate::pretext::Mixture) and pass the trunk once. Each task has a head on the
//! trunk's last feature map Z and a cross-entropy `L_t`. A step of [`MpSsl`] makes
//!
//! 1. one backward pass for each task through its head alone, to the gradients of the head and `g_t = dL_t/dZ`;
//! 2. the weights w of a [`Weighting`](crate::weighting::Weighting), from the losses and the products of all `g_t`;
//! 3. one backward pass through the trunk, of `sum_t w_t L_t`, which starts with `sum_t w_t g_t`;
//! 4. one update of all parameters.
//!
//! # What is the paper's
//! The paper's text is not available to us beyond abstract and introduction. From there are: prediction of image enhancements together with
//! rotation on one trunk; several at once with weights by Frank-Wolfe in version 1 (MP-SSL, arXiv 1912.11603v1), one enhancement in version
//! 2 (IE-Rot, v2). Classes, grids, order, heads and schedules are chosen by us.
//!
//! | Method | Tasks | Weighting |
//! |---|---|---|
//! | Rotation | rotation | one task has the weight 1 |
//! | Control | rotation; enhancements as augmentations | the same |
//! | IE-Rot | rotation and one enhancement | `equal`, [`MpSslConfig::weight_sum`] 2 for the sum of both losses |
//! | MP-SSL | rotation and several enhancements | `mgda-frank-wolfe`, or its exact solution `mgda` |
//! | Random trunk | a [`ConvTrunk`](crate::trunk::ConvTrunk) without training | |

mod net;
mod tally;
mod task;
mod validation;

pub use net::PretextNet;
pub use task::{MpSsl, MpSslConfig};
