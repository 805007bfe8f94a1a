//! Training: the objective, the loop, what watches it, and what survives a kill.

pub mod augment;
mod checkpoint;
mod objective;
mod trainer;

pub use checkpoint::Checkpoint;
pub use objective::{CrossEntropy, Objective, Outcome};
pub use trainer::{EpochReport, Observer, Progress, TrainConfig, Trainer};
