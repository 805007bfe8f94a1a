//! A Fourier basis function as an image.

use sconce_tensor_core::{Error, Norm, Result};
use std::f64::consts::TAU;

/// The quantity that `eps` measures. The literature uses several, so every result names its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Normalisation {
    /// The wave divided by its peak: `eps` is the largest change of a pixel (our default).
    #[default]
    Peak,
    /// The sign of the wave: every pixel changes by `eps` (square waves, as in the Adversarial Robustness Toolbox).
    Sign,
    /// The wave divided by its L2 norm: `eps` is the L2 norm on one channel (as in Yin et al. 2019).
    L2,
}

impl Normalisation {
    /// The norm of the threat whose radius is `eps`.
    pub fn norm(self) -> Norm {
        match self {
            Self::Peak | Self::Sign => Norm::Linf,
            Self::L2 => Norm::L2,
        }
    }
}

/// The wave of a direction (l, m) on an image of `height` x `width`, row by row, normalised to `eps = 1`.
///
/// ```
/// use sconce_attacks::fourier::{Normalisation, pattern};
/// let p = pattern(4, 4, (0, 2), Normalisation::Peak)?; // alternating columns
/// assert!(p.iter().zip([1.0, -1.0].iter().cycle()).all(|(a, b)| (a - b).abs() < 1e-12));
/// # Ok::<(), sconce_attacks::Error>(())
/// ```
///
/// # Errors
/// [`Error::Config`] if `l` is not below the height or `m` is not below the width.
pub fn pattern(
    height: usize,
    width: usize,
    direction: (usize, usize),
    normalisation: Normalisation,
) -> Result<Vec<f64>> {
    let (h, w, (l, m)) = (height, width, direction);
    if l >= h || m >= w {
        return Err(Error::config("direction", format!("(l, m) must be below ({h}, {w}), got ({l}, {m})")));
    }
    let wave = |a: usize, b: usize| {
        // Reduced before the division: the angle is exact for every multiple of a period.
        let theta = TAU * ((l * a % h) as f64 / h as f64 + (m * b % w) as f64 / w as f64);
        theta.cos() - theta.sin()
    };
    let mut u: Vec<f64> = (0..h).flat_map(|a| (0..w).map(move |b| (a, b))).map(|(a, b)| wave(a, b)).collect();
    match normalisation {
        Normalisation::Peak => {
            let peak = u.iter().fold(0f64, |p, v| p.max(v.abs()));
            u.iter_mut().for_each(|v| *v /= peak);
        }
        // At its zeros a wave is rounding noise of either sign; zeros count as positive, so that signs are deterministic.
        Normalisation::Sign => u.iter_mut().for_each(|v| *v = if *v < -1e-9 { -1.0 } else { 1.0 }),
        Normalisation::L2 => {
            let length = u.iter().map(|v| v * v).sum::<f64>().sqrt();
            u.iter_mut().for_each(|v| *v /= length);
        }
    }
    Ok(u)
}

/// The signed frequency of index `l` out of `n`, in `(-n/2, n/2]` periods.
pub fn signed_frequency(l: usize, n: usize) -> i64 {
    if 2 * l <= n { l as i64 } else { l as i64 - n as i64 }
}
