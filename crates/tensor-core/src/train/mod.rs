//! Training: one loop ([`Engine`]) over anything that can be trained step by step ([`Task`]).
//!
//! [`Trainer`] trains a classifier; [`LossTask`] minimises any loss of some parameters. A task of its own kind (several losses on
//! shared parameters, two networks that play against each other) implements [`Task`] and has checkpoints, exact resume and observers
//! with it.

pub mod augment;
mod best;
mod classify;
mod engine;
mod evaluate;
mod fitting;
mod loss_task;
mod objective;
mod observer;
mod stop;
mod task;

pub use best::{Best, KeepBest};
pub use classify::{TrainConfig, Trainer};
pub use engine::{Checkpoint, Engine};
pub use evaluate::{Evaluate, HeldOut, accuracy, refresh_statistics};
pub use loss_task::LossTask;
pub use objective::{CrossEntropy, LossOutput, Objective};
pub use observer::{EpochReport, Observer, Progress, Report};
pub use stop::Stop;
pub use task::{EpochEnd, StepContext, Task, shuffled};
