//! Several pretext tasks as one.

use super::{Head, Pretext, require_variant};
use crate::transforms::Image;
use sconce_tensor_core::{Error, Result, Rng, error::require};

/// The combination of the variants of several tasks as one class: for rotation and four magnitudes, one softmax over 16.
///
/// The class of the variants (v1, v2, ...) is `(v1 n2 + v2) n3 + ...`, with n the numbers of variants.
#[derive(Debug)]
pub struct Joint {
    members: Vec<Box<dyn Pretext>>,
}

impl Joint {
    /// The members, which change an image one after the other.
    ///
    /// # Errors
    /// [`Error::Config`] for fewer than two members, for one with several views or another label than its variant's, and for more than 2^16
    /// classes.
    pub fn new(members: Vec<Box<dyn Pretext>>) -> Result<Self> {
        require("Joint.members", members.len() >= 2, "at least two", members.len())?;
        let plain = |m: &dyn Pretext| m.views() == 1 && m.head() == Head::Image { classes: m.variants() };
        if let Some(m) = members.iter().find(|m| !plain(m.as_ref())) {
            let reason = format!("must predict a variant of one view, which `{}` does not", m.name());
            return Err(Error::config("Joint.members", reason));
        }
        let classes = members.iter().try_fold(1usize, |n, m| n.checked_mul(m.variants()).filter(|n| *n <= 1 << 16));
        require("Joint.classes", classes.is_some(), "at most 65536", "more")?;
        Ok(Self { members })
    }
}

impl Pretext for Joint {
    fn name(&self) -> String {
        self.members.iter().map(|m| m.name()).collect::<Vec<_>>().join("*")
    }

    fn variants(&self) -> usize {
        self.members.iter().map(|m| m.variants()).product()
    }

    fn change(&self, image: Image, variant: usize, rng: &Rng) -> Result<Vec<Image>> {
        require_variant(self, variant)?;
        let mut rest = self.variants();
        self.members.iter().enumerate().try_fold(vec![image], |mut views, (i, m)| {
            rest /= m.variants();
            let own = rng.stream(&format!("joint {i}"));
            match views.pop() {
                Some(image) => m.change(image, variant / rest % m.variants(), &own),
                None => Ok(views),
            }
        })
    }
}
