//! Several augmentations in turn.

use super::Augment;
use super::images::dims;
use crate::{ExampleRng, Result};
use candle_core::Tensor;

/// The members in turn, each on the result of the one before.
///
/// Member `k` draws from the stream `compose k`, so that two members of one type are independent. Moving a member to
/// another position therefore changes its numbers. Without members it returns its input.
#[derive(Debug)]
pub struct Compose {
    members: Vec<Box<dyn Augment>>,
}

impl Compose {
    /// The members in the order in which they are applied.
    pub fn new(members: Vec<Box<dyn Augment>>) -> Self {
        Self { members }
    }

    /// How many members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl Augment for Compose {
    /// # Errors
    /// Another shape or number of examples, also where there is no member; those of the members.
    fn apply(&self, x: &Tensor, rng: &ExampleRng) -> Result<Tensor> {
        dims(x, rng.examples().len(), "examples of `rng`")?;
        let member = |x: Tensor, k: usize| self.members[k].apply(&x, &rng.stream(&format!("compose {k}")));
        (0..self.members.len()).try_fold(x.detach(), member)
    }
}
