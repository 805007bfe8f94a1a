//! The papers.

mod abc;
mod absum;
mod sharpness;
mod smoothness;

use crate::paper::Entry;

/// All reproductions.
pub const TABLE: [Entry; 4] = [abc::PAPER, absum::PAPER, sharpness::PAPER, smoothness::PAPER];

#[cfg(test)]
mod tests;
