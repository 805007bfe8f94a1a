//! The loss along directions through a network's weights.

mod direction;
mod surface;

pub use direction::{Direction, Normalise};
pub use surface::{Grid, Surface};
