//! Reads images and labels from one file.

use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::{Error, Result, store};
use std::collections::HashMap;
use std::path::Path;

/// Reads `x` (N, C, H, W) and `y` (N,) from a .safetensors or .npz file. Images as bytes are divided by 255; labels may have
/// any integer type.
///
/// # Errors
/// [`Error::Io`], or [`Error::Checkpoint`] with the path: `x` or `y` is missing, the shapes do not match, or a label is
/// not a class index.
pub fn read(path: &Path) -> Result<(Tensor, Tensor)> {
    let bad = |reason: String| Error::Checkpoint { path: path.to_owned(), reason };
    let found: HashMap<String, Tensor> = if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npz")) {
        std::fs::metadata(path).map_err(Error::io(path))?;
        let all = Tensor::read_npz(path).map_err(|e| bad(format!("the npz file is damaged or incomplete: {e}")))?;
        all.into_iter().map(|(n, t)| (n.trim_end_matches(".npy").to_owned(), t)).collect()
    } else {
        store::load(path, &Device::Cpu)?.0
    };
    let mut names: Vec<&String> = found.keys().collect();
    names.sort_unstable();
    let get =
        |name: &str| found.get(name).ok_or_else(|| bad(format!("no `{name}` in this file, which contains {names:?}")));
    let (x, y) = (get("x")?, get("y")?);
    if x.rank() != 4 || y.dims() != [x.dim(0)?] || x.dim(0)? == 0 {
        return Err(bad(format!(
            "x must be (N, C, H, W) and y (N,) with N >= 1, got {:?} and {:?}",
            x.dims(),
            y.dims()
        )));
    }
    let x = if x.dtype() == DType::U8 { (x.to_dtype(DType::F32)? / 255.0)? } else { x.to_dtype(DType::F32)? };
    let labels = y.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    if let Some((i, v)) = labels.iter().enumerate().find(|(_, v)| v.fract() != 0.0 || **v < 0.0 || **v > 1e6) {
        return Err(bad(format!("label {v} at row {i} is not a class index: use integers from 0")));
    }
    Ok((x, Tensor::from_iter(labels.into_iter().map(|v| v as u32), &Device::Cpu)?))
}
