//! Adversarial losses.

use crate::{Error, Result};
use sconce_tensor_core::candle_core::{DType, Tensor};
use sconce_tensor_core::ops;

/// The losses of a discriminator and of a generator, from the scores `r` of real and `f` of generated examples. Means are weighted where
/// weights are given.
///
/// | loss | discriminator | generator |
/// |---|---|---|
/// | `Hinge` | `mean relu(1 - r) + mean relu(1 + f)` | `-mean f` |
/// | `NonSaturating` | `mean softplus(-r) + mean softplus(f)` | `mean softplus(-f)` |
/// | `Wasserstein` | `mean f - mean r` | `-mean f` |
/// | `LeastSquares` | `(mean (r - 1)^2 + mean f^2) / 2` | `mean (f - 1)^2 / 2` |
/// | `RelativisticHinge` | `mean relu(1 - (r - mean f)) + mean relu(1 + (f - mean r))` | the same with r and f exchanged |
///
/// Sources: Lim and Ye 2017 (arXiv 1705.02894); Goodfellow et al. 2014 (arXiv 1406.2661); Arjovsky et al. 2017 (arXiv 1701.07875), which needs a
/// discriminator that is kept Lipschitz; Mao et al. 2017 (arXiv 1611.04076); Jolicoeur-Martineau 2019 (arXiv 1807.00734).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GanLoss {
    /// The hinge loss.
    #[default]
    Hinge,
    /// The logistic loss with the non-saturating generator loss.
    NonSaturating,
    /// The difference of means.
    Wasserstein,
    /// Squared errors to the labels 1 and 0.
    LeastSquares,
    /// The hinge loss of scores relative to the mean score of the other kind.
    RelativisticHinge,
}

impl GanLoss {
    /// The discriminator's loss, a scalar. `weights` are those of [`weighted_mean`], for real and generated examples alike.
    ///
    /// # Shapes
    /// (N,) and (N,) -> scalar.
    ///
    /// # Errors
    /// Scores that are not (N,), or weights of another length.
    pub fn discriminator(self, real: &Tensor, fake: &Tensor, weights: Option<&Tensor>) -> Result<Tensor> {
        let mean = |x: Tensor| weighted_mean(&x, weights);
        Ok(match self {
            Self::Hinge => (mean(hinge(real, 1.0)?)? + mean(hinge(fake, -1.0)?)?)?,
            Self::NonSaturating => (mean(softplus(&real.neg()?)?)? + mean(softplus(fake)?)?)?,
            Self::Wasserstein => (mean(fake.clone())? - mean(real.clone())?)?,
            Self::LeastSquares => ((mean((real - 1.0)?.sqr()?)? + mean(fake.sqr()?)?)? * 0.5)?,
            Self::RelativisticHinge => relativistic(real, fake, weights)?,
        })
    }

    /// The generator's loss, a scalar. `real` is used by relativistic losses only ([`GanLoss::generator_needs_real`]).
    ///
    /// # Shapes
    /// (N,) and (N,) -> scalar.
    ///
    /// # Errors
    /// As [`GanLoss::discriminator`]; [`Error::Config`] where real scores are needed and not given.
    pub fn generator(self, real: Option<&Tensor>, fake: &Tensor, weights: Option<&Tensor>) -> Result<Tensor> {
        let mean = |x: Tensor| weighted_mean(&x, weights);
        match self {
            Self::Hinge | Self::Wasserstein => Ok(mean(fake.clone())?.neg()?),
            Self::NonSaturating => mean(softplus(&fake.neg()?)?),
            Self::LeastSquares => Ok((mean((fake - 1.0)?.sqr()?)? * 0.5)?),
            Self::RelativisticHinge => match real {
                Some(real) => relativistic(fake, real, weights),
                None => {
                    Err(Error::config("GanLoss.generator", "needs the scores of real examples: a relativistic loss"))
                }
            },
        }
    }

    /// The score at which an example is as real as generated: the middle of the targets 1 and 0 for `LeastSquares`, otherwise 0.
    pub fn boundary(self) -> f64 {
        if self == Self::LeastSquares { 0.5 } else { 0.0 }
    }

    /// Whether the generator's loss uses the scores of real examples.
    pub fn generator_needs_real(self) -> bool {
        self == Self::RelativisticHinge
    }
}

/// `sum_i weights_i x_i`, or the plain mean without weights. Weights of a mixture of domains sum to 1.
///
/// # Shapes
/// (N,) and (N,) -> scalar.
///
/// # Errors
/// Other shapes, or none.
pub fn weighted_mean(x: &Tensor, weights: Option<&Tensor>) -> Result<Tensor> {
    if x.rank() != 1 || x.elem_count() == 0 {
        return Err(Error::shape("scores", "(N,), at least one", x.dims()));
    }
    match weights {
        Some(w) if w.dims() != x.dims() => {
            Err(Error::shape("weights of examples", format!("{:?}", x.dims()), w.dims()))
        }
        Some(w) => Ok((x * w)?.sum_all()?),
        None => Ok(x.mean_all()?),
    }
}

/// `relu(1 - sign x)`.
fn hinge(x: &Tensor, sign: f64) -> Result<Tensor> {
    ops::relu(&x.affine(-sign, 1.0)?)
}

/// `log(1 + e^x)` without overflow: the cross-entropy of the logits (0, x) and class 0.
fn softplus(x: &Tensor) -> Result<Tensor> {
    let logits = Tensor::stack(&[&x.zeros_like()?, x], 1)?;
    ops::cross_entropy(&logits, &Tensor::zeros(x.elem_count(), DType::U32, x.device())?)
}

fn relativistic(high: &Tensor, low: &Tensor, weights: Option<&Tensor>) -> Result<Tensor> {
    let up = high.broadcast_sub(&weighted_mean(low, weights)?)?;
    let down = low.broadcast_sub(&weighted_mean(high, weights)?)?;
    Ok((weighted_mean(&hinge(&up, 1.0)?, weights)? + weighted_mean(&hinge(&down, -1.0)?, weights)?)?)
}
