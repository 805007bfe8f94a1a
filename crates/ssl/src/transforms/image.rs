//! One image of bytes.

use sconce_tensor_core::{Error, Result};

/// An image of bytes in planes: (C, H, W), row by row, with one channel (grey) or three (red, green, blue).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Image {
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) bytes: Vec<u8>,
}

impl Image {
    /// An image from its bytes in the order (C, H, W).
    ///
    /// # Errors
    /// [`Error::Shape`] where the channels are neither 1 nor 3, a side is 0, or the number of bytes is another one.
    pub fn new(channels: usize, height: usize, width: usize, bytes: Vec<u8>) -> Result<Self> {
        let fits = height.checked_mul(width).and_then(|p| p.checked_mul(channels)) == Some(bytes.len());
        if !(channels == 1 || channels == 3) || bytes.is_empty() || !fits {
            let expected = format!("(C, H, W) with C 1 or 3 and H, W at least 1, of {} bytes", bytes.len());
            return Err(Error::shape("image", expected, &[channels, height, width]));
        }
        Ok(Self { channels, height, width, bytes })
    }

    /// Channels, height and width.
    pub fn dims(&self) -> (usize, usize, usize) {
        (self.channels, self.height, self.width)
    }

    /// The bytes in the order (C, H, W).
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The channels, each (H, W).
    pub fn planes(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.height * self.width)
    }

    pub(super) fn planes_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.bytes.chunks_exact_mut(self.height * self.width)
    }

    /// The luminance of each pixel, as Pillow's `convert("L")`: `(19595 R + 38470 G + 7471 B + 32768) >> 16`; a grey image's is
    /// itself.
    ///
    /// # Shapes
    /// (C, H, W) -> H * W bytes.
    pub fn luminance(&self) -> Vec<u8> {
        if self.channels == 1 {
            return self.bytes.clone();
        }
        let (r, rest) = self.bytes.split_at(self.height * self.width);
        let (g, b) = rest.split_at(self.height * self.width);
        let one = |((r, g), b): ((&u8, &u8), &u8)| {
            ((19595 * u32::from(*r) + 38470 * u32::from(*g) + 7471 * u32::from(*b) + 0x8000) >> 16) as u8
        };
        r.iter().zip(g).zip(b).map(one).collect()
    }
}
