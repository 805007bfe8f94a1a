//! Architectures that two papers share.

mod resnet;
mod small_cnn;

pub use resnet::{ResNet, ResNetConfig};
pub use small_cnn::{SmallCnn, SmallCnnConfig};
