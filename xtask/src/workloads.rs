//! The workloads of the bench: a row has a name, what the worker makes, how near the peer's losses must come, and the peers.

use Make::{
    AutoAttack, Autoencoder, Conv, Dcgan, DetectAbc, DetectEcod, DetectForest, DetectHbos, Fid, FourierSweep, GanStep,
    HessianTop5, LanguageModel, Matmul, MobileNetTrain, Nll, OnnxResNet50, PgdResNet18, PgdSmallCnn, Prdc, Pretext,
    ResNet18Train, SigsoftmaxNll, SmallCnnInputGradient, SmallCnnTrain,
};
use Same::{Anything, Finite, Relative, Within};

/// One row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Workload {
    /// Its name in the table and in `--filter`.
    pub name: &'static str,
    /// What the worker makes.
    pub make: Make,
    /// How near the peer's losses must come to ours.
    pub same: Same,
    /// `module.function` of its twin in `xtask/bench/src/peer_torch`.
    pub torch: &'static str,
    /// Whether plain candle has it too.
    pub candle: bool,
}

/// What the worker makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names, and the functions of the worker
pub enum Make {
    SmallCnnTrain,
    SmallCnnInputGradient,
    ResNet18Train { width: usize },
    MobileNetTrain,
    OnnxResNet50,
    PgdSmallCnn,
    PgdResNet18,
    FourierSweep,
    AutoAttack,
    Autoencoder,
    LanguageModel,
    Dcgan,
    GanStep,
    Fid,
    Prdc,
    Pretext { heads: usize },
    Nll { classes: usize },
    SigsoftmaxNll { classes: usize },
    DetectAbc,
    DetectEcod,
    DetectHbos,
    DetectForest,
    HessianTop5,
    Conv(Convolution),
    Matmul,
}

impl Make {
    /// Whether candle must keep the graph of gradients, because they are differentiated again.
    pub fn keeps_graph(self) -> bool {
        self == HessianTop5
    }
}

/// One map of a convolution that keeps the size of its maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Channels that enter.
    pub channels: usize,
    /// The side of the maps.
    pub side: usize,
    /// Channels that leave.
    pub filters: usize,
    /// The side of the kernel.
    pub kernel: usize,
    /// Which of the three maps.
    pub map: Map,
}

/// The maps of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    /// Forward.
    Forward,
    /// The gradient to the input.
    Input,
    /// The gradient to the weight.
    Weight,
}

/// How near the peer's losses must come to ours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Same {
    /// This relative difference.
    Relative(f64),
    /// This difference.
    Within(f64),
    /// Both are numbers.
    Finite,
    /// The peer computes another function.
    Anything,
}

impl Same {
    /// Whether two losses are as near as that.
    pub fn holds(self, ours: f64, peer: f64) -> bool {
        let apart = (ours - peer).abs();
        match self {
            Relative(most) => apart <= most * ours.abs().max(peer.abs()).max(1e-3),
            Within(most) => apart <= most,
            Finite => ours.is_finite() && peer.is_finite(),
            Anything => true,
        }
    }
}

/// The same arithmetic in another order.
const ARITHMETIC: Same = Relative(1e-3);
/// Power iteration stops where an eigenvalue changes by less than 1e-3.
const POWER_ITERATION: Same = Relative(1e-2);
/// Robust accuracies on 100 images, from other random starts.
const OTHER_STARTS: Same = Within(0.02);
/// Mean scores of forests, from other random cuts.
const OTHER_CUTS: Same = Within(0.02);
/// Hinge losses of 128 images, from other noise, labels and augmentation; `crates/gan/tests/trajectory.rs` compares the arithmetic.
const OTHER_DRAWS: Same = Within(0.3);

const fn row(name: &'static str, make: Make, same: Same, torch: &'static str) -> Workload {
    Workload { name, make, same, torch, candle: false }
}

impl Workload {
    const fn and_candle(self) -> Self {
        Self { candle: true, ..self }
    }

    /// The row of a name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|w| w.name == name)
    }
}

macro_rules! conv {
    ($c:literal x $h:literal, $o:literal, $k:literal, $map:ident $short:literal) => {
        row(
            concat!("conv-", $c, "x", $h, "-", $o, "-k", $k, "-", $short),
            Conv(Convolution { channels: $c, side: $h, filters: $o, kernel: $k, map: Map::$map }),
            ARITHMETIC,
            concat!("parts.conv_", $short),
        )
    };
}

/// The product that stands for what the machine can do; it is measured beside each row.
pub const PEAK: Workload = row("matmul-2048", Matmul, ARITHMETIC, "parts.matmul").and_candle();

/// All workloads, in the order of the table.
#[rustfmt::skip]
pub const ALL: &[Workload] = &[
    row("small-cnn-train", SmallCnnTrain, ARITHMETIC, "images.small_cnn_train").and_candle(),
    row("small-cnn-input-grad", SmallCnnInputGradient, ARITHMETIC, "images.small_cnn_input_gradient").and_candle(),
    row("resnet18-w16-train", ResNet18Train { width: 16 }, ARITHMETIC, "images.resnet_train").and_candle(),
    row("resnet18-w64-train", ResNet18Train { width: 64 }, ARITHMETIC, "images.resnet_train").and_candle(),
    row("mobilenet-v2-train", MobileNetTrain, ARITHMETIC, "images.mobilenet_train"),
    row("onnx-resnet50-input-grad", OnnxResNet50, ARITHMETIC, "images.resnet50_input_gradient"),
    row("pgd10-small-cnn", PgdSmallCnn, ARITHMETIC, "attacks.pgd_small_cnn"),
    row("pgd10-resnet18", PgdResNet18, ARITHMETIC, "attacks.pgd_resnet"),
    row("sfa-sweep-16", FourierSweep, ARITHMETIC, "attacks.sweep"),
    row("autoattack-100", AutoAttack, OTHER_STARTS, "attacks.auto_attack"),
    row("autoencoder-step", Autoencoder, ARITHMETIC, "parts.autoencoder"),
    row("lstm-lm-step", LanguageModel, ARITHMETIC, "language.step"),
    row("dcgan-step", Dcgan, ARITHMETIC, "gans.dcgan"),
    row("gan-step", GanStep, OTHER_DRAWS, "gans.two_domains"),
    row("fid-10000x2048", Fid, ARITHMETIC, "fidelity.fid"),
    row("prdc-10000x2048", Prdc, ARITHMETIC, "fidelity.prdc"),
    row("mp-ssl-1-head", Pretext { heads: 1 }, ARITHMETIC, "pretext.step"),
    row("mp-ssl-5-heads", Pretext { heads: 5 }, ARITHMETIC, "pretext.step"),
    row("nll-10000", Nll { classes: 10_000 }, ARITHMETIC, "parts.nll"),
    row("nll-33000", Nll { classes: 33_000 }, ARITHMETIC, "parts.nll"),
    row("sigsoftmax-nll-10000", SigsoftmaxNll { classes: 10_000 }, ARITHMETIC, "parts.sigsoftmax_nll"),
    row("sigsoftmax-nll-33000", SigsoftmaxNll { classes: 33_000 }, ARITHMETIC, "parts.sigsoftmax_nll"),
    // The peer runs its own cross-entropy, on softmax.
    row("sigsoftmax-ce-10000", SigsoftmaxNll { classes: 10_000 }, Anything, "parts.nll"),
    row("sigsoftmax-ce-33000", SigsoftmaxNll { classes: 33_000 }, Anything, "parts.nll"),
    // Networks that were trained by other code.
    row("detect-abc", DetectAbc, Finite, "tables.abc"),
    row("detect-ecod", DetectEcod, ARITHMETIC, "tables.ecod"),
    row("detect-hbos", DetectHbos, ARITHMETIC, "tables.hbos"),
    row("detect-forest", DetectForest, OTHER_CUTS, "tables.forest"),
    row("hessian-top5-resnet18-w16", HessianTop5, POWER_ITERATION, "curvature.top5"),
    conv!(64 x 32, 64, 3, Forward "fwd"),
    conv!(64 x 32, 64, 3, Input "in"),
    conv!(64 x 32, 64, 3, Weight "weight"),
    conv!(128 x 16, 128, 3, Forward "fwd"),
    conv!(128 x 16, 128, 3, Input "in"),
    conv!(128 x 16, 128, 3, Weight "weight"),
    conv!(256 x 8, 256, 3, Forward "fwd"),
    conv!(256 x 8, 256, 3, Input "in"),
    conv!(256 x 8, 256, 3, Weight "weight"),
    conv!(512 x 4, 512, 3, Forward "fwd"),
    conv!(512 x 4, 512, 3, Input "in"),
    conv!(512 x 4, 512, 3, Weight "weight"),
    conv!(16 x 32, 16, 3, Forward "fwd"),
    conv!(16 x 32, 16, 3, Input "in"),
    conv!(16 x 32, 16, 3, Weight "weight"),
    conv!(32 x 14, 64, 5, Forward "fwd"),
    conv!(32 x 14, 64, 5, Input "in"),
    conv!(32 x 14, 64, 5, Weight "weight"),
    conv!(1 x 28, 32, 5, Forward "fwd"),
    conv!(1 x 28, 32, 5, Input "in"),
    conv!(1 x 28, 32, 5, Weight "weight"),
    PEAK,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_name_is_one_row_and_every_twin_is_there() -> std::io::Result<()> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/src/peer_torch");
        for (i, w) in ALL.iter().enumerate() {
            assert_eq!(ALL.iter().position(|o| o.name == w.name), Some(i), "{}", w.name);
            let (module, function) = w.torch.split_once('.').expect("module.function");
            let text = std::fs::read_to_string(folder.join(format!("{module}.py")))?;
            let there =
                |l: &str| l.starts_with(&format!("def {function}(")) || l.starts_with(&format!("{function} = "));
            assert!(text.lines().any(there), "{}: no `{function}` in {module}.py", w.name);
        }
        Ok(())
    }

    #[test]
    fn losses_are_compared_from_both_sides() {
        assert!(ARITHMETIC.holds(2.0, 2.001) && ARITHMETIC.holds(2.001, 2.0) && !ARITHMETIC.holds(2.0, 2.003));
        assert!(OTHER_STARTS.holds(0.5, 0.519) && !OTHER_STARTS.holds(0.5, 0.53));
        assert!(!ARITHMETIC.holds(f64::NAN, f64::NAN) && !Finite.holds(1.0, f64::NAN) && Anything.holds(1.0, 9.0));
    }
}
