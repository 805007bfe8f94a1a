//! Images and classes as bytes, the form in which data sets are stored.

use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::data::Labelled;

/// Labelled images of one shape, one byte per value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Values, image after image, each as channel planes of rows.
    pub pixels: Vec<u8>,
    /// Channels, height, width.
    pub shape: (usize, usize, usize),
    /// One class per image.
    pub labels: Vec<u8>,
    /// How many classes there are.
    pub classes: usize,
}

impl Images {
    /// Checks that counts agree and labels are in range.
    ///
    /// # Errors
    /// [`Error::Value`] with the counts or the first bad label.
    pub fn new(pixels: Vec<u8>, shape: (usize, usize, usize), labels: Vec<u8>, classes: usize) -> Result<Self> {
        let size = shape.0 * shape.1 * shape.2;
        if labels.is_empty() || size == 0 || pixels.len() != size * labels.len() {
            let reason = format!("{} values for {} images of {shape:?}", pixels.len(), labels.len());
            return Err(Error::value("images", reason));
        }
        if let Some((i, y)) = labels.iter().enumerate().find(|(_, y)| usize::from(**y) >= classes) {
            return Err(Error::value("labels", format!("label {y} at index {i} is not below the {classes} classes")));
        }
        Ok(Self { pixels, shape, labels, classes })
    }

    /// How many images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Never true; there is at least one image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The first `per_class` images of each class, in their order.
    ///
    /// # Errors
    /// [`Error::Config`] where a class has fewer.
    pub fn balanced(&self, per_class: usize) -> Result<Self> {
        let mut left = vec![per_class; self.classes];
        let size = self.pixels.len() / self.len();
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for (image, &y) in self.pixels.chunks_exact(size).zip(&self.labels) {
            if let Some(l) = left.get_mut(usize::from(y)).filter(|l| **l > 0) {
                *l -= 1;
                pixels.extend_from_slice(image);
                labels.push(y);
            }
        }
        if let Some(c) = left.iter().position(|l| *l > 0) {
            let reason = format!("class {c} has {} images, {per_class} asked for", per_class - left[c]);
            return Err(Error::config("per_class", reason));
        }
        Self::new(pixels, self.shape, labels, self.classes)
    }

    /// The images as f32 in [0, 1] (value / 255) on `device`.
    ///
    /// # Errors
    /// candle's only.
    pub fn to_labelled(&self, device: &Device) -> Result<Labelled> {
        let (c, h, w) = self.shape;
        let x = Tensor::from_slice(&self.pixels, (self.len(), c, h, w), &Device::Cpu)?.to_dtype(DType::F32)?;
        let y: Vec<u32> = self.labels.iter().map(|&y| u32::from(y)).collect();
        Labelled::new((x / 255.0)?.to_device(device)?, &y, self.classes)
    }
}
