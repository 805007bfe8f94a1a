//! The choice of the device that tensors are on.

use crate::{Error, Result};
pub use candle_core::Device;
use std::{fmt, str::FromStr};

/// A device by name: `auto`, `cpu`, `cuda:0`, `metal`.
///
/// ```
/// use sconce_tensor_core::DeviceSpec;
/// let spec: DeviceSpec = "cpu".parse()?;
/// assert!(spec.open()?.is_cpu());
/// assert!("cuda:x".parse::<DeviceSpec>().is_err());
/// # Ok::<(), sconce_tensor_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceSpec {
    /// The first CUDA or Metal device that this build supports and this machine has, otherwise the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA device by its ordinal.
    Cuda(usize),
    /// A Metal device by its ordinal.
    Metal(usize),
}

impl DeviceSpec {
    /// Opens the device.
    ///
    /// # Errors
    /// [`Error::Unsupported`] with what to do if the build lacks the feature; candle's error if the machine lacks the device.
    pub fn open(self) -> Result<Device> {
        let without = |what, feature: &str| {
            let reason =
                format!("this program was built without it: rebuild with `--features {feature}`, or use `cpu`");
            Err(Error::Unsupported { what, reason })
        };
        Ok(match self {
            Self::Cuda(_) if !cfg!(feature = "cuda") => return without("the device `cuda`", "cuda"),
            Self::Metal(_) if !cfg!(feature = "metal") => return without("the device `metal`", "metal"),
            Self::Auto if cfg!(feature = "cuda") => Device::cuda_if_available(0)?,
            Self::Auto if cfg!(feature = "metal") => Device::metal_if_available(0)?,
            Self::Auto | Self::Cpu => Device::Cpu,
            Self::Cuda(i) => Device::new_cuda(i)?,
            Self::Metal(i) => Device::new_metal(i)?,
        })
    }
}

impl FromStr for DeviceSpec {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let (kind, ordinal) = s.split_once(':').unwrap_or((s, "0"));
        let ordinal = ordinal.parse::<usize>();
        match (kind, ordinal) {
            ("auto", _) if s == "auto" => Ok(Self::Auto),
            ("cpu", _) if s == "cpu" => Ok(Self::Cpu),
            ("cuda", Ok(i)) => Ok(Self::Cuda(i)),
            ("metal", Ok(i)) => Ok(Self::Metal(i)),
            _ => Err(Error::config("device", format!("must be auto, cpu, cuda:N or metal:N, got `{s}`"))),
        }
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(i) => write!(f, "cuda:{i}"),
            Self::Metal(i) => write!(f, "metal:{i}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_device_that_the_build_lacks_is_named() {
        let e = DeviceSpec::Cuda(0).open().unwrap_err().to_string();
        assert!(e.contains("`cuda` is not supported") && e.contains("--features cuda"), "{e}");
    }

    #[test]
    fn names_round_trip_and_nonsense_is_refused() {
        for s in ["auto", "cpu", "cuda:3", "metal:0"] {
            assert_eq!(s.parse::<DeviceSpec>().unwrap().to_string(), s);
        }
        for s in ["", "gpu", "cpu:1", "auto:0", "cuda:-1"] {
            assert!(s.parse::<DeviceSpec>().unwrap_err().to_string().contains("`device`"), "{s}");
        }
    }
}
