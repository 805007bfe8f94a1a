//! The Hessian of a loss by its products with vectors: eigenvalues, trace, spectral density.

mod curvature;
mod density;
mod gauss_newton;
mod lanczos;
mod operator;
mod rescaled;
mod trace;

pub use curvature::{Curvature, Route};
pub use density::{Density, density};
pub use gauss_newton::GaussNewton;
pub use lanczos::{EigenPair, LanczosConfig, top};
pub use operator::{Matrix, Operator};
pub use rescaled::Rescaled;
pub use trace::{Trace, hutch_plus_plus, hutchinson};
