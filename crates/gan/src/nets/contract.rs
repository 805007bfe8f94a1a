//! The contracts of generators and discriminators.

use crate::{Error, Result};
use sconce_tensor_core::candle_core::Tensor;
use sconce_tensor_core::{Bounds, Mode, Module, Params};

/// What a forward pass of a generator is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Training: statistics of the batch, weights in the graph. Standing statistics that were taken before are dropped, because the
    /// weights are about to change.
    Train,
    /// One of the batches of [`standing_statistics`](super::standing_statistics), counted from 1: statistics of the batch join the
    /// standing ones. Weights are not in the graph.
    Collect(usize),
    /// Sampling: standing statistics, so that a sample depends on its own noise and label only. Weights are not in the graph.
    Sample,
}

impl Pass {
    /// The mode of layers without batch statistics.
    pub fn mode(self) -> Mode {
        if self == Self::Train { Mode::Train } else { Mode::Frozen }
    }
}

/// A network that makes examples from noise and labels.
///
/// Parameters of single classes have the class as their first axis and `class` as one segment of their name
/// (`norm1.class.scale`), so that [`initialise_class_rows`](super::initialise_class_rows) finds them.
pub trait Generator: Module {
    /// The length of the noise vector, Z.
    fn noise(&self) -> usize;

    /// The number of classes, K.
    fn classes(&self) -> usize;

    /// The examples of some noise and labels.
    ///
    /// # Shapes
    /// `z` (N, Z) and `y` (N,) of u32 -> (N, ...).
    ///
    /// # Errors
    /// Shapes that do not fit; [`Error::Value`] where [`Pass::Sample`] finds no standing statistics.
    fn generate(&self, z: &Tensor, y: &Tensor, pass: Pass) -> Result<Tensor>;

    /// The range of the examples' elements, where it is bounded. Training data must be in it.
    fn range(&self) -> Option<Bounds> {
        None
    }
}

/// What a discriminator says of a batch.
#[derive(Clone, Debug)]
pub struct Scores {
    /// One score an example, large for real ones, (N,).
    pub realness: Tensor,
    /// Logits of the classes (N, K), of an auxiliary classifier.
    pub classes: Option<Tensor>,
}

/// A network that tells real examples from generated ones. Parameters of single classes are named as in [`Generator`].
pub trait Discriminator: Module {
    /// The number of classes, K.
    fn classes(&self) -> usize;

    /// The scores of examples with their labels. Vectors of spectral norms move in [`Mode::Train`] only.
    ///
    /// # Shapes
    /// `x` (N, ...) and `y` (N,) of u32 -> scores (N,).
    ///
    /// # Errors
    /// Shapes that do not fit.
    fn score(&self, x: &Tensor, y: &Tensor, mode: Mode) -> Result<Scores>;

    /// The number of blocks, in the order in which an example passes them; the head is not among them.
    fn blocks(&self) -> usize {
        0
    }

    /// Freezes the first `blocks` blocks, and no others: their weights stay as they are in training (FreezeD, Mo et al. 2020,
    /// arXiv 2002.10964).
    ///
    /// # Errors
    /// [`Error::Config`] for more blocks than there are.
    fn freeze(&mut self, blocks: usize) -> Result<()> {
        if blocks == 0 {
            return Ok(());
        }
        Err(Error::config("Discriminator.freeze", format!("must be 0 for a network without blocks, got {blocks}")))
    }

    /// The parameters that training may change: all, less those of frozen blocks.
    fn trainable(&self) -> Params {
        self.params().clone()
    }
}

/// `2 x - 1`: images in [0, 1] to the range of the generators here.
///
/// # Errors
/// candle's only.
pub fn to_signed(x: &Tensor) -> Result<Tensor> {
    Ok(x.affine(2.0, -1.0)?)
}

/// `(x + 1) / 2`: generated images to [0, 1].
///
/// # Errors
/// candle's only.
pub fn to_unit(x: &Tensor) -> Result<Tensor> {
    Ok(x.affine(0.5, 0.5)?)
}
