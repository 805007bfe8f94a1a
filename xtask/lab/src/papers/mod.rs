//! The papers.

mod absum;
mod blf;
mod sigsoftmax;

use crate::paper::Entry;

/// All reproductions.
pub const TABLE: [Entry; 3] =
    [absum::PAPER, blf::PAPER, sigsoftmax::PAPER];

#[cfg(test)]
mod tests;
