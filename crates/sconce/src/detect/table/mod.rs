//! Tables: where they are, how they are written, their columns and labels.

mod archive;
mod columns;
mod dialect;
mod foreign;
#[cfg(test)]
mod fuzz;
mod header;
mod mapping;
mod read;
mod source;

pub(super) use columns::Columns;
pub(super) use dialect::Dialect;
pub(super) use mapping::{Mapping, Unseen};
pub(super) use read::{Data, broken, header, part, read};
pub(super) use source::{Form, STDIN, Source, exists};
