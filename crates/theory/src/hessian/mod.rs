//! The Hessian of a loss through Hessian-vector products: eigenvalues, trace, spectral density.

mod basis;
mod curvature;
mod density;
mod gauss_newton;
mod lanczos;
mod operator;
mod rescaled;
mod trace;

pub use curvature::{Curvature, HvpMethod};
pub use density::{SpectralDensity, spectral_density};
pub use gauss_newton::GaussNewton;
pub use lanczos::{EigenPair, LanczosConfig, top_eigenpairs};
pub use operator::{Matrix, Operator};
pub use rescaled::Rescaled;
pub use trace::{TraceEstimate, hutch_plus_plus, hutchinson};
