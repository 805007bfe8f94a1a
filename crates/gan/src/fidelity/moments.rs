//! Mean and covariance of features, and a file that keeps them.

use super::blocks::elements;
use super::extractor::Extractor;
use super::features::Features;
use super::provenance::{Resize, Side, Source};
use crate::{Error, Result};
use rayon::prelude::*;
use sconce_tensor_core::candle_core::{DType, Device, Tensor};
use sconce_tensor_core::ops;
use sconce_tensor_core::store::{Digest, Fingerprint, Keep, Kept, State};
use std::path::Path;

/// Rows that are centred and transposed at once.
const ROWS: usize = 1024;
/// Rows of the covariance that are computed in one product, which ends at the diagonal.
const STRIP: usize = 256;
/// Images on which a kept file remembers the features.
const PROBES: usize = 8;
/// Largest difference from the remembered features, relative to their largest magnitude.
const SAME: f64 = 1e-3;

/// The number of images, the mean and the covariance (divisor n - 1) of their features, in f64.
#[derive(Clone, Debug)]
pub struct Moments {
    source: Source,
    n: usize,
    mean: Vec<f64>,
    /// (D, D) in row-major order.
    covariance: Vec<f64>,
}

impl Moments {
    /// The moments of features.
    ///
    /// # Errors
    /// [`Error::Value`] for fewer than two rows.
    pub fn of(features: &Features) -> Result<Self> {
        let (n, d) = (features.len(), features.width());
        if n < 2 {
            let what = format!("covariance of the features of `{}`", features.source().split);
            return Err(Error::value(what, "needs at least 2 images, got 1"));
        }
        let mean = mean(features)?;
        let mut covariance = vec![0f64; d * d];
        for at in (0..n).step_by(ROWS) {
            let len = ROWS.min(n - at);
            let centred = elements(&features.block(at, len)?, |rows| centred_transpose(rows, &mean, len))?;
            let centred = Tensor::from_vec(centred, (d, len), &Device::Cpu)?;
            for top in (0..d).step_by(STRIP) {
                let end = d.min(top + STRIP);
                let strip = ops::linear(&centred.narrow(0, top, end - top)?, &centred.narrow(0, 0, end)?, None)?;
                elements(&strip, |strip| {
                    let rows = covariance[top * d..end * d].chunks_mut(d).zip(strip.chunks(end));
                    rows.for_each(|(to, from)| to.iter_mut().zip(from).for_each(|(to, v)| *to += v));
                })?;
            }
        }
        let scale = 1.0 / (n - 1) as f64;
        for i in 0..d {
            for j in 0..=i {
                let v = covariance[i * d + j] * scale;
                covariance[i * d + j] = v;
                covariance[j * d + i] = v;
            }
        }
        Ok(Self { source: features.source().clone(), n, mean, covariance })
    }

    /// Moments that were computed elsewhere: `mean` (D,) and `covariance` (D, D) in row-major order, divisor n - 1.
    ///
    /// # Errors
    /// [`Error::Value`] for sizes that do not fit, a value that is not finite, or a matrix that is not symmetric.
    pub fn from_parts(n: usize, mean: Vec<f64>, covariance: Vec<f64>, source: Source) -> Result<Self> {
        let d = mean.len();
        let fault = |reason: String| Err(Error::value(format!("moments of `{}`", source.split), reason));
        if n < 2 || d == 0 || covariance.len() != d * d {
            let (m, c) = (mean.len(), covariance.len());
            return fault(format!("{n} images, {m} means and {c} covariances: n is at least 2, covariances are D x D"));
        }
        if let Some(i) = mean.iter().chain(&covariance).position(|v| !v.is_finite()) {
            return fault(format!("the value at index {i} of mean and covariance is not finite"));
        }
        let scale = (0..d).map(|i| covariance[i * d + i].abs()).fold(0.0, f64::max);
        for (i, j) in (0..d).flat_map(|i| (0..i).map(move |j| (i, j))) {
            let (a, b) = (covariance[i * d + j], covariance[j * d + i]);
            if (a - b).abs() > 1e-6 * scale {
                return fault(format!("the covariance is not symmetric: {a} at ({i}, {j}), {b} at ({j}, {i})"));
            }
        }
        Ok(Self { source, n, mean, covariance })
    }

    /// The moments of the features of `images`, read from `path` where they are kept there, else computed and kept.
    ///
    /// The file is of one extractor, image size, resize rule, split and set of images (by digest). It also remembers the features of
    /// the first images, so that other weights under the same name are found.
    ///
    /// # Errors
    /// As [`Features::extract`] and [`Moments::of`]; [`Error::Checkpoint`] for a file of something else, with each difference.
    pub fn cached(
        path: &Path,
        extractor: &dyn Extractor,
        images: &Tensor,
        resize: Resize,
        split: &str,
        batch: usize,
    ) -> Result<Self> {
        let spec = extractor.images();
        spec.check(images)?;
        let fingerprint = Fingerprint::new()
            .with("extractor", extractor.name())
            .with("size", [spec.channels, spec.height, spec.width])
            .with("resize", &resize)
            .with("split", split)
            .with("images", Digest::new().tensor(images)?.hex());
        let first = images.narrow(0, 0, PROBES.min(images.dim(0)?))?;
        let probe = Features::extract(extractor, &first, resize.clone(), split, batch)?;
        let probe = probe.block(0, probe.len())?;
        if let Some(kept) = Kept::<WithProbe>::load(path, &fingerprint)? {
            let WithProbe { moments, probe: there } = kept.value;
            if there.dims() == probe.dims() {
                let largest = |t: Tensor| Ok::<f64, Error>(t.abs()?.max_all()?.to_scalar()?);
                if largest((&there - &probe)?)? <= SAME * largest(there)? {
                    return Ok(moments);
                }
            }
            let reason = format!("made with other features under the name `{}`: name the weights", extractor.name());
            return Err(Error::Checkpoint { path: path.to_owned(), reason });
        }
        let moments = Self::of(&Features::extract(extractor, images, resize, split, batch)?)?;
        let kept = Kept::new(fingerprint, WithProbe { moments, probe });
        kept.save(path)?;
        Ok(kept.value.moments)
    }

    /// The number of images.
    pub fn n(&self) -> usize {
        self.n
    }

    /// The number of features, D.
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    /// The mean (D,).
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The covariance (D, D) in row-major order.
    pub fn covariance(&self) -> &[f64] {
        &self.covariance
    }

    /// What the features were made from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    pub(super) fn side(&self) -> Side<'_> {
        Side { source: &self.source, n: self.n, width: self.width() }
    }
}

/// The mean of each feature; rows are added in order.
fn mean(features: &Features) -> Result<Vec<f64>> {
    let (n, d) = (features.len(), features.width());
    let mut sum = vec![0f64; d];
    for at in (0..n).step_by(ROWS) {
        elements(&features.block(at, ROWS.min(n - at))?, |rows| {
            rows.chunks(d).for_each(|row| sum.iter_mut().zip(row).for_each(|(s, v)| *s += v));
        })?;
    }
    Ok(sum.into_iter().map(|s| s / n as f64).collect())
}

/// (N, D) minus the mean, as (D, N).
fn centred_transpose(rows: &[f64], mean: &[f64], n: usize) -> Vec<f64> {
    /// Features that are copied together: a cache line of a row.
    const GROUP: usize = 8;
    let d = mean.len();
    let mut out = vec![0f64; n * d];
    out.par_chunks_mut(GROUP * n).zip(mean.par_chunks(GROUP)).enumerate().for_each(|(g, (to, mean))| {
        for (i, row) in rows.chunks(d).enumerate() {
            for (j, m) in mean.iter().enumerate() {
                to[j * n + i] = row[g * GROUP + j] - m;
            }
        }
    });
    out
}

impl Keep for Moments {
    fn to_state(&self) -> Result<State> {
        let d = self.width();
        let mean = Tensor::from_slice(&self.mean, d, &Device::Cpu)?;
        let covariance = Tensor::from_slice(&self.covariance, (d, d), &Device::Cpu)?;
        State::new(&(&self.source, self.n), [("mean", mean), ("covariance", covariance)])
    }

    fn from_state(state: State) -> Result<Self> {
        let (source, n) = state.values()?;
        let mut tensors = state.into_tensors();
        let mut take = |name: &str| {
            let t = tensors.remove(name).ok_or_else(|| Error::value("moments", format!("`{name}` is missing")))?;
            Ok::<Vec<f64>, Error>(t.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
        };
        Self::from_parts(n, take("mean")?, take("covariance")?, source)
    }
}

/// Moments with the features of the first images.
struct WithProbe {
    moments: Moments,
    probe: Tensor,
}

impl Keep for WithProbe {
    fn to_state(&self) -> Result<State> {
        State::new(&(), [("probe", self.probe.clone())])?.with("moments", self.moments.to_state()?)
    }

    fn from_state(mut state: State) -> Result<Self> {
        let moments = Moments::from_state(state.take("moments")?)?;
        let probe = state.into_tensors().remove("probe");
        let probe = probe.ok_or_else(|| Error::value("moments", "`probe` is missing"))?;
        Ok(Self { moments, probe })
    }
}
