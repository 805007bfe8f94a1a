//! The papers.

mod abc;
mod absum;
mod blf;
mod mp_ssl;
mod sharpness;
mod sigsoftmax;
mod smoothness;

use crate::paper::Entry;

/// All reproductions.
pub const TABLE: [Entry; 7] =
    [absum::PAPER, sigsoftmax::PAPER, blf::PAPER, abc::PAPER, sharpness::PAPER, smoothness::PAPER, mp_ssl::PAPER];

#[cfg(test)]
mod tests;
