//! Loss landscapes: the loss along directions in the space of weights.

mod direction;
mod surface;

pub use direction::{Direction, Normalise};
pub use surface::{Axis, Grid, Surface};
