//! The experiments, one a paper.

mod abc;
mod absum;
mod blf;
mod sharpness;
mod sigsoftmax;
mod smoothness;

use crate::cli::Reproduce;
use crate::experiment::drive;
use anyhow::Result;

/// How an experiment is started.
type Start = fn(&Reproduce) -> Result<u8>;

/// All reproductions by slug.
pub const TABLE: [(&str, Start); 6] = [
    ("absum", drive::<absum::AbsumPaper>),
    ("sigsoftmax", drive::<sigsoftmax::SigsoftmaxPaper>),
    ("blf", drive::<blf::BlfPaper>),
    ("abc", drive::<abc::AbcPaper>),
    ("sharpness", drive::<sharpness::SharpnessPaper>),
    ("smoothness", drive::<smoothness::SmoothnessPaper>),
];
