//! The Square Attack: random search with square-shaped changes, using only scores.

use crate::geometry::require_images;
use crate::geometry::rows::{distance, norm, project};
use crate::loss::{ExampleGoal, Loss};
use crate::probe::{Probe, Row};
use candle_core::{DType, Tensor};
use rayon::prelude::*;
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Attack, Bounds, Classifier, ExampleRng, Goal, Norm, Perturbed, Result, Rng, Threat};

/// Configuration of [`Square`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `norm` | Linf | norm of the threat | |
/// | `eps` | 8/255 | its radius | finite, >= 0 |
/// | `queries` | 5000 | forward passes per start | >= 1 |
/// | `share` | 0.8 | share of the image that the first squares cover; it decreases on a fixed schedule | in (0, 1] |
/// | `restarts` | 1 | random starts | >= 1 |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SquareConfig {
    /// Norm of the threat.
    pub norm: Norm,
    /// Radius of the threat, in the input's units.
    pub eps: f64,
    /// Forward passes per start.
    pub queries: usize,
    /// Share of the image that the first squares cover.
    pub share: f64,
    /// Random starts.
    pub restarts: usize,
}

impl Default for SquareConfig {
    fn default() -> Self {
        Self { norm: Norm::Linf, eps: 8.0 / 255.0, queries: 5000, share: 0.8, restarts: 1 }
    }
}

/// Random search: each query changes a square of pixels at a random position and keeps the change if the margin
/// decreases. The attack needs no gradients, so it checks attacks that do.
///
/// The area of the squares is halved after 10, 50, 200, 500, 1000, 2000, 4000, 6000 and 8000 queries. Positions and
/// signs are drawn for each example independently (in the authors' code all examples of a batch share the position), and
/// a square may touch the last row and column.
///
/// Source: Andriushchenko, Croce, Flammarion, Hein (2020), algorithms 1 to 3; L1 as in the code of Croce and Hein (2021).
#[derive(Clone, Copy, Debug)]
pub struct Square {
    threat: Threat,
    cfg: SquareConfig,
}

/// The state of the search on one example.
struct Search {
    example: usize,
    goal: ExampleGoal,
    rng: Rng,
    best: Row,
    trial: Row,
    loss: f64,
    done: bool,
}

/// The random numbers of one query, taken from a list of uniforms in order.
struct Draws(std::vec::IntoIter<f64>);

impl Draws {
    fn new(rng: &Rng, query: usize, n: usize) -> Self {
        Self(rng.at(query as u64).uniforms(n).into_iter())
    }

    fn below(&mut self, n: usize) -> usize {
        ((self.0.next().unwrap_or(0.0) * n as f64) as usize).min(n.saturating_sub(1))
    }

    fn sign(&mut self) -> f64 {
        if self.below(2) == 0 { -1.0 } else { 1.0 }
    }
}

/// Half of the window's pattern: shells around the centre with decreasing weight (the authors' `eta`), of unit norm.
fn shells(rows: usize, columns: usize, n: Norm) -> Vec<f64> {
    let mut delta = vec![0.0; rows * columns];
    let (mut top, mut left) = ((rows / 2) as isize, (columns / 2) as isize);
    let power = if n == Norm::L1 { 4 } else { 2 };
    for shell in 0..(rows / 2 + 1).max(columns / 2 + 1) {
        let side = 2 * shell as isize + 1;
        let weight = ((shell + 1) as f64).powi(-power);
        let range = |from: isize, end: usize| from.max(0) as usize..((from + side).max(0) as usize).min(end);
        for r in range(top, rows) {
            range(left, columns).for_each(|c| delta[r * columns + c] += weight);
        }
        top -= 1;
        left -= 1;
    }
    let length = norm(delta.iter().copied(), n);
    delta.iter_mut().for_each(|d| *d /= length);
    delta
}

/// The window's pattern of side `s`, of unit norm: one half is positive, the other negative; `transposed` swaps rows and
/// columns.
fn window(s: usize, transposed: bool, n: Norm) -> Vec<f64> {
    let mut delta = shells(s / 2, s, n);
    delta.extend(shells(s - s / 2, s, n).into_iter().map(|v| -v));
    let length = norm(delta.iter().copied(), n);
    let at = |i: usize| if transposed { delta[i % s * s + i / s] } else { delta[i] };
    (0..s * s).map(|i| at(i) / length).collect()
}

impl Square {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`sconce_tensor_core::Error::Config`] naming the field.
    pub fn new(cfg: SquareConfig) -> Result<Self> {
        let threat = Threat::new(cfg.norm, cfg.eps)?;
        require("SquareConfig.queries", cfg.queries >= 1, "at least 1", cfg.queries)?;
        require("SquareConfig.share", cfg.share > 0.0 && cfg.share <= 1.0, "in (0, 1]", cfg.share)?;
        require("SquareConfig.restarts", cfg.restarts >= 1, "at least 1", cfg.restarts)?;
        Ok(Self { threat, cfg })
    }

    /// The side of the square in a query.
    fn side(&self, query: usize, h: usize, w: usize) -> usize {
        let halvings = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000].iter().filter(|&&q| query > q).count();
        let area = self.cfg.share / (1u32 << halvings) as f64 * (h * w) as f64;
        let side = area.sqrt().round() as usize;
        let side = if self.cfg.norm == Norm::Linf { side.max(1) } else { side.max(3) | 1 };
        side.min(h).min(w)
    }

    /// The first trial: vertical stripes for Linf, a grid of windows for L2 and L1.
    fn first(&self, x: &[f64], [c, h, w]: [usize; 3], rng: &Rng) -> Row {
        let eps = self.cfg.eps;
        let mut draws = Draws::new(rng, 0, c * w + 128 * (c + 1));
        let mut at = x.to_vec();
        if self.cfg.norm == Norm::Linf {
            for channel in at.chunks_exact_mut(h * w) {
                let signs: Vec<f64> = (0..w).map(|_| draws.sign()).collect();
                channel.chunks_exact_mut(w).for_each(|row| row.iter_mut().zip(&signs).for_each(|(v, s)| *v += eps * s));
            }
            return at;
        }
        let s = (h.min(w) / 5).max(1);
        let mut delta = vec![0.0; x.len()];
        for (top, left) in (0..h / s).flat_map(|i| (0..w / s).map(move |j| (i * s, j * s))) {
            let pattern = if s > 1 { window(s, draws.below(2) == 1, self.cfg.norm) } else { vec![1.0] };
            for channel in 0..c {
                let sign = draws.sign();
                for (i, p) in pattern.iter().enumerate() {
                    delta[channel * h * w + (top + i / s) * w + left + i % s] += sign * p;
                }
            }
        }
        let scale = self.scale(&delta);
        at.iter_mut().zip(delta).for_each(|(v, d)| *v += scale * d);
        at
    }

    /// The factor that scales a perturbation to the radius; 1 for L1, where the projection that follows does it.
    fn scale(&self, delta: &[f64]) -> f64 {
        if self.cfg.norm == Norm::L1 { 1.0 } else { self.cfg.eps / norm(delta.iter().copied(), Norm::L2).max(1e-12) }
    }

    /// Computes the next trial from the best point.
    fn propose(&self, s: &mut Search, x: &[f64], query: usize, [c, h, w]: [usize; 3]) {
        let (eps, side) = (self.cfg.eps, self.side(query, h, w));
        let mut draws = Draws::new(&s.rng, query + 1, 5 + c);
        let position = |draws: &mut Draws| (draws.below(h - side + 1), draws.below(w - side + 1));
        let (top, left) = position(&mut draws);
        s.trial.clone_from(&s.best);
        if self.cfg.norm == Norm::Linf {
            for channel in 0..c {
                let sign = draws.sign();
                for r in top..top + side {
                    let from = channel * h * w + r * w + left;
                    let span = from..from + side;
                    let (best, x) = (&s.best[span.clone()], &x[span.clone()]);
                    for ((t, b), x) in s.trial[span].iter_mut().zip(best).zip(x) {
                        // A move by two radii, clipped to the ball, ends on one of its two faces.
                        *t = (b + 2.0 * eps * sign).clamp(x - eps, x + eps);
                    }
                }
            }
            return;
        }
        // The norm of a second window moves into the first, which gets a new pattern added to its values.
        let n = self.cfg.norm;
        let (top2, left2) = position(&mut draws);
        let pattern = window(side, draws.below(2) == 1, n);
        let mut delta: Row = s.best.iter().zip(x).map(|(b, x)| b - x).collect();
        let total = distance(&s.best, x, n);
        let inside = |r: usize, k: usize, top: usize, left: usize| {
            (top..top + side).contains(&r) && (left..left + side).contains(&k)
        };
        for channel in 0..c {
            let part = &mut delta[channel * h * w..][..h * w];
            let square = |i: usize| (top + i / side) * w + left + i % side;
            let old = norm((0..side * side).map(|i| part[square(i)]), n);
            let both = (0..h * w)
                .filter(|i| inside(i / w, i % w, top, left) || inside(i / w, i % w, top2, left2))
                .map(|i| part[i]);
            let both = norm(both, n);
            let sign = draws.sign();
            let new: Vec<f64> =
                pattern.iter().enumerate().map(|(i, p)| sign * p + part[square(i)] / (1e-12 + old)).collect();
            let length = 1e-12 + norm(new.iter().copied(), n);
            let mass = if n == Norm::L1 {
                (eps - total).max(0.0) + both * c as f64
            } else {
                ((eps * eps - total * total).max(0.0) / c as f64 + both * both).sqrt()
            };
            for i in 0..side * side {
                part[(top2 + i / side) * w + left2 + i % side] = 0.0;
            }
            new.iter().enumerate().for_each(|(i, v)| part[square(i)] = v * mass / length);
        }
        let scale = self.scale(&delta);
        s.trial.iter_mut().zip(x).zip(delta).for_each(|((t, x), d)| *t = x + scale * d);
    }

    fn search(&self, probe: &mut Probe<'_>, clean: &[Row], live: &mut [Search], shape: [usize; 3]) -> Result<()> {
        let (bounds, dtype) = (probe.bounds(), probe.dtype());
        for query in 0..=self.cfg.queries {
            let mut open: Vec<&mut Search> = live.iter_mut().filter(|s| !s.done).collect();
            if open.is_empty() {
                break;
            }
            open.par_iter_mut().for_each(|s| {
                let x = &clean[s.example];
                if query == 0 {
                    s.trial = self.first(x, shape, &s.rng);
                } else {
                    self.propose(s, x, query - 1, shape);
                }
                fit(&mut s.trial, x, self.cfg.norm, self.cfg.eps, bounds, dtype);
            });
            let rows: Vec<(usize, &[f64])> = open.iter().map(|s| (s.example, s.trial.as_slice())).collect();
            let logits = probe.logits(&rows)?;
            drop(rows);
            for (s, z) in open.iter_mut().zip(logits) {
                let loss = Loss::Margin.at(&z, s.goal)?.value;
                s.done = s.goal.reached(&z);
                if query == 0 || s.done || loss > s.loss {
                    s.loss = loss;
                    std::mem::swap(&mut s.best, &mut s.trial);
                }
            }
        }
        Ok(())
    }
}

/// Projects a trial onto ball and box, in the type of the model's inputs.
fn fit(trial: &mut [f64], x: &[f64], norm: Norm, eps: f64, bounds: Bounds, dtype: DType) {
    project(trial, x, norm, eps, bounds, dtype);
    if dtype == DType::F32 {
        // Rounded, so that the stored trial is the input that the model receives.
        trial.iter_mut().for_each(|v| *v = f64::from(*v as f32));
    }
}

impl Attack for Square {
    fn threat(&self) -> Threat {
        self.threat
    }

    fn supports(&self, input: &[usize], _classes: usize) -> Result<()> {
        require_images("Square", input, 3)
    }

    fn perturb(&self, model: &dyn Classifier, x: &Tensor, goal: &Goal, rng: &ExampleRng) -> Result<Perturbed> {
        let (mut probe, clean, goals) = Probe::new(model, x, goal)?;
        self.supports(x.dims(), probe.classes())?;
        let (_, c, h, w) = x.dims4()?;
        let shape = [c, h, w];
        let mut out = clean.clone();
        let mut loss = vec![f64::NEG_INFINITY; clean.len()];
        let mut left: Vec<usize> = (0..clean.len()).collect();
        for start in 0..self.cfg.restarts {
            let rng = rng.stream(&format!("square start {start}"));
            let mut live: Vec<Search> = left
                .iter()
                .map(|&example| Search {
                    example,
                    goal: goals[example],
                    // Each example has its own key, so that the lanes are free to count queries.
                    rng: Rng::new(rng.row(example).bits(1)[0]),
                    best: clean[example].clone(),
                    trial: Row::new(),
                    loss: f64::NEG_INFINITY,
                    done: false,
                })
                .collect();
            self.search(&mut probe, &clean, &mut live, shape)?;
            for s in live {
                if s.done || s.loss > loss[s.example] {
                    loss[s.example] = s.loss;
                    out[s.example] = s.best;
                }
                if s.done {
                    left.retain(|i| *i != s.example);
                }
            }
        }
        probe.finish(&out)
    }
}
