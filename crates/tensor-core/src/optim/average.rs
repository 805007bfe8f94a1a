//! The mean of the weights over steps.

use super::update::apply;
use crate::ops::cpu::element::Element;
use crate::ops::in_place::Update;
use crate::{Error, Params, Result};
use candle_core::Tensor;
use std::collections::HashMap;

/// The running mean of all trainable weights: `mean <- mean + (w - mean) / k` at the k-th update. Beside an SGD of constant
/// rate this is averaged SGD (PyTorch's `ASGD` with `lambd` 0 and `t0` 0).
///
/// Source: Polyak and Juditsky (1992), SIAM J. Control Optim. 30(4).
#[derive(Clone, Debug, Default)]
pub struct Average {
    steps: u64,
    mean: Vec<(String, Tensor)>,
}

impl Average {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Updates so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Takes the weights of now into the mean.
    ///
    /// # Errors
    /// candle's only.
    pub fn update(&mut self, params: &Params) -> Result<()> {
        self.steps += 1;
        if self.mean.is_empty() {
            let copy = |p: &crate::Param| Ok((p.name().to_owned(), p.var().as_detached_tensor().copy()?));
            self.mean = params.trainable().map(copy).collect::<Result<_>>()?;
            return Ok(());
        }
        for (p, (_, mean)) in params.trainable().zip(&self.mean) {
            let w = p.var().as_detached_tensor();
            apply(mean, &w, &w, &Toward(1.0 / self.steps as f64))?;
        }
        Ok(())
    }

    /// Exchanges the weights with their mean; a second call puts them back. Nothing happens before the first update.
    ///
    /// # Errors
    /// candle's only.
    pub fn swap(&mut self, params: &Params) -> Result<()> {
        for (p, (_, mean)) in params.trainable().zip(&mut self.mean) {
            let now = p.var().as_detached_tensor().copy()?;
            p.var().set(mean)?;
            *mean = now;
        }
        Ok(())
    }

    /// The means by name, for a checkpoint. They share memory with this.
    pub fn state(&self) -> &[(String, Tensor)] {
        &self.mean
    }

    /// Takes back what [`Average::state`] gave, after `steps` updates.
    ///
    /// # Errors
    /// [`Error::Value`] where a parameter has no mean of its shape.
    pub fn restore(&mut self, params: &Params, steps: u64, mut state: HashMap<String, Tensor>) -> Result<()> {
        let mut mean = Vec::new();
        for p in params.trainable().filter(|_| steps > 0) {
            match state.remove(p.name()).filter(|m| m.shape() == p.var().shape()) {
                Some(m) => mean.push((p.name().to_owned(), m.to_device(p.var().device())?)),
                None => return Err(Error::value("average", format!("no mean of `{}` in its shape", p.name()))),
            }
        }
        *self = Self { steps, mean };
        Ok(())
    }
}

/// `mean <- mean + share (w - mean)`.
struct Toward(f64);

impl Update for Toward {
    #[inline(always)]
    fn apply<T: Element>(&self, mean: &mut [T], w: &[T], _: &[T]) {
        let share = T::from_f64(self.0);
        for (m, w) in mean.iter_mut().zip(w) {
            *m += share * (*w - *m);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;
    use candle_core::Device;

    #[test]
    fn the_mean_and_back() -> Result<()> {
        let mut params = Params::new();
        let w = params.add("w", Role::Weight, &Tensor::new(&[1f64], &Device::Cpu)?)?;
        let value = || w.to_vec1::<f64>().map(|v| v[0]);
        let mut average = Average::new();
        average.swap(&params)?;
        for v in [1.0, 4.0, 7.0] {
            w.set(&Tensor::new(&[v], &Device::Cpu)?)?;
            average.update(&params)?;
        }
        average.swap(&params)?;
        assert_eq!(value()?, 4.0);
        average.swap(&params)?;
        assert_eq!(value()?, 7.0);
        let mut other = Average::new();
        other.restore(&params, 3, average.state().iter().cloned().collect())?;
        other.swap(&params)?;
        assert_eq!(value()?, 4.0);
        assert!(other.restore(&params, 1, HashMap::new()).is_err_and(|e| e.to_string().contains("`w`")));
        Ok(())
    }
}
