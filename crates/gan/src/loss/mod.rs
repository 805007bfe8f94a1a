//! What generators and discriminators minimise, and what keeps a discriminator from memorising few images.
//!
//! - [`GanLoss`]: hinge, non-saturating, Wasserstein, least squares, relativistic average hinge.
//! - [`gradient_norms`], [`r1`], [`wasserstein_penalty`]: penalties on the gradient to the input. They need second derivatives: start the
//!   process with `CANDLE_GRAD_DO_NOT_DETACH=1`; otherwise they are an error. Operations without a second derivative (batch norm
//!   in the discriminator) are an error too.
//! - [`DiffAugment`]: differentiable augmentation of real and generated images.
//! - [`Ada`]: the controller of adaptive augmentation.

mod ada;
mod adversarial;
mod diff_augment;
mod penalty;

pub use ada::{Ada, AdaConfig};
pub use adversarial::{GanLoss, weighted_mean};
pub use diff_augment::{DiffAugment, DiffAugmentConfig, brightness, contrast, cutout, saturation, translate};
pub use penalty::{Penalty, gradient_norms, r1, wasserstein_penalty};
