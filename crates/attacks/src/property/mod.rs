//! Verification properties: boxes of inputs and linear constraints on outputs, from VNN-LIB files, and a search for counterexamples.
//!
//! A property names the inputs and outputs of a network that must not occur together; such a pair is a counterexample. Verifiers prove that no
//! counterexample exists. [`Falsifier`] searches for one by gradients and random moves: where it finds one, the property is violated, and where it finds none,
//! nothing is known.
//!
//! The outputs are those that the network's file gives: where a property is about probabilities, the model must return probabilities.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use sconce_attacks::property::{Falsifier, FalsifierConfig, Outcome, Property};
//! use sconce_attacks::{Classifier, Result};
//!
//! /// Y_0 = X_0 - X_1 and Y_1 = X_0 + X_1.
//! struct Mixed;
//! impl Classifier for Mixed {
//!     fn logits(&self, x: &Tensor) -> Result<Tensor> {
//!         Ok(x.matmul(&Tensor::new(&[[1f32, 1.0], [-1.0, 1.0]], &Device::Cpu)?)?)
//!     }
//!     fn classes(&self) -> usize {
//!         2
//!     }
//! }
//!
//! let property = Property::parse(
//!     "(declare-const X_0 Real) (declare-const X_1 Real) (declare-const Y_0 Real) (declare-const Y_1 Real)
//!      (assert (and (>= X_0 0) (<= X_0 1) (>= X_1 -0.5) (<= X_1 1)))
//!      (assert (>= Y_0 (+ Y_1 0.75))) ; Y_0 must stay below Y_1 + 0.75",
//! )?;
//! let falsifier = Falsifier::new(FalsifierConfig::default())?;
//! let found = falsifier.run(&Mixed, &property, &[2], &Device::Cpu, &mut || true)?;
//! let Outcome::Violated(example) = &found.outcome else { panic!("the corner (0, -0.5) violates it") };
//! assert!(example.outputs[0] >= example.outputs[1] + 0.75);
//! assert!(found.outcome.to_string().starts_with("sat\n((X_0 "));
//! # Ok::<(), sconce_attacks::Error>(())
//! ```

mod answer;
mod formula;
mod search;
mod set;
mod syntax;
mod terms;
mod trial;
mod vnnlib;

pub use answer::{Counterexample, Falsification, Outcome};
pub use search::{Falsifier, FalsifierConfig};
pub use set::{Constraint, Property, Region};
