//! The names of the workloads, shared by the two binaries.

/// All workloads, in the order of the table.
pub const ALL: &[&str] = &[
    "small-cnn-train",
    "small-cnn-input-grad",
    "resnet18-w16-train",
    "resnet18-w64-train",
    "pgd10-small-cnn",
    "pgd10-resnet18",
    "sfa-sweep-16",
    "autoattack-100",
    "autoencoder-step",
    "lstm-lm-step",
    "dcgan-step",
    "nll-10000",
    "nll-33000",
    "sigsoftmax-nll-10000",
    "sigsoftmax-nll-33000",
    "sigsoftmax-ce-10000",
    "sigsoftmax-ce-33000",
    "detect-abc",
    "detect-ecod",
    "detect-hbos",
    "detect-forest",
    "hessian-top5-resnet18-w16",
    "conv-64x32-64-k3-fwd",
    "conv-64x32-64-k3-in",
    "conv-64x32-64-k3-weight",
    "conv-128x16-128-k3-fwd",
    "conv-128x16-128-k3-in",
    "conv-128x16-128-k3-weight",
    "conv-256x8-256-k3-fwd",
    "conv-256x8-256-k3-in",
    "conv-256x8-256-k3-weight",
    "conv-512x4-512-k3-fwd",
    "conv-512x4-512-k3-in",
    "conv-512x4-512-k3-weight",
    "conv-16x32-16-k3-fwd",
    "conv-16x32-16-k3-in",
    "conv-16x32-16-k3-weight",
    "conv-32x14-64-k5-fwd",
    "conv-32x14-64-k5-in",
    "conv-32x14-64-k5-weight",
    "conv-1x28-32-k5-fwd",
    "conv-1x28-32-k5-in",
    "conv-1x28-32-k5-weight",
    "matmul-2048",
];

/// Those that plain candle has too.
#[allow(dead_code)] // the controller's
pub const CANDLE: &[&str] =
    &["small-cnn-train", "small-cnn-input-grad", "resnet18-w16-train", "resnet18-w64-train", "matmul-2048"];
