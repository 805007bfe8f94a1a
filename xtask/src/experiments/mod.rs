//! The experiments, one a paper.

mod abc;
mod absum;
mod blf;
mod sigsoftmax;

use crate::cli::Reproduce;
use crate::experiment::drive;
use anyhow::Result;

/// How an experiment is started.
type Start = fn(&Reproduce) -> Result<u8>;

/// All reproductions by slug.
pub const TABLE: [(&str, Start); 4] = [
    ("absum", drive::<absum::AbsumPaper>),
    ("sigsoftmax", drive::<sigsoftmax::SigsoftmaxPaper>),
    ("blf", drive::<blf::BlfPaper>),
    ("abc", drive::<abc::AbcPaper>),
];
