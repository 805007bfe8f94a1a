//! Anomaly detection tasks as numpy archives in ADBench's layout: `X` (N, D) and `y` (N,) with 1 for an anomaly.

use crate::{Error, Result};
use candle_core::{DType, Tensor};
use sconce_tensor_core::formats::Arrays;
use std::path::Path;

/// Reads features (N, D) in f64, and whether each row is an anomaly.
///
/// # Errors
/// [`Error::Io`]; [`Error::Data`] where it holds no arrays, `X` or `y` is missing (with the names there are), their shapes do not
/// fit each other, a feature is not finite (with row and column) or a label neither 0 nor 1 (with its row).
pub fn read(path: &Path) -> Result<(Tensor, Vec<bool>)> {
    let bad = |reason: String| Error::Data { path: path.to_owned(), offset: 0, reason };
    let arrays = Arrays::open(path)?;
    let array = |name: &str| -> Result<Tensor> { Ok(arrays.get(name)?.to_dtype(DType::F64)?) };
    let (x, y) = (array("X")?, array("y")?);
    let y = if y.rank() == 2 && y.dims()[1] == 1 { y.squeeze(1)? } else { y };
    let (&[n, d], &[labels]) = (x.dims(), y.dims()) else {
        return Err(bad(format!("X is {:?} and y {:?}, not (N, D) and (N,)", x.dims(), y.dims())));
    };
    if n != labels || n * d == 0 {
        return Err(bad(format!("X is ({n}, {d}) and y ({labels},)")));
    }
    let values = x.flatten_all()?.to_vec1::<f64>()?;
    if let Some(i) = values.iter().position(|v| !v.is_finite()) {
        return Err(bad(format!("X: {} at row {}, column {}", values[i], i / d, i % d)));
    }
    let y = y.to_vec1::<f64>()?;
    match y.iter().position(|v| *v != 0.0 && *v != 1.0) {
        Some(i) => Err(bad(format!("y: {} at row {i}, neither 0 nor 1", y[i]))),
        None => Ok((x, y.into_iter().map(|v| v == 1.0).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn write(path: &Path, arrays: &[(&str, Tensor)]) {
        Tensor::write_npz(arrays, path).unwrap();
    }

    #[test]
    fn what_numpy_writes_and_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npz");
        let x = Tensor::new(&[[1f32, 2.0], [3.0, 4.5], [5.0, 6.0]], &Device::Cpu).unwrap();
        let y = Tensor::new(&[0i64, 1, 0], &Device::Cpu).unwrap();
        write(&path, &[("X", x.clone()), ("y", y.clone())]);
        let (found, truth) = read(&path).unwrap();
        assert_eq!((found.to_vec2::<f64>().unwrap()[1][1], truth), (4.5, vec![false, true, false]));
        write(&path, &[("X", x.clone()), ("y", y.unsqueeze(1).unwrap())]);
        assert!(read(&path).is_ok());
        let message = || read(&path).unwrap_err().to_string();
        write(&path, &[("X", x.clone()), ("labels", y.clone())]);
        assert!(message().contains(r#"array `y`: it is not in the file, which has ["X", "labels"]"#), "{}", message());
        write(&path, &[("X", x.clone()), ("y", y.narrow(0, 0, 2).unwrap())]);
        assert!(message().contains("(3, 2) and y (2,)"));
        write(&path, &[("X", x.clone()), ("y", (&y * 2.0).unwrap())]);
        assert!(message().contains("2 at row 1"));
        write(&path, &[("X", (x / 0.0).unwrap()), ("y", y)]);
        assert!(message().contains("inf at row 0, column 0"));
        std::fs::write(&path, b"PK no").unwrap();
        assert!(message().contains("no known format"), "{}", message());
        std::fs::remove_file(&path).unwrap();
        assert!(message().contains("a.npz"));
    }
}
