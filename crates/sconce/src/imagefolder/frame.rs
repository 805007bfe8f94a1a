//! What is done with the size of an image: torchvision's `Resize`, then its `CenterCrop`.

use super::pixels::Pixels;
use super::resample;
use crate::args::Sides;
use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};

/// The most pixels that an image may have after resizing.
const MOST: usize = 1 << 27;

/// Resizing, then cropping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) resize: Option<Sides>,
    pub(crate) crop: Option<Sides>,
}

/// An image in its frame.
#[derive(Debug)]
pub(crate) struct Framed {
    pub(crate) image: Pixels,
    /// It was smaller than the crop, so black was put around it.
    pub(crate) padded: bool,
}

/// Where a crop of `to` pixels starts in a side of `from`; negative where black comes before the image. Halves are rounded to even numbers.
fn start(from: usize, to: usize) -> isize {
    let half = from.abs_diff(to) / 2;
    if to > from { -(half as isize) } else { (half + (half & (from - to) & 1)) as isize }
}

/// The part of an image that a crop takes, with black where it has no pixels.
fn crop(image: &Pixels, (height, width): (usize, usize)) -> Pixels {
    let c = image.channels;
    let (top, left) = (start(image.height, height), start(image.width, width));
    let mut bytes = vec![0; height * width * c];
    let (from, to) = (left.max(0) as usize, left.min(0).unsigned_abs());
    let count = (image.width - from).min(width - to);
    for (r, row) in bytes.chunks_exact_mut(width * c).enumerate() {
        let Some(source) = (r as isize + top).try_into().ok().filter(|r: &usize| *r < image.height) else { continue };
        let at = (source * image.width + from) * c;
        row[to * c..(to + count) * c].copy_from_slice(&image.bytes[at..at + count * c]);
    }
    Pixels { channels: c, height, width, bytes }
}

impl Frame {
    /// Whether images stay as they are.
    pub(crate) fn is_none(&self) -> bool {
        self.resize.is_none() && self.crop.is_none()
    }

    /// What is done, in words.
    pub(crate) fn words(&self) -> String {
        let resize = self.resize.map(|s| match s {
            Sides::One(n) => format!("resized to {n} pixels on the shorter side"),
            Sides::Both(h, w) => format!("resized to {w} x {h} pixels"),
        });
        let resize = resize.map(|r| format!("{r} (bilinear with antialiasing, as torchvision's Resize)"));
        let crop = self.crop.map(|s| match s {
            Sides::One(n) => format!("cropped to the central {n} x {n}"),
            Sides::Both(h, w) => format!("cropped to the central {w} x {h}"),
        });
        resize.into_iter().chain(crop).collect::<Vec<_>>().join(", then ")
    }

    /// Height and width after resizing. The longer side of an image whose shorter one is given is rounded down.
    fn resized(&self, (h, w): (usize, usize)) -> (usize, usize) {
        match self.resize {
            None => (h, w),
            Some(Sides::Both(h, w)) => (h as usize, w as usize),
            Some(Sides::One(n)) if w <= h => (n as usize * h / w, n as usize),
            Some(Sides::One(n)) => (n as usize, n as usize * w / h),
        }
    }

    /// Resizes and crops an image.
    ///
    /// # Errors
    /// An image that would be too large.
    pub(crate) fn apply(&self, image: Pixels) -> Result<Framed> {
        let (h, w) = self.resized(image.size());
        if h.saturating_mul(w) > MOST {
            bail!("{} x {} pixels would become {w} x {h}", image.width, image.height);
        }
        let image = if (h, w) == image.size() { image } else { resample::resize(image, (h, w)) };
        let Some(sides) = self.crop else { return Ok(Framed { image, padded: false }) };
        let (ch, cw) = match sides {
            Sides::One(n) => (n as usize, n as usize),
            Sides::Both(h, w) => (h as usize, w as usize),
        };
        Ok(Framed { padded: ch > h || cw > w, image: if (ch, cw) == (h, w) { image } else { crop(&image, (ch, cw)) } })
    }

    /// The same for images as a tensor (N, C, H, W) of f32 whose values are bytes divided by 255; and whether black surrounds them now.
    ///
    /// # Errors
    /// Values that are no bytes, because rounding them would change the images; as [`Frame::apply`].
    pub(crate) fn tensor(&self, x: &Tensor) -> Result<(Tensor, bool)> {
        let (n, c, h, w) = x.dims4()?;
        let (mut values, mut size, mut any) = (Vec::new(), (h, w), false);
        for i in 0..n {
            let one = x.get(i)?.permute((1, 2, 0))?.flatten_all()?.to_vec1::<f32>()?;
            if let Some(v) = one.iter().find(|v| (**v * 255.0 - (**v * 255.0).round()).abs() > 1e-3) {
                bail!(
                    "image {i} has the value {v}, which is no byte divided by 255, and bytes are resized and cropped here; do it where the array is made"
                );
            }
            let bytes = one.iter().map(|v| (v * 255.0).round() as u8).collect();
            let Framed { image, padded } = self.apply(Pixels::new(c, (h, w), bytes)?)?;
            (size, any) = (image.size(), any | padded);
            values.extend(image.planes().map(|v| f32::from(v) / 255.0));
        }
        Ok((Tensor::from_vec(values, (n, c, size.0, size.1), &Device::Cpu).context("the resized images")?, any))
    }
}
