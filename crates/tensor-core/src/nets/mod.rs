//! Network architectures that several papers use.

pub mod load;
mod resnet;
mod small_cnn;

pub use resnet::{ResNet, ResNetConfig};
pub use small_cnn::{SmallCnn, SmallCnnConfig};
