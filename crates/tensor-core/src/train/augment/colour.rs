//! Brightness, contrast, saturation and hue, as torchvision computes them for tensors of floats.

use super::images::{dims, map_colours};
use crate::{Error, Result};
use candle_core::Tensor;

/// Weights of red, green and blue in the luma of ITU-R BT.601, as torchvision rounds them.
const LUMA: [f64; 3] = [0.2989, 0.587, 0.114];

fn checked(what: &str, factors: &[f64], ok: impl Fn(f64) -> bool, must: &str) -> Result<()> {
    match factors.iter().enumerate().find(|(_, f)| !ok(**f)) {
        Some((i, f)) => {
            Err(Error::value(format!("factors of {what}"), format!("must be {must}, got {f} at index {i}")))
        }
        None => Ok(()),
    }
}

fn each(x: &Tensor, what: &str, factors: &[f64], change: Change) -> Result<Tensor> {
    let d = dims(x, factors.len(), "factors")?;
    map_colours(x, d, what, |i, image| change(image, d.c, factors[i]))
}

fn scaled(x: &Tensor, what: &str, factors: &[f64], change: Change) -> Result<Tensor> {
    checked(what, factors, |f| f.is_finite() && f >= 0.0, "finite and not negative")?;
    each(x, what, factors, change)
}

/// Blends image `i` with black: `clamp(f x, 0, 1)` with `f = factors[i]`. A factor of 1 returns the image, 0 is black.
///
/// # Shapes
/// (N, C, H, W) with C 1 or 3, values in [0, 1], and N factors -> (N, C, H, W) in [0, 1].
///
/// # Errors
/// Another shape or data type; a value outside [0, 1] or NaN; a factor that is negative or not finite.
pub fn adjust_brightness(x: &Tensor, factors: &[f64]) -> Result<Tensor> {
    scaled(x, "adjust_brightness", factors, brightness)
}

/// Blends image `i` with the mean `m` of its grey values: `clamp(f x + (1 - f) m, 0, 1)` with `f = factors[i]`.
/// A factor of 1 returns the image, 0 is a uniform grey. Grey is `0.2989 R + 0.587 G + 0.114 B`.
///
/// # Shapes
/// (N, C, H, W) with C 1 or 3, values in [0, 1], and N factors -> (N, C, H, W) in [0, 1].
///
/// # Errors
/// Another shape or data type; a value outside [0, 1] or NaN; a factor that is negative or not finite.
pub fn adjust_contrast(x: &Tensor, factors: &[f64]) -> Result<Tensor> {
    scaled(x, "adjust_contrast", factors, contrast)
}

/// Blends image `i` with its grey version `g`: `clamp(f x + (1 - f) g, 0, 1)` with `f = factors[i]` and
/// `g = 0.2989 R + 0.587 G + 0.114 B`. A factor of 1 returns the image, 0 is grey. Images of one channel stay.
///
/// # Shapes
/// (N, C, H, W) with C 1 or 3, values in [0, 1], and N factors -> (N, C, H, W) in [0, 1].
///
/// # Errors
/// Another shape or data type; a value outside [0, 1] or NaN; a factor that is negative or not finite.
pub fn adjust_saturation(x: &Tensor, factors: &[f64]) -> Result<Tensor> {
    scaled(x, "adjust_saturation", factors, saturation)
}

/// Rotates the hue of image `i` by the share `shifts[i]` of the full circle, in the space of hue, saturation and value.
/// A shift of 0 returns the image up to rounding; -0.5 and 0.5 are the complementary colours. Images of one channel stay.
/// For f64 images this computes in f64, whereas torchvision rounds to f32.
///
/// # Shapes
/// (N, C, H, W) with C 1 or 3, values in [0, 1], and N shifts -> (N, C, H, W) in [0, 1].
///
/// # Errors
/// Another shape or data type; a value outside [0, 1] or NaN; a shift outside [-0.5, 0.5].
pub fn adjust_hue(x: &Tensor, shifts: &[f64]) -> Result<Tensor> {
    checked("adjust_hue", shifts, |f| (-0.5..=0.5).contains(&f), "in [-0.5, 0.5]")?;
    each(x, "adjust_hue", shifts, hue)
}

fn blend(a: f64, b: f64, ratio: f64) -> f64 {
    (ratio * a + (1.0 - ratio) * b).clamp(0.0, 1.0)
}

fn grey(rgb: [f64; 3]) -> f64 {
    LUMA[0] * rgb[0] + LUMA[1] * rgb[1] + LUMA[2] * rgb[2]
}

/// Replaces each pixel of an image of three planes.
fn each_pixel(image: &mut [f64], change: impl Fn([f64; 3]) -> [f64; 3]) {
    let n = image.len() / 3;
    let (red, rest) = image.split_at_mut(n);
    let (green, blue) = rest.split_at_mut(n);
    for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
        [*r, *g, *b] = change([*r, *g, *b]);
    }
}

/// The change of one image of `channels` planes; [`super::ColourJitter`] chains these.
pub(super) type Change = fn(image: &mut [f64], channels: usize, by: f64);

pub(super) fn brightness(image: &mut [f64], _channels: usize, factor: f64) {
    image.iter_mut().for_each(|v| *v = blend(*v, 0.0, factor));
}

pub(super) fn contrast(image: &mut [f64], channels: usize, factor: f64) {
    let n = image.len() / channels;
    let sum: f64 = match channels {
        3 => (0..n).map(|i| grey([image[i], image[n + i], image[2 * n + i]])).sum(),
        _ => image.iter().sum(),
    };
    let mean = sum / n as f64;
    image.iter_mut().for_each(|v| *v = blend(*v, mean, factor));
}

pub(super) fn saturation(image: &mut [f64], channels: usize, factor: f64) {
    if channels == 3 {
        each_pixel(image, |rgb| {
            let g = grey(rgb);
            rgb.map(|v| blend(v, g, factor))
        });
    }
}

pub(super) fn hue(image: &mut [f64], channels: usize, shift: f64) {
    if channels == 3 {
        each_pixel(image, |rgb| {
            let [h, s, v] = hsv(rgb);
            // `%` of Python: the result has the sign of the divisor.
            rgb_of([(h + shift).rem_euclid(1.0), s, v])
        });
    }
}

/// Hue in [0, 1), saturation and value of a pixel. Hue is 0 where the channels are equal.
fn hsv([r, g, b]: [f64; 3]) -> [f64; 3] {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    let range = most - least;
    if range == 0.0 {
        return [0.0, 0.0, most];
    }
    let [rc, gc, bc] = [r, g, b].map(|v| (most - v) / range);
    let h = if most == r {
        bc - gc
    } else if most == g {
        2.0 + rc - bc
    } else {
        4.0 + gc - rc
    };
    [(h / 6.0 + 1.0) % 1.0, range / most, most]
}

fn rgb_of([h, s, v]: [f64; 3]) -> [f64; 3] {
    let sector = (h * 6.0).floor();
    let f = h * 6.0 - sector;
    let [p, q, t] = [s, s * f, s * (1.0 - f)].map(|s| (v * (1.0 - s)).clamp(0.0, 1.0));
    match sector as i64 % 6 {
        0 => [v, t, p],
        1 => [q, v, p],
        2 => [p, v, t],
        3 => [p, q, v],
        4 => [t, p, v],
        _ => [v, p, q],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_by_hand() {
        // A third of the circle takes red to green and green to blue.
        for (from, to) in [([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]), ([0.2, 0.6, 0.2], [0.2, 0.2, 0.6])] {
            let mut image = from;
            hue(&mut image, 3, 1.0 / 3.0);
            assert!(image.iter().zip(to).all(|(a, b)| (a - b).abs() < 1e-12), "{image:?}");
        }
        // Grey has no hue.
        let mut image = [0.3; 3];
        hue(&mut image, 3, 0.2);
        assert_eq!(image, [0.3; 3]);
        let mut image = [0.2, 0.6];
        contrast(&mut image, 1, 0.5);
        assert!((image[0] - 0.3).abs() < 1e-12 && (image[1] - 0.5).abs() < 1e-12);
        saturation(&mut image, 1, 0.0);
        brightness(&mut image, 1, 4.0);
        assert_eq!(image, [1.0, 1.0]);
    }
}
