//! Tables: where they are, their columns and labels.

mod archive;
mod columns;
mod mapping;
mod read;
mod source;

pub(super) use columns::Columns;
pub(super) use mapping::{Mapping, label_of};
pub(super) use read::{Data, broken, header, part, read, reader};
pub(super) use source::{STDIN, Source, exists};
