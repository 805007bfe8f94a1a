#![doc = include_str!("../README.md")]

mod canvas;
mod cell;
mod colours;
mod contours;
mod drawing;
mod error;
mod estimate;
mod field;
mod forest;
mod frame;
mod heat;
mod histogram;
mod images;
mod lines;
mod markdown;
mod page;
mod ranks;
mod surface;

pub use cell::Cell;
pub use colours::{COLOURS, Tone, viridis};
pub use contours::{Grid, contours};
pub use drawing::Drawing;
pub use error::{Error, Result};
pub use estimate::{Estimate, number, signed};
pub use field::field;
pub use forest::{ForestRow, forest};
pub use heat::{Band, heat, heat_image};
pub use histogram::{Histogram, histogram};
pub use images::{Tile, image, png};
pub use lines::{Curve, lines, lines_within};
pub use page::{Page, escape};
pub use ranks::ranks;
pub use surface::surface;
