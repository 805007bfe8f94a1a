//! The score of a discriminator, and how it depends on the label.

use super::{Scores, SpectralWeight};
use crate::Result;
use sconce_tensor_core::candle_core::{D, Tensor, Var};
use sconce_tensor_core::nn::{Builder, Init};
use sconce_tensor_core::{Error, Mode, Role, ops};

/// How a discriminator's score depends on the label, from features phi.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conditioning {
    /// `w.phi + b`: not at all.
    None,
    /// `w.phi + b + e_y.phi` with a vector of each class (Miyato and Koyama 2018, arXiv 1802.05637, equation 4).
    #[default]
    Projection,
    /// `w.phi + b`, and a linear classifier of phi (AC-GAN, Odena et al. 2017, arXiv 1610.09585).
    Auxiliary,
}

/// The last layers. With spectral norm the vectors of all classes are normalised as one matrix (K, C), so a class with long vectors
/// shortens those of the others: the trainer logs sigma of this matrix as `sigma.class`.
#[derive(Clone, Debug)]
pub(super) struct Head {
    conditioning: Conditioning,
    score: SpectralWeight,
    bias: Var,
    class: Option<SpectralWeight>,
    class_bias: Option<Var>,
}

impl Head {
    pub(super) fn new(
        b: &mut Builder<'_>,
        features: usize,
        classes: usize,
        conditioning: Conditioning,
        spectral: bool,
    ) -> Result<Self> {
        let init = Init::fan_in(features);
        let score = SpectralWeight::new(&mut b.scope("score"), Role::Weight, (1, features), init, spectral)?;
        let bias = b.param("score.bias", Role::Bias, 1, Init::Constant(0.0))?;
        let (mut class, mut class_bias) = (None, None);
        if conditioning != Conditioning::None {
            let b = &mut b.scope("class");
            class = Some(SpectralWeight::new(b, Role::Weight, (classes, features), init, spectral)?);
            if conditioning == Conditioning::Auxiliary {
                class_bias = Some(b.param("bias", Role::Bias, classes, Init::Constant(0.0))?);
            }
        }
        Ok(Self { conditioning, score, bias, class, class_bias })
    }

    /// (N, C) and (N,) -> scores.
    pub(super) fn forward(&self, phi: &Tensor, y: &Tensor, mode: Mode) -> Result<Scores> {
        if y.dims() != [phi.dim(0)?] {
            return Err(Error::shape("labels", format!("({},)", phi.dim(0)?), y.dims()));
        }
        let mut realness = ops::linear(phi, &self.score.tensor(mode)?, Some(&mode.tensor(&self.bias)))?.squeeze(1)?;
        let mut classes = None;
        if let Some(class) = &self.class {
            let w = class.tensor(mode)?;
            if self.conditioning == Conditioning::Projection {
                realness = (realness + (ops::embedding(&w, y)? * phi)?.sum(D::Minus1)?)?;
            } else {
                classes = Some(ops::linear(phi, &w, self.class_bias.as_ref().map(|b| mode.tensor(b)).as_ref())?);
            }
        }
        Ok(Scores { realness, classes })
    }
}
