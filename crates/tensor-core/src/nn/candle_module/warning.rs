//! What a gradient check found, and what to use instead.

use crate::nn::Mode;
use std::fmt;

/// A fault that [`CandleModule::check_gradients`](super::CandleModule::check_gradients) found.
///
/// `Display` names the fault, the likely operation, and the operation to use in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientWarning {
    /// The name of the parameter, or `input`.
    pub name: String,
    /// The mode in which the fault was found: [`Mode::Eval`] or [`Mode::Train`].
    pub mode: Mode,
    /// What is wrong.
    pub fault: GradientFault,
}

/// What is wrong with a gradient.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum GradientFault {
    /// The logits depend on it, but the backward pass gives no gradient: an operation cuts the graph.
    Cut,
    /// The gradient does not agree with central differences. Both numbers are derivatives along one direction.
    Wrong {
        /// The derivative that the backward pass gives.
        analytic: f64,
        /// The derivative by central differences.
        numeric: f64,
    },
    /// The gradient has an element that is NaN or infinite, although the logits are finite.
    NotFinite,
    /// The backward pass fails, with this message.
    Backward(String),
}

impl GradientWarning {
    /// The analytic derivative divided by the numeric one; `None` unless the gradient is wrong.
    pub fn ratio(&self) -> Option<f64> {
        match self.fault {
            GradientFault::Wrong { analytic, numeric } => Some(analytic / numeric),
            _ => None,
        }
    }

    /// The product of the window sides of candle's `max_pool2d` that explains the ratio: candle divides the gradient of a
    /// unique maximum by the square of it.
    pub fn pooling(&self) -> Option<usize> {
        let ratio = self.ratio()?;
        // 8 % separates neighbouring squares up to 16.
        (2..=16).find(|k| (ratio * (k * k) as f64 - 1.0).abs() < 0.08)
    }
}

/// Words of candle's messages, the operation that they are about, and ours for its place.
const BACKWARD: [(&str, &str, &str); 6] = [
    ("upsample_bilinear2d", "upsample_bilinear2d, which has no backward pass", "upsample_bilinear2d"),
    ("upscaling", "upsample_nearest2d by a factor that is not one integer for both axes", "upsample_nearest2d"),
    ("maxpool2d", "max_pool2d whose stride differs from its window", "max_pool2d"),
    ("avgpool2d", "avg_pool2d whose stride differs from its window", "avg_pool2d"),
    ("transpose1d", "conv_transpose1d, which has no backward pass (a signal is a map of height 1)", "conv_transpose2d"),
    ("shape mismatch", "conv2d with a stride, on images that are not square", "conv2d"),
];

impl fmt::Display for GradientWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.mode == Mode::Train { "training mode" } else { "evaluation mode" };
        let ours = "sconce_tensor_core::ops";
        match &self.fault {
            GradientFault::Cut => write!(
                f,
                "`{}` gets no gradient in {mode}, although the logits depend on it: an operation between it and the logits \
                 cuts the graph. Likely operations of candle-nn are softmax_last_dim and the fused LayerNorm, RmsNorm and \
                 rope. Use `candle_nn::ops::softmax`, `layer_norm_slow`, `rms_norm_slow`, `rope_slow`, or \
                 `{ours}::log_softmax`; logits themselves need no softmax",
                self.name
            ),
            GradientFault::Wrong { analytic, numeric } => {
                write!(
                    f,
                    "the gradient of `{}` is wrong in {mode}: the backward pass gives {analytic:.4e} along a direction, \
                     central differences {numeric:.4e}, ratio {:.4}. ",
                    self.name,
                    analytic / numeric
                )?;
                match self.pooling() {
                    Some(k) => {
                        write!(f, "This is the ratio of candle's max_pool2d with {k}x{k} windows")?;
                        if (2..k).any(|d| k % d == 0) {
                            write!(f, ", or of several whose sides multiply to {k}")?;
                        }
                        write!(f, ". Use `{ours}::max_pool2d`")
                    }
                    None => write!(
                        f,
                        "Likely operations are candle's max_pool2d (use `{ours}::max_pool2d`) and its upsample_nearest2d of a \
                         tensor that is used a second time (use `{ours}::upsample_nearest2d`)"
                    ),
                }
            }
            GradientFault::NotFinite => write!(
                f,
                "the gradient of `{}` has an element that is NaN or infinite in {mode}, although the logits are finite. Likely \
                 operations are a square root or a norm at 0 and a logarithm of 0",
                self.name
            ),
            GradientFault::Backward(message) => {
                write!(f, "the backward pass fails in {mode}: {message}. ")?;
                match BACKWARD.iter().find(|(words, ..)| message.contains(words)) {
                    Some((_, what, use_)) => write!(f, "The likely operation is candle's {what}. Use `{ours}::{use_}`"),
                    None => write!(f, "`{ours}` lists operations whose backward pass is verified"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(ratio: f64) -> GradientWarning {
        let fault = GradientFault::Wrong { analytic: 3.0 * ratio, numeric: 3.0 };
        GradientWarning { name: "w".into(), mode: Mode::Eval, fault }
    }

    #[test]
    fn ratios_name_the_window() {
        assert_eq!(
            [0.25, 0.1111, 0.0625, 0.5, 0.3].map(|r| wrong(r).pooling()),
            [Some(2), Some(3), Some(4), None, None]
        );
        assert_eq!(wrong(f64::NAN).pooling(), None);
        assert!(wrong(0.0625).to_string().contains("4x4 windows, or of several whose sides multiply to 4"));
        assert!(!wrong(0.25).to_string().contains("several"));
    }

    #[test]
    fn messages_of_candle_name_the_operation() {
        let w =
            |m: &str| GradientWarning { name: "w".into(), mode: Mode::Train, fault: GradientFault::Backward(m.into()) };
        let e = w("backward not supported for upsample_bilinear2d").to_string();
        assert!(e.contains("`sconce_tensor_core::ops::upsample_bilinear2d`") && e.contains("training mode"), "{e}");
        assert!(w("backward is not supported for ceil").to_string().contains("verified"));
    }
}
