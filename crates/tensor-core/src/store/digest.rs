//! The digest of content.

use crate::Result;
use candle_core::Tensor;
use safetensors::View;
use sha2::{Digest as _, Sha256};
use std::fmt::Write;

/// SHA-256 over a sequence of parts. Each part enters with its length, so that `ab, c` and `a, bc` differ.
///
/// ```
/// use sconce_tensor_core::store::Digest;
/// let one = Digest::new().bytes(b"ab").bytes(b"c").hex();
/// assert_ne!(one, Digest::new().bytes(b"a").bytes(b"bc").hex());
/// assert_eq!(one.len(), 64);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Digest(Sha256);

impl Digest {
    /// The digest of no parts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a tensor: its type, its shape and its elements in order, whatever its layout and device.
    ///
    /// # Errors
    /// candle's, where the tensor cannot be copied to the host.
    pub fn tensor(self, t: &Tensor) -> Result<Self> {
        let host = t.detach().to_device(&candle_core::Device::Cpu)?.contiguous()?;
        Ok(self.bytes(format!("{:?} {:?}", host.dtype(), host.dims()).as_bytes()).bytes(&View::data(&&host)))
    }

    /// Adds numbers by their bits.
    #[must_use]
    pub fn numbers(self, values: &[f64]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_bits().to_le_bytes()).collect();
        self.bytes(&bytes)
    }

    /// 64 hexadecimal digits.
    pub fn hex(self) -> String {
        self.0.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn a_known_answer_and_the_layout_does_not_matter() -> Result<()> {
        // SHA-256 of eight zero bytes (an empty part): `head -c 8 /dev/zero | sha256sum`.
        let empty = "af5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc";
        assert_eq!(Digest::new().bytes(b"").hex(), empty);
        let t = Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu)?;
        let same = Tensor::new(&[[1f32, 3.0], [2.0, 4.0]], &Device::Cpu)?.t()?;
        let of = |t: &Tensor| -> Result<String> { Ok(Digest::new().tensor(t)?.hex()) };
        assert_eq!(of(&t)?, of(&same)?);
        assert_ne!(of(&t)?, of(&t.reshape(4)?)?, "the shape enters");
        assert_ne!(of(&t)?, of(&t.to_dtype(candle_core::DType::F64)?)?, "the type enters");
        Ok(())
    }
}
