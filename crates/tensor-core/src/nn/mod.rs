//! Layers made of [`crate::ops`], and the builder that names and initialises their parameters.

mod activation;
mod batch_norm;
mod builder;
#[cfg(feature = "candle-nn")]
mod candle_module;
mod conv;
mod layer_norm;
mod linear;
mod normalize;

pub use activation::Activation;
pub use batch_norm::BatchNorm2d;
pub use builder::{Builder, Init};
pub(crate) use builder::{Values, Weights};
#[cfg(feature = "candle-nn")]
pub use candle_module::{CandleModule, GradientFault, GradientWarning};
pub use conv::Conv2d;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use normalize::Normalize;

use crate::classifier::Caveat;
use crate::{Bounds, Classifier, Error, Params, Result};
use candle_core::{Tensor, Var};

/// What a forward pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Layers use the batch's statistics and dropout and update running statistics; weights are in the graph.
    Train,
    /// Layers use the running statistics and leave them as they are; weights are in the graph.
    Eval,
    /// As `Eval`, but the weights are not in the graph: only the gradient to the input is computed.
    Frozen,
}

impl Mode {
    /// A variable as this mode puts it into the graph.
    pub fn tensor(self, var: &Var) -> Tensor {
        match self {
            Self::Train | Self::Eval => var.as_tensor().clone(),
            Self::Frozen => var.as_detached_tensor(),
        }
    }
}

/// Anything with parameters: a trunk, a head, a generator, a whole network.
pub trait Module {
    /// The parameters, in order.
    fn params(&self) -> &Params;
}

/// A classifying network: its parameters and its forward pass. Every network is a [`Classifier`], with [`Mode::Frozen`].
pub trait Network: Module + Classifier {
    /// (N, ...) -> (N, K), before any softmax.
    ///
    /// # Errors
    /// An input whose shape does not fit.
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor>;

    /// What the last layer, a linear map, makes the outputs from, in [`Mode::Frozen`].
    ///
    /// # Shapes
    /// (N, ...) -> (N, D).
    ///
    /// # Errors
    /// As [`Network::forward`]; [`Error::Unsupported`] for a network that does not say what its last layer is.
    fn features(&self, x: &Tensor) -> Result<Tensor> {
        let _ = x;
        let reason = "this network does not implement `Network::features`; use its outputs".to_owned();
        Err(Error::Unsupported { what: "penultimate features", reason })
    }

    /// The number of outputs, K.
    fn outputs(&self) -> usize;

    /// The box that valid inputs live in.
    fn input_bounds(&self) -> Bounds {
        Bounds::UNIT
    }

    /// The parts of the network that make its gradient untrustworthy, where the network knows them.
    fn gradient_caveats(&self) -> Vec<Caveat> {
        Vec::new()
    }
}

impl<N: Network + ?Sized> Classifier for N {
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        self.forward(x, Mode::Frozen)
    }

    fn classes(&self) -> usize {
        self.outputs()
    }

    fn bounds(&self) -> Bounds {
        self.input_bounds()
    }

    fn caveats(&self) -> Vec<Caveat> {
        self.gradient_caveats()
    }
}

impl<M: Module + ?Sized> Module for Box<M> {
    fn params(&self) -> &Params {
        (**self).params()
    }
}

impl<N: Network + ?Sized> Network for Box<N> {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        (**self).forward(x, mode)
    }

    fn features(&self, x: &Tensor) -> Result<Tensor> {
        (**self).features(x)
    }

    fn outputs(&self) -> usize {
        (**self).outputs()
    }

    fn input_bounds(&self) -> Bounds {
        (**self).input_bounds()
    }

    fn gradient_caveats(&self) -> Vec<Caveat> {
        (**self).gradient_caveats()
    }
}
