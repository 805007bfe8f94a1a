//! Optimizers, and what stands around them: parameter groups, learning-rate schedules, clipping, averaged weights.

mod adam;
mod average;
mod clip;
mod descent;
mod group;
mod lars;
mod optimizer;
mod rmsprop;
mod schedule;
mod sgd;
mod slots;
mod updater;

pub use adam::{Adam, AdamConfig};
pub use average::Average;
pub use clip::clip_norm;
pub use descent::{Descent, Rule, Update};
pub use group::Group;
pub use lars::{Lars, LarsConfig};
pub use optimizer::Optimizer;
pub use rmsprop::{RmsProp, RmsPropConfig};
pub use schedule::Schedule;
pub use sgd::{Decay, Sgd, SgdConfig};
pub use updater::{AverageConfig, UpdateConfig, Updater};
