//! Rotations by quarter turns.

use super::images::{dims, move_pixels};
use super::{Augment, draw};
use crate::{Error, ExampleRng, Result};
use candle_core::Tensor;

/// Rotates image `i` by `turns[i]` quarter turns counter-clockwise, as `torch.rot90(x, k, dims=(2, 3))` and
/// `numpy.rot90`: one turn is `y[.., r, c] = x[.., c, W - 1 - r]`. Turns count modulo 4.
///
/// # Shapes
/// (N, C, S, S) and N turns -> (N, C, S, S). NaN and infinities are moved like any other value.
///
/// # Errors
/// [`Error::Shape`] for images that are not square, another shape or another number of turns; a data type other than
/// f32 and f64.
pub fn rot90(x: &Tensor, turns: &[u8]) -> Result<Tensor> {
    let d = dims(x, turns.len(), "turns")?;
    if d.h != d.w {
        return Err(Error::shape("images", "(N, C, S, S): only square images keep their shape in a turn", x.dims()));
    }
    move_pixels(x, d, 0.0, |i, r, c| {
        let (br, bc) = (d.h - 1 - r, d.w - 1 - c);
        Some(match turns[i] % 4 {
            0 => (r, c),
            1 => (c, br),
            2 => (br, bc),
            _ => (bc, r),
        })
    })
}

/// Rotates each image by 0, 90, 180 or 270 degrees, each with probability 1/4 ([`rot90`]). It has no parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuarterTurns;

impl Augment for QuarterTurns {
    /// # Errors
    /// Those of [`rot90`]: images must be square.
    fn apply(&self, x: &Tensor, rng: &ExampleRng) -> Result<Tensor> {
        rot90(x, &draw(rng, "quarter turns", |r| r.below(1, 4)[0] as u8))
    }
}
