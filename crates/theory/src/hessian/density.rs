//! The spectral density of a symmetric operator.

use super::lanczos::Krylov;
use super::operator::Operator;
use crate::Result;
use sconce_tensor_core::Rng;
use sconce_tensor_core::error::require;

/// Quadrature nodes of the spectral measure: eigenvalues that represent the whole spectrum, with weights that sum to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct SpectralDensity {
    /// (eigenvalue, weight), in ascending order.
    pub nodes: Vec<(f64, f64)>,
}

/// Stochastic Lanczos quadrature: `steps` steps of the Lanczos recurrence for each of `probes` random vectors. The Ritz values,
/// weighted with the squares of their first components, are the nodes of a Gauss quadrature of the probe's spectral measure.
///
/// Source: Golub and Welsch (1969); for networks Ghorbani, Krishnan, Xiao (arXiv 1901.10159).
///
/// # Errors
/// No probes or steps; those of the operator.
pub fn spectral_density(op: &dyn Operator, probes: usize, steps: usize, rng: &Rng) -> Result<SpectralDensity> {
    require("probes", probes >= 1, "at least 1", probes)?;
    require("steps", steps >= 1, "at least 1", steps)?;
    let mut nodes = Vec::new();
    for i in 0..probes {
        let mut k = Krylov::new(op, rng.stream("density").at(i as u64).normals(op.dim()))?;
        for _ in 0..steps {
            if !k.step(op)? {
                break;
            }
        }
        let (values, vectors) = k.ritz()?;
        nodes.extend(values.into_iter().zip(vectors).map(|(l, s)| (l, s[0] * s[0] / probes as f64)));
    }
    nodes.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(SpectralDensity { nodes })
}

impl SpectralDensity {
    /// The density at a point, with a Gaussian of standard deviation `width` at every node.
    pub fn at(&self, x: f64, width: f64) -> f64 {
        let bell = |l: f64| (-0.5 * ((x - l) / width).powi(2)).exp() / (width * (2.0 * std::f64::consts::PI).sqrt());
        self.nodes.iter().map(|(l, w)| w * bell(*l)).sum()
    }

    /// The mean of a function over the spectrum, `trace(f(H)) / dim`.
    pub fn mean(&self, f: impl Fn(f64) -> f64) -> f64 {
        self.nodes.iter().map(|(l, w)| w * f(*l)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Matrix;
    use super::*;

    /// A diagonal with a bulk at 0, a hundredth at 5: shares and moments.
    #[test]
    fn shares_of_the_spectrum() {
        let d = 400;
        let values: Vec<f64> =
            (0..d).map(|i| if i < 4 { 5.0 } else { 0.1 * f64::from(i as u32) / f64::from(d as u32) }).collect();
        let h = Matrix::new((0..d * d).map(|e| if e / d == e % d { values[e / d] } else { 0.0 }).collect(), d).unwrap();
        let all = spectral_density(&h, 60, 30, &Rng::new(0)).unwrap();
        assert!((all.mean(|_| 1.0) - 1.0).abs() < 1e-12);
        let far = all.mean(|l| f64::from(u8::from(l > 2.0)));
        assert!((far - 0.01).abs() < 0.002, "{far}");
        let mean = values.iter().sum::<f64>() / d as f64;
        assert!((all.mean(|l| l) - mean).abs() < 0.15 * mean, "{} {mean}", all.mean(|l| l));
        assert!(all.nodes.iter().all(|n| n.0 > -1e-9 && n.0 < 5.0 + 1e-9));
        let area: f64 = (0..2000).map(|i| all.at(-1.0 + 0.005 * f64::from(i), 0.05) * 0.005).sum();
        assert!((area - 1.0).abs() < 1e-6, "{area}");
        assert!(spectral_density(&h, 0, 3, &Rng::new(0)).is_err());
    }
}
