//! Samples of the Beta distribution from a counter-based stream.

use crate::Rng;

/// The logarithm of a sample of Gamma(shape, 1).
///
/// Marsaglia and Tsang, "A simple method for generating gamma variables" (ACM TOMS 26, 2000): for a shape `a >= 1`,
/// `d = a - 1/3`, `c = 1 / sqrt(9 d)`, a normal `z` and a uniform `u`, the value `d (1 + c z)^3` is accepted where
/// `ln u < z^2 / 2 + d - d v + d ln v` with `v = (1 + c z)^3 > 0`. A shape below 1 is raised by 1 and multiplied by
/// `u^(1 / a)`. The logarithm is returned because that power underflows for small shapes.
fn ln_gamma(rng: Rng, shape: f64) -> f64 {
    if shape < 1.0 {
        // 1 - u is in (0, 1], so the logarithm is finite.
        let u = rng.stream("boost").uniforms(1)[0];
        return ln_gamma(rng, shape + 1.0) + (1.0 - u).ln() / shape;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    let (normal, uniform) = (rng.stream("normal"), rng.stream("accept"));
    let mut trials = 8;
    // A trial is accepted with a probability above 0.95. More trials repeat the first ones: a prefix of a stream is fixed.
    loop {
        let accepted = normal.normals(trials).into_iter().zip(uniform.uniforms(trials)).find_map(|(z, u)| {
            let v = (1.0 + c * z).powi(3);
            (v > 0.0 && u.ln() < 0.5 * z * z + d - d * v + d * v.ln()).then(|| d.ln() + v.ln())
        });
        match accepted {
            Some(ln) => return ln,
            None => trials *= 2,
        }
    }
}

/// A sample of Beta(a, b): `X / (X + Y)` with X of Gamma(a) and Y of Gamma(b). Shapes are finite and positive, and
/// large enough for `1 / a` to be far from infinite.
pub(super) fn beta(rng: Rng, a: f64, b: f64) -> f64 {
    1.0 / (1.0 + (ln_gamma(rng.stream("second"), b) - ln_gamma(rng.stream("first"), a)).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Means and variances for shapes on both sides of 1, within five standard errors (the variance's own is
    /// estimated from the sample).
    #[test]
    fn moments_of_skewed_shapes() {
        let n = 40_000;
        for (a, b) in [(0.2, 0.2), (0.5, 2.0), (1.0, 3.0), (4.0, 1.5), (30.0, 30.0)] {
            let v: Vec<f64> = (0..n).map(|i| beta(Rng::new(11).at(i), a, b)).collect();
            let mean = v.iter().sum::<f64>() / n as f64;
            let squares: Vec<f64> = v.iter().map(|v| (v - mean).powi(2)).collect();
            let var = squares.iter().sum::<f64>() / n as f64;
            let (want, want_var): (f64, f64) = (a / (a + b), a * b / ((a + b).powi(2) * (a + b + 1.0)));
            assert!((mean - want).abs() < 5.0 * (want_var / n as f64).sqrt(), "Beta({a}, {b}): mean {mean}");
            let spread = (squares.iter().map(|s| (s - var).powi(2)).sum::<f64>() / n as f64 / n as f64).sqrt();
            assert!((var - want_var).abs() < 5.0 * spread, "Beta({a}, {b}): variance {var}");
        }
    }

    #[test]
    fn extreme_shapes_stay_in_the_unit_interval() {
        for shape in [1e-6, 1e-3, 1e6] {
            for i in 0..200 {
                let v = beta(Rng::new(2).at(i), shape, shape);
                assert!((0.0..=1.0).contains(&v), "{v}");
                assert!(shape < 1.0 || (v - 0.5).abs() < 0.01);
            }
        }
    }
}
