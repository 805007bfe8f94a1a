//! Penalties on the discriminator's gradient to its input.

use super::weighted_mean;
use crate::{Error, Result};
use sconce_tensor_core::candle_core::{Tensor, Var};
use sconce_tensor_core::error::require;
use sconce_tensor_core::{ExampleRng, ops};

/// Keeps the derivative of a norm finite at 0.
const EPS: f64 = 1e-12;

/// A penalty that is added to the discriminator's loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Penalty {
    /// [`r1`] with its gamma, on real examples.
    R1(f64),
    /// [`wasserstein_penalty`] with its weight.
    Wasserstein(f64),
}

impl Penalty {
    /// Checks the weight, and that second derivatives exist in this process.
    pub(crate) fn require(self) -> Result<()> {
        let (Self::R1(weight) | Self::Wasserstein(weight)) = self;
        require("Penalty.weight", weight.is_finite() && weight > 0.0, "finite and > 0", weight)?;
        require_second()
    }
}

fn require_second() -> Result<()> {
    if ops::keeps_graph()? {
        return Ok(());
    }
    let reason =
        "start the process with CANDLE_GRAD_DO_NOT_DETACH=1, or use spectral norm without a penalty".to_owned();
    Err(Error::Unsupported { what: "a gradient penalty without second derivatives", reason })
}

/// The squared norm of the gradient of each example's score to the example, in the graph of the weights.
///
/// `score` maps examples to one score each; each score must depend on its own example only.
///
/// # Shapes
/// `x` (N, ...) -> (N,).
///
/// # Errors
/// [`Error::Unsupported`] where the process does not keep graphs of gradients; an operation without second derivatives is candle's error,
/// in this backward pass or in that of the loss.
pub fn gradient_norms(score: impl Fn(&Tensor) -> Result<Tensor>, x: &Tensor) -> Result<Tensor> {
    require_second()?;
    let x = Var::from_tensor(&x.detach().copy()?)?;
    let sum = score(x.as_tensor())?.sum_all()?;
    let grads = ops::backward(&sum)?;
    let g = grads.get(&x).ok_or_else(|| Error::NoGradient { name: "the discriminator's input".to_owned() })?;
    Ok(g.sqr()?.flatten_from(1)?.sum(1)?)
}

/// `gamma / 2 mean |grad D(x)|^2` on real examples (Mescheder et al. 2018, arXiv 1801.04406, equation 9); on generated ones it is R2.
///
/// # Shapes
/// `x` (N, ...), `weights` (N,) -> scalar.
///
/// # Errors
/// As [`gradient_norms`].
pub fn r1(
    score: impl Fn(&Tensor) -> Result<Tensor>,
    x: &Tensor,
    gamma: f64,
    weights: Option<&Tensor>,
) -> Result<Tensor> {
    Ok((weighted_mean(&gradient_norms(score, x)?, weights)? * (0.5 * gamma))?)
}

/// `lambda mean (|grad D(u r + (1 - u) f)| - 1)^2` with u uniform for each example, keyed by it (WGAN-GP, Gulrajani et al. 2017, arXiv
/// 1704.00028, equation 3). [`GanLoss::Wasserstein`](super::GanLoss::Wasserstein) goes with it.
///
/// # Shapes
/// `real` and `fake` (N, ...), `weights` (N,), N examples in `rng` -> scalar.
///
/// # Errors
/// As [`gradient_norms`]; shapes that differ.
pub fn wasserstein_penalty(
    score: impl Fn(&Tensor) -> Result<Tensor>,
    (real, fake): (&Tensor, &Tensor),
    lambda: f64,
    weights: Option<&Tensor>,
    rng: &ExampleRng,
) -> Result<Tensor> {
    let n = rng.examples().len();
    if real.dims() != fake.dims() || real.rank() < 2 || real.dims()[0] != n {
        return Err(Error::shape("generated examples", format!("{:?}, with {n} keys", real.dims()), fake.dims()));
    }
    let u = rng.stream("interpolation").uniform(&vec![1; real.rank() - 1], 0.0..1.0, real.dtype(), real.device())?;
    penalty_at(score, (real, fake), &u, lambda, weights)
}

/// The penalty at given mixing weights (N, 1, ...).
fn penalty_at(
    score: impl Fn(&Tensor) -> Result<Tensor>,
    (real, fake): (&Tensor, &Tensor),
    u: &Tensor,
    lambda: f64,
    weights: Option<&Tensor>,
) -> Result<Tensor> {
    let (real, fake) = (real.detach(), fake.detach());
    let between = (real.broadcast_mul(u)? + fake.broadcast_mul(&u.affine(-1.0, 1.0)?)?)?;
    let norms = (gradient_norms(score, &between)? + EPS)?.sqrt()?;
    Ok((weighted_mean(&(norms - 1.0)?.sqr()?, weights)? * lambda)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sconce_tensor_core::candle_core::Device;

    const KEEP: &str = "CANDLE_GRAD_DO_NOT_DETACH";

    /// D(x) = w.x + x'Ax / 2.
    fn score(w: &Tensor, a: &Tensor, x: &Tensor) -> Result<Tensor> {
        let linear = ops::matmul(x, &w.reshape((2, 1))?)?.squeeze(1)?;
        Ok((linear + ((ops::matmul(x, a)? * x)?.sum(1)? * 0.5)?)?)
    }

    fn near(got: &Tensor, want: &[f64]) {
        let got = got.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert_eq!(got.len(), want.len());
        got.iter().zip(want).for_each(|(g, w)| assert!((g - w).abs() < 1e-8, "{got:?} {want:?}"));
    }

    /// Values by `specs/scripts/gan_golden.py`. candle reads the variable once per thread, so the test runs itself in a process that has it.
    #[test]
    fn penalties_and_their_second_derivatives() {
        if std::env::var_os(KEEP).is_none() {
            let mut again = std::process::Command::new(std::env::current_exe().unwrap());
            let name = "loss::penalty::tests::penalties_and_their_second_derivatives";
            let done = again.args(["--exact", name]).env(KEEP, "1").output().unwrap();
            let text = String::from_utf8_lossy(&done.stdout).into_owned();
            assert!(done.status.success() && text.contains("1 passed"), "{text}");
            return;
        }
        let at = |v: &[[f64; 2]; 2]| Tensor::new(v, &Device::Cpu).unwrap();
        let w = Var::new(&[1f64, -2.0], &Device::Cpu).unwrap();
        let a = Var::new(&[[1f64, 0.5], [0.5, -1.0]], &Device::Cpu).unwrap();
        let (real, fake) = (at(&[[0.5, 1.0], [-1.0, 2.0]]), at(&[[1.5, 0.0], [0.0, -1.0]]));
        let d = |x: &Tensor| score(&w, &a, x);
        near(&r1(d, &real, 10.0, None).unwrap(), &[82.03125]);
        near(&r1(d, &fake, 10.0, None).unwrap(), &[22.65625]);
        let u = Tensor::new(&[[0.25f64], [0.75]], &Device::Cpu).unwrap();
        let between =
            (real.broadcast_mul(&u).unwrap() + fake.broadcast_mul(&u.affine(-1.0, 1.0).unwrap()).unwrap()).unwrap();
        near(&gradient_norms(d, &between).unwrap().sqrt().unwrap(), &[2.877716108305, 3.729108472544]);
        let penalty = || penalty_at(d, (&real, &fake), &u, 10.0, None).unwrap();
        near(&penalty(), &[54.869254191506]);
        // Its gradient to the weights against central differences.
        let grads = ops::last_backward(&penalty()).unwrap();
        let got = grads.get(&w).unwrap().to_vec1::<f64>().unwrap();
        for (i, got) in got.iter().enumerate() {
            let at = |e: f64| {
                let mut v = [1.0, -2.0];
                v[i] += e;
                w.set(&Tensor::new(&v, &Device::Cpu).unwrap()).unwrap();
                penalty().to_scalar::<f64>().unwrap()
            };
            let want = (at(1e-5) - at(-1e-5)) / 2e-5;
            at(0.0);
            assert!((got - want).abs() < 1e-6 * (1.0 + want.abs()), "{got} {want}");
        }
    }

    #[test]
    fn without_graphs_of_gradients_it_is_an_error() {
        if std::env::var_os(KEEP).is_some() {
            return;
        }
        let x = Tensor::new(&[[1f64]], &Device::Cpu).unwrap();
        let e = r1(|x| Ok(x.sqr()?.sum(1)?), &x, 1.0, None).unwrap_err().to_string();
        assert!(e.contains("CANDLE_GRAD_DO_NOT_DETACH=1"), "{e}");
    }
}
