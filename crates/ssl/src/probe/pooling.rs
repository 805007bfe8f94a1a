//! Pooling of feature maps before a probe.

use sconce_tensor_core::candle_core::Tensor;
use sconce_tensor_core::error::require;
use sconce_tensor_core::ops::{self, Pool2dSpec};
use sconce_tensor_core::{Error, Result};

/// How a feature map (N, C, H, W) is pooled. Vectors (N, D) stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pooling {
    /// Means over a grid of s x s windows that cover the map, with the largest s for which C s^2 is at most `features` (at least 1, and
    /// at most the map's sides): blocks of different widths get nearly the same number of features.
    Average {
        /// Most features for each image.
        features: usize,
    },
    /// Means over windows of a fixed size, as DeepCluster's linear probe has them.
    Windows(Pool2dSpec),
    /// Maxima over a grid of `side` x `side` windows, as RotNet's linear probe has them.
    Maxima {
        /// Side of the grid.
        side: usize,
    },
}

impl Default for Pooling {
    /// [`Pooling::Average`] with 1,024 features.
    fn default() -> Self {
        Self::Average { features: 1_024 }
    }
}

impl Pooling {
    /// RotNet's grids for the five convolutions of AlexNet on 224 x 224 images: 9,216 to 9,600 features (its released code).
    pub const ROTNET_ALEXNET: [Self; 5] = [
        Self::Maxima { side: 12 },
        Self::Maxima { side: 7 },
        Self::Maxima { side: 5 },
        Self::Maxima { side: 6 },
        Self::Maxima { side: 6 },
    ];

    /// DeepCluster's windows for the five convolutions of its AlexNet on 224 x 224 images: 9,216 to 9,600 features (its released code).
    pub const DEEP_CLUSTER_ALEXNET: [Self; 5] =
        [Self::windows(6, 3), Self::windows(4, 0), Self::windows(3, 1), Self::windows(3, 1), Self::windows(2, 0)];

    const fn windows(size: usize, padding: usize) -> Self {
        Self::Windows(Pool2dSpec { padding: (padding, padding), ..Pool2dSpec::tiles(size) })
    }

    /// [`Pooling::Average`] with at most so many features.
    ///
    /// # Errors
    /// [`Error::Config`] for 0.
    pub fn average(features: usize) -> Result<Self> {
        require("Pooling.features", features >= 1, "at least 1", features)?;
        Ok(Self::Average { features })
    }

    /// Pools a map.
    ///
    /// # Shapes
    /// (N, C, H, W) -> (N, C, h, w); (N, D) -> (N, D).
    ///
    /// # Errors
    /// [`Error::Shape`] for other ranks; those of the pooling operation.
    pub fn apply(&self, map: &Tensor) -> Result<Tensor> {
        let &[_, c, h, w] = map.dims() else {
            return match map.rank() {
                2 => Ok(map.clone()),
                _ => Err(Error::shape("features", "(N, C, H, W) or (N, D)", map.dims())),
            };
        };
        match *self {
            Self::Average { features } => {
                let side = (features / c.max(1)).isqrt().max(1);
                match (side.min(h), side.min(w)) {
                    grid if grid == (h, w) => Ok(map.clone()),
                    grid => ops::adaptive_avg_pool2d(map, grid),
                }
            }
            Self::Windows(spec) => ops::avg_pool2d(map, spec),
            Self::Maxima { side } => ops::adaptive_max_pool2d(map, (side, side)),
        }
    }
}
