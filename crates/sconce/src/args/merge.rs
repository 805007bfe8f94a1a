//! `merge`.

use clap::Args;
use std::path::PathBuf;

/// Join the ledgers of `attack --shard` to one, or the folders of `detect compare --shard` to one. The result is what one process finds, byte for
/// byte. A share that is missing, damaged, or of another model, data or configuration is refused by name.
#[derive(Clone, Debug, Args)]
pub struct Merge {
    /// Ledgers of all shares, or folders of all shares
    #[arg(value_name = "FILE|FOLDER", required = true)]
    pub shares: Vec<PathBuf>,
    /// The file for the ledger, to which `attack --ledger` gives its report, or the folder for the cells, to which `detect compare --out` gives its
    /// report
    #[arg(long, value_name = "FILE|FOLDER")]
    pub out: PathBuf,
}
