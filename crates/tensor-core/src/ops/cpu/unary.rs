//! Functions of one number with their first two derivatives.

use super::elementwise::{map, zip};
use super::math::Math;

/// A function `f` of one number.
pub(crate) trait Unary: Copy + Send + Sync + 'static {
    /// The name in messages.
    const NAME: &'static str;

    /// `f(x)`.
    fn value<T: Math>(self, x: T) -> T;

    /// `f'(x)`.
    fn slope<T: Math>(self, x: T) -> T;

    /// `f''(x)`.
    fn bend<T: Math>(self, x: T) -> T;
}

/// `f(x)` for all.
pub(crate) fn values<T: Math>(f: impl Unary, x: &[T]) -> Vec<T> {
    map(
        x,
        #[inline(always)]
        move |x| f.value(x),
    )
}

/// `g f'(x)` for all.
pub(crate) fn slopes<T: Math>(f: impl Unary, x: &[T], g: &[T]) -> Vec<T> {
    zip(
        x,
        g,
        #[inline(always)]
        move |x, g| g * f.slope(x),
    )
}

/// `g f''(x)` for all.
pub(crate) fn bends<T: Math>(f: impl Unary, x: &[T], g: &[T]) -> Vec<T> {
    zip(
        x,
        g,
        #[inline(always)]
        move |x, g| g * f.bend(x),
    )
}

/// `x Phi(x)`.
#[derive(Clone, Copy)]
pub(crate) struct GeluErf;
/// `x (1 + tanh u) / 2`, `u = sqrt(2 / pi) (x + 0.044715 x^3)`.
#[derive(Clone, Copy)]
pub(crate) struct GeluTanh;
/// `x sigma(x)`.
#[derive(Clone, Copy)]
pub(crate) struct Silu;
/// `x min(max(x + 3, 0), 6) / 6`.
#[derive(Clone, Copy)]
pub(crate) struct HardSwish;
/// `min(max(alpha x + beta, 0), 1)`.
#[derive(Clone, Copy)]
pub(crate) struct HardSigmoid {
    pub(crate) alpha: f64,
    pub(crate) beta: f64,
}
/// `x tanh(log(1 + e^x))`.
#[derive(Clone, Copy)]
pub(crate) struct Mish;
/// `log(1 + e^x)`.
#[derive(Clone, Copy)]
pub(crate) struct Softplus;
/// `scale x` if x > 0, otherwise `scale alpha (e^x - 1)`.
#[derive(Clone, Copy)]
pub(crate) struct Elu {
    pub(crate) alpha: f64,
    pub(crate) scale: f64,
}
/// `tanh x`.
#[derive(Clone, Copy)]
pub(crate) struct Tanh;
/// The error function.
#[derive(Clone, Copy)]
pub(crate) struct Erf;
/// `min(max(x, low), high)`.
#[derive(Clone, Copy)]
pub(crate) struct Clamp {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// `scale e^(-c x^2)`.
#[inline(always)]
fn bell<T: Math>(x: T, c: f64, scale: f64) -> T {
    T::constant(scale) * (T::constant(-c) * x * x).exponential()
}

const SQRT_1_2PI: f64 = 0.398_942_280_401_432_7;

impl Unary for GeluErf {
    const NAME: &'static str = "sconce-gelu";

    #[inline(always)]
    fn value<T: Math>(self, x: T) -> T {
        x * x.normal_cdf()
    }

    #[inline(always)]
    fn slope<T: Math>(self, x: T) -> T {
        x.normal_cdf() + x * bell(x, 0.5, SQRT_1_2PI)
    }

    #[inline(always)]
    fn bend<T: Math>(self, x: T) -> T {
        bell(x, 0.5, SQRT_1_2PI) * (T::constant(2.0) - x * x)
    }
}

impl GeluTanh {
    const CUBE: f64 = 0.044_715;
    const SCALE: f64 = 0.797_884_560_802_865_4;

    /// `tanh u`, `u'`, `u''`.
    #[inline(always)]
    fn inner<T: Math>(x: T) -> (T, T, T) {
        let (c, s) = (T::constant(Self::CUBE), T::constant(Self::SCALE));
        let square = c * x * x;
        let three = T::constant(3.0);
        ((s * (x + square * x)).tangent(), s * (T::ONE + three * square), s * (three + three) * c * x)
    }
}

impl Unary for GeluTanh {
    const NAME: &'static str = "sconce-gelu-tanh";

    #[inline(always)]
    fn value<T: Math>(self, x: T) -> T {
        T::constant(0.5) * x * (T::ONE + Self::inner(x).0)
    }

    #[inline(always)]
    fn slope<T: Math>(self, x: T) -> T {
        let (t, u, _) = Self::inner(x);
        T::constant(0.5) * (T::ONE + t) * (T::ONE + x * (T::ONE - t) * u)
    }

    #[inline(always)]
    fn bend<T: Math>(self, x: T) -> T {
        let (t, u, v) = Self::inner(x);
        let off = (T::ONE - t) * (T::ONE + t);
        off * (u + T::constant(0.5) * x * (v - T::constant(2.0) * t * u * u))
    }
}

impl Unary for Silu {
    const NAME: &'static str = "sconce-silu";

    #[inline(always)]
    fn value<T: Math>(self, x: T) -> T {
        x * x.logistic()
    }

    #[inline(always)]
    fn slope<T: Math>(self, x: T) -> T {
        let s = x.logistic();
        s * (T::ONE + x * (T::ONE - s))
    }

    #[inline(always)]
    fn bend<T: Math>(self, x: T) -> T {
        let (s, two) = (x.logistic(), T::constant(2.0));
        s * (T::ONE - s) * (two + x * (T::ONE - two * s))
    }
}

impl Unary for HardSwish {
    const NAME: &'static str = "sconce-hard-swish";

    #[inline(always)]
    fn value<T: Math>(self, x: T) -> T {
        let three = T::constant(3.0);
        let inner = x * (x + three) * T::constant(1.0 / 6.0);
        if x <= T::ZERO - three {
            T::ZERO
        } else if x >= three {
            x
        } else {
            inner
        }
    }

    #[inline(always)]
    fn slope<T: Math>(self, x: T) -> T {
        let three = T::constant(3.0);
        let inner = x * T::constant(1.0 / 3.0) + T::constant(0.5);
        if x <= T::ZERO - three {
            T::ZERO
        } else if x >= three {
            T::ONE
        } else {
            inner
        }
    }

    #[inline(always)]
    fn bend<T: Math>(self, x: T) -> T {
        if x.magnitude() < T::constant(3.0) { T::constant(1.0 / 3.0) } else { T::ZERO }
    }
}

impl Unary for HardSigmoid {
    const NAME: &'static str = "sconce-hard-sigmoid";

    #[inline(always)]
    fn value<T: Math>(self, x: T) -> T {
        let v = T::constant(self.alpha) * x + T::constant(self.beta);
        if v <= T::ZERO {
            T::ZERO
        } else if v >= T::ONE {
            T::ONE
        } else {
            v
        }
    }

    #[inline(always)]
    fn slope<T: Math>(self, x: T) -> T {
        let alpha = T::constant(self.alpha);
        let v = alpha * x + T::constant(self.beta);
        if v <= T::ZERO || v >= T::ONE { T::ZERO } else { alpha }
    }

    #[inline(always)]
    fn bend<T: Math>(self, _: T) -> T {
        T::ZERO
    }
}

impl Mish {
    /// `w = tanh(log(1 + e^x)) = n / (n + 2)` with `n = e^x (e^x + 2)`, `1 - w`, and the logistic function.
    #[inline(always)]
    fn inner<T: Math>(x: T) -> (T, T, T) {
        let (top, two) = (T::constant(30.0), T::constant(2.0));
        let e = (if x > top { top } else { x }).exponential();
        let n = e * (e + two);
        (n / (n + two), two / (n + two), x.logistic())
    }
}

impl Unary for Mish {
    const NAME: &'static str = "sconce-mish";

    #[inline(always)]
    fn value<T: Math>(self, x: T) -> T {
        x * Self::inner(x).0
    }

    #[inline(always)]
    fn slope<T: Math>(self, x: T) -> T {
        let (w, off, s) = Self::inner(x);
        w + x * (off * (T::ONE + w) * s)
    }

    #[inline(always)]
    fn bend<T: Math>(self, x: T) -> T {
        let (w, off, s) = Self::inner(x);
        let two = T::constant(2.0);
        // w' = (1 - w^2) s and w'' = w' (1 - s - 2 w s).
        let first = off * (T::ONE + w) * s;
        first * (two + x * (T::ONE - s - two * w * s))
    }
}

impl Unary for Softplus {
    const NAME: &'static str = "sconce-softplus";

    #[inline(always)]
    fn value<T: Math>(self, x: T) -> T {
        let positive = if x < T::ZERO { T::ZERO } else { x };
        positive + (T::ZERO - x.magnitude()).exponential().log_one_plus()
    }

    #[inline(always)]
    fn slope<T: Math>(self, x: T) -> T {
        x.logistic()
    }

    #[inline(always)]
    fn bend<T: Math>(self, x: T) -> T {
        let s = x.logistic();
        s * (T::ONE - s)
    }
}

impl Unary for Elu {
    const NAME: &'static str = "sconce-elu";

    #[inline(always)]
    fn value<T: Math>(self, x: T) -> T {
        let bent = T::constant(self.scale * self.alpha) * x.exponential_minus_one();
        if x > T::ZERO { T::constant(self.scale) * x } else { bent }
    }

    #[inline(always)]
    fn slope<T: Math>(self, x: T) -> T {
        let bent = T::constant(self.scale * self.alpha) * x.exponential();
        if x > T::ZERO { T::constant(self.scale) } else { bent }
    }

    #[inline(always)]
    fn bend<T: Math>(self, x: T) -> T {
        let bent = T::constant(self.scale * self.alpha) * x.exponential();
        if x > T::ZERO { T::ZERO } else { bent }
    }
}

impl Unary for Tanh {
    const NAME: &'static str = "sconce-tanh";

    #[inline(always)]
    fn value<T: Math>(self, x: T) -> T {
        x.tangent()
    }

    #[inline(always)]
    fn slope<T: Math>(self, x: T) -> T {
        let t = x.tangent();
        (T::ONE - t) * (T::ONE + t)
    }

    #[inline(always)]
    fn bend<T: Math>(self, x: T) -> T {
        let t = x.tangent();
        T::constant(-2.0) * t * (T::ONE - t) * (T::ONE + t)
    }
}

impl Unary for Erf {
    const NAME: &'static str = "sconce-erf";

    #[inline(always)]
    fn value<T: Math>(self, x: T) -> T {
        x.error_function()
    }

    #[inline(always)]
    fn slope<T: Math>(self, x: T) -> T {
        bell(x, 1.0, std::f64::consts::FRAC_2_SQRT_PI)
    }

    #[inline(always)]
    fn bend<T: Math>(self, x: T) -> T {
        T::constant(-2.0) * x * self.slope(x)
    }
}

impl Unary for Clamp {
    const NAME: &'static str = "sconce-clamp";

    #[inline(always)]
    fn value<T: Math>(self, x: T) -> T {
        let (low, high) = (T::constant(self.low), T::constant(self.high));
        if x < low {
            low
        } else if x > high {
            high
        } else {
            x
        }
    }

    #[inline(always)]
    fn slope<T: Math>(self, x: T) -> T {
        if x > T::constant(self.low) && x < T::constant(self.high) { T::ONE } else { T::ZERO }
    }

    #[inline(always)]
    fn bend<T: Math>(self, _: T) -> T {
        T::ZERO
    }
}
