//! Programs over the leaves, each a command of `cargo xtask`.

pub mod attack;
pub mod datasets;
pub mod detect;
pub mod dossier;
pub mod generate;
pub mod oracle;
