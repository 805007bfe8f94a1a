//! What the field's attack libraries reach on one network, and what ours reach there.

use crate::{Golden, golden};
use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor};
use sconce_attacks::{
    Apgd, ApgdConfig, Attack, CarliniWagner, CarliniWagnerConfig, Ddn, DdnConfig, DeepFool, DeepFoolConfig, Diversity,
    Fab, FabConfig, Fgsm, FgsmConfig, Fmn, FmnConfig, Goal, Loss, Momentum, MomentumConfig, Norm, Pgd, PgdConfig,
    RunConfig, Spsa, SpsaConfig, Square, SquareConfig, StepSize, Translation, run,
};
use sconce_datasets::{Split, embedded};
use sconce_tensor_core::nets::{SmallCnn, SmallCnnConfig};
use sconce_tensor_core::{Module, Rng};
use serde::Deserialize;

/// One row of `golden/attack_oracle.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Theirs {
    /// Who measured it.
    pub library: String,
    /// The attack.
    pub attack: String,
    /// Its norm.
    pub norm: String,
    /// The radius at which robust accuracy is counted.
    pub eps: f64,
    /// How many images.
    pub examples: usize,
    /// Robust accuracy.
    pub robust: f64,
    /// Whether the attack looks for the smallest perturbation.
    pub min_norm: bool,
    /// Mean norm of the perturbations that succeed on images classified right.
    pub mean: f64,
    settings: serde_json::Value,
}

#[derive(Debug, Deserialize)]
struct File {
    versions: String,
    rows: Vec<Theirs>,
}

/// Their row beside ours.
#[derive(Clone, Debug)]
pub struct Row {
    /// Theirs.
    pub theirs: Theirs,
    /// Our robust accuracy.
    pub robust: f64,
    /// Our mean perturbation.
    pub mean: f64,
    /// Allowed difference of robust accuracies.
    pub robust_tolerance: f64,
    /// Allowed relative difference of mean perturbations.
    pub mean_tolerance: f64,
    /// Why these.
    pub reason: &'static str,
}

impl Row {
    /// Whether both are within their tolerance.
    pub fn agrees(&self) -> bool {
        (self.robust - self.theirs.robust).abs() <= self.robust_tolerance + 1e-6
            && (self.mean / self.theirs.mean - 1.0).abs() <= self.mean_tolerance
    }
}

/// The adversarially trained network of the oracle, and the test images in its order.
pub struct Oracle {
    /// The network.
    pub net: SmallCnn,
    /// Images.
    pub x: Tensor,
    /// Labels.
    pub y: Tensor,
    /// The libraries' versions.
    pub versions: String,
    /// Their rows.
    pub rows: Vec<Theirs>,
}

impl Oracle {
    /// Reads the golden files.
    ///
    /// # Errors
    /// Files that are missing or broken.
    pub fn load() -> Result<Self> {
        let file: File = serde_json::from_str(&std::fs::read_to_string(golden("attack_oracle.json"))?)?;
        let cfg = SmallCnnConfig { channels: (8, 16), kernel: 5, hidden: 64, ..Default::default() };
        let net = SmallCnn::new(cfg, Rng::new(0), DType::F32, &Device::Cpu)?;
        net.params().restore(&Golden::load("attack_oracle.safetensors")?.under("net."))?;
        let data = embedded::fashion_mnist(Split::Test)?.to_labelled(&Device::Cpu)?;
        let order: Vec<usize> = (0..1000).map(|i| i * 37 % 1000).collect();
        let all = data.batch(&order)?;
        Ok(Self { net, x: all.x, y: all.y, versions: file.versions, rows: file.rows })
    }

    /// Runs our form of one of their rows; `None` where we have none.
    ///
    /// # Errors
    /// The attack's.
    pub fn measure(&self, theirs: &Theirs) -> Result<Option<Row>> {
        let Some((attacks, robust_tolerance, mean_tolerance, reason)) = ours(theirs)? else { return Ok(None) };
        let n = theirs.examples;
        let (x, y) = (self.x.narrow(0, 0, n)?, self.y.narrow(0, 0, n)?);
        let mut fooled: Vec<Option<f64>> = vec![None; n];
        let mut clean = Vec::new();
        for attack in attacks {
            let goal = Goal::Untargeted(y.clone());
            let judged = run(&*attack, &self.net, &x, &goal, &RunConfig::default(), &Rng::new(1))?;
            // A suite stops at the first success, as theirs does.
            let within = |d: f64| theirs.min_norm || d <= theirs.eps * (1.0 + 1e-5) + 1e-6;
            for ((slot, reached), d) in fooled.iter_mut().zip(&judged.reached).zip(&judged.distance) {
                if slot.is_none() && *reached && within(*d) {
                    *slot = Some(*d);
                }
            }
            clean = judged.clean;
        }
        let limit = if theirs.min_norm { theirs.eps } else { f64::INFINITY };
        let robust = clean.iter().zip(&fooled).filter(|(c, f)| **c && f.is_none_or(|d| d > limit)).count();
        let sizes: Vec<f64> = clean.iter().zip(&fooled).filter(|e| *e.0).filter_map(|e| *e.1).collect();
        let mean = sizes.iter().sum::<f64>() / sizes.len() as f64;
        Ok(Some(Row {
            theirs: theirs.clone(),
            robust: robust as f64 / n as f64,
            mean,
            robust_tolerance,
            mean_tolerance,
            reason,
        }))
    }
}

fn norm_of(t: &Theirs) -> Result<Norm> {
    Ok(match t.norm.as_str() {
        "linf" => Norm::Linf,
        "l2" => Norm::L2,
        "l1" => Norm::L1,
        other => bail!("no norm `{other}`"),
    })
}

type Ours = (Vec<Box<dyn Attack>>, f64, f64, &'static str);

const SAME: &str = "the same steps: one image for rounding";
const RANDOM: &str = "other random draws: three standard errors of a paired difference of a few images";
const STOP: &str = "other random starts; ours stops at the first success, theirs goes on outward";
const BOX: &str = "ours projects onto ball and box together, and finds smaller ones";

/// Our attacks for a row, tolerances of accuracy and of the mean perturbation, and why these.
fn ours(t: &Theirs) -> Result<Option<Ours>> {
    let (norm, eps) = (norm_of(t)?, t.eps);
    let number = |key: &str| t.settings[key].as_f64().with_context(|| format!("{}: no {key}", t.attack));
    let count = |key: &str| number(key).map(|v| v as usize);
    let one = 1.0 / t.examples as f64;
    let apgd = |loss, targets| Apgd::new(ApgdConfig { norm, eps, loss, targets, ..ApgdConfig::default() });
    let momentum = || -> Result<MomentumConfig> {
        let (steps, step) = (count("steps")?, StepSize::Absolute(number("step")?));
        Ok(MomentumConfig { norm, eps, steps, step_size: step, decay: number("decay")?, ..MomentumConfig::default() })
    };
    let targets = if norm == Norm::L1 { 5 } else { 9 };
    let apgd_ce = || {
        let restarts = if norm == Norm::L1 { 5 } else { 1 };
        Apgd::new(ApgdConfig { norm, eps, restarts, ..ApgdConfig::default() })
    };
    let fab = || Fab::new(FabConfig { norm, radius: eps, ..FabConfig::default() });
    let square = || Square::new(SquareConfig { norm, eps, ..SquareConfig::default() });
    let made: Ours = match (t.library.as_str(), t.attack.as_str()) {
        (_, "fgsm") => (vec![Box::new(Fgsm::new(FgsmConfig { norm, eps, ..FgsmConfig::default() })?)], one, 1e-4, SAME),
        (_, "pgd") => {
            let (steps, step) = (count("steps")?, StepSize::Absolute(number("step")?));
            let cfg = PgdConfig { norm, eps, steps, step_size: step, random_start: false, ..PgdConfig::default() };
            (vec![Box::new(Pgd::new(cfg)?)], one, 1e-3, SAME)
        }
        (_, "mi-fgsm") => (vec![Box::new(Momentum::new(momentum()?)?)], one, 1e-4, SAME),
        (_, "ni-fgsm") => {
            (vec![Box::new(Momentum::new(MomentumConfig { nesterov: true, ..momentum()? })?)], one, 1e-4, SAME)
        }
        (_, "di-fgsm") => {
            let diversity = Some(Diversity { probability: number("probability")?, smallest: number("resize")? });
            (vec![Box::new(Momentum::new(MomentumConfig { diversity, ..momentum()? })?)], 4.0 * one, 1e-3, RANDOM)
        }
        (_, "ti-fgsm") => {
            let translation = Some(Translation { side: count("kernel")?, sigmas: number("sigma")? });
            (vec![Box::new(Momentum::new(MomentumConfig { translation, ..momentum()? })?)], one, 1e-3, SAME)
        }
        (_, "spsa") => {
            let (steps, samples) = (count("iterations")?, count("samples")?);
            let cfg = SpsaConfig { norm, eps, steps, samples, delta: number("delta")?, step_size: number("lr")? };
            (vec![Box::new(Spsa::new(cfg)?)], 5.0 * one, 0.02, RANDOM)
        }
        ("foolbox", "deepfool") => {
            (vec![Box::new(DeepFool::new(DeepFoolConfig { norm, ..DeepFoolConfig::default() })?)], one, 0.01, SAME)
        }
        ("art", "deepfool") => (
            vec![Box::new(DeepFool::new(DeepFoolConfig { norm, ..DeepFoolConfig::default() })?)],
            4.0 * one,
            0.05,
            "ART adds its overshoot once, at the end",
        ),
        (_, "ddn") => (vec![Box::new(Ddn::new(DdnConfig::default())?)], one, 1e-3, SAME),
        (_, "fmn") => {
            let (robust, mean, why) = if norm == Norm::L1 { (10.0 * one, 0.05, BOX) } else { (one, 1e-3, SAME) };
            (vec![Box::new(Fmn::new(FmnConfig { norm, ..FmnConfig::default() })?)], robust, mean, why)
        }
        (_, "cw") => {
            let cfg = CarliniWagnerConfig {
                searches: count("searches")?,
                steps: count("steps")?,
                step_size: number("step")?,
                constant: number("constant")?,
                confidence: 0.0,
            };
            (vec![Box::new(CarliniWagner::new(cfg)?)], 2.0 * one, 0.03, "the same method; Foolbox ends a search early")
        }
        (_, "apgd-ce") => (vec![Box::new(apgd_ce()?)], 2.0 * one, 0.03, STOP),
        (_, "apgd-t") => (vec![Box::new(apgd(Loss::Dlr, Some(targets))?)], 2.0 * one, 0.03, STOP),
        (_, "apgd-dlr") => (vec![Box::new(apgd(Loss::Dlr, None)?)], 2.0 * one, 0.03, STOP),
        (_, "fab-t") => (
            vec![Box::new(fab()?)],
            2.0 * one,
            0.1,
            "ours looks for the smallest of all classes, theirs stops at the first inside",
        ),
        (_, "square") => (vec![Box::new(square()?)], 6.0 * one, 0.02, RANDOM),
        (_, "standard" | "autoattack standard") => (
            vec![
                Box::new(apgd_ce()?),
                Box::new(apgd(Loss::Dlr, Some(targets))?),
                Box::new(fab()?),
                Box::new(square()?),
            ],
            if t.library == "torchattacks" { 0.015 } else { 0.005 },
            0.03,
            if t.library == "torchattacks" {
                "its APGD and FAB take 10 steps, not 100: ours must not be higher"
            } else {
                "half a point"
            },
        ),
        _ => return Ok(None),
    };
    Ok(Some(made))
}
