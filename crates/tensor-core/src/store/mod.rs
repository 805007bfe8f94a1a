//! What is kept on disk: one way to write a file, one digest, one format for everything that a run comes back to.
//!
//! [`Kept`] is a value with the [`Fingerprint`] of what it was made from. Checkpoints, ledgers, surfaces, cells of a testbed and
//! stages of a reproduction are all kept this way: written whole or not at all, with a checksum, and refused where the
//! fingerprint is another one. [`save`] and [`load`] hold named tensors alone, which is what a weights file is.

mod digest;
mod fingerprint;
mod kept;
mod state;
mod tensors;
mod write;

pub use digest::Digest;
pub use fingerprint::Fingerprint;
pub use kept::{Keep, Kept, Plain};
pub use state::State;
pub(crate) use tensors::verify;
pub use tensors::{load, save};
pub use write::{write_once, write_whole};
