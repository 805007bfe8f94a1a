//! The magnitude of an enhancement as a class.

use super::{Pretext, require_variant};
use crate::transforms::{Enhancement, EnhancementKind, Image};
use sconce_tensor_core::{Error, Result, Rng, error::require};

/// With which of some magnitudes an image was enhanced: class i is the i-th magnitude.
///
/// That MP-SSL predicts enhancements is the paper's (arXiv 1912.11603, abstract); that it predicts classes of magnitudes, and the
/// default grids, are chosen by us: the paper's are not known to us.
///
/// | Kind | [`Magnitudes::of`] |
/// |---|---|
/// | `Color` | 0.1, 0.7, 1.3, 1.9 |
/// | `Brightness`, `Contrast` | 0.4, 0.8, 1.2, 1.6 |
/// | `Sharpness` | 0, 1, 3, 6 |
/// | `Solarize` | 256, 230, 204, 179 |
/// | `Posterize` | 8, 6, 5, 4 |
/// | `Equalize`, `AutoContrast` | 0, 1 |
///
/// On grey images the classes of `Color` cannot be told from each other: its loss stays at `ln` of the number of classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Magnitudes {
    kind: EnhancementKind,
    classes: Vec<Enhancement>,
}

impl Magnitudes {
    /// The kind with its default grid.
    pub fn of(kind: EnhancementKind) -> Result<Self> {
        Self::new(
            kind,
            match kind {
                EnhancementKind::Color => &[0.1, 0.7, 1.3, 1.9],
                EnhancementKind::Brightness | EnhancementKind::Contrast => &[0.4, 0.8, 1.2, 1.6],
                EnhancementKind::Sharpness => &[0.0, 1.0, 3.0, 6.0],
                EnhancementKind::Solarize => &[256.0, 230.0, 204.0, 179.0],
                EnhancementKind::Posterize => &[8.0, 6.0, 5.0, 4.0],
                EnhancementKind::Equalize | EnhancementKind::AutoContrast => &[0.0, 1.0],
            },
        )
    }

    /// The kind with a grid of its own.
    ///
    /// # Errors
    /// [`Error::Config`] for fewer than two magnitudes, one that occurs twice, or one out of the kind's range.
    pub fn new(kind: EnhancementKind, magnitudes: &[f64]) -> Result<Self> {
        require("Magnitudes.magnitudes", magnitudes.len() >= 2, "at least two", magnitudes.len())?;
        if let Some(m) = magnitudes.iter().enumerate().find(|(i, m)| magnitudes[..*i].contains(m)) {
            return Err(Error::config(
                "Magnitudes.magnitudes",
                format!("must differ from each other, got {} twice", m.1),
            ));
        }
        let classes = magnitudes.iter().map(|m| kind.at(*m)).collect::<Result<_>>()?;
        Ok(Self { kind, classes })
    }

    /// The enhancement of each class.
    pub fn classes(&self) -> &[Enhancement] {
        &self.classes
    }
}

impl Pretext for Magnitudes {
    fn name(&self) -> String {
        self.kind.name().to_owned()
    }

    fn variants(&self) -> usize {
        self.classes.len()
    }

    fn change(&self, mut image: Image, variant: usize, _: &Rng) -> Result<Vec<Image>> {
        require_variant(self, variant)?;
        self.classes[variant].apply(&mut image);
        Ok(vec![image])
    }
}
