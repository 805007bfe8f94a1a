//! The contract of feature extractors.

use crate::{Error, Result};
use sconce_tensor_core::candle_core::{DType, Tensor};
use sconce_tensor_core::{Bounds, Classifier};

/// The images that an extractor takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageSpec {
    /// Channels.
    pub channels: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// The interval of valid pixel values.
    pub range: Bounds,
}

impl ImageSpec {
    /// Refuses images (N, C, H, W) of another shape, of an integer type, or with values outside the range.
    ///
    /// # Errors
    /// [`Error::Shape`], or [`Error::Value`] with the offending extreme value.
    pub fn check(&self, images: &Tensor) -> Result<()> {
        let Self { channels: c, height: h, width: w, range } = *self;
        if images.rank() != 4 || images.dims()[1..] != [c, h, w] || images.dims()[0] == 0 {
            let expected = format!("(N, {c}, {h}, {w}), N at least 1; resize the images first and name the rule");
            return Err(Error::shape("images", expected, images.dims()));
        }
        let interval = format!("[{}, {}]", range.lo(), range.hi());
        if !images.dtype().is_float() {
            let reason = format!("have the type {:?}: scale them to {interval} as f32", images.dtype());
            return Err(Error::value("images", reason));
        }
        let flat = images.detach().flatten_all()?;
        let extreme = |t: Tensor| Ok::<f64, Error>(t.to_dtype(DType::F64)?.to_scalar()?);
        sconce_tensor_core::classifier::require_finite("images", &flat)?;
        let (lo, hi) = (extreme(flat.min(0)?)?, extreme(flat.max(0)?)?);
        match lo >= range.lo() && hi <= range.hi() {
            true => Ok(()),
            false => Err(Error::value("images", format!("lie in [{lo}, {hi}], the extractor takes {interval}"))),
        }
    }
}

/// A map from images to features, which states what images it takes.
pub trait Extractor {
    /// A name that is part of every score: the network, its weights and the layer. Two extractors with one name must give the
    /// same features.
    fn name(&self) -> &str;

    /// The images that it takes.
    fn images(&self) -> ImageSpec;

    /// (N, C, H, W) -> (N, D), each row from its own image alone.
    ///
    /// # Errors
    /// Errors of the network.
    fn features(&self, images: &Tensor) -> Result<Tensor>;
}

/// The logits of a classifier as features: for [`super::inception_score`], and as features where a network has no other.
pub struct ClassifierLogits<'a> {
    name: String,
    images: ImageSpec,
    model: &'a dyn Classifier,
}

impl<'a> ClassifierLogits<'a> {
    /// The logits of `model` for images of `(channels, height, width)` in the model's bounds.
    pub fn new(name: impl Into<String>, model: &'a dyn Classifier, shape: (usize, usize, usize)) -> Self {
        let (channels, height, width) = shape;
        Self { name: name.into(), images: ImageSpec { channels, height, width, range: model.bounds() }, model }
    }
}

impl Extractor for ClassifierLogits<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn images(&self) -> ImageSpec {
        self.images
    }

    fn features(&self, images: &Tensor) -> Result<Tensor> {
        sconce_tensor_core::classifier::logits(self.model, images)
    }
}

/// Any function as an extractor: the penultimate layer of a network, or the pixels themselves.
pub struct FeatureFunction<F> {
    name: String,
    images: ImageSpec,
    function: F,
}

impl<F: Fn(&Tensor) -> Result<Tensor>> FeatureFunction<F> {
    /// `function` maps (N, C, H, W) to (N, D), in evaluation mode.
    pub fn new(name: impl Into<String>, images: ImageSpec, function: F) -> Self {
        Self { name: name.into(), images, function }
    }
}

impl<F: Fn(&Tensor) -> Result<Tensor>> Extractor for FeatureFunction<F> {
    fn name(&self) -> &str {
        &self.name
    }

    fn images(&self) -> ImageSpec {
        self.images
    }

    fn features(&self, images: &Tensor) -> Result<Tensor> {
        (self.function)(images)
    }
}
