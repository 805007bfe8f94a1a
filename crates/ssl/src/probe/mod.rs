//! Probes: what a frozen representation knows about labels that it was not trained on.
//!
//! [`extract`] computes the pooled features of a trunk's blocks; each probe is then fitted on features with labels:
//!
//! | probe | settings | answer |
//! |---|---|---|
//! | [`Knn`] | k, temperature | part of its result |
//! | [`LinearProbe`] | strength of the L2 penalty, chosen on validation | one: the minimiser |
//! | [`SgdProbe`] | rate, epochs and schedule of RotNet or DeepCluster | depends on them |
//!
//! Nothing here trains the trunk; its layers are in evaluation mode and its running statistics stay as they are. [`few_labels`] chooses the
//! examples of a probe with few labels. A probe number means little alone: report the same probe of a trunk with random weights and of
//! [`Pixels`] with it. A [`ProbeNet`] is the trunk with a fitted head as a classifier of images, for attacks.
//!
//! ```
//! use sconce_ssl::probe::{self, Knn, KnnConfig, LinearProbe, LinearProbeConfig, Pixels, Pooling};
//! use sconce_tensor_core::{Rng, candle_core::{DType, Device}, data::Labelled};
//! // Images whose first channel is brighter in class 1.
//! let labels: Vec<u32> = (0..90).map(|i| i % 2).collect();
//! let shift = sconce_tensor_core::candle_core::Tensor::from_iter(
//!     labels.iter().flat_map(|y| [0.3 * *y as f32, 0.0]), &Device::Cpu)?.reshape((90, 2, 1, 1))?;
//! let images = Rng::new(0).uniform((90, 2, 6, 6), 0.0..0.7, DType::F32, &Device::Cpu)?.broadcast_add(&shift)?;
//! let features = probe::extract(&Pixels::new(2), &images, &[(0, Pooling::average(20)?)], 32)?;
//! assert_eq!(features[0].dims(), [90, 2, 3, 3]);
//! let data = Labelled::new(features[0].clone(), &labels, 2)?;
//! let (train, validation, test) = (data.slice(0, 40)?, data.slice(40, 20)?, data.slice(60, 30)?);
//! let fit = LinearProbe::new(LinearProbeConfig::default())?.fit(&train, &validation)?;
//! assert!(fit.head.accuracy(&test)?.rate() > 0.9 && fit.chosen().gradient_norm <= 1e-6);
//! let neighbours = Knn::new(KnnConfig { k: 5, ..Default::default() })?.evaluate(&train, &test)?;
//! assert!(neighbours.accuracy.rate() > 0.8 && neighbours.config.k == 5);
//! # Ok::<(), sconce_tensor_core::Error>(())
//! ```

mod design;
mod features;
mod few;
mod head;
mod knn;
mod lbfgs;
mod linear;
mod logistic;
mod net;
mod pooling;
mod ridge;
mod sgd;

pub use features::{Pixels, extract};
pub use few::{Few, few_labels};
pub use head::LinearHead;
pub use knn::{Knn, KnnConfig, KnnResult};
pub use linear::{LinearFit, LinearLoss, LinearProbe, LinearProbeConfig, Tried};
pub use net::ProbeNet;
pub use pooling::Pooling;
pub use sgd::{SgdProbe, SgdProbeConfig, SgdStart};
