//! The Single Fourier Attack along every direction: accuracy as a heat map.

use super::attack::wave;
use super::pattern::{Normalisation, signed_frequency};
use crate::RunConfig;
use candle_core::{DType, Tensor};
use sconce_tensor_core::classifier::predict;
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Classifier, Error, Result, Threat};

/// The directions of a sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Directions {
    /// All H W directions: every frequency in both phases.
    #[default]
    All,
    /// The half-plane: each frequency once, about half of the directions.
    HalfPlane,
    /// Every `n`-th direction of all, row by row; for tuning.
    Every(usize),
}

impl Directions {
    /// The directions for an `h` x `w` image, row by row.
    ///
    /// # Errors
    /// [`Error::Config`] for `Every(0)`.
    pub fn list(self, h: usize, w: usize) -> Result<Vec<(usize, usize)>> {
        let all = (0..h).flat_map(|l| (0..w).map(move |m| (l, m)));
        Ok(match self {
            Self::All => all.collect(),
            Self::HalfPlane => all.filter(|&(l, m)| (l, m) <= ((h - l) % h, (w - m) % w)).collect(),
            Self::Every(0) => return Err(Error::config("Directions.every", "must be at least 1, got 0")),
            Self::Every(n) => all.step_by(n).collect(),
        })
    }
}

/// Configuration of a [`Sweep`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `eps` | 64/255 | size of the waves | finite, >= 0 |
/// | `normalisation` | peak | the quantity that `eps` measures | |
/// | `directions` | all | the directions of the sweep | |
/// | `run` | | batch size | |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SweepConfig {
    /// Size of the waves.
    pub eps: f64,
    /// The quantity that `eps` measures.
    pub normalisation: Normalisation,
    /// The directions of the sweep.
    pub directions: Directions,
    /// Batch size.
    pub run: RunConfig,
}

impl Default for SweepConfig {
    fn default() -> Self {
        Self {
            eps: 64.0 / 255.0,
            normalisation: Normalisation::Peak,
            directions: Directions::All,
            run: RunConfig::default(),
        }
    }
}

/// The Single Fourier Attack along many directions on one set of examples.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    cfg: SweepConfig,
}

/// The number of correctly classified examples under each direction.
///
/// Accuracy under a wave mixes two things: how many examples a model gets right at all, and how many of those a wave turns. The second
/// alone is *retained* accuracy, `kept / clean`: the share of the examples that are right without a wave and stay right under it. Each
/// model is judged on the examples that it gets right: one that gets fewer right keeps the easier ones, so read it with `clean`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HeatMap {
    /// Height and width of the images, which are also those of the frequency plane.
    pub size: (usize, usize),
    /// The directions (l, m) of the sweep.
    pub directions: Vec<(usize, usize)>,
    /// Correctly classified examples under each direction.
    pub correct: Vec<usize>,
    /// Number of examples.
    pub total: usize,
    /// Examples that are classified correctly without a wave.
    pub clean: usize,
    /// Those of them that are still correct under each direction.
    pub kept: Vec<usize>,
}

impl HeatMap {
    /// Mean accuracy over the directions.
    pub fn average(&self) -> f64 {
        self.correct.iter().sum::<usize>() as f64 / (self.total * self.correct.len()) as f64
    }

    /// The lowest accuracy and its direction (the first one if several are equal).
    pub fn worst(&self) -> (f64, (usize, usize)) {
        let at = (0..self.correct.len()).min_by_key(|&i| self.correct[i]).unwrap_or(0);
        (self.correct[at] as f64 / self.total as f64, self.directions[at])
    }

    /// Mean retained accuracy over the directions; `None` where no example is correct without a wave.
    pub fn retained(&self) -> Option<f64> {
        let n = self.clean * self.kept.len();
        (n > 0).then(|| self.kept.iter().sum::<usize>() as f64 / n as f64)
    }

    /// The lowest retained accuracy of one direction; `None` where no example is correct without a wave.
    pub fn worst_retained(&self) -> Option<f64> {
        let least = self.kept.iter().min()?;
        (self.clean > 0).then(|| *least as f64 / self.clean as f64)
    }

    /// Accuracy under each direction on the whole frequency plane, row by row, low frequencies in the middle: the cell of frequency (l, m) is at row
    /// `l + h / 2` and column `m + w / 2`. A direction that was not measured shows its mirror image (-l, -m), which has the same wave up to its
    /// phase; `None` where neither was measured.
    pub fn centred(&self) -> Vec<Option<f64>> {
        let (h, w) = self.size;
        let mut cells = vec![None; h * w];
        let place = |l: usize, m: usize| (l + h / 2) % h * w + (m + w / 2) % w;
        let shares = || self.directions.iter().zip(self.correct.iter().map(|c| *c as f64 / self.total as f64));
        for (&(l, m), share) in shares() {
            let mirror = place((h - l) % h, (w - m) % w);
            cells[mirror] = cells[mirror].or(Some(share));
        }
        // A measured direction wins over the mirror image of another.
        for (&(l, m), share) in shares() {
            cells[place(l, m)] = Some(share);
        }
        cells
    }

    /// Mean accuracy over the directions whose frequency `max(|l|, |m|)` is in `from..=to`; `None` if there is
    /// no such direction.
    pub fn band(&self, from: i64, to: i64) -> Option<f64> {
        let radius =
            |(l, m): (usize, usize)| signed_frequency(l, self.size.0).abs().max(signed_frequency(m, self.size.1).abs());
        let inside: Vec<usize> = (0..self.directions.len())
            .filter(|&i| (from..=to).contains(&radius(self.directions[i])))
            .map(|i| self.correct[i])
            .collect();
        (!inside.is_empty()).then(|| inside.iter().sum::<usize>() as f64 / (self.total * inside.len()) as f64)
    }
}

impl Sweep {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: SweepConfig) -> Result<Self> {
        Threat::new(cfg.normalisation.norm(), cfg.eps)?;
        if let Directions::Every(n) = cfg.directions {
            require("Directions.every", n >= 1, "at least 1", n)?;
        }
        Ok(Self { cfg })
    }

    /// Perturbs every example along every direction, clips to the model's box and counts the correct predictions.
    /// `on_progress(done, total)` is called after each direction.
    ///
    /// # Shapes
    /// `x` (N, C, H, W), `labels` (N,) of u32.
    ///
    /// # Errors
    /// Inputs, labels and model as in [`crate::run`]; `on_progress` returns an error, which ends the sweep.
    pub fn run(
        &self,
        model: &dyn Classifier,
        x: &Tensor,
        labels: &Tensor,
        mut on_progress: impl FnMut(usize, usize) -> Result<()>,
    ) -> Result<HeatMap> {
        let goal = sconce_tensor_core::Goal::Untargeted(labels.clone());
        crate::run::check(model, x, &goal)?;
        let (n, _, h, w) = x.dims4().map_err(|_| Error::shape("input", "(N, C, H, W)", x.dims()))?;
        let (bounds, batch) = (model.bounds(), self.cfg.run.batch(x)?);
        let directions = self.cfg.directions.list(h, w)?;
        let labels = labels.to_dtype(DType::U32)?.to_vec1::<u32>()?;
        let right = |x: &Tensor| -> Result<Vec<bool>> {
            Ok(predict(model, x, batch)?.iter().zip(&labels).map(|(p, y)| p == y).collect())
        };
        let count = |which: &[bool]| which.iter().filter(|r| **r).count();
        let before = right(x)?;
        let (mut correct, mut kept) = (Vec::with_capacity(directions.len()), Vec::with_capacity(directions.len()));
        for (done, &direction) in directions.iter().enumerate() {
            let wave = wave(x, direction, self.cfg.eps, self.cfg.normalisation)?;
            let moved = x.broadcast_add(&wave)?.clamp(bounds.lo(), bounds.hi())?;
            let after = right(&moved)?;
            correct.push(count(&after));
            kept.push(before.iter().zip(&after).filter(|(b, a)| **b && **a).count());
            on_progress(done + 1, directions.len())?;
        }
        Ok(HeatMap { size: (h, w), directions, correct, total: n, clean: count(&before), kept })
    }
}
