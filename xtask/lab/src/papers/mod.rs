//! The papers.

mod absum;

use crate::paper::Entry;

/// All reproductions.
pub const TABLE: [Entry; 1] =
    [absum::PAPER];

#[cfg(test)]
mod tests;
