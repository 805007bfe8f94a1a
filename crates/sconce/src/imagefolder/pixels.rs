//! An image of bytes.

use anyhow::{Result, bail};

/// Pixels row by row, the channels of a pixel side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pixels {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) bytes: Vec<u8>,
}

impl Pixels {
    /// # Errors
    /// A number of bytes that is not channels x height x width, or none.
    pub(crate) fn new(channels: usize, (height, width): (usize, usize), bytes: Vec<u8>) -> Result<Self> {
        if bytes.is_empty() || bytes.len() != channels * height * width {
            bail!("{} bytes for an image of {channels} channels, {width} x {height} pixels", bytes.len());
        }
        Ok(Self { channels, height, width, bytes })
    }

    pub(crate) fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// Whether all channels of every pixel are equal.
    pub(super) fn is_grey(&self) -> bool {
        self.bytes.chunks_exact(self.channels).all(|p| p.iter().all(|v| *v == p[0]))
    }

    /// One channel after the other.
    pub(crate) fn planes(&self) -> impl Iterator<Item = u8> + '_ {
        (0..self.channels).flat_map(|c| self.bytes.iter().skip(c).step_by(self.channels).copied())
    }
}
