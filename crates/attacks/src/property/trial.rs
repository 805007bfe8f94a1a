//! One descent into one region: where it stands, and where it goes next.

use super::set::Region;
use sconce_tensor_core::Rng;

/// The first step, as a share of each side of the box.
const FIRST: f64 = 0.25;
/// Below this share the steps have converged, and random moves follow.
const SMALLEST: f64 = 1e-5;
/// Steps without a lower loss before the steps are halved.
const PATIENCE: usize = 4;
/// What a constraint that holds is held by, relative to its scale, so that rounding does not break it.
const SPARE: f64 = 1e-6;

/// What is minimised and how the steps are made; descents differ, so that one of them fits the region.
#[derive(Clone, Copy, Debug)]
struct Rule {
    /// The largest excess alone, or the sum of all that are above 0.
    largest: bool,
    /// Steps proportional to the gradient, or all of the same length.
    proportional: bool,
}

/// Loss at a point, and what the gradient to the input is made of.
pub(super) struct Judged {
    pub(super) loss: f64,
    /// The largest excess of a constraint.
    pub(super) excess: f64,
    /// (K,): the derivative with respect to each output.
    pub(super) by_output: Vec<f64>,
    /// The derivative with respect to inputs that stand in constraints themselves.
    pub(super) by_input: Vec<(usize, f64)>,
}

/// A descent.
pub(super) struct Trial<'a> {
    pub(super) region: &'a Region,
    rule: Rule,
    rng: Rng,
    at: Vec<f64>,
    best: Vec<f64>,
    best_loss: f64,
    best_gradient: Vec<f64>,
    gradient: Vec<f64>,
    size: f64,
    since: usize,
    moves: u64,
    /// The last move was a random one.
    jumped: bool,
    /// It has nothing more to try.
    pub(super) done: bool,
}

/// The number of f32 in [lo, hi] next to `v`; `v` in the interval itself where it has none.
pub(super) fn settle(v: f64, lo: f64, hi: f64) -> f64 {
    let near = v.clamp(lo, hi) as f32;
    let inside = |f: f32| lo <= f64::from(f) && f64::from(f) <= hi;
    let found = [near, near.next_down(), near.next_up()].into_iter().find(|f| inside(*f));
    found.map_or_else(|| v.clamp(lo, hi), f64::from)
}

impl<'a> Trial<'a> {
    /// The descent of a round into a region. The first starts in the middle of the box, the others at random points and corners.
    pub(super) fn new(region: &'a Region, round: usize, rng: Rng) -> Self {
        let sides = region.lower().iter().zip(region.upper());
        let place = |u: f64| match round {
            0 => 0.5,
            _ if round.is_multiple_of(2) => u.round(),
            _ => u,
        };
        let starts = rng.stream("start").uniforms(region.lower().len());
        let at: Vec<f64> = sides.zip(starts).map(|((lo, hi), u)| lo + place(u) * (hi - lo)).collect();
        Self {
            region,
            rule: Rule { largest: round / 2 % 2 == 1, proportional: round % 2 == 1 },
            rng: rng.stream("move"),
            best: at.clone(),
            best_loss: f64::INFINITY,
            best_gradient: Vec::new(),
            gradient: Vec::new(),
            at,
            size: FIRST,
            since: 0,
            moves: 0,
            jumped: false,
            done: false,
        }
    }

    /// The point that is asked next.
    pub(super) fn point(&self) -> Vec<f64> {
        let sides = self.region.lower().iter().zip(self.region.upper());
        self.at.iter().zip(sides).map(|(v, (lo, hi))| settle(*v, *lo, *hi)).collect()
    }

    /// The loss at a point with its outputs: hinges of the constraints, each relative to its coefficients.
    pub(super) fn judge(&self, x: &[f64], y: &[f64]) -> Judged {
        let mut out =
            Judged { loss: 0.0, excess: f64::NEG_INFINITY, by_output: vec![0.0; y.len()], by_input: Vec::new() };
        let mut hinges = Vec::new();
        for c in self.region.constraints() {
            let excess = c.excess(x, y);
            out.excess = out.excess.max(excess);
            let scale: f64 = c.inputs().iter().chain(c.outputs()).map(|t| t.1.abs()).sum();
            let relative = excess / scale.max(f64::MIN_POSITIVE);
            hinges.push((relative + SPARE * (1.0 + c.bound().abs() / scale), c, scale));
        }
        if self.rule.largest {
            let most = hinges.iter().map(|h| h.0).fold(f64::NEG_INFINITY, f64::max);
            hinges.retain(|h| h.0 == most);
            hinges.truncate(1);
        }
        for (hinge, c, scale) in hinges.iter().filter(|h| h.0 > 0.0) {
            out.loss += hinge;
            c.outputs().iter().for_each(|(j, b)| out.by_output[*j] += b / scale);
            out.by_input.extend(c.inputs().iter().map(|(i, a)| (*i, a / scale)));
        }
        out
    }

    /// Notes the loss and the gradient at the point that was asked.
    pub(super) fn record(&mut self, loss: f64, gradient: Vec<f64>) {
        let better = loss < self.best_loss;
        // Random moves may drift where the loss is flat.
        if better || (self.jumped && loss == self.best_loss) {
            self.best_loss = loss;
            self.best.clone_from(&self.at);
            self.best_gradient.clone_from(&gradient);
        }
        if better && self.jumped {
            self.size = self.size.max(FIRST / 4.0);
        }
        self.since = if better { 0 } else { self.since + 1 };
        self.gradient = gradient;
        if self.since >= PATIENCE && self.size >= SMALLEST {
            self.size /= 2.0;
            self.since = 0;
            self.at.clone_from(&self.best);
            self.gradient.clone_from(&self.best_gradient);
        }
    }

    /// Moves on: along the gradient, or at random where the gradient is zero.
    pub(super) fn advance(&mut self) {
        let (lower, upper) = (self.region.lower(), self.region.upper());
        let sides: Vec<f64> = lower.iter().zip(upper).map(|(lo, hi)| hi - lo).collect();
        if sides.iter().all(|s| *s == 0.0) {
            self.done = true;
            return;
        }
        self.moves += 1;
        let slopes: Vec<f64> = self.gradient.iter().zip(&sides).map(|(g, s)| g * s).collect();
        let most = slopes.iter().fold(0.0, |m: f64, s| m.max(s.abs()));
        self.jumped = self.size < SMALLEST || most == 0.0 || !most.is_finite();
        if self.jumped {
            self.at.clone_from(&self.best);
            self.jump(&sides);
            return;
        }
        for (i, v) in self.at.iter_mut().enumerate() {
            let share = if self.rule.proportional { slopes[i] / most } else { signum(slopes[i]) };
            *v = (*v - self.size * sides[i] * share).clamp(lower[i], upper[i]);
        }
    }

    /// Sets a run of neighbouring inputs, or one of them, to an end or to one share of their sides. The runs get shorter.
    fn jump(&mut self, sides: &[f64]) {
        let n = sides.len();
        let u = self.rng.at(self.moves).uniforms(4);
        let below = |u: f64, n: usize| ((u * n as f64) as usize).min(n - 1);
        let longest = (n as f64 * 0.5f64.powf(1.0 + self.moves as f64 / 16.0)) as usize;
        let length = if u[0] < 0.5 { 1 } else { 1 + below(u[3], longest.max(1)) };
        let share = match u[2] * 3.0 {
            v if v < 1.0 => 0.0,
            v if v < 2.0 => 1.0,
            v => v - 2.0,
        };
        let from = below(u[1], n);
        for i in (from..from + length).map(|i| i % n) {
            self.at[i] = self.region.lower()[i] + share * sides[i];
        }
    }
}

fn signum(v: f64) -> f64 {
    if v == 0.0 { 0.0 } else { v.signum() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::property::Constraint;

    /// What is printed lies in the interval, and is a number of f32 where there is one.
    #[test]
    fn points_settle_inside() {
        for (lo, hi) in [(0.1, 0.2), (0.1, 0.1 + 1e-8), (-0.3, -0.1), (0.0, 1.0), (1.0, 1.0), (-1e-46, 1e-46)] {
            for v in [lo, hi, f64::midpoint(lo, hi), lo - 1.0, hi + 1.0] {
                let p = settle(v, lo, hi);
                assert!(lo <= p && p <= hi && f64::from(p as f32) == p, "{v} in [{lo}, {hi}]: {p}");
            }
        }
        assert_eq!(settle(0.1, 0.1, 0.1), 0.1, "no number of f32 lies in it");
    }

    /// The gradient of both losses is their derivative.
    #[test]
    fn losses_have_their_gradients() {
        let c = |a: &[(usize, f64)], b: &[(usize, f64)], bound| {
            Constraint::new(a.to_vec(), b.to_vec(), bound, false).unwrap()
        };
        let all =
            vec![c(&[], &[(0, 1.0), (1, -2.0)], 0.3), c(&[(1, 0.5)], &[(1, 3.0)], -1.0), c(&[], &[(0, 1.0)], 9.0)];
        let region = Region::new(vec![0.0; 2], vec![1.0; 2], all).unwrap();
        let (x, y) = ([0.25, 0.5], [2.0, 0.4]);
        for round in [0, 2] {
            let t = Trial::new(&region, round, Rng::new(0));
            let at = t.judge(&x, &y);
            assert!((at.excess - 2.45).abs() < 1e-12, "{}", at.excess);
            let mut by_input = [0.0; 2];
            at.by_input.iter().for_each(|(i, a)| by_input[*i] += a);
            for k in 0..2 {
                let moved = |h: f64, input: bool| {
                    let (mut x, mut y) = (x, y);
                    if input {
                        x[k] += h
                    } else {
                        y[k] += h
                    }
                    t.judge(&x, &y).loss
                };
                let slope = |input| (moved(1e-6, input) - moved(-1e-6, input)) / 2e-6;
                assert!((slope(true) - by_input[k]).abs() < 1e-8 && (slope(false) - at.by_output[k]).abs() < 1e-8);
            }
        }
    }
}
