//! The papers.

mod abc;
mod absum;
mod blf;
mod domain_fusion;
mod mp_ssl;
mod sharpness;
mod sigsoftmax;
mod smoothness;

use crate::paper::Entry;

/// All reproductions.
pub const TABLE: [Entry; 8] = [
    absum::PAPER,
    sigsoftmax::PAPER,
    blf::PAPER,
    abc::PAPER,
    sharpness::PAPER,
    smoothness::PAPER,
    mp_ssl::PAPER,
    domain_fusion::PAPER,
];

#[cfg(test)]
mod tests;
