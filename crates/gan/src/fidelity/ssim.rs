//! Structural similarity of two images.

use crate::{Error, Result};
use rayon::prelude::*;
use sconce_tensor_core::candle_core::{DType, Tensor};
use sconce_tensor_core::error::require;

/// Configuration of an [`Ssim`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `window` | 11 | side of the Gaussian window, in pixels | odd, at most the side of the images |
/// | `sigma` | 1.5 | standard deviation of the window, in pixels | > 0 |
/// | `k1` | 0.01 | stabiliser of the luminance term | >= 0 |
/// | `k2` | 0.03 | stabiliser of the contrast term | > 0 |
/// | `range` | 1 | width of the interval of pixel values: 1 for [0, 1], 2 for [-1, 1] | > 0 |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SsimConfig {
    /// Side of the Gaussian window.
    pub window: usize,
    /// Standard deviation of the window.
    pub sigma: f64,
    /// Stabiliser of the luminance term.
    pub k1: f64,
    /// Stabiliser of the contrast term.
    pub k2: f64,
    /// Width of the interval of pixel values.
    pub range: f64,
}

impl Default for SsimConfig {
    fn default() -> Self {
        Self { window: 11, sigma: 1.5, k1: 0.01, k2: 0.03, range: 1.0 }
    }
}

/// The structural similarity of two images: the mean over all windows that lie inside the image of
/// `(2 m_x m_y + c1) / (m_x^2 + m_y^2 + c1) * (2 s_xy + c2) / (s_x^2 + s_y^2 + c2)`, `c = (k range)^2`, and over channels.
///
/// Source: Wang et al. (2004), IEEE TIP 13(4), equation 13; no padding at the borders, as in pytorch-msssim.
#[derive(Clone, Debug)]
pub struct Ssim {
    window: Vec<f64>,
    c1: f64,
    c2: f64,
}

impl Ssim {
    /// Makes the window.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(config: &SsimConfig) -> Result<Self> {
        let SsimConfig { window, sigma, k1, k2, range } = *config;
        require("SsimConfig.window", window % 2 == 1, "odd", window)?;
        require("SsimConfig.sigma", sigma > 0.0 && sigma.is_finite(), "positive", sigma)?;
        require("SsimConfig.k1", k1 >= 0.0 && k1.is_finite(), "at least 0", k1)?;
        require("SsimConfig.k2", k2 > 0.0 && k2.is_finite(), "positive", k2)?;
        require("SsimConfig.range", range > 0.0 && range.is_finite(), "positive", range)?;
        let weight = |i: usize| (-(i as f64 - (window / 2) as f64).powi(2) / (2.0 * sigma * sigma)).exp();
        let total: f64 = (0..window).map(weight).sum();
        let window = (0..window).map(|i| weight(i) / total).collect();
        Ok(Self { window, c1: (k1 * range).powi(2), c2: (k2 * range).powi(2) })
    }

    /// The similarity of each image of `x` with the image of `y` at the same place, at most 1.
    ///
    /// # Shapes
    /// (N, C, H, W) both -> N values.
    ///
    /// # Errors
    /// Different shapes, a side below the window, a value that is not finite.
    pub fn compare(&self, x: &Tensor, y: &Tensor) -> Result<Vec<f64>> {
        let pairs = Pairs::new(x, y)?;
        self.check(pairs.height.min(pairs.width))?;
        Ok(pairs.mean_over_channels(|x, y| self.of_plane(x, y).0))
    }

    fn check(&self, side: usize) -> Result<()> {
        let must = format!("at most the shortest side of the images, {side}");
        require("SsimConfig.window", self.window.len() <= side, &must, self.window.len())
    }

    pub(super) fn side(&self) -> usize {
        self.window.len()
    }

    /// The means over windows of the similarity, and of its contrast term alone.
    pub(super) fn of_plane(&self, x: &Plane, y: &Plane) -> (f64, f64) {
        let filtered = |f: &dyn Fn(f64, f64) -> f64| self.filter(&x.zip(y, f));
        let (mx, my) = (filtered(&|x, _| x), filtered(&|_, y| y));
        let (xx, yy, xy) = (filtered(&|x, _| x * x), filtered(&|_, y| y * y), filtered(&|x, y| x * y));
        let (mut similarity, mut contrast) = (0.0, 0.0);
        for i in 0..mx.len() {
            let (a, b) = (mx[i], my[i]);
            let cs = (2.0 * (xy[i] - a * b) + self.c2) / (xx[i] - a * a + yy[i] - b * b + self.c2);
            // Without c1 two black windows are 0 / 0: they are equal.
            let (up, down) = (2.0 * a * b + self.c1, a * a + b * b + self.c1);
            similarity += cs * if down == 0.0 { 1.0 } else { up / down };
            contrast += cs;
        }
        (similarity / mx.len() as f64, contrast / mx.len() as f64)
    }

    /// The weighted means over all windows inside the plane.
    fn filter(&self, plane: &Plane) -> Vec<f64> {
        let (k, h, w) = (self.window.len(), plane.height, plane.width);
        let (rows, columns) = (h - k + 1, w - k + 1);
        let mut along = vec![0f64; h * columns];
        for (to, row) in along.chunks_mut(columns).zip(plane.values.chunks(w)) {
            for (weight, from) in self.window.iter().zip(0..) {
                to.iter_mut().zip(&row[from..]).for_each(|(to, v)| *to += weight * v);
            }
        }
        let mut out = vec![0f64; rows * columns];
        for (i, to) in out.chunks_mut(columns).enumerate() {
            for (weight, row) in self.window.iter().zip(along[i * columns..].chunks(columns)) {
                to.iter_mut().zip(row).for_each(|(to, v)| *to += weight * v);
            }
        }
        out
    }
}

/// One channel of an image.
pub(super) struct Plane {
    height: usize,
    width: usize,
    values: Vec<f64>,
}

impl Plane {
    fn zip(&self, other: &Self, f: &dyn Fn(f64, f64) -> f64) -> Self {
        let values = self.values.iter().zip(&other.values).map(|(a, b)| f(*a, *b)).collect();
        Self { values, ..*self }
    }

    /// Means over squares of 2 x 2 pixels; the last row or column of an odd side is left out.
    pub(super) fn halved(&self) -> Self {
        let (height, width, w) = (self.height / 2, self.width / 2, self.width);
        let at = |i: usize, j: usize| self.values[i * w + j];
        let mean = |i: usize, j: usize| (at(i, j) + at(i, j + 1) + at(i + 1, j) + at(i + 1, j + 1)) / 4.0;
        let values = (0..height * width).map(|p| mean(2 * (p / width), 2 * (p % width))).collect();
        Self { height, width, values }
    }
}

/// Two batches of images of one shape, on the host.
pub(super) struct Pairs {
    channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    x: Vec<f64>,
    y: Vec<f64>,
}

impl Pairs {
    pub(super) fn new(x: &Tensor, y: &Tensor) -> Result<Self> {
        let &[_, channels, height, width] = x.dims() else {
            return Err(Error::shape("images", "(N, C, H, W)", x.dims()));
        };
        if x.dims() != y.dims() || x.elem_count() == 0 {
            return Err(Error::shape("images to compare", format!("{:?}, none of them 0", x.dims()), y.dims()));
        }
        let host = |what, t: &Tensor| {
            sconce_tensor_core::classifier::require_finite(what, t)?;
            Ok::<Vec<f64>, Error>(t.detach().to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
        };
        Ok(Self { channels, height, width, x: host("images", x)?, y: host("images to compare", y)? })
    }

    /// For each pair of images, the mean of `f` over its channels.
    pub(super) fn mean_over_channels(&self, f: impl Fn(&Plane, &Plane) -> f64 + Sync) -> Vec<f64> {
        let (height, width, size) = (self.height, self.width, self.height * self.width);
        let plane = |values: &[f64]| Plane { height, width, values: values.to_vec() };
        let image = self.channels * size;
        let of_image = |(x, y): (&[f64], &[f64])| {
            let planes = x.chunks(size).zip(y.chunks(size));
            planes.map(|(x, y)| f(&plane(x), &plane(y))).sum::<f64>() / self.channels as f64
        };
        self.x.par_chunks(image).zip(self.y.par_chunks(image)).map(of_image).collect()
    }
}
