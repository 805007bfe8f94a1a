//! Training against an attacker.
//!
//! Every objective attacks in evaluation mode: running statistics stand still, and the weights are out of the graph. Batch
//! statistics move in the training passes alone.

mod awp;
mod madry;
mod mart;
mod robust_accuracy;
mod trades;

pub use awp::Awp;
pub use madry::Madry;
pub use mart::Mart;
pub use robust_accuracy::RobustAccuracy;
pub use trades::{Trades, TradesConfig};

use crate::geometry;
use candle_core::Tensor;
use sconce_tensor_core::data::Batch;
use sconce_tensor_core::{Attack, ExampleRng, Goal, Network, Result};

/// The batch's inputs as the attacker leaves them, inside threat and box.
fn attacked(attack: &dyn Attack, net: &dyn Network, batch: &Batch, rng: &ExampleRng) -> Result<Tensor> {
    let goal = Goal::Untargeted(batch.y.clone());
    let moved = attack.perturb(net, &batch.x, &goal, rng)?.x;
    Ok(geometry::project(&moved, &batch.x, attack.threat(), net.input_bounds())?.detach())
}
