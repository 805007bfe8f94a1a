//! Optimizers, learning-rate schedules and clipping.

mod adam;
mod average;
mod clip;
mod schedule;
mod sgd;
mod update;

pub use adam::{Adam, AdamConfig};
pub use average::Average;
pub use clip::clip_norm;
pub use schedule::Schedule;
pub use sgd::{Decay, Sgd, SgdConfig};
