//! Exponentials that the compiler can vectorise.

use super::element::Element;
use super::erf::{near_f32, near_f64, tail_f32, tail_f64};
use pulp::{Arch, Simd, WithSimd};

/// Runs `f` compiled for the widest vectors of this machine. What `f` calls must be `#[inline(always)]`, and its
/// loops `for`, not `for_each`: a call that is not inlined is compiled for the oldest machine.
pub(crate) fn vectorized<R>(f: impl FnOnce() -> R) -> R {
    struct Run<F>(F);
    impl<F: FnOnce() -> R, R> WithSimd for Run<F> {
        type Output = R;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> R {
            (self.0)()
        }
    }
    Arch::new().dispatch(Run(f))
}

/// `e^x` in f32 to 2 units in the last place: range reduction by `log 2`, then the polynomial of Cephes' `expf`.
/// Overflows to infinity above 88.72 and to 0 below -87.3 (no subnormal results); NaN stays NaN.
#[inline(always)]
pub(crate) fn exp_f32(x: f32) -> f32 {
    const HIGH: f32 = 88.722_84;
    const LOW: f32 = -87.336_54;
    let c = x.clamp(LOW, HIGH);
    // The addition of 1.5 * 2^23 leaves no bits for a fraction, so it rounds to a whole number; the lowest bits of the sum
    // are that number.
    const WHOLE: f32 = 12_582_912.0;
    let shifted = c * std::f32::consts::LOG2_E + WHOLE;
    let n = shifted - WHOLE;
    let whole = (shifted.to_bits() as i32).wrapping_sub(WHOLE.to_bits() as i32);
    // log 2 in two parts, the first exact in few bits.
    let r = c - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    for a in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p * r + a;
    }
    let y = p * r * r + r + 1.0;
    // 2^n in two factors: n may be 128.
    let half = whole >> 1;
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) << 23) as u32);
    let y = y * power(half) * power(whole.wrapping_sub(half));
    if x > HIGH {
        f32::INFINITY
    } else if x < LOW {
        0.0
    } else {
        y
    }
}

/// Functions of one number, vectorisable in f32 and mostly the standard library's in f64.
pub(crate) trait Math: Element {
    /// A constant.
    fn constant(x: f64) -> Self;

    /// `e^x`.
    fn exponential(self) -> Self;

    /// `1 / (1 + e^-x)`.
    #[inline(always)]
    fn logistic(self) -> Self {
        Self::ONE / (Self::ONE + (Self::ZERO - self).exponential())
    }

    /// `tanh x`.
    fn tangent(self) -> Self;

    /// `log(1 + x)` for x in [0, 1].
    fn log_one_plus(self) -> Self;

    /// `e^x - 1` for x <= 0.
    fn exponential_minus_one(self) -> Self;

    /// `erf x` for |x| <= 1.
    fn erf_near(self) -> Self;

    /// `1 - erf x` for x >= 1.
    fn erf_tail(self) -> Self;

    /// `|x|`.
    #[inline(always)]
    fn magnitude(self) -> Self {
        if self < Self::ZERO { Self::ZERO - self } else { self }
    }

    /// The error function `2 / sqrt(pi) int_0^x e^-t^2 dt`.
    #[inline(always)]
    fn error_function(self) -> Self {
        let a = self.magnitude();
        let far = Self::ONE - a.erf_tail();
        let far = if self < Self::ZERO { Self::ZERO - far } else { far };
        if a < Self::ONE { self.erf_near() } else { far }
    }

    /// The distribution function of the normal distribution, accurate in both tails.
    #[inline(always)]
    fn normal_cdf(self) -> Self {
        let half = Self::constant(0.5);
        let z = self * Self::constant(std::f64::consts::FRAC_1_SQRT_2);
        let a = z.magnitude();
        let far = half * a.erf_tail();
        let far = if z < Self::ZERO { far } else { Self::ONE - far };
        if a < Self::ONE { half + half * z.erf_near() } else { far }
    }
}

impl Math for f32 {
    #[inline(always)]
    fn constant(x: f64) -> Self {
        x as Self
    }

    #[inline(always)]
    fn exponential_minus_one(self) -> Self {
        let t = (0.5 * self).tangent();
        (t + t) / (1.0 - t)
    }

    #[inline(always)]
    fn erf_near(self) -> Self {
        near_f32(self)
    }

    #[inline(always)]
    fn erf_tail(self) -> Self {
        tail_f32(self, exp_f32(-self * self))
    }

    #[inline(always)]
    fn exponential(self) -> Self {
        exp_f32(self)
    }

    #[inline(always)]
    fn tangent(self) -> Self {
        // Near 0 the difference below cancels: there the odd series is exact to rounding.
        let a = self.abs();
        let e = exp_f32(-2.0 * a);
        let far = (1.0 - e) / (1.0 + e);
        let s = self * self;
        // Cephes' polynomial for |x| < 0.625.
        let mut p = -5.704_988e-3;
        for c in [2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1] {
            p = p * s + c;
        }
        let near = p * s * self + self;
        if a < 0.625 { near } else { far.copysign(self) }
    }

    #[inline(always)]
    fn log_one_plus(self) -> Self {
        // 2 artanh(s), s = x / (2 + x) at most 1/3: the odd series, its first term left out below 1e-9.
        let s = self / (2.0 + self);
        let q = s * s;
        let mut p = 1.0 / 17.0;
        for c in [1.0 / 15.0, 1.0 / 13.0, 1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0] {
            p = p * q + c;
        }
        let twice = s + s;
        p * q * twice + twice
    }
}

impl Math for f64 {
    #[inline(always)]
    fn constant(x: f64) -> Self {
        x
    }

    #[inline(always)]
    fn exponential_minus_one(self) -> Self {
        self.exp_m1()
    }

    #[inline(always)]
    fn erf_near(self) -> Self {
        near_f64(self)
    }

    #[inline(always)]
    fn erf_tail(self) -> Self {
        tail_f64(self, (-self * self).exp())
    }

    #[inline(always)]
    fn exponential(self) -> Self {
        self.exp()
    }

    #[inline(always)]
    fn tangent(self) -> Self {
        self.tanh()
    }

    #[inline(always)]
    fn log_one_plus(self) -> Self {
        self.ln_1p()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest distance in units in the last place over a grid.
    fn worst(ours: impl Fn(f32) -> f32, truth: impl Fn(f64) -> f64, range: std::ops::Range<f32>) -> f64 {
        (0..400_000)
            .map(|i| {
                let x = range.start + (range.end - range.start) * i as f32 / 400_000.0;
                let t = truth(f64::from(x));
                let unit = f64::from((t.abs() as f32).max(f32::MIN_POSITIVE)) * f64::from(f32::EPSILON);
                (f64::from(ours(x)) - t).abs() / unit
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn close_to_the_truth() {
        assert!(worst(exp_f32, f64::exp, -87.0..88.7) < 2.0);
        assert!(worst(|x| x.tangent(), f64::tanh, -9.0..9.0) < 3.0);
        assert!(worst(|x| x.log_one_plus(), f64::ln_1p, 0.0..1.0) < 3.0);
        assert!(worst(|x| x.exponential_minus_one(), f64::exp_m1, -90.0..0.0) < 4.0);
        // `worst` divides by f32's spacing: 1e-7 relative.
        let erf = |x: f64| x.error_function();
        assert!(worst(|x| x.error_function(), erf, -6.0..6.0) < 1e-7 / f64::from(f32::EPSILON));
        // The square of x is rounded before its exponential.
        assert!(worst(|x| x.normal_cdf(), |x| x.normal_cdf(), -5.0..9.0) < 30.0);
        assert!(worst(|x| x.logistic(), |x| 1.0 / (1.0 + (-x).exp()), -80.0..30.0) < 3.0);
    }

    #[test]
    fn error_function_in_f64() {
        // Values of mpmath with 40 digits.
        for (x, erf, cdf) in [
            (1e-9, 1.128_379_167_095_512_6e-9, 0.500_000_000_398_942_3),
            (0.3, 0.328_626_759_459_127_4, 0.617_911_422_188_952_7),
            (0.999, 0.842_285_270_206_496_9, 0.841_102_654_358_681_7),
            (1.0, 0.842_700_792_949_714_9, 0.841_344_746_068_542_9),
            (2.5, 0.999_593_047_982_555, 0.993_790_334_674_223_8),
            (-0.7, -0.677_801_193_837_418_4, 0.241_963_652_223_073_03),
            (-3.0, -0.999_977_909_503_001_4, 0.001_349_898_031_630_094_5),
            (-20.0, -1.0, 2.753_624_118_606_233_7e-89),
        ] {
            let off = |ours: f64, truth: f64| (ours / truth - 1.0).abs();
            assert!(off(x.error_function(), erf) < 1e-15, "erf {x}: {}", x.error_function());
            assert!(off(x.normal_cdf(), cdf) < 1e-13, "cdf {x}: {}", x.normal_cdf());
        }
        let inf = f64::INFINITY;
        assert_eq!(
            [inf.error_function(), (-inf).error_function(), inf.normal_cdf(), (-inf).normal_cdf()],
            [1.0, -1.0, 1.0, 0.0]
        );
        assert!(f32::NAN.error_function().is_nan() && f64::NAN.normal_cdf().is_nan());
    }

    #[test]
    fn ends() {
        assert_eq!([exp_f32(0.0), exp_f32(-100.0), exp_f32(f32::NEG_INFINITY)], [1.0, 0.0, 0.0]);
        assert_eq!([exp_f32(89.0), exp_f32(f32::INFINITY)], [f32::INFINITY; 2]);
        assert!(exp_f32(f32::NAN).is_nan() && f32::NAN.tangent().is_nan());
        assert_eq!([f32::INFINITY.tangent(), (-50f32).tangent(), (-0f32).tangent()], [1.0, -1.0, -0.0]);
    }
}
