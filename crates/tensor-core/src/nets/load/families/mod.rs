//! The families of networks, one a file.

mod densenet;
mod mlp;
mod mobilenet_v2;
mod preact_resnet;
mod resnet;
mod small_cnn;
mod vgg;
mod vit;
mod wide_resnet;

use super::family::Family;

/// All families.
pub(super) static FAMILIES: [&Family; 9] = [
    &small_cnn::FAMILY,
    &resnet::FAMILY,
    &wide_resnet::FAMILY,
    &preact_resnet::FAMILY,
    &vgg::FAMILY,
    &densenet::FAMILY,
    &mobilenet_v2::FAMILY,
    &vit::FAMILY,
    &mlp::FAMILY,
];

/// The number at the end of a part of a name: of `block1` 1.
fn number(part: &str, before: &str) -> Option<usize> {
    part.strip_prefix(before)?.parse().ok()
}
