//! Image enhancements by name and magnitude.

use super::{Image, blend, tone};
use sconce_tensor_core::{Error, Result, error::require};
use std::{fmt, str::FromStr};

/// An image enhancement, without its magnitude.
///
/// The first four blend the image `x` with a degenerate image `d` of it: `d + a (x - d)`, truncated to a byte, so that the
/// magnitude `a` = 1 is the identity and 0 is `d`.
///
/// | Kind | `d`, or the rule | Magnitude | Identity at |
/// |---|---|---|---|
/// | `Brightness` | black | factor `a` >= 0 | 1 |
/// | `Color` | the luminance | factor `a` >= 0 | 1 |
/// | `Contrast` | the mean luminance, rounded | factor `a` >= 0 | 1 |
/// | `Sharpness` | smoothed by [1 1 1; 1 5 1; 1 1 1] / 13, the border of one pixel left as it is | factor `a` >= 0 | 1 |
/// | `Solarize` | bytes of at least `t` are inverted | threshold `t` in [0, 256] | 256 |
/// | `Posterize` | keeps the highest `b` bits | bits `b` in 1..=8 | 8 |
/// | `Equalize` | equalises the histogram of each channel | 0: off, 1: on | 0 |
/// | `AutoContrast` | stretches each channel to 0..255 | 0: off, 1: on | 0 |
///
/// Factors are rounded to f32, as Pillow does. Results are Pillow's bytes (`ImageEnhance`, `ImageOps`; tested against
/// Pillow 13.0.0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the table above
pub enum EnhancementKind {
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Solarize,
    Posterize,
    Equalize,
    AutoContrast,
}

impl EnhancementKind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Brightness,
        Self::Color,
        Self::Contrast,
        Self::Sharpness,
        Self::Solarize,
        Self::Posterize,
        Self::Equalize,
        Self::AutoContrast,
    ];

    /// The name, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Brightness => "brightness",
            Self::Color => "color",
            Self::Contrast => "contrast",
            Self::Sharpness => "sharpness",
            Self::Solarize => "solarize",
            Self::Posterize => "posterize",
            Self::Equalize => "equalize",
            Self::AutoContrast => "autocontrast",
        }
    }

    /// The enhancement of this kind with a magnitude.
    ///
    /// # Errors
    /// [`sconce_tensor_core::Error::Config`] for a magnitude outside the range of the kind.
    pub fn at(self, magnitude: f64) -> Result<Enhancement> {
        let (ok, must) = match self {
            Self::Solarize => ((0.0..=256.0).contains(&magnitude), "a threshold in [0, 256]"),
            Self::Posterize => {
                (magnitude.fract() == 0.0 && (1.0..=8.0).contains(&magnitude), "a whole number of bits in 1..=8")
            }
            Self::Equalize | Self::AutoContrast => (magnitude == 0.0 || magnitude == 1.0, "0 (off) or 1 (on)"),
            _ => (magnitude >= 0.0 && (magnitude as f32).is_finite(), "a finite factor >= 0"),
        };
        require("Enhancement.magnitude", ok, &format!("{must} for {}", self.name()), magnitude)?;
        Ok(Enhancement { kind: self, magnitude })
    }
}

/// From the name.
impl FromStr for EnhancementKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|k| k.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::config("EnhancementKind", format!("must be one of {names}, got `{name}`"))
        })
    }
}

/// An enhancement with its magnitude ([`EnhancementKind::at`]): a deterministic change of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Enhancement {
    kind: EnhancementKind,
    magnitude: f64,
}

impl Enhancement {
    /// The kind.
    pub fn kind(&self) -> EnhancementKind {
        self.kind
    }

    /// The magnitude.
    pub fn magnitude(&self) -> f64 {
        self.magnitude
    }

    /// Changes an image. `Color` leaves a grey image as it is; `Sharpness` leaves an image with a side below 3 as it is.
    pub fn apply(&self, image: &mut Image) {
        let a = self.magnitude as f32;
        match self.kind {
            EnhancementKind::Brightness => blend::brightness(image, a),
            EnhancementKind::Color => blend::color(image, a),
            EnhancementKind::Contrast => blend::contrast(image, a),
            EnhancementKind::Sharpness => blend::sharpness(image, a),
            EnhancementKind::Solarize => tone::solarize(image, self.magnitude),
            EnhancementKind::Posterize => tone::posterize(image, self.magnitude as u32),
            EnhancementKind::Equalize if self.magnitude == 1.0 => tone::equalize(image),
            EnhancementKind::AutoContrast if self.magnitude == 1.0 => tone::autocontrast(image),
            EnhancementKind::Equalize | EnhancementKind::AutoContrast => {}
        }
    }
}

impl fmt::Display for Enhancement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.magnitude)
    }
}
