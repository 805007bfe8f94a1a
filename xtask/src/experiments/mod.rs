//! The experiments, one a paper.

mod absum;
mod blf;

use crate::cli::Reproduce;
use crate::experiment::drive;
use anyhow::Result;

/// How an experiment is started.
type Start = fn(&Reproduce) -> Result<u8>;

/// All reproductions by slug.
pub const TABLE: [(&str, Start); 2] = [("absum", drive::<absum::AbsumPaper>), ("blf", drive::<blf::BlfPaper>)];
