//! Domain Fusion (Yamaguchi et al. 2020, arXiv 1912.11597): one conditional GAN learns a small labelled target data set together with a
//! large labelled outer one; its samples of the target's classes enlarge the target.
//!
//! Only abstract and introduction of the paper were at hand: that both data sets are labelled, are learned at the same time, and that
//! generated images keep the label that they were conditioned on. Everything else here is chosen by us.
//!
//! - [`LabelUnion`]: the disjoint union of both label sets, target first.
//! - [`DomainFusion`]: the arms of a comparison ([`Arm`]) as phases of training, in all of which the discriminator sees the target
//!   equally often.
//! - [`sample`], [`sample_batches`]: labelled images of the target's classes.
//! - [`ExtraBatch`]: a classifier's training with those images beside the real ones, at a weight.
//! - [`score_outer`]: how well an outer data set suits a target, before any GAN is trained.

mod arms;
mod extra;
mod labels;
mod outer;
mod sample;

pub use arms::{Arm, DomainFusion, DomainFusionConfig, NewClasses, Phase};
pub use extra::{ExtraBatch, ExtraBatchConfig};
pub use labels::LabelUnion;
pub use outer::{OuterScore, OuterScoreConfig, score_outer};
pub use sample::{SampleConfig, sample, sample_batches};
