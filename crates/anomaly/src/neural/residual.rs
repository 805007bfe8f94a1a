//! The residual of a reconstruction, and the losses on it.

use crate::{Error, Result};
use candle_core::{D, Tensor};
use serde::{Deserialize, Serialize};

/// The residual r of an example x and its reconstruction y, in d dimensions.
///
/// | Residual | r | at a residual of 0.1 in each of 784 dimensions | weight `1 / (e^r - 1)` of an anomaly in ABC |
/// |---|---|---|---|
/// | `RootMeanSquare` | `norm(x - y) / sqrt(d)` | 0.1 | 9.5 |
/// | `Norm` | `norm(x - y)` | 2.8 | 0.065 |
/// | `SquaredNorm` | `norm(x - y)^2` | 7.84 | 0.0004 |
/// | `MeanSquare` | `norm(x - y)^2 / d` | 0.01 | 99.5 |
///
/// The public code closest to the paper's authors uses the norm. With an unnormalised norm in high dimension known anomalies
/// have almost no weight from the start, and ABC reduces to an autoencoder; a residual per dimension avoids this. The default
/// is chosen by us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Residual {
    /// The Euclidean norm per dimension.
    #[default]
    RootMeanSquare,
    /// The Euclidean norm.
    Norm,
    /// The squared Euclidean norm.
    SquaredNorm,
    /// The squared norm per dimension.
    MeanSquare,
}

impl Residual {
    /// All residuals.
    pub const ALL: [Self; 4] = [Self::RootMeanSquare, Self::Norm, Self::SquaredNorm, Self::MeanSquare];

    /// The residual of each row. 1e-24 is added under the square root, so that a perfect reconstruction has a finite gradient.
    ///
    /// # Shapes
    /// Two of (N, D) -> (N,).
    ///
    /// # Errors
    /// Shapes that differ.
    pub fn of(self, x: &Tensor, reconstruction: &Tensor) -> Result<Tensor> {
        if x.dims() != reconstruction.dims() || x.rank() != 2 {
            return Err(Error::shape("reconstruction", format!("{:?}, of (N, D)", x.dims()), reconstruction.dims()));
        }
        let square = (x - reconstruction)?.sqr()?;
        let square = match self {
            Self::RootMeanSquare | Self::MeanSquare => square.mean(D::Minus1)?,
            Self::Norm | Self::SquaredNorm => square.sum(D::Minus1)?,
        };
        Ok(match self {
            Self::RootMeanSquare | Self::Norm => (square + 1e-24)?.sqrt()?,
            Self::SquaredNorm | Self::MeanSquare => square,
        })
    }
}

/// `log(1 - e^-r)` for r > 0 without cancellation: computed from `1 - e^-r = 2 t / (1 + t)` with `t = tanh(r / 2)`, and for r >
/// 4 from the series of `log(1 - e)` in `e = e^-r`. For r = 0 the result is minus infinity.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use sconce_anomaly::log_one_minus_exp;
/// let r = Tensor::new(&[1e-12f64, 1.0, 50.0], &Device::Cpu)?;
/// let v = log_one_minus_exp(&r)?.to_vec1::<f64>()?;
/// assert!((v[0] - 1e-12f64.ln()).abs() < 1e-11 && (v[1] - (-(-1f64).exp()).ln_1p()).abs() < 1e-15);
/// assert!((v[2] / -(-50f64).exp() - 1.0).abs() < 1e-14);
/// # Ok::<(), sconce_anomaly::Error>(())
/// ```
///
/// # Shapes
/// Any shape; the result has the same shape.
///
/// # Errors
/// candle's only.
pub fn log_one_minus_exp(r: &Tensor) -> Result<Tensor> {
    const FAR: f64 = 4.0;
    let far = r.detach().gt(FAR)?;
    let edge = r.ones_like()?.affine(FAR, 0.0)?;
    // Each branch gets arguments in its own range, so that no NaN comes through the gradient of the other branch.
    let t = (far.where_cond(&edge, r)? * 0.5)?.tanh()?;
    let near = ((&t * 2.0)? / (t + 1.0)?)?.log()?;
    let e = far.where_cond(r, &edge)?.neg()?.exp()?;
    // -(e + e^2 / 2 + ... ), Horner; e is at most e^-4, so 9 terms reach f64's rounding.
    let mut series = e.zeros_like()?;
    for k in (1..=9).rev() {
        series = ((series * &e)? + 1.0 / f64::from(k))?;
    }
    Ok(far.where_cond(&(series * e)?.neg()?, &near)?)
}

/// The loss of autoencoding binary classifiers, `-log p(y | x)` with `p(normal | x) = e^-r`: `r` for a normal example,
/// `-log(1 - e^-r)` for an anomaly. Its derivative in r is 1 for a normal example and `-1 / (e^r - 1)` for an anomaly: the loss
/// raises the residual of an anomaly while it is well reconstructed, and has almost no gradient after that.
///
/// Source: Yamanaka, Iwata, Takahashi, Yamada, Kanai (arXiv 1903.10709); the form follows public code of three of its authors.
///
/// # Shapes
/// `r` and `known` (N,), `known` is 1 for a known anomaly and 0 otherwise, in r's dtype -> (N,).
///
/// # Errors
/// Shapes that differ.
pub fn abc_loss(r: &Tensor, known: &Tensor) -> Result<Tensor> {
    if r.dims() != known.dims() {
        return Err(Error::shape("labels", format!("{:?}", r.dims()), known.dims()));
    }
    // Only the r of anomalies enters the logarithm, because that of a normal example may be 0.
    let is = known.gt(0.5)?;
    let anomaly = log_one_minus_exp(&is.where_cond(r, &r.ones_like()?)?)?.neg()?;
    Ok(is.where_cond(&anomaly, r)?)
}

/// The loss of limiting reconstruction capability (LRC): `r` for a normal example, `-r` for a known anomaly. It is unbounded
/// below.
///
/// Source: Munawar, Vinayavekhin, De Magistris (arXiv 1708.08985).
///
/// # Shapes
/// As [`abc_loss`].
///
/// # Errors
/// As [`abc_loss`].
pub fn lrc_loss(r: &Tensor, known: &Tensor) -> Result<Tensor> {
    if r.dims() != known.dims() {
        return Err(Error::shape("labels", format!("{:?}", r.dims()), known.dims()));
    }
    Ok((r * known.affine(-2.0, 1.0)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use sconce_tensor_core::Rng;
    use sconce_tensor_core::gradcheck::GradCheck;

    fn vector(v: &[f64]) -> Tensor {
        Tensor::new(v, &Device::Cpu).unwrap()
    }

    fn grid() -> Vec<f64> {
        (0..200).map(|i| 10f64.powf(-12.0 + 14.0 * f64::from(i) / 199.0)).collect()
    }

    /// A2: compared with the two forms that are exact below and above log 2.
    #[test]
    fn the_logarithm_over_fourteen_decades() {
        let r = grid();
        let ours = log_one_minus_exp(&vector(&r)).unwrap().to_vec1::<f64>().unwrap();
        for (r, v) in r.iter().zip(ours) {
            let truth = if *r < std::f64::consts::LN_2 { (-(-r).exp_m1()).ln() } else { (-(-r).exp()).ln_1p() };
            assert!((v - truth).abs() <= 4e-15 * truth.abs(), "{r}: {v} {truth}");
        }
        let narrow = Tensor::new(&[1e-6f32, 0.5, 20.0, 80.0], &Device::Cpu).unwrap();
        let v = log_one_minus_exp(&narrow).unwrap().to_vec1::<f32>().unwrap();
        assert!((v[0] + 13.815_511).abs() < 1e-5 && v[2] < 0.0 && v[3] < 0.0, "{v:?}");
    }

    /// A1, A4: p(0) + p(1) = 1, p(1) increases with r from 0, and p(1) = sigmoid(log(e^r - 1)).
    #[test]
    fn probabilities() {
        let r = grid();
        let p = |known: f64| -> Vec<f64> {
            let labels = vector(&vec![known; r.len()]);
            abc_loss(&vector(&r), &labels).unwrap().to_vec1::<f64>().unwrap().iter().map(|l| (-l).exp()).collect()
        };
        let (normal, anomaly) = (p(0.0), p(1.0));
        for i in 0..r.len() {
            assert!((normal[i] + anomaly[i] - 1.0).abs() < 1e-14);
            assert!(i == 0 || anomaly[i] >= anomaly[i - 1]);
            let logistic = 1.0 / (1.0 + 1.0 / r[i].exp_m1());
            assert!((logistic - anomaly[i]).abs() < 1e-14, "{}", r[i]);
        }
    }

    /// A3: the derivatives in r, and the gradients through each residual.
    #[test]
    fn gradients() {
        let r = [1e-6, 0.01, 0.3, 0.7, 2.0, 3.9, 4.1, 30.0];
        let at = candle_core::Var::from_tensor(&vector(&r)).unwrap();
        let loss = abc_loss(&at, &vector(&[1.0; 8])).unwrap().sum_all().unwrap();
        let g = loss.backward().unwrap().get(&at).unwrap().to_vec1::<f64>().unwrap();
        for (r, g) in r.iter().zip(g) {
            let want = -1.0 / r.exp_m1();
            assert!((g - want).abs() <= 1e-9 * want.abs(), "{r}: {g} {want}");
        }
        let normal = |s: u64| Rng::new(s).normal((3, 4), 0.0, 0.5, candle_core::DType::F64, &Device::Cpu).unwrap();
        let labels = vector(&[1.0, 0.0, 1.0]);
        for residual in Residual::ALL {
            for loss in [abc_loss, lrc_loss] {
                let f = |t: &[Tensor]| Ok(loss(&residual.of(&t[0], &t[1])?, &labels)?.sum_all()?);
                GradCheck::default().check(&[normal(1), normal(2)], f).unwrap();
            }
        }
    }

    #[test]
    fn residuals_by_hand_and_at_zero() {
        let (x, y) = (
            Tensor::new(&[[3.0, 4.0]], &Device::Cpu).unwrap(),
            Tensor::zeros((1, 2), candle_core::DType::F64, &Device::Cpu).unwrap(),
        );
        for (residual, want) in Residual::ALL.into_iter().zip([12.5f64.sqrt(), 5.0, 25.0, 12.5]) {
            assert!((residual.of(&x, &y).unwrap().to_vec1::<f64>().unwrap()[0] - want).abs() < 1e-12);
        }
        let at = candle_core::Var::from_tensor(&x).unwrap();
        let r = Residual::Norm.of(&at, &x).unwrap();
        let g = abc_loss(&r, &vector(&[0.0])).unwrap().sum_all().unwrap().backward().unwrap();
        assert!(g.get(&at).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap().iter().all(|v| v.is_finite()));
        assert!(Residual::Norm.of(&x, &x.t().unwrap()).is_err() && abc_loss(&r, &vector(&[0.0, 1.0])).is_err());
    }
}
