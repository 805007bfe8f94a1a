//! Random crops of padded images.

use super::images::{dims, move_pixels};
use super::{Augment, draw};
use crate::{Error, ExampleRng, Result, error::require};
use candle_core::Tensor;

/// The largest padding, far above any use, so that offsets cannot overflow.
const MOST: usize = 1 << 16;

/// What stands outside the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum PadMode {
    /// Zeros (torchvision's `constant` with fill 0).
    #[default]
    Zeros,
    /// The image mirrored at its border, without the border itself: `c b | a b c | b a`.
    Reflect,
    /// The nearest pixel of the border: `a a | a b c | c c`.
    Edge,
}

impl PadMode {
    /// Where position `at` of the padded line lies in the line of `n` pixels.
    fn source(self, at: usize, padding: usize, n: usize) -> Option<usize> {
        match self {
            Self::Zeros => at.checked_sub(padding).filter(|q| *q < n),
            Self::Edge => Some(at.saturating_sub(padding).min(n - 1)),
            Self::Reflect => {
                let q = at.abs_diff(padding);
                Some(if q < n { q } else { 2 * (n - 1) - q })
            }
        }
    }
}

/// Pads every side of image `i` by `padding` pixels and cuts out the H x W pixels whose corner is
/// `offsets[i]` = (top, left) of the padded image. The offset (`padding`, `padding`) returns the image.
///
/// # Shapes
/// (N, C, H, W) and N offsets -> (N, C, H, W). NaN and infinities are moved like any other value.
///
/// # Errors
/// Another shape, another number of offsets, or a data type other than f32 and f64; a padding above 65536;
/// an offset above `2 padding`; for [`PadMode::Reflect`] images whose height or width is not above `padding`.
pub fn padded_crop(x: &Tensor, padding: usize, mode: PadMode, offsets: &[(usize, usize)]) -> Result<Tensor> {
    let d = dims(x, offsets.len(), "offsets")?;
    require("padded_crop.padding", padding <= MOST, "at most 65536", padding)?;
    if let Some((i, o)) = offsets.iter().enumerate().find(|(_, o)| o.0.max(o.1) > 2 * padding) {
        return Err(Error::value("offsets of padded_crop", format!("{o:?} of image {i} is above twice the {padding}")));
    }
    if mode == PadMode::Reflect && d.h.min(d.w) <= padding {
        let expected = format!("(N, C, H, W) with H and W above {padding}, the padding by reflection");
        return Err(Error::shape("images", expected, x.dims()));
    }
    move_pixels(x, d, 0.0, |i, r, c| {
        let (top, left) = offsets[i];
        Some((mode.source(top + r, padding, d.h)?, mode.source(left + c, padding, d.w)?))
    })
}

/// Configuration of [`PaddedCrop`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `padding` | 4 | pixels added on every side; the image moves by at most as many | [0, 65536] |
/// | `mode` | zeros | what stands outside the image | |
///
/// The default is the usual choice for 32 x 32 images (He et al. 2016, section 4.2, for CIFAR-10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct PaddedCropConfig {
    /// Pixels added on every side.
    pub padding: usize,
    /// What stands outside the image.
    pub mode: PadMode,
}

impl Default for PaddedCropConfig {
    fn default() -> Self {
        Self { padding: 4, mode: PadMode::Zeros }
    }
}

/// Pads each image and crops it back to its size at an offset that is uniform over the `(2 padding + 1)^2` possible
/// ones ([`padded_crop`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaddedCrop {
    cfg: PaddedCropConfig,
}

impl PaddedCrop {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] where `padding` is above 65536.
    pub fn new(cfg: PaddedCropConfig) -> Result<Self> {
        require("PaddedCropConfig.padding", cfg.padding <= MOST, "at most 65536", cfg.padding)?;
        Ok(Self { cfg })
    }
}

impl Augment for PaddedCrop {
    /// # Errors
    /// Those of [`padded_crop`].
    fn apply(&self, x: &Tensor, rng: &ExampleRng) -> Result<Tensor> {
        let PaddedCropConfig { padding, mode } = self.cfg;
        let offsets = draw(rng, "padded crop", |r| {
            let o = r.below(2, 2 * padding as u64 + 1);
            (o[0] as usize, o[1] as usize)
        });
        padded_crop(x, padding, mode, &offsets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_by_hand() {
        let line =
            |mode: PadMode, padding, n| (0..n + 2 * padding).map(|at| mode.source(at, padding, n)).collect::<Vec<_>>();
        assert_eq!(line(PadMode::Zeros, 1, 2), [None, Some(0), Some(1), None]);
        assert_eq!(line(PadMode::Edge, 2, 2), [0, 0, 0, 1, 1, 1].map(Some));
        assert_eq!(line(PadMode::Reflect, 2, 3), [2, 1, 0, 1, 2, 1, 0].map(Some));
        assert_eq!(line(PadMode::Reflect, 0, 1), [Some(0)]);
    }
}
