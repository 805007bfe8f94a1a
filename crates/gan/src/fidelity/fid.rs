//! The Fréchet distance of two Gaussians fitted to features.

use super::blocks::elements;
use super::features::Features;
use super::moments::Moments;
use super::provenance::{Context, Generated, Real, Score};
use crate::{Error, Result};
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt_pivoting::factor::{cholesky_in_place, cholesky_in_place_scratch};
use faer::{Mat, MatRef, Par, Side, Spec};
use sconce_tensor_core::candle_core::{Device, Tensor};
use sconce_tensor_core::ops;

/// Configuration of [`fid`] and [`frechet`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `few_samples` | false | allow fewer than D + 1 images on a side | |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FidConfig {
    /// Allow fewer than D + 1 images on a side, where the covariance is singular and bias is most of the value.
    pub few_samples: bool,
}

/// The FID of features: [`frechet`] of their [`Moments`].
///
/// ```
/// use sconce_gan::fidelity::{Features, FidConfig, Generated, Real, Resize, Source, fid};
/// use sconce_tensor_core::candle_core::{DType, Device};
/// use sconce_tensor_core::Rng;
/// let source = |split: &str| Source { extractor: "pixels".into(), resize: Resize::None, split: split.into() };
/// let rows = |seed, mean| Rng::new(seed).normal((500, 4), mean, 1.0, DType::F64, &Device::Cpu);
/// let real = Features::new(&rows(0, 0.0)?, source("test"))?;
/// let generated = Features::new(&rows(1, 1.0)?, source("generator"))?;
/// let score = fid(Real(&real), Generated(&generated), &FidConfig::default())?;
/// assert!((score.value - 4.0).abs() < 0.8); // the means differ by 1 in 4 dimensions
/// assert_eq!(score.context.generated.map(|g| g.n), Some(500));
/// # Ok::<(), sconce_gan::Error>(())
/// ```
///
/// # Errors
/// As [`frechet`].
pub fn fid(
    Real(real): Real<&Features>,
    Generated(generated): Generated<&Features>,
    config: &FidConfig,
) -> Result<Score<f64>> {
    // Before the covariances are computed.
    check(real.len(), generated.len(), real.width(), config)?;
    frechet(Real(&Moments::of(real)?), Generated(&Moments::of(generated)?), config)
}

/// `|m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1 C2)^(1/2)`, the squared 2-Wasserstein distance of two Gaussians.
///
/// With `C1 = F F^T` the last trace is the sum of the square roots of the eigenvalues of the symmetric matrix `F^T C2 F`, which are
/// real and not negative up to rounding. F is a Cholesky factor with pivoting, which stops at the rank of `C1`. No root of a
/// non-symmetric matrix is computed, so the result has no imaginary part for any number of images.
///
/// For two samples of one Gaussian with covariance `s^2 I` the expected value is about `s^2 (2 D + D (D + 1) / 2) / n` (derived: the
/// means give `2 D / n`, the covariances the rest), not 0. Compare values at equal n only.
///
/// Source: Heusel et al. (2017), arXiv:1706.08500, equation 6.
///
/// # Errors
/// [`Error::Value`] for fewer than D + 1 images on a side unless `config` allows it, and for a covariance with a negative variance;
/// features of different extractors, widths or resize rules.
pub fn frechet(
    Real(real): Real<&Moments>,
    Generated(generated): Generated<&Moments>,
    config: &FidConfig,
) -> Result<Score<f64>> {
    let context = Context::of(Real(real.side()), Generated(generated.side()))?;
    check(real.n(), generated.n(), real.width(), config)?;
    let d = real.width();
    let means: f64 = real.mean().iter().zip(generated.mean()).map(|(a, b)| (a - b).powi(2)).sum();
    let trace = |m: &Moments| (0..d).map(|i| m.covariance()[i * d + i]).sum::<f64>();
    let value =
        means + trace(real) + trace(generated) - 2.0 * root_trace(real.covariance(), generated.covariance(), d)?;
    // The distance is not negative; rounding can make it so where the two are equal.
    Ok(Score { value: value.max(0.0), context })
}

fn check(real: usize, generated: usize, d: usize, config: &FidConfig) -> Result<()> {
    for (n, side) in [(real, "real"), (generated, "generated")] {
        if n < d + 1 && !config.few_samples {
            let reason = format!(
                "{n} {side} images are fewer than D + 1 = {}: the covariance is singular and bias is most of the value. \
                 Use `kid`, which is unbiased at every n, or features of fewer dimensions, or set FidConfig.few_samples",
                d + 1
            );
            return Err(Error::value("FID", reason));
        }
    }
    Ok(())
}

/// `tr (a b)^(1/2)` of two covariances (D, D).
fn root_trace(a: &[f64], b: &[f64], d: usize) -> Result<f64> {
    let (factor, order) = cholesky(a, d)?;
    let rank = factor.ncols();
    if rank == 0 {
        return Ok(0.0);
    }
    // F = P^T L, so F^T b F = L^T (P b P^T) L.
    let l = Tensor::from_vec((0..d * rank).map(|i| factor[(i / rank, i % rank)]).collect(), (d, rank), &Device::Cpu)?;
    // Matrices of 2,048 features have 32 MiB each: none is kept longer than it is used.
    drop(factor);
    let product = {
        let b: Vec<f64> = order.iter().flat_map(|i| order.iter().map(move |j| b[i * d + j])).collect();
        ops::matmul(&Tensor::from_vec(b, (d, d), &Device::Cpu)?, &l)?
    };
    let product = ops::matmul(&l.t()?, &product)?;
    drop(l);
    let eigenvalues = |m: &[f64]| MatRef::from_row_major_slice(m, rank, rank).self_adjoint_eigenvalues(Side::Lower);
    let found = elements(&product, eigenvalues)?
        .map_err(|e| Error::value("eigenvalues of the covariances", format!("were not found: {e:?}")))?;
    Ok(found.into_iter().map(|v| v.max(0.0).sqrt()).sum())
}

/// L (D, rank) and the order of rows and columns for which `a[order, order] = L L^T`.
fn cholesky(a: &[f64], d: usize) -> Result<(Mat<f64>, Vec<usize>)> {
    if (0..d).all(|i| a[i * d + i] == 0.0) {
        return Ok((Mat::zeros(d, 0), (0..d).collect()));
    }
    let mut l = MatRef::from_row_major_slice(a, d, d).to_owned();
    let (mut order, mut inverse) = (vec![0usize; d], vec![0usize; d]);
    let mut scratch = MemBuffer::new(cholesky_in_place_scratch::<usize, f64>(d, Par::Seq, Spec::default()));
    let stack = MemStack::new(&mut scratch);
    let found = cholesky_in_place(l.as_mut(), &mut order, &mut inverse, Par::Seq, stack, Spec::default());
    let (info, _) = found.map_err(|e| Error::value("covariance", format!("has a negative variance: {e:?}")))?;
    // Above the diagonal is what was there before.
    Ok((Mat::from_fn(d, info.rank, |i, j| if i >= j { l[(i, j)] } else { 0.0 }), order))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_of_a_singular_matrix_stops_at_its_rank() {
        // v v^T + w w^T with v = (1, 2, -1, 0), w = (0, 1, 1, 3).
        let (v, w) = ([1.0, 2.0, -1.0, 0.0], [0.0, 1.0, 1.0, 3.0]);
        let a: Vec<f64> = (0..16).map(|i| v[i / 4] * v[i % 4] + w[i / 4] * w[i % 4]).collect();
        let (l, order) = cholesky(&a, 4).unwrap();
        assert_eq!(l.ncols(), 2);
        let back = &l * l.transpose();
        for (i, j) in (0..16).map(|i| (i / 4, i % 4)) {
            assert!((back[(i, j)] - a[order[i] * 4 + order[j]]).abs() < 1e-12);
        }
        assert_eq!(cholesky(&[0.0; 4], 2).unwrap().0.ncols(), 0);
        assert!(cholesky(&[1.0, 0.0, 0.0, -1.0], 2).is_err());
    }
}
