//! Differentiable augmentation.

use crate::{Error, Result};
use sconce_tensor_core::candle_core::Tensor;
use sconce_tensor_core::{ExampleRng, error::require, ops};

/// Configuration of [`DiffAugment`]. A strength of 0 turns a change off.
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `brightness` | 0.5 | adds a value uniform in `+- brightness` | >= 0 |
/// | `saturation` | 1 | factor uniform in `1 +- saturation` around each pixel's mean over channels | [0, 1] |
/// | `contrast` | 0.5 | factor uniform in `1 +- contrast` around the image's mean | [0, 1] |
/// | `translation` | 0.125 | shift by whole pixels, at most this share of the side, rounded | [0, 1] |
/// | `cutout` | 0.5 | side of a square that is filled, as a share of the image's, rounded; its centre lies anywhere | [0, 1] |
/// | `padding` | 0 | value outside of shifted images and inside of squares | finite |
///
/// Images are in [-1, 1], where a padding of 0 is grey. For images on a black background use -1. Brightness and contrast may leave the
/// range; that is as in the source. Images of one channel have no saturation. There are no flips: they change the class of digits and
/// letters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiffAugmentConfig {
    /// Largest value that is added.
    pub brightness: f64,
    /// Largest change of the factor on saturation.
    pub saturation: f64,
    /// Largest change of the factor on contrast.
    pub contrast: f64,
    /// Largest shift, as a share of the side.
    pub translation: f64,
    /// Side of the square, as a share of the image's.
    pub cutout: f64,
    /// Value outside of shifted images and inside of squares.
    pub padding: f64,
}

impl Default for DiffAugmentConfig {
    fn default() -> Self {
        Self { brightness: 0.5, saturation: 1.0, contrast: 0.5, translation: 0.125, cutout: 0.5, padding: 0.0 }
    }
}

/// Changes real and generated images alike before the discriminator sees them: colour, then translation, then cutout (Zhao et al. 2020,
/// arXiv 2006.10738). Gradients go through it. Each image has its own draw, keyed by example, so the result does not depend on the
/// batch.
///
/// ```
/// use sconce_gan::loss::{DiffAugment, DiffAugmentConfig};
/// use sconce_tensor_core::candle_core::{DType, Device};
/// use sconce_tensor_core::{ExampleRng, Rng};
/// let augment = DiffAugment::new(DiffAugmentConfig { padding: -1.0, ..DiffAugmentConfig::default() })?;
/// let x = Rng::new(0).uniform((2, 1, 14, 14), -1.0..1.0, DType::F32, &Device::Cpu)?;
/// let y = augment.apply(&x, &ExampleRng::new(Rng::new(1), vec![7, 8]), 1.0)?;
/// assert_eq!(y.dims(), x.dims());
/// # Ok::<(), sconce_gan::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiffAugment {
    cfg: DiffAugmentConfig,
}

impl DiffAugment {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: DiffAugmentConfig) -> Result<Self> {
        let good = cfg.brightness.is_finite() && cfg.brightness >= 0.0;
        require("DiffAugmentConfig.brightness", good, "finite and >= 0", cfg.brightness)?;
        for (field, value) in [
            ("DiffAugmentConfig.saturation", cfg.saturation),
            ("DiffAugmentConfig.contrast", cfg.contrast),
            ("DiffAugmentConfig.translation", cfg.translation),
            ("DiffAugmentConfig.cutout", cfg.cutout),
        ] {
            require(field, (0.0..=1.0).contains(&value), "in [0, 1]", value)?;
        }
        require("DiffAugmentConfig.padding", cfg.padding.is_finite(), "finite", cfg.padding)?;
        Ok(Self { cfg })
    }

    /// The changed images. Colour, translation and cutout each happen to an image with probability `p`; 1 is DiffAugment itself.
    ///
    /// # Shapes
    /// (N, C, H, W) with N keys -> (N, C, H, W).
    ///
    /// # Errors
    /// Another shape or number of keys; [`Error::Config`] for a `p` outside [0, 1].
    pub fn apply(&self, x: &Tensor, rng: &ExampleRng, p: f64) -> Result<Tensor> {
        require("DiffAugment.p", (0.0..=1.0).contains(&p), "in [0, 1]", p)?;
        let n = rng.examples().len();
        let (_, channels, h, w) = images(x, n)?;
        let cfg = &self.cfg;
        let rng = rng.stream("diff-augment");
        let draws: Vec<Vec<f64>> = (0..n).map(|i| rng.row(i).uniforms(10)).collect();
        // Columns 0 to 2 decide which changes happen.
        let each = |gate: usize, none: f64, value: &dyn Fn(&[f64]) -> f64| -> Vec<f64> {
            draws.iter().map(|u| if u[gate] < p { value(u) } else { none }).collect()
        };
        let around = |u: f64, strength: f64| (2.0 * u - 1.0) * strength;
        let mut x = x.clone();
        if cfg.brightness > 0.0 {
            x = brightness(&x, &each(0, 0.0, &|u| around(u[3], cfg.brightness)))?;
        }
        if cfg.saturation > 0.0 && channels > 1 {
            x = saturation(&x, &each(0, 1.0, &|u| 1.0 + around(u[4], cfg.saturation)))?;
        }
        if cfg.contrast > 0.0 {
            x = contrast(&x, &each(0, 1.0, &|u| 1.0 + around(u[5], cfg.contrast)))?;
        }
        let reach = |side: usize| (side as f64 * cfg.translation + 0.5).floor();
        let hole = (size(h, cfg.cutout), size(w, cfg.cutout));
        let holes = hole.0 > 0 && hole.1 > 0;
        if reach(h) + reach(w) == 0.0 && !holes {
            return Ok(x);
        }
        let shift = |u: f64, side: usize| (u * (2.0 * reach(side) + 1.0)).floor() as isize - reach(side) as isize;
        // An even square has one more centre: the gap after the last pixel.
        let centre = |u: f64, side: usize, hole: usize| (u * (side + 1 - hole % 2) as f64).floor() as usize;
        let shifts: Vec<_> =
            draws.iter().map(|u| if u[1] < p { (shift(u[6], h), shift(u[7], w)) } else { (0, 0) }).collect();
        let centres: Vec<_> = draws
            .iter()
            .map(|u| (u[2] < p && holes).then(|| (centre(u[8], h, hole.0), centre(u[9], w, hole.1))))
            .collect();
        move_pixels(&x, cfg.padding, |i, r, c| {
            if centres[i].is_some_and(|at| inside(r, at.0, hole.0) && inside(c, at.1, hole.1)) {
                return None;
            }
            shifted((r, c), shifts[i], (h, w))
        })
    }
}

/// `x + offsets[i]` for image i.
///
/// # Shapes
/// (N, C, H, W) and N offsets -> (N, C, H, W).
///
/// # Errors
/// Another shape or number of offsets.
pub fn brightness(x: &Tensor, offsets: &[f64]) -> Result<Tensor> {
    let ones = vec![1.0; offsets.len()];
    let planes = planes(x, offsets.len())?;
    Ok(ops::channel_affine(&planes, &row(x, &ones)?, &row(x, offsets)?)?.reshape(x.shape())?)
}

/// `m + factors[i] (x - m)` with m the mean over the channels of each pixel of image i.
///
/// # Shapes
/// As [`brightness`].
///
/// # Errors
/// As [`brightness`].
pub fn saturation(x: &Tensor, factors: &[f64]) -> Result<Tensor> {
    let scaled = scale(x, factors)?;
    let rest: Vec<f64> = factors.iter().map(|f| 1.0 - f).collect();
    Ok(scaled.broadcast_add(&scale(&x.mean_keepdim(1)?, &rest)?)?)
}

/// `m + factors[i] (x - m)` with m the mean of image i.
///
/// # Shapes
/// As [`brightness`].
///
/// # Errors
/// As [`brightness`].
pub fn contrast(x: &Tensor, factors: &[f64]) -> Result<Tensor> {
    let planes = planes(x, factors.len())?;
    let rest: Vec<f64> = factors.iter().map(|f| 1.0 - f).collect();
    let shift = (ops::global_avg_pool2d(&planes)?.squeeze(0)? * row(x, &rest)?)?;
    Ok(ops::channel_affine(&planes, &row(x, factors)?, &shift)?.reshape(x.shape())?)
}

/// Pixel (r, c) of image i becomes the pixel `(r + shifts[i].0, c + shifts[i].1)`, or `padding` where there is none.
///
/// # Shapes
/// As [`brightness`].
///
/// # Errors
/// As [`brightness`].
pub fn translate(x: &Tensor, shifts: &[(isize, isize)], padding: f64) -> Result<Tensor> {
    let (_, _, h, w) = images(x, shifts.len())?;
    move_pixels(x, padding, |i, r, c| shifted((r, c), shifts[i], (h, w)))
}

/// Fills a rectangle of `size` (height, width) of each image with `padding`: rows `centre - size / 2 .. centre - size / 2 + size`, rounded
/// down and clipped, columns likewise.
///
/// # Shapes
/// As [`brightness`].
///
/// # Errors
/// As [`brightness`].
pub fn cutout(x: &Tensor, centres: &[(usize, usize)], size: (usize, usize), padding: f64) -> Result<Tensor> {
    images(x, centres.len())?;
    let hole = |i: usize, r, c| inside(r, centres[i].0, size.0) && inside(c, centres[i].1, size.1);
    move_pixels(x, padding, |i, r, c| (!hole(i, r, c)).then_some((r, c)))
}

fn size(side: usize, share: f64) -> usize {
    (side as f64 * share + 0.5).floor() as usize
}

fn inside(at: usize, centre: usize, size: usize) -> bool {
    (at + size / 2).checked_sub(centre).is_some_and(|offset| offset < size)
}

fn shifted((r, c): (usize, usize), by: (isize, isize), (h, w): (usize, usize)) -> Option<(usize, usize)> {
    let at = (r.checked_add_signed(by.0)?, c.checked_add_signed(by.1)?);
    (at.0 < h && at.1 < w).then_some(at)
}

fn images(x: &Tensor, n: usize) -> Result<(usize, usize, usize, usize)> {
    match *x.dims() {
        [count, c, h, w] if count == n && n * c * h * w > 0 => Ok((n, c, h, w)),
        ref got => Err(Error::shape("images", format!("({n}, C, H, W), none of them 0"), got)),
    }
}

/// (1, N, C, HW): each image is a channel.
fn planes(x: &Tensor, n: usize) -> Result<Tensor> {
    let (n, c, h, w) = images(x, n)?;
    Ok(x.reshape((1, n, c, h * w))?)
}

fn row(like: &Tensor, values: &[f64]) -> Result<Tensor> {
    Ok(Tensor::new(values, like.device())?.to_dtype(like.dtype())?)
}

fn scale(x: &Tensor, factors: &[f64]) -> Result<Tensor> {
    let zeros = vec![0.0; factors.len()];
    let scaled = ops::channel_affine(&planes(x, factors.len())?, &row(x, factors)?, &row(x, &zeros)?)?;
    Ok(scaled.reshape(x.shape())?)
}

/// Images whose pixel (r, c) of image i is `source(i, r, c)` of the same image in every channel, or `fill`. Linear in `x`.
fn move_pixels(
    x: &Tensor,
    fill: f64,
    source: impl Fn(usize, usize, usize) -> Option<(usize, usize)>,
) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    let count = n * c * h * w;
    if u32::try_from(count).is_err() {
        return Err(Error::shape("images", "fewer than 2^32 values", x.dims()));
    }
    let mut ids = vec![count as u32; count];
    for i in 0..n {
        for r in 0..h {
            for q in 0..w {
                if let Some((from, column)) = source(i, r, q) {
                    for plane in (i * c..(i + 1) * c).map(|p| p * h * w) {
                        ids[plane + r * w + q] = (plane + from * w + column) as u32;
                    }
                }
            }
        }
    }
    // One value a row of the table; the last row is the fill.
    let table = Tensor::cat(&[x.reshape((count, 1))?, row(x, &[fill])?.reshape((1, 1))?], 0)?;
    let ids = Tensor::from_vec(ids, count, x.device())?;
    Ok(ops::embedding(&table, &ids)?.reshape(x.shape())?)
}
