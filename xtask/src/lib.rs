//! What the light program and the two that it starts (`lab`, `bench`) share: the command line, verdicts, the digest of the code, the
//! table of the bench's workloads. No candle here.

pub mod cli;
pub mod sources;
pub mod verdicts;
pub mod workloads;
