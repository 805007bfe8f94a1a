//! The Single Fourier Attack over many directions: it keeps the first direction that fools each example.

use super::attack::{supports, wave};
use super::pattern::Normalisation;
use super::sweep::Directions;
use crate::probe::{Probe, select_rows};
use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::{Attack, Classifier, ExampleRng, Goal, Perturbed, Result, Threat};

/// Tries all directions in turn, row by row, and keeps the first wave that reaches the goal; an example that no wave
/// fools keeps its input. The attack is black-box and costs one forward pass per direction.
#[derive(Clone, Debug)]
pub struct FourierSearch {
    eps: f64,
    normalisation: Normalisation,
    directions: Directions,
    threat: Threat,
}

impl FourierSearch {
    /// Waves of size `eps` along the given directions.
    ///
    /// # Errors
    /// The radius is negative or not finite.
    pub fn new(eps: f64, normalisation: Normalisation, directions: Directions) -> Result<Self> {
        Threat::new(normalisation.norm(), eps)?;
        let channels = if normalisation == Normalisation::L2 { 3f64.sqrt() } else { 1.0 };
        Ok(Self { eps, normalisation, directions, threat: Threat::new(normalisation.norm(), eps * channels)? })
    }
}

impl Attack for FourierSearch {
    fn threat(&self) -> Threat {
        self.threat
    }

    fn supports(&self, input: &[usize], _classes: usize) -> Result<()> {
        supports(self.normalisation, input)
    }

    fn perturb(&self, model: &dyn Classifier, x: &Tensor, goal: &Goal, _rng: &ExampleRng) -> Result<Perturbed> {
        supports(self.normalisation, x.dims())?;
        let (_, _, h, w) = x.dims4()?;
        let (mut probe, clean, goals) = Probe::new(model, x, goal)?;
        let bounds = probe.bounds();
        let mut at = clean.clone();
        let mut open: Vec<usize> = (0..clean.len()).collect();
        for direction in self.directions.list(h, w)? {
            if open.is_empty() {
                break;
            }
            let u = wave(x, direction, self.eps, self.normalisation)?;
            let u = u.flatten_all()?.to_dtype(DType::F64)?.to_device(&Device::Cpu)?.to_vec1::<f64>()?;
            for &i in &open {
                let moved =
                    clean[i].iter().enumerate().map(|(j, v)| (v + u[j % u.len()]).clamp(bounds.lo(), bounds.hi()));
                at[i] = moved.collect();
            }
            let logits = probe.logits(&select_rows(&at, &open))?;
            let reached: Vec<bool> = open.iter().zip(&logits).map(|(&i, z)| goals[i].reached(z)).collect();
            let mut keep = reached.iter();
            open.retain(|_| !keep.next().copied().unwrap_or(false));
        }
        open.iter().for_each(|&i| at[i].clone_from(&clean[i]));
        probe.finish(&at)
    }
}
