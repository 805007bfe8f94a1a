//! Which side a sample is on, and the facts that a score depends on.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Real images: the reference that generated images are compared with.
#[derive(Clone, Copy, Debug)]
pub struct Real<T>(pub T);

/// Images of a generator.
#[derive(Clone, Copy, Debug)]
pub struct Generated<T>(pub T);

/// Real images that the generator was not trained on.
#[derive(Clone, Copy, Debug)]
pub struct HeldOut<T>(pub T);

/// How images were brought to the size of the extractor before they came here. FID changes with the rule, so scores of
/// different rules are not comparable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resize {
    /// The images have the size of the extractor as they are.
    None,
    /// A rule in words: `bicubic with antialiasing, 32 to 299`.
    Rule(String),
}

/// What features were made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The name of the extractor: network, weights and layer.
    pub extractor: String,
    /// How the images were resized.
    pub resize: Resize,
    /// Which images: `fashion-mnist test, classes 0 2 3 4 6`, or the name of a generator and its seed.
    pub split: String,
}

/// One side of a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The number of images.
    pub n: usize,
    /// Which images.
    pub split: String,
}

/// The facts that a score depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// The name of the extractor; `pixels` where images are compared directly.
    pub extractor: String,
    /// How the images of both sides were resized.
    pub resize: Resize,
    /// The real images; `None` for a metric of generated images only.
    pub real: Option<Sample>,
    /// The generated images; `None` for a metric of real images only.
    pub generated: Option<Sample>,
}

/// The value of a metric with the facts that it depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score<V> {
    /// The value.
    pub value: V,
    /// What it depends on.
    pub context: Context,
}

/// A sample with its source, as a side of a comparison.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a> {
    pub(crate) source: &'a Source,
    pub(crate) n: usize,
    pub(crate) width: usize,
}

impl Side<'_> {
    pub(crate) fn sample(self) -> Sample {
        Sample { n: self.n, split: self.source.split.clone() }
    }
}

impl Context {
    /// The context of a comparison.
    ///
    /// # Errors
    /// Features of different extractors, of different widths, or with different resize rules.
    pub(crate) fn of(Real(real): Real<Side<'_>>, Generated(generated): Generated<Side<'_>>) -> Result<Self> {
        let differ = |what: &str, a: &str, b: &str| {
            let reason = format!("have {what} `{a}`, those of the generated images `{b}`: use the same for both");
            Error::value("features of the real images", reason)
        };
        let (r, g) = (real.source, generated.source);
        if r.extractor != g.extractor {
            return Err(differ("the extractor", &r.extractor, &g.extractor));
        }
        if r.resize != g.resize {
            return Err(differ("the resize rule", &format!("{:?}", r.resize), &format!("{:?}", g.resize)));
        }
        if real.width != generated.width {
            return Err(differ("the width", &real.width.to_string(), &generated.width.to_string()));
        }
        Ok(Self {
            extractor: r.extractor.clone(),
            resize: r.resize.clone(),
            real: Some(real.sample()),
            generated: Some(generated.sample()),
        })
    }
}
