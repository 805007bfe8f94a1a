//! `pretrain` and `probe`: representations without labels, and what they know.

mod input;
mod probe;
mod saved;
mod train;

pub(crate) use probe::main as probe;
pub(crate) use train::main as pretrain;
