//! Functions between a network's last layer and its softmax: the bounded logit function, its alternatives and controls.

use candle_core::Tensor;
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Error, Mode, Module, Network, Params, Result};

/// The form of a [`LogitFunction`] without its factor `gamma`. All forms are odd functions.
///
/// The paper's formula is not known to us. [`LogitForm::Swish`] is reconstructed from memory and not verified against the
/// paper. It has every property that we found in a source: it is elementwise and bounded, and reaches its largest value at a
/// finite point, so that logits and pre-logits are both small at the optimum. The alternatives share these properties; the
/// controls lack them.
///
/// | Form | `g(z) / gamma` | range | arg-max | Lipschitz constant |
/// |---|---|---|---|---|
/// | `Swish` | `tanh(z/2) + (z/2) sech^2(z/2)` = `2 swish'(z) - 1` | ±1.19968, tails to ±1 | 2.39936 | 1 |
/// | `HalfSwish` | `swish'(z) - 1/2` | ±0.59984, tails to ±1/2 | 2.39936 | 1/2 |
/// | `SigmoidBump` | `z sigma(z) (1 - sigma(z))` | ±0.22387, tails to 0 | 1.54340 | 1/4 |
/// | `Gauss` | `z exp(-z^2 / 2)` | ±0.60653, tails to 0 | 1 | 1 |
/// | `Rational` | `2 z / (1 + z^2)` | ±1, tails to 0 | 1 | 2 |
/// | `Tanh` (control) | `tanh z` | ±1, not attained | none | 1 |
/// | `Clip` (control) | `z` cut to [-1, 1] | ±1 | all z >= 1 | 1 |
/// | `Identity` (control) | `z` | unbounded | none | 1 |
///
/// Source: Kanai et al. (arXiv 2010.02558) for the method and the failure of `tanh`; for the formulas see above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum LogitForm {
    /// The bounded logit function as reconstructed: twice the derivative of swish, centred.
    #[default]
    Swish,
    /// Half of `Swish`.
    HalfSwish,
    /// `z sigma'(z)`.
    SigmoidBump,
    /// `z exp(-z^2 / 2)`.
    Gauss,
    /// `2 z / (1 + z^2)`.
    Rational,
    /// Control: bounded, but the bound is approached only at infinity, so that pre-logits grow.
    Tanh,
    /// Control: bounded, with zero gradient outside [-1, 1].
    Clip,
    /// Control: the identity.
    Identity,
}

impl LogitForm {
    /// All forms.
    pub const ALL: [Self; 8] = [
        Self::Swish,
        Self::HalfSwish,
        Self::SigmoidBump,
        Self::Gauss,
        Self::Rational,
        Self::Tanh,
        Self::Clip,
        Self::Identity,
    ];

    /// The smallest point at which the largest value is attained; `None` if it is not attained.
    pub fn arg_max(self) -> Option<f64> {
        match self {
            Self::Swish | Self::HalfSwish => Some(2.399_357_280_520_467_6),
            Self::SigmoidBump => Some(1.543_404_638_418_208_5),
            Self::Gauss | Self::Rational | Self::Clip => Some(1.0),
            Self::Tanh | Self::Identity => None,
        }
    }

    /// The supremum of `g / gamma`.
    pub fn bound(self) -> f64 {
        match self {
            Self::Swish => 1.199_678_640_257_733_8,
            Self::HalfSwish => 0.599_839_320_128_866_9,
            Self::SigmoidBump => 0.223_871_774_068_939_9,
            Self::Gauss => 0.606_530_659_712_633_4,
            Self::Rational | Self::Tanh | Self::Clip => 1.0,
            Self::Identity => f64::INFINITY,
        }
    }

    /// The Lipschitz constant of `g / gamma`, which is its slope at 0 for every form.
    pub fn lipschitz(self) -> f64 {
        match self {
            Self::Swish | Self::Gauss | Self::Tanh | Self::Clip | Self::Identity => 1.0,
            Self::HalfSwish => 0.5,
            Self::SigmoidBump => 0.25,
            Self::Rational => 2.0,
        }
    }
}

/// Configuration of [`LogitFunction`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `form` | swish | the form | |
/// | `gamma` | 1 | factor on the form; it bounds the logits, and thereby the confidence | finite, > 0 |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogitFunctionConfig {
    /// The form.
    pub form: LogitForm,
    /// The factor.
    pub gamma: f64,
}

impl Default for LogitFunctionConfig {
    fn default() -> Self {
        Self { form: LogitForm::Swish, gamma: 1.0 }
    }
}

/// `gamma` times a [`LogitForm`], applied elementwise.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use sconce_activations::{LogitFunction, LogitFunctionConfig};
/// let blf = LogitFunction::new(LogitFunctionConfig { gamma: 2.0, ..Default::default() })?;
/// let z = Tensor::new(&[[-1e4, 0.0, 2.39936, 1e4]], &Device::Cpu)?;
/// let g = blf.forward(&z)?.to_vec2::<f64>()?;
/// assert!((g[0][2] - 2.0 * 1.19968).abs() < 1e-4 && g[0][3] == 2.0 && g[0][1] == 0.0);
/// # Ok::<(), sconce_activations::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LogitFunction {
    cfg: LogitFunctionConfig,
}

/// `1 - tanh^2`, without cancellation for large arguments: `4 e / (1 + e)^2` with `e = exp(-2 |t|)`.
fn sech_square(t: &Tensor) -> Result<Tensor> {
    let e = (t.abs()? * -2.0)?.exp()?;
    let below = (&e + 1.0)?;
    Ok(((e * 4.0)? / below.sqr()?)?)
}

impl LogitFunction {
    /// Validates the configuration.
    ///
    /// # Errors
    /// A `gamma` that is not finite and positive.
    pub fn new(cfg: LogitFunctionConfig) -> Result<Self> {
        let good = cfg.gamma.is_finite() && cfg.gamma > 0.0;
        require("LogitFunctionConfig.gamma", good, "finite and > 0", cfg.gamma)?;
        Ok(Self { cfg })
    }

    /// The configuration.
    pub fn config(&self) -> LogitFunctionConfig {
        self.cfg
    }

    /// The supremum of the function's absolute value.
    pub fn bound(&self) -> f64 {
        self.cfg.gamma * self.cfg.form.bound()
    }

    /// Applies the function; the result is finite for every finite `z`.
    ///
    /// # Shapes
    /// Any shape; the result has the same shape.
    ///
    /// # Errors
    /// candle's only.
    pub fn forward(&self, z: &Tensor) -> Result<Tensor> {
        let half = || z * 0.5;
        let g = match self.cfg.form {
            LogitForm::Swish | LogitForm::HalfSwish => {
                let t = half()?;
                let g = (t.tanh()? + (&t * sech_square(&t)?)?)?;
                if self.cfg.form == LogitForm::HalfSwish { (g * 0.5)? } else { g }
            }
            // sigma (1 - sigma) is a quarter of sech^2 of half the argument.
            LogitForm::SigmoidBump => (z * (sech_square(&half()?)? * 0.25)?)?,
            LogitForm::Gauss => (z * (z.sqr()? * -0.5)?.exp()?)?,
            LogitForm::Rational => rational(z)?,
            LogitForm::Tanh => z.tanh()?,
            LogitForm::Clip => {
                // The derivative is 1 inside and 0 at the ends and outside (candle's clamp gives 1/2 at the ends).
                let ends = z.detach().clamp(-1.0, 1.0)?;
                z.detach().abs()?.lt(1.0)?.where_cond(z, &ends)?
            }
            LogitForm::Identity => z.clone(),
        };
        Ok((g * self.cfg.gamma)?)
    }
}

/// `2 z / (1 + z^2)`; where the square would overflow in f32, computed from `1 / z`.
fn rational(z: &Tensor) -> Result<Tensor> {
    let far = z.detach().abs()?.gt(1e6)?;
    let one = z.ones_like()?;
    // Each branch gets arguments at which it is finite, so that no NaN comes through the gradient of the other branch.
    let near = far.where_cond(&one, z)?;
    let large = far.where_cond(z, &one)?;
    let inverse = large.recip()?;
    Ok(far.where_cond(&(inverse * 2.0)?, &((&near * 2.0)? / (near.sqr()? + 1.0)?)?)?)
}

/// A network with a [`LogitFunction`] after its last layer. Its parameters are those of the inner network.
///
/// Predictions use `g(z)`, not `z`: beyond the arg-max their order may differ.
#[derive(Clone, Debug)]
pub struct BoundedLogits<N> {
    inner: N,
    function: LogitFunction,
}

impl<N: Network> BoundedLogits<N> {
    /// `function` applied to the outputs of `inner`.
    pub fn new(inner: N, function: LogitFunction) -> Self {
        Self { inner, function }
    }

    /// The inner network; its outputs are the pre-logits.
    pub fn inner(&self) -> &N {
        &self.inner
    }

    /// The function.
    pub fn function(&self) -> LogitFunction {
        self.function
    }
}

impl<N: Network> Module for BoundedLogits<N> {
    fn params(&self) -> &Params {
        self.inner.params()
    }
}

impl<N: Network> Network for BoundedLogits<N> {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.function.forward(&self.inner.forward(x, mode)?)
    }

    fn outputs(&self) -> usize {
        self.inner.outputs()
    }

    fn input_bounds(&self) -> sconce_tensor_core::Bounds {
        self.inner.input_bounds()
    }
}

impl std::str::FromStr for LogitForm {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let word = |f: &Self| format!("{f:?}").to_lowercase();
        let asked = s.replace('-', "").to_lowercase();
        Self::ALL.into_iter().find(|f| word(f) == asked).ok_or_else(|| {
            let known: Vec<String> = Self::ALL.iter().map(word).collect();
            Error::config("LogitForm", format!("must be one of {}, got `{s}`", known.join(", ")))
        })
    }
}
