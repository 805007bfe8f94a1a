//! Moves of pixels.

use super::Image;
use sconce_tensor_core::{Error, Result};

impl Image {
    /// Rotated by `turns` quarter turns counter-clockwise, as `numpy.rot90`: one turn is `y[r, c] = x[c, W - 1 - r]`. Turns count
    /// modulo 4.
    ///
    /// # Shapes
    /// (C, H, W) -> (C, W, H) for odd turns, else (C, H, W).
    #[must_use]
    pub fn rotated(&self, turns: usize) -> Self {
        let (h, w) = (self.height, self.width);
        match turns % 4 {
            0 => self.clone(),
            1 => self.moved(w, h, |r, c| (c, w - 1 - r)),
            2 => self.moved(h, w, |r, c| (h - 1 - r, w - 1 - c)),
            _ => self.moved(w, h, |r, c| (h - 1 - c, r)),
        }
    }

    /// Mirrored left to right.
    #[must_use]
    pub fn flipped_horizontally(&self) -> Self {
        self.moved(self.height, self.width, |r, c| (r, self.width - 1 - c))
    }

    /// Mirrored upside down.
    #[must_use]
    pub fn flipped_vertically(&self) -> Self {
        self.moved(self.height, self.width, |r, c| (self.height - 1 - r, c))
    }

    /// The part of `size` (height, width) whose first pixel is `from` (row, column).
    ///
    /// # Errors
    /// [`Error::Value`] where it is empty or does not lie inside the image.
    pub fn cropped(&self, from: (usize, usize), size: (usize, usize)) -> Result<Self> {
        let inside = |at: usize, len: usize, all| len >= 1 && at.checked_add(len).is_some_and(|end| end <= all);
        if !inside(from.0, size.0, self.height) || !inside(from.1, size.1, self.width) {
            let reason = format!("{size:?} from {from:?} on is empty or not inside {}x{}", self.height, self.width);
            return Err(Error::value("crop", reason));
        }
        Ok(self.moved(size.0, size.1, |r, c| (from.0 + r, from.1 + c)))
    }

    /// An image of `height x width` whose pixel (r, c) is the pixel `source(r, c)` of this one.
    pub(crate) fn moved(&self, height: usize, width: usize, source: impl Fn(usize, usize) -> (usize, usize)) -> Self {
        let mut bytes = Vec::with_capacity(self.channels * height * width);
        for plane in self.planes() {
            for r in 0..height {
                bytes.extend((0..width).map(|c| {
                    let (row, column) = source(r, c);
                    plane[row * self.width + column]
                }));
            }
        }
        Self { channels: self.channels, height, width, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let image = Image::new(1, 2, 3, vec![1, 2, 3, 4, 5, 6]).unwrap();
        let square = Image::new(1, 2, 2, vec![1, 2, 3, 4]).unwrap();
        assert_eq!(square.rotated(1).bytes(), [2, 4, 1, 3]);
        assert_eq!((image.rotated(1).dims(), image.rotated(1).bytes()), ((1, 3, 2), &[3, 6, 2, 5, 1, 4][..]));
        assert_eq!(image.rotated(2).bytes(), [6, 5, 4, 3, 2, 1]);
        assert_eq!(image.rotated(3).bytes(), [4, 1, 5, 2, 6, 3]);
        assert_eq!(image.flipped_horizontally().bytes(), [3, 2, 1, 6, 5, 4]);
        assert_eq!(image.flipped_vertically().bytes(), [4, 5, 6, 1, 2, 3]);
        assert_eq!(image.cropped((0, 1), (2, 2)).unwrap().bytes(), [2, 3, 5, 6]);
        for (from, size) in [((0, 2), (1, 2)), ((0, 0), (0, 1)), ((usize::MAX, 0), (2, 1))] {
            assert!(image.cropped(from, size).unwrap_err().to_string().contains("not inside 2x3"));
        }
        assert_eq!(image.rotated(1).rotated(1).rotated(1).rotated(1), image);
        assert_eq!(image.rotated(1).rotated(1), image.rotated(2));
        assert_eq!(image.rotated(7), image.rotated(3));
    }
}
