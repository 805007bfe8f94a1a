//! The papers.

mod absum;
mod blf;

use crate::paper::Entry;

/// All reproductions.
pub const TABLE: [Entry; 2] =
    [absum::PAPER, blf::PAPER];

#[cfg(test)]
mod tests;
