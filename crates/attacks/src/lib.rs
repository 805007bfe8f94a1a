#![doc = include_str!("../README.md")]

mod apgd;
mod ascent;
mod carlini_wagner;
mod corruptions;
mod ddn;
mod deepfool;
mod eot;
mod evaluate;
mod fab;
mod fgsm;
pub mod flags;
mod fmn;
pub mod fourier;
pub mod geometry;
pub mod ledger;
mod loss;
mod momentum;
mod pgd;
mod probe;
pub mod property;
mod run;
mod smallest;
mod spsa;
mod square;
mod suite;
mod targets;
pub mod training;
mod transfer;

pub use apgd::{Apgd, ApgdConfig};
pub use carlini_wagner::{CarliniWagner, CarliniWagnerConfig};
pub use corruptions::{Corrupted, Corruption, corruption_table};
pub use ddn::{Ddn, DdnConfig};
pub use deepfool::{DeepFool, DeepFoolConfig};
pub use eot::Eot;
pub use evaluate::{Evaluation, EvaluationConfig, EvaluationProgress, RobustAccuracy, Status, evaluate};
pub use fab::{Fab, FabConfig};
pub use fgsm::{Fgsm, FgsmConfig};
pub use flags::{DiagnosisConfig, Flag, FlagKind};
pub use fmn::{Fmn, FmnConfig};
pub use ledger::{Ledger, LedgerEntry, PairedComparison, Part};
pub use loss::{ExampleGoal, Loss, LossGradient, margin};
pub use momentum::{Diversity, Momentum, MomentumConfig, Translation};
pub use pgd::{Pgd, PgdConfig, StepSize};
pub use run::{AttackResult, RunConfig, run};
pub use sconce_tensor_core::{
    Attack, Bounds, Classifier, Effort, Error, ExampleRng, Goal, Norm, Perturbed, Result, Rng, Threat,
};
pub use spsa::{Spsa, SpsaConfig};
pub use square::{Square, SquareConfig};
pub use suite::{Access, AutoAttack, Suite, SuiteEntry};
pub use targets::Target;
pub use transfer::Transfer;
