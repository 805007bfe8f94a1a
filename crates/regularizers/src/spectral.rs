//! A bound on the spectral norm of each convolution. This baseline costs one singular value decomposition per
//! frequency.

use crate::absum::kernel_rank;
use candle_core::{DType, Device, Tensor};
use faer::{Mat, c64};
use sconce_tensor_core::error::require;
use sconce_tensor_core::{Error, Params, PenaltyContext, Regularizer, Result, Role};
use std::f64::consts::TAU;

/// Configuration of [`SpectralBound`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `bound` | 1 | upper bound of the singular values | finite, > 0 |
/// | `grid` | 14 | side of the square feature map of the circular convolution | >= the kernel's sides |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpectralBoundConfig {
    /// Upper bound of the singular values.
    pub bound: f64,
    /// Side of the feature map.
    pub grid: usize,
}

impl Default for SpectralBoundConfig {
    fn default() -> Self {
        Self { bound: 1.0, grid: 14 }
    }
}

/// Clips the singular values of each convolution after each update. The convolution is treated as circular on a
/// feature map of `grid` x `grid`. The (O, I) block of the kernel's Fourier transform at each frequency is
/// decomposed, its singular values are clipped at `bound`, and the result is transformed back and restricted to the
/// kernel's support. Because of the restriction this is an approximation: a singular value may stay slightly above
/// the bound.
///
/// Source: Sedghi, Gupta, Long, "The singular values of convolutional layers" (ICLR 2019).
#[derive(Clone, Copy, Debug)]
pub struct SpectralBound {
    cfg: SpectralBoundConfig,
}

/// One weight on the host, and the side of its grid of frequencies.
struct Blocks {
    dims: (usize, usize, usize, usize),
    kernel: Vec<f64>,
    grid: usize,
}

impl Blocks {
    fn new(kernel: &Tensor, grid: usize) -> Result<Self> {
        kernel_rank(kernel)?;
        let dims = kernel.dims4()?;
        if grid < dims.2 || grid < dims.3 {
            let reason = format!("must be at least the kernel's sides {}x{}, got {grid}", dims.2, dims.3);
            return Err(Error::config("SpectralBoundConfig.grid", reason));
        }
        let kernel = kernel.to_dtype(DType::F64)?.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f64>()?;
        Ok(Self { dims, kernel, grid })
    }

    /// One frequency of each conjugate pair, with its multiplicity (2 for a pair, 1 for a self-conjugate frequency).
    fn frequencies(&self) -> impl Iterator<Item = ((usize, usize), f64)> + use<> {
        let n = self.grid;
        let all = (0..n).flat_map(move |l| (0..n).map(move |m| (l, m)));
        all.filter_map(move |(l, m)| {
            let mirror = ((n - l) % n, (n - m) % n);
            (mirror >= (l, m)).then_some(((l, m), if mirror == (l, m) { 1.0 } else { 2.0 }))
        })
    }

    fn phase(&self, (l, m): (usize, usize), u: usize, v: usize) -> c64 {
        let (s, c) = (TAU * ((l * u + m * v) % self.grid) as f64 / self.grid as f64).sin_cos();
        c64::new(c, -s)
    }

    fn at(&self, o: usize, i: usize, u: usize, v: usize) -> usize {
        let (_, inputs, kh, kw) = self.dims;
        ((o * inputs + i) * kh + u) * kw + v
    }

    fn taps(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (_, _, kh, kw) = self.dims;
        (0..kh).flat_map(move |u| (0..kw).map(move |v| (u, v)))
    }

    /// The (O, I) block at a frequency: `sum_{u,v} K[o,i,u,v] exp(-2 pi i (l u + m v) / grid)`.
    fn block(&self, f: (usize, usize)) -> Mat<c64> {
        Mat::from_fn(self.dims.0, self.dims.1, |o, i| {
            self.taps().map(|(u, v)| self.phase(f, u, v) * self.kernel[self.at(o, i, u, v)]).sum()
        })
    }
}

fn failed(e: impl std::fmt::Debug) -> Error {
    Error::value("singular value decomposition", format!("{e:?}"))
}

/// All `grid^2 min(O, I)` singular values of a circular convolution; those of each frequency are in decreasing order.
///
/// # Shapes
/// (O, I, KH, KW) -> `grid^2 min(O, I)` values.
///
/// # Errors
/// The rank is not 4, the grid is smaller than the kernel, or a value is not finite.
pub fn singular_values(kernel: &Tensor, grid: usize) -> Result<Vec<f64>> {
    let blocks = Blocks::new(kernel, grid)?;
    let mut all = Vec::new();
    for (f, count) in blocks.frequencies() {
        let values = blocks.block(f).singular_values().map_err(failed)?;
        (0..count as usize).for_each(|_| all.extend(&values));
    }
    Ok(all)
}

impl SpectralBound {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: SpectralBoundConfig) -> Result<Self> {
        require("SpectralBoundConfig.bound", cfg.bound.is_finite() && cfg.bound > 0.0, "finite and > 0", cfg.bound)?;
        require("SpectralBoundConfig.grid", cfg.grid >= 1, "at least 1", cfg.grid)?;
        Ok(Self { cfg })
    }

    /// The weight with clipped singular values, restricted to the kernel's support.
    ///
    /// # Errors
    /// As [`singular_values`].
    pub fn clip(&self, kernel: &Tensor) -> Result<Tensor> {
        let blocks = Blocks::new(kernel, self.cfg.grid)?;
        let cells = (blocks.grid * blocks.grid) as f64;
        // The part that the clipping removes, transformed back and restricted to the kernel's support.
        let mut excess = vec![0.0; blocks.kernel.len()];
        for (f, count) in blocks.frequencies() {
            let svd = blocks.block(f).thin_svd().map_err(failed)?;
            let (u, s, v) = (svd.U(), svd.S().column_vector(), svd.V());
            for r in (0..s.nrows()).take_while(|&r| s[r].re > self.cfg.bound) {
                let over = s[r].re - self.cfg.bound;
                for (o, i) in (0..blocks.dims.0).flat_map(|o| (0..blocks.dims.1).map(move |i| (o, i))) {
                    let value = u[(o, r)] * v[(i, r)].conj() * over;
                    for (ku, kv) in blocks.taps() {
                        let back = value * blocks.phase(f, ku, kv).conj();
                        excess[blocks.at(o, i, ku, kv)] += count * back.re / cells;
                    }
                }
            }
        }
        let clipped: Vec<f64> = blocks.kernel.iter().zip(&excess).map(|(k, e)| k - e).collect();
        Ok(Tensor::from_vec(clipped, kernel.shape(), &Device::Cpu)?
            .to_dtype(kernel.dtype())?
            .to_device(kernel.device())?)
    }
}

impl Regularizer for SpectralBound {
    fn penalty(&self, _step: &PenaltyContext<'_>) -> Result<Option<Tensor>> {
        Ok(None)
    }

    fn after_update(&self, params: &Params, _lr: f64) -> Result<()> {
        for p in params.with_role(Role::Kernel) {
            p.var().set(&self.clip(&p.var().as_detached_tensor())?)?;
        }
        Ok(())
    }
}
