//! Commands of `cargo xtask` that need candle and are no reproductions.

pub mod datasets;
#[cfg(feature = "oracle")]
pub mod oracle;
