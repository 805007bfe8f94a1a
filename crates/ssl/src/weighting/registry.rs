//! Methods by name, for programs and recipes.

use super::contract::Weighting;
use super::methods::*;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// The names that [`WeightingConfig`] is parsed from. Several names of one method differ in its configuration.
pub const NAMES: [&str; 23] = [
    "equal",
    "mgda",
    "mgda-l2",
    "mgda-loss",
    "mgda-loss+",
    "mgda-frank-wolfe",
    "uw",
    "dwa",
    "gradnorm",
    "pcgrad",
    "cagrad",
    "imtl-g",
    "imtl-l",
    "nash-mtl",
    "fairgrad",
    "aligned-mtl",
    "aligned-mtl-median",
    "aligned-mtl-rmse",
    "upgrad",
    "dualproj",
    "rlw",
    "famo",
    "gls",
];

macro_rules! methods {
    ($($(#[$doc:meta])* $variant:ident($config:ty) = $name:literal, $c:pat => $build:expr;)*) => {
        /// A method with its configuration. In a file the field `method` has the name, and the other fields are those of the
        /// configuration: `{ method = "mgda", scaling = "l2" }`. From a text ([`FromStr`]) it is one of [`NAMES`].
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "method")]
        #[non_exhaustive]
        pub enum WeightingConfig {
            $($(#[$doc])* #[serde(rename = $name)] $variant($config),)*
        }

        impl WeightingConfig {
            /// Validates the configuration and makes the method.
            ///
            /// # Errors
            /// [`Error::Config`] naming the field.
            pub fn build(&self) -> Result<Box<dyn Weighting>> {
                Ok(match self.clone() {
                    $(Self::$variant($c) => Box::new($build),)*
                })
            }
        }
    };
}

/// A method without a configuration; in a file it has no field but `method`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

methods! {
    /// [`Equal`].
    Equal(NoConfig) = "equal", _ => Equal;
    /// [`Mgda`].
    Mgda(MgdaConfig) = "mgda", c => Mgda::new(c)?;
    /// [`Uncertainty`].
    Uncertainty(UncertaintyConfig) = "uw", c => Uncertainty::new(c)?;
    /// [`Dwa`].
    Dwa(DwaConfig) = "dwa", c => Dwa::new(c)?;
    /// [`GradNorm`].
    GradNorm(GradNormConfig) = "gradnorm", c => GradNorm::new(c)?;
    /// [`PcGrad`].
    PcGrad(PcGradConfig) = "pcgrad", c => PcGrad::new(c)?;
    /// [`CaGrad`].
    CaGrad(CaGradConfig) = "cagrad", c => CaGrad::new(c)?;
    /// [`ImtlG`].
    ImtlG(NoConfig) = "imtl-g", _ => ImtlG;
    /// [`ImtlL`].
    ImtlL(ImtlLConfig) = "imtl-l", c => ImtlL::new(c)?;
    /// [`NashMtl`].
    NashMtl(NashMtlConfig) = "nash-mtl", c => NashMtl::new(c)?;
    /// [`FairGrad`].
    FairGrad(FairGradConfig) = "fairgrad", c => FairGrad::new(c)?;
    /// [`AlignedMtl`].
    AlignedMtl(AlignedMtlConfig) = "aligned-mtl", c => AlignedMtl::new(c)?;
    /// [`UpGrad`].
    UpGrad(NoConfig) = "upgrad", _ => UpGrad;
    /// [`DualProj`].
    DualProj(NoConfig) = "dualproj", _ => DualProj;
    /// [`Rlw`].
    Rlw(NoConfig) = "rlw", _ => Rlw;
    /// [`Famo`].
    Famo(FamoConfig) = "famo", c => Famo::new(c)?;
    /// [`Gls`].
    Gls(NoConfig) = "gls", _ => Gls;
}

impl FromStr for WeightingConfig {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let none = NoConfig {};
        let scaled = |scaling| Self::Mgda(MgdaConfig { scaling, ..MgdaConfig::default() });
        let aligned = |scale| Self::AlignedMtl(AlignedMtlConfig { scale });
        Ok(match name {
            "equal" => Self::Equal(none),
            "mgda" => scaled(Scaling::None),
            "mgda-l2" => scaled(Scaling::L2),
            "mgda-loss" => scaled(Scaling::Loss),
            "mgda-loss+" => scaled(Scaling::LossPlus),
            "mgda-frank-wolfe" => Self::Mgda(MgdaConfig { solver: MgdaSolver::FRANK_WOLFE, ..MgdaConfig::default() }),
            "uw" => Self::Uncertainty(UncertaintyConfig::default()),
            "dwa" => Self::Dwa(DwaConfig::default()),
            "gradnorm" => Self::GradNorm(GradNormConfig::default()),
            "pcgrad" => Self::PcGrad(PcGradConfig::default()),
            "cagrad" => Self::CaGrad(CaGradConfig::default()),
            "imtl-g" => Self::ImtlG(none),
            "imtl-l" => Self::ImtlL(ImtlLConfig::default()),
            "nash-mtl" => Self::NashMtl(NashMtlConfig::default()),
            "fairgrad" => Self::FairGrad(FairGradConfig::default()),
            "aligned-mtl" => aligned(EigenScale::Min),
            "aligned-mtl-median" => aligned(EigenScale::Median),
            "aligned-mtl-rmse" => aligned(EigenScale::Rmse),
            "upgrad" => Self::UpGrad(none),
            "dualproj" => Self::DualProj(none),
            "rlw" => Self::Rlw(none),
            "famo" => Self::Famo(FamoConfig::default()),
            "gls" => Self::Gls(none),
            _ => {
                let like = |n: &&&str| strsim::jaro_winkler(name, n);
                let nearest = NAMES.iter().max_by(|a, b| like(a).total_cmp(&like(b))).unwrap_or(&"mgda");
                let reason =
                    format!("`{name}` is not a method; did you mean `{nearest}`? There are: {}", NAMES.join(", "));
                return Err(Error::config("weighting", reason));
            }
        })
    }
}
