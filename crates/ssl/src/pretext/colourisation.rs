//! The hue of a grey image.

use super::{Head, Pretext, require_variant};
use crate::transforms::Image;
use sconce_tensor_core::{Error, Result, Rng, error::require};

/// Configuration of [`Colourisation`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `hues` | 8 | bins of the circle of hues | 2..=256 |
/// | `grid` | 7 | cells along each axis that have a label each | >= 1 |
/// | `grey` | 0.1 | saturation below which a cell is of the class "grey" | (0, 1) |
///
/// The values are chosen by us.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColourisationConfig {
    /// Bins of hue.
    pub hues: usize,
    /// Cells along each axis.
    pub grid: usize,
    /// Saturation below which a cell is grey.
    pub grey: f64,
}

impl Default for ColourisationConfig {
    fn default() -> Self {
        Self { hues: 8, grid: 7, grey: 0.1 }
    }
}

/// The quantised hue of each cell of an image of which the network sees the luminance only (in three equal channels).
///
/// The colour of a cell is the mean of its pixels (R, G, B). With M and m its largest and smallest channel, the saturation is
/// `1 - m / M`; below `grey`, and for black, the class is `hues`, else `floor(hues h / 360)`, where h is the hue in degrees
/// (HSV). The cells are those of [`sconce_tensor_core::ops::adaptive_avg_pool2d`].
///
/// Colourisation as a pretext task is Zhang, Isola, Efros, "Colorful image colorization" (ECCV 2016), who quantise the ab plane of CIE Lab; hue in
/// cells is chosen by us.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Colourisation {
    cfg: ColourisationConfig,
}

impl Colourisation {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: ColourisationConfig) -> Result<Self> {
        require("ColourisationConfig.hues", (2..=256).contains(&cfg.hues), "in 2..=256", cfg.hues)?;
        require("ColourisationConfig.grid", (1..=1024).contains(&cfg.grid), "in 1..=1024", cfg.grid)?;
        require("ColourisationConfig.grey", cfg.grey > 0.0 && cfg.grey < 1.0, "in (0, 1)", cfg.grey)?;
        Ok(Self { cfg })
    }

    fn class(&self, [r, g, b]: [f64; 3]) -> u32 {
        let (high, low) = (r.max(g).max(b), r.min(g).min(b));
        let chroma = high - low;
        if high <= 0.0 || chroma < self.cfg.grey * high {
            return self.cfg.hues as u32;
        }
        // In sixths of the circle.
        let sixths = if high == r {
            ((g - b) / chroma).rem_euclid(6.0)
        } else if high == g {
            (b - r) / chroma + 2.0
        } else {
            (r - g) / chroma + 4.0
        };
        ((sixths / 6.0 * self.cfg.hues as f64) as usize).min(self.cfg.hues - 1) as u32
    }
}

fn colour_shape(image: &Image) -> Result<(usize, usize)> {
    let (c, h, w) = image.dims();
    if c == 3 { Ok((h, w)) } else { Err(Error::shape("image of `colourisation`", "(3, H, W)", &[c, h, w])) }
}

impl Pretext for Colourisation {
    fn name(&self) -> String {
        "colourisation".to_owned()
    }

    fn variants(&self) -> usize {
        1
    }

    fn head(&self) -> Head {
        Head::Cells { classes: self.cfg.hues + 1, grid: (self.cfg.grid, self.cfg.grid) }
    }

    fn change(&self, image: Image, variant: usize, _: &Rng) -> Result<Vec<Image>> {
        require_variant(self, variant)?;
        let (h, w) = colour_shape(&image)?;
        Ok(vec![Image::new(3, h, w, image.luminance().repeat(3))?])
    }

    fn labels(&self, image: &Image, _: usize) -> Result<Vec<u32>> {
        let (h, w) = colour_shape(image)?;
        let planes: Vec<&[u8]> = image.planes().collect();
        let n = self.cfg.grid;
        let span = |i: usize, side: usize| i * side / n..((i + 1) * side).div_ceil(n);
        let cells = (0..n * n).map(|cell| {
            let (rows, columns) = (span(cell / n, h), span(cell % n, w));
            // Sums serve as well as means: hue and saturation do not depend on the scale.
            let sum = |plane: &[u8]| -> u64 {
                rows.clone().flat_map(|r| &plane[r * w..][columns.clone()]).map(|v| u64::from(*v)).sum()
            };
            self.class([sum(planes[0]) as f64, sum(planes[1]) as f64, sum(planes[2]) as f64])
        });
        Ok(cells.collect())
    }
}
