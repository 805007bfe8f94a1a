//! Initial values that a seed determines.

use super::CandleModule;
use crate::params::Role;
use crate::{Result, Rng};
use candle_core::Tensor;

impl CandleModule {
    /// Replaces all values by initial values from `rng`, with PyTorch's defaults for convolutions, linear layers and
    /// normalisations. candle-nn draws initial values from candle's global generator, which cannot be seeded on the CPU: call
    /// this first if a run must be reproducible. Each variable draws from the random stream of its own name.
    ///
    /// | Role | Value |
    /// |---|---|
    /// | [`Role::Kernel`], [`Role::Weight`] | uniform with bound `1 / sqrt(fan_in)`, where `fan_in` is the size of one output's weights |
    /// | [`Role::Bias`] | the same with the `fan_in` of the `weight` beside it; 0 if there is none |
    /// | [`Role::Scale`] | 1 |
    /// | [`Role::Shift`] | 0 |
    /// | [`Role::Buffer`] | 1 if the name ends in `running_var`, 0 if it ends in `running_mean` or `num_batches_tracked`, otherwise unchanged |
    ///
    /// # Errors
    /// candle's only.
    pub fn draw_initial_values(&self, rng: &Rng) -> Result<()> {
        let rng = rng.stream("init");
        let fan_in = |t: &Tensor| (t.elem_count() / t.dims().first().copied().unwrap_or(1).max(1)).max(1) as f64;
        for p in self.params().iter() {
            let (var, name) = (p.var(), p.name());
            let uniform = |fan_in: f64| {
                let bound = 1.0 / fan_in.sqrt();
                rng.stream(name).uniform(var.shape(), -bound..bound, var.dtype(), var.device())
            };
            let value = match p.role() {
                Role::Kernel | Role::Weight => uniform(fan_in(var))?,
                Role::Bias => {
                    let weight = name.strip_suffix("bias").and_then(|s| self.params().get(&format!("{s}weight")));
                    match weight.filter(|w| w.var().rank() >= 2) {
                        Some(w) => uniform(fan_in(w.var()))?,
                        None => var.zeros_like()?,
                    }
                }
                Role::Scale => var.ones_like()?,
                Role::Shift => var.zeros_like()?,
                Role::Buffer if name.ends_with("running_var") => var.ones_like()?,
                Role::Buffer if name.ends_with("running_mean") || name.ends_with("num_batches_tracked") => {
                    var.zeros_like()?
                }
                Role::Buffer => continue,
            };
            var.set(&value)?;
        }
        Ok(())
    }
}
