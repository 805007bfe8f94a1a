//! Sizes of generators and discriminators.

use super::head::Conditioning;
use crate::Result;
use sconce_tensor_core::error::require;

/// How the number of channels grows as maps become smaller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Widths {
    /// Twice as many channels at half the side.
    #[default]
    Doubling,
    /// The same number everywhere, as in the SN-GAN for 32x32 images.
    Constant,
}

impl Widths {
    /// The channels of each stage, from the full side down.
    fn channels(self, width: usize, stages: usize) -> Vec<usize> {
        (0..=stages).map(|i| if self == Self::Doubling { width << i } else { width }).collect()
    }
}

/// Configuration of a generator.
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `channels` | 1 | channels of an image | >= 1 |
/// | `side` | 28 | side of an image in pixels | 8..=128 |
/// | `classes` | 10 | classes; 1 for images without labels | >= 1 |
/// | `noise` | 128 | length of the noise vector | >= 1 |
/// | `width` | 32 | channels of maps of the full side | >= 1 |
/// | `widths` | doubling | channels of smaller maps | |
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratorConfig {
    /// Channels of an image.
    pub channels: usize,
    /// Side of an image.
    pub side: usize,
    /// Number of classes.
    pub classes: usize,
    /// Length of the noise vector.
    pub noise: usize,
    /// Channels of maps of the full side.
    pub width: usize,
    /// Channels of smaller maps.
    pub widths: Widths,
}

impl Default for GeneratorConfig {
    fn default() -> Self {
        Self { channels: 1, side: 28, classes: 10, noise: 128, width: 32, widths: Widths::Doubling }
    }
}

/// Configuration of a discriminator.
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `channels` | 1 | channels of an image | >= 1 |
/// | `side` | 28 | side of an image in pixels | 8..=128 |
/// | `classes` | 10 | classes; 1 for images without labels | >= 1 |
/// | `width` | 32 | channels of maps of the full side | >= 1 |
/// | `widths` | doubling | channels of smaller maps | |
/// | `halvings` | none | blocks that halve the side; none: until it is at most 5 | 1..=6, a last side >= 2 |
/// | `plain_blocks` | 0 | further blocks at the last side | |
/// | `conditioning` | projection | how the score depends on the label | |
/// | `spectral_norm` | true | whether every weight is divided by its largest singular value | |
///
/// The SN-GAN for 32x32 images (Miyato et al. 2018) is [`ResNetDiscriminator`](super::ResNetDiscriminator) with constant widths of 128, 2
/// halvings and 2 plain blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct DiscriminatorConfig {
    /// Channels of an image.
    pub channels: usize,
    /// Side of an image.
    pub side: usize,
    /// Number of classes.
    pub classes: usize,
    /// Channels of maps of the full side.
    pub width: usize,
    /// Channels of smaller maps.
    pub widths: Widths,
    /// Blocks that halve the side.
    pub halvings: Option<usize>,
    /// Further blocks at the last side.
    pub plain_blocks: usize,
    /// How the score depends on the label.
    pub conditioning: Conditioning,
    /// Whether every weight is divided by its largest singular value.
    pub spectral_norm: bool,
}

impl Default for DiscriminatorConfig {
    fn default() -> Self {
        Self {
            channels: 1,
            side: 28,
            classes: 10,
            width: 32,
            widths: Widths::Doubling,
            halvings: None,
            plain_blocks: 0,
            conditioning: Conditioning::Projection,
            spectral_norm: true,
        }
    }
}

/// Sides of maps, from the image's down, with the channels at each.
pub(super) struct Stages {
    pub(super) sides: Vec<usize>,
    pub(super) channels: Vec<usize>,
}

/// Halves a side until it is at most this.
const LARGEST_BASE: usize = 5;

fn stages(side: usize, halvings: Option<usize>, width: usize, widths: Widths) -> Stages {
    let mut sides = vec![side];
    let mut last = side;
    while halvings.map_or(last > LARGEST_BASE, |n| sides.len() <= n) {
        last /= 2;
        sides.push(last);
    }
    let channels = widths.channels(width, sides.len() - 1);
    Stages { sides, channels }
}

impl GeneratorConfig {
    /// Checks the fields; the sides and channels of the maps.
    pub(super) fn stages(&self) -> Result<Stages> {
        require("GeneratorConfig.channels", self.channels >= 1, "at least 1", self.channels)?;
        require("GeneratorConfig.side", (8..=128).contains(&self.side), "in 8..=128", self.side)?;
        require("GeneratorConfig.classes", self.classes >= 1, "at least 1", self.classes)?;
        require("GeneratorConfig.noise", self.noise >= 1, "at least 1", self.noise)?;
        require("GeneratorConfig.width", (1..=4096).contains(&self.width), "in 1..=4096", self.width)?;
        Ok(stages(self.side, None, self.width, self.widths))
    }
}

impl DiscriminatorConfig {
    /// Checks the fields; the sides and channels of the maps, plain blocks last.
    pub(super) fn stages(&self) -> Result<Stages> {
        require("DiscriminatorConfig.channels", self.channels >= 1, "at least 1", self.channels)?;
        require("DiscriminatorConfig.side", (8..=128).contains(&self.side), "in 8..=128", self.side)?;
        require("DiscriminatorConfig.classes", self.classes >= 1, "at least 1", self.classes)?;
        require("DiscriminatorConfig.width", (1..=4096).contains(&self.width), "in 1..=4096", self.width)?;
        require("DiscriminatorConfig.plain_blocks", self.plain_blocks <= 64, "at most 64", self.plain_blocks)?;
        if let Some(n) = self.halvings {
            let fits = (1..=6).contains(&n) && self.side >> n >= 2;
            require("DiscriminatorConfig.halvings", fits, "in 1..=6 and leave a side of at least 2", n)?;
        }
        let mut all = stages(self.side, self.halvings, self.width, self.widths);
        for list in [&mut all.sides, &mut all.channels] {
            let last = list[list.len() - 1];
            list.resize(list.len() + self.plain_blocks, last);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_halve_to_a_base_of_3_to_5() -> Result<()> {
        for (side, want) in [
            (8, vec![8, 4]),
            (11, vec![11, 5]),
            (14, vec![14, 7, 3]),
            (28, vec![28, 14, 7, 3]),
            (32, vec![32, 16, 8, 4]),
            (64, vec![64, 32, 16, 8, 4]),
        ] {
            assert_eq!(GeneratorConfig { side, ..Default::default() }.stages()?.sides, want);
        }
        let sngan = DiscriminatorConfig {
            side: 32,
            width: 128,
            widths: Widths::Constant,
            halvings: Some(2),
            plain_blocks: 2,
            ..Default::default()
        };
        let Stages { sides, channels } = sngan.stages()?;
        assert_eq!((sides, channels), (vec![32, 16, 8, 8, 8], vec![128; 5]));
        assert!(DiscriminatorConfig { side: 8, halvings: Some(3), ..Default::default() }.stages().is_err());
        assert!(GeneratorConfig { side: 7, ..Default::default() }.stages().is_err());
        Ok(())
    }
}
