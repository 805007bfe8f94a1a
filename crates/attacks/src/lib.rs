#![doc = include_str!("../README.md")]

mod fgsm;
pub mod fourier;
pub mod geometry;
mod loss;
mod pgd;
mod run;
pub mod training;

pub use fgsm::{Fgsm, FgsmConfig};
pub use loss::Loss;
pub use pgd::{Pgd, PgdConfig, StepSize};
pub use run::{Judged, RunConfig, run};
pub use sconce_tensor_core::{Attack, Bounds, Classifier, Error, ExampleRng, Goal, Norm, Result, Rng, Threat};
