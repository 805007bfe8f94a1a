//! The methods, one idea a file.

mod aligned;
mod cagrad;
mod dwa;
mod equal;
mod famo;
mod gls;
mod gradnorm;
mod imtl_g;
mod imtl_l;
mod mgda;
mod nash;
mod pcgrad;
mod rlw;
mod scalars;
mod uncertainty;
mod upgrad;

pub use aligned::{AlignedMtl, AlignedMtlConfig, EigenScale};
pub use cagrad::{CaGrad, CaGradConfig};
pub use dwa::{Dwa, DwaConfig};
pub use equal::Equal;
pub use famo::{Famo, FamoConfig};
pub use gls::Gls;
pub use gradnorm::{GradNorm, GradNormConfig};
pub use imtl_g::ImtlG;
pub use imtl_l::{ImtlL, ImtlLConfig};
pub use mgda::{Mgda, MgdaConfig, MgdaSolver, Scaling};
pub use nash::{FairGrad, FairGradConfig, NashMtl, NashMtlConfig};
pub use pcgrad::{PcGrad, PcGradConfig, ProjectionOrder};
pub use rlw::Rlw;
pub use uncertainty::{Uncertainty, UncertaintyConfig};
pub use upgrad::{DualProj, UpGrad};
