//! The enhancements of Pillow's `ImageEnhance`: blends of the image with a degenerate image of it.

use super::Image;
use super::tone::through;

/// `d + a (x - d)` in f32, truncated and clipped to a byte: Pillow's `Image.blend` (Blend.c).
fn blend(d: u8, x: u8, a: f32) -> u8 {
    // `as` truncates and saturates.
    (f32::from(d) + a * (f32::from(x) - f32::from(d))) as u8
}

pub(super) fn brightness(image: &mut Image, a: f32) {
    let lut = std::array::from_fn(|x| blend(0, x as u8, a));
    through(&mut image.bytes, &lut);
}

pub(super) fn color(image: &mut Image, a: f32) {
    if image.channels == 1 {
        return;
    }
    let grey = image.luminance();
    for plane in image.planes_mut() {
        plane.iter_mut().zip(&grey).for_each(|(x, d)| *x = blend(*d, *x, a));
    }
}

pub(super) fn contrast(image: &mut Image, a: f32) {
    let grey = image.luminance();
    let sum: u64 = grey.iter().map(|g| u64::from(*g)).sum();
    let mean = (sum as f64 / grey.len() as f64 + 0.5) as u8;
    let lut = std::array::from_fn(|x| blend(mean, x as u8, a));
    through(&mut image.bytes, &lut);
}

/// Pillow's SMOOTH filter as `d`. Its f32 sums are exact here in integers: `s / 13 + 1/2` is never a whole number, so the nearest
/// one is at least 1/26 away.
pub(super) fn sharpness(image: &mut Image, a: f32) {
    let (h, w) = (image.height, image.width);
    if h < 3 || w < 3 {
        return;
    }
    let mut above = vec![0; w];
    let mut here = vec![0; w];
    for plane in image.planes_mut() {
        above.copy_from_slice(&plane[..w]);
        for r in 1..h - 1 {
            let (row, below) = plane[r * w..(r + 2) * w].split_at_mut(w);
            here.copy_from_slice(row);
            for c in 1..w - 1 {
                let three = |line: &[u8]| line[c - 1..=c + 1].iter().map(|v| u32::from(*v)).sum::<u32>();
                let sum = three(&above) + three(&here) + three(below) + 4 * u32::from(here[c]);
                row[c] = blend(((2 * sum + 13) / 26) as u8, here[c], a);
            }
            std::mem::swap(&mut above, &mut here);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::transforms::{EnhancementKind as Kind, Image};

    fn after(kind: Kind, magnitude: f64, (c, h, w): (usize, usize, usize), bytes: &[u8]) -> Vec<u8> {
        let mut image = Image::new(c, h, w, bytes.to_vec()).unwrap();
        kind.at(magnitude).unwrap().apply(&mut image);
        image.bytes().to_vec()
    }

    /// Worked by hand for the pixel (200, 100, 50), whose luminance is 124.
    #[test]
    fn one_pixel() {
        let pixel = |kind, a| after(kind, a, (3, 1, 1), &[200, 100, 50]);
        assert_eq!(pixel(Kind::Color, 0.0), [124; 3]);
        assert_eq!(pixel(Kind::Color, 0.1), [131, 121, 116]);
        assert_eq!(pixel(Kind::Color, 0.5), [162, 112, 87]);
        assert_eq!(pixel(Kind::Color, 1.9), [255, 78, 0]);
        assert_eq!(pixel(Kind::Brightness, 0.1), [20, 10, 5]);
        assert_eq!(pixel(Kind::Brightness, 1.9), [255, 190, 95]);
        // The mean luminance of a single pixel is its own.
        assert_eq!(pixel(Kind::Contrast, 0.5), [162, 112, 87]);
    }

    #[test]
    fn the_centre_of_nine() {
        let nine = [10, 20, 30, 40, 200, 60, 70, 80, 90];
        for (a, centre) in [(0.0, 108), (0.1, 117), (0.5, 154), (1.0, 200), (1.9, 255)] {
            let got = after(Kind::Sharpness, a, (1, 3, 3), &nine);
            assert_eq!(got[4], centre, "{a}");
            assert!((0..9).all(|i| i == 4 || got[i] == nine[i]), "the border stays");
        }
    }
}
