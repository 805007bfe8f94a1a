//! A network built from candle-nn layers as a [`Network`].

mod check;
mod initial;
mod roles;
mod warning;

pub use warning::{GradientFault, GradientWarning};

use super::{Mode, Module, Network};
use crate::params::{Params, Role};
use crate::{Bounds, Error, Result};
use candle_core::{Tensor, Var};
use candle_nn::{ModuleT, VarMap};
use std::collections::BTreeSet;
use std::fmt;

type Forward = dyn Fn(&Tensor, bool) -> candle_core::Result<Tensor> + Send + Sync;

/// A network of your own, built from candle-nn layers on a [`VarMap`], as a [`Network`]: it can be trained, attacked, saved
/// and resumed like the networks of this crate.
///
/// # Gradients
/// Some operations of candle 0.11 have wrong gradients, and some cut the graph without an error. Call
/// [`CandleModule::check_gradients`] once before you trust a training run or an attack. The operations of [`crate::ops`]
/// take and return candle's tensors, so they can replace the faulty ones inside your network:
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_nn::{Conv2dConfig, Module, VarBuilder, VarMap, conv2d, linear};
/// use sconce_tensor_core::{Rng, nn::CandleModule, ops};
///
/// let build = |ours: bool| {
///     let vars = VarMap::new();
///     let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
///     let conv = conv2d(1, 4, 3, Conv2dConfig::default(), vb.pp("conv"))?;
///     let fc = linear(4 * 3 * 3, 2, vb.pp("fc"))?;
///     let net = CandleModule::new(&vars, 2, move |x, _train| {
///         let x = conv.forward(x)?;
///         let x = if ours { ops::max_pool2d(&x, ops::Pool2dSpec::default())? } else { x.max_pool2d(2)? };
///         fc.forward(&x.relu()?.flatten_from(1)?)
///     })?;
///     net.draw_initial_values(&Rng::new(1))?;
///     Ok::<_, sconce_tensor_core::Error>(net)
/// };
/// let rng = Rng::new(0);
/// let x = rng.uniform((3, 1, 8, 8), 0.0..1.0, DType::F32, &Device::Cpu)?;
///
/// let warnings = build(false)?.check_gradients(&x, &rng)?;
/// assert!(warnings[0].to_string().contains("Use `sconce_tensor_core::ops::max_pool2d`"));
/// assert!(build(true)?.check_gradients(&x, &rng)?.is_empty());
/// # Ok::<(), sconce_tensor_core::Error>(())
/// ```
///
/// # Parameters
/// [`Module::params`] lists the map's variables in natural order of their names (`layer2` before `layer10`), the same on
/// every run. The list shares the variables with the map and the layers: an optimizer's step, [`Params::load`] and
/// `VarMap::load` are seen by all three. Roles follow the name and the rank:
///
/// | Variable | Role |
/// |---|---|
/// | named `running_mean`, `running_var` or `num_batches_tracked`, or not of a floating-point type | [`Role::Buffer`] |
/// | rank 3 or more | [`Role::Kernel`] |
/// | rank 2 | [`Role::Weight`] |
/// | rank 0 or 1, named `weight` | [`Role::Scale`] |
/// | rank 0 or 1, named `bias` beside a `weight` of rank 1 | [`Role::Shift`] |
/// | rank 0 or 1, any other | [`Role::Bias`] |
///
/// [`CandleModule::with_roles`] overrides them.
///
/// # Running statistics
/// A `candle_nn::BatchNorm` that was built from a `VarBuilder` on the map keeps its statistics in the map's own variables
/// (`Var::from_tensor` returns a variable unchanged), so they are saved, loaded and resumed with the weights. A layer that
/// was built from plain tensors (`BatchNorm::new(.., Tensor::zeros(..)?, ..)`) makes private variables that no file would
/// contain. [`CandleModule::check_gradients`] refuses such a network.
///
/// # Modes
/// The forward function receives `train = true` in [`Mode::Train`] only, so statistics stay as they are in [`Mode::Eval`] and
/// [`Mode::Frozen`]. candle-nn layers hold their weights in the graph, in [`Mode::Frozen`] too. An attack's gradient
/// therefore also computes the gradients of all weights, and costs about as much as a training step. The dropout of
/// candle-nn draws from candle's global generator, which cannot be seeded on the CPU: runs with it are not reproducible. The
/// same holds for initial values; [`CandleModule::draw_initial_values`] replaces them.
pub struct CandleModule {
    forward: Box<Forward>,
    vars: VarMap,
    params: Params,
    classes: usize,
    bounds: Bounds,
}

impl CandleModule {
    /// A network from the map that holds all its variables, the number of classes, and its forward function
    /// `(inputs, train) -> logits`. Valid inputs lie in [0, 1] unless [`CandleModule::with_bounds`] changes it.
    ///
    /// The function runs in every mode, so it must hand its second argument to layers that need it (`forward_t`).
    ///
    /// # Errors
    /// [`Error::Config`] for a map without trainable variables or for no classes.
    pub fn new(
        vars: &VarMap,
        classes: usize,
        forward: impl Fn(&Tensor, bool) -> candle_core::Result<Tensor> + Send + Sync + 'static,
    ) -> Result<Self> {
        crate::error::require("CandleModule.classes", classes >= 1, "at least 1", classes)?;
        let params = adopt(vars, |_, _| None)?;
        Ok(Self { forward: Box::new(forward), vars: vars.clone(), params, classes, bounds: Bounds::UNIT })
    }

    /// [`CandleModule::new`] with the forward pass of a module: a `Sequential`, or your own type that implements [`ModuleT`]
    /// or `candle_nn::Module`.
    ///
    /// # Errors
    /// As [`CandleModule::new`].
    pub fn from_module(vars: &VarMap, classes: usize, module: impl ModuleT + Send + Sync + 'static) -> Result<Self> {
        Self::new(vars, classes, move |x, train| module.forward_t(x, train))
    }

    /// The parameters, in order: [`Module::params`], without that trait in scope beside candle-nn's of the same name.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The same network with other bounds of valid inputs.
    pub fn with_bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// The same network with other roles: `f(name, value)` returns the role of a variable, or `None` for the usual one.
    ///
    /// # Errors
    /// As [`CandleModule::new`].
    pub fn with_roles(mut self, f: impl Fn(&str, &Tensor) -> Option<Role>) -> Result<Self> {
        self.params = adopt(&self.vars, f)?;
        Ok(self)
    }

    /// Refuses a map whose variables are not those of `params`: a checkpoint would miss them.
    fn check_vars(&self) -> Result<()> {
        let now = listed(&self.vars);
        let same = now.len() == self.params.iter().count()
            && now.iter().all(|(n, v)| self.params.get(n).is_some_and(|p| p.var().id() == v.id()));
        if same {
            return Ok(());
        }
        let reason = "variables were added to the VarMap or replaced after `CandleModule::new`: build all layers first";
        Err(Error::Unsupported { what: "this VarMap", reason: reason.to_owned() })
    }
}

/// The map's variables by name, in natural order.
fn listed(vars: &VarMap) -> Vec<(String, Var)> {
    // A panic elsewhere while the lock was held leaves the map whole.
    let data = vars.data().lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut all: Vec<_> = data.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
    all.sort_by(|a, b| roles::natural(&a.0, &b.0));
    all
}

fn adopt(vars: &VarMap, f: impl Fn(&str, &Tensor) -> Option<Role>) -> Result<Params> {
    let all = listed(vars);
    let vectors: BTreeSet<String> = all.iter().filter(|(_, v)| v.rank() <= 1).map(|(n, _)| n.clone()).collect();
    let mut params = Params::new();
    for (name, var) in all {
        let role = f(&name, var.as_tensor()).unwrap_or_else(|| roles::role(&name, var.as_tensor(), &vectors));
        params.adopt(name, role, var)?;
    }
    if params.trainable().next().is_none() {
        let reason = "has no trainable variable: build the layers from `VarBuilder::from_varmap` on this map";
        return Err(Error::config("CandleModule.vars", reason));
    }
    Ok(params)
}

impl Module for CandleModule {
    fn params(&self) -> &Params {
        &self.params
    }
}

impl Network for CandleModule {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.check_vars()?;
        let y = (self.forward)(x, mode == Mode::Train)?;
        match (x.dims().first(), y.dims()) {
            (Some(n), [m, k]) if n == m && *k == self.classes => Ok(y),
            (n, got) => {
                Err(Error::shape("logits", format!("({}, {})", n.copied().unwrap_or_default(), self.classes), got))
            }
        }
    }

    fn outputs(&self) -> usize {
        self.classes
    }

    fn input_bounds(&self) -> Bounds {
        self.bounds
    }
}

impl fmt::Debug for CandleModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { params, classes, bounds, .. } = self;
        f.debug_struct("CandleModule")
            .field("params", params)
            .field("classes", classes)
            .field("bounds", bounds)
            .finish_non_exhaustive()
    }
}
