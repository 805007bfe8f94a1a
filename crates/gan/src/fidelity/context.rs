//! The two scores that a score of generated images is read against.

use super::features::Features;
use super::provenance::{Generated, Real, Score};
use crate::Result;
use sconce_tensor_core::Rng;

/// A score of generated images with its context rows. A row that cannot be computed is an error of its own.
#[derive(Debug)]
pub struct InContext<V> {
    /// The generated images against the reference.
    pub generated: Result<Score<V>>,
    /// Two disjoint random parts of the reference against each other: the score of a perfect generator at their numbers of images.
    pub real_against_real: Result<Score<V>>,
    /// Training images, drawn with replacement, against the reference: the score of a generator that gives them back at random.
    pub copies: Result<Score<V>>,
}

/// A metric of generated images, with the same metric of real images and of the training images in the place of the generated ones.
///
/// The part of the reference that plays the generated images has their number; only the rest of the reference plays the real images (n is
/// in each score). FID falls with both numbers and recall changes with both, so a perfect generator is a little better than this row.
/// Where the reference has no more images than were generated, this row is an error. As many training images as were generated are drawn
/// with replacement, so they repeat: each once, they would have another recall than copies do, and a KID without bias. `rng` draws both.
/// `reference` should not contain `training`.
///
/// ```
/// use sconce_gan::fidelity::{Features, FidConfig, Generated, Real, Resize, Source, fid, in_context};
/// use sconce_tensor_core::candle_core::{DType, Device};
/// use sconce_tensor_core::Rng;
/// let sample = |seed, n, mean| {
///     let source = Source { extractor: "pixels".into(), resize: Resize::None, split: format!("seed {seed}") };
///     Features::new(&Rng::new(seed).normal((n, 4), mean, 1.0, DType::F64, &Device::Cpu)?, source)
/// };
/// let (reference, training, generated) = (sample(0, 400, 0.0)?, sample(1, 50, 0.0)?, sample(2, 100, 1.0)?);
/// let fid = |r: Real<&Features>, g: Generated<&Features>| fid(r, g, &FidConfig::default());
/// let all = in_context(Real(&reference), Real(&training), Generated(&generated), &Rng::new(3), fid);
/// let generated = all.generated?.value;
/// assert!(all.real_against_real?.value < generated && all.copies?.value < generated);
/// # Ok::<(), sconce_gan::Error>(())
/// ```
pub fn in_context<V>(
    Real(reference): Real<&Features>,
    Real(training): Real<&Features>,
    Generated(generated): Generated<&Features>,
    rng: &Rng,
    metric: impl Fn(Real<&Features>, Generated<&Features>) -> Result<Score<V>>,
) -> InContext<V> {
    let n = generated.len();
    let parts = reference.split(n, &rng.stream("real against real"));
    let rows: Vec<usize> =
        rng.stream("copies").below(n, training.len() as u64).into_iter().map(|i| i as usize).collect();
    let copied = training.select(&rows, format!("{} ({n} drawn with replacement)", training.source().split));
    InContext {
        generated: metric(Real(reference), Generated(generated)),
        real_against_real: parts.and_then(|(part, rest)| metric(Real(&rest), Generated(&part))),
        copies: copied.and_then(|copied| metric(Real(reference), Generated(&copied))),
    }
}
