//! Feature vectors of a sample of images.

use super::extractor::Extractor;
use super::provenance::{Resize, Side, Source};
use crate::{Error, Result};
use sconce_tensor_core::Rng;
use sconce_tensor_core::candle_core::{DType, Device, Tensor};
use sconce_tensor_core::classifier::require_finite;
use sconce_tensor_core::error::require;

/// Feature vectors (N, D) on the host, with what they were made from. All are finite.
#[derive(Clone, Debug)]
pub struct Features {
    rows: Tensor,
    source: Source,
}

impl Features {
    /// Features `rows` (N, D) from `source`. They are kept in f32 or f64; metrics compute in f64.
    ///
    /// # Errors
    /// [`Error::Shape`] for another rank or an empty axis; [`Error::NotFinite`] with the place of a NaN or an infinity.
    pub fn new(rows: &Tensor, source: Source) -> Result<Self> {
        let what = || format!("features of `{}` by `{}`", source.split, source.extractor);
        if rows.rank() != 2 || rows.elem_count() == 0 {
            return Err(Error::shape(what(), "(N, D), none of them 0", rows.dims()));
        }
        let dtype = match rows.dtype() {
            DType::F32 | DType::F16 | DType::BF16 => DType::F32,
            _ => DType::F64,
        };
        let rows = rows.detach().to_device(&Device::Cpu)?.to_dtype(dtype)?.contiguous()?;
        require_finite(&what(), &rows)?;
        Ok(Self { rows, source })
    }

    /// The features of `images` (N, C, H, W), in batches of `batch`.
    ///
    /// # Errors
    /// Images that the extractor does not take ([`super::ImageSpec::check`]); an extractor that does not return one row for
    /// each image; as [`Features::new`].
    pub fn extract(
        extractor: &dyn Extractor,
        images: &Tensor,
        resize: Resize,
        split: impl Into<String>,
        batch: usize,
    ) -> Result<Self> {
        require("batch", batch >= 1, "at least 1", batch)?;
        extractor.images().check(images)?;
        let n = images.dim(0)?;
        let parts = (0..n).step_by(batch).map(|at| {
            let len = batch.min(n - at);
            let rows = extractor.features(&images.detach().narrow(0, at, len)?)?.detach();
            match rows.rank() == 2 && rows.dim(0)? == len {
                true => Ok(rows.to_device(&Device::Cpu)?),
                false => Err(Error::shape(
                    format!("features by `{}`", extractor.name()),
                    format!("({len}, D), one row for each image"),
                    rows.dims(),
                )),
            }
        });
        let rows = Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)?;
        Self::new(&rows, Source { extractor: extractor.name().to_owned(), resize, split: split.into() })
    }

    /// The number of images, N.
    pub fn len(&self) -> usize {
        self.rows.dims()[0]
    }

    /// Never true; there is at least one row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of features, D.
    pub fn width(&self) -> usize {
        self.rows.dims()[1]
    }

    /// The rows (N, D), of f32 or f64.
    pub fn rows(&self) -> &Tensor {
        &self.rows
    }

    /// What they were made from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The named rows, in that order, as a sample of the split `split`.
    ///
    /// # Errors
    /// No indices, or one that is out of range.
    pub fn select(&self, indices: &[usize], split: impl Into<String>) -> Result<Self> {
        if let Some(i) = indices.iter().find(|i| **i >= self.len()) {
            return Err(Error::value("indices", format!("{i} is not below the {} rows", self.len())));
        }
        require("indices", !indices.is_empty(), "at least one", 0)?;
        let at = Tensor::from_iter(indices.iter().map(|&i| i as u32), &Device::Cpu)?;
        let source = Source { split: split.into(), ..self.source.clone() };
        Ok(Self { rows: self.rows.index_select(&at, 0)?, source })
    }

    /// Two disjoint random parts, of `first` rows and of all others.
    ///
    /// # Errors
    /// [`Error::Config`] unless both parts have rows.
    pub fn split(&self, first: usize, rng: &Rng) -> Result<(Self, Self)> {
        let fits = first >= 1 && first < self.len();
        require("first", fits, &format!("1 to {} of {} rows", self.len() - 1, self.len()), first)?;
        let order = rng.permutation(self.len());
        let part = |of: &[usize]| self.select(of, format!("{} ({} random images)", self.source.split, of.len()));
        Ok((part(&order[..first])?, part(&order[first..])?))
    }

    /// `len` rows from `at` on, in f64.
    pub(crate) fn block(&self, at: usize, len: usize) -> Result<Tensor> {
        Ok(self.rows.narrow(0, at, len)?.to_dtype(DType::F64)?)
    }

    pub(crate) fn side(&self) -> Side<'_> {
        Side { source: &self.source, n: self.len(), width: self.width() }
    }
}
