//! Metrics of generated images, each with the facts that it depends on.
//!
//! Images become [`Features`] through an [`Extractor`]; metrics compare features of [`Real`] and [`Generated`] images. Every
//! result is a [`Score`]: the value with the extractor, the resize rule, and the number of images and the split of each side.
//!
//! | function | metric | compares | sample size |
//! |---|---|---|---|
//! | [`fid`], [`frechet`] | Fréchet (inception) distance | Gaussians fitted to features | biased upwards by about `1/n`; refused below d + 1 images |
//! | [`kid`] | kernel (inception) distance | features | unbiased, may be negative |
//! | [`inception_score`] | inception score | logits of generated images only | biased by the number of images in a split |
//! | [`prdc`] | precision, recall, density, coverage | nearest-neighbour balls | compare at equal n |
//! | [`realism`] | realism of single images | nearest-neighbour balls | |
//! | [`memorisation`] | nearest training image | generated with held-out images | |
//! | [`class_wise`] | FID and KID of each class | features with labels | KID where a class has few images |
//! | [`Ssim`], [`MsSsim`], [`diversity`] | structural similarity | pixels of pairs of images | |
//!
//! [`in_context`] puts two more rows beside a score: real images against other real images, which is the value of a perfect generator
//! at their numbers of images, and training images drawn with replacement, which is the value of a generator that copies.
//!
//! # Cost
//! Distances and kernels are computed in blocks of 1,024 x 1,024, in f64, on all threads, so memory grows with the number of
//! images and not with its square. For [`Manifold`] and [`prdc`] most comparisons are decided in f32 with a proven bound of its error, and
//! in f64 where the bound leaves them open: the results are those of f64. Results are bit-identical for every number of threads.

mod blocks;
mod classes;
mod context;
mod extractor;
mod features;
mod fid;
mod inception;
mod kid;
mod manifold;
mod moments;
mod ms_ssim;
mod nearest;
mod provenance;
mod screen;
mod ssim;

pub use classes::{ClassScore, ClassWise, ClassWiseConfig, class_wise};
pub use context::{InContext, in_context};
pub use extractor::{ClassifierLogits, Extractor, FeatureFunction, ImageSpec};
pub use features::Features;
pub use fid::{FidConfig, fid, frechet};
pub use inception::{InceptionScore, InceptionScoreConfig, inception_score};
pub use kid::{Kid, KidConfig, Subsets, kid};
pub use manifold::{Manifold, Prdc, PrdcConfig, prdc, realism};
pub use moments::Moments;
pub use ms_ssim::{ClassImages, Diversity, MsSsim, MsSsimConfig, Origin, diversity};
pub use nearest::{Memorisation, Neighbour, memorisation, nearest};
pub use provenance::{Context, Generated, HeldOut, Real, Resize, Sample, Score, Source};
pub use ssim::{Ssim, SsimConfig};
