//! The search for a counterexample.

use super::answer::{Counterexample, Falsification, Outcome};
use super::set::Property;
use super::trial::Trial;
use crate::loss::gradient;
use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::classifier::{host_logits, logits};
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Classifier, Error, Result, Rng};

/// Configuration of [`Falsifier`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `steps` | 100 | moves of each descent | >= 1 |
/// | `restarts` | 20 | descents into each region | >= 1 |
/// | `batch` | 64 | descents side by side | >= 1 |
/// | `seed` | 0 | of starts and random moves | |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FalsifierConfig {
    /// Moves of each descent.
    pub steps: usize,
    /// Descents into each region.
    pub restarts: usize,
    /// Descents side by side.
    pub batch: usize,
    /// Seed of starts and random moves.
    pub seed: u64,
}

impl Default for FalsifierConfig {
    fn default() -> Self {
        Self { steps: 100, restarts: 20, batch: 64, seed: 0 }
    }
}

/// Searches for an input of a property's box whose outputs the property forbids, by projected gradient descent on the hinges of the constraints,
///
/// `sum_c max(0, e_c)` or `max_c e_c`, where `e_c` is the left side of constraint c minus its right side, divided by the sum of its coefficients' sizes,
///
/// over the box, from its middle, random points and corners in turn. Steps are a share of each side of the box, all equal or proportional to the
/// gradient, and are halved where the loss does not fall. Where the gradient is zero, or the steps have become small, random moves of some
/// neighbouring inputs follow. Every region gets its first descent before one gets its second.
///
/// A point counts when the constraints hold in f64, without tolerance, for the inputs as they are printed and the outputs of a forward pass of this input
/// alone. The network is asked in f32.
///
/// Source: the gradient attack is that of Madry et al. (2018), section 2.1, with another loss; the random moves follow the idea of Andriushchenko et al.
/// (2020).
#[derive(Clone, Copy, Debug)]
pub struct Falsifier {
    cfg: FalsifierConfig,
}

/// A network with the shape of its input, and what it was asked.
struct Asked<'a> {
    model: &'a dyn Classifier,
    property: &'a Property,
    shape: &'a [usize],
    device: &'a Device,
    forwards: u64,
    gradients: u64,
    closest: f64,
}

impl Asked<'_> {
    fn tensor(&self, points: &[Vec<f64>]) -> Result<Tensor> {
        let flat: Vec<f32> = points.iter().flatten().map(|v| *v as f32).collect();
        let shape: Vec<usize> = std::iter::once(points.len()).chain(self.shape.iter().copied()).collect();
        Ok(Tensor::from_vec(flat, shape, &Device::Cpu)?.to_device(self.device)?)
    }

    /// Whether a point violates the property, in a pass of its own.
    fn confirm(&mut self, x: &[f64]) -> Result<Option<Counterexample>> {
        self.forwards += 1;
        let z = logits(self.model, &self.tensor(&[x.to_vec()])?)?;
        let outputs = host_logits(&z)?.swap_remove(0);
        let region = self.property.violated(x, &outputs);
        Ok(region.map(|region| Counterexample { inputs: x.to_vec(), outputs, region }))
    }

    /// Asks for loss and gradient at the points of descents; the first counterexample among them.
    fn step(&mut self, trials: &mut [&mut Trial<'_>]) -> Result<Option<Counterexample>> {
        let points: Vec<Vec<f64>> = trials.iter().map(|t| t.point()).collect();
        let n = points.len() as u64;
        (self.forwards, self.gradients) = (self.forwards + n, self.gradients + n);
        let (mut judged, mut reached) = (Vec::with_capacity(points.len()), Vec::new());
        let g = gradient(self.model, &self.tensor(&points)?, |i, z| {
            let mut at = trials[i].judge(&points[i], z);
            if trials[i].region.contains(&points[i], z) {
                reached.push(i);
            }
            let by_output = std::mem::take(&mut at.by_output);
            judged.push(at);
            Ok(by_output)
        })?;
        for i in reached {
            if let Some(found) = self.confirm(&points[i])? {
                return Ok(Some(found));
            }
        }
        let rows = g.flatten_from(1)?.to_dtype(DType::F64)?.to_device(&Device::Cpu)?.to_vec2::<f64>()?;
        for ((trial, at), mut row) in trials.iter_mut().zip(judged).zip(rows) {
            self.closest = self.closest.min(at.excess);
            at.by_input.iter().for_each(|(i, a)| row[*i] += a);
            trial.record(at.loss, row);
            trial.advance();
        }
        Ok(None)
    }

    fn done(self, outcome: Outcome) -> Falsification {
        let Self { forwards, gradients, closest, .. } = self;
        Falsification { outcome, forwards, gradients, closest }
    }
}

impl Falsifier {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: FalsifierConfig) -> Result<Self> {
        require("FalsifierConfig.steps", cfg.steps >= 1, "at least 1", cfg.steps)?;
        require("FalsifierConfig.restarts", cfg.restarts >= 1, "at least 1", cfg.restarts)?;
        require("FalsifierConfig.batch", cfg.batch >= 1, "at least 1", cfg.batch)?;
        Ok(Self { cfg })
    }

    /// Searches until a counterexample is found, the budget is used up, or `keep_going`, which is asked before every batch, says no.
    ///
    /// `model.classes()` is the number of outputs, of which there may be one; the model's own bounds of valid inputs are not used, because the property has
    /// them. The same configuration finds the same counterexample as long as the caller does not end the search.
    ///
    /// # Shapes
    /// `shape` is that of one input, whose elements in row-major order are X_0, X_1, ...; the model is given (N, `shape`...) of f32.
    ///
    /// # Errors
    /// A shape or a number of outputs that is not the property's; a box beyond the numbers of f32; errors of the model.
    pub fn run(
        &self,
        model: &dyn Classifier,
        property: &Property,
        shape: &[usize],
        device: &Device,
        keep_going: &mut dyn FnMut() -> bool,
    ) -> Result<Falsification> {
        if shape.iter().product::<usize>() != property.inputs() {
            let expected = format!("one of {} elements, as many as the property has inputs", property.inputs());
            return Err(Error::shape("an input of the model", expected, shape));
        }
        if model.classes() != property.outputs() {
            let reason = format!("the model has {}, the property is about {}", model.classes(), property.outputs());
            return Err(Error::value("number of outputs", reason));
        }
        for region in property.regions() {
            let large = |v: &f64| v.abs() > f64::from(f32::MAX);
            if let Some(i) = (0..property.inputs()).find(|i| large(&region.lower()[*i]) || large(&region.upper()[*i])) {
                return Err(Error::value(
                    "box of a property",
                    format!("a bound of X_{i} is beyond the numbers of 32 bits"),
                ));
            }
        }
        let mut asked = Asked { model, property, shape, device, forwards: 0, gradients: 0, closest: f64::INFINITY };
        let (count, rng) = (property.regions().len(), Rng::new(self.cfg.seed).stream("falsifier"));
        let total = count.saturating_mul(self.cfg.restarts);
        for from in (0..total).step_by(self.cfg.batch) {
            let to = from.saturating_add(self.cfg.batch).min(total);
            let stream = |i: usize| rng.stream(&format!("descent {i}"));
            let trial = |i: usize| Trial::new(&property.regions()[i % count], i / count, stream(i));
            let mut trials: Vec<Trial<'_>> = (from..to).map(trial).collect();
            for _ in 0..=self.cfg.steps {
                let mut live: Vec<&mut Trial<'_>> = trials.iter_mut().filter(|t| !t.done).collect();
                if live.is_empty() {
                    break;
                }
                if !keep_going() {
                    return Ok(asked.done(Outcome::Timeout));
                }
                if let Some(found) = asked.step(&mut live)? {
                    return Ok(asked.done(Outcome::Violated(found)));
                }
            }
        }
        Ok(asked.done(Outcome::Unknown))
    }
}
