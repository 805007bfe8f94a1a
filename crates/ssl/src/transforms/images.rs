//! A batch of images of one shape.

use super::Image;
use rayon::prelude::*;
use sconce_tensor_core::candle_core::{DType, Device, Tensor};
use sconce_tensor_core::{Error, Result};

/// Images of bytes of one shape, (N, C, H, W): a data set, or a batch of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    channels: usize,
    height: usize,
    width: usize,
    bytes: Vec<u8>,
}

impl Images {
    /// `(channels, height, width)` and the bytes of all images one after the other.
    ///
    /// # Errors
    /// [`Error::Shape`] where there is no image, the channels are neither 1 nor 3, or the bytes are not those of whole images.
    pub fn new((channels, height, width): (usize, usize, usize), bytes: Vec<u8>) -> Result<Self> {
        let size = height.checked_mul(width).and_then(|p| p.checked_mul(channels)).unwrap_or(0);
        if !(channels == 1 || channels == 3) || size == 0 || bytes.is_empty() || !bytes.len().is_multiple_of(size) {
            let expected =
                format!("(C, H, W) with C 1 or 3, of which {} bytes are at least one whole image", bytes.len());
            return Err(Error::shape("images", expected, &[channels, height, width]));
        }
        Ok(Self { channels, height, width, bytes })
    }

    /// Images from a tensor of values in [0, 1]: each value becomes the nearest byte, `round(255 x)`.
    ///
    /// # Shapes
    /// (N, C, H, W), of f32 or f64.
    ///
    /// # Errors
    /// [`Error::Shape`] for another shape; [`Error::Value`] with the place of the first value that is not in [0, 1]: transforms come
    /// before normalisation.
    pub fn from_unit(x: &Tensor) -> Result<Self> {
        let &[_, c, h, w] = x.dims() else {
            return Err(Error::shape("images", "(N, C, H, W)", x.dims()));
        };
        let values = x.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
        if let Some(i) = values.iter().position(|v| !(0.0..=1.0).contains(v)) {
            let reason = format!(
                "value {} at flat index {i} of {:?} is outside [0, 1]: apply transforms before normalising",
                values[i],
                x.dims()
            );
            return Err(Error::value("images", reason));
        }
        Self::new((c, h, w), values.iter().map(|v| (v * 255.0).round() as u8).collect())
    }

    /// All in one batch.
    ///
    /// # Errors
    /// [`Error::Shape`] where there is none, or one's shape is not that of the first.
    pub fn from_images<'a>(images: impl IntoIterator<Item = &'a Image>) -> Result<Self> {
        let mut images = images.into_iter();
        let Some(first) = images.next() else {
            return Err(Error::shape("images", "at least one", &[0]));
        };
        let (c, h, w) = first.dims();
        let mut bytes = first.bytes().to_vec();
        for image in images {
            if image.dims() != (c, h, w) {
                let got = image.dims();
                return Err(Error::shape("image", format!("({c}, {h}, {w}), as the first"), &[got.0, got.1, got.2]));
            }
            bytes.extend_from_slice(image.bytes());
        }
        Self::new((c, h, w), bytes)
    }

    /// How many images.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.size()
    }

    /// Never true; there is at least one image.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Channels, height and width of an image.
    pub fn dims(&self) -> (usize, usize, usize) {
        (self.channels, self.height, self.width)
    }

    /// All bytes in the order (N, C, H, W).
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A copy of image `i`.
    ///
    /// # Errors
    /// [`Error::Value`] where there is no such image.
    pub fn get(&self, i: usize) -> Result<Image> {
        let bytes = self.bytes.chunks_exact(self.size()).nth(i);
        let bytes = bytes.ok_or_else(|| Error::value("image", format!("no index {i} among {} images", self.len())))?;
        Ok(Image { channels: self.channels, height: self.height, width: self.width, bytes: bytes.to_vec() })
    }

    /// The images changed by `change(i, image)`, in parallel over images. The result does not depend on the number of threads.
    ///
    /// # Errors
    /// The first error of `change`; [`Error::Shape`] where the results differ in shape.
    pub fn map(&self, change: impl Fn(usize, Image) -> Result<Image> + Sync) -> Result<Self> {
        let changed: Vec<Result<Image>> = (0..self.len()).into_par_iter().map(|i| change(i, self.get(i)?)).collect();
        Self::from_images(&changed.into_iter().collect::<Result<Vec<_>>>()?)
    }

    /// The values in [0, 1] as a network takes them, `byte / 255`.
    ///
    /// # Shapes
    /// -> (N, C, H, W) of `dtype`.
    ///
    /// # Errors
    /// candle's, where the tensor cannot be placed on `device`.
    pub fn to_unit(&self, dtype: DType, device: &Device) -> Result<Tensor> {
        let values: Vec<f32> = self.bytes.par_iter().map(|b| f32::from(*b) / 255.0).collect();
        let shape = (self.len(), self.channels, self.height, self.width);
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?)
    }

    fn size(&self) -> usize {
        self.channels * self.height * self.width
    }
}
