//! Perturbations that consist of Fourier basis functions.
//!
//! For images of H x W the direction (l, m) is the real wave with `l` vertical and `m` horizontal periods,
//! `u[a,b] = cos(theta) - sin(theta)` with `theta = 2 pi (l a / H + m b / W)`; (H - l, W - m) is the same
//! frequency, shifted by a quarter period. Its Fourier representation is `(1+i) F_l x F_m + (1-i) F_{H-l} x F_{W-m}`.

mod attack;
mod noise;
mod pattern;
mod search;
mod sweep;

pub use attack::{SingleFourier, SingleFourierConfig};
pub use noise::{BandNoise, BandNoiseConfig};
pub use pattern::{Normalisation, pattern, signed_frequency};
pub use search::FourierSearch;
pub use sweep::{Directions, HeatMap, Sweep, SweepConfig};
