//! Trust flags: named warnings that a robust accuracy may be too optimistic. Each flag has a page that says what it
//! means and what to do.
//!
//! The checks cost some gradients on a few examples and are on by default. A flag does not prove that a number is wrong,
//! and a number without flags is not proven right. We chose the thresholds so that networks without gradient masking
//! raise no flag; each check documents its own threshold.

mod checks;
mod config;
mod diagnose;
mod from_ledger;
mod kind;
mod sample;

pub use config::DiagnosisConfig;
pub use diagnose::diagnose;
pub use from_ledger::{chance_accuracy, from_ledger};
pub use kind::{Flag, FlagKind};
