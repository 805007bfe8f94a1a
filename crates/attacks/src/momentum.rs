//! Momentum attacks, designed to transfer to other models: MI-, NI-, DI- and TI-FGSM.

use crate::geometry::rows::{norm, project};
use crate::loss::Loss;
use crate::pgd::StepSize;
use crate::probe::{Probe, Row};
use candle_core::Tensor;
use rayon::prelude::*;
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Attack, Bounds, Classifier, Error, ExampleRng, Goal, Norm, Perturbed, Result, Threat, ops};

/// Input diversity (DI): random resizing before each gradient.
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `probability` | 0.5 | probability of resizing an example in a step | [0, 1] |
/// | `smallest` | 0.9 | smallest side, as a share of the image's side; the rest is filled with zeros | in (0, 1) |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Diversity {
    /// Probability of resizing.
    pub probability: f64,
    /// Smallest side, as a share of the image's side.
    pub smallest: f64,
}

impl Default for Diversity {
    fn default() -> Self {
        Self { probability: 0.5, smallest: 0.9 }
    }
}

/// Translation invariance (TI): smoothing of the gradient by a Gaussian, which approximates the mean gradient over shifted
/// images.
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `side` | 15 | side of the kernel, in pixels | odd |
/// | `sigmas` | 3 | standard deviations from the centre of the kernel to its edge | finite, > 0 |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Translation {
    /// Side of the kernel.
    pub side: usize,
    /// Standard deviations from the centre of the kernel to its edge.
    pub sigmas: f64,
}

impl Default for Translation {
    fn default() -> Self {
        Self { side: 15, sigmas: 3.0 }
    }
}

/// Configuration of [`Momentum`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `norm` | Linf | norm of the threat | Linf or L2 |
/// | `eps` | 8/255 | its radius | finite, >= 0 |
/// | `steps` | 10 | gradient steps | >= 1 |
/// | `step_size` | relative 0.1 | step size | finite, > 0 |
/// | `decay` | 1 | decay factor of the momentum | finite, >= 0 |
/// | `nesterov` | false | compute the gradient at the point to which the momentum leads (NI) | |
/// | `diversity` | none | resize at random before each gradient (DI) | |
/// | `translation` | none | smooth the gradient (TI) | |
/// | `loss` | cross-entropy | the loss that is maximised | |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MomentumConfig {
    /// Norm of the threat.
    pub norm: Norm,
    /// Radius of the threat, in the input's units.
    pub eps: f64,
    /// Gradient steps.
    pub steps: usize,
    /// Step size.
    pub step_size: StepSize,
    /// Decay factor of the momentum.
    pub decay: f64,
    /// Whether the gradient is computed ahead, at the point to which the momentum leads (NI).
    pub nesterov: bool,
    /// Random resizing before each gradient (DI).
    pub diversity: Option<Diversity>,
    /// Smoothing of the gradient (TI).
    pub translation: Option<Translation>,
    /// The loss that is maximised.
    pub loss: Loss,
}

impl Default for MomentumConfig {
    /// The configuration of MI-FGSM.
    fn default() -> Self {
        Self {
            norm: Norm::Linf,
            eps: 8.0 / 255.0,
            steps: 10,
            step_size: StepSize::Relative(0.1),
            decay: 1.0,
            nesterov: false,
            diversity: None,
            translation: None,
            loss: Loss::CrossEntropy,
        }
    }
}

/// Takes steps along `m <- decay m + g / mean |g|`: along its sign for Linf, along `m / |m|` for L2. The four published
/// attacks are settings: MI (no option), NI (`nesterov`), DI (`diversity`), TI (`translation`); the options combine.
/// They are meant for [`crate::Transfer`]; as white-box attacks they are weaker than [`crate::Pgd`].
///
/// Source: Dong et al. (2018, MI, algorithm 1), Lin et al. (2020, NI, equation 6), Xie et al. (2019, DI, equation 6),
/// Dong et al. (2019, TI, equation 7).
#[derive(Clone, Copy, Debug)]
pub struct Momentum {
    threat: Threat,
    cfg: MomentumConfig,
}

impl Momentum {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: MomentumConfig) -> Result<Self> {
        let threat = Threat::new(cfg.norm, cfg.eps)?;
        require("MomentumConfig.norm", cfg.norm != Norm::L1, "Linf or L2", format!("{:?}", cfg.norm))?;
        require("MomentumConfig.steps", cfg.steps >= 1, "at least 1", cfg.steps)?;
        cfg.step_size.validate("MomentumConfig.step_size")?;
        let decay = cfg.decay.is_finite() && cfg.decay >= 0.0;
        require("MomentumConfig.decay", decay, "finite and >= 0", cfg.decay)?;
        if let Some(d) = cfg.diversity {
            let (p, s) = ((0.0..=1.0).contains(&d.probability), d.smallest > 0.0 && d.smallest < 1.0);
            require("MomentumConfig.diversity.probability", p, "in [0, 1]", d.probability)?;
            require("MomentumConfig.diversity.smallest", s, "between 0 and 1", d.smallest)?;
        }
        if let Some(t) = cfg.translation {
            require("MomentumConfig.translation.side", t.side % 2 == 1, "odd", t.side)?;
            let s = t.sigmas.is_finite() && t.sigmas > 0.0;
            require("MomentumConfig.translation.sigmas", s, "finite and > 0", t.sigmas)?;
        }
        Ok(Self { threat, cfg })
    }
}

/// A model that first resizes each row as planned and fills the rest with zeros.
struct Resized<'a> {
    model: &'a dyn Classifier,
    /// New side, top and left of each row; `None` leaves the row unchanged.
    plan: Vec<Option<(usize, usize, usize)>>,
}

impl Classifier for Resized<'_> {
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        let rows: Vec<Tensor> = self
            .plan
            .iter()
            .enumerate()
            .map(|(i, plan)| {
                let row = x.narrow(0, i, 1)?;
                let Some((side, top, left)) = *plan else { return Ok(row) };
                let small = ops::upsample_bilinear2d(&row.contiguous()?, (side, side), false)?;
                let tall = small.pad_with_zeros(2, top, h - side - top)?;
                Ok(tall.pad_with_zeros(3, left, w - side - left)?)
            })
            .collect::<Result<_>>()?;
        self.model.logits(&Tensor::cat(&rows, 0)?)
    }

    fn classes(&self) -> usize {
        self.model.classes()
    }

    fn bounds(&self) -> Bounds {
        self.model.bounds()
    }
}

/// The Gaussian kernel of a translation along one axis; the kernel in the plane is its product with itself.
fn kernel(t: Translation) -> Vec<f64> {
    let middle = (t.side / 2) as f64;
    let z = |i: usize| if t.side == 1 { 0.0 } else { t.sigmas * (i as f64 - middle) / middle };
    let k: Vec<f64> = (0..t.side).map(|i| (-0.5 * z(i) * z(i)).exp()).collect();
    let sum: f64 = k.iter().sum();
    k.into_iter().map(|v| v / sum).collect()
}

/// Smooths each channel along both axes, with zero padding.
fn smooth(g: &mut [f64], k: &[f64], [c, h, w]: [usize; 3]) {
    let reach = k.len() / 2;
    let mut out = vec![0.0; h * w];
    for channel in 0..c {
        let part = &mut g[channel * h * w..][..h * w];
        for (stride, length) in [(1, w), (w, h)] {
            for (i, o) in out.iter_mut().enumerate() {
                let at = i / stride % length;
                let taps = (0..k.len()).filter(|t| (reach..length + reach).contains(&(at + t)));
                *o = taps.map(|t| k[t] * part[i + t * stride - reach * stride]).sum();
            }
            part.copy_from_slice(&out);
        }
    }
}

impl Attack for Momentum {
    fn threat(&self) -> Threat {
        self.threat
    }

    fn supports(&self, input: &[usize], _classes: usize) -> Result<()> {
        let square = matches!(*input, [_, _, h, w] if h == w && h >= 2);
        if (self.cfg.diversity.is_some() && !square) || (self.cfg.translation.is_some() && input.len() != 4) {
            return Err(Error::shape("input", "(N, C, H, W); diversity needs H = W of at least 2", input));
        }
        Ok(())
    }

    fn perturb(&self, model: &dyn Classifier, x: &Tensor, goal: &Goal, rng: &ExampleRng) -> Result<Perturbed> {
        let (mut probe, clean, goals) = Probe::new(model, x, goal)?;
        let (cfg, bounds, dtype) = (self.cfg, probe.bounds(), probe.dtype());
        let length = cfg.step_size.of(cfg.eps);
        let images = match *probe.shape() {
            [c, h, w] => Some([c, h, w]),
            _ => None,
        };
        self.supports(x.dims(), probe.classes())?;
        let shape = images.unwrap_or_default();
        let taps = cfg.translation.map(kernel);
        let mut at = clean.clone();
        let mut momentum = vec![vec![0.0; clean[0].len()]; clean.len()];
        for step in 0..cfg.steps {
            let ahead: Vec<Row> = if cfg.nesterov {
                let go = |(a, m): (&Row, &Row)| a.iter().zip(m).map(|(a, m)| a + cfg.decay * length * m).collect();
                at.iter().zip(&momentum).map(go).collect()
            } else {
                Vec::new()
            };
            let from = if cfg.nesterov { &ahead } else { &at };
            let rows: Vec<(usize, &[f64])> = from.iter().map(Vec::as_slice).enumerate().collect();
            let loss = |i: usize, z: &[f64]| cfg.loss.at(z, goals[i]);
            let answers = match cfg.diversity {
                None => probe.gradients(&rows, loss)?,
                Some(d) => {
                    let (side, stream) = (shape[1], rng.stream(&format!("resize {step}")));
                    let smallest = ((side as f64 * d.smallest) as usize).clamp(1, side - 1);
                    let plan = (0..rows.len())
                        .map(|i| {
                            let u = stream.row(i).uniforms(4);
                            let pick = |u: f64, n: usize| (u * n as f64) as usize;
                            let new = smallest + pick(u[1], side - smallest);
                            (u[0] < d.probability)
                                .then(|| (new, pick(u[2], side - new + 1), pick(u[3], side - new + 1)))
                        })
                        .collect();
                    let resized = Resized { model: probe.model(), plan };
                    probe.gradients_of(&resized, &rows, loss)?
                }
            };
            at.par_iter_mut().zip(&mut momentum).zip(answers).zip(&clean).for_each(|(((at, m), a), x)| {
                let mut g = a.gradient;
                if let Some(k) = &taps {
                    smooth(&mut g, k, shape);
                }
                let mean = g.iter().map(|v| v.abs()).sum::<f64>() / g.len() as f64;
                if mean > 0.0 {
                    m.iter_mut().zip(&g).for_each(|(m, g)| *m = cfg.decay * *m + g / mean);
                }
                let size = norm(m.iter().copied(), Norm::L2).max(1e-12);
                at.iter_mut().zip(m.iter()).for_each(|(v, m)| {
                    *v += length
                        * if cfg.norm == Norm::L2 {
                            m / size
                        } else if *m == 0.0 {
                            0.0
                        } else {
                            m.signum()
                        };
                });
                project(at, x, cfg.norm, cfg.eps, bounds, dtype);
            });
        }
        probe.finish(&at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_keeps_a_constant_inside_and_is_symmetric() {
        let k = kernel(Translation { side: 5, sigmas: 3.0 });
        let mut g = vec![1.0; 2 * 9 * 11];
        smooth(&mut g, &k, [2, 9, 11]);
        assert!((g[4 * 11 + 5] - 1.0).abs() < 1e-12 && g[0] < 0.8);
        let mut spike = vec![0.0; 99];
        spike[4 * 11 + 5] = 1.0;
        smooth(&mut spike, &k, [1, 9, 11]);
        for (dy, dx) in [(0, 1), (1, 2), (2, 2)] {
            let want = k[2 + dy] * k[2 + dx];
            assert!((spike[(4 + dy) * 11 + 5 + dx] - want).abs() < 1e-15);
            assert!((spike[(4 - dy) * 11 + 5 - dx] - want).abs() < 1e-15);
        }
    }
}
