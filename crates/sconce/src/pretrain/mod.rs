//! `pretrain` and `probe`: representations without labels, and what they know.

mod input;
mod probe;
mod saved;
mod train;

pub(crate) use input::read_images;
pub(crate) use probe::main as probe;
pub(crate) use saved::load as load_trunk;
pub(crate) use train::main as pretrain;
