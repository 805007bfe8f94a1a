//! A trunk with a head for each pretext task.

use crate::pretext::{Head, Mixture, Pretext};
use crate::trunk::{Trunk, adopted, place, representation, width};
use sconce_tensor_core::candle_core::{DType, Device, Tensor};
use sconce_tensor_core::nn::{Builder, Linear};
use sconce_tensor_core::{Error, Mode, Module, Params, Result, Rng, error::require, ops};

/// A trunk with one head for each task of a [`Mixture`].
///
/// All heads read the representation Z, the last feature map of the trunk, of one batch. A head of an image is one linear map of Z,
/// averaged over `pool` x `pool` parts of each view; a head of cells is one linear map at each cell of Z, averaged over the
/// grid's cells.
pub struct PretextNet<'a> {
    params: Params,
    trunk: &'a dyn Trunk,
    heads: Vec<TaskHead>,
    views: usize,
    pool: usize,
    dtype: DType,
    device: Device,
}

/// The head of one task.
pub(super) struct TaskHead {
    pub(super) name: String,
    pub(super) head: Head,
    pub(super) params: Params,
    linear: Linear,
}

impl<'a> PretextNet<'a> {
    /// Heads for the tasks of a mixture, with initial values from `rng`. With `pool` 1 a head of an image reads the mean over all positions;
    /// with 2, the means over the quarters, which tell rotations sooner. The parameters are the trunk's own, as `trunk.*`, and the
    /// heads', as `head.<task>.*`.
    ///
    /// # Errors
    /// [`Error::Config`] for a `pool` outside 1..=16, or a trunk without blocks or parameters.
    pub fn new(trunk: &'a dyn Trunk, mixture: &Mixture, pool: usize, rng: Rng) -> Result<Self> {
        require("PretextNet.pool", (1..=16).contains(&pool), "in 1..=16", pool)?;
        let mut params = adopted(trunk)?;
        let (dtype, device) = place(&params)?;
        let (channels, views) = (width(trunk)?, mixture.views());
        let mut heads = Vec::new();
        for task in mixture.tasks() {
            let inputs = match task.head() {
                Head::Image { .. } => views * channels * pool * pool,
                Head::Cells { .. } => channels,
            };
            heads.push(TaskHead::new(&mut params, task, inputs, rng, (dtype, &device))?);
        }
        Ok(Self { params, trunk, heads, views, pool, dtype, device })
    }

    /// The trunk.
    pub fn trunk(&self) -> &dyn Trunk {
        self.trunk
    }

    /// The names of the tasks in order.
    pub fn tasks(&self) -> impl Iterator<Item = &str> {
        self.heads.iter().map(|h| h.name.as_str())
    }

    /// Checks that a mixture has the tasks that the heads are for.
    pub(super) fn require_tasks(&self, mixture: &Mixture) -> Result<()> {
        let same = |(h, t): (&TaskHead, &dyn Pretext)| h.name == t.name() && h.head == t.head();
        let fits = mixture.tasks().count() == self.heads.len() && self.heads.iter().zip(mixture.tasks()).all(same);
        if fits && mixture.views() == self.views {
            return Ok(());
        }
        let (has, want): (Vec<&str>, _) = (self.tasks().collect(), mixture.names());
        Err(Error::config("mixture", format!("has the tasks {want:?}, the network has heads for {has:?}")))
    }

    /// The type and the device of the parameters.
    pub(super) fn place(&self) -> (DType, &Device) {
        (self.dtype, &self.device)
    }

    pub(super) fn heads(&self) -> &[TaskHead] {
        &self.heads
    }

    /// The representation Z of a batch of views.
    ///
    /// # Shapes
    /// (R V, C, H, W) -> (R V, C', H', W').
    ///
    /// # Errors
    /// The trunk's.
    pub fn representation(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        representation(self.trunk, x, mode)
    }

    /// The logits of task `t` from a representation.
    ///
    /// # Shapes
    /// (R V, C', H', W') -> (R L, K) with L labels an image and K classes.
    ///
    /// # Errors
    /// [`Error::Config`] where there is no such task, or a shape that is not the trunk's.
    pub fn logits(&self, t: usize, z: &Tensor, mode: Mode) -> Result<Tensor> {
        let Some(head) = self.heads.get(t) else {
            return Err(Error::config("task", format!("must be below {}, got {t}", self.heads.len())));
        };
        let features = match head.head {
            Head::Image { .. } => {
                let pooled = ops::adaptive_avg_pool2d(z, (self.pool, self.pool))?;
                pooled.reshape((z.dim(0)? / self.views, self.views * pooled.elem_count() / z.dim(0)?))?
            }
            Head::Cells { grid, .. } => {
                let pooled = ops::adaptive_avg_pool2d(z, grid)?;
                let channels = pooled.dim(1)?;
                pooled.permute((0, 2, 3, 1))?.contiguous()?.reshape(((), channels))?
            }
        };
        head.linear.forward(&features, mode)
    }
}

impl Module for PretextNet<'_> {
    fn params(&self) -> &Params {
        &self.params
    }
}

impl TaskHead {
    fn new(all: &mut Params, task: &dyn Pretext, inputs: usize, rng: Rng, at: (DType, &Device)) -> Result<Self> {
        let (name, head) = (task.name(), task.head());
        let scope = format!("head.{name}");
        let linear = Linear::new(&mut Builder::new(all, rng, at.0, at.1).scope(&scope), inputs, head.classes())?;
        Ok(Self { params: all.under(&scope), name, head, linear })
    }
}
