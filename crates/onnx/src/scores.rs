//! An output as scores: one row for each example.

use candle_core::{DType, Tensor};
use sconce_tensor_core::{Error, Result};

/// The number of scores for each example.
pub(crate) fn columns(y: &Tensor, n: usize, name: &str) -> Result<usize> {
    let refused = || {
        let reason = format!(
            "`{name}` has the shape {:?} for {n} examples; a classifier's output is one row of scores for each, so name another output",
            y.dims()
        );
        Error::value("output", reason)
    };
    match y.dims() {
        [rows] if *rows == n => Ok(1),
        [rows, k, rest @ ..] if *rows == n && *k > 0 && rest.iter().all(|d| *d == 1) => Ok(*k),
        [k] if n == 1 && *k > 0 => Ok(*k),
        _ => Err(refused()),
    }
}

/// The scores as (N, K).
pub(crate) fn rows(y: &Tensor, n: usize, k: usize, name: &str) -> Result<Tensor> {
    match columns(y, n, name)? {
        got if got == k => Ok(y.reshape((n, k))?),
        got => Err(Error::value("output", format!("`{name}` has {got} scores for each example, not {k} as at first"))),
    }
}

/// Whether two rows differ by more than rounding.
pub(crate) fn differ(a: &Tensor, b: &Tensor) -> Result<bool> {
    let host = |t: &Tensor| -> Result<Vec<f64>> { Ok(t.detach().flatten_all()?.to_dtype(DType::F64)?.to_vec1()?) };
    let (a, b) = (host(a)?, host(b)?);
    let size = a.iter().fold(1e-6f64, |m, v| m.max(v.abs()));
    Ok(a.iter().zip(&b).any(|(a, b)| (a - b).abs() > 1e-3 * size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn scores_of_every_form() {
        let t = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        for (shape, n, k) in [
            (&[3, 5][..], 3, Some(5)),
            (&[3], 3, Some(1)),
            (&[5], 1, Some(5)),
            (&[3, 5, 1, 1], 3, Some(5)),
            (&[3, 5, 2], 3, None),
            (&[4, 5], 3, None),
        ] {
            assert_eq!(columns(&t(shape), n, "y").ok(), k, "{shape:?}");
        }
    }
}
