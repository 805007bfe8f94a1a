//! Weights for the tasks of multi-task training, from their losses and gradients.
//!
//! T tasks share parameters; task i has the loss `L_i` with the gradient `g_i`. A [`Weighting`] gives weights w, and the shared
//! parameters move along `-d`, `d = sum w_i g_i`. Tasks *conflict* where `<g_i, g_j> < 0`: a step for one raises the loss of the
//! other. A point is *Pareto-stationary* where a convex combination of the gradients is 0: no direction lowers all losses.
//!
//! # A step of training
//! 1. Make a [`Balancer`] from a method: `Balancer::<RepresentationGradients>::new("mgda".parse::<WeightingConfig>()?.build()?, names, rng)`.
//! 2. In each step compute the losses, and one backward pass per task if [`Weighting::needs_gradients`]. The gradients are either
//!    [`ParameterGradients`] or [`RepresentationGradients`]. The second needs passes through the heads only, from a variable that holds the
//!    trunk's output. Both give a Gram matrix `M = J J'` ([`Gram`], f64 on the host), which is all that a method sees; a `Balancer<G>` takes
//!    one of the two for the whole run, and its log and its state say which.
//! 3. [`Balancer::step`] gives a [`Record`]: the weights, and what a report draws (losses, norms, cosines, rates of descent, Pareto
//!    residual, the solver's certificate). [`TaskGradients::combine`] gives `sum w_i g_i`. Heads belong to one task each; the papers
//!    update them with their own losses, unweighted.
//! 4. After the update call [`Balancer::after_update`] if [`Weighting::needs_losses_after_update`]; at the end of an epoch
//!    [`Balancer::end_epoch`].
//! 5. [`Balancer::state`] goes into the training task's state, [`Balancer::fingerprint`] into its fingerprint. A resumed run has the
//!    same bytes: random methods draw from the run's [`Rng`](sconce_tensor_core::Rng) by the number of the step.
//!
//! # Methods
//! | name | type | needs | sum of w | `J d >= 0` | undefined (an error) |
//! |---|---|---|---|---|---|
//! | `equal` | [`Equal`] | nothing | 1 | no | |
//! | `mgda` | [`Mgda`] | g | 1 | yes | |
//! | `mgda-frank-wolfe` | [`Mgda`] | g | 1 | up to the duality gap | |
//! | `mgda-l2`, `mgda-loss`, `mgda-loss+` | [`Mgda`] | g, L | T | yes | a gradient of 0 (`l2`, `loss+`); `L <= 0` (`loss`, `loss+`) |
//! | `uw` | [`Uncertainty`] | L | learned | no | |
//! | `dwa` | [`Dwa`] | L | T | no | a mean loss <= 0 |
//! | `gradnorm` | [`GradNorm`] | g, L | T | no | `L <= 0` |
//! | `pcgrad` | [`PcGrad`] | g | >= T | for 2 tasks | |
//! | `cagrad` | [`CaGrad`] | g | | for c >= 1 | a gradient of 0; Pareto-stationary gradients with c >= 1 |
//! | `imtl-g` | [`ImtlG`] | g | 1 | where w >= 0 | a gradient of 0, no direction of equal projections |
//! | `imtl-l` | [`ImtlL`] | L | learned | no | |
//! | `nash-mtl` | [`NashMtl`] | g | | yes | a gradient of 0, Pareto-stationary gradients |
//! | `fairgrad` | [`FairGrad`] | g | | yes | as `nash-mtl` |
//! | `aligned-mtl`, `-median`, `-rmse` | [`AlignedMtl`] | g | | no | all gradients 0 |
//! | `upgrad` | [`UpGrad`] | g | >= 1 | yes | |
//! | `dualproj` | [`DualProj`] | g | >= 1 | yes | |
//! | `rlw` | [`Rlw`] | nothing | 1 | no | |
//! | `famo` | [`Famo`] | L, L after the update | 1 | no | `L <= 0` |
//! | `gls` | [`Gls`] | L | >= 1 | no | `L <= 0` |
//!
//! The sums differ, and with them the size of a step at one learning rate: compare methods at learning rates tuned for each, or at equal
//! `|d|`, which [`Geometry::direction_norm`] logs. MGDA without scaling gives all weight to a task whose gradient vanishes, be it solved or
//! impossible to learn; watch the weights.
//!
//! The exact solvers (MGDA, CAGrad, UPGrad, DualProj) enumerate all subsets of at most [`EXACT_TASKS`] tasks and check the
//! optimality conditions of what they return. For more tasks MGDA has Frank-Wolfe.

mod balancer;
mod contract;
mod dual_cone;
mod gradients;
mod gram;
mod linear;
mod methods;
mod min_norm;
mod products;
mod record;
mod registry;

pub use balancer::Balancer;
pub use contract::{Step, Weighting, Weights};
pub use gradients::{ParameterGradients, RepresentationGradients, TaskGradients};
pub use gram::{Gram, Space};
pub use methods::*;
pub use min_norm::{EXACT_TASKS, MinNorm};
pub use record::{Geometry, Record};
pub use registry::{NAMES, NoConfig, WeightingConfig};
