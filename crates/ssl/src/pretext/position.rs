//! The position of a patch relative to another one.

use super::{Pretext, require_variant};
use crate::transforms::Image;
use sconce_tensor_core::{Error, Result, Rng, error::require};

/// Configuration of [`PatchPosition`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `patch` | 8 | side of a patch, pixels | >= 1 |
/// | `gap` | 2 | pixels between two patches of the grid | |
/// | `jitter` | 1 | largest shift of a patch along each axis, pixels | <= `gap` / 2, so that patches do not meet |
///
/// An image's sides must be at least `3 patch + 2 gap`. The values are for images of 28 to 32 pixels, chosen by us; the paper's are 96, 48
/// and 7 for large photographs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchPositionConfig {
    /// Side of a patch.
    pub patch: usize,
    /// Pixels between two patches.
    pub gap: usize,
    /// Largest shift of a patch.
    pub jitter: usize,
}

impl Default for PatchPositionConfig {
    fn default() -> Self {
        Self { patch: 8, gap: 2, jitter: 1 }
    }
}

/// Where a patch stands around another one: two views, the centre of a grid of 3 x 3 patches and one of the eight others, whose
/// place in reading order is the class. The grid lies at a random place, and each patch is shifted by up to `jitter`.
///
/// Gap and jitter keep lines that run on from one patch to the next from giving the answer away.
///
/// Source: Doersch, Gupta, Efros, "Unsupervised visual representation learning by context prediction" (ICCV 2015).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchPosition {
    cfg: PatchPositionConfig,
}

impl PatchPosition {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: PatchPositionConfig) -> Result<Self> {
        let side = (1..=1 << 16).contains(&cfg.patch);
        require("PatchPositionConfig.patch", side, "in 1..=65536", cfg.patch)?;
        require("PatchPositionConfig.gap", cfg.gap <= 1 << 16, "at most 65536", cfg.gap)?;
        require("PatchPositionConfig.jitter", cfg.jitter <= cfg.gap / 2, "at most half the gap", cfg.jitter)?;
        Ok(Self { cfg })
    }
}

impl Pretext for PatchPosition {
    fn name(&self) -> String {
        "position".to_owned()
    }

    fn variants(&self) -> usize {
        8
    }

    fn views(&self) -> usize {
        2
    }

    fn change(&self, image: Image, variant: usize, rng: &Rng) -> Result<Vec<Image>> {
        require_variant(self, variant)?;
        let PatchPositionConfig { patch, gap, jitter } = self.cfg;
        let (c, h, w) = image.dims();
        let side = 3 * patch + 2 * gap;
        if h.min(w) < side {
            return Err(Error::shape(
                "image of `position`",
                format!("(C, H, W) with sides of at least {side}"),
                &[c, h, w],
            ));
        }
        // The place of the grid, and two shifts for each of the two patches.
        let u = rng.uniforms(6);
        let below = |u: f64, n: usize| ((u * n as f64) as usize).min(n - 1);
        let origin = (below(u[0], h - side + 1), below(u[1], w - side + 1));
        let cut = |cell: usize, shifts: &[f64]| {
            let along = |origin: usize, cell: usize, u: f64, all: usize| {
                let at = origin + cell * (patch + gap) + below(u, 2 * jitter + 1);
                at.saturating_sub(jitter).min(all - patch)
            };
            let from = (along(origin.0, cell / 3, shifts[0], h), along(origin.1, cell % 3, shifts[1], w));
            image.cropped(from, (patch, patch))
        };
        // The centre is cell 4.
        let cell = if variant < 4 { variant } else { variant + 1 };
        Ok(vec![cut(4, &u[2..4])?, cut(cell, &u[4..6])?])
    }
}
