//! The papers.

mod abc;
mod absum;
mod blf;
mod sharpness;
mod sigsoftmax;
mod smoothness;

use crate::paper::Entry;

/// All reproductions.
pub const TABLE: [Entry; 6] =
    [absum::PAPER, sigsoftmax::PAPER, blf::PAPER, abc::PAPER, sharpness::PAPER, smoothness::PAPER];

#[cfg(test)]
mod tests;
