//! Bilinear resizing with antialiasing of 8-bit images, in the integers of Pillow, so that the bytes are those of torchvision's `Resize`.
//!
//! Each output is a weighted mean of the inputs under a triangle, as wide as two inputs where the image grows and as two outputs where it shrinks.
//! The weights of a line sum to 1, are rounded to 22 bits after the point, and the mean is rounded to a byte: once along the rows, once along the
//! columns of what that gave, or the other way round ([`columns_first`]). A pass that changes no length is left out.

use super::pixels::Pixels;

/// Bits of a weight after the point: of 32, a byte takes 8, and 2 are room for the sum.
const BITS: u32 = 32 - 8 - 2;

/// The inputs of one output of a pass, and their weights.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// The inputs of each of `to` outputs that cover `from` inputs.
fn taps(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let reach = scale.max(1.0);
    let narrow = 1.0 / reach;
    let of = |i: usize| {
        let centre = (i as f64 + 0.5) * scale;
        // A negative start is cut at the image's edge, as the end is.
        let first = (centre - reach + 0.5) as usize;
        let end = ((centre + reach + 0.5) as usize).min(from);
        let triangle = |x: usize| (1.0 - ((x as f64 - centre + 0.5) * narrow).abs()).max(0.0);
        let heights: Vec<f64> = (first..end).map(triangle).collect();
        let sum: f64 = heights.iter().sum();
        let weights = heights.iter().map(|h| (0.5 + h / sum * f64::from(1 << BITS)) as i32).collect();
        Taps { first, weights }
    };
    (0..to).map(of).collect()
}

/// The byte of a sum of bytes times weights.
fn byte(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

/// A half, so that [`byte`] rounds.
const HALF: i32 = 1 << (BITS - 1);

fn along_rows(image: &Pixels, width: usize) -> Pixels {
    let (c, all) = (image.channels, taps(image.width, width));
    let mut bytes = Vec::with_capacity(image.height * width * c);
    for row in image.bytes.chunks_exact(image.width * c) {
        for t in &all {
            for channel in 0..c {
                let inputs = row[t.first * c + channel..].iter().step_by(c);
                bytes.push(byte(inputs.zip(&t.weights).fold(HALF, |sum, (v, w)| sum + i32::from(*v) * w)));
            }
        }
    }
    Pixels { channels: c, height: image.height, width, bytes }
}

fn along_columns(image: &Pixels, height: usize) -> Pixels {
    let line = image.width * image.channels;
    let mut bytes = Vec::with_capacity(height * line);
    let mut sums = vec![HALF; line];
    for t in taps(image.height, height) {
        sums.fill(HALF);
        for (w, row) in t.weights.iter().zip(image.bytes[t.first * line..].chunks_exact(line)) {
            sums.iter_mut().zip(row).for_each(|(s, v)| *s += i32::from(*v) * w);
        }
        bytes.extend(sums.iter().map(|s| byte(*s)));
    }
    Pixels { channels: image.channels, height, width: image.width, bytes }
}

/// Whether the pass along the columns comes first: where it takes away more than twice as many lines as the other. It is so in Pillow 13, found by
/// 507 sizes; older versions always begin with the rows, which may differ by 1 in a byte. Photographs of usual proportions that are resized by their
/// shorter side begin with the rows in both.
fn columns_first((h, w): (usize, usize), (height, width): (usize, usize)) -> bool {
    height < h && h - height > 2 * w.saturating_sub(width)
}

/// The image at another height and width, both at least 1.
pub(super) fn resize(image: Pixels, to: (usize, usize)) -> Pixels {
    let first = columns_first(image.size(), to);
    let columns = |image: Pixels| if to.0 == image.height { image } else { along_columns(&image, to.0) };
    let rows = |image: Pixels| if to.1 == image.width { image } else { along_rows(&image, to.1) };
    if first { rows(columns(image)) } else { columns(rows(image)) }
}
