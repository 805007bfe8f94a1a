//! Enhancements that map each byte of a channel by a table: those of Pillow's `ImageOps`.

use super::Image;

/// Each byte through a table.
pub(super) fn through(bytes: &mut [u8], lut: &[u8; 256]) {
    bytes.iter_mut().for_each(|b| *b = lut[usize::from(*b)]);
}

pub(super) fn solarize(image: &mut Image, threshold: f64) {
    let lut = std::array::from_fn(|x| if (x as f64) < threshold { x as u8 } else { 255 - x as u8 });
    through(&mut image.bytes, &lut);
}

pub(super) fn posterize(image: &mut Image, bits: u32) {
    let mask = !(((1u32 << (8 - bits)) - 1) as u8);
    image.bytes.iter_mut().for_each(|b| *b &= mask);
}

fn histogram(plane: &[u8]) -> [usize; 256] {
    let mut counts = [0; 256];
    plane.iter().for_each(|b| counts[usize::from(*b)] += 1);
    counts
}

pub(super) fn equalize(image: &mut Image) {
    for plane in image.planes_mut() {
        let counts = histogram(plane);
        let last = counts.iter().rev().find(|n| **n > 0).copied().unwrap_or(0);
        // 0 where there is one level only.
        let step = (plane.len() - last) / 255;
        if step == 0 {
            continue;
        }
        let mut n = step / 2;
        let lut = std::array::from_fn(|i| {
            let level = (n / step).min(255) as u8;
            n += counts[i];
            level
        });
        through(plane, &lut);
    }
}

pub(super) fn autocontrast(image: &mut Image) {
    for plane in image.planes_mut() {
        let counts = histogram(plane);
        let (lo, hi) = (counts.iter().position(|n| *n > 0), counts.iter().rposition(|n| *n > 0));
        let (Some(lo), Some(hi)) = (lo, hi) else { continue };
        if hi <= lo {
            continue;
        }
        let scale = 255.0 / (hi - lo) as f64;
        let offset = -(lo as f64) * scale;
        // `as` truncates and saturates.
        let lut = std::array::from_fn(|x| (x as f64 * scale + offset) as u8);
        through(plane, &lut);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8], change: impl Fn(&mut Image)) -> Vec<u8> {
        let mut image = Image::new(1, 1, bytes.len(), bytes.to_vec()).unwrap();
        change(&mut image);
        image.bytes().to_vec()
    }

    #[test]
    fn by_hand() {
        let bytes = [0, 100, 127, 128, 200, 255];
        assert_eq!(of(&bytes, |i| solarize(i, 128.0)), [0, 100, 127, 127, 55, 0]);
        assert_eq!(of(&bytes, |i| solarize(i, 256.0)), bytes);
        assert_eq!(of(&bytes, |i| solarize(i, 0.0)), bytes.map(|b| 255 - b));
        assert_eq!(of(&[0, 15, 16, 200, 255], |i| posterize(i, 4)), [0, 0, 16, 192, 240]);
        assert_eq!(of(&[50, 100, 125, 200], autocontrast), [0, 85, 127, 255]);
        assert_eq!(of(&[7, 7], autocontrast), [7, 7]);
        let levels = |a: u8, b: u8, c: u8| [[a; 512], [b; 512], [c; 512]].concat();
        // The third level is 256 before it is clipped.
        assert_eq!(of(&levels(10, 20, 30), equalize), levels(0, 128, 255));
        assert_eq!(of(&[3; 600], equalize), [3; 600]);
    }
}
