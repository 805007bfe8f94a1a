//! The activation between the layers of a network.

use crate::ops::{self, Rectifier};
use crate::{Error, Result};
use candle_core::Tensor;

/// The nonlinearity of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x` if it is positive, otherwise `0.01 x` (PyTorch's default slope).
    LeakyRelu,
    /// `x / (1 + e^-x)`, also called swish.
    Silu,
    /// `x` times the distribution function of the standard normal at `x`.
    Gelu,
}

/// The slope of [`Activation::LeakyRelu`] at negative numbers.
const SLOPE: f64 = 0.01;

impl Activation {
    /// All of them, each with its name.
    pub const ALL: [(&'static str, Self); 5] = [
        ("relu", Self::Relu),
        ("relu6", Self::Relu6),
        ("leaky-relu", Self::LeakyRelu),
        ("silu", Self::Silu),
        ("gelu", Self::Gelu),
    ];

    /// # Shapes
    /// Any; the result has the same.
    ///
    /// # Errors
    /// candle's only.
    pub fn forward(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Relu => ops::relu(x),
            Self::Relu6 => ops::rectify(x, Rectifier::RELU6),
            Self::LeakyRelu => ops::leaky_relu(x, SLOPE),
            Self::Silu => ops::silu(x),
            Self::Gelu => ops::gelu(x, ops::Gelu::Erf),
        }
    }

    /// Those that are a rectifier, which layers compute in one pass with what precedes it.
    pub(crate) fn rectifier(self) -> Option<Rectifier> {
        match self {
            Self::Relu => Some(Rectifier::RELU),
            Self::Relu6 => Some(Rectifier::RELU6),
            Self::LeakyRelu => Some(Rectifier::leaky(SLOPE)),
            Self::Silu | Self::Gelu => None,
        }
    }
}

impl std::str::FromStr for Activation {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let plain = |s: &str| s.to_lowercase().replace(['-', '_'], "");
        let name = plain(s);
        let found = Self::ALL.into_iter().find(|(n, _)| plain(n) == name || (name == "swish" && *n == "silu"));
        found.map(|(_, a)| a).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|(n, _)| *n).collect();
            Error::config("Activation", format!("must be one of {}, got `{s}`", names.join(", ")))
        })
    }
}
