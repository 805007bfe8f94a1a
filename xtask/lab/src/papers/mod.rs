//! The papers, each with the feature that has its slug.

#[cfg(feature = "abc")]
mod abc;
#[cfg(feature = "absum")]
mod absum;
#[cfg(feature = "blf")]
mod blf;
#[cfg(feature = "domain-fusion")]
mod domain_fusion;
#[cfg(feature = "mp-ssl")]
mod mp_ssl;
#[cfg(feature = "sharpness")]
mod sharpness;
#[cfg(feature = "sigsoftmax")]
mod sigsoftmax;
#[cfg(feature = "smoothness")]
mod smoothness;

use crate::exit;
use crate::paper::Entry;
use anyhow::Error;

/// The reproductions that this program was built with.
pub static TABLE: &[Entry] = &[
    #[cfg(feature = "absum")]
    absum::PAPER,
    #[cfg(feature = "sigsoftmax")]
    sigsoftmax::PAPER,
    #[cfg(feature = "blf")]
    blf::PAPER,
    #[cfg(feature = "abc")]
    abc::PAPER,
    #[cfg(feature = "sharpness")]
    sharpness::PAPER,
    #[cfg(feature = "smoothness")]
    smoothness::PAPER,
    #[cfg(feature = "mp-ssl")]
    mp_ssl::PAPER,
    #[cfg(feature = "domain-fusion")]
    domain_fusion::PAPER,
];

/// The error of what this program was built without.
pub fn without(feature: &str) -> Error {
    exit::refused(format!(
        "this program was built without `{feature}`: start it by `cargo xtask`, which builds what it is asked for, or build all by \
         `cargo build --release --package sconce-lab`"
    ))
}

#[cfg(test)]
mod tests;
