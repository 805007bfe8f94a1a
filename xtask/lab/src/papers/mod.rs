//! The papers.

mod absum;
mod sharpness;

use crate::paper::Entry;

/// All reproductions.
pub const TABLE: [Entry; 2] = [absum::PAPER, sharpness::PAPER];

#[cfg(test)]
mod tests;
