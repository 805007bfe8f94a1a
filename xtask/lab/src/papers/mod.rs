//! The papers.

mod absum;
mod sharpness;
mod smoothness;

use crate::paper::Entry;

/// All reproductions.
pub const TABLE: [Entry; 3] = [absum::PAPER, sharpness::PAPER, smoothness::PAPER];

#[cfg(test)]
mod tests;
