//! The union of two label sets.

use crate::Result;
use sconce_tensor_core::error::require;
use std::ops::Range;

/// The disjoint union of the label sets of a target and an outer data set: target classes are `0..target`, outer ones follow.
///
/// ```
/// use sconce_gan::domain_fusion::LabelUnion;
/// let union = LabelUnion::new(5, 10)?;
/// assert_eq!((union.classes(), union.target(), union.outer()), (15, 0..5, 5..15));
/// assert_eq!((union.of_outer(3)?, union.is_target(8)), (8, false));
/// # Ok::<(), sconce_gan::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelUnion {
    target: usize,
    outer: usize,
}

impl LabelUnion {
    /// The union of `target` and `outer` classes.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for a target without classes.
    pub fn new(target: usize, outer: usize) -> Result<Self> {
        require("LabelUnion.target", target >= 1, "at least 1", target)?;
        Ok(Self { target, outer })
    }

    /// How many classes there are in all.
    pub fn classes(&self) -> usize {
        self.target + self.outer
    }

    /// The target's classes.
    pub fn target(&self) -> Range<usize> {
        0..self.target
    }

    /// The outer classes.
    pub fn outer(&self) -> Range<usize> {
        self.target..self.classes()
    }

    /// The class of a label of the target.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for a label out of range.
    pub fn of_target(&self, label: usize) -> Result<usize> {
        require("LabelUnion.of_target", label < self.target, &format!("below {}", self.target), label)?;
        Ok(label)
    }

    /// The class of a label of the outer data.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for a label out of range.
    pub fn of_outer(&self, label: usize) -> Result<usize> {
        require("LabelUnion.of_outer", label < self.outer, &format!("below {}", self.outer), label)?;
        Ok(self.target + label)
    }

    /// Whether a class is the target's.
    pub fn is_target(&self, class: usize) -> bool {
        class < self.target
    }
}
