//! Jigsaw puzzles.

use super::{Pretext, permutation_set, require_variant};
use crate::transforms::Image;
use sconce_tensor_core::{Error, Result, Rng, error::require};

/// Configuration of [`Jigsaw`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `side` | 3 | tiles along each axis | 2, 3 |
/// | `permutations` | 30 | classes: how many orders of the tiles ([`permutation_set`]) | 2..=min((side^2)!, 1000) |
/// | `margin` | 1 | pixels that a tile is smaller than its cell; it lies in the cell at random | |
/// | `separate` | false | each tile is a view of its own, as in the paper; else they form one image again | |
///
/// The defaults are chosen by us for small images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JigsawConfig {
    /// Tiles along each axis.
    pub side: usize,
    /// Classes.
    pub permutations: usize,
    /// Pixels that a tile is smaller than its cell.
    pub margin: usize,
    /// Whether each tile is a view of its own.
    pub separate: bool,
}

impl Default for JigsawConfig {
    fn default() -> Self {
        Self { side: 3, permutations: 30, margin: 1, separate: false }
    }
}

/// In which order the tiles of an image stand: the tile at place p of variant v is the tile `permutations()[v][p]` of the image,
/// places in reading order. Pixels beyond `side` equal cells are cut off.
///
/// Source: Noroozi and Favaro, "Unsupervised learning of visual representations by solving jigsaw puzzles" (ECCV 2016).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jigsaw {
    cfg: JigsawConfig,
    permutations: Vec<Vec<usize>>,
}

impl Jigsaw {
    /// Validates the configuration and chooses the permutations.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: JigsawConfig) -> Result<Self> {
        require("JigsawConfig.side", cfg.side == 2 || cfg.side == 3, "2 or 3", cfg.side)?;
        let tiles = cfg.side * cfg.side;
        let most = (1..=tiles).product::<usize>().min(1000);
        let range = (2..=most).contains(&cfg.permutations);
        require("JigsawConfig.permutations", range, &format!("in 2..={most}"), cfg.permutations)?;
        Ok(Self { cfg, permutations: permutation_set(tiles, cfg.permutations)? })
    }

    /// The order of the tiles in each class.
    pub fn permutations(&self) -> &[Vec<usize>] {
        &self.permutations
    }
}

impl Pretext for Jigsaw {
    fn name(&self) -> String {
        "jigsaw".to_owned()
    }

    fn variants(&self) -> usize {
        self.permutations.len()
    }

    fn views(&self) -> usize {
        if self.cfg.separate { self.cfg.side * self.cfg.side } else { 1 }
    }

    fn change(&self, image: Image, variant: usize, rng: &Rng) -> Result<Vec<Image>> {
        require_variant(self, variant)?;
        let JigsawConfig { side, margin, separate, .. } = self.cfg;
        let (c, h, w) = image.dims();
        let cell = (h / side, w / side);
        if cell.0.min(cell.1) <= margin {
            let expected = format!("(C, H, W) with sides of at least {}", side * (margin + 1));
            return Err(Error::shape("image of `jigsaw`", expected, &[c, h, w]));
        }
        let (tile, order) = ((cell.0 - margin, cell.1 - margin), &self.permutations[variant]);
        // The place of each tile within its cell, by the tile of the image.
        let within = rng.below(2 * order.len(), margin as u64 + 1);
        let corner = |t: usize| {
            let at = |cells: usize, cell: usize, i: usize| cells * cell + within[i] as usize;
            (at(t / side, cell.0, 2 * t), at(t % side, cell.1, 2 * t + 1))
        };
        if separate {
            return order.iter().map(|t| image.cropped(corner(*t), tile)).collect();
        }
        let whole = image.moved(side * tile.0, side * tile.1, |r, c| {
            let from = corner(order[r / tile.0 * side + c / tile.1]);
            (from.0 + r % tile.0, from.1 + c % tile.1)
        });
        Ok(vec![whole])
    }
}
