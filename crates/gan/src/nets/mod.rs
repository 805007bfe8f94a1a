//! Generators and discriminators, and the layers that they are made of.
//!
//! | type | what it is |
//! |---|---|
//! | [`Generator`], [`Discriminator`] | the contracts that the trainer drives; implement them for networks of your own |
//! | [`DcganGenerator`], [`DcganDiscriminator`] | strided convolutions, for CPUs |
//! | [`ResNetGenerator`], [`ResNetDiscriminator`] | residual blocks of the SN-GAN with projection |
//! | [`SpectralWeight`] | a weight divided by its largest singular value |
//! | [`ConditionalBatchNorm2d`] | batch normalisation with a scale and a shift of each class |
//! | [`standing_statistics`] | statistics of batch norm for sampling |
//! | [`initialise_class_rows`] | new values for the parameters of some classes |
//!
//! Images have sides of 8 to 128 pixels. The side is halved, rounded down, until it is at most 5: 32 -> 16 -> 8 -> 4,
//! 28 -> 14 -> 7 -> 3, 14 -> 7 -> 3. Generators go the same way back. Images are in [-1, 1] ([`to_signed`], [`to_unit`]).

mod conditional;
mod config;
mod contract;
mod dcgan;
mod head;
mod resnet;
mod rows;
pub(crate) mod spectral;
pub(crate) mod standing;

pub use conditional::ConditionalBatchNorm2d;
pub use config::{DiscriminatorConfig, GeneratorConfig, Widths};
pub use contract::{Discriminator, Generator, Pass, Scores, to_signed, to_unit};
pub use dcgan::{DcganDiscriminator, DcganGenerator};
pub use head::Conditioning;
pub use resnet::{ResNetDiscriminator, ResNetGenerator};
pub use rows::{NewRows, initialise_class_rows};
pub use spectral::{SpectralWeight, settle};
pub use standing::standing_statistics;
