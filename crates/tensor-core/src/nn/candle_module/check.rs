//! The gradients of a candle network against central differences.

use super::{CandleModule, GradientFault, GradientWarning};
use crate::classifier::require_finite;
use crate::nn::{Mode, Network};
use crate::params::Role;
use crate::{Error, Result, Rng, ops};
use candle_core::{DType, Tensor, Var};

/// What the check allows in one floating-point type.
#[derive(Clone, Copy)]
struct Precision {
    /// The distance of neighbouring numbers at 1.
    unit: f64,
    /// The change of the logits that a step aims at, relative to their size. Rounding errors are `unit / target` of the
    /// difference, the curvature's part is of order `target` squared, and about a share `target` of the units passes a kink.
    target: f64,
    /// The allowed relative difference of the two derivatives. Known faults are off by much more.
    tolerance: f64,
}

impl Precision {
    fn of(dtype: DType) -> Result<Self> {
        match dtype {
            DType::F32 => Ok(Self { unit: f64::from(f32::EPSILON), target: 1e-2, tolerance: 3e-2 }),
            DType::F64 => Ok(Self { unit: f64::EPSILON, target: 1e-4, tolerance: 1e-3 }),
            other => Err(Error::Unsupported {
                what: "a gradient check of this type",
                reason: format!("{other:?} is too coarse for differences: build the network in f32 or f64"),
            }),
        }
    }
}

/// Values that are set back when the check ends, also by an error.
struct Saved(Vec<(Var, Tensor)>);

impl Saved {
    fn new(vars: impl Iterator<Item = Var>) -> Result<Self> {
        Ok(Self(vars.map(|v| Ok((v.clone(), v.as_detached_tensor().copy()?))).collect::<Result<_>>()?))
    }

    fn restore(&self) -> Result<()> {
        self.0.iter().try_for_each(|(v, value)| Ok(v.set(value)?))
    }

    /// A variable whose value is not the saved one.
    fn changed(&self) -> Result<Option<Var>> {
        for (v, value) in &self.0 {
            if host(v.as_tensor())? != host(value)? {
                return Ok(Some(v.clone()));
            }
        }
        Ok(None)
    }
}

impl Drop for Saved {
    fn drop(&mut self) {
        // An error here follows another error of the device, which is the one to report.
        let _ = self.restore();
    }
}

fn host(t: &Tensor) -> Result<Vec<f64>> {
    Ok(t.detach().to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

/// An error without candle's backtrace.
fn first_line(e: &Error) -> String {
    e.to_string().lines().next().unwrap_or_default().to_owned()
}

fn norm(v: &[f64]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

impl CandleModule {
    /// Compares the gradients of the backward pass with central differences: for the input and for each trainable
    /// parameter, along the gradient and along a random direction. The function that is differentiated is a random
    /// projection of the logits, in evaluation mode, and in training mode too unless training is random (dropout).
    /// An empty list means that no fault was found. The variables have their old values afterwards.
    ///
    /// Three smaller steps follow where a derivative does not agree, and a fault is reported only where the differences agree
    /// with each other. So a kink of ReLU or of a maximum near the point is not reported. The check moves `x` by 1 % of its
    /// size at random, away from ties. What a gradient is exactly at a tie cannot be found by differences.
    ///
    /// # Shapes
    /// `x` (N, ...) with N >= 2; 2 to 8 examples are enough.
    ///
    /// # Cost
    /// About ten forward passes of `x` per parameter and mode.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a type other than f32 and f64, and for a network that a checkpoint would not contain
    /// whole: evaluation moves a variable, logits are random in evaluation mode, or layers keep statistics outside of the
    /// `VarMap`. [`Error::Shape`] for fewer than two examples; [`Error::Value`] for logits that are not finite.
    pub fn check_gradients(&self, x: &Tensor, rng: &Rng) -> Result<Vec<GradientWarning>> {
        if x.rank() == 0 || x.dim(0)? < 2 {
            return Err(Error::shape("input of a gradient check", "(N, ...) with N >= 2", x.dims()));
        }
        let precision = Precision::of(x.dtype())?;
        let all = Saved::new(self.params().iter().map(|p| p.var().clone()))?;
        let size = 0.01 * (norm(&host(x)?) / (x.elem_count() as f64).sqrt()).max(0.1);
        let noise = rng.stream("ties").normal(x.shape(), 0.0, size, x.dtype(), x.device())?;
        let x = Var::from_tensor(&(x.detach() + noise)?)?;
        let eval = self.check_state(&x, &all)?;
        let mut warnings = self.check_mode(Mode::Eval, &x, precision, rng)?;
        let train = || {
            let z = host(&self.forward(&x.as_detached_tensor(), Mode::Train)?)?;
            all.restore()?;
            Ok::<_, Error>(z)
        };
        let (one, two) = (train()?, train()?);
        if one == two && one != eval {
            for w in self.check_mode(Mode::Train, &x, precision, rng)? {
                if !warnings.iter().any(|v| v.name == w.name) {
                    warnings.push(w);
                }
            }
        }
        Ok(warnings)
    }

    /// Refuses a network whose state a checkpoint of its parameters would not contain; the logits in evaluation mode.
    fn check_state(&self, x: &Var, all: &Saved) -> Result<Vec<f64>> {
        let refuse = |reason: String| Err(Error::Unsupported { what: "this network", reason });
        let eval = || {
            let z = self.forward(&x.as_detached_tensor(), Mode::Eval)?;
            require_finite("logits", &z)?;
            host(&z)
        };
        let before = eval()?;
        if let Some(var) = all.changed()? {
            let name = self.params().iter().find(|p| p.var().id() == var.id()).map_or("", |p| p.name());
            return refuse(format!(
                "evaluation changes `{name}`: hand `train` on to the layers (`forward_t(x, train)`)"
            ));
        }
        if eval()? != before {
            return refuse("its logits differ between two evaluations of the same input: switch randomness off".into());
        }
        self.forward(&x.as_detached_tensor(), Mode::Train)?;
        all.restore()?;
        if eval()? != before {
            let reason = "a training pass changes it outside of the VarMap, so that checkpoints would miss its running \
                          statistics: build every layer from `VarBuilder::from_varmap` on the same map";
            return refuse(reason.to_owned());
        }
        Ok(before)
    }

    fn check_mode(&self, mode: Mode, x: &Var, precision: Precision, rng: &Rng) -> Result<Vec<GradientWarning>> {
        let buffers = Saved::new(self.params().with_role(Role::Buffer).map(|p| p.var().clone()))?;
        let z = self.forward(x.as_tensor(), mode)?;
        buffers.restore()?;
        let projection = rng.stream("projection").normal(z.shape(), 0.0, 1.0, z.dtype(), z.device())?;
        let warning = |name: &str, fault| GradientWarning { name: name.to_owned(), mode, fault };
        let grads = match ops::backward(&(&z * &projection)?.sum_all()?) {
            Ok(grads) => grads,
            Err(e) => return Ok(vec![warning("input", GradientFault::Backward(first_line(&e)))]),
        };
        let lines = Lines { net: self, mode, x, buffers, projection: host(&projection)?, z: host(&z)?, precision };
        let mut warnings = Vec::new();
        let params = self.params().trainable().map(|p| (p.name(), p.var()));
        for (name, var) in std::iter::once(("input", x)).chain(params) {
            let rng = rng.stream("direction").stream(name);
            if let Some(fault) = lines.fault(var, grads.get(var.as_tensor()), &rng)? {
                warnings.push(warning(name, fault));
            }
        }
        Ok(warnings)
    }
}

/// The projected logits of a network along lines through the values of its variables.
struct Lines<'a> {
    net: &'a CandleModule,
    mode: Mode,
    x: &'a Var,
    /// What a training pass moves.
    buffers: Saved,
    projection: Vec<f64>,
    z: Vec<f64>,
    precision: Precision,
}

/// Two derivatives along one direction.
struct Pair {
    analytic: f64,
    numeric: f64,
    /// The largest rounding error of the numeric one that is to be expected.
    rounding: f64,
    /// By how much the differences to the two sides deviate from their mean: small unless there is a kink.
    asymmetry: f64,
    /// Root mean square of half the change of the logits.
    change: f64,
}

impl Lines<'_> {
    /// What is wrong with the gradient to `var`, if anything.
    fn fault(&self, var: &Var, gradient: Option<&Tensor>, rng: &Rng) -> Result<Option<GradientFault>> {
        let n = var.elem_count();
        let given = gradient.map(host).transpose()?;
        let g = given.clone().unwrap_or_else(|| vec![0.0; n]);
        if !norm(&g).is_finite() {
            return Ok(Some(GradientFault::NotFinite));
        }
        let mut directions = vec![rng.normals(n)];
        if norm(&g) > 0.0 && n > 1 {
            directions.insert(0, g.clone());
        }
        for mut d in directions {
            let length = norm(&d);
            d.iter_mut().for_each(|v| *v /= length);
            if let Some(Pair { analytic, numeric, .. }) = self.disagreement(var, &g, &d)? {
                return Ok(Some(match given {
                    Some(_) => GradientFault::Wrong { analytic, numeric },
                    None => GradientFault::Cut,
                }));
            }
        }
        Ok(None)
    }

    /// The two derivatives along `d`, a unit vector, where they certainly differ.
    fn disagreement(&self, var: &Var, g: &[f64], d: &[f64]) -> Result<Option<Pair>> {
        let base = host(var.as_tensor())?;
        let root = (base.len() as f64).sqrt();
        let (size, tolerance) = (norm(&base).max(0.1 * root), self.precision.tolerance);
        let agree = |a: f64, b: f64, p: &Pair| {
            (a - b).abs() <= tolerance * (a.abs().max(b.abs()) + norm(g) / root) + p.rounding
        };
        let (mut step, mut pair) = self.first(var, &base, (g, d), size)?;
        let mut last: Option<Pair> = None;
        for _ in 0..3 {
            if agree(pair.analytic, pair.numeric, &pair) {
                return Ok(None);
            }
            step /= 4.0;
            let next = self.pair(var, &base, (g, d), step)?;
            last = Some(std::mem::replace(&mut pair, next));
        }
        let Some(last) = last else { return Ok(None) };
        let off = (pair.analytic - pair.numeric).abs();
        let steady = agree(last.numeric, pair.numeric, &last);
        let kink = pair.asymmetry > 0.3 * off + pair.rounding;
        Ok((steady && !kink && !agree(pair.analytic, pair.numeric, &pair)).then_some(pair))
    }

    /// The step along `d` at which the logits change by about the target.
    fn first(&self, var: &Var, base: &[f64], (g, d): (&[f64], &[f64]), size: f64) -> Result<(f64, Pair)> {
        let level = self.precision.target * norm(&self.z) / (self.z.len() as f64).sqrt();
        let (mut step, most) = (0.1 * self.precision.target * size, 0.3 * size);
        let mut pair = self.pair(var, base, (g, d), step)?;
        for _ in 0..5 {
            let ratio = pair.change / level;
            let fits = (0.1..3.0).contains(&ratio) || (ratio < 1.0 && step >= most) || level == 0.0;
            if fits {
                break;
            }
            let factor = if ratio.is_finite() { ratio.clamp(1e-3, 1e3) } else { 1e3 };
            step = (step / factor).min(most);
            pair = self.pair(var, base, (g, d), step)?;
        }
        Ok((step, pair))
    }

    /// The derivatives along `d` by a step to each side.
    fn pair(&self, var: &Var, base: &[f64], (g, d): (&[f64], &[f64]), step: f64) -> Result<Pair> {
        let (up, high) = self.at(var, base, d, step)?;
        let (down, low) = self.at(var, base, d, -step)?;
        let of = |a: &[f64], b: &[f64], r: &[f64]| a.iter().zip(b).zip(r).map(|((a, b), r)| (a - b) * r).sum::<f64>();
        let numeric = of(&high, &low, &self.projection) / (2.0 * step);
        let bend = of(&high, &self.z, &self.projection) - of(&self.z, &low, &self.projection);
        let half: f64 = high.iter().zip(&low).map(|(a, b)| (a - b) * (a - b) / 4.0).sum();
        let largest = self.z.iter().fold(0f64, |m, v| m.max(v.abs()));
        Ok(Pair {
            // The points as they were rounded.
            analytic: of(&up, &down, g) / (2.0 * step),
            numeric,
            rounding: 32.0 * self.precision.unit * norm(&self.projection) * largest / (2.0 * step),
            asymmetry: bend.abs() / (2.0 * step),
            change: (half / high.len() as f64).sqrt(),
        })
    }

    /// A point of the line, as it was rounded, and the logits there.
    fn at(&self, var: &Var, base: &[f64], d: &[f64], t: f64) -> Result<(Vec<f64>, Vec<f64>)> {
        let place = |v: Vec<f64>| Tensor::from_vec(v, var.shape(), var.device())?.to_dtype(var.dtype());
        let moved = place(base.iter().zip(d).map(|(b, d)| b + t * d).collect())?;
        var.set(&moved)?;
        let z = self.net.forward(&self.x.as_detached_tensor(), self.mode);
        var.set(&place(base.to_vec())?)?;
        self.buffers.restore()?;
        Ok((host(&moved)?, host(&z?)?))
    }
}
